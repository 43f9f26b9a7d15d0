/*
 * A repair for the coordinator, from its ticket to the report: what the owner's device does for its
 * own account when it runs anyway.
 *
 *     a ticket? ─ none ─▶ done(NOT_FOUND)
 *        └▶ swarm_repair ─▶ report ─▶ done
 */
#pragma once

#include "swarm/swarm_repair.h"

struct swarm_errand_result {
    const struct ticket *ticket; /* NULL: there was none */
    const struct swarm_repair_result *repair;
};

/* ERR_OK: every target has its shard, and the coordinator knows. NOT_FOUND: there is nothing to
   repair. With other errors some receipts may be there; they count when the report arrived.
   `result` is borrowed. */
typedef void swarm_errand_fn(void *user, enum err e, const struct swarm_errand_result *result,
                             const struct errmsg *msg);

struct swarm_errand;

/* ERR_UNREACHABLE without a known coordinator; ERR_NOMEM. */
MUST_CHECK enum err swarm_errand_start(struct swarm *swarm, swarm_errand_fn *done, void *user,
                                       struct swarm_errand **out, struct errmsg *msg);
/* done(ERR_CANCELLED) follows. */
void swarm_errand_cancel(struct swarm_errand *errand);
