/*
 * Directories looked at ahead of the walk, by any number of threads. What a directory needs before
 * the walk can go through it (its names, sorted and without those that are left out, and what the
 * first of them are) is a scan; scans wait in one queue in the order of the walk:
 *
 *     WANTED ──▶ RUNNING ──▶ READY: its own directories take its place in the queue
 *                                   └─ the walk enters it: fs_scan_get(), fs_scan_free()
 *
 * A scout takes the first that is wanted, so that what the walk comes to next is always the first
 * to be looked at; the walk itself does the same when it comes to one that is not ready.
 *
 * Memory: scouts stop at FS_SCAN_AHEAD names that are ready and not entered (a directory is scanned
 * whole, so each scout may go beyond it by one).
 */
#pragma once

#include <pthread.h>

#include "base/list.h"
#include "fs/fs_exclude.h"
#include "fs/fs_internal.h"

enum {
    FS_SCAN_AHEAD = 2048,
    FS_SCAN_WINDOW = 1024, /* names of a directory that are looked at with its scan */
    FS_SCAN_NAME_MAX = 255,
};

/* A name that marks a directory's contents as not wanted. */
struct fs_scan_marker {
    char *name;   /* owned */
    char *header; /* owned; "" for any */
};

/* What is left out; the same for all of a walk, borrowed by its queue. */
struct fs_scan_rules {
    struct fs_scan_marker *markers;
    size_t marker_count;
    const struct fs_exclude *exclude; /* may be NULL */
    bool one_file_system;
};

/* A name that was looked at. */
struct fs_scan_name {
    struct fs_entry entry; /* name, user and group are not set */
    int problem;           /* errno; ESTALE: its directory is gone */
    struct fs_scan *scan;  /* owned; of a directory; NULL of anything else */
};

enum fs_scan_state { FS_SCAN_WANTED, FS_SCAN_RUNNING, FS_SCAN_READY };

struct fs_scan {
    struct list link;         /* private: in the queue until it is ready */
    enum fs_scan_state state; /* private */
    struct fs_dir *dir;       /* a reference */
    uint64_t root_device;     /* of the root that it lies below */
    bool closed;              /* on another file system that is not wanted: without names */
    size_t ahead;             /* private: names that count in the queue */
    /* from READY on */
    struct fs_list names;
    struct fs_scan_name *window; /* owned; the first of `names` */
    size_t window_count;
    uint64_t excluded; /* names that were left out */
    enum err e;        /* NOMEM: nothing else counts */
    enum err error;    /* it could not be read (whole), ... */
    char *problem;     /* ... and why; owned */
};

struct fs_scan_queue {
    const struct fs_scan_rules *rules;
    pthread_mutex_t lock;
    pthread_cond_t ready;
    struct list scans; /* in the order of the walk */
    size_t ahead;      /* names that are ready and not entered */
};

void fs_scan_queue_init(struct fs_scan_queue *queue, const struct fs_scan_rules *rules);
void fs_scan_queue_destroy(struct fs_scan_queue *queue); /* without scans in it */

/* Takes over the reference to `dir` in any case. NULL: out of memory. */
struct fs_scan *fs_scan_new(const struct fs_scan_rules *rules, struct fs_dir *dir, uint64_t device,
                            uint64_t root_device);
/* With all below it. NULL does nothing. */
void fs_scan_free(struct fs_scan_queue *queue, struct fs_scan *scan);

/* Those of `names` that are directories go to the front of the queue. */
void fs_scan_want(struct fs_scan_queue *queue, struct fs_scan_name *names, size_t count);

/* Returns with the scan READY and counted as entered; scans itself, or helps while another does. */
void fs_scan_get(struct fs_scan_queue *queue, struct fs_scan *scan);

/* Scans the first that is wanted. False: nothing is, or enough is ready. */
bool fs_scan_first(struct fs_scan_queue *queue);

/* Looks at names[first, first + count) in the order of their inodes. ERR_NOMEM. */
MUST_CHECK enum err fs_scan_look(const struct fs_scan_rules *rules, struct fs_dir *dir,
                                 uint64_t root_device, const struct fs_list *names, size_t first,
                                 size_t count, struct fs_scan_name *out);
