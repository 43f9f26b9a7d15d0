/*
 * The account's repairs that the coordinator has in its queue: the owner's device takes them first,
 * since it runs anyway and its own data is at stake; what it leaves is done by any cell, after a
 * delay.
 *
 *     ticket ─▶ k shards, whole ─▶ the missing ones, to the ticket's targets ─▶ report ─▶ index
 *
 * One segment at a time, at most HEALTH_REPAIRS_MAX of them; memory: k + m shards.
 */
#pragma once

#include "vault/vault.h"

enum { HEALTH_REPAIRS_MAX = 256 };

struct health_repairs_summary {
    uint64_t segments, shards; /* made anew */
    uint64_t moved_bytes;      /* fetched and sent */
};

/* ERR_OK also when the coordinator is away, or has nothing, or a repair does not come about:
   nothing is worse than before. Other errors are the index's. */
typedef void health_repairs_fn(void *user, enum err e, const struct health_repairs_summary *summary,
                               const struct errmsg *msg);

struct health_repairs;

/* After vault_refresh(), on a vault opened for writing. */
MUST_CHECK enum err health_repairs_take(struct vault *vault, health_repairs_fn *done, void *user,
                                        struct health_repairs **out, struct errmsg *msg);
/* done(ERR_CANCELLED) follows. */
void health_repairs_cancel(struct health_repairs *repairs);
