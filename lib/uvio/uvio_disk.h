/*
 * The disk port on POSIX: everything below one root directory, which is held open, so that a
 * renamed or re-mounted root does not change what is meant. Any thread may use it (the port asks
 * for work jobs); it needs no loop.
 *
 *     struct disk *disk;
 *     e = uvio_disk_open("/srv/cellar", UVIO_DISK_CREATE, &disk, &msg);
 *     e = disk_open(disk, "shards/ab/x", DISK_READ, &file, &msg);
 *     uvio_disk_close(disk);
 *
 * Paths are resolved with openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS) where the kernel has it,
 * else component by component without following symbolic links: nothing below the root can lead out
 * of it. New files are 0600, new directories 0700. fsync() is fsync(); EINTR is never shown; a
 * failed one is reported once and the caller goes read-only (see port/disk.h). DISK_UNCACHED: what
 * is aligned goes around the page cache with O_DIRECT where the file system has it; of the rest the
 * kernel is asked to drop the pages behind a read and at the close (posix_fadvise: DONTNEED), so
 * that neither a scrub nor other people's shards push the working set out of memory.
 */
#pragma once

#include "port/disk.h"

enum uvio_disk_flags {
    UVIO_DISK_CREATE = 1, /* make the root directory (0700, one level) when it is missing */
};

/* `root` may be relative to the working directory. Errors: NOT_FOUND, DENIED, NOMEM, IO, USAGE (no
 * directory). */
MUST_CHECK enum err uvio_disk_open(const char *root, unsigned flags, struct disk **out,
                                   struct errmsg *msg);

/* All its files must be closed. NULL does nothing. */
void uvio_disk_close(struct disk *disk);
