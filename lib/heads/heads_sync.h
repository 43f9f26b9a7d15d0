/*
 * Catching up with the account: the newest manifest, and what its other devices have backed up.
 *
 *     heads and manifest from all who keep them ─▶ the manifest, when it is newer
 *     ─▶ of each device the newest head that holds ─▶ is it a fork? ─▶ documents about removal, of
 *     all of them ─▶ their indexes into ours
 *
 * A device without `read` learns the manifest only. Nobody waits for anybody: each device has a
 * chain of heads of its own, and the account's view is their union.
 */
#pragma once

#include "identity/manifest.h"
#include "vault/vault.h"

struct heads_sync_summary {
    uint32_t devices;                     /* other ones whose heads are known */
    uint64_t snapshots, segments, chunks; /* that were new to us */
    uint64_t condemned; /* segments that counted before, and are on a condemned list by now */
    uint64_t problems;  /* pieces that could not be had: the next run asks again */
    uint32_t forks;     /* devices whose chain has forked */
    uint32_t unread;    /* devices whose newest head leads to pieces that could not be had; */
    uint32_t unread_slots[MANIFEST_DEVICES_MAX]; /* theirs: what they need is not known */
    bool manifest_changed;
};

struct heads_sync_events {
    /* Something could not be had, or is not as it should be (a fork). May be NULL. */
    void (*problem)(void *user, enum err e, const char *sentence);
    void (*done)(void *user, enum err e, const struct heads_sync_summary *summary,
                 const struct errmsg *msg);
};

/* After vault_refresh(), on a vault that may write (vault_may_write). DENIED: this device was
   revoked, or is none of the account's. UNREACHABLE: nobody answers; all is as it was. */
MUST_CHECK enum err heads_sync_start(struct vault *vault, const struct heads_sync_events *events,
                                     void *user, struct errmsg *msg);

/* Can there be other devices: is there more than this one in the manifest? */
bool heads_sync_is_needed(const struct vault *vault);
