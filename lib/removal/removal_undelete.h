/*
 * Bringing back what was forgotten and deleted, as far as cells still hold it: with the recovery
 * phrase, so that whoever has a device's keys cannot be the last to speak.
 *
 *     what is forgotten and condemned (lane) ─▶ root-signed undelete order, to everybody
 *     ─▶ which segments are there still (asked of the cells) ─▶ lift, head
 *
 * A lift voids the tombstones and condemned lists for every device of the account; what of them is
 * not to come back (other snapshots, segments that are gone) is named anew.
 */
#pragma once

#include "vault/vault_phrase.h"
#include "vault/vault_select.h"

struct removal_undelete_options {
    const struct vault_root *root; /* borrowed until done */
    /* Which of the forgotten snapshots; none named and no filter: all that can be had whole. One
       that was replaced by another with other tags comes back only when it is named. */
    struct vault_select select;
};

struct removal_undelete_summary {
    uint64_t snapshots;      /* that are back */
    uint64_t snapshots_gone; /* that were asked for, and of which something is deleted for good */
    uint64_t segments, segments_gone;
    uint64_t orders_answered, orders_waiting;
};

struct removal_undelete_events {
    void (*returned)(void *user, const struct id *snapshot); /* may be NULL */
    void (*done)(void *user, enum err e, const struct removal_undelete_summary *summary,
                 const struct errmsg *msg);
};

struct removal_undelete;

/* After vault_refresh(), on a vault opened for writing. NOT_FOUND: a snapshot that is named is not
   a forgotten one. NOT_ENOUGH: too few cells. */
MUST_CHECK enum err removal_undelete_start(struct vault *vault,
                                           const struct removal_undelete_options *options,
                                           const struct removal_undelete_events *events, void *user,
                                           struct removal_undelete **out, struct errmsg *msg);
void removal_undelete_cancel(struct removal_undelete *undelete);
