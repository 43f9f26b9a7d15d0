/* A repair ticket, document "ticket", signed by a coordinator: this cell may read a segment's
 * shards from these cells and store rebuilt ones at those, without a key. Sources count what they
 * serve under it. */
#pragma once

#include "base/limits.h"
#include "identity/document.h"

enum { TICKET_ID_SIZE = 16, TICKET_BYTES_MAX = 32 << 10 };

struct ticket_place {
    uint8_t index; /* of the shard */
    struct id cell;
};

struct ticket {
    uint8_t id[TICKET_ID_SIZE]; /* fresh random; receipts name it where others name a grant */
    uint32_t incarnation;
    struct id repairer;
    struct id segment;
    struct id account; /* the segment's owner */
    uint64_t list_number;
    uint64_t bytes_max; /* what each source serves at most */
    int64_t expires_s;
    struct ticket_place sources[LIMIT_SHARDS]; /* ascending indexes */
    size_t source_count;
    struct ticket_place targets[LIMIT_SHARDS]; /* ascending indexes */
    size_t target_count;
};

MUST_CHECK enum err ticket_make(const struct ticket *ticket, const struct swarm_root *swarm,
                                const struct sign_key *coordinator, struct buf *out);
MUST_CHECK enum err ticket_open(struct slice bytes, const struct swarm_root *swarm,
                                const struct id *coordinator, struct ticket *out,
                                struct errmsg *msg);
