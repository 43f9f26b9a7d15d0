/*
 * A proof by lot, from cell to cell, without a coordinator's ticket:
 *
 *     "a leaf of a shard of this segment" (POST /v1/audit) ─▶ header, what is held there
 *     ─▶ one leaf, drawn at random, of one of the shards held, with its Merkle path
 *
 * Who may ask whom on a day says placement_lot.h; the one who is asked checks it. A cell that an
 * account has claimed may ask for the account's segments as well, none of which it holds: then
 *
 *     "what have you of it?" (GET /v1/accounts/{account}/shards, from a random place on) ─▶ one of
 *     them, drawn at random ─▶ as above
 */
#pragma once

#include "swarm/swarm.h"
#include "wire/wire_audit.h"

/* `kind` 0: nothing is known (`e` says why). `verdict->index` goes with PROVEN and WRONG. */
typedef void swarm_audit_fn(void *user, enum err e, const struct wire_verdict *verdict,
                            const struct errmsg *msg);

struct swarm_audit;

/* `account` NULL: of the lot's segment; else of any segment of the account, the lot's counts for
   nothing. */
MUST_CHECK enum err swarm_audit_start(struct swarm *swarm, const struct id *cell,
                                      const struct wire_lot *lot, const struct id *account,
                                      swarm_audit_fn *done, void *user, struct swarm_audit **out,
                                      struct errmsg *msg);
void swarm_audit_cancel(struct swarm_audit *audit);

struct swarm_audit_candidate {
    struct id segment, account; /* of a shard that the auditor holds itself */
    unsigned shards;            /* k + m */
};

/* The first of these segments of which the cell should have a shard too, as placement orders the
   members now: an auditor has no directory. `count`: none of them. */
size_t swarm_audit_pick(const struct swarm *swarm, const struct id *cell,
                        const struct swarm_audit_candidate *candidates, size_t count);
