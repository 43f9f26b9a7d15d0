/*
 * Becoming a member, and owning a cell: join, claim, away.
 */
#pragma once

#include "swarm/swarm.h"

/* Joining needs no struct swarm: there is no list yet. The coordinator is the invite's. `reply` is
   NULL with an error, borrowed during the call; its documents are not verified here. */
typedef void swarm_join_fn(void *user, enum err e, const struct wire_join_reply *reply,
                           const struct errmsg *msg);

struct swarm_join_request {
    struct net *net;
    struct id coordinator;
    const char *const *addresses; /* borrowed until done */
    size_t address_count;
    struct wire_join join; /* documents are copied */
};

MUST_CHECK enum err swarm_join(const struct swarm_join_request *request, swarm_join_fn *done,
                               void *user, struct errmsg *msg);

/* Has the cell sign `claim` (a document with the account's signature; `code` may be empty), then
   gives the coordinator what both have signed. `claim` in the callback: the fully signed one,
   borrowed; there as soon as the cell has signed, also when the coordinator could not be told. */
typedef void swarm_claim_fn(void *user, enum err e, struct slice claim, const struct errmsg *msg);
MUST_CHECK enum err swarm_claim(struct swarm *swarm, const struct id *cell, struct slice claim,
                                struct slice code, swarm_claim_fn *done, void *user,
                                struct errmsg *msg);

/* Tells the coordinator that a cell of this account's will be silent until then. */
MUST_CHECK enum err swarm_away(struct swarm *swarm, const struct id *cell, int64_t until_s,
                               swarm_done_fn *done, void *user, struct errmsg *msg);
