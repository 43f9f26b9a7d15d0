/*
 * The backup's parts.
 *
 *     backup.c          start, walk, what runs when, the end
 *     backup_stream.c   in place of the walk: one file that is piped in
 *     backup_tree.c     directories: compared with their cached rows, encoded
 *     backup_rows.c     what is put into the index on the way, so that a killed run goes on
 *     backup_file.c     files: read, cut, named
 *     backup_publish.c  the snapshot
 */
#pragma once

#include "backup/backup.h"
#include "chunker/chunker.h"
#include "crypto/keyed_hash.h"
#include "fs/fs_read.h"
#include "fs/fs_walk.h"
#include "heads/heads_publish.h"
#include "index/index_cache.h"
#include "snapshot/snapshot_entry.h"
#include "transfer/transfer_writer.h"

enum {
    BACKUP_READ_BYTES = LIMIT_CHUNK_BYTES, /* of a batch of file data */
    BACKUP_READ_FILES = 128,               /* small files of one batch */
    BACKUP_SMALLS_BYTES = 1 << 20,         /* and their bytes, as the walk saw them */
    BACKUP_READ_CHUNKS = 128,
    BACKUP_READINGS_MAX = 8,
    BACKUP_WAITING_FILES = 1024, /* files not yet read: the walk waits above */
    BACKUP_DIRS_OUT = 64,        /* directories being encoded: likewise */
    BACKUP_STEPS = 3,            /* walk batches on their way */
    BACKUP_ROWS_BYTES =
        3 << 20, /* cached rows that wait for their chunks: then segments are ended */
    BACKUP_PROGRESS_MS = 100,
    BACKUP_AGAIN_MAX = 3,        /* runs that were overtaken by another device's condemned list */
    BACKUP_CHECKPOINT_MS = 2000, /* between two of them, when there is something new */
    BACKUP_MARKS = 32,           /* pieces of 4 MiB that may wait for their segments */
    BACKUP_TRIES = 3,            /* of reading a file that changes meanwhile */
};

/* A directory or a large file that goes on after a kill: written down when so much was read since
   the last time (and 16 times what writing it down costs). */
#define BACKUP_CHECKPOINT_BYTES MIB(8)

/* Above, a file that changes while it is read is not read again: virtual disks always do. */
#define BACKUP_AGAIN_BYTES GIB(1)

/* What a job needs to name chunks. */
struct backup_hasher {
    struct list link;
    struct keyed_hash *hash;
};

/* Some chunks in memory of their own; freed when the writer is done with them. */
struct backup_chunks {
    struct transfer_chunks chunks;
    struct backup *backup;
};

/* One entry of a directory, in the order of the walk. */
struct backup_slot {
    struct index_cached c; /* borrowed from the cached row, or from `owned` */
    void *owned;
    uint64_t ticket; /* its chunks are safe with this one */
    bool dropped;    /* it could not be read */
};

struct backup_dir {
    struct work_job job;
    struct list link; /* in backup->dirs */
    struct backup *backup;
    struct backup_dir *parent;
    size_t slot; /* in the parent */
    struct fs_dir *fs;
    struct fs_entry entry; /* user and group borrowed from the walk, name from `fs` */
    struct index_dir row;  /* how it was last time */
    struct index_cached next;
    bool has_row, next_ok, partial, left, changed;
    bool as_it_was;
    bool known, same;      /* it was there last time; and its own metadata is the same */
    struct slice old_node; /* its entry then; borrowed from the parent's row */
    size_t consumed, seen, pending;
    uint64_t unkept_bytes;     /* of files that were read and stand in no row yet */
    struct backup_slot *slots; /* only once it is known to have changed */
    size_t slot_capacity;
    /* of the job */
    struct backup_hasher *hasher;
    struct backup_chunks *chunks;
    struct buf node; /* its own entry, encoded */
    struct buf new_row, path;
    bool reuse_content;
    enum err e, note;
    struct errmsg msg;
};

/* Waits until all chunks up to its ticket are committed. */
struct backup_row {
    struct list link;
    struct buf path, row;
    uint64_t ticket;
    bool of_file;               /* how far a large file has come; else a directory */
    struct index_progress file; /* of_file */
};

struct backup_file {
    struct list link;
    struct backup_dir *dir;
    size_t slot;
    struct fs_entry entry; /* name owned, in the same allocation */
    bool known;            /* it was there last time */
    /* result */
    struct buf node;
    enum err e, note; /* could not be read; was read, but ... */
    struct errmsg msg;
    bool grown;     /* larger than a small file by now */
    bool gone;      /* removed while it was read */
    unsigned tries; /* how often it changed while it was read */
    char name[];
};

/* How far a large file was when it had been put up to a ticket. */
struct backup_mark {
    uint64_t ticket, cut_bytes;
    size_t refs_size;
};

/* A large file on its way, a piece at a time. */
struct backup_big {
    struct list link;
    struct backup_file *file;
    struct fs_reader reader;
    bool opened, busy, ended;
    struct buf carry; /* read and not yet cut */
    struct snapshot_list list;
    struct work_job job; /* the lookup */
    struct buf refs;     /* of what is cut; from the index at first, when a killed run left some */
    uint64_t cut_bytes;  /* what they stand for */
    uint64_t kept_bytes; /* the same in the newest row */
    uint64_t run_sum;    /* where its holes are */
    struct backup_mark marks[BACKUP_MARKS]; /* of its newest pieces, oldest first */
    size_t mark_count;
    unsigned checkpoint;          /* the backup's, at the newest row */
    struct backup_chunks *lists;  /* list chunks of this piece */
    struct backup_hasher *hasher; /* of the piece that is running */
    uint64_t streamed;            /* bytes so far, of a stream */
};

struct backup_reading {
    struct work_job job;
    struct transfer_batch batch;
    struct backup *backup;
    struct list link;
    uint8_t *bytes; /* owned, BACKUP_READ_BYTES */
    size_t used;
    struct transfer_chunk chunks[BACKUP_READ_CHUNKS];
    struct backup_hasher *hasher;
    struct backup_file *files[BACKUP_READ_FILES];
    size_t file_count;
    struct backup_big *big;
    struct backup_chunks *extra; /* metadata chunks made on the way; NULL: none */
};

/* A batch of the walk on its way through the lane. */
struct backup_step {
    struct work_job job;
    struct backup *backup;
    struct fs_batch *batch;
    struct index_dir *rows; /* owned: of the ENTER events, by the number of the event */
    bool *has;
    enum err e;
    struct errmsg msg;
};

struct backup {
    struct vault *vault;
    struct backup_options options;
    struct backup_events events;
    void *user;
    struct transfer_writer *writer; /* NULL in a dry run */
    struct fs_walk *walk;           /* NULL for a stream: then */
    struct fs_tree *stream_tree;    /* names its directories */
    struct list dirs;               /* every struct backup_dir there is */
    struct chunker *chunker;        /* owned, locked */
    uint32_t small_bytes;
    uint64_t started_ns;
    struct timer timer;
    /* walking */
    size_t steps_out;
    bool walking, walked;
    struct work_job scout_job; /* looks ahead of the walk */
    bool scouting;
    struct backup_dir *dir; /* where the walk is */
    bool rooted;            /* the root directory is done: `root` */
    struct buf root;        /* its entry */
    size_t dirs_out;
    /* reading */
    struct list files; /* to be read */
    size_t file_count, files_active;
    struct list bigs; /* those that are not busy */
    size_t big_count, lookups_out;
    struct list readings; /* free ones */
    size_t readings_made, readings_max, readings_out;
    struct list hashers;
    size_t chunks_out;
    /* rows */
    unsigned checkpoint; /* how many there were */
    uint64_t checkpoint_ms;
    bool checkpoint_due, checkpoint_begun; /* begun: waits for `metadata_out` and what is safe */
    bool metadata_out;                     /* the segment that the checkpoint has ended */
    struct list rows;
    size_t rows_bytes, rows_push_bytes; /* at so many, segments are ended */
    struct work_job row_job;
    struct list row_list; /* of the job */
    bool row_busy;
    enum err row_e;
    struct errmsg row_msg;
    /* publishing */
    struct heads_publish *publish; /* NULL in a dry run */
    bool publishing;
    struct id snapshot_id;
    /* result */
    bool ending, finished, flushed;
    unsigned again; /* runs before this one */
    struct backup_summary earlier;
    enum err e;
    struct errmsg msg;
    struct backup_summary summary;
    struct backup_progress progress;
};

/* --- backup.c --- */
void backup_fail(struct backup *b, enum err e, const struct errmsg *msg);
void backup_problem(struct backup *b, enum err e, struct fs_dir *dir, struct slice name,
                    const char *sentence);
/* A file, or the like, that is in the snapshot and was read for it. */
void backup_tell_change(struct backup *b, const struct backup_file *file);
/* Something worth knowing that is no failure: the problem callback with ERR_OK. */
void backup_note(struct backup *b, struct fs_dir *dir, struct slice name, const char *what);
void backup_pump(struct backup *b); /* starts what can be started; notices the end */
struct backup_hasher *backup_hasher_take(struct backup *b); /* NULL: failed */
void backup_hasher_return(struct backup *b, struct backup_hasher *hasher);
MUST_CHECK enum err backup_chunks_new(struct backup *b, enum index_kind kind,
                                      struct backup_chunks **out);
/* In a job: a copy of `plain` becomes a chunk of it. */
MUST_CHECK enum err backup_chunks_add(struct backup_chunks *chunks, struct keyed_hash *hash,
                                      uint8_t type, struct slice plain, struct id *out_id);
/* To the writer; takes it over. Nothing for NULL or an empty one but to free it. */
void backup_chunks_put(struct backup_chunks *chunks);

void backup_flushed(struct backup *b); /* the writer is idle: publish, once all rows are put */

/* --- backup_stream.c --- */
/* ERR_USAGE when it cannot be a path in a snapshot. */
MUST_CHECK enum err backup_stream_check(const char *path, struct errmsg *msg);
MUST_CHECK enum err backup_stream_start(struct backup *b, struct errmsg *msg);
/* In a job: as many bytes as fit; fewer only at the end. */
MUST_CHECK enum err backup_stream_fill(struct backup *b, uint8_t *out, size_t size, size_t *got,
                                       struct errmsg *msg);
MUST_CHECK enum err backup_stream_finish(struct backup_file *file,
                                         const struct snapshot_content *content, uint64_t size);

/* --- backup_tree.c --- */
void backup_tree_event(struct backup *b, const struct fs_event *event, struct index_dir *row);
/* The file's entry is there, or it is dropped. Frees the file. */
void backup_tree_file_done(struct backup_file *file);
/* What a directory's row says of its tree. */
void backup_tree_name(const struct snapshot_content *content, struct id *out);
void backup_tree_free(struct backup *b); /* what is left after a failure */
MUST_CHECK enum err backup_tree_encode(const struct fs_entry *entry,
                                       const struct fs_details *details,
                                       const struct snapshot_content *content, bool sparse,
                                       struct slice runs, const struct snapshot_ref *runs_ref,
                                       struct buf *out, enum err *note);

/* --- backup_rows.c --- */
void backup_rows_keep(struct backup_dir *d);       /* its new row, once its chunks are safe */
void backup_rows_keep_big(struct backup_big *big); /* how far it is; not while it is busy */
void backup_rows_put(struct backup *b);            /* those that are safe go into the index */
void backup_rows_committed(struct backup *b, enum index_kind kind); /* a segment is */
void backup_rows_safe(struct backup *b);                            /* more chunks are */
void backup_rows_checkpoint(struct backup *b);                      /* begins one when it is time */
void backup_rows_free(struct backup *b);
/* In the lane: how far a killed run came with this file. */
void backup_rows_find(struct backup_big *big);
/* In a job, with the file open: takes over what was found, when it is of this file. */
MUST_CHECK enum err backup_rows_resume(struct backup_big *big);

/* --- backup_file.c --- */
void backup_file_pump(struct backup *b);
void backup_file_free_all(struct backup *b);

void backup_published(struct backup *b); /* or not: b->e */

/* --- backup_doubt.c --- */
/* On the lane, in a transaction: the doubtful row keeps the entries whose chunks all count. */
MUST_CHECK enum err backup_doubt_settle(struct index *index, struct slice path,
                                        struct index_dir *row, struct errmsg *msg);

/* --- backup_publish.c --- */
MUST_CHECK enum err backup_publish_new(struct backup *b, struct errmsg *msg);
void backup_publish_note(struct backup *b, const struct transfer_writer_committed *segment);
