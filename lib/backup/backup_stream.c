/*
 * A backup of one file that is piped in. The walk's events are made up: the directories of its path
 * and the file. From then on it is a large file like others, but that its bytes come from the
 * stream, its size is known at the end only, and no row of the cache says anything about it.
 */
#include "backup/backup_internal.h"

#include <time.h>
#include <unistd.h>

static struct fs_entry made_up(const struct backup *b, enum fs_type type, struct slice name)
{
    const int64_t now_ns = clock_wall_ns(b->vault->ports.clock);
    const struct fs_time now = {now_ns / 1000000000, (uint32_t)(now_ns % 1000000000)};
    return (struct fs_entry){
        .name = name,
        .type = type,
        .mode = type == FS_DIRECTORY ? 0755 : 0644,
        .uid = getuid(),
        .gid = getgid(),
        .user = "",
        .group = "",
        .mtime = now,
        .ctime = now,
        .links = 1,
    };
}

static void tell(struct backup *b, enum fs_event_kind kind, struct fs_dir *dir, enum fs_type type,
                 struct slice name)
{
    const struct fs_event event = {.kind = kind, .dir = dir, .entry = made_up(b, type, name)};
    backup_tree_event(b, &event, NULL);
}

/* The next name of the path, behind `at`; *last: nothing follows. */
static struct slice next_name(const char *at, bool *last)
{
    const size_t size = strcspn(at, "/");
    *last = at[size] == 0;
    return slice_of(at, size);
}

enum err backup_stream_check(const char *path, struct errmsg *msg)
{
    bool last = false;
    const char *at = path + 1;
    if (path[0] != '/')
        return err_say(msg, ERR_USAGE, "the stream's path does not begin with a slash: %s", path);
    while (!last) {
        const struct slice name = next_name(at, &last);
        if (!fs_name_allowed(name))
            return err_say(msg, ERR_USAGE, "%s cannot be the name of a file in a snapshot",
                           path + 1);
        at += name.size + 1;
    }
    return ERR_OK;
}

enum err backup_stream_start(struct backup *b, struct errmsg *msg)
{
    const char *at = b->options.stream->path + 1;
    struct fs_dir *dir;
    bool last;
    enum err e = fs_tree_open("/", 0, &b->stream_tree, msg);
    if (e != ERR_OK)
        return e;
    dir = fs_tree_root(b->stream_tree);
    size_t depth = 1;
    tell(b, FS_EVENT_ENTER, dir, FS_DIRECTORY, slice_of(NULL, 0));
    struct slice name = next_name(at, &last);
    for (; e == ERR_OK && !last; name = next_name(at, &last), depth++) {
        struct fs_dir *child;
        e = fs_dir_child(dir, name, 0, 0, &child);
        if (e != ERR_OK)
            break;
        fs_dir_release(dir);
        dir = child;
        tell(b, FS_EVENT_ENTER, dir, FS_DIRECTORY, fs_dir_name(dir));
        at += name.size + 1;
    }
    if (e == ERR_OK) {
        tell(b, FS_EVENT_ENTRY, dir, FS_FILE, name);
        while (depth-- > 0)
            tell(b, FS_EVENT_LEAVE, dir, FS_DIRECTORY, slice_of(NULL, 0));
        b->ending = b->walked = true;
    }
    fs_dir_release(dir);
    return e == ERR_OK ? b->e : e;
}

enum err backup_stream_fill(struct backup *b, uint8_t *out, size_t size, size_t *got,
                            struct errmsg *msg)
{
    const struct backup_stream *stream = b->options.stream;
    enum err e = ERR_OK;
    size_t some = 1;
    for (*got = 0; e == ERR_OK && *got < size && some > 0; *got += some) {
        some = 0;
        e = stream->read(stream->user, out + *got, size - *got, &some, msg);
    }
    return e;
}

enum err backup_stream_finish(struct backup_file *file, const struct snapshot_content *content,
                              uint64_t size)
{
    const struct fs_details none = FS_DETAILS_INIT;
    enum err note = ERR_OK;
    file->entry.size = size;
    return backup_tree_encode(&file->entry, &none, content, false, slice_of(NULL, 0), NULL,
                              &file->node, &note);
}
