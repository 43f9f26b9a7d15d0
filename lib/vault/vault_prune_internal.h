/*
 * The prune's parts.
 *
 *     vault_prune.c        what runs when, the condemned list
 *     vault_prune_plan.c   which segments go, which are repacked; on the lane
 *     vault_prune_acks.c   which lists may be acted on, and their delete orders; on the lane
 */
#pragma once

#include "index/index_removal.h"
#include "vault/vault_edit.h"
#include "vault/vault_prune.h"

/* Rows of segments by number. */
struct prune_numbers {
    uint64_t *list; /* owned */
    size_t count, capacity;
};

struct prune_plan {
    struct prune_numbers dead;   /* nothing in them is needed */
    struct prune_numbers repack; /* something is */
    struct prune_numbers rescue; /* condemned before, and something in them is needed now */
    unsigned level_m;            /* of the level in force, when it can be placed now; else 0 */
};

MUST_CHECK enum err prune_numbers_add(struct prune_numbers *numbers, uint64_t number);
void prune_plan_free(struct prune_plan *plan);

/* What earlier runs left behind: segments that were condemned and never published as such count
   again; what was held long enough is taken out of the index. */
MUST_CHECK enum err prune_plan_tidy(struct vault *vault, struct errmsg *msg);

/* After marking. Adds to the summary. CORRUPT: marked chunks are nowhere. */
MUST_CHECK enum err prune_plan_make(struct vault *vault, const struct vault_prune_options *options,
                                    struct prune_plan *plan, struct vault_prune_summary *summary,
                                    struct errmsg *msg);

/* Is it excluded by name? */
bool prune_is_excluded(const struct vault_prune_options *options,
                       const struct manifest_device *device);

/* Makes delete orders of every list that may be acted on. Marking must have seen everything that
   was published up to the heads in the index. */
MUST_CHECK enum err prune_acks_order(struct vault *vault, const struct vault_prune_options *options,
                                     struct vault_prune_summary *summary, struct errmsg *msg);
/* Is there a list of ours whose head too few keep? Then a head must be published again. */
MUST_CHECK enum err prune_acks_unkept(struct vault *vault, bool *out, struct errmsg *msg);
