#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/fs_target_internal.h"

enum {
    OPEN_FILES_MAX = 128,
    LARGE_BYTES = 32 << 20,  /* from here on a file's pages are not left to the cache */
    BEHIND_BYTES = 16 << 20, /* written of it since the kernel was last told to write and drop */
};

/* A file in pieces; its descriptor is guarded by the target's lock. */
struct fs_file {
    struct fs_target *target; /* borrowed */
    struct fs_dir *dir;       /* a reference */
    uint64_t size;
    uint64_t device, inode; /* what the passing name must be when it is opened again */
    int fd;                 /* -1: closed for now */
    unsigned pins;
    size_t behind_bytes; /* of a large one: BEHIND_BYTES at most */
    struct list node;    /* in target->unused */
    char part[FS_PART_SIZE];
    struct slice name; /* of its own, below */
    char name_space[];
};

/* --- writing --- */

static int write_all(int fd, uint64_t offset, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t put = pwrite(fd, data, size, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return errno;
        data += put;
        offset += (size_t)put;
        size -= (size_t)put;
    }
    return 0;
}

static int write_runs(int fd, uint64_t file_size, const struct fs_run *runs, size_t run_count,
                      struct slice content)
{
    size_t at = 0;
    uint64_t end = 0;
    int problem = 0;
    if (!runs) {
        problem = write_all(fd, 0, content.data, content.size);
        end = content.size;
    }
    for (size_t i = 0; i < run_count && runs && !problem; i++) {
        problem = write_all(fd, runs[i].offset, content.data + at, (size_t)runs[i].size);
        at += (size_t)runs[i].size;
        end = runs[i].offset + runs[i].size;
    }
    if (!problem && end < file_size) /* a hole at the end */
        problem = ftruncate(fd, (off_t)file_size) == 0 ? 0 : errno;
    return problem;
}

/* Runs in order, inside the file, and as long as the content. */
static bool runs_fit(const struct fs_entry *entry, const struct fs_run *runs, size_t run_count,
                     struct slice content)
{
    uint64_t end = 0, left = content.size;
    if (!runs)
        return content.size == entry->size;
    for (size_t i = 0; i < run_count; i++) {
        if (runs[i].offset < end || runs[i].size > left || runs[i].offset > entry->size ||
            runs[i].size > entry->size - runs[i].offset)
            return false;
        end = runs[i].offset + runs[i].size;
        left -= runs[i].size;
    }
    return left == 0;
}

/* --- a whole file --- */

static int create_named(int dir_fd, const char *name, mode_t mode, int *out_fd)
{
    *out_fd =
        openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, mode);
    return *out_fd >= 0 ? 0 : errno;
}

/* No name yet, or the passing one: then `part` is not empty. */
static int create(struct fs_target *target, int dir_fd, bool nameless, char part[FS_PART_SIZE],
                  int *out_fd)
{
    part[0] = 0;
    if (nameless && !atomic_load(&target->no_tmpfile)) {
        *out_fd = openat(dir_fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
        if (*out_fd >= 0)
            return 0;
        if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL)
            return errno;
        atomic_store(&target->no_tmpfile, true);
    }
    fs_target_part(target, part);
    return create_named(dir_fd, part, 0600, out_fd);
}

/* Without CAP_DAC_READ_SEARCH a descriptor gets its name through /proc only. */
static int link_fd(int fd, int dir_fd, const char *name)
{
    char text[FS_INODE_TEXT_SIZE];
    if (linkat(fd, "", dir_fd, name, AT_EMPTY_PATH) == 0)
        return 0;
    if (errno != ENOENT)
        return errno;
    const char *from = fs_inode_text((struct fs_inode){.fd = fd}, text);
    return linkat(AT_FDCWD, from, dir_fd, name, AT_SYMLINK_FOLLOW) == 0 ? 0 : errno;
}

/* Gives a nameless file its name; where there is something already, by way of the passing one. */
static enum err place_fd(struct fs_target *target, struct fs_dir *dir, int dir_fd, int fd,
                         struct slice name, struct errmsg *msg)
{
    char part[FS_PART_SIZE];
    int problem = link_fd(fd, dir_fd, (const char *)name.data);
    if (problem == 0)
        return ERR_OK;
    if (problem != EEXIST || target->options.overwrite == FS_OVERWRITE_NEVER)
        return fs_target_say(problem, dir, name, "create", msg);
    fs_target_part(target, part);
    problem = link_fd(fd, dir_fd, part);
    if (problem)
        return fs_target_say(problem, dir, name, "create", msg);
    enum err e = fs_target_place(target, dir, dir_fd, part, name, msg);
    if (e != ERR_OK)
        (void)unlinkat(dir_fd, part, 0);
    return e;
}

enum err fs_target_file(struct fs_target *target, struct fs_dir *dir, const struct fs_entry *entry,
                        const struct fs_details *details, const struct fs_run *runs,
                        size_t run_count, struct slice content, struct errmsg *msg)
{
    int dir_fd;
    char part[FS_PART_SIZE] = "";
    if (!runs_fit(entry, runs, run_count, content))
        return err_say(msg, ERR_USAGE, "the content is not what the file's size and holes ask for");
    if (target->options.dry_run)
        return ERR_OK;
    enum err e = fs_target_begin(dir, entry, &dir_fd, msg);
    if (e != ERR_OK)
        return e;
    struct fs_inode inode = {.fd = -1};
    const char *name = (const char *)entry->name.data;
    /* its mode, which is set last, says when it is whole */
    bool own_name = (fs_dir_marks(dir) & FS_MARK_FRESH) &&
                    create_named(dir_fd, name, FS_UNFINISHED_FILE, &inode.fd) == 0;
    /* to replace a file, the passing name takes fewer steps */
    bool nameless = !(fs_dir_marks(dir) & FS_MARK_TAKEN);
    int problem = own_name ? 0 : create(target, dir_fd, nameless, part, &inode.fd);
    if (problem) {
        e = fs_target_say(problem, dir, entry->name, "create", msg);
        goto unpin;
    }
    fs_target_meta_early(inode.fd, details);
    problem = write_runs(inode.fd, entry->size, runs, run_count, content);
    if (problem) {
        e = fs_target_say(problem, dir, entry->name, "write", msg);
        goto remove;
    }
    fs_target_meta_apply(target, inode, dir, entry->name, entry, details);
    if (own_name)
        own_name = false;
    else if (part[0])
        e = fs_target_place(target, dir, dir_fd, part, entry->name, msg);
    else
        e = place_fd(target, dir, dir_fd, inode.fd, entry->name, msg);
    if (e == ERR_OK) {
        fs_target_meta_lock(target, inode, dir, entry->name, details);
        part[0] = 0;
    }
remove:
    if (own_name || part[0])
        (void)unlinkat(dir_fd, own_name ? name : part, 0);
    close(inode.fd);
unpin:
    fs_dir_unpin(dir);
    return e;
}

/* --- a file in pieces --- */

/* Under the lock. */
static void close_unused(struct fs_target *target, unsigned keep)
{
    while (target->open_count > keep && !list_empty(&target->unused)) {
        struct fs_file *file = container_of(list_pop(&target->unused), struct fs_file, node);
        close(file->fd);
        file->fd = -1;
        target->open_count--;
    }
}

static void unpin_file(struct fs_file *file)
{
    struct fs_target *target = file->target;
    pthread_mutex_lock(&target->lock);
    assert(file->pins > 0);
    if (--file->pins == 0)
        list_append(&target->unused, &file->node);
    close_unused(target, OPEN_FILES_MAX);
    pthread_mutex_unlock(&target->lock);
}

/* Opens the passing name again and makes sure that it is what it was. */
static int open_again(struct fs_file *file, int *out_fd, struct errmsg *msg, enum err *e)
{
    int dir_fd;
    struct stat st;
    *e = fs_dir_pin(file->dir, &dir_fd, msg);
    if (*e != ERR_OK)
        return 0;
    int fd = openat(dir_fd, file->part, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    int problem = fd < 0 ? errno : fstat(fd, &st) != 0 ? errno : 0;
    if (!problem && (st.st_dev != file->device || st.st_ino != file->inode))
        problem = ESTALE;
    fs_dir_unpin(file->dir);
    if (problem && fd >= 0)
        close(fd);
    *out_fd = fd;
    return problem;
}

static enum err pin_file(struct fs_file *file, int *out_fd, struct errmsg *msg)
{
    struct fs_target *target = file->target;
    pthread_mutex_lock(&target->lock);
    bool open = file->fd >= 0;
    if (open) {
        file->pins++;
        list_remove(&file->node);
        *out_fd = file->fd;
    }
    pthread_mutex_unlock(&target->lock);
    if (open)
        return ERR_OK;
    int fd = -1;
    enum err e;
    int problem = open_again(file, &fd, msg, &e);
    if (problem == ESTALE || problem == ELOOP)
        return err_say(msg, ERR_STALE,
                       "a file that was being restored was exchanged by another "
                       "process");
    if (problem)
        return fs_target_say(problem, file->dir, file->name, "write", msg);
    if (e != ERR_OK)
        return e;
    pthread_mutex_lock(&target->lock);
    if (file->fd >= 0) { /* another thread was quicker */
        close(fd);
        list_remove(&file->node);
    } else {
        file->fd = fd;
        target->open_count++;
        close_unused(target, OPEN_FILES_MAX);
    }
    file->pins++;
    *out_fd = file->fd;
    pthread_mutex_unlock(&target->lock);
    return ERR_OK;
}

static struct fs_file *new_file(struct fs_target *target, struct fs_dir *dir,
                                const struct fs_entry *entry)
{
    struct fs_file *file = malloc(sizeof(*file) + entry->name.size + 1);
    if (!file)
        return NULL;
    *file = (struct fs_file){.target = target, .size = entry->size, .fd = -1};
    list_init(&file->node);
    memcpy(file->name_space, entry->name.data, entry->name.size);
    file->name_space[entry->name.size] = 0;
    file->name = slice_of(file->name_space, entry->name.size);
    file->dir = dir ? fs_dir_ref(dir) : NULL;
    return file;
}

static void free_file(struct fs_file *file)
{
    fs_dir_release(file->dir);
    free(file);
}

enum err fs_target_file_begin(struct fs_target *target, struct fs_dir *dir,
                              const struct fs_entry *entry, struct fs_file **out,
                              struct errmsg *msg)
{
    int dir_fd;
    struct stat st;
    struct fs_file *file = new_file(target, dir, entry);
    if (!file)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *out = file;
    if (target->options.dry_run)
        return ERR_OK;
    enum err e = fs_target_begin(dir, entry, &dir_fd, msg);
    if (e != ERR_OK) {
        free_file(file);
        return e;
    }
    int fd, problem = create(target, dir_fd, false, file->part, &fd);
    if (!problem) {
        problem = fstat(fd, &st) != 0 || ftruncate(fd, (off_t)entry->size) != 0 ? errno : 0;
        if (problem) {
            close(fd);
            (void)unlinkat(dir_fd, file->part, 0);
        }
    }
    fs_dir_unpin(dir);
    if (problem) {
        e = fs_target_say(problem, dir, entry->name, "create", msg);
        free_file(file);
        return e;
    }
    file->device = st.st_dev;
    file->inode = st.st_ino;
    pthread_mutex_lock(&target->lock);
    file->fd = fd;
    file->pins = 1;
    target->open_count++;
    pthread_mutex_unlock(&target->lock);
    unpin_file(file);
    return ERR_OK;
}

/* A large file would fill the page cache with what nobody reads soon, first its dirty pages and
 * then the clean ones: fresh memory all of it, where what was just given back is at hand. DONTNEED
 * begins to write the dirty pages and drops the clean ones; it waits for none. */
static void write_behind(struct fs_file *file, int fd, size_t size)
{
    if (file->size < LARGE_BYTES)
        return;
    pthread_mutex_lock(&file->target->lock);
    file->behind_bytes += size;
    const bool due = file->behind_bytes >= BEHIND_BYTES;
    if (due)
        file->behind_bytes = 0;
    pthread_mutex_unlock(&file->target->lock);
    if (due)
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

enum err fs_target_file_write(struct fs_file *file, uint64_t offset, struct slice bytes,
                              struct errmsg *msg)
{
    int fd;
    if (offset > file->size || bytes.size > file->size - offset)
        return err_say(msg, ERR_USAGE, "a piece lies beyond the file's end");
    if (file->target->options.dry_run || bytes.size == 0)
        return ERR_OK;
    enum err e = pin_file(file, &fd, msg);
    if (e != ERR_OK)
        return e;
    int problem = write_all(fd, offset, bytes.data, bytes.size);
    if (problem)
        e = fs_target_say(problem, file->dir, file->name, "write", msg);
    else
        write_behind(file, fd, bytes.size);
    unpin_file(file);
    return e;
}

/* Closes it and forgets it; its passing name goes too unless it was placed. */
static void end_file(struct fs_file *file, bool placed)
{
    struct fs_target *target = file->target;
    int dir_fd;
    pthread_mutex_lock(&target->lock);
    assert(file->pins == 0);
    list_remove(&file->node);
    if (file->fd >= 0) {
        close(file->fd);
        target->open_count--;
    }
    pthread_mutex_unlock(&target->lock);
    if (!placed && file->part[0] && fs_dir_pin(file->dir, &dir_fd, NULL) == ERR_OK) {
        (void)unlinkat(dir_fd, file->part, 0);
        fs_dir_unpin(file->dir);
    }
    free_file(file);
}

enum err fs_target_file_finish(struct fs_file *file, const struct fs_entry *entry,
                               const struct fs_details *details, struct errmsg *msg)
{
    struct fs_target *target = file->target;
    struct fs_inode inode = {.fd = -1};
    int dir_fd;
    bool placed = target->options.dry_run;
    enum err e = ERR_OK;
    if (placed)
        goto end;
    e = pin_file(file, &inode.fd, msg);
    if (e != ERR_OK)
        goto end;
    e = fs_dir_pin(file->dir, &dir_fd, msg);
    if (e != ERR_OK)
        goto unpin;
    fs_target_meta_apply(target, inode, file->dir, file->name, entry, details);
    e = fs_target_place(target, file->dir, dir_fd, file->part, file->name, msg);
    placed = e == ERR_OK;
    if (placed)
        fs_target_meta_lock(target, inode, file->dir, file->name, details);
    fs_dir_unpin(file->dir);
unpin:
    unpin_file(file);
end:
    end_file(file, placed);
    return e;
}

void fs_target_file_abandon(struct fs_file *file)
{
    if (file)
        end_file(file, false);
}
