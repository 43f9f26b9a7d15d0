/*
 * Backup: a snapshot of some paths.
 *
 *     walk ─▶ same as last time? ─▶ read, cut, name ─▶ known? ─▶ pack, seal ─▶ segment ─▶ cells
 *     (pool)   cached directories     (pool)           (lane)     (pool)      (pool)
 *                                                                                │ receipts
 *     head ◀─ catalogue ◀─ snapshot ◀─ index objects ◀─ directories, bottom up ◀─ committed (lane)
 *
 * The loop holds the state and does none of the work. All stages are bounded (batches of 4 MiB, two
 * data segments), so memory does not grow with the data.
 *
 * It may be killed at any instruction: what is committed is found again by the next run (chunks by
 * their names, directories by their cached rows), and nothing refers to what is not. Below k +
 * ceil(m/2) receipts of a segment it ends with ERR_NOT_ENOUGH and no snapshot.
 */
#pragma once

#include "fs/fs_exclude.h"
#include "vault/vault.h"

/* One file that is piped in. `read` and `stop` may run in different threads at once. */
struct backup_stream {
    const char *path; /* in the snapshot, absolute: "/db.sql" */
    /* In a work job; may block. *got is 0 at the end only, and then the backup goes on: whether the
       source ended well must be known by then. An error fails the backup: no snapshot. */
    enum err (*read)(void *user, void *out, size_t size, size_t *got, struct errmsg *msg);
    /* On the loop: the backup has failed, or was cancelled; read() is to return soon. */
    void (*stop)(void *user);
    void *user;
};

struct backup_options {
    const char *const *paths;
    size_t path_count;
    const struct backup_stream *stream; /* in place of paths; may be NULL. In a dry run it is
                                                 not read */
    const char *const *tags;
    size_t tag_count;
    const char *host;                 /* NULL: this machine's name */
    const char *program;              /* "cellctl 0.1.0" */
    const struct fs_exclude *exclude; /* borrowed until done; may be NULL */
    const char *const *exclude_texts; /* the patterns, for the snapshot's record */
    size_t exclude_text_count;
    const char *const *exclude_if_present; /* as fs_walk.h has them */
    size_t exclude_if_present_count;
    bool exclude_caches, one_file_system;
    bool ignore_ctime, ignore_inode; /* when looking for changes */
    int64_t time_ns;                 /* of the snapshot; 0: now */
    bool accept_risk; /* commits with k shards of each segment, not k + ceil(m/2): no cell may be
                         lost until the debts are paid */
    bool dry_run;     /* walks, compares and counts; reads and sends nothing */
    unsigned k, m;    /* 0: vault_level() */
};
/* All options are borrowed until done. */

struct backup_progress {
    uint64_t files_done, bytes_done; /* looked at and finished with, unchanged ones included */
    uint64_t bytes_sent;             /* shards that are receipted */
    bool walked; /* all names are known: files_total and bytes_total are right */
    uint64_t files_total, bytes_total;
};

struct backup_summary {
    uint64_t files_new, files_changed, files_unmodified;
    uint64_t dirs_new, dirs_changed, dirs_unmodified;
    uint64_t data_blobs, tree_blobs;        /* chunks that were new */
    uint64_t data_added, data_added_packed; /* their bytes: plain; packed and sealed */
    uint64_t bytes_changed;                 /* of files that are new or changed, as they are */
    uint64_t bytes_sent;                    /* shards, parity included */
    uint64_t total_files_processed, total_bytes_processed;
    uint64_t total_duration_ms;
    uint64_t problems; /* what could not be read, or changed meanwhile: exit code 3 */
    uint64_t debts;    /* shards that are owed */
    uint32_t cells_used;
    int32_t margin_min;    /* of the segments of this run; INT32_MAX when nothing was sent */
    struct id snapshot_id; /* zero in a dry run */
    unsigned k, m;
    bool below_level; /* too few households are awake for the level that was chosen: k and m are
                         what could be had */
};

/* Something that is no directory and was not as it is now in the snapshot before. */
struct backup_change {
    struct slice path; /* borrowed */
    bool known;        /* it was there, with another content or other metadata; else it is new */
    bool is_file;      /* else a symbolic link, a FIFO, a device */
    uint64_t size;     /* bytes; of a file */
};

struct backup_events {
    /* A path that could not be read, or not as it should be; or (e is ERR_OK) something to know of
       it that is no failure: a socket is left out, a file that changed was read again. `path` has a
       NUL behind it. */
    void (*problem)(void *user, enum err e, struct slice path, const char *sentence);
    /* Each, once it was read (in a dry run: once it was found). May be NULL. */
    void (*change)(void *user, const struct backup_change *change);
    /* About ten times a second. May be NULL. */
    void (*progress)(void *user, const struct backup_progress *progress);
    /* Once, last. `summary` is there with errors too. */
    void (*done)(void *user, enum err e, const struct backup_summary *summary,
                 const struct errmsg *msg);
};

struct backup;

/* After vault_refresh(), on a vault opened for writing. One at a time. NOT_FOUND, DENIED: a path
   cannot be looked at; USAGE: the stream's path is none; NOT_ENOUGH: too few cells for k + m;
   NOMEM; STATE. */
MUST_CHECK enum err backup_start(struct vault *vault, const struct backup_options *options,
                                 const struct backup_events *events, void *user,
                                 struct backup **out, struct errmsg *msg);

/* done(ERR_CANCELLED) follows, when what is under way has ended. */
void backup_cancel(struct backup *backup);
