#include "fs/fs_entry.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/sysmacros.h>

#include "fs/fs_internal.h"

const char *fs_type_name(enum fs_type type)
{
    switch (type) {
    case FS_FILE:
        return "file";
    case FS_DIRECTORY:
        return "dir";
    case FS_SYMLINK:
        return "symlink";
    case FS_FIFO:
        return "fifo";
    case FS_SOCKET:
        return "socket";
    case FS_BLOCK_DEVICE:
        return "dev";
    case FS_CHARACTER_DEVICE:
        return "chardev";
    }
    return "unknown";
}

bool fs_name_allowed(struct slice name)
{
    if (name.size == 0 || name.size > 255)
        return false;
    if (name.data[0] == '.' && (name.size == 1 || (name.size == 2 && name.data[1] == '.')))
        return false;
    return !memchr(name.data, '/', name.size) && !memchr(name.data, 0, name.size);
}

static enum fs_type type_of(unsigned mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return FS_DIRECTORY;
    case S_IFLNK:
        return FS_SYMLINK;
    case S_IFIFO:
        return FS_FIFO;
    case S_IFSOCK:
        return FS_SOCKET;
    case S_IFBLK:
        return FS_BLOCK_DEVICE;
    case S_IFCHR:
        return FS_CHARACTER_DEVICE;
    default:
        return FS_FILE;
    }
}

static struct fs_time time_of(struct statx_timestamp t)
{
    return (struct fs_time){.s = t.tv_sec, .ns = t.tv_nsec};
}

void fs_entry_from_statx(const struct statx *st, struct fs_entry *out)
{
    out->type = type_of(st->stx_mode);
    out->mode = st->stx_mode & 07777;
    out->uid = st->stx_uid;
    out->gid = st->stx_gid;
    bool sized = out->type == FS_FILE || out->type == FS_SYMLINK;
    out->size = sized ? st->stx_size : 0;
    out->mtime = time_of(st->stx_mtime);
    out->atime = time_of(st->stx_atime);
    out->ctime = time_of(st->stx_ctime);
    out->device = makedev(st->stx_dev_major, st->stx_dev_minor);
    out->inode = st->stx_ino;
    out->links = out->type == FS_DIRECTORY ? 1 : st->stx_nlink;
    out->rdev_major = st->stx_rdev_major;
    out->rdev_minor = st->stx_rdev_minor;
    /* st_blocks counts 512 bytes whatever the file system's block is */
    out->sparse = out->type == FS_FILE && st->stx_blocks < st->stx_size / 512;
}

int fs_entry_open(int dir_fd, const char *name, int flags)
{
    flags |= O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
    int fd = openat(dir_fd, name, flags | O_NOATIME);
    if (fd < 0 && errno == EPERM) /* only its owner may ask for O_NOATIME */
        fd = openat(dir_fd, name, flags);
    return fd;
}
