/*
 * The disk under a store: synchronous calls, made inside work jobs only (never on the loop thread).
 *
 * Paths are NUL-terminated bytes below the port's root directory ("shards/ab/…"), relative, without
 * "..". Durability is what fsync makes of it: the simulator may lose whatever was written and not
 * synced, file contents and directory entries apart. A failed sync is never retried by callers (see
 * store/).
 *
 * Errors: NOT_FOUND, EXISTS, FULL, DENIED, READ_ONLY, NOMEM, IO; `msg` says which path and why.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

struct disk_file; /* owned by whoever opened it, until disk_close */

enum disk_open_flags {
    DISK_READ = 1,
    DISK_WRITE = 2,
    DISK_CREATE = 4,    /* create when missing */
    DISK_EXCLUSIVE = 8, /* with CREATE: ERR_EXISTS when it is there */
    DISK_UNCACHED = 16, /* what is read and written need not stay in the page cache: below */
};

/* Of a file opened with DISK_UNCACHED, reads and writes whose offset, size and address are
   multiples of this may go around the page cache (O_DIRECT), which saves a copy and the pages. All
   others work as ever. */
enum { DISK_UNCACHED_ALIGN = 4096 };

struct disk_space {
    uint64_t total_bytes;
    uint64_t free_bytes; /* for us, not for root */
};

struct disk_info {
    uint64_t size_bytes;
    bool is_directory;
};

/* Return ERR_OK to go on; anything else ends the listing and is returned. */
typedef enum err disk_list_fn(void *user, const char *name, bool is_directory);

struct disk_ops {
    enum err (*open)(void *context, const char *path, unsigned flags, struct disk_file **out,
                     struct errmsg *msg);
    void (*close)(struct disk_file *file);
    enum err (*read_at)(struct disk_file *file, uint64_t offset, void *out, size_t size,
                        size_t *got, struct errmsg *msg);
    enum err (*write_at)(struct disk_file *file, uint64_t offset, const void *data, size_t size,
                         struct errmsg *msg);
    enum err (*allocate)(struct disk_file *file, uint64_t size, struct errmsg *msg);
    enum err (*truncate)(struct disk_file *file, uint64_t size, struct errmsg *msg);
    enum err (*sync)(struct disk_file *file, struct errmsg *msg);
    enum err (*size)(struct disk_file *file, uint64_t *out, struct errmsg *msg);
    enum err (*rename)(void *context, const char *from, const char *to, struct errmsg *msg);
    enum err (*remove)(void *context, const char *path, struct errmsg *msg);
    enum err (*make_dir)(void *context, const char *path, struct errmsg *msg);
    enum err (*sync_dir)(void *context, const char *path, struct errmsg *msg);
    enum err (*list)(void *context, const char *path, disk_list_fn *each, void *user,
                     struct errmsg *msg);
    enum err (*info)(void *context, const char *path, struct disk_info *out, struct errmsg *msg);
    enum err (*space)(void *context, struct disk_space *out, struct errmsg *msg);
};

struct disk {
    const struct disk_ops *ops;
    void *context;
};

struct disk_file {
    const struct disk_ops *ops; /* set by the port's open(); the rest of the struct is the port's */
};

MUST_CHECK static inline enum err disk_open(const struct disk *d, const char *path, unsigned flags,
                                            struct disk_file **out, struct errmsg *msg)
{
    return d->ops->open(d->context, path, flags, out, msg);
}

/* NULL does nothing. Closing syncs nothing. */
static inline void disk_close(struct disk_file *file)
{
    if (file)
        file->ops->close(file);
}

/* Reads up to `size` bytes; *got < size only at the end of the file. */
MUST_CHECK static inline enum err disk_read_at(struct disk_file *file, uint64_t offset, void *out,
                                               size_t size, size_t *got, struct errmsg *msg)
{
    return file->ops->read_at(file, offset, out, size, got, msg);
}

/* Writes all of it or fails. */
MUST_CHECK static inline enum err disk_write_at(struct disk_file *file, uint64_t offset,
                                                const void *data, size_t size, struct errmsg *msg)
{
    return file->ops->write_at(file, offset, data, size, msg);
}

/* Reserves the blocks of 0..size-1 (fallocate), so that later writes cannot run out of space. */
MUST_CHECK static inline enum err disk_allocate(struct disk_file *file, uint64_t size,
                                                struct errmsg *msg)
{
    return file->ops->allocate(file, size, msg);
}

MUST_CHECK static inline enum err disk_truncate(struct disk_file *file, uint64_t size,
                                                struct errmsg *msg)
{
    return file->ops->truncate(file, size, msg);
}

MUST_CHECK static inline enum err disk_sync(struct disk_file *file, struct errmsg *msg)
{
    return file->ops->sync(file, msg);
}

MUST_CHECK static inline enum err disk_size(struct disk_file *file, uint64_t *out,
                                            struct errmsg *msg)
{
    return file->ops->size(file, out, msg);
}

/* Atomic; replaces `to`. */
MUST_CHECK static inline enum err disk_rename(const struct disk *d, const char *from,
                                              const char *to, struct errmsg *msg)
{
    return d->ops->rename(d->context, from, to, msg);
}

/* A file or an empty directory. */
MUST_CHECK static inline enum err disk_remove(const struct disk *d, const char *path,
                                              struct errmsg *msg)
{
    return d->ops->remove(d->context, path, msg);
}

/* ERR_OK also when it is there already. */
MUST_CHECK static inline enum err disk_make_dir(const struct disk *d, const char *path,
                                                struct errmsg *msg)
{
    return d->ops->make_dir(d->context, path, msg);
}

/* Makes the entries of `path` ("" is the root) durable. */
MUST_CHECK static inline enum err disk_sync_dir(const struct disk *d, const char *path,
                                                struct errmsg *msg)
{
    return d->ops->sync_dir(d->context, path, msg);
}

/* In no particular order; without "." and "..". */
MUST_CHECK static inline enum err disk_list(const struct disk *d, const char *path,
                                            disk_list_fn *each, void *user, struct errmsg *msg)
{
    return d->ops->list(d->context, path, each, user, msg);
}

MUST_CHECK static inline enum err disk_info(const struct disk *d, const char *path,
                                            struct disk_info *out, struct errmsg *msg)
{
    return d->ops->info(d->context, path, out, msg);
}

MUST_CHECK static inline enum err disk_space(const struct disk *d, struct disk_space *out,
                                             struct errmsg *msg)
{
    return d->ops->space(d->context, out, msg);
}
