#include "removal/removal_mark.h"

#include "index/index_removal.h"
#include "snapshot/snapshot.h"
#include "snapshot/snapshot_entry.h"
#include "transfer/transfer_reader.h"

#include <stdlib.h>

#define MARK_CACHE_BYTES MIB(48)
enum { MARK_AT_ONCE = 4096, PIECE = 64, DEPTH_MAX = 16384 };

/* What is being gone through. */
struct frame {
    struct buf bytes; /* refs that were new, or a tree node */
    size_t at;        /* of the next ref */
    unsigned depth;   /* of lists below these refs */
    bool is_node;
    bool of_directory; /* at depth 0 the refs are tree nodes */
    struct snapshot_node_reader reader;
};

struct removal_mark {
    struct vault *vault;
    struct transfer_reader *reader;
    vault_done_fn *done;
    void *user;
    struct frame *frames; /* owned */
    size_t depth, capacity;
    struct id *leaves; /* owned: chunks of files, not yet marked */
    size_t leaf_count;
    size_t snapshots; /* begun so far */
    bool begun;
};

static struct index *index_of(const struct removal_mark *m)
{
    return m->vault->index;
}

static void pop(struct removal_mark *m)
{
    buf_free(&m->frames[--m->depth].bytes);
}

static enum err push(struct removal_mark *m, size_t size_max, struct frame **out)
{
    if (m->depth == DEPTH_MAX)
        return ERR_TOO_LARGE;
    if (m->depth == m->capacity) {
        const size_t capacity = m->capacity ? 2 * m->capacity : 32;
        struct frame *grown = realloc(m->frames, capacity * sizeof(*grown));
        if (!grown)
            return ERR_NOMEM;
        m->frames = grown;
        m->capacity = capacity;
    }
    m->frames[m->depth] = (struct frame){.bytes = BUF_INIT(size_max)};
    *out = &m->frames[m->depth++];
    return ERR_OK;
}

/* --- marking --- */

static enum err flush_leaves(struct removal_mark *m, struct errmsg *msg)
{
    size_t fresh;
    const size_t count = m->leaf_count;
    m->leaf_count = 0;
    return index_marks_add(index_of(m), m->leaves, count, NULL, &fresh, msg);
}

static enum err mark_leaf(struct removal_mark *m, const struct id *id, struct errmsg *msg)
{
    m->leaves[m->leaf_count++] = *id;
    return m->leaf_count == MARK_AT_ONCE ? flush_leaves(m, msg) : ERR_OK;
}

/* Refs whose chunks are read: those that are new become a frame. */
static enum err mark_inner(struct removal_mark *m, struct slice refs, unsigned depth,
                           bool of_directory, struct errmsg *msg)
{
    const size_t count = snapshot_ref_count(refs);
    struct id *ids = calloc(count + 1, sizeof(*ids));
    bool *is_new = calloc(count + 1, sizeof(*is_new));
    struct frame *frame = NULL;
    size_t fresh = 0;
    enum err e = ids && is_new ? ERR_OK : ERR_NOMEM;
    for (size_t i = 0; e == ERR_OK && i < count; i++)
        ids[i] = snapshot_ref_at(refs, i).id;
    if (e == ERR_OK)
        e = index_marks_add(index_of(m), ids, count, is_new, &fresh, msg);
    if (e == ERR_OK && fresh > 0)
        e = push(m, refs.size, &frame);
    for (size_t i = 0; e == ERR_OK && frame && i < count; i++)
        if (is_new[i])
            e = buf_append(&frame->bytes, refs.data + i * SNAPSHOT_REF_SIZE, SNAPSHOT_REF_SIZE);
    if (e == ERR_OK && frame) {
        frame->depth = depth;
        frame->of_directory = of_directory;
    }
    free(ids);
    free(is_new);
    return e;
}

static enum err mark_refs(struct removal_mark *m, struct slice refs, unsigned depth,
                          bool of_directory, struct errmsg *msg)
{
    enum err e = ERR_OK;
    if (depth > 0 || of_directory)
        return mark_inner(m, refs, depth, of_directory, msg);
    for (size_t i = 0; e == ERR_OK && i < snapshot_ref_count(refs); i++) {
        const struct snapshot_ref ref = snapshot_ref_at(refs, i);
        e = mark_leaf(m, &ref.id, msg);
    }
    return e;
}

static enum err mark_entry(struct removal_mark *m, const struct snapshot_entry *entry,
                           struct errmsg *msg)
{
    enum err e = ERR_OK;
    if (entry->runs_ref.bytes > 0)
        e = mark_leaf(m, &entry->runs_ref.id, msg);
    return e == ERR_OK ? mark_refs(m, entry->content.refs, entry->content.depth,
                                   entry->type == SNAPSHOT_TYPE_DIRECTORY, msg)
                       : e;
}

/* --- one step further --- */

/* The frame's next ref is read, and what it holds becomes a frame. */
static enum err enter_ref(struct removal_mark *m, struct errmsg *msg)
{
    struct frame *frame = &m->frames[m->depth - 1];
    const struct slice refs = buf_slice(&frame->bytes);
    struct slice bytes, below;
    struct frame *node;
    if (frame->at == snapshot_ref_count(refs)) {
        pop(m);
        return ERR_OK;
    }
    const struct snapshot_ref ref = snapshot_ref_at(refs, frame->at);
    enum err e = transfer_reader_chunk(m->reader, &ref.id, &bytes, msg);
    if (e != ERR_OK)
        return e;
    frame->at++;
    if (frame->depth > 0) {
        const unsigned depth = frame->depth - 1;
        const bool of_directory = frame->of_directory;
        e = snapshot_list_decode(bytes, ref.bytes, &below);
        return e == ERR_OK ? mark_refs(m, below, depth, of_directory, msg) : e;
    }
    e = push(m, SNAPSHOT_NODE_BYTES_MAX, &node);
    if (e == ERR_OK)
        e = buf_append(&node->bytes, bytes.data, bytes.size);
    if (e == ERR_OK)
        e = snapshot_node_open(&node->reader, buf_slice(&node->bytes));
    if (e == ERR_OK)
        node->is_node = true;
    return e;
}

static enum err next_entry(struct removal_mark *m, struct errmsg *msg)
{
    struct snapshot_entry entry;
    const enum err e = snapshot_node_next(&m->frames[m->depth - 1].reader, &entry, NULL, msg);
    if (e == ERR_END) {
        pop(m);
        return ERR_OK;
    }
    return e == ERR_OK ? mark_entry(m, &entry, msg) : e;
}

static enum err begin_snapshot(struct removal_mark *m, struct errmsg *msg)
{
    struct index_snapshot row, again;
    struct slice body;
    struct snapshot snapshot = {0};
    struct snapshot_entry root;
    struct buf copy = BUF_INIT(SNAPSHOT_BYTES_MAX);
    size_t count, fresh;
    enum err e = index_snapshots(index_of(m), false, m->snapshots, &row, 1, &count, msg);
    if (e == ERR_OK && count == 0)
        return ERR_END;
    m->snapshots++;
    if (e == ERR_OK)
        e = index_marks_add(index_of(m), &row.id, 1, NULL, &fresh, msg);
    if (e == ERR_OK)
        e = index_snapshot_get(index_of(m), &row.id, &again, &body, msg);
    if (e == ERR_OK)
        e = buf_append(&copy, body.data, body.size);
    if (e == ERR_OK)
        e = snapshot_decode(buf_slice(&copy), &snapshot, msg);
    if (e == ERR_OK)
        e = snapshot_entry_decode(snapshot.root, &root, msg);
    if (e == ERR_OK)
        e = mark_entry(m, &root, msg);
    snapshot_free(&snapshot);
    buf_free(&copy);
    return e;
}

static enum err mark_objects(struct removal_mark *m, struct errmsg *msg)
{
    struct id after = {{0}}, ids[PIECE];
    size_t count = PIECE, fresh;
    enum err e = ERR_OK;
    while (e == ERR_OK && count == PIECE) {
        e = index_listed_objects(index_of(m), 1u << INDEX_COMMITTED, &after, ids, PIECE, &count,
                                 msg);
        if (e == ERR_OK)
            e = index_marks_add(index_of(m), ids, count, NULL, &fresh, msg);
    }
    return e;
}

static enum err mark_records(struct removal_mark *m, struct errmsg *msg)
{
    struct index_record rows[PIECE];
    size_t count = PIECE, fresh;
    uint64_t after = 0;
    enum err e = ERR_OK;
    while (e == ERR_OK && count == PIECE) {
        e = index_records(index_of(m), 0, after, rows, PIECE, &count, msg);
        for (size_t i = 0; e == ERR_OK && i < count; i++) {
            after = rows[i].number;
            if (id_is_zero(&rows[i].device) && !(rows[i].lifted && rows[i].type != INDEX_LIFT))
                e = index_marks_add(index_of(m), &rows[i].id, 1, NULL, &fresh, msg);
        }
    }
    return e;
}

static enum err go_on(struct removal_mark *m, struct errmsg *msg)
{
    if (m->depth > 0)
        return m->frames[m->depth - 1].is_node ? next_entry(m, msg) : enter_ref(m, msg);
    return begin_snapshot(m, msg);
}

static enum err mark_all(struct removal_mark *m, struct errmsg *msg)
{
    enum err e = ERR_OK;
    if (!m->begun)
        e = index_marks_clear(index_of(m), msg);
    if (e == ERR_OK && !m->begun)
        e = mark_objects(m, msg);
    if (e == ERR_OK && !m->begun)
        e = mark_records(m, msg);
    m->begun = true;
    while (e == ERR_OK)
        e = go_on(m, msg);
    if (e == ERR_END)
        e = flush_leaves(m, msg);
    return e;
}

/* One transaction a step: what was marked before a wait stays marked. */
static enum err step(void *user, struct errmsg *msg)
{
    struct removal_mark *m = user;
    enum err e = index_begin(index_of(m), msg);
    if (e != ERR_OK)
        return e;
    e = mark_all(m, msg);
    if (e == ERR_OK || e == ERR_BUSY) {
        struct errmsg why;
        const enum err committed = index_commit(index_of(m), &why);
        if (committed == ERR_OK)
            return e;
        *msg = why;
        return committed;
    }
    index_rollback(index_of(m));
    return err_wrap(msg, e, "cannot find out what is still needed");
}

static void ended(void *user, enum err e, const struct errmsg *why)
{
    struct removal_mark *m = user;
    const struct errmsg msg = *why;
    vault_done_fn *done = m->done;
    void *done_user = m->user;
    while (m->depth > 0)
        pop(m);
    transfer_reader_free(m->reader);
    free(m->frames);
    free(m->leaves);
    free(m);
    done(done_user, e, &msg);
}

enum err removal_mark_start(struct vault *vault, vault_done_fn *done, void *user,
                            struct removal_mark **out, struct errmsg *msg)
{
    struct removal_mark *m = calloc(1, sizeof(*m));
    if (!m)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *m = (struct removal_mark){.vault = vault, .done = done, .user = user};
    m->leaves = calloc(MARK_AT_ONCE, sizeof(*m->leaves));
    enum err e = m->leaves ? transfer_reader_new(vault, MARK_CACHE_BYTES, &m->reader, msg)
                           : err_say(msg, ERR_NOMEM, "out of memory");
    if (e == ERR_OK)
        e = transfer_reader_run(m->reader, step, ended, m, msg);
    if (e != ERR_OK) {
        transfer_reader_free(m->reader);
        free(m->leaves);
        free(m);
        return e;
    }
    *out = m;
    return ERR_OK;
}

void removal_mark_cancel(struct removal_mark *m)
{
    transfer_reader_cancel(m->reader);
}
