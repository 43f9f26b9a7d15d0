/*
 * Forgetting snapshots: a tombstone names them, and the account's view loses them. Their data stays
 * until a prune finds that nothing needs it (removal_prune.h).
 *
 *     load (lane) ─▶ choose, group, policy (loop) ─▶ tell each group ─▶ tombstones, catalogue, head
 */
#pragma once

#include "retention/retention.h"
#include "vault/vault_select.h"

struct removal_forget_options {
    struct vault_select select;
    /* NULL: what is selected is forgotten; else what of it the policy does not keep */
    const struct retention_policy *policy;
    unsigned group_by; /* retention.h's bits */
    bool dry_run;
};
/* All options are borrowed until done. */

/* A group's snapshots, oldest first; borrowed during the call. */
struct removal_forget_group {
    const struct vault_snapshot *const *snapshots;
    const struct retention_item *items; /* of each: keep, reasons */
    size_t count;
    const struct snapshot *like; /* what all have in common is as it is in this one */
};

struct removal_forget_summary {
    uint64_t kept, removed; /* of those that were selected */
};

struct removal_forget_events {
    /* What would be done, or is about to be. Not for snapshots that are named. May be NULL. */
    void (*group)(void *user, const struct removal_forget_group *group);
    /* Each that is forgotten; before it is. May be NULL. */
    void (*removed)(void *user, const struct vault_snapshot *snapshot);
    void (*done)(void *user, enum err e, const struct removal_forget_summary *summary,
                 const struct errmsg *msg);
};

struct removal_forget;

/* After vault_refresh(), on a vault opened for writing (a dry run: for reading too). NOT_FOUND,
   USAGE: a name; DENIED: this device may not; NOT_ENOUGH: too few cells. */
MUST_CHECK enum err removal_forget_start(struct vault *vault,
                                         const struct removal_forget_options *options,
                                         const struct removal_forget_events *events, void *user,
                                         struct removal_forget **out, struct errmsg *msg);
void removal_forget_cancel(struct removal_forget *forget);
