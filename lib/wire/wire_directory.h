/*
 * The coordinator's directory of segments: which cells hold which shards, and nothing else.
 *
 * A device registers what it has receipts for, and finds its own account's segments again when its
 * index does not know (or no longer knows rightly) where they are.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "base/limits.h"
#include "wire/wire_ids.h"

enum {
    WIRE_REGISTER_SEGMENTS = 64,               /* in one request */
    WIRE_FOUND_SHARDS = 4 * (int)LIMIT_SHARDS, /* of one segment: a shard can have moved */
};

#define WIRE_REGISTER_BYTES       (16u << 20)
#define WIRE_REGISTER_REPLY_BYTES 64u
#define WIRE_FIND_BYTES           WIRE_IDS_BYTES(WIRE_FIND_IDS)
#define WIRE_FOUND_BYTES          (16u << 20)

/* --- POST /v1/segments: the directory learns which cells hold a segment --- */

struct wire_registration {
    struct slice record; /* the device's segment record, document; it names the segment */
    uint8_t k, m;
    uint32_t shard_bytes;
    const struct slice *receipts;  /* to encode: documents */
    uint32_t receipt_count;        /* to encode, at most k + m */
    struct wire_list receipt_list; /* decoded: walk it with wire_receipts_next() */
};

MUST_CHECK enum err wire_register_encode(const struct wire_registration *segments, size_t count,
                                         struct buf *out);
MUST_CHECK enum err wire_register_decode(struct slice in, struct wire_list *out);
bool wire_register_next(struct wire_list *list, struct wire_registration *out);
bool wire_receipts_next(struct wire_list *list, struct slice *out);

/* How many were taken into the directory. */
MUST_CHECK enum err wire_register_reply_encode(uint32_t count, struct buf *out);
MUST_CHECK enum err wire_register_reply_decode(struct slice in, uint32_t *count);

/* --- POST /v1/segments/find: where the directory has an account's own segments; the question is in
   wire_ids.h --- */

struct wire_shard_at {
    uint8_t index;
    struct id cell;
};

struct wire_found {
    uint32_t position; /* of the segment in the question */
    uint8_t k, m;
    uint32_t shard_bytes;
    const struct wire_shard_at *shards; /* to encode */
    uint32_t shard_count;               /* to encode */
    struct wire_list shard_list;        /* decoded: walk it with wire_shards_next() */
};

/* In the order of positions; what is not in it is not known. */
MUST_CHECK enum err wire_found_encode(const struct wire_found *found, size_t count,
                                      struct buf *out);
MUST_CHECK enum err wire_found_decode(struct slice in, struct wire_list *out);
bool wire_found_next(struct wire_list *list, struct wire_found *out);
bool wire_shards_next(struct wire_list *list, struct wire_shard_at *out);
