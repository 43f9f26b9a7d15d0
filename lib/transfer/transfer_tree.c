#include "transfer/transfer_tree.h"

#include <stdlib.h>

/* A directory that is being walked. */
struct frame {
    struct transfer_content content;
    struct buf node; /* the node that is read; a copy */
    struct snapshot_node_reader reader;
    bool in_node;
    size_t path_size; /* of the directory's own path in tree->path */
};

struct transfer_tree {
    struct transfer_reader *reader;
    struct buf root, path;
    struct frame *frames;
    unsigned depth, capacity; /* frames in use */
    bool root_told, just_entered;
};

enum err transfer_tree_new(struct transfer_reader *reader, struct slice root, struct slice path,
                           struct transfer_tree **out, struct errmsg *msg)
{
    struct transfer_tree *tree = calloc(1, sizeof(*tree));
    if (!tree)
        return err_say(msg, ERR_NOMEM, "out of memory");
    tree->reader = reader;
    tree->root = BUF_INIT(SNAPSHOT_ENTRY_BYTES_MAX);
    tree->path = BUF_INIT(TRANSFER_TREE_PATH_MAX);
    enum err e = buf_append(&tree->root, root.data, root.size);
    if (e == ERR_OK)
        e = buf_append(&tree->path, path.data, path.size);
    if (e != ERR_OK) {
        transfer_tree_free(tree);
        return err_say(msg, e, "cannot walk the tree: %s", err_words(e));
    }
    *out = tree;
    return ERR_OK;
}

static void frame_clear(struct frame *frame)
{
    transfer_content_free(&frame->content);
    buf_free(&frame->node);
}

void transfer_tree_free(struct transfer_tree *tree)
{
    if (!tree)
        return;
    for (unsigned i = 0; i < tree->depth; i++)
        frame_clear(&tree->frames[i]);
    free(tree->frames);
    buf_free(&tree->root);
    buf_free(&tree->path);
    free(tree);
}

static enum err push(struct transfer_tree *tree, const struct snapshot_entry *entry)
{
    if (tree->depth >= TRANSFER_TREE_DEPTH_MAX)
        return ERR_TOO_LARGE;
    if (tree->depth == tree->capacity) {
        const unsigned capacity = tree->capacity ? tree->capacity * 2 : 16;
        struct frame *more = realloc(tree->frames, capacity * sizeof(*more));
        if (!more)
            return ERR_NOMEM;
        tree->frames = more;
        tree->capacity = capacity;
    }
    struct frame *frame = &tree->frames[tree->depth];
    *frame =
        (struct frame){.node = BUF_INIT(SNAPSHOT_NODE_BYTES_MAX), .path_size = tree->path.size};
    const enum err e = transfer_content_start(&frame->content, &entry->content);
    if (e != ERR_OK) {
        frame_clear(frame);
        return e;
    }
    tree->depth++;
    return ERR_OK;
}

static void pop(struct transfer_tree *tree)
{
    frame_clear(&tree->frames[--tree->depth]);
}

void transfer_tree_skip(struct transfer_tree *tree)
{
    if (!tree->just_entered)
        return;
    tree->just_entered = false;
    pop(tree);
}

/* The next node of the frame's directory. ERR_END when there is none. */
static enum err next_node(struct transfer_tree *tree, struct frame *frame, struct errmsg *msg)
{
    struct snapshot_ref ref;
    struct slice bytes;
    enum err e = transfer_content_next(&frame->content, tree->reader, &ref, msg);
    if (e != ERR_OK)
        return e;
    e = transfer_reader_chunk(tree->reader, &ref.id, &bytes, msg);
    if (e == ERR_BUSY) { /* the same ref again, when the step is run again */
        frame->content.levels[frame->content.level].at--;
        return e;
    }
    if (e != ERR_OK)
        return e;
    buf_clear(&frame->node);
    e = buf_append(&frame->node, bytes.data, bytes.size);
    if (e == ERR_OK)
        e = snapshot_node_open(&frame->reader, buf_slice(&frame->node));
    if (e != ERR_OK)
        return err_say(msg, e, "a directory's node cannot be read: %s", err_words(e));
    frame->in_node = true;
    return ERR_OK;
}

static enum err path_set(struct transfer_tree *tree, size_t size, struct slice name)
{
    tree->path.size = size;
    enum err e = ERR_OK;
    if (name.size > 0 && tree->path.data[size - 1] != '/')
        e = buf_append_u8(&tree->path, '/');
    if (e == ERR_OK)
        e = buf_append(&tree->path, name.data, name.size);
    return e;
}

static enum err tell_problem(struct transfer_tree *tree, size_t path_size,
                             struct transfer_tree_event *out, enum err problem)
{
    tree->path.size = path_size;
    *out = (struct transfer_tree_event){
        .kind = TRANSFER_TREE_PROBLEM,
        .path = buf_slice(&tree->path),
        .depth = tree->depth,
        .e = problem,
    };
    return ERR_OK;
}

static enum err tell_entry(struct transfer_tree *tree, struct transfer_tree_event *out)
{
    out->path = buf_slice(&tree->path);
    out->depth = tree->depth;
    out->kind = TRANSFER_TREE_ENTRY;
    if (out->entry.type != SNAPSHOT_TYPE_DIRECTORY)
        return ERR_OK;
    out->kind = TRANSFER_TREE_ENTER;
    const enum err e = push(tree, &out->entry);
    tree->just_entered = e == ERR_OK;
    return e;
}

static enum err tell_root(struct transfer_tree *tree, struct transfer_tree_event *out,
                          struct errmsg *msg)
{
    tree->root_told = true;
    out->bytes = buf_slice(&tree->root);
    enum err e = snapshot_entry_decode(out->bytes, &out->entry, msg);
    if (e == ERR_OK && out->entry.type != SNAPSHOT_TYPE_DIRECTORY)
        e = err_say(msg, ERR_FORMAT, "the snapshot's root is no directory");
    return e == ERR_OK ? tell_entry(tree, out) : e;
}

static bool fatal(enum err e)
{
    return e == ERR_BUSY || e == ERR_NOMEM || e == ERR_CANCELLED;
}

enum err transfer_tree_next(struct transfer_tree *tree, struct transfer_tree_event *out,
                            struct errmsg *msg)
{
    *out = (struct transfer_tree_event){0};
    tree->just_entered = false;
    if (!tree->root_told)
        return tell_root(tree, out, msg);
    while (tree->depth > 0) {
        struct frame *frame = &tree->frames[tree->depth - 1];
        const size_t path_size = frame->path_size;
        enum err e = ERR_OK;
        if (!frame->in_node) {
            e = next_node(tree, frame, msg);
            if (e == ERR_END) {
                tree->path.size = path_size;
                pop(tree);
                *out = (struct transfer_tree_event){.kind = TRANSFER_TREE_LEAVE,
                                                    .path = buf_slice(&tree->path),
                                                    .depth = tree->depth};
                return ERR_OK;
            }
            if (e == ERR_OK)
                continue;
            return fatal(e) ? e : tell_problem(tree, path_size, out, e);
        }
        e = snapshot_node_next(&frame->reader, &out->entry, &out->bytes, msg);
        if (e == ERR_END) {
            frame->in_node = false;
            continue;
        }
        if (e != ERR_OK)
            frame->in_node = false;
        else
            e = path_set(tree, path_size, out->entry.name);
        if (e == ERR_OK)
            e = tell_entry(tree, out);
        if (e == ERR_OK)
            return ERR_OK;
        return fatal(e) ? e : tell_problem(tree, path_size, out, e);
    }
    return ERR_END;
}
