/* The segment record, document "segment", signed by the device that made the segment: it is part of
 * this account. It travels with every shard and rests beside it; a rebuilt coordinator ignores
 * segments without one. (Not to be confused with the chunk records inside a segment,
 * segment_record.h.) */
#pragma once

#include "identity/document.h"

enum { SIGNED_RECORD_BYTES_MAX = 512 };

struct signed_record {
    struct id segment;
    struct id account;
    uint32_t slot;        /* of the device */
    uint64_t list_number; /* of the member list by which its shards were placed */
    uint64_t
        sequence;     /* of the head that will be the first to reach it: what a revocation bounds */
    struct id device; /* filled in by _open, ignored by _make */
};

MUST_CHECK enum err signed_record_make(const struct signed_record *record,
                                       const struct swarm_root *swarm,
                                       const struct sign_key *device, struct buf *out);
/* `device` may be NULL: then the caller asks the manifest about the result's `device` and `slot`.
 */
MUST_CHECK enum err signed_record_open(struct slice bytes, const struct swarm_root *swarm,
                                       const struct id *device, struct signed_record *out,
                                       struct errmsg *msg);
