/*
 * Which snapshots a command is about: those that are named, or all that pass a filter.
 */
#pragma once

#include "vault/vault_snapshots.h"

struct vault_select {
    const char *const *snapshots; /* as vault_snapshots_pick() takes them; then the rest is not
                                     looked at, but for `host` with "latest" */
    size_t snapshot_count;
    const char *host;        /* NULL: any */
    const char *const *tags; /* "a,b": has both; one of the list is enough */
    size_t tag_count;
    const char *const *paths; /* has all of these */
    size_t path_count;
};

/* Sets chosen[i] for each of the snapshots. Errors of vault_snapshots_pick(). */
MUST_CHECK enum err vault_select(const struct vault_snapshots *snapshots,
                                 const struct vault_select *select, const struct id *device,
                                 bool *chosen, struct errmsg *msg);

/* Is it of that host (NULL: any), with tags as in struct vault_select? What all commands choose by.
 */
bool vault_select_host_and_tags(const struct snapshot *snapshot, const char *host,
                                const char *const *tags, size_t tag_count);

/* Cuts "a,b" at its commas: at most `max` texts, borrowed from it. Returns how many. */
size_t vault_select_cut(const char *text, struct slice *out, size_t max);
