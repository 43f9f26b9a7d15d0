/*
 * The payload is one run of bytes whatever the shard size comes out as: shard i is cut from it at
 * i * shard_bytes when the build is finished, and the parity follows behind the last data shard. So
 * a small segment needs no second layout, and a record never cares where a shard ends.
 */
#include "segment/segment_builder.h"

#include "crypto/secret.h"
#include "erasure/erasure.h"
#include "segment/segment_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

enum state { STATE_EMPTY, STATE_OPEN, STATE_FINISHED };

struct segment_builder {
    unsigned k, m, suite;
    uint32_t shard_bytes_max;
    struct erasure *code;   /* owned; NULL when m is 0 */
    struct aead *aead;      /* owned; for table, locator, padding */
    struct sha256 **hashes; /* owned, k + m: one a shard, all under way at once */
    uint8_t *payload;       /* owned: (k + m) * shard_bytes_max + SLACK */
    uint8_t *key;           /* owned, locked */

    enum state state;
    enum segment_kind kind;
    struct segment_entry
        *entries;    /* owned, LIMIT_SEGMENT_RECORDS: never moves, so seals need no lock */
    uint8_t *sealed; /* owned: entry i was filled */
    uint32_t count;
    uint32_t at; /* payload bytes taken by locator and records */

    struct segment_header header;
    struct id id;
    struct merkle_hash *leaf_hashes; /* owned: k + m times the leaves of the largest shard */
    uint32_t leaves_max;             /* of one shard */
    uint8_t bytes[SEGMENT_HEADER_SIZE_MAX];
};

enum { SLACK = SEGMENT_SHARD_UNIT }; /* for the tag of the padding when no parity is behind it */

static enum err allocate(struct segment_builder *b)
{
    const unsigned n = b->k + b->m;
    enum err e = aead_new(&b->aead);
    b->hashes = calloc(n, sizeof(*b->hashes));
    b->payload = aligned_alloc(SEGMENT_SHARD_UNIT, (size_t)n * b->shard_bytes_max + SLACK);
    b->key = secret_new(AEAD_KEY_SIZE);
    b->entries = malloc(LIMIT_SEGMENT_RECORDS * sizeof(*b->entries));
    b->sealed = malloc(LIMIT_SEGMENT_RECORDS);
    b->leaf_hashes = malloc((size_t)n * b->leaves_max * sizeof(*b->leaf_hashes));
    if (!b->hashes || !b->payload || !b->key || !b->entries || !b->sealed || !b->leaf_hashes)
        return ERR_NOMEM;
    for (unsigned i = 0; e == ERR_OK && i < n; i++)
        e = sha256_new(&b->hashes[i]);
    return e;
}

enum err segment_builder_new(const struct segment_shape *shape, struct segment_builder **out,
                             struct errmsg *msg)
{
    const unsigned k = shape->k, m = shape->m;
    const unsigned suite = shape->suite ? shape->suite : aead_best_suite();
    if (k < 1 || k + m > LIMIT_SHARDS)
        return err_say(msg, ERR_USAGE, "%u data and %u parity shards cannot be", k, m);
    const uint32_t most = segment_shard_bytes_max(k);
    const uint32_t shard = shape->shard_bytes_max ? shape->shard_bytes_max : most;
    if (shard > most || shard % SEGMENT_SHARD_UNIT != 0)
        return err_say(msg, ERR_USAGE, "shards of %u bytes cannot be with k = %u", shard, k);
    struct segment_builder *b = calloc(1, sizeof(*b));
    if (!b)
        return err_say(msg, ERR_NOMEM, "out of memory for a segment");
    b->k = k;
    b->m = m;
    b->suite = suite;
    b->shard_bytes_max = shard;
    b->leaves_max = segment_leaf_count(shard);
    enum err e = m > 0 ? erasure_new(k, m, NULL, &b->code, msg) : ERR_OK;
    if (e == ERR_OK && (e = allocate(b)) != ERR_OK)
        e = err_say(msg, e, "out of memory for a segment of %u+%u shards", k, m);
    if (e != ERR_OK) {
        segment_builder_free(b);
        return e;
    }
    *out = b;
    return ERR_OK;
}

void segment_builder_free(struct segment_builder *b)
{
    if (!b)
        return;
    for (unsigned i = 0; b->hashes && i < b->k + b->m; i++)
        sha256_free(b->hashes[i]);
    free(b->hashes);
    erasure_free(b->code);
    aead_free(b->aead);
    secret_free(b->key);
    free(b->payload);
    free(b->entries);
    free(b->sealed);
    free(b->leaf_hashes);
    free(b);
}

enum err segment_builder_start(struct segment_builder *b, const struct segment_identity *identity,
                               const uint8_t data_key[SEGMENT_DATA_KEY_SIZE],
                               const uint8_t salt[SEGMENT_SALT_SIZE])
{
    if (b->state == STATE_FINISHED) /* nobody reads the parity any more, and it comes last again */
        (void)madvise(b->payload + (size_t)b->k * b->shard_bytes_max,
                      (size_t)b->m * b->shard_bytes_max, MADV_DONTNEED);
    b->state = STATE_OPEN;
    b->kind = identity->kind;
    b->count = 0;
    b->at = SEGMENT_LOCATOR_SIZE;
    b->header = (struct segment_header){
        .suite = (uint8_t)b->suite,
        .k = (uint8_t)b->k,
        .m = (uint8_t)b->m,
        .device_slot = identity->device_slot,
        .epoch = identity->epoch,
        .account = identity->account,
    };
    memcpy(b->header.salt, salt, SEGMENT_SALT_SIZE);
    segment_key(data_key, b->suite, salt, b->key, b->header.commitment);
    return aead_set_key(b->aead, b->suite, b->key);
}

static uint64_t room_for(uint32_t at, uint32_t count, size_t stored_bytes)
{
    return (uint64_t)at + stored_bytes + SEGMENT_RECORD_OVERHEAD +
           (uint64_t)(count + 1) * SEGMENT_ENTRY_SIZE + AEAD_TAG_SIZE;
}

uint32_t segment_builder_record_max(unsigned k, uint32_t shard_bytes_max)
{
    const uint32_t shard = shard_bytes_max ? shard_bytes_max : segment_shard_bytes_max(k);
    return (uint32_t)(k * shard - room_for(SEGMENT_LOCATOR_SIZE, 0, 0));
}

bool segment_builder_fits(const struct segment_builder *b, size_t stored_bytes)
{
    return b->state == STATE_OPEN && b->count < LIMIT_SEGMENT_RECORDS &&
           stored_bytes <= LIMIT_SEGMENT_BYTES &&
           room_for(b->at, b->count, stored_bytes) <= (uint64_t)b->k * b->shard_bytes_max;
}

uint32_t segment_builder_count(const struct segment_builder *b)
{
    return b->count;
}

uint64_t segment_builder_bytes(const struct segment_builder *b)
{
    return (uint64_t)b->at + (uint64_t)b->count * SEGMENT_ENTRY_SIZE + AEAD_TAG_SIZE;
}

enum err segment_builder_reserve(struct segment_builder *b, struct segment_entry *entry,
                                 size_t stored_bytes, uint32_t *out_number)
{
    assert(entry->flags != 0 || stored_bytes == entry->plain_bytes);
    if (!segment_builder_fits(b, stored_bytes))
        return ERR_TOO_LARGE;
    entry->offset = b->at;
    entry->sealed_bytes = (uint32_t)stored_bytes + SEGMENT_RECORD_OVERHEAD;
    b->entries[b->count] = *entry;
    b->sealed[b->count] = 0;
    b->at += entry->sealed_bytes;
    *out_number = b->count++;
    return ERR_OK;
}

enum err segment_builder_seal(struct segment_builder *b, struct aead *aead, uint32_t number,
                              struct slice stored)
{
    const struct segment_entry *entry = &b->entries[number];
    uint8_t aad[SEGMENT_AAD_SIZE];
    assert(stored.size + SEGMENT_RECORD_OVERHEAD == entry->sealed_bytes && !b->sealed[number]);
    enum err e = aead_set_key(aead, b->suite, b->key);
    if (e != ERR_OK)
        return e;
    segment_aad(b->suite, b->header.salt, number, entry, entry->plain_bytes, aad);
    e = aead_seal(aead, number, slice_of(aad, sizeof(aad)), stored, b->payload + entry->offset);
    if (e == ERR_OK)
        b->sealed[number] = 1;
    return e;
}

/* Seals `size` plain bytes that stand at payload offset `at`. */
static enum err seal_in_place(struct segment_builder *b, uint64_t number, size_t at, size_t size)
{
    uint8_t aad[SEGMENT_AAD_SIZE];
    segment_aad(b->suite, b->header.salt, number, NULL, (uint32_t)size, aad);
    return aead_seal(b->aead, number, slice_of(aad, sizeof(aad)), slice_of(b->payload + at, size),
                     b->payload + at);
}

/* Table, locator, padding; sets the header's shard_bytes. */
static enum err seal_frame(struct segment_builder *b)
{
    const size_t table = (size_t)b->count * SEGMENT_ENTRY_SIZE;
    for (uint32_t i = 0; i < b->count; i++)
        segment_entry_encode(&b->entries[i], b->payload + b->at + (size_t)i * SEGMENT_ENTRY_SIZE);
    enum err e = seal_in_place(b, SEGMENT_NUMBER_TABLE, b->at, table);
    if (e != ERR_OK)
        return e;
    const struct segment_locator locator = {
        .kind = b->kind,
        .record_count = b->count,
        .table_offset = b->at,
        .table_sealed_bytes = (uint32_t)(table + AEAD_TAG_SIZE),
    };
    segment_locator_encode(&locator, b->payload);
    e = seal_in_place(b, SEGMENT_NUMBER_LOCATOR, 0, SEGMENT_LOCATOR_PLAIN_SIZE);
    if (e != ERR_OK)
        return e;
    const size_t end = b->at + table + AEAD_TAG_SIZE;
    b->header.shard_bytes = segment_shard_bytes_for(b->k, end, b->shard_bytes_max);
    const size_t padding = (size_t)b->k * b->header.shard_bytes - end;
    memset(b->payload + end, 0, padding);
    return seal_in_place(b, SEGMENT_NUMBER_PADDING, end, padding); /* its tag is overwritten */
}

/* erasure_fuse's: each shard's bytes go into its own hash, leaf by leaf. */
static void hash_block(void *user, unsigned first, unsigned count, size_t offset, size_t size)
{
    struct segment_builder *b = user;
    const uint32_t shard_bytes = b->header.shard_bytes;
    const size_t leaf = offset / LIMIT_LEAF_BYTES, end = offset + size;
    for (unsigned i = first; i < first + count; i++) {
        struct sha256 *h = b->hashes[i];
        if (offset % LIMIT_LEAF_BYTES == 0)
            sha256_start_leaf(h);
        sha256_add(h, slice_of(b->payload + (size_t)i * shard_bytes + offset, size));
        if (end % LIMIT_LEAF_BYTES == 0 || end == shard_bytes)
            sha256_finish(h, b->leaf_hashes[i * b->leaves_max + leaf].bytes);
    }
}

static void encode(struct segment_builder *b)
{
    const size_t shard_bytes = b->header.shard_bytes;
    const uint8_t *data[LIMIT_SHARDS];
    uint8_t *parity[LIMIT_SHARDS];
    for (unsigned i = 0; i < b->k; i++)
        data[i] = b->payload + i * shard_bytes;
    for (unsigned i = 0; i < b->m; i++)
        parity[i] = b->payload + (b->k + i) * shard_bytes;
    if (b->code) {
        const struct erasure_fuse fuse = {.on_block = hash_block, .user = b};
        erasure_encode_fused(b->code, data, parity, shard_bytes, &fuse);
    } else {
        for (size_t at = 0; at < shard_bytes; at += LIMIT_LEAF_BYTES)
            hash_block(
                b, 0, b->k, at,
                segment_leaf_bytes((uint32_t)shard_bytes, (uint32_t)(at / LIMIT_LEAF_BYTES)));
    }
}

enum err segment_builder_finish(struct segment_builder *b, struct errmsg *msg)
{
    assert(b->state == STATE_OPEN);
    for (uint32_t i = 0; i < b->count; i++)
        if (!b->sealed[i])
            return err_say(msg, ERR_STATE, "record %u of a segment was never filled", i);
    enum err e = seal_frame(b);
    if (e != ERR_OK)
        return err_say(msg, e, "cannot seal a segment");
    encode(b);
    const uint32_t leaves = segment_leaf_count(b->header.shard_bytes);
    for (unsigned i = 0; i < b->k + b->m; i++)
        merkle_root(b->hashes[i], b->leaf_hashes + i * b->leaves_max, leaves, &b->header.roots[i]);
    segment_header_encode(&b->header, b->bytes);
    segment_header_id(segment_builder_header_bytes(b), &b->id);
    b->state = STATE_FINISHED;
    return ERR_OK;
}

static enum err check_records(struct segment_builder *b, struct segment_opener *opener,
                              struct segment_entry *entries, uint8_t *scratch)
{
    struct segment_locator locator;
    enum err e = segment_open_locator(opener, slice_of(b->payload, SEGMENT_LOCATOR_SIZE), &locator);
    if (e == ERR_OK && (locator.record_count != b->count || locator.table_offset != b->at))
        e = ERR_INCONSISTENT;
    if (e == ERR_OK)
        e = segment_open_table(opener, &locator,
                               slice_of(b->payload + b->at, locator.table_sealed_bytes), entries);
    for (uint32_t i = 0; e == ERR_OK && i < b->count; i++) {
        const struct segment_entry *entry = &entries[i], *ours = &b->entries[i];
        if (!id_equal(&entry->id, &ours->id) || entry->sealed_bytes != ours->sealed_bytes)
            return ERR_INCONSISTENT;
        e = segment_open_record(opener, i, entry,
                                slice_of(b->payload + entry->offset, entry->sealed_bytes), scratch);
    }
    return e;
}

enum err segment_builder_check(struct segment_builder *b,
                               const uint8_t data_key[SEGMENT_DATA_KEY_SIZE], struct errmsg *msg)
{
    assert(b->state == STATE_FINISHED);
    struct segment_opener *opener = NULL;
    uint32_t largest = 0;
    for (uint32_t i = 0; i < b->count; i++)
        if (b->entries[i].sealed_bytes > largest)
            largest = b->entries[i].sealed_bytes;
    uint8_t *scratch = malloc((size_t)largest + 1);
    struct segment_entry *entries = malloc((b->count + 1) * sizeof(*entries));
    enum err e = scratch && entries ? segment_opener_new(&opener) : ERR_NOMEM;
    if (e == ERR_OK)
        e = segment_opener_set(opener, &b->header, data_key);
    if (e == ERR_OK)
        e = check_records(b, opener, entries, scratch);
    segment_opener_free(opener);
    free(entries);
    free(scratch);
    if (e == ERR_OK || e == ERR_NOMEM)
        return e;
    return err_say(msg, ERR_INCONSISTENT,
                   "a segment that was just built does not open again: this machine's memory is "
                   "not to be trusted");
}

const struct id *segment_builder_id(const struct segment_builder *b)
{
    assert(b->state == STATE_FINISHED);
    return &b->id;
}

const struct segment_header *segment_builder_header(const struct segment_builder *b)
{
    assert(b->state == STATE_FINISHED);
    return &b->header;
}

struct slice segment_builder_header_bytes(const struct segment_builder *b)
{
    return slice_of(b->bytes, segment_header_size(b->k, b->m));
}

struct slice segment_builder_shard(const struct segment_builder *b, unsigned index)
{
    assert(b->state == STATE_FINISHED && index < b->k + b->m);
    return slice_of(b->payload + (size_t)index * b->header.shard_bytes, b->header.shard_bytes);
}

const struct segment_entry *segment_builder_entries(const struct segment_builder *b,
                                                    uint32_t *count)
{
    *count = b->count;
    return b->entries;
}
