/*
 * Restore: a snapshot, or a part of it, below a directory.
 *
 *     snapshot ─▶ tree ─▶ a batch of files ─▶ sorted by segment ─▶ each segment once, from the
 *     (lane, metadata as a whole)   (lane)                          cells that answer first
 *                                                                     │ (loop)
 *     directories' metadata ◀─ hard links ◀─ files, whole or in pieces ◀─ opened, unpacked (pool)
 *
 * A batch is 4,096 files, each next one twice as many up to 40,000, and it is planned while the one
 * before is written. So memory is flat (two segments of at most 16 MiB on their way, 32 MiB of
 * metadata, some 300 bytes a file of two batches) and no segment is fetched twice but where two
 * batches meet. What cannot be had, or cannot be written, is told by `problem`
 * path by path, and the rest is restored. A full disk ends it.
 */
#pragma once

#include "fs/fs_exclude.h"
#include "fs/fs_target.h"
#include "vault/vault.h"

struct restore_options {
    const char *snapshot; /* as vault_snapshots_pick() takes it */
    const char *subpath;  /* absolute; what is below it comes straight below `target`. NULL: all */
    const char *host;     /* of "latest"; may be NULL */
    const char *target;
    const struct fs_exclude *include, *exclude; /* paths in the snapshot; may be NULL */
    enum fs_overwrite overwrite;
    bool delete_others; /* with neither include nor exclude */
    bool verify;        /* reads each file again and compares its chunks' names */
    bool dry_run, numeric_owners;
    unsigned sample_percent; /* only so many of the files, by lot; 0: all */
    uint64_t sample_seed;    /* which ones */
};
/* All borrowed until done. */

struct restore_progress {
    uint64_t files_done, bytes_done;
    uint64_t files_total, bytes_total; /* of the whole snapshot */
};

struct restore_summary {
    struct id snapshot;
    uint64_t files_restored; /* everything but directories */
    uint64_t files_skipped;  /* left as they were, by `overwrite` */
    uint64_t files_deleted;
    uint64_t files_failed; /* of them files_lost because too few shards could be had */
    uint64_t files_lost;
    uint64_t bytes_restored;
    uint64_t bytes_fetched;
    uint64_t total_duration_ms;
};

struct restore_events {
    /* Something of the snapshot that is not there now as it was; or (e is ERR_OK) a piece of its
       metadata that could not be set, which is no failure. */
    void (*problem)(void *user, enum err e, struct slice path, const char *sentence);
    /* About ten times a second. May be NULL. */
    void (*progress)(void *user, const struct restore_progress *progress);
    /* Once, last. `summary` is there with errors too. ERR_OK also when files failed. */
    void (*done)(void *user, enum err e, const struct restore_summary *summary,
                 const struct errmsg *msg);
};

struct restore;

/* After vault_connect(); a member list must be there. Errors that come by done(): NOT_FOUND, USAGE
   (the snapshot, the subpath); NOT_ENOUGH (not even the tree's root can be had); FULL, DENIED, …
   (the target). */
MUST_CHECK enum err restore_start(struct vault *vault, const struct restore_options *options,
                                  const struct restore_events *events, void *user,
                                  struct restore **out, struct errmsg *msg);
/* done(ERR_CANCELLED) follows. Whole files stay, half ones go. */
void restore_cancel(struct restore *restore);
