#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/fs_internal.h"

/* What chattr can set on the file systems that there are; not what describes the layout (extents,
   index) nor what cannot be had by setting it (encrypted, verity). */
static const uint32_t settable_flags = FS_SECRM_FL | FS_UNRM_FL | FS_COMPR_FL | FS_SYNC_FL |
                                       FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL |
                                       FS_NOATIME_FL | FS_JOURNAL_DATA_FL | FS_NOTAIL_FL |
                                       FS_DIRSYNC_FL | FS_TOPDIR_FL | FS_NOCOW_FL;

enum { NAMES_MAX = 65536, DETAILS_MAX = 1 << 27 };

const char *fs_inode_text(struct fs_inode inode, char out[FS_INODE_TEXT_SIZE])
{
    (void)snprintf(out, FS_INODE_TEXT_SIZE, "/proc/self/fd/%d", inode.fd);
    return out;
}

static bool nothing_there(int number)
{
    return number == ENOTSUP || number == ENOSYS || number == ENOENT || number == ENODATA;
}

int fs_inode_xattr_names(struct fs_inode inode, struct buf *out)
{
    char text[FS_INODE_TEXT_SIZE];
    for (size_t room = 1024; room <= NAMES_MAX; room *= 8) {
        if (buf_reserve(out, room) != ERR_OK)
            return ENOMEM;
        char *to = (char *)out->data + out->size;
        ssize_t got = inode.path_only ? listxattr(fs_inode_text(inode, text), to, room)
                                      : flistxattr(inode.fd, to, room);
        if (got >= 0) {
            out->size += (size_t)got;
            return 0;
        }
        if (errno != ERANGE)
            return nothing_there(errno) ? 0 : errno;
    }
    return E2BIG;
}

bool fs_inode_flags(int fd, uint32_t *out)
{
    int flags = 0; /* an int, whatever the header says */
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0)
        return false;
    *out = (uint32_t)flags & settable_flags;
    return true;
}

uint32_t fs_inode_flags_settable(void)
{
    return settable_flags;
}

/* One attribute's value, appended. -1: it is not there any more. */
static int append_value(struct fs_inode inode, const char *name, struct buf *out)
{
    char text[FS_INODE_TEXT_SIZE];
    for (size_t room = 256; room <= FS_XATTR_VALUE_MAX; room *= 16) {
        if (buf_reserve(out, room) != ERR_OK)
            return ENOMEM;
        uint8_t *to = out->data + out->size;
        ssize_t got = inode.path_only ? getxattr(fs_inode_text(inode, text), name, to, room)
                                      : fgetxattr(inode.fd, name, to, room);
        if (got >= 0) {
            out->size += (size_t)got;
            return 0;
        }
        if (errno != ERANGE)
            return nothing_there(errno) ? -1 : errno;
    }
    return E2BIG;
}

static int compare_xattrs(const void *left, const void *right)
{
    return strcmp(((const struct fs_xattr *)left)->name, ((const struct fs_xattr *)right)->name);
}

/* `memory` holds the names, then the values in their order; pointers are made when it has stopped
   growing. */
static int read_xattrs(struct fs_inode inode, struct buf *memory, struct fs_details *out)
{
    size_t first = memory->size;
    int problem = fs_inode_xattr_names(inode, memory);
    size_t end = memory->size, count = 0;
    for (size_t at = first; at < end; at++)
        count += memory->data[at] == 0;
    if (problem || count == 0)
        return problem;
    if (count > FS_XATTRS_MAX)
        return E2BIG;
    struct fs_xattr *xattrs = calloc(count, sizeof(*xattrs));
    size_t *names = calloc(count, sizeof(*names)), kept = 0;
    if (!xattrs || !names)
        problem = ENOMEM;
    for (size_t at = first; at < end && !problem;) {
        size_t start = memory->size;
        /* a copy: `memory` moves when it grows */
        char name[XATTR_NAME_MAX + 1];
        size_t name_size = strlen((const char *)memory->data + at) + 1;
        (void)snprintf(name, sizeof(name), "%s", (const char *)memory->data + at);
        problem = append_value(inode, name, memory);
        if (problem == 0) {
            names[kept] = at;
            xattrs[kept++].value.size = memory->size - start;
        } else if (problem == -1) {
            problem = 0;
        }
        at += name_size;
    }
    size_t value_at = end;
    for (size_t i = 0; i < kept && !problem; i++) {
        xattrs[i].name = (const char *)memory->data + names[i];
        xattrs[i].value.data = memory->data + value_at;
        value_at += xattrs[i].value.size;
    }
    free(names);
    if (problem || kept == 0) {
        free(xattrs);
        return problem;
    }
    qsort(xattrs, kept, sizeof(*xattrs), compare_xattrs);
    out->xattrs = xattrs;
    out->xattr_count = kept;
    return 0;
}

static int read_target(int fd, struct buf *memory, size_t *size)
{
    for (size_t room = 256; room <= FS_LINK_TARGET_MAX + 1; room *= 16) {
        if (buf_reserve(memory, room) != ERR_OK)
            return ENOMEM;
        ssize_t got = readlinkat(fd, "", (char *)memory->data + memory->size, room);
        if (got < 0)
            return errno;
        if ((size_t)got < room) {
            *size = (size_t)got;
            memory->size += (size_t)got;
            return 0;
        }
    }
    return ENAMETOOLONG;
}

static int read_all(struct fs_inode inode, enum fs_type type, struct fs_details *out)
{
    struct buf memory = BUF_INIT(DETAILS_MAX);
    *out = FS_DETAILS_INIT;
    size_t target_size = 0;
    int problem = 0;
    if (type == FS_SYMLINK)
        problem = read_target(inode.fd, &memory, &target_size);
    if (!problem)
        problem = read_xattrs(inode, &memory, out);
    if (problem) {
        buf_free(&memory);
        return problem;
    }
    if (!inode.path_only && (type == FS_FILE || type == FS_DIRECTORY))
        (void)fs_inode_flags(inode.fd, &out->inode_flags);
    out->target = slice_of(memory.data, target_size);
    out->memory = memory.data;
    if (memory.size == 0) {
        buf_free(&memory);
        out->memory = NULL;
        out->target = slice_of(NULL, 0);
    }
    return 0;
}

static enum err say(int problem, struct fs_dir *dir, struct slice name, struct errmsg *msg)
{
    char text[FS_PATH_TEXT_SIZE];
    if (problem == 0)
        return ERR_OK;
    if (problem == ENOMEM)
        return err_say(msg, ERR_NOMEM, "out of memory");
    (void)fs_dir_path_text(dir, name, text);
    if (problem == E2BIG)
        return err_say(msg, ERR_TOO_LARGE, "%s has more extended attributes than can be kept",
                       text);
    if (problem == ESTALE || problem == ELOOP || problem == ENXIO)
        return err_say(msg, ERR_STALE, "%s became something else meanwhile", text);
    return err_say_errno(msg, problem, "cannot read the attributes of %s", text);
}

/* Opens what `entry` says, as far as details need it. */
static int open_inode(int dir_fd, const struct fs_entry *entry, struct fs_inode *out)
{
    const char *name = (const char *)entry->name.data;
    if (entry->type == FS_FILE) {
        out->fd = fs_entry_open(dir_fd, name, O_RDONLY);
        out->path_only = false;
    }
    if (entry->type != FS_FILE || (out->fd < 0 && errno == EACCES)) {
        out->fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        out->path_only = true;
    }
    if (out->fd < 0)
        return errno;
    struct statx st;
    struct fs_entry now = {0};
    int problem = statx(out->fd, "", AT_EMPTY_PATH, STATX_TYPE, &st) == 0 ? 0 : errno;
    if (!problem) {
        fs_entry_from_statx(&st, &now);
        problem = now.type == entry->type ? 0 : ESTALE;
    }
    if (problem)
        close(out->fd);
    return problem;
}

enum err fs_details_read(struct fs_dir *dir, const struct fs_entry *entry, struct fs_details *out,
                         struct errmsg *msg)
{
    int dir_fd;
    *out = FS_DETAILS_INIT;
    enum err e = fs_dir_pin(dir, &dir_fd, msg);
    if (e != ERR_OK)
        return e;
    struct fs_inode inode = {.fd = dir_fd};
    int problem = 0;
    if (entry->type == FS_DIRECTORY) {
        inode.path_only = (fcntl(dir_fd, F_GETFL) & O_PATH) != 0;
        problem = read_all(inode, FS_DIRECTORY, out);
    } else {
        problem = open_inode(dir_fd, entry, &inode);
        if (!problem) {
            problem = read_all(inode, entry->type, out);
            close(inode.fd);
        }
    }
    struct slice name = entry->type == FS_DIRECTORY ? slice_of(NULL, 0) : entry->name;
    e = say(problem, dir, name, msg);
    fs_dir_unpin(dir);
    return e;
}

enum err fs_reader_details(struct fs_reader *reader, struct fs_details *out, struct errmsg *msg)
{
    struct fs_inode inode = {.fd = reader->fd};
    return say(read_all(inode, FS_FILE, out), reader->dir, reader->entry.name, msg);
}

void fs_details_free(struct fs_details *details)
{
    free(details->xattrs);
    free(details->memory);
    *details = FS_DETAILS_INIT;
}
