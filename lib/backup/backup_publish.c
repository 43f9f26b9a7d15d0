/*
 * The end of a backup: its snapshot, and what the next run wants to know, published with whatever
 * was committed (heads_publish.h).
 */
#include "backup/backup_internal.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static enum err slices_of(const char *const *texts, size_t count, struct slice **out)
{
    *out = calloc(count + 1, sizeof(**out));
    for (size_t i = 0; *out && i < count; i++)
        (*out)[i] = slice_text(texts[i]);
    return *out ? ERR_OK : ERR_NOMEM;
}

static enum err newest_own(struct backup *b, struct id *out, struct errmsg *msg)
{
    struct slice value;
    enum err e = index_fact_get(b->vault->index, "last-snapshot", &value, msg);
    if (e == ERR_OK && value.size == ID_SIZE)
        memcpy(out->bytes, value.data, ID_SIZE);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* Who backs up, as the system calls them; "" when it has no name for them. */
static void login_name(char *out, size_t size)
{
    struct passwd space, *found = NULL;
    char memory[4096];
    const char *name = getenv("USER");
    if (getpwuid_r(getuid(), &space, memory, sizeof(memory), &found) == 0 && found)
        name = found->pw_name;
    snprintf(out, size, "%s", name ? name : "");
}

static enum err make_snapshot(void *user, struct heads_publish *p, struct errmsg *msg)
{
    struct backup *b = user;
    struct heads_publish_item *item;
    struct buf bytes = BUF_INIT(SNAPSHOT_BYTES_MAX);
    const struct backup_options *o = &b->options;
    const char *const *roots;
    char login[LIMIT_NAME_BYTES + 1];
    char host[LIMIT_NAME_BYTES + 1] = "";
    const size_t root_count = b->walk ? fs_walk_roots(b->walk, &roots) : 1;
    if (!b->walk)
        roots = &o->stream->path;
    struct slice *paths = NULL, *tags = NULL, *excludes = NULL;
    const struct backup_summary *s = &b->summary;
    enum err e = slices_of(roots, root_count, &paths);
    if (e == ERR_OK)
        e = slices_of(o->tags, o->tag_count, &tags);
    if (e == ERR_OK)
        e = slices_of(o->exclude_texts, o->exclude_text_count, &excludes);
    login_name(login, sizeof(login));
    (void)gethostname(host, sizeof(host) - 1);
    struct snapshot snapshot = {
        .time_ns = o->time_ns ? o->time_ns : heads_publish_time_ns(p),
        .host = slice_text(o->host ? o->host : host),
        .user = slice_text(login),
        .uid = getuid(),
        .gid = getgid(),
        .paths = paths,
        .path_count = root_count,
        .tags = tags,
        .tag_count = o->tag_count,
        .excludes = excludes,
        .exclude_count = o->exclude_text_count,
        .root = buf_slice(&b->root),
        .program = slice_text(o->program ? o->program : "cellar"),
        .totals = {.files = s->files_new + s->files_changed + s->files_unmodified,
                   .directories = s->dirs_new + s->dirs_changed + s->dirs_unmodified,
                   .bytes = b->progress.bytes_done,
                   .unreadable = s->problems},
    };
    if (e == ERR_OK)
        e = newest_own(b, &snapshot.parent, msg);
    if (e == ERR_OK)
        e = snapshot_encode(&snapshot, &bytes);
    if (e == ERR_OK)
        e = heads_publish_add(p, SEGMENT_SNAPSHOT, &bytes, &item);
    if (e == ERR_OK) {
        item->time_ns = snapshot.time_ns;
        b->snapshot_id = item->id;
    }
    buf_free(&bytes);
    free(paths);
    free(tags);
    free(excludes);
    return e;
}

/* With the head: what the next run wants to know. */
static enum err store_facts(void *user, struct heads_publish *p, struct errmsg *msg)
{
    struct backup *b = user;
    struct index *index = b->vault->index;
    enum err e =
        index_fact_put(index, "last-snapshot", slice_of(b->snapshot_id.bytes, ID_SIZE), msg);
    if (e == ERR_OK)
        e = index_fact_put_number(index, "last-backup", heads_publish_time_ns(p) / 1000000000, msg);
    if (e == ERR_OK)
        e = index_progress_clear(index, msg);
    return e;
}

static void published(void *user, enum err e, const struct errmsg *msg)
{
    struct backup *b = user;
    if (e == ERR_OK)
        b->summary.snapshot_id = b->snapshot_id;
    else
        backup_fail(b, e, msg);
    backup_published(b);
}

enum err backup_publish_new(struct backup *b, struct errmsg *msg)
{
    const struct heads_publish_options options = {
        .vault = b->vault,
        .writer = b->writer,
        .losses = b->options.accept_risk ? 0 : b->summary.m,
        .references = true,
        .prepare = make_snapshot,
        .store = store_facts,
        .done = published,
        .user = b,
        .done_user = b,
    };
    return heads_publish_new(&options, &b->publish, msg);
}

void backup_publish_note(struct backup *b, const struct transfer_writer_committed *s)
{
    struct errmsg msg;
    const enum err e = b->e == ERR_OK ? heads_publish_note(b->publish, s) : ERR_OK;
    if (e != ERR_OK)
        backup_fail(b, err_say(&msg, e, "cannot note a segment for the index"), &msg);
}
