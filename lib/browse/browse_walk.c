#include "browse/browse_walk.h"

#include "crypto/sha256.h"
#include "transfer/transfer_tree.h"
#include "vault/vault_select.h"
#include "vault/vault_snapshots.h"

#include <stdlib.h>

#define WALK_CACHE_BYTES MIB(32)

struct browse_walk {
    struct vault *vault;
    struct browse_walk_options options;
    vault_done_fn *done;
    void *user;
    struct transfer_reader *reader;
    struct vault_snapshots all;
    bool loaded, found;
    size_t at, end; /* of all.list, the ones to be walked */
    struct transfer_tree *tree;
    struct transfer_tree_event event; /* the last one */
    struct transfer_content content;  /* of its file, while `in_content` */
    bool in_content;
};

static void walk_free(struct browse_walk *walk)
{
    transfer_tree_free(walk->tree);
    transfer_content_free(&walk->content);
    vault_snapshots_free(&walk->all);
    transfer_reader_free(walk->reader);
    free(walk);
}

static enum err load(struct browse_walk *walk, struct errmsg *msg)
{
    enum err e = vault_snapshots_load(transfer_reader_index(walk->reader), &walk->all, msg);
    walk->end = walk->all.count;
    if (e == ERR_OK && walk->options.snapshot) {
        e = vault_snapshots_pick(&walk->all, walk->options.snapshot, walk->options.host,
                                 vault_device(walk->vault), &walk->at, msg);
        walk->end = walk->at + 1;
    }
    walk->loaded = e == ERR_OK;
    return e;
}

/* Is `path` the wanted one or below it (1), on the way to it (-1), or neither (0)? */
static int relation(const char *wanted, struct slice path)
{
    size_t size = wanted ? strlen(wanted) : 0;
    while (size > 0 && wanted[size - 1] == '/')
        size--;
    if (size == 0)
        return 1;
    if (path.size >= size && memcmp(path.data, wanted, size) == 0 &&
        (path.size == size || path.data[size] == '/'))
        return 1;
    if (path.size == 1 ||
        (path.size < size && memcmp(path.data, wanted, path.size) == 0 && wanted[path.size] == '/'))
        return -1;
    return 0;
}

/* All by which its bytes are put together. */
static enum err name_content(const struct snapshot_entry *e, struct id *out)
{
    struct buf all = BUF_INIT(2 * SNAPSHOT_ENTRY_BYTES_MAX);
    enum err result = buf_append_u8(&all, (uint8_t)e->content.depth);
    if (result == ERR_OK)
        result = buf_append_le64(&all, e->content.refs.size);
    if (result == ERR_OK)
        result = buf_append(&all, e->content.refs.data, e->content.refs.size);
    if (result == ERR_OK && e->sparse)
        result = buf_append(&all, e->runs_ref.id.bytes, ID_SIZE);
    if (result == ERR_OK && e->sparse)
        result = buf_append(&all, e->runs.data, e->runs.size);
    sha256(buf_slice(&all), out->bytes);
    buf_free(&all);
    return result;
}

static enum err tell(struct browse_walk *walk, const struct transfer_tree_event *event)
{
    const struct snapshot_entry *e = &event->entry;
    const bool is_file = e->type == SNAPSHOT_TYPE_FILE;
    struct browse_walk_entry entry = {
        .snapshot = &walk->all.list[walk->at],
        .path = event->path,
        .type = e->type,
        .mode = e->mode,
        .uid = e->uid,
        .gid = e->gid,
        .links = e->links,
        .size = e->size,
        .inode = e->inode,
        .device = e->device,
        .mtime_ns = e->mtime_s * 1000000000 + e->mtime_ns,
        .ctime_ns = e->ctime_s * 1000000000 + e->ctime_ns,
        .user = e->user,
        .group = e->group,
        .target = e->target,
    };
    enum err result = is_file && walk->options.contents ? name_content(e, &entry.content) : ERR_OK;
    if (result == ERR_OK)
        result = walk->options.entry(walk->options.user, &entry);
    if (result == ERR_OK && is_file && walk->options.piece) {
        result = transfer_content_start(&walk->content, &e->content);
        walk->in_content = result == ERR_OK;
    }
    return result;
}

/* Those of the file that was just told. */
static enum err tell_pieces(struct browse_walk *walk, struct errmsg *msg)
{
    struct snapshot_ref ref;
    while (walk->in_content) {
        enum err e = transfer_content_next(&walk->content, walk->reader, &ref, msg);
        if (e == ERR_BUSY || e == ERR_NOMEM)
            return e;
        walk->in_content = e != ERR_END;
        if (e == ERR_OK) {
            e = walk->options.piece(walk->options.user, &ref.id, ref.bytes);
            if (e != ERR_OK)
                return e;
        } else if (e != ERR_END) { /* a list of it that cannot be had */
            walk->options.problem(walk->options.user, walk->event.path, e, msg->text);
        }
    }
    return ERR_OK;
}

/* Is it the path itself? */
static bool is_wanted(const struct browse_walk *walk, struct slice path)
{
    size_t size = walk->options.path ? strlen(walk->options.path) : 0;
    while (size > 1 && walk->options.path[size - 1] == '/')
        size--;
    return path.size <= size || path.size == 1;
}

static enum err handle(struct browse_walk *walk, const struct transfer_tree_event *event,
                       struct errmsg *msg)
{
    if (event->kind == TRANSFER_TREE_LEAVE)
        return ERR_OK;
    if (event->kind == TRANSFER_TREE_PROBLEM) {
        walk->options.problem(walk->options.user, event->path, event->e, msg->text);
        return ERR_OK;
    }
    const int how = relation(walk->options.path, event->path);
    if (how <= 0) {
        if (how == 0 && event->kind == TRANSFER_TREE_ENTER)
            transfer_tree_skip(walk->tree);
        return ERR_OK;
    }
    walk->found = true;
    const enum err e = tell(walk, event);
    if (walk->options.shallow && event->kind == TRANSFER_TREE_ENTER &&
        !is_wanted(walk, event->path))
        transfer_tree_skip(walk->tree);
    return e;
}

static bool chosen(const struct browse_walk *walk, const struct snapshot *s)
{
    const struct browse_walk_options *o = &walk->options;
    if (o->snapshot)
        return true;
    return vault_select_host_and_tags(s, o->host, o->tags, o->tag_count);
}

static enum err next_tree(struct browse_walk *walk, struct errmsg *msg)
{
    for (; walk->at < walk->end; walk->at++) {
        const struct vault_snapshot *s = &walk->all.list[walk->at];
        if (!chosen(walk, &s->snapshot))
            continue;
        return transfer_tree_new(walk->reader, s->snapshot.root, slice_text("/"), &walk->tree, msg);
    }
    return ERR_END;
}

static enum err step(void *user, struct errmsg *msg)
{
    struct browse_walk *walk = user;
    enum err e = walk->loaded ? ERR_OK : load(walk, msg);
    while (e == ERR_OK) {
        if (!walk->tree)
            e = next_tree(walk, msg);
        if (e != ERR_OK)
            break;
        e = tell_pieces(walk, msg);
        if (e == ERR_OK)
            e = transfer_tree_next(walk->tree, &walk->event, msg);
        if (e == ERR_OK)
            e = handle(walk, &walk->event, msg);
        if (e == ERR_END) {
            transfer_tree_free(walk->tree);
            walk->tree = NULL;
            walk->at++;
            e = ERR_OK;
        }
    }
    if (e == ERR_END && walk->options.path && !walk->found)
        return err_say(msg, ERR_NOT_FOUND, "there is no %s in the snapshot", walk->options.path);
    return e == ERR_END ? ERR_OK : e;
}

static void ended(void *user, enum err e, const struct errmsg *why)
{
    struct browse_walk *walk = user;
    const struct errmsg msg = *why;
    vault_done_fn *done = walk->done;
    void *done_user = walk->user;
    walk_free(walk);
    done(done_user, e, &msg);
}

enum err browse_walk_start(struct vault *vault, const struct browse_walk_options *options,
                           vault_done_fn *done, void *user, struct browse_walk **out,
                           struct errmsg *msg)
{
    struct browse_walk *walk = calloc(1, sizeof(*walk));
    if (!walk)
        return err_say(msg, ERR_NOMEM, "out of memory");
    walk->vault = vault;
    walk->options = *options;
    walk->done = done;
    walk->user = user;
    enum err e = transfer_reader_new(vault, WALK_CACHE_BYTES, &walk->reader, msg);
    if (e == ERR_OK)
        e = transfer_reader_run(walk->reader, step, ended, walk, msg);
    if (e != ERR_OK) {
        walk_free(walk);
        return e;
    }
    *out = walk;
    return ERR_OK;
}

void browse_walk_cancel(struct browse_walk *walk)
{
    transfer_reader_cancel(walk->reader);
}
