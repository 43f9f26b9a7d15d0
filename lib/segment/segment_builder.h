/*
 * Building segments: records are sealed straight into their place in one buffer, whose parts become
 * the shards.
 *
 *     segment_builder_new(&shape, &builder, msg);                // once; the buffer is used again
 *     segment_builder_start(builder, &identity, data_key, salt); // a fresh salt for every build
 *     while (segment_builder_fits(builder, stored.size)) {
 *         segment_builder_reserve(builder, &entry, &number);     // one thread at a time
 *         segment_builder_seal(builder, aead, number, stored);   // any thread, in any order
 *     }
 *     segment_builder_finish(builder, msg);                      // parity, hashes, header, ID
 *     segment_builder_shard(builder, i) ... until all are away
 *
 * A salt serves one build: a build that fails is thrown away (start again with another salt), and a
 * finished one may be sent again as it is, never built again.
 *
 * Memory: (k + m) * shard_bytes_max, of which only what is used is touched; that of the parity is
 * given back when the next segment is started. Finishing costs one
 * pass over the data while it is in cache: on one Zen 3 core about 0.7 GB/s of data at 10+4, nearly
 * all of it SHA-256.
 */
#pragma once

#include "segment/segment_record.h"

struct segment_shape {
    unsigned k, m;
    uint32_t shard_bytes_max; /* 0: segment_shard_bytes_max(k) */
    unsigned suite;           /* 0: aead_best_suite() */
};

struct segment_identity {
    enum segment_kind kind;
    struct id account;
    uint32_t device_slot;
    uint32_t epoch;
};

struct segment_builder;

/* USAGE for a shape that cannot be; NOMEM. */
MUST_CHECK enum err segment_builder_new(const struct segment_shape *shape,
                                        struct segment_builder **out, struct errmsg *msg);
void segment_builder_free(struct segment_builder *builder); /* wipes keys; NULL does nothing */

/* Throws away what was there. `salt`: 32 fresh random bytes. ERR_NOMEM. */
MUST_CHECK enum err segment_builder_start(struct segment_builder *builder,
                                          const struct segment_identity *identity,
                                          const uint8_t data_key[SEGMENT_DATA_KEY_SIZE],
                                          const uint8_t salt[SEGMENT_SALT_SIZE]);

/* The most stored bytes that one record can have in an empty segment of this k and shard size
   (0: the largest): what chunks are limited to. */
uint32_t segment_builder_record_max(unsigned k, uint32_t shard_bytes_max);

/* Is there room for one more record of so many stored bytes? */
bool segment_builder_fits(const struct segment_builder *builder, size_t stored_bytes);

uint32_t segment_builder_count(const struct segment_builder *builder); /* records reserved */
uint64_t segment_builder_bytes(const struct segment_builder *builder); /* of payload used so far */

/* Takes a place: of `entry` id, plain_bytes, type and flags are given, `stored_bytes` is the size
   that will be sealed; offset and sealed_bytes are set. TOO_LARGE when it does not fit. */
MUST_CHECK enum err segment_builder_reserve(struct segment_builder *builder,
                                            struct segment_entry *entry, size_t stored_bytes,
                                            uint32_t *out_number);

/* Fills a reserved place. `stored` has the size that was reserved; `aead` is the calling thread's
   own and is set to this segment's key. Threads may seal different records at once, while another
   one reserves. */
MUST_CHECK enum err segment_builder_seal(struct segment_builder *builder, struct aead *aead,
                                         uint32_t number, struct slice stored);

/* All reserved records are sealed: seals the table, the locator and the rest, chooses the size
   class, encodes and hashes column by column. STATE when a reserved record was never sealed. */
MUST_CHECK enum err segment_builder_finish(struct segment_builder *builder, struct errmsg *msg);

/* Opens everything again from the finished data shards and compares the table: what a bad memory
   cell did while sealing is found before it is sent. Costs one decryption. INCONSISTENT. */
MUST_CHECK enum err segment_builder_check(struct segment_builder *builder,
                                          const uint8_t data_key[SEGMENT_DATA_KEY_SIZE],
                                          struct errmsg *msg);

/* --- of a finished build; borrowed until the next start or free --- */

const struct id *segment_builder_id(const struct segment_builder *builder);
const struct segment_header *segment_builder_header(const struct segment_builder *builder);
struct slice segment_builder_header_bytes(const struct segment_builder *builder);
struct slice segment_builder_shard(const struct segment_builder *builder, unsigned index);
const struct segment_entry *segment_builder_entries(const struct segment_builder *builder,
                                                    uint32_t *count); /* by number */
