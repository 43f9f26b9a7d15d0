/*
 * Paying debts: shards that were not receipted when their segment was committed, or were found
 * missing or damaged since, are made again from the others and stored.
 *
 *     segment with debts (lane) ─▶ its missing shards, decoded from any k (swarm) ─▶ upload ─▶
 * index
 *
 * One segment at a time; memory: k + m shards. What cannot be paid now (too few cells, too few
 * shards) stays a debt and ends nothing.
 */
#pragma once

#include "vault/vault.h"

struct health_debts_summary {
    uint64_t paid, owed; /* shards */
    uint64_t sent_bytes;
};

typedef void health_debts_fn(void *user, enum err e, const struct health_debts_summary *summary,
                             const struct errmsg *msg);

struct health_debts;

/* After vault_refresh(), on a vault opened for writing. */
MUST_CHECK enum err health_debts_pay(struct vault *vault, health_debts_fn *done, void *user,
                                     struct health_debts **out, struct errmsg *msg);
/* done(ERR_CANCELLED) follows. */
void health_debts_cancel(struct health_debts *debts);
