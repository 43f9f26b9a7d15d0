/*
 * What is different between two snapshots: both trees are walked side by side, in the order of
 * names. A directory that is the same in both (the same nodes) is not entered, so two snapshots of
 * a large tree cost what has changed between them.
 *
 * Modifiers are restic's: + added, - removed, T another type, M another content, ? another content
 * although nothing else has changed (which bad memory or a bad disk does), U other metadata alone.
 */
#pragma once

#include "vault/vault.h"

struct browse_diff_side { /* what is in one and not in the other */
    uint64_t files, dirs, others;
    uint64_t data_blobs, tree_blobs, bytes; /* pieces, and their bytes */
};

struct browse_diff_summary {
    struct id old_snapshot, new_snapshot;
    uint64_t changed_files;
    struct browse_diff_side added, removed;
    /* False when a list of pieces cannot be had, or the file in the vault's directory that many
       pieces need (browse_ids.h; it has no name): `blobs_why` says it, and data_blobs, tree_blobs
       and bytes are 0 and mean nothing. Directories that are the same in both are not looked into:
       a new piece that is in one of them counts as new. */
    bool blobs_known;
    struct errmsg blobs_why;
};

struct browse_diff_options {
    const char *old_snapshot, *new_snapshot; /* as vault_snapshots_pick() takes them */
    const char *host;                        /* of "latest"; may be NULL */
    bool metadata;                           /* tell U too */
    /* Both on the vault's lane. `path` ends in '/' for a directory; borrowed. Another result than
       ERR_OK ends it with that. */
    enum err (*change)(void *user, const char *modifier, struct slice path);
    /* A piece of a directory that cannot be had, and so was not compared. */
    void (*problem)(void *user, struct slice path, enum err e, const char *sentence);
    /* On the loop, once, last; `summary` is there with errors too. */
    void (*done)(void *user, enum err e, const struct browse_diff_summary *summary,
                 const struct errmsg *msg);
    void *user;
};

struct browse_diff;

/* After vault_connect(). All is borrowed until done. NOT_FOUND, USAGE: the snapshots. */
MUST_CHECK enum err browse_diff_start(struct vault *vault,
                                      const struct browse_diff_options *options,
                                      struct browse_diff **out, struct errmsg *msg);
void browse_diff_cancel(struct browse_diff *diff);
