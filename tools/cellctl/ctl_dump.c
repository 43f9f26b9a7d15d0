/* cellctl dump: a file's bytes, or a directory as tar or zip. */
#include "base/idmap.h"
#include "browse/browse_dump.h"
#include "bundle/bundle.h"
#include "ctl.h"
#include "fs/fs_entry.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT_MAX = 4 << 20 };

struct dump {
    struct ctl *ctl;
    struct browse_dump *running;
    FILE *out;
    char *snapshot, *path; /* owned */
    size_t prefix_size;    /* of the path, not in the archive's names */
    enum bundle_format format;
    struct bundle *bundle; /* owned; NULL: a file's bytes as they are */
    bool decided;
    struct idmap links; /* (device, inode) -> path in the archive; owned */
    struct buf text;    /* of one entry */
    uint64_t problems, lost;
};

static void say_problem(void *user, struct slice path, enum err e, const char *sentence)
{
    struct dump *dump = user;
    char name[CTL_TEXT_SIZE], text[CTL_TEXT_SIZE + ERRMSG_SIZE + 4];
    dump->problems++;
    if (e == ERR_NOT_ENOUGH)
        dump->lost++;
    snprintf(text, sizeof(text), "%s: %s", ctl_text(path, name), sentence);
    ctl_problem(&dump->ctl->out, "dump", path, text);
}

/* --- what follows runs on the dump's thread --- */

static enum err write_out(void *user, struct slice bytes)
{
    struct dump *dump = user;
    return fwrite(bytes.data, 1, bytes.size, dump->out) == bytes.size ? ERR_OK : ERR_IO;
}

/* A text with a NUL behind it; where it begins. Room was made. */
static size_t put(struct dump *dump, struct slice text)
{
    const size_t at = dump->text.size;
    err_ignore(buf_append(&dump->text, text.data, text.size));
    err_ignore(buf_append_u8(&dump->text, 0));
    return at;
}

/* Below the directory that was asked for, without a '/' in front; "." for itself. */
static struct slice archive_path(const struct dump *dump, struct slice path)
{
    size_t skip = dump->prefix_size < path.size ? dump->prefix_size : path.size;
    while (skip < path.size && path.data[skip] == '/')
        skip++;
    return skip < path.size ? slice_of(path.data + skip, path.size - skip) : slice_text(".");
}

static mode_t mode_of(const struct snapshot_entry *entry)
{
    static const mode_t types[] = {
        [FS_FILE] = S_IFREG, [FS_DIRECTORY] = S_IFDIR,    [FS_SYMLINK] = S_IFLNK,
        [FS_FIFO] = S_IFIFO, [FS_BLOCK_DEVICE] = S_IFBLK, [FS_CHARACTER_DEVICE] = S_IFCHR};
    return (entry->type < ARRAY_COUNT(types) ? types[entry->type] : 0) | (entry->mode & 07777);
}

/* The path of an earlier entry that is the same file; remembers this one when there is none. */
static enum err earlier_link(struct dump *dump, const struct snapshot_entry *entry,
                             struct slice path, const char **out)
{
    struct id key = {0};
    *out = NULL;
    if (entry->links <= 1 || entry->type == FS_DIRECTORY || entry->type == FS_SYMLINK ||
        dump->format != BUNDLE_TAR)
        return ERR_OK;
    put_le64(key.bytes, entry->inode * 0x9e3779b97f4a7c15u);
    put_le64(key.bytes + 8, entry->device);
    *out = idmap_get(&dump->links, &key);
    if (*out)
        return ERR_OK;
    char *copy = strndup((const char *)path.data, path.size);
    const enum err e = copy ? idmap_set(&dump->links, &key, copy) : ERR_NOMEM;
    if (e != ERR_OK)
        free(copy);
    return e;
}

/* Owned arrays of one entry. */
struct lists {
    struct bundle_xattr *xattrs;
    struct bundle_run *runs;
};

static enum err make_lists(struct dump *dump, const struct browse_dump_entry *from,
                           struct bundle_entry *to, struct lists *lists)
{
    struct snapshot_xattrs walk;
    struct snapshot_xattr one;
    const size_t run_count = from->runs.size / SNAPSHOT_RUN_SIZE;
    lists->xattrs = malloc(SNAPSHOT_XATTRS_MAX * sizeof(*lists->xattrs));
    lists->runs = malloc((run_count + 1) * sizeof(*lists->runs));
    if (!lists->xattrs || !lists->runs)
        return ERR_NOMEM;
    snapshot_xattrs_open(&walk, from->entry->xattrs);
    while (from->entry->xattrs.size > 0 && to->xattr_count < SNAPSHOT_XATTRS_MAX &&
           snapshot_xattrs_next(&walk, &one))
        lists->xattrs[to->xattr_count++] = (struct bundle_xattr){
            .name = (const char *)dump->text.data + put(dump, one.name), .value = one.value};
    for (size_t i = 0; i < run_count; i++)
        snapshot_run_at(from->runs, i, &lists->runs[i].offset, &lists->runs[i].size);
    to->xattrs = lists->xattrs;
    to->run_count = run_count;
    if (from->entry->sparse)
        to->runs = lists->runs;
    return ERR_OK;
}

static enum err add_entry(struct dump *dump, const struct browse_dump_entry *from, bool *content,
                          struct errmsg *msg)
{
    const struct snapshot_entry *entry = from->entry;
    const struct slice path = archive_path(dump, from->path);
    struct lists lists = {0};
    buf_clear(&dump->text);
    /* so that texts do not move while pointers to them are taken */
    enum err e = buf_reserve(&dump->text, path.size + entry->user.size + entry->group.size +
                                              entry->target.size + entry->xattrs.size +
                                              SNAPSHOT_XATTRS_MAX + 16);
    if (e != ERR_OK)
        return e;
    const char *text = (const char *)dump->text.data;
    struct bundle_entry to = {
        .path = text + put(dump, path),
        .mode = mode_of(entry),
        .uid = entry->uid,
        .gid = entry->gid,
        .user = text + put(dump, entry->user),
        .group = text + put(dump, entry->group),
        .size = entry->size,
        .mtime_s = entry->mtime_s,
        .mtime_ns = entry->mtime_ns,
        .rdev_major = entry->rdev_major,
        .rdev_minor = entry->rdev_minor,
    };
    if (entry->type == FS_SYMLINK)
        to.link = text + put(dump, entry->target);
    else
        e = earlier_link(dump, entry, path, &to.link);
    if (e == ERR_OK)
        e = make_lists(dump, from, &to, &lists);
    if (e == ERR_OK)
        e = bundle_entry(dump->bundle, &to, msg);
    if (e == ERR_UNSUPPORTED) {
        say_problem(dump, from->path, e, msg->text);
        *content = false;
        e = ERR_OK;
    } else if (entry->type != FS_SYMLINK && to.link) {
        *content = false;
    }
    free(lists.xattrs);
    free(lists.runs);
    return e;
}

static enum err decide(struct dump *dump, const struct snapshot_entry *entry, struct errmsg *msg)
{
    dump->decided = true;
    if (entry->type == FS_FILE)
        return ERR_OK;
    if (entry->type != FS_DIRECTORY)
        return err_say(msg, ERR_USAGE, "%s is neither a file nor a directory in the snapshot",
                       dump->path);
    if (isatty(fileno(dump->out)))
        return err_say(msg, ERR_USAGE,
                       "standard output is a terminal, and an archive no text: send it into a file "
                       "or a pipe, or give --target FILE");
    return bundle_new(dump->format, write_out, dump, &dump->bundle, msg);
}

static enum err on_entry(void *user, const struct browse_dump_entry *entry, bool *content,
                         struct errmsg *msg)
{
    struct dump *dump = user;
    const enum err e = dump->decided ? ERR_OK : decide(dump, entry->entry, msg);
    return e == ERR_OK && dump->bundle ? add_entry(dump, entry, content, msg) : e;
}

static enum err on_bytes(void *user, struct slice bytes, struct errmsg *msg)
{
    struct dump *dump = user;
    if (dump->bundle)
        return bundle_bytes(dump->bundle, bytes, msg);
    const enum err e = write_out(dump, bytes);
    return e == ERR_OK ? e : err_say(msg, e, "cannot write what was dumped");
}

/* --- the command --- */

static void cancel(struct ctl *ctl)
{
    struct dump *dump = ctl->operation;
    if (!ctl->ended)
        browse_dump_cancel(dump->running);
}

/* "SNAP[:SUBPATH] PATH": PATH below SUBPATH. */
static enum err take_arguments(struct dump *dump)
{
    struct ctl *ctl = dump->ctl;
    const char *archive = ctl->options.archive, *path = ctl->options.arguments.items[1];
    if (archive && !strcmp(archive, "zip"))
        dump->format = BUNDLE_ZIP;
    else if (archive && strcmp(archive, "tar") != 0)
        return err_say(&ctl->msg, ERR_USAGE, "--archive takes tar or zip, not '%s'", archive);
    dump->snapshot = strdup(ctl->options.arguments.items[0]);
    if (!dump->snapshot)
        return err_say(&ctl->msg, ERR_NOMEM, "out of memory");
    char *colon = strchr(dump->snapshot, ':');
    if (colon)
        *colon = 0;
    const char *below = colon ? colon + 1 : "";
    dump->prefix_size = strlen(below);
    while (dump->prefix_size > 0 && below[dump->prefix_size - 1] == '/')
        dump->prefix_size--;
    const size_t size = strlen(below) + strlen(path) + 2;
    dump->path = malloc(size);
    if (!dump->path)
        return err_say(&ctl->msg, ERR_NOMEM, "out of memory");
    while (colon && *path == '/')
        path++;
    snprintf(dump->path, size, "%.*s%s%s", (int)dump->prefix_size, below, colon ? "/" : "", path);
    return ERR_OK;
}

static enum err open_out(struct dump *dump)
{
    struct ctl *ctl = dump->ctl;
    dump->out = ctl->options.target ? fopen(ctl->options.target, "wb") : stdout;
    if (dump->out)
        return ERR_OK;
    return err_say_errno(&ctl->msg, errno, "cannot write %s", ctl->options.target);
}

static enum err run(struct dump *dump)
{
    struct ctl *ctl = dump->ctl;
    const struct browse_dump_options options = {
        .snapshot = dump->snapshot,
        .host = ctl->options.host,
        .path = dump->path,
        .entry = on_entry,
        .bytes = on_bytes,
        .problem = say_problem,
        .user = dump,
    };
    ctl->operation = dump;
    enum err e = browse_dump_start(ctl->vault, &options, ctl_done, ctl, &dump->running, &ctl->msg);
    if (e == ERR_OK) {
        ctl->cancel = cancel;
        e = ctl_wait(ctl);
        ctl->cancel = NULL;
    }
    if (e == ERR_OK && dump->bundle)
        e = bundle_finish(dump->bundle, &ctl->msg);
    if (e == ERR_OK && fflush(dump->out) != 0)
        e = err_say_errno(&ctl->msg, errno, "cannot write what was dumped");
    return e;
}

static void clear(struct dump *dump)
{
    size_t at = 0;
    void *path;
    bundle_free(dump->bundle);
    while ((path = idmap_next(&dump->links, &at, NULL)) != NULL)
        free(path);
    idmap_free(&dump->links);
    buf_free(&dump->text);
    if (dump->out && dump->out != stdout)
        (void)fclose(dump->out);
    free(dump->snapshot);
    free(dump->path);
}

int ctl_dump(struct ctl *ctl)
{
    struct dump dump = {.ctl = ctl, .text = BUF_INIT(TEXT_MAX)};
    int code;
    (void)setlocale(LC_CTYPE, "C.UTF-8"); /* bundle/bundle.h */
    enum err e = take_arguments(&dump);
    if (e != ERR_OK)
        code = ctl_fail(&ctl->out, e == ERR_USAGE ? CTL_USAGE : CTL_FAILED, ctl->msg.text);
    else
        code = ctl_open_swarm(ctl, VAULT_READ);
    if (code == CTL_OK) {
        e = open_out(&dump);
        if (e == ERR_OK)
            e = run(&dump);
        if (e == ERR_NOT_ENOUGH && !ctl->interrupted)
            code = ctl_fail(&ctl->out, CTL_NOT_ENOUGH, ctl->msg.text);
        else if (e != ERR_OK)
            code = ctl_failed(ctl, e);
        else if (dump.problems > 0)
            code = dump.lost > 0 ? CTL_NOT_ENOUGH : CTL_FAILED;
    }
    clear(&dump);
    return code;
}
