/* A grant, document "grant", signed by a coordinator: a device may store so many bytes on one cell
 * until then. One document a cell. A cell counts what was spent under an ID, committed with the
 * shards. */
#pragma once

#include "identity/document.h"

enum { GRANT_ID_SIZE = 16, GRANT_BYTES_MAX = 512 };

struct grant {
    uint8_t id[GRANT_ID_SIZE];
    uint32_t incarnation; /* the coordinator's: a newer one's grants count, not this one's */
    struct id account;
    struct id device; /* the device's ID */
    struct id cell;
    uint64_t list_number; /* of the member list that it was computed from */
    int64_t expires_s;
    uint64_t budget_bytes; /* shard bytes, headers and records not counted */
};

MUST_CHECK enum err grant_make(const struct grant *grant, const struct swarm_root *swarm,
                               const struct sign_key *coordinator, struct buf *out);
MUST_CHECK enum err grant_open(struct slice bytes, const struct swarm_root *swarm,
                               const struct id *coordinator, struct grant *out, struct errmsg *msg);
