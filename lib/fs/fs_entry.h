/*
 * What stands in a directory: one name with everything that a backup keeps of it.
 *
 * The entry proper is what one statx() tells; what costs more system calls (extended attributes, a
 * link's target, inode flags) is in struct fs_details (fs/fs_read.h) and is fetched for what
 * changed only.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

enum fs_type {
    FS_FILE = 1,
    FS_DIRECTORY = 2,
    FS_SYMLINK = 3,
    FS_FIFO = 4,
    FS_SOCKET = 5, /* seen and said, never stored */
    FS_BLOCK_DEVICE = 6,
    FS_CHARACTER_DEVICE = 7,
};

/* Since 1970-01-01 UTC; `ns` is 0..999999999 also before it. */
struct fs_time {
    int64_t s;
    uint32_t ns;
};

struct fs_entry {
    struct slice name; /* any bytes but NUL and '/'; a NUL stands behind it; borrowed */
    enum fs_type type;
    uint32_t mode; /* permission bits with setuid, setgid and sticky: 07777 */
    uint32_t uid, gid;
    const char *user,
        *group;    /* names of uid and gid, "" when they have none; borrowed from the source */
    uint64_t size; /* of a file's content, or a symbolic link's target */
    struct fs_time mtime, atime, ctime;
    uint64_t device, inode;          /* where it lies: the identity of hard links */
    uint32_t links;                  /* hard links of it; 1 for directories here */
    uint32_t rdev_major, rdev_minor; /* of a device */
    bool sparse;                     /* has fewer blocks than its size asks for: holes are likely */
};

struct fs_xattr {
    const char *name;   /* "user.x", "security.capability", "system.posix_acl_access", ... */
    struct slice value; /* raw bytes */
};

/* At most this much of one inode is kept; Linux itself allows 64 KiB for a value and for the list.
 */
enum { FS_XATTRS_MAX = 1024, FS_XATTR_VALUE_MAX = 65536, FS_LINK_TARGET_MAX = 65535 };

static inline bool fs_time_equal(struct fs_time a, struct fs_time b)
{
    return a.s == b.s && a.ns == b.ns;
}

/* "file", "dir", "symlink", "fifo", "socket", "dev", "chardev": restic's words, for --json. */
const char *fs_type_name(enum fs_type type);

/* True for a name that may be created in a directory: not empty, not "." or "..", no '/', no NUL,
   at most 255 bytes (more than any Linux file system takes). */
bool fs_name_allowed(struct slice name);
