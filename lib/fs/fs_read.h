/*
 * Reading what the walk found: contents, and the details that one statx() does not tell.
 *
 * A file is opened without following links and without waiting; then it is asked again what it is.
 * If it is no regular file any more, ERR_STALE; if it is another file of that name by now, `entry`
 * says so and the new one is read. After reading, fs_reader_finish() tells whether it stood still
 * meanwhile. The source's atimes are left alone where the system lets us (O_NOATIME: the owner and
 * root).
 *
 * Thread-safe per reader. Errors: NOT_FOUND (it has vanished), DENIED, STALE, IO, NOMEM.
 */
#pragma once

#include "fs/fs_dir.h"

/* A run of data between holes. Runs are in order and do not touch. */
struct fs_run {
    uint64_t offset, size;
};

enum { FS_RUNS_MAX = 65536 }; /* of more, those closest together are joined */

/* Owned: fs_details_free(). */
struct fs_details {
    struct fs_xattr *xattrs; /* sorted by name */
    size_t xattr_count;
    struct slice target;  /* of a symbolic link */
    uint32_t inode_flags; /* FS_IOC_GETFLAGS, those that can be set again */
    void *memory;         /* private */
};

#define FS_DETAILS_INIT ((struct fs_details){0})

/* For any type; opens regular files and directories only. `dir` is where it lies; for a directory
   it is the directory itself, as in FS_EVENT_ENTER. A file system without attributes or flags has
   none: no error. STALE when it is of another type by now; TOO_LARGE for more attributes than are
   kept (FS_XATTRS_MAX). */
MUST_CHECK enum err fs_details_read(struct fs_dir *dir, const struct fs_entry *entry,
                                    struct fs_details *out, struct errmsg *msg);
void fs_details_free(struct fs_details *details);

struct fs_reader {
    struct fs_entry entry; /* as it was when opened; name, user and group borrowed from the given
                              one (user, group "" when the owner is another by now) */
    bool gone;             /* after fs_reader_finish(): it has no name any more */
    int fd;                /* private from here on */
    struct fs_dir *dir;    /* borrowed */
    bool shrunk;
    uint64_t at;         /* offset of the next sequential read */
    struct fs_run *runs; /* owned */
    size_t run_count, run_at;
    bool runs_known;
};

MUST_CHECK enum err fs_reader_open(struct fs_reader *reader, struct fs_dir *dir,
                                   const struct fs_entry *entry, struct errmsg *msg);

/* Details through the open descriptor: cheaper than fs_details_read(). */
MUST_CHECK enum err fs_reader_details(struct fs_reader *reader, struct fs_details *out,
                                      struct errmsg *msg);

/* The data runs of the file: *count is 1 with the whole size when it has no holes, 0 when it is
   empty or all hole; *out is not NULL even then. Borrowed from the reader. */
MUST_CHECK enum err fs_reader_runs(struct fs_reader *reader, const struct fs_run **out,
                                   size_t *count, struct errmsg *msg);

/* The next bytes of the data runs in order, holes passed over; as many as fit, so *got is less than
   `size` only at the end, and 0 only when all has been read. Never reads beyond the size at
   opening. A file that became shorter meanwhile reads as zeros there, so that what is read has the
   size that `entry` says; fs_reader_finish() tells. */
MUST_CHECK enum err fs_reader_next(struct fs_reader *reader, void *out, size_t size, size_t *got,
                                   struct errmsg *msg);

/* Goes on behind the next `bytes` bytes of data, as if they had been read. After
   fs_reader_runs(). */
void fs_reader_skip(struct fs_reader *reader, uint64_t bytes);

/* Starts over at the first byte. */
void fs_reader_rewind(struct fs_reader *reader);

/* *changed: size, mtime or ctime are not what they were at opening, or it shrank; then `msg` says
   what. That it was removed meanwhile is no change of what was read: see `gone`. */
MUST_CHECK enum err fs_reader_finish(struct fs_reader *reader, bool *changed, struct errmsg *msg);
void fs_reader_close(struct fs_reader *reader);

/* Tells the kernel to fetch the beginning of a file that will be read soon. Errors do not matter.
 */
void fs_read_ahead(struct fs_dir *dir, const struct fs_entry *entry, uint64_t size_max);
