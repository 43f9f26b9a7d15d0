/*
 * What the parts of a restore share.
 *
 *     restore.c        the order of things, on the loop
 *     restore_plan.c   the walk and the batch, on the lane
 *     restore_fetch.c  segments: gathered on the loop, opened in the pool
 *     restore_file.c   what is written: files, links, directories; in jobs
 *     restore_meta.c   a snapshot's entry as the file system's room has it
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/idmap.h"
#include "restore/restore.h"
#include "restore/restore_names.h"
#include "transfer/transfer_record.h"
#include "transfer/transfer_tree.h"
#include "vault/vault_snapshots.h"

enum {
    RESTORE_BATCH_FIRST = 4096,   /* files, links, directories of the first batch: so many, or */
    RESTORE_BATCH_FILES = 40000,  /* twice as many chunks; each next one twice that, up to this */
    RESTORE_BATCH_USES = 100000,  /* chunks: even within a file */
    RESTORE_BATCHES = 2,          /* one is written while the next one is planned or waits */
    RESTORE_SLICE = 512,          /* steps of planning in one go; segments are looked up between */
    RESTORE_FIND = 4096,          /* chunks looked up at once */
    RESTORE_PART_BYTES = 2 << 20, /* plain bytes that one job opens */
    RESTORE_PART_USES = 512,
};
#define RESTORE_FLIGHT_BYTES   MIB(32) /* of segments on their way */
#define RESTORE_METADATA_BYTES MIB(32)
#define RESTORE_SYNC_BYTES     MIB(128) /* written, until the target is synced */

/* --- restore_meta.c --- */

struct restore_meta {
    struct fs_entry entry;
    struct fs_details details;
    char *memory; /* owned */
};

MUST_CHECK enum err restore_meta(const struct snapshot_entry *from, struct restore_meta *out);
void restore_meta_free(struct restore_meta *meta);

/* --- the batch --- */

struct restore_dir {
    struct restore_dir *parent; /* NULL: the target itself */
    struct fs_dir *fs;          /* owned; NULL while it was not made (yet) */
    bool made;                  /* by us: nothing was in it */
    bool failed;
    struct slice bytes;  /* the entry; owned, with its name in it */
    struct slice *names; /* with delete_others: of all children; owned, they point into name_text */
    struct buf name_text; /* each with its size (le16) in front */
    size_t name_count;
    bool names_known; /* no piece of the directory is missing */
};

struct restore_file {
    struct restore *restore;
    struct restore_dir *dir;
    pthread_mutex_t lock; /* of what follows */
    unsigned pieces;      /* chunks that are not written yet, and one while it is planned */
    bool failed, whole;   /* whole: one chunk is all of it */
    bool finished;
    bool maybe_there; /* a file of that name is in the target */
    struct fs_file *file;
    struct fs_run *runs; /* owned; NULL when there are no holes */
    size_t run_count;
    struct restore_source *source; /* of hard links; NULL. Borrowed */
    size_t size;                   /* of the entry */
    uint8_t bytes[];
};

/* The first name of an inode that has several. */
struct restore_source {
    struct fs_dir *fs; /* owned reference */
    struct buf name;
    bool failed;
};

struct restore_link {
    struct restore_dir *dir;
    struct restore_source *source;
    struct slice bytes; /* the entry; owned */
};

/* One chunk of one file. */
struct restore_use {
    struct id chunk;
    struct restore_file *file;
    uint64_t at;      /* offset in the file's data */
    uint64_t segment; /* its row's number; 0: not known */
    uint32_t record, offset, sealed_bytes, group_bytes, plain_bytes; /* as the index has them */
    uint8_t type;
};

struct restore_batch {
    struct list link; /* in restore->batches */
    size_t limit;     /* of files, links and directories */
    bool planned;     /* all that belongs to it is in it */
    size_t next_use;  /* the first that is not on its way */
    size_t left;      /* uses that are not done with */
    struct restore_file **files;
    struct restore_use *uses;
    struct restore_dir **closed; /* in the order in which they are to be finished */
    struct restore_link *links;
    size_t file_count, use_count, closed_count, link_count;
    size_t file_capacity, use_capacity, closed_capacity, link_capacity;
};

/* What one job works with; as many as there are threads. */
struct restore_tools {
    struct restore_tools *next;
    struct transfer_record *record; /* opens in its place */
    struct restore_names *names;
    uint8_t *plain; /* LIMIT_CHUNK_BYTES */
};

struct restore_note {
    struct restore_note *next;
    enum err e;
    bool minor; /* of metadata only */
    struct errmsg msg;
    size_t size;
    uint8_t path[];
};

struct restore {
    struct vault *vault;
    struct restore_options options;
    struct restore_events events;
    void *user;
    uint64_t started_ms;

    /* the walk, on the lane */
    struct transfer_reader *reader;
    struct transfer_tree *tree;
    struct fs_target *target;
    struct vault_snapshot snapshot; /* the one chosen */
    bool chosen, walked, target_made;
    struct buf root;      /* entry of the walk's root */
    struct buf root_path; /* how the walk calls it */
    size_t descended;     /* bytes of subpath that were followed */
    struct transfer_tree *descent;
    struct restore_dir **stack;
    size_t stack_count, stack_capacity;
    struct restore_file *current;    /* being planned */
    size_t current_uses;             /* of it in this batch */
    bool current_carried;            /* others are in the batch before */
    struct transfer_content content; /* of it */
    uint64_t content_at;
    bool content_started;
    struct idmap sources;        /* (device, inode) -> struct restore_source */
    struct restore_batch *batch; /* being planned; owned */

    /* fetching, on the loop */
    struct list batches;              /* struct restore_batch, planned, in the order of the walk */
    size_t batch_count, last_limit;   /* of them; of the last that was planned */
    uint64_t flight_bytes;            /* reserved */
    struct list flight;               /* struct restore_segment */
    struct restore_payload *payloads; /* owned; free ones, LIMIT_SEGMENT_BYTES each */
    struct timer ticker;

    /* shared with jobs */
    pthread_mutex_t lock;
    struct restore_note *notes, **notes_end;
    struct restore_tools *tools;
    atomic_uint_fast64_t files_done, bytes_done, skipped, deleted, failed, lost;
    atomic_int fatal; /* enum err: the target takes nothing more */
    struct errmsg fatal_msg;

    uint64_t fetched_bytes;
    bool cancelled, planned; /* planned: the snapshot is known */
    bool planning, ending;   /* the reader runs; a job of the end runs */
    bool over;               /* nothing more is planned: `e` says why if not because all is */
    enum err e;
    struct errmsg msg;
    struct work_job job; /* the first batch's end, or the end of all */

    struct work_lane *sync_lane; /* owned; it waits for the disk */
    struct work_job sync_job;
    bool sync_busy;
    uint64_t synced_bytes;
    enum err sync_e;
    struct errmsg sync_msg;
};

/* --- restore_plan.c --- */

/* A new one to be planned, twice as large as the one before (0: the first). NULL: no memory. */
struct restore_batch *restore_batch_new(size_t limit_before);
void restore_batch_free(struct restore_batch *batch); /* NULL does nothing */
/* A reader's step: a slice of restore->batch, which is `planned` when it is full or all was walked.
   A file that goes on in the next batch stays in restore->current and will belong to that. */
MUST_CHECK enum err restore_plan(void *restore, struct errmsg *msg);
void restore_plan_free(struct restore *restore);

/* --- restore_fetch.c; on the loop --- */

/* Begins with the batches' segments, as many as may be on their way. Calls restore_go_on()
   when something has ended. */
void restore_fetch_more(struct restore *restore);
bool restore_fetch_idle(const struct restore *restore);
void restore_fetch_cancel(struct restore *restore);
void restore_fetch_free(struct restore *restore); /* nothing is on its way */
void restore_go_on(struct restore *restore);

/* --- restore_file.c; any thread, but one a file or directory where not said otherwise --- */

MUST_CHECK enum err restore_make_dir(struct restore *restore, struct restore_dir *dir,
                                     struct errmsg *msg);
/* A symbolic link, a FIFO, a device, at once. False: it failed, and that was told. */
bool restore_make_other(struct restore *restore, struct restore_dir *dir,
                        const struct snapshot_entry *entry);
/* Several threads. The chunk's bytes are here. */
void restore_write(struct restore_file *file, const struct restore_use *use, struct slice plain);
/* Several threads. A chunk of it cannot be had. */
void restore_fail(struct restore_file *file, enum err e, const char *sentence);
/* Several threads. One piece less to wait for. */
void restore_release(struct restore_file *file);
/* On the lane: the target has the whole content already (size, mtime and every chunk), and its
   metadata was set. Never for files with holes. `uses` are all of its chunks. */
bool restore_is_there(const struct restore_file *file, const struct restore_use *uses,
                      size_t count);
/* Verification of the batch's files; its links and directories. */
void restore_batch_end(struct restore *restore, struct restore_batch *batch);
void restore_dir_free(struct restore_dir *dir);
void restore_file_free(struct restore_file *file);

/* Any thread. `name` may be empty. */
void restore_note(struct restore *restore, const struct restore_dir *dir, struct slice name,
                  enum err e, const char *sentence);
/* ... of a path that is at hand. */
void restore_note_path(struct restore *restore, struct slice path, enum err e,
                       const char *sentence);

/* The target's on_note. */
void restore_on_note(void *restore, enum err e, const char *sentence);

MUST_CHECK struct restore_tools *restore_tools_take(struct restore *restore);
void restore_tools_give(struct restore *restore, struct restore_tools *tools);
void restore_tools_free(struct restore *restore);
