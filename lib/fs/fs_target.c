#include "fs/fs_target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/text.h"
#include "fs/fs_target_internal.h"

enum { OWNER_MAY_ALL = 0700 };

/* --- opening --- */

/* mkdir -p; what is there already may be reached through links: the person named it. */
static int make_path(const char *path)
{
    char *copy = strdup(path);
    int problem = copy ? 0 : ENOMEM;
    for (char *at = copy; copy && !problem && *at;) {
        at += strspn(at, "/");
        at += strcspn(at, "/");
        char kept = *at;
        *at = 0;
        if (mkdir(copy, 0777) != 0 && errno != EEXIST)
            problem = errno;
        *at = kept;
    }
    free(copy);
    return problem;
}

static enum err open_tree(struct fs_target *target, const char *path, struct errmsg *msg)
{
    int problem = target->options.dry_run ? 0 : make_path(path);
    char *whole = problem ? NULL : realpath(path, NULL);
    if (!problem && !whole)
        problem = errno;
    if (problem == ENOENT && target->options.dry_run)
        return ERR_OK; /* everything would be new */
    if (problem)
        return err_say_errno(msg, problem, "cannot make the directory %s", path);
    enum err e = fs_tree_open(whole, 0, &target->tree, msg);
    free(whole);
    if (e == ERR_OK && !target->options.dry_run) {
        struct fs_dir *root = fs_tree_root(target->tree);
        fs_target_delete_parts(target, root, false);
        fs_dir_release(root);
    }
    return e;
}

enum err fs_target_open(const struct fs_target_options *options, struct fs_target **out,
                        struct errmsg *msg)
{
    uint8_t random[8];
    struct fs_target *target = calloc(1, sizeof(*target));
    if (!target)
        return ERR_NOMEM;
    target->options = *options;
    target->options.path = NULL;
    target->root = geteuid() == 0;
    pthread_mutex_init(&target->lock, NULL);
    list_init(&target->unused);
    enum err e = fs_names_new(&target->names);
    if (e == ERR_OK && getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        e = err_say_errno(msg, errno, "cannot get random bytes");
    if (e == ERR_OK) {
        text_hex(slice_of(random, sizeof(random)), target->tag);
        e = open_tree(target, options->path, msg);
    }
    if (e != ERR_OK) {
        fs_target_close(target);
        return e;
    }
    *out = target;
    return ERR_OK;
}

void fs_target_close(struct fs_target *target)
{
    if (!target)
        return;
    fs_tree_close(target->tree);
    fs_names_free(target->names);
    pthread_mutex_destroy(&target->lock);
    free(target);
}

struct fs_dir *fs_target_root(struct fs_target *target)
{
    return target->tree ? fs_tree_root(target->tree) : NULL;
}

enum err fs_target_sync(struct fs_target *target, struct errmsg *msg)
{
    int fd;
    if (!target->tree || target->options.dry_run)
        return ERR_OK;
    struct fs_dir *root = fs_tree_root(target->tree);
    enum err e = fs_dir_pin(root, &fd, msg);
    if (e == ERR_OK) {
        if (syncfs(fd) != 0)
            e = fs_target_say(errno, root, slice_of(NULL, 0), "make durable what was written to",
                              msg);
        fs_dir_unpin(root);
    }
    fs_dir_release(root);
    return e;
}

/* --- words --- */

void fs_target_note(struct fs_target *target, int number, const struct fs_dir *dir,
                    struct slice name, const char *tried)
{
    struct errmsg msg;
    if (!target->options.on_note)
        return;
    enum err e = fs_target_say(number, dir, name, tried, &msg);
    target->options.on_note(target->options.user, e, msg.text);
}

enum err fs_target_say(int number, const struct fs_dir *dir, struct slice name, const char *tried,
                       struct errmsg *msg)
{
    char text[FS_PATH_TEXT_SIZE];
    if (!msg)
        return err_from_errno(number);
    return err_say_errno(msg, number, "cannot %s %s", tried, fs_dir_path_text(dir, name, text));
}

enum err fs_target_begin(struct fs_dir *dir, const struct fs_entry *entry, int *dir_fd,
                         struct errmsg *msg)
{
    char text[FS_PATH_TEXT_SIZE];
    if (!fs_name_allowed(entry->name))
        return err_say(msg, ERR_FORMAT, "a name that no file can have was recorded in %s: refused",
                       fs_dir_path_text(dir, slice_of(NULL, 0), text));
    return fs_dir_pin(dir, dir_fd, msg);
}

void fs_target_part(struct fs_target *target, char out[FS_PART_SIZE])
{
    (void)snprintf(out, FS_PART_SIZE, ".cellar-part-%s-%x", target->tag,
                   atomic_fetch_add(&target->parts, 1));
}

/* --- what is there already --- */

enum err fs_target_wants(struct fs_target *target, struct fs_dir *dir, const struct fs_entry *entry,
                         enum fs_want *out, struct errmsg *msg)
{
    struct statx st;
    struct fs_entry there = {0};
    int dir_fd;
    *out = FS_WANT_CREATE;
    if (!dir)
        return fs_name_allowed(entry->name) ? ERR_OK : ERR_FORMAT;
    enum err e = fs_target_begin(dir, entry, &dir_fd, msg);
    if (e == ERR_NOT_FOUND && target->options.dry_run)
        return ERR_OK;
    if (e != ERR_OK)
        return e;
    int problem = statx(dir_fd, (const char *)entry->name.data, AT_SYMLINK_NOFOLLOW,
                        STATX_BASIC_STATS, &st) == 0
                      ? 0
                      : errno;
    fs_dir_unpin(dir);
    if (problem == ENOENT)
        return ERR_OK;
    if (problem)
        return fs_target_say(problem, dir, entry->name, "look at", msg);
    fs_entry_from_statx(&st, &there);
    bool same_type = there.type == entry->type;
    bool same_file = same_type && entry->type == FS_FILE && there.size == entry->size &&
                     fs_time_equal(there.mtime, entry->mtime);
    if (target->options.overwrite == FS_OVERWRITE_NEVER)
        *out = FS_WANT_NOTHING;
    else if (same_type && entry->type == FS_DIRECTORY)
        *out = FS_WANT_METADATA;
    else if (same_file && target->options.overwrite == FS_OVERWRITE_IF_CHANGED)
        *out = FS_WANT_METADATA;
    else
        *out = FS_WANT_REPLACE;
    return ERR_OK;
}

/* Removes what stands under `name`, if anything. */
static enum err clear_way(struct fs_target *target, struct fs_dir *dir, int dir_fd,
                          struct slice name, struct errmsg *msg)
{
    const char *text = (const char *)name.data;
    char shown[FS_PATH_TEXT_SIZE];
    for (int round = 0;; round++) {
        if (unlinkat(dir_fd, text, 0) == 0 || errno == ENOENT)
            return ERR_OK;
        int problem = errno;
        struct stat st;
        if (fstatat(dir_fd, text, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)) {
            if (unlinkat(dir_fd, text, AT_REMOVEDIR) == 0)
                return ERR_OK;
            problem = errno;
        }
        if ((problem == ENOTEMPTY || problem == EEXIST) && target->options.replace_directories)
            return fs_target_delete_tree(target, dir, name, NULL, NULL, msg);
        if (problem == ENOTEMPTY || problem == EEXIST)
            return err_say(msg, ERR_EXISTS,
                           "%s is a directory with things in it and the backup has something else "
                           "of that name: move it away, or restore with --delete",
                           fs_dir_path_text(dir, name, shown));
        bool unlocked = fs_target_meta_unlock_at(dir_fd, text);
        unlocked |= fs_target_meta_unlock(dir_fd);
        if (round > 0 || !unlocked)
            return fs_target_say(problem, dir, name, "replace", msg);
    }
}

enum err fs_target_place(struct fs_target *target, struct fs_dir *dir, int dir_fd, const char *part,
                         struct slice name, struct errmsg *msg)
{
    const char *text = (const char *)name.data;
    char shown[FS_PATH_TEXT_SIZE];
    if (target->options.overwrite == FS_OVERWRITE_NEVER) {
        if (renameat2(dir_fd, part, dir_fd, text, RENAME_NOREPLACE) == 0)
            return ERR_OK;
        if (errno == EEXIST)
            return err_say(msg, ERR_EXISTS, "%s is there already",
                           fs_dir_path_text(dir, name, shown));
        if (errno != EINVAL)
            return fs_target_say(errno, dir, name, "create", msg);
        /* a file system that cannot promise it: asked just before */
        if (faccessat(dir_fd, text, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            return err_say(msg, ERR_EXISTS, "%s is there already",
                           fs_dir_path_text(dir, name, shown));
    }
    if (renameat(dir_fd, part, dir_fd, text) == 0)
        return ERR_OK;
    enum err e = clear_way(target, dir, dir_fd, name, msg);
    if (e == ERR_OK && renameat(dir_fd, part, dir_fd, text) != 0)
        e = fs_target_say(errno, dir, name, "create", msg);
    return e;
}

/* --- directories --- */

/* Takes a directory that is there: it must be possible to make things in it. */
static void prepare(struct fs_target *target, struct fs_dir *dir, bool unfinished)
{
    int fd;
    struct stat st;
    if (fs_dir_pin(dir, &fd, NULL) != ERR_OK)
        return; /* whoever makes something in it will hear of it */
    (void)fs_target_meta_unlock(fd);
    bool ours = !target->root && fstat(fd, &st) == 0 && st.st_uid == geteuid();
    if (ours && (st.st_mode & OWNER_MAY_ALL) != OWNER_MAY_ALL) {
        char text[FS_INODE_TEXT_SIZE];
        (void)chmod(fs_inode_text((struct fs_inode){.fd = fd}, text),
                    (st.st_mode & 07777) | OWNER_MAY_ALL);
    }
    fs_dir_unpin(dir);
    fs_target_delete_parts(target, dir, unfinished);
}

/* A restore made it, this one or an interrupted one, and has not finished it. */
static bool is_unfinished(int parent_fd, const char *name)
{
    struct stat st;
    return fstatat(parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) &&
           (st.st_mode & (FS_UNFINISHED | 0777)) == (FS_UNFINISHED | OWNER_MAY_ALL) &&
           st.st_uid == geteuid();
}

static enum err make_dir(struct fs_target *target, struct fs_dir *parent, int parent_fd,
                         struct slice name, bool *there, struct errmsg *msg)
{
    const char *text = (const char *)name.data;
    struct stat st;
    *there = false;
    if (mkdirat(parent_fd, text, FS_UNFINISHED | OWNER_MAY_ALL) == 0)
        return ERR_OK;
    if (errno != EEXIST)
        return fs_target_say(errno, parent, name, "make the directory", msg);
    *there = fstatat(parent_fd, text, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
    if (*there)
        return ERR_OK;
    char shown[FS_PATH_TEXT_SIZE];
    if (target->options.overwrite == FS_OVERWRITE_NEVER)
        return err_say(msg, ERR_EXISTS, "%s is there and is not a directory",
                       fs_dir_path_text(parent, name, shown));
    enum err e = clear_way(target, parent, parent_fd, name, msg);
    if (e == ERR_OK && mkdirat(parent_fd, text, FS_UNFINISHED | OWNER_MAY_ALL) != 0)
        e = fs_target_say(errno, parent, name, "make the directory", msg);
    return e;
}

enum err fs_target_dir(struct fs_target *target, struct fs_dir *parent,
                       const struct fs_entry *entry, struct fs_dir **out, struct errmsg *msg)
{
    int parent_fd;
    bool there = false;
    *out = NULL;
    if (target->options.dry_run) {
        struct stat st;
        if (!parent || fs_target_begin(parent, entry, &parent_fd, NULL) != ERR_OK)
            return ERR_OK;
        there = fstatat(parent_fd, (const char *)entry->name.data, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                S_ISDIR(st.st_mode);
        fs_dir_unpin(parent);
        return there ? fs_dir_child(parent, entry->name, 0, 0, out) : ERR_OK;
    }
    enum err e = fs_target_begin(parent, entry, &parent_fd, msg);
    if (e != ERR_OK)
        return e;
    e = make_dir(target, parent, parent_fd, entry->name, &there, msg);
    bool unfinished = e == ERR_OK && is_unfinished(parent_fd, (const char *)entry->name.data);
    fs_dir_unpin(parent);
    if (e == ERR_OK)
        e = fs_dir_child(parent, entry->name, 0, 0, out);
    if (e != ERR_OK)
        return e;
    if (!there) {
        fs_dir_mark(*out, unfinished ? FS_MARK_FRESH : 0);
        return ERR_OK;
    }
    if (target->options.overwrite == FS_OVERWRITE_NEVER && !unfinished) {
        fs_dir_mark(*out, FS_MARK_KEPT);
        return ERR_OK;
    }
    fs_dir_mark(*out, FS_MARK_TAKEN);
    prepare(target, *out, unfinished);
    return ERR_OK;
}

enum err fs_target_dir_finish(struct fs_target *target, struct fs_dir *dir,
                              const struct fs_entry *entry, const struct fs_details *details,
                              struct errmsg *msg)
{
    struct fs_inode inode = {.fd = -1};
    if (target->options.dry_run || (fs_dir_marks(dir) & FS_MARK_KEPT))
        return ERR_OK;
    enum err e = fs_dir_pin(dir, &inode.fd, msg);
    if (e != ERR_OK)
        return e;
    inode.path_only = (fcntl(inode.fd, F_GETFL) & O_PATH) != 0;
    fs_target_meta_apply(target, inode, dir, slice_of(NULL, 0), entry, details);
    fs_target_meta_lock(target, inode, dir, slice_of(NULL, 0), details);
    fs_dir_unpin(dir);
    return ERR_OK;
}

/* --- links, FIFOs, devices --- */

static int make_node(int dir_fd, const char *part, const struct fs_entry *entry,
                     const struct fs_details *details)
{
    char target[FS_LINK_TARGET_MAX < 4096 ? FS_LINK_TARGET_MAX : 4096];
    switch (entry->type) {
    case FS_SYMLINK:
        if (details->target.size == 0 || details->target.size >= sizeof(target))
            return ENAMETOOLONG;
        memcpy(target, details->target.data, details->target.size);
        target[details->target.size] = 0;
        return symlinkat(target, dir_fd, part) == 0 ? 0 : errno;
    case FS_FIFO:
        return mkfifoat(dir_fd, part, 0600) == 0 ? 0 : errno;
    case FS_BLOCK_DEVICE:
    case FS_CHARACTER_DEVICE:
        return mknodat(dir_fd, part, (entry->type == FS_BLOCK_DEVICE ? S_IFBLK : S_IFCHR) | 0600,
                       makedev(entry->rdev_major, entry->rdev_minor)) == 0
                   ? 0
                   : errno;
    default:
        return EINVAL;
    }
}

/* Under a passing name, so that it has its metadata when it gets its own. */
static enum err restore_node(struct fs_target *target, struct fs_dir *dir,
                             const struct fs_entry *entry, const struct fs_details *details,
                             const char *what, struct errmsg *msg)
{
    int dir_fd;
    char part[FS_PART_SIZE];
    if (target->options.dry_run)
        return ERR_OK;
    enum err e = fs_target_begin(dir, entry, &dir_fd, msg);
    if (e != ERR_OK)
        return e;
    fs_target_part(target, part);
    int problem = make_node(dir_fd, part, entry, details);
    if (problem) {
        e = fs_target_say(problem, dir, entry->name, what, msg);
        goto unpin;
    }
    struct fs_inode inode = {.path_only = true};
    inode.fd = openat(dir_fd, part, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (inode.fd < 0) {
        e = fs_target_say(errno, dir, entry->name, what, msg);
        goto remove;
    }
    fs_target_meta_apply(target, inode, dir, entry->name, entry, details);
    close(inode.fd);
    e = fs_target_place(target, dir, dir_fd, part, entry->name, msg);
    if (e == ERR_OK)
        goto unpin;

remove:
    (void)unlinkat(dir_fd, part, 0);
unpin:
    fs_dir_unpin(dir);
    return e;
}

enum err fs_target_symlink(struct fs_target *target, struct fs_dir *dir,
                           const struct fs_entry *entry, const struct fs_details *details,
                           struct errmsg *msg)
{
    if (entry->type != FS_SYMLINK || !details)
        return err_say(msg, ERR_USAGE, "not a symbolic link");
    return restore_node(target, dir, entry, details, "make the symbolic link", msg);
}

enum err fs_target_node(struct fs_target *target, struct fs_dir *dir, const struct fs_entry *entry,
                        const struct fs_details *details, struct errmsg *msg)
{
    char text[FS_PATH_TEXT_SIZE];
    bool device = entry->type == FS_BLOCK_DEVICE || entry->type == FS_CHARACTER_DEVICE;
    if (!device && entry->type != FS_FIFO)
        return err_say(msg, ERR_USAGE, "neither a FIFO nor a device");
    if (device && !target->root && !target->options.dry_run)
        return err_say(msg, ERR_DENIED, "%s is a device: only root may make it",
                       fs_dir_path_text(dir, entry->name, text));
    return restore_node(target, dir, entry, details, device ? "make the device" : "make the FIFO",
                        msg);
}

/* A hard link of an immutable file needs it to be mutable for a moment. */
static int link_name(int from_fd, const char *from, int to_fd, const char *to)
{
    if (linkat(from_fd, from, to_fd, to, 0) == 0)
        return 0;
    int problem = errno;
    if (problem != EPERM)
        return problem;
    int fd = fs_entry_open(from_fd, from, O_RDONLY);
    struct fs_details flags = FS_DETAILS_INIT;
    if (fd >= 0 && fs_inode_flags(fd, &flags.inode_flags) && fs_target_meta_unlock(fd)) {
        problem = linkat(from_fd, from, to_fd, to, 0) == 0 ? 0 : errno;
        struct fs_target silent = {0};
        fs_target_meta_lock(&silent, (struct fs_inode){.fd = fd}, NULL, slice_of(NULL, 0), &flags);
    }
    if (fd >= 0)
        close(fd);
    return problem;
}

static bool same_inode(int a_fd, const char *a, int b_fd, const char *b)
{
    struct stat x, y;
    return fstatat(a_fd, a, &x, AT_SYMLINK_NOFOLLOW) == 0 &&
           fstatat(b_fd, b, &y, AT_SYMLINK_NOFOLLOW) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

enum err fs_target_link(struct fs_target *target, struct fs_dir *dir, const struct fs_entry *entry,
                        struct fs_dir *other_dir, struct slice other_name, struct errmsg *msg)
{
    int dir_fd, other_fd;
    char shown[FS_PATH_TEXT_SIZE];
    const char *name = (const char *)entry->name.data, *other = (const char *)other_name.data;
    if (target->options.dry_run)
        return ERR_OK;
    if (!fs_name_allowed(other_name))
        return err_say(msg, ERR_FORMAT, "a name that no file can have was recorded: refused");
    enum err e = fs_target_begin(dir, entry, &dir_fd, msg);
    if (e != ERR_OK)
        return e;
    e = fs_dir_pin(other_dir, &other_fd, msg);
    if (e != ERR_OK)
        goto unpin;
    int problem = link_name(other_fd, other, dir_fd, name);
    if (problem == EEXIST && !same_inode(other_fd, other, dir_fd, name)) {
        if (target->options.overwrite == FS_OVERWRITE_NEVER) {
            e = err_say(msg, ERR_EXISTS, "%s is there already",
                        fs_dir_path_text(dir, entry->name, shown));
            goto unpin_other;
        }
        /* not by way of a passing name: an immutable inode cannot be renamed */
        problem = 0;
        e = clear_way(target, dir, dir_fd, entry->name, msg);
        if (e == ERR_OK)
            problem = link_name(other_fd, other, dir_fd, name);
    } else if (problem == EEXIST) {
        problem = 0;
    }
    if (problem)
        e = fs_target_say(problem, dir, entry->name, "make the hard link", msg);
unpin_other:
    fs_dir_unpin(other_dir);
unpin:
    fs_dir_unpin(dir);
    return e;
}

/* --- metadata only --- */

enum err fs_target_touch(struct fs_target *target, struct fs_dir *dir, const struct fs_entry *entry,
                         const struct fs_details *details, struct errmsg *msg)
{
    int dir_fd;
    struct fs_inode inode = {.fd = -1};
    struct stat st;
    const char *name = (const char *)entry->name.data;
    if (target->options.dry_run)
        return ERR_OK;
    enum err e = fs_target_begin(dir, entry, &dir_fd, msg);
    if (e != ERR_OK)
        return e;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
        inode.fd = fs_entry_open(dir_fd, name, O_RDONLY);
    if (inode.fd < 0) {
        inode.fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        inode.path_only = true;
    }
    if (inode.fd < 0) {
        e = fs_target_say(errno, dir, entry->name, "open", msg);
    } else {
        if (!inode.path_only)
            (void)fs_target_meta_unlock(inode.fd);
        fs_target_meta_apply(target, inode, dir, entry->name, entry, details);
        fs_target_meta_lock(target, inode, dir, entry->name, details);
        close(inode.fd);
    }
    fs_dir_unpin(dir);
    return e;
}
