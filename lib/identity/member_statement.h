/* What a cell says of itself, document "member", signed by the cell. The highest sequence counts.
 */
#pragma once

#include "identity/address.h"
#include "identity/document.h"

enum { MEMBER_STATEMENT_BYTES_MAX = 4096 };

struct member_statement {
    struct address_list addresses;   /* where it can be reached; none: it only dials */
    char site[LIMIT_NAME_BYTES + 1]; /* "" when not given */
    uint64_t give_bytes;             /* how much disk it lends */
    uint64_t sequence;
    int64_t time_s; /* by the cell's clock */
    /* filled in by _open, ignored by _make */
    uint8_t key[SIGN_PUBLIC_SIZE];
    struct id cell;
};

MUST_CHECK enum err member_statement_make(const struct member_statement *statement,
                                          const struct swarm_root *swarm,
                                          const struct sign_key *cell, struct buf *out);
/* `cell` may be NULL: then the statement says who made it. */
MUST_CHECK enum err member_statement_open(struct slice bytes, const struct swarm_root *swarm,
                                          const struct id *cell, struct member_statement *out,
                                          struct errmsg *msg);
