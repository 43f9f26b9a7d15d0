/*
 * The prune's parts.
 *
 *     removal_prune.c        what runs when, the condemned list
 *     removal_prune_plan.c   which segments go, which are repacked; on the lane
 *     removal_prune_acks.c   which lists may be acted on, and their delete orders; on the lane
 *     removal_waits.c        who has seen a list, and who has not
 */
#pragma once

#include "heads/heads_edit.h"
#include "identity/head.h"
#include "index/index_removal.h"
#include "removal/removal_prune.h"
#include "removal/removal_waits.h"

/* Rows of segments by number. */
struct removal_prune_numbers {
    uint64_t *list; /* owned */
    size_t count, capacity;
};

struct removal_prune_plan {
    struct removal_prune_numbers dead;   /* nothing in them is needed */
    struct removal_prune_numbers repack; /* something is */
    struct removal_prune_numbers rescue; /* condemned before, and something in them is needed now */
    unsigned level_m; /* of the level in force, when it can be placed now; else 0 */
};

MUST_CHECK enum err removal_prune_numbers_add(struct removal_prune_numbers *numbers,
                                              uint64_t number);
void removal_prune_plan_free(struct removal_prune_plan *plan);

/* What earlier runs left behind: segments that were condemned and never published as such count
   again; what was held long enough is taken out of the index. */
MUST_CHECK enum err removal_prune_plan_tidy(struct vault *vault, struct errmsg *msg);

/* After marking. Adds to the summary. CORRUPT: marked chunks are nowhere. */
MUST_CHECK enum err removal_prune_plan_make(struct vault *vault,
                                            const struct removal_prune_options *options,
                                            struct removal_prune_plan *plan,
                                            struct removal_prune_summary *summary,
                                            struct errmsg *msg);

/* Is it excluded by name? */
bool removal_prune_is_excluded(const struct removal_prune_options *options,
                               const struct manifest_device *device);

/* Makes delete orders of every list that may be acted on. Marking must have seen everything that
   was published up to the heads in the index. */
MUST_CHECK enum err removal_prune_acks_order(struct vault *vault,
                                             const struct removal_prune_options *options,
                                             struct removal_prune_summary *summary,
                                             struct errmsg *msg);
/* Is there a list of ours whose head too few keep? Then a head must be published again. */
MUST_CHECK enum err removal_prune_acks_unkept(struct vault *vault, bool *out, struct errmsg *msg);

/* Must this device have seen a list of `list_slot` before it is acted on? */
bool removal_waits_needed(const struct vault *vault, const struct manifest_device *device,
                          uint32_t list_slot);
/* Its newest head, as far as the index knows; NOT_FOUND. */
MUST_CHECK enum err removal_waits_head(const struct vault *vault,
                                       const struct manifest_device *device, struct head *head,
                                       struct errmsg *msg);
/* Does the head name head `sequence` of `slot`, or a later one? */
bool removal_waits_seen(const struct head *head, uint32_t slot, uint64_t sequence);
/* Has every unrevoked device that reads what others publish seen head `sequence` of ours, whoever
   else is not waited for? Of one that publishes nothing itself that cannot be known. */
MUST_CHECK enum err removal_waits_all_seen(const struct vault *vault, uint64_t sequence, bool *out,
                                           struct errmsg *msg);
/* How many segments of a list are still condemned. */
MUST_CHECK enum err removal_waits_named(const struct vault *vault,
                                        const struct index_record *record, uint64_t *out,
                                        struct errmsg *msg);
/* Sequence of our newest head that rests with enough; 0: none. */
MUST_CHECK enum err removal_waits_kept(const struct vault *vault, uint64_t *out,
                                       struct errmsg *msg);
/* Who signed it; NULL: nobody whom the manifest knows. */
const struct manifest_device *removal_waits_signer(const struct vault *vault,
                                                   const struct index_record *record);
