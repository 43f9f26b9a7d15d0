/*
 * The walk over what is to be backed up: every directory's names in byte order, depth first, each
 * directory's own entry before its children and a LEAVE after them. Symbolic links are never
 * followed.
 *
 * The roots are absolute paths; their parents are walked too, holding nothing but what leads to a
 * root, so that the result is one tree from "/" on: the first event is ENTER of "/" itself, whose
 * entry has an empty name. Exclude patterns are asked about roots and what is below them, never
 * about their parents.
 *
 *     fs_walk_open(&options, &walk, msg);
 *     do {
 *         e = fs_walk_next(walk, &batch, msg);        // in a work job: a few hundred events
 *         for (i = 0; i < batch->count; i++) ... batch->events[i] ...
 *         last = batch->last;
 *         fs_batch_free(batch);
 *     } while (e == ERR_OK && !last);
 *
 * One thread at a time calls fs_walk_next(); batches may be used and freed by others meanwhile, and
 * other threads may look ahead for it with fs_walk_scout().
 * What cannot be read is a PROBLEM event and not an error: an error ends the walk (NOMEM only).
 *
 * Speed: names are read by getdents64() 64 KiB at a time, looked at by statx() in the order of
 * their inode numbers (on a cold disk this is the order of the disk), and sorted by name
 * afterwards. A directory of many names costs memory for its names; only 8192 of its entries are
 * looked at ahead, and 65536 of all open directories together. Most of the time is the kernel's, in
 * statx(): two threads walk twice as fast.
 */
#pragma once

#include "fs/fs_dir.h"
#include "fs/fs_exclude.h"

struct fs_walk_options {
    const char *const
        *roots; /* absolute or relative to the working directory; existing. With a slash at
                   its end a symbolic link is followed, else it is itself the root. */
    size_t root_count;
    const struct fs_exclude *exclude; /* borrowed; may be NULL */
    const char *const
        *exclude_if_present; /* "NAME" or "NAME:HEADER": contents of a directory that holds
                                NAME (beginning with HEADER) are left out, NAME is kept */
    size_t exclude_if_present_count;
    bool exclude_caches;  /* the same with CACHEDIR.TAG and its standard header */
    bool one_file_system; /* mount points (of directories) below a root are kept, empty */
    bool no_names;        /* leave user and group names empty */
};

enum fs_event_kind {
    FS_EVENT_ENTER,   /* a directory: `entry` is its own, `dir` is itself */
    FS_EVENT_ENTRY,   /* anything else: `dir` is where it lies */
    FS_EVENT_LEAVE,   /* all that is in `dir` was delivered */
    FS_EVENT_PROBLEM, /* `error`, `problem`: something of `dir` (named in `entry.name`, or itself
                         when that is empty) could not be read. A directory whose names could not be
                         read gets ENTER, PROBLEM, LEAVE. */
};

struct fs_event {
    enum fs_event_kind kind;
    struct fs_dir *dir; /* borrowed from the batch; fs_dir_ref() to keep it */
    struct fs_entry entry;
    bool partial; /* ENTER: a parent of the roots; its other children were not asked for */
    enum err error;
    const char *problem; /* a sentence */
};

struct fs_batch {
    struct fs_event *events;
    size_t count;
    bool last;         /* the walk is over */
    uint64_t excluded; /* names left out by the options in this batch */
};

struct fs_walk;

/* NOT_FOUND, DENIED when a root cannot be looked at; the sentence says which. */
MUST_CHECK enum err fs_walk_open(const struct fs_walk_options *options, struct fs_walk **out,
                                 struct errmsg *msg);

/* At most some 1024 events. */
MUST_CHECK enum err fs_walk_next(struct fs_walk *walk, struct fs_batch **out, struct errmsg *msg);
void fs_batch_free(struct fs_batch *batch); /* NULL does nothing */

/* Looks at directories that fs_walk_next() will come to, until some 2048 names are ready for it or
   there is nothing to look at for now; from any number of threads, also while it runs. Whether
   there was anything to do. */
bool fs_walk_scout(struct fs_walk *walk);

/* The roots as absolute paths, sorted, without those that lie in another; borrowed. */
size_t fs_walk_roots(const struct fs_walk *walk, const char *const **out);

/* Entries' user and group names are borrowed from the walk: free it after the last of them.
   Directories that were referenced stay usable until fs_walk_close(). NULL does nothing. */
void fs_walk_close(struct fs_walk *walk);
