/*
 * Removal without recursion: a frame for each directory on the way down, so that a tree may be as
 * deep as it likes. A directory that could not be emptied stays, with a note about what held it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/fs_target_internal.h"

struct frame {
    struct frame *above;
    struct fs_dir *dir; /* a reference */
    struct fs_list names;
    size_t at;
};

struct removal {
    struct fs_target *target;
    uint64_t device; /* nothing of another file system is removed */
    fs_deleted_fn *each;
    void *user;
    struct frame *top;
};

static enum err list_dir(struct fs_dir *dir, struct fs_list *out, struct errmsg *msg)
{
    int fd, number = 0;
    *out = FS_LIST_INIT;
    enum err e = fs_dir_pin(dir, &fd, msg);
    if (e != ERR_OK)
        return e;
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* with an offset of its own */
    if (own < 0) {
        e = fs_target_say(errno, dir, slice_of(NULL, 0), "read the directory", msg);
    } else {
        e = fs_list_read(own, out, &number);
        if (number)
            e = fs_target_say(number, dir, slice_of(NULL, 0), "read the directory", msg);
        close(own);
    }
    fs_dir_unpin(dir);
    if (e != ERR_OK)
        fs_list_free(out);
    return e;
}

static enum err push(struct removal *removal, struct fs_dir *parent, struct slice name,
                     const struct fs_entry *there, struct errmsg *msg)
{
    struct frame *frame = calloc(1, sizeof(*frame));
    if (!frame)
        return ERR_NOMEM;
    enum err e = fs_dir_child(parent, name, there->device, there->inode, &frame->dir);
    if (e == ERR_OK) {
        e = list_dir(frame->dir, &frame->names, msg);
        if (e != ERR_OK)
            fs_dir_release(frame->dir);
    }
    if (e != ERR_OK) {
        free(frame);
        return e;
    }
    frame->above = removal->top;
    removal->top = frame;
    return ERR_OK;
}

static struct frame *pop(struct removal *removal)
{
    struct frame *frame = removal->top;
    removal->top = frame->above;
    fs_list_free(&frame->names);
    return frame;
}

/* Removes one name; what forbids it is taken off once. */
static void remove_name(struct removal *removal, struct fs_dir *dir, struct slice name,
                        enum fs_type type)
{
    struct fs_target *target = removal->target;
    const char *text = (const char *)name.data;
    int fd, flags = type == FS_DIRECTORY ? AT_REMOVEDIR : 0, problem = 0;
    struct errmsg msg = {{0}};
    if (!target->options.dry_run) {
        enum err e = fs_dir_pin(dir, &fd, &msg);
        if (e != ERR_OK) {
            if (target->options.on_note)
                target->options.on_note(target->options.user, e, msg.text);
            return;
        }
        if (unlinkat(fd, text, flags) != 0)
            problem = errno;
        if (problem == EPERM) {
            bool unlocked = fs_target_meta_unlock_at(fd, text);
            unlocked |= fs_target_meta_unlock(fd);
            if (unlocked)
                problem = unlinkat(fd, text, flags) == 0 ? 0 : errno;
        }
        fs_dir_unpin(dir);
    }
    if (problem && problem != ENOENT)
        fs_target_note(target, problem, dir, name, "remove");
    else if (removal->each)
        removal->each(removal->user, dir, name, type);
}

/* A name: removed at once, or a frame for a directory. */
static enum err visit(struct removal *removal, struct fs_dir *dir, struct slice name)
{
    struct fs_target *target = removal->target;
    struct statx st;
    struct fs_entry there = {0};
    struct errmsg msg = {{0}};
    int fd;
    enum err e = fs_dir_pin(dir, &fd, &msg);
    if (e != ERR_OK)
        goto note;
    int problem = statx(fd, (const char *)name.data, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
                        STATX_BASIC_STATS, &st) == 0
                      ? 0
                      : errno;
    fs_dir_unpin(dir);
    if (problem) {
        if (problem != ENOENT)
            fs_target_note(target, problem, dir, name, "look at");
        return ERR_OK;
    }
    fs_entry_from_statx(&st, &there);
    if (there.type != FS_DIRECTORY) {
        remove_name(removal, dir, name, there.type);
        return ERR_OK;
    }
    if (there.device != removal->device) {
        fs_target_note(target, EXDEV, dir, name, "remove");
        return ERR_OK;
    }
    e = push(removal, dir, name, &there, &msg);
    if (e == ERR_OK || e == ERR_NOMEM)
        return e;
note:
    if (target->options.on_note)
        target->options.on_note(target->options.user, e, msg.text);
    return ERR_OK;
}

static enum err remove_whole(struct removal *removal, struct fs_dir *dir, struct slice name)
{
    enum err e = visit(removal, dir, name);
    while (removal->top) {
        struct frame *frame = removal->top;
        if (e == ERR_OK && frame->at < frame->names.count) {
            e = visit(removal, frame->dir, fs_list_at(&frame->names, frame->at++));
            continue;
        }
        frame = pop(removal);
        if (e == ERR_OK)
            remove_name(removal, fs_dir_parent(frame->dir), fs_dir_name(frame->dir), FS_DIRECTORY);
        fs_dir_release(frame->dir);
        free(frame);
    }
    return e;
}

static enum err begin(struct fs_target *target, struct fs_dir *dir, fs_deleted_fn *each, void *user,
                      struct removal *out, struct errmsg *msg)
{
    int fd;
    struct stat st = {0};
    enum err e = fs_dir_pin(dir, &fd, msg);
    if (e != ERR_OK)
        return e;
    if (fstat(fd, &st) != 0)
        e = fs_target_say(errno, dir, slice_of(NULL, 0), "look at", msg);
    fs_dir_unpin(dir);
    *out = (struct removal){.target = target, .device = st.st_dev, .each = each, .user = user};
    return e;
}

enum err fs_target_delete_tree(struct fs_target *target, struct fs_dir *dir, struct slice name,
                               fs_deleted_fn *each, void *user, struct errmsg *msg)
{
    struct removal removal;
    enum err e = begin(target, dir, each, user, &removal, msg);
    return e == ERR_OK ? remove_whole(&removal, dir, name) : e;
}

static int compare(struct slice a, struct slice b)
{
    int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

enum err fs_target_delete_others(struct fs_target *target, struct fs_dir *dir,
                                 const struct slice *names, size_t name_count, fs_deleted_fn *each,
                                 void *user, struct errmsg *msg)
{
    struct removal removal;
    struct fs_list there;
    if (!dir) /* a dry run, and it is not there */
        return ERR_OK;
    enum err e = begin(target, dir, each, user, &removal, msg);
    if (e != ERR_OK)
        return e;
    e = list_dir(dir, &there, msg);
    size_t known = 0; /* both are sorted */
    for (size_t i = 0; i < there.count && e == ERR_OK; i++) {
        struct slice name = fs_list_at(&there, i);
        while (known < name_count && compare(names[known], name) < 0)
            known++;
        if (known == name_count || compare(names[known], name) != 0)
            e = remove_whole(&removal, dir, name);
    }
    fs_list_free(&there);
    return e;
}

/* ".cellar-part-", 16 hex digits, "-", hex digits; not one of this restore. */
static bool is_left_over(const struct fs_target *target, struct slice name)
{
    static const char start[] = ".cellar-part-", hex[] = "0123456789abcdef";
    const char *text = (const char *)name.data;
    if (name.size >= FS_PART_SIZE || strncmp(text, start, sizeof(start) - 1) != 0)
        return false;
    text += sizeof(start) - 1;
    if (strspn(text, hex) != 16 || text[16] != '-' || strncmp(text, target->tag, 16) == 0)
        return false;
    return text[17] && text[17 + strspn(text + 17, hex)] == 0;
}

static bool is_unfinished(int dir_fd, const char *name)
{
    struct stat st;
    return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
           (st.st_mode & 07777) == FS_UNFINISHED_FILE && st.st_uid == geteuid();
}

void fs_target_delete_parts(struct fs_target *target, struct fs_dir *dir, bool unfinished)
{
    struct fs_list there;
    int fd;
    if (list_dir(dir, &there, NULL) != ERR_OK)
        return;
    if (fs_dir_pin(dir, &fd, NULL) != ERR_OK)
        goto free_list;
    for (size_t i = 0; i < there.count; i++) {
        const char *name = there.text + there.names[i].offset;
        if (is_left_over(target, fs_list_at(&there, i)) || (unfinished && is_unfinished(fd, name)))
            (void)unlinkat(fd, name, 0);
    }
    fs_dir_unpin(dir);
free_list:
    fs_list_free(&there);
}
