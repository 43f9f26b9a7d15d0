/*
 * What a head keeps sealed to the account's reading key: where the device's catalogue lies, with
 * all that is needed to fetch and open it. Head -> catalogue -> index objects and snapshots ->
 * everything.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "base/limits.h"

enum { SNAPSHOT_HEAD_BYTES_MAX = 32768 };

struct snapshot_head {
    struct id chunk;     /* the catalogue's */
    struct slice header; /* of the metadata segment that it lies in */
    struct slice cells;  /* an ID a shard, zero where there is none */
    uint32_t record, offset, sealed_bytes, plain_bytes;
    uint8_t flags; /* segment/'s */
};

MUST_CHECK enum err snapshot_head_encode(const struct snapshot_head *head, struct buf *out);
MUST_CHECK enum err snapshot_head_decode(struct slice bytes, struct snapshot_head *out,
                                         struct errmsg *msg);
