#include "uvio/uvio_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

/* `struct disk` first, so that the port's pointer is ours. */
struct posix_disk {
    struct disk disk;
    int root;   /* open directory */
    char *name; /* of the root, for sentences; owned */
};

struct posix_file {
    struct disk_file file;
    int fd;
    bool uncached;
    bool no_direct;          /* the file system refuses O_DIRECT */
    bool direct;             /* O_DIRECT is set now */
    bool paged;              /* some of it went through the page cache */
    struct posix_disk *disk; /* borrowed */
    char path[];             /* for sentences */
};

static struct posix_file *file_of(struct disk_file *file)
{
    return (struct posix_file *)file;
}

static enum err say(const struct posix_disk *d, struct errmsg *msg, int number, const char *what,
                    const char *path)
{
    return err_say_errno(msg, number, "cannot %s %s%s%s", what, d->name, path[0] ? "/" : "", path);
}

/* --- paths that cannot lead out of the root */

/* Old kernels: every component is opened without following links. */
static int open_by_components(int root, const char *path, int flags, mode_t mode)
{
    int at = root;
    for (;;) {
        size_t length = strcspn(path, "/");
        char name[NAME_MAX + 1];
        if (length == 0 || length > NAME_MAX || (length == 2 && path[0] == '.' && path[1] == '.')) {
            errno = length > NAME_MAX ? ENAMETOOLONG : EINVAL;
            length = 0;
        } else {
            memcpy(name, path, length);
            name[length] = 0;
        }
        bool last = path[length] == 0;
        int next = length == 0 ? -1
                   : last      ? openat(at, name, flags | O_NOFOLLOW, mode)
                               : openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int number = errno;
        if (at != root)
            (void)close(at);
        errno = number;
        if (next < 0 || last)
            return next;
        at = next;
        path += length + 1;
    }
}

static int open_beneath(const struct posix_disk *d, const char *path, int flags, mode_t mode)
{
    struct open_how how = {.flags = (unsigned)flags | O_CLOEXEC,
                           .mode = flags & O_CREAT ? mode : 0,
                           .resolve =
                               RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    if (path[0] == 0)
        path = ".";
    long fd;
    do {
        fd = syscall(SYS_openat2, d->root, path, &how, sizeof(how));
    } while (fd < 0 && (errno == EINTR || errno == EAGAIN));
    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        return open_by_components(d->root, path, flags | O_CLOEXEC, mode);
    return (int)fd;
}

/* Opens the directory that holds `path`'s last component, which *name points to. */
static int open_parent(const struct posix_disk *d, const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    if (**name == 0 || strcmp(*name, "..") == 0 || strcmp(*name, ".") == 0) {
        errno = EINVAL;
        return -1;
    }
    if (!slash)
        return open_beneath(d, "", O_PATH | O_DIRECTORY, 0);
    char parent[PATH_MAX];
    size_t length = (size_t)(slash - path);
    if (length >= sizeof(parent)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(parent, path, length);
    parent[length] = 0;
    return open_beneath(d, parent, O_PATH | O_DIRECTORY, 0);
}

static void close_quietly(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}

/* --- files */

static const struct disk_ops posix_ops;

static enum err posix_open(void *context, const char *path, unsigned flags, struct disk_file **out,
                           struct errmsg *msg)
{
    struct posix_disk *d = context;
    struct posix_file *f = malloc(sizeof(*f) + strlen(path) + 1);
    if (!f)
        return err_say(msg, ERR_NOMEM, "out of memory");
    bool write = (flags & DISK_WRITE) != 0;
    int how = write ? O_RDWR : O_RDONLY;
    if (flags & DISK_CREATE)
        how |= O_CREAT | (flags & DISK_EXCLUSIVE ? O_EXCL : 0);
    *f = (struct posix_file){.file = {&posix_ops}, .disk = d};
    (void)strcpy(f->path, path);
    f->uncached = (flags & DISK_UNCACHED) != 0;
    f->fd = open_beneath(d, path, how, 0600);
    if (f->fd < 0) {
        int number = errno;
        free(f);
        return say(d, msg, number, flags & DISK_CREATE ? "create" : "open", path);
    }
    *out = &f->file;
    return ERR_OK;
}

static void posix_close(struct disk_file *file)
{
    struct posix_file *f = file_of(file);
    if (f->uncached && f->paged)
        (void)posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
    (void)close(f->fd);
    free(f);
}

/* Makes the file's O_DIRECT what this piece allows. */
static void choose_path(struct posix_file *f, uint64_t offset, const void *memory, size_t size)
{
    if (!f->uncached)
        return;
    const bool direct =
        !f->no_direct && (offset | (uintptr_t)memory | size) % DISK_UNCACHED_ALIGN == 0;
    if (direct != f->direct) {
        f->no_direct |= fcntl(f->fd, F_SETFL, direct ? O_DIRECT : 0) != 0;
        f->direct = direct && !f->no_direct;
    }
    if (!f->direct && !f->paged) {
        (void)posix_fadvise(f->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
        f->paged = true;
    }
}

/* Some file systems take the flag and refuse the call: then once more without. */
static bool may_repeat(struct posix_file *f, int number)
{
    if (number != EINVAL || !f->direct)
        return number == EINTR;
    f->no_direct = true;
    return true;
}

static enum err posix_read_at(struct disk_file *file, uint64_t offset, void *out, size_t size,
                              size_t *got, struct errmsg *msg)
{
    struct posix_file *f = file_of(file);
    *got = 0;
    while (*got < size) {
        choose_path(f, offset + *got, (uint8_t *)out + *got, size - *got);
        ssize_t n = pread(f->fd, (uint8_t *)out + *got, size - *got, (off_t)(offset + *got));
        if (n < 0 && may_repeat(f, errno))
            continue;
        if (n < 0)
            return say(f->disk, msg, errno, "read", f->path);
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    if (f->uncached && !f->direct)
        (void)posix_fadvise(f->fd, (off_t)offset, (off_t)*got, POSIX_FADV_DONTNEED);
    return ERR_OK;
}

static enum err posix_write_at(struct disk_file *file, uint64_t offset, const void *data,
                               size_t size, struct errmsg *msg)
{
    struct posix_file *f = file_of(file);
    const uint8_t *at = data;
    while (size > 0) {
        choose_path(f, offset, at, size);
        ssize_t n = pwrite(f->fd, at, size, (off_t)offset);
        if (n < 0 && may_repeat(f, errno))
            continue;
        if (n <= 0)
            return say(f->disk, msg, n < 0 ? errno : EIO, "write", f->path);
        at += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return ERR_OK;
}

static enum err posix_allocate(struct disk_file *file, uint64_t size, struct errmsg *msg)
{
    struct posix_file *f = file_of(file);
    int result;
    if (size == 0)
        return ERR_OK;
    do {
        result = fallocate(f->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size);
    } while (result != 0 && errno == EINTR);
    if (result != 0 && errno != EOPNOTSUPP && errno != ENOSYS) /* then writes will tell */
        return say(f->disk, msg, errno, "reserve space for", f->path);
    return ERR_OK;
}

static enum err posix_truncate(struct disk_file *file, uint64_t size, struct errmsg *msg)
{
    struct posix_file *f = file_of(file);
    int result;
    do {
        result = ftruncate(f->fd, (off_t)size);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? ERR_OK : say(f->disk, msg, errno, "truncate", f->path);
}

/* Never repeated, not even after EINTR: a second fsync may say "done" about pages that were lost.
 */
static enum err posix_sync(struct disk_file *file, struct errmsg *msg)
{
    struct posix_file *f = file_of(file);
    return fsync(f->fd) == 0 ? ERR_OK : say(f->disk, msg, errno, "sync", f->path);
}

static enum err posix_size(struct disk_file *file, uint64_t *out, struct errmsg *msg)
{
    struct posix_file *f = file_of(file);
    struct stat st;
    if (fstat(f->fd, &st) != 0)
        return say(f->disk, msg, errno, "look at", f->path);
    *out = (uint64_t)st.st_size;
    return ERR_OK;
}

/* --- names */

static enum err posix_rename(void *context, const char *from, const char *to, struct errmsg *msg)
{
    struct posix_disk *d = context;
    const char *from_name, *to_name;
    int from_dir = open_parent(d, from, &from_name);
    int to_dir = from_dir < 0 ? -1 : open_parent(d, to, &to_name);
    enum err e = ERR_OK;
    if (to_dir < 0 || renameat(from_dir, from_name, to_dir, to_name) != 0)
        e = err_say_errno(msg, errno, "cannot rename %s/%s to %s", d->name, from, to);
    close_quietly(from_dir);
    close_quietly(to_dir);
    return e;
}

static enum err posix_remove(void *context, const char *path, struct errmsg *msg)
{
    struct posix_disk *d = context;
    const char *name;
    int dir = open_parent(d, path, &name);
    enum err e = ERR_OK;
    if (dir < 0 || (unlinkat(dir, name, 0) != 0 && ((errno != EISDIR && errno != EPERM) ||
                                                    unlinkat(dir, name, AT_REMOVEDIR) != 0)))
        e = say(d, msg, errno, "remove", path);
    close_quietly(dir);
    return e;
}

static bool is_directory_at(int dir, const char *name)
{
    struct stat st;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static enum err posix_make_dir(void *context, const char *path, struct errmsg *msg)
{
    struct posix_disk *d = context;
    const char *name;
    int dir = open_parent(d, path, &name);
    int number = dir < 0 || mkdirat(dir, name, 0700) != 0 ? errno : 0;
    if (number == EEXIST && is_directory_at(dir, name))
        number = 0;
    close_quietly(dir);
    return number == 0 ? ERR_OK : say(d, msg, number, "make the directory", path);
}

static enum err posix_sync_dir(void *context, const char *path, struct errmsg *msg)
{
    struct posix_disk *d = context;
    int fd = open_beneath(d, path, O_RDONLY | O_DIRECTORY, 0);
    enum err e = ERR_OK;
    if (fd < 0 || fsync(fd) != 0)
        e = say(d, msg, errno, "sync the directory", path);
    close_quietly(fd);
    return e;
}

static bool entry_is_directory(int fd, const struct dirent *entry)
{
    struct stat st;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static enum err posix_list(void *context, const char *path, disk_list_fn *each, void *user,
                           struct errmsg *msg)
{
    struct posix_disk *d = context;
    int fd = open_beneath(d, path, O_RDONLY | O_DIRECTORY, 0);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int number = errno;
        close_quietly(fd);
        return say(d, msg, number, "list", path);
    }
    enum err e = ERR_OK;
    struct dirent *entry;
    errno = 0;
    while (e == ERR_OK && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            e = each(user, entry->d_name, entry_is_directory(fd, entry));
        errno = 0;
    }
    if (e == ERR_OK && errno != 0)
        e = say(d, msg, errno, "list", path);
    (void)closedir(dir);
    return e;
}

static enum err posix_info(void *context, const char *path, struct disk_info *out,
                           struct errmsg *msg)
{
    struct posix_disk *d = context;
    struct stat st;
    int fd = open_beneath(d, path, O_PATH | O_NOFOLLOW, 0);
    enum err e = ERR_OK;
    if (fd < 0 || fstat(fd, &st) != 0)
        e = say(d, msg, errno, "look at", path);
    else
        *out = (struct disk_info){.size_bytes = (uint64_t)st.st_size,
                                  .is_directory = S_ISDIR(st.st_mode)};
    close_quietly(fd);
    return e;
}

static enum err posix_space(void *context, struct disk_space *out, struct errmsg *msg)
{
    struct posix_disk *d = context;
    struct statvfs vfs;
    if (fstatvfs(d->root, &vfs) != 0)
        return say(d, msg, errno, "ask the space of", "");
    out->total_bytes = (uint64_t)vfs.f_blocks * vfs.f_frsize;
    out->free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
    return ERR_OK;
}

static const struct disk_ops posix_ops = {
    .open = posix_open,
    .close = posix_close,
    .read_at = posix_read_at,
    .write_at = posix_write_at,
    .allocate = posix_allocate,
    .truncate = posix_truncate,
    .sync = posix_sync,
    .size = posix_size,
    .rename = posix_rename,
    .remove = posix_remove,
    .make_dir = posix_make_dir,
    .sync_dir = posix_sync_dir,
    .list = posix_list,
    .info = posix_info,
    .space = posix_space,
};

enum err uvio_disk_open(const char *root, unsigned flags, struct disk **out, struct errmsg *msg)
{
    struct posix_disk *d = calloc(1, sizeof(*d));
    if (!d)
        return err_say(msg, ERR_NOMEM, "out of memory");
    enum err e;
    d->disk = (struct disk){&posix_ops, d};
    d->name = strdup(root);
    d->root = -1;
    if (!d->name) {
        e = err_say(msg, ERR_NOMEM, "out of memory");
        goto free_disk;
    }
    if ((flags & UVIO_DISK_CREATE) && mkdir(root, 0700) != 0 && errno != EEXIST) {
        e = say(d, msg, errno, "make the directory", "");
        goto free_disk;
    }
    d->root = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->root < 0) {
        e = errno == ENOTDIR ? err_say(msg, ERR_USAGE, "%s is not a directory", root)
                             : say(d, msg, errno, "open", "");
        goto free_disk;
    }
    *out = &d->disk;
    return ERR_OK;

free_disk:
    uvio_disk_close(&d->disk);
    return e;
}

void uvio_disk_close(struct disk *disk)
{
    if (!disk)
        return;
    struct posix_disk *d = disk->context;
    close_quietly(d->root);
    free(d->name);
    free(d);
}
