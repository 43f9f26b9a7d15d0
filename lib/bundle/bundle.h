/*
 * One stream that holds many files: tar (pax headers) or zip, written by libarchive.
 *
 *     bundle_new(BUNDLE_TAR, write, my, &bundle, msg);
 *     bundle_entry(bundle, &entry, msg);         // for each
 *       bundle_bytes(bundle, bytes, msg) ...     // exactly entry.size of them, for regular files
 *     bundle_finish(bundle, msg);
 *     bundle_free(bundle);
 *
 * tar keeps what a backup keeps: names of any bytes and length, sizes beyond 8 GiB, times to the
 * nanosecond, owners by number and name, hard links, devices, FIFOs, holes (GNU sparse 1.0),
 * attributes as SCHILY.xattr.*, ACLs as SCHILY.acl.*. GNU tar gets all of it back with --xattrs
 * --xattrs-include='*' --acls. A name that is not UTF-8 is stored as it is, with hdrcharset=BINARY
 * (which GNU tar mentions and heeds). zip keeps names, modes, times, files, directories and
 * symbolic links.
 *
 * One thread at a time; needs a UTF-8 LC_CTYPE in the process (libarchive converts names by it).
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

#include <sys/types.h>

struct bundle;

enum bundle_format { BUNDLE_TAR, BUNDLE_ZIP };

/* Takes the next bytes of the stream; another result than ERR_OK ends it. May block. */
typedef enum err bundle_write_fn(void *user, struct slice bytes);

struct bundle_xattr {
    const char *name;
    struct slice value;
};

struct bundle_run {
    uint64_t offset, size; /* of data in a file with holes */
};

/* All borrowed during the call. */
struct bundle_entry {
    const char *path; /* relative */
    mode_t mode;      /* with its type: S_IFREG, S_IFDIR, ... */
    uint32_t uid, gid;
    const char *user, *group; /* NULL or "": none */
    uint64_t size;            /* of a regular file that is no link */
    int64_t mtime_s;
    uint32_t mtime_ns;
    const char *link; /* a symbolic link's target; or, for anything else, the path of an earlier
                         entry that is the same file */
    uint32_t rdev_major, rdev_minor;
    const struct bundle_xattr *xattrs; /* system.posix_acl_* become ACLs */
    size_t xattr_count;
    const struct bundle_run *runs; /* NULL: no holes */
    size_t run_count;
};

MUST_CHECK enum err bundle_new(enum bundle_format format, bundle_write_fn *write, void *user,
                               struct bundle **out, struct errmsg *msg);
void bundle_free(struct bundle *bundle); /* NULL does nothing; what was not finished is cut off */

/* UNSUPPORTED: the format has no such thing (a device in a zip); nothing was written, and the next
   entry may follow. Otherwise what write() said. */
MUST_CHECK enum err bundle_entry(struct bundle *bundle, const struct bundle_entry *entry,
                                 struct errmsg *msg);
/* Holes are bytes too: zeros. */
MUST_CHECK enum err bundle_bytes(struct bundle *bundle, struct slice bytes, struct errmsg *msg);
MUST_CHECK enum err bundle_finish(struct bundle *bundle, struct errmsg *msg);

/* --- bundle_acl.c --- */

/* One entry of the kernel's encoding of an ACL (the value of system.posix_acl_access). */
struct bundle_acl {
    uint16_t tag;  /* 1 owner, 2 user, 4 owning group, 8 group, 16 mask, 32 others */
    uint16_t perm; /* 4 read, 2 write, 1 execute */
    uint32_t id;   /* of a user or group */
};

/* *count entries into `out` (room for `max`). FORMAT, VERSION, TOO_LARGE. */
MUST_CHECK enum err bundle_acl_decode(struct slice value, struct bundle_acl *out, size_t max,
                                      size_t *count);
