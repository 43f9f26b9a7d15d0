/*
 * Shards on the wire: raw bytes behind a small head.
 *
 *     PUT body    le32 prelude size ‖ prelude (CBOR) ‖ payload, shard_bytes
 *     GET reply   le32 path size ‖ sibling hashes ‖ the leaves wanted
 *
 * A PUT is answered 201 (stored now) or 200 (was there) with the receipt document as its body.
 */
#pragma once

#include "base/buf.h"
#include "base/limits.h"

enum {
    WIRE_SHARD_HEAD_SIZE = 4,           /* the le32 in front of prelude or path */
    WIRE_PRELUDE_BYTES = 32 << 10,      /* CBOR of the prelude */
    WIRE_LEAF_PATH_BYTES = 64 * 32,     /* sibling hashes of one run of leaves */
    WIRE_RECEIPT_BYTES = 4 << 10,       /* reply of a PUT */
    WIRE_SEGMENT_REPLY_BYTES = 64 << 10 /* of GET /v1/segments/{segment} */
};

/* What a cell needs to say yes or no before it takes a byte of the payload. */
struct wire_prelude {
    struct slice grant;  /* document; of a repairing cell: its ticket */
    struct slice record; /* the device's segment record, document */
    struct slice header; /* of the segment */
};

/* The le32 and the prelude: what stands in front of the payload. */
MUST_CHECK enum err wire_prelude_encode(const struct wire_prelude *prelude, struct buf *out);

/* Size of the prelude that follows, from the first WIRE_SHARD_HEAD_SIZE bytes. ERR_FORMAT for 0,
   ERR_TOO_LARGE above WIRE_PRELUDE_BYTES. */
MUST_CHECK enum err wire_prelude_size(const uint8_t head[WIRE_SHARD_HEAD_SIZE], uint32_t *out);
/* `in` is the prelude without its le32. */
MUST_CHECK enum err wire_prelude_decode(struct slice in, struct wire_prelude *out);

/* The le32 and the siblings: what stands in front of the leaves. `path` is empty when all leaves
   are sent. ERR_TOO_LARGE above WIRE_LEAF_PATH_BYTES. */
MUST_CHECK enum err wire_leaf_path_encode(struct slice path, struct buf *out);
/* Size in bytes of the siblings that follow: a multiple of 32, at most WIRE_LEAF_PATH_BYTES. */
MUST_CHECK enum err wire_leaf_path_size(const uint8_t head[WIRE_SHARD_HEAD_SIZE], uint32_t *out);

/* GET /v1/segments/{segment} -> 200: everything that this cell holds of a segment. */
struct wire_segment {
    struct slice header;
    struct slice record;        /* document */
    uint8_t held[LIMIT_SHARDS]; /* indexes, rising */
    uint32_t held_count;
    uint8_t damaged[LIMIT_SHARDS]; /* quarantined, rising; none of them in `held` */
    uint32_t damaged_count;
};

MUST_CHECK enum err wire_segment_encode(const struct wire_segment *segment, struct buf *out);
MUST_CHECK enum err wire_segment_decode(struct slice in, struct wire_segment *out);
