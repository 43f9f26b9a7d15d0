/*
 * A segment's header and the arithmetic of its shards (docs/format-segment.md).
 *
 * The header is public: it travels with every shard and rests beside it. Its SHA-256 (with a
 * prefix) is the segment's ID, and it holds the Merkle root of each of the n = k + m shards, so
 * that a segment's name commits to every byte of every shard.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "base/limits.h"
#include "segment/merkle.h"

enum {
    SEGMENT_VERSION = 1,
    SEGMENT_MATRIX_CAUCHY = 1, /* isa_l_rs_cauchy: erasure/erasure.h */
    SEGMENT_SALT_SIZE = 32,
    SEGMENT_COMMITMENT_SIZE = 32,
    SEGMENT_HEADER_FIXED_SIZE = 120, /* before the roots */
    SEGMENT_HEADER_SIZE_MAX = SEGMENT_HEADER_FIXED_SIZE + 32 * LIMIT_SHARDS,
    SEGMENT_SHARD_UNIT = 4096, /* a shard's size is a multiple of it */
};

struct segment_header {
    uint8_t suite; /* crypto/aead.h's numbers */
    uint8_t k, m;
    uint32_t device_slot; /* in the account's manifest; whose data key */
    uint32_t epoch;       /* of that key */
    uint32_t shard_bytes;
    struct id account;
    uint8_t salt[SEGMENT_SALT_SIZE];
    uint8_t commitment[SEGMENT_COMMITMENT_SIZE]; /* to the key that opens it */
    struct merkle_hash roots[LIMIT_SHARDS];      /* the first k + m count */
};

static inline size_t segment_header_size(unsigned k, unsigned m)
{
    return SEGMENT_HEADER_FIXED_SIZE + (size_t)SHA256_SIZE * (k + m);
}

/* Writes segment_header_size() bytes to `out`. */
void segment_header_encode(const struct segment_header *header, uint8_t *out);

/* VERSION for a version, suite, matrix or flag that this program does not know; FORMAT when it is
   not a header, has another length than its k and m say, or k, m or shard_bytes are out of bounds.
 */
MUST_CHECK enum err segment_header_decode(struct slice bytes, struct segment_header *out,
                                          struct errmsg *msg);

/* SHA-256("cellar/segment/v1" ‖ header's bytes). */
void segment_header_id(struct slice header, struct id *out);

/* --- sizes --- */

/* The largest shard for this k: min(16 MiB / k, 4 MiB), rounded down to a multiple of 4096. */
uint32_t segment_shard_bytes_max(unsigned k);

/* The smallest size class of at most `shard_bytes_max` with k * shard >= payload_bytes: 4096 times
   a number below 16, or one of 8..15 times 2^j, or `shard_bytes_max` itself; an eighth is wasted at
   most once there are 8 units. After "Padme" (Nikitin et al., Reducing Metadata Leakage from
   Encrypted Files, 2019), with three bits. 0 when nothing is large enough. */
uint32_t segment_shard_bytes_for(unsigned k, uint64_t payload_bytes, uint32_t shard_bytes_max);

/* Leaves of a shard, and the bytes of leaf `index`: LIMIT_LEAF_BYTES, less for the last one. */
static inline uint32_t segment_leaf_count(uint32_t shard_bytes)
{
    return (uint32_t)((shard_bytes + (uint64_t)LIMIT_LEAF_BYTES - 1) / LIMIT_LEAF_BYTES);
}

static inline uint32_t segment_leaf_bytes(uint32_t shard_bytes, uint32_t index)
{
    const uint32_t left = shard_bytes - index * LIMIT_LEAF_BYTES;
    return left < LIMIT_LEAF_BYTES ? left : LIMIT_LEAF_BYTES;
}

/* Bytes of leaves first..first+count-1 of a shard. */
uint32_t segment_leaves_bytes(uint32_t shard_bytes, uint32_t first, uint32_t count);

/* Byte `p` of the payload lies in data shard p / shard_bytes. A range of the payload as runs of
   whole leaves, one a data shard: what is asked of the cells. */
struct segment_piece {
    unsigned shard;
    uint32_t leaf_first, leaf_count;
    uint32_t skip; /* bytes of the leaves before the wanted ones */
    uint32_t size; /* wanted bytes */
};

/* The piece that begins at payload offset `offset`, of at most `size` > 0 bytes; go on with offset
   + piece.size until all is covered. */
struct segment_piece segment_piece_at(uint32_t shard_bytes, uint64_t offset, uint64_t size);

/* Leaf by leaf check of a run of leaves as it comes from a cell: `bytes` are the whole leaves
   leaf_first..leaf_first+leaf_count-1 of shard `shard`, `path` the hashes that came with them.
   FORMAT when sizes are not what they must be, CORRUPT when they do not belong to the header's
   root. */
MUST_CHECK enum err segment_leaves_verify(struct sha256 *h, const struct segment_header *header,
                                          unsigned shard, uint32_t leaf_first, uint32_t leaf_count,
                                          struct slice bytes, struct slice path);
