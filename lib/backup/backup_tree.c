/*
 * Directories. Each is compared with its cached row as the walk goes through it: two sorted lists.
 * As long as everything is as it was, nothing is kept but counts. At the first difference the
 * entries so far are taken from the row, and from then on each has a slot. When a directory has
 * been left and all in it is done, it is either as it was (its old entry stands), or a job encodes
 * its node and its new row.
 */
#include "backup/backup_internal.h"
#include "crypto/sha256.h"

#include <assert.h>
#include <stdlib.h>

static void finish_dir(struct backup_dir *d);

static void no_memory(struct backup *b)
{
    struct errmsg msg;
    backup_fail(b, err_say(&msg, ERR_NOMEM, "out of memory for a directory"), &msg);
}

static void next_cached(struct backup_dir *d)
{
    d->next_ok = d->has_row && index_dir_next(&d->row, &d->next) == ERR_OK;
}

static int compare_names(struct slice a, struct slice b)
{
    const size_t size = a.size < b.size ? a.size : b.size;
    const int order = size ? memcmp(a.data, b.data, size) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* The row's entry of that name. */
static bool find_cached(struct backup_dir *d, struct slice name, struct index_cached *out)
{
    while (d->next_ok) {
        const int order = compare_names(d->next.name, name);
        if (order > 0)
            return false;
        *out = d->next;
        d->consumed++;
        next_cached(d);
        if (order == 0)
            return true;
    }
    return false;
}

static struct backup_slot *slot_at(struct backup_dir *d, size_t index)
{
    if (index >= d->slot_capacity) {
        const size_t capacity = index < 8 ? 16 : 2 * index;
        struct backup_slot *grown = realloc(d->slots, capacity * sizeof(*grown));
        if (!grown) {
            no_memory(d->backup);
            return NULL;
        }
        memset(grown + d->slot_capacity, 0, (capacity - d->slot_capacity) * sizeof(*grown));
        d->slots = grown;
        d->slot_capacity = capacity;
    }
    return &d->slots[index];
}

/* From now on every entry has a slot: the ones so far are the row's first. */
static void change_dir(struct backup_dir *d)
{
    if (d->changed)
        return;
    d->changed = true;
    struct index_dir copy = d->row;
    index_dir_rewind(&copy);
    for (size_t i = 0; i < d->seen; i++) {
        struct backup_slot *slot = slot_at(d, i);
        if (!slot || index_dir_next(&copy, &slot->c) != ERR_OK)
            return;
    }
}

/* The slot of the next entry; its number. With `cached` it is as it was. */
static size_t add_entry(struct backup_dir *d, const struct index_cached *cached)
{
    const size_t index = d->seen;
    if (!d->changed && (!cached || d->consumed != d->seen + 1))
        change_dir(d);
    d->seen++;
    struct backup_slot *slot = d->changed ? slot_at(d, index) : NULL;
    if (slot && cached)
        slot->c = *cached;
    return index;
}

static bool same_stat(const struct backup *b, const struct fs_entry *entry,
                      const struct index_cached *cached)
{
    return entry->type == cached->type && entry->mtime.s == cached->mtime_s &&
           entry->mtime.ns == cached->mtime_ns &&
           (b->options.ignore_ctime ||
            (entry->ctime.s == cached->ctime_s && entry->ctime.ns == cached->ctime_ns)) &&
           (b->options.ignore_inode || entry->inode == cached->inode) &&
           (entry->type == FS_DIRECTORY || entry->size == cached->size);
}

/* --- entering, entries, leaving --- */

static void enter(struct backup *b, const struct fs_event *event, struct index_dir *row)
{
    struct backup_dir *parent = b->dir, *d = calloc(1, sizeof(*d));
    struct index_cached cached;
    if (!d) {
        if (row)
            index_dir_free(row);
        no_memory(b);
        return;
    }
    *d = (struct backup_dir){
        .backup = b,
        .parent = parent,
        .fs = fs_dir_ref(event->dir),
        .entry = event->entry,
        .partial = event->partial,
        .node = BUF_INIT(SNAPSHOT_ENTRY_BYTES_MAX),
        .new_row = BUF_INIT(INDEX_DIR_BYTES_MAX),
        .path = BUF_INIT(1 << 20),
    };
    list_append(&b->dirs, &d->link);
    d->entry.name = parent ? fs_dir_name(d->fs) : slice_of(NULL, 0);
    if (row) {
        d->row = *row;
        d->has_row = true;
        next_cached(d);
    }
    if (parent) {
        const bool found = find_cached(parent, d->entry.name, &cached);
        d->known = found && cached.type == FS_DIRECTORY;
        d->same = d->known && same_stat(b, &d->entry, &cached);
        d->old_node = d->known ? cached.node : slice_of(NULL, 0);
        d->slot = add_entry(parent, d->known ? &cached : NULL);
        parent->pending++;
    }
    b->dir = d;
}

static void entry(struct backup *b, const struct fs_event *event)
{
    struct backup_dir *d = b->dir;
    struct index_cached cached;
    const struct slice name = event->entry.name;
    if (event->entry.type == FS_SOCKET) {
        backup_note(b, d->fs, name, "is a socket and is left out");
        return;
    }
    const bool known = find_cached(d, name, &cached);
    const bool is_file = event->entry.type == FS_FILE;
    b->progress.files_total += is_file;
    b->progress.bytes_total += is_file ? event->entry.size : 0;
    if (known && same_stat(b, &event->entry, &cached)) {
        add_entry(d, &cached);
        b->summary.files_unmodified += is_file;
        b->progress.files_done += is_file;
        b->progress.bytes_done += is_file ? event->entry.size : 0;
        return;
    }
    b->summary.bytes_changed += is_file ? event->entry.size : 0;
    struct backup_file *file = calloc(1, sizeof(*file) + name.size + 1);
    if (!file) {
        no_memory(b);
        return;
    }
    memcpy(file->name, name.data, name.size);
    file->dir = d;
    file->entry = event->entry;
    file->entry.name = slice_of(file->name, name.size);
    file->known = known;
    file->node = BUF_INIT(SNAPSHOT_ENTRY_BYTES_MAX);
    file->slot = add_entry(d, NULL);
    d->pending++;
    if (b->options.dry_run) {
        backup_tree_file_done(file);
        return;
    }
    list_append(&b->files, &file->link);
    b->file_count++;
}

void backup_tree_event(struct backup *b, const struct fs_event *event, struct index_dir *row)
{
    struct backup_dir *d;
    switch (event->kind) {
    case FS_EVENT_ENTER:
        enter(b, event, row);
        break;
    case FS_EVENT_ENTRY:
        entry(b, event);
        break;
    case FS_EVENT_PROBLEM:
        backup_problem(b, event->error, event->dir, event->entry.name, event->problem);
        break;
    case FS_EVENT_LEAVE:
        d = b->dir;
        b->dir = d->parent;
        d->left = true;
        if (d->pending == 0)
            finish_dir(d);
        break;
    }
}

/* --- a directory is done --- */

static void free_dir(struct backup_dir *d)
{
    list_remove(&d->link);
    for (size_t i = 0; d->slots && i < d->slot_capacity; i++)
        free(d->slots[i].owned);
    free(d->slots);
    if (d->has_row)
        index_dir_free(&d->row);
    buf_free(&d->node);
    buf_free(&d->new_row);
    buf_free(&d->path);
    fs_dir_release(d->fs);
    free(d);
}

static void child_done(struct backup_dir *parent)
{
    parent->pending--;
    if (parent->left && parent->pending == 0)
        finish_dir(parent);
}

/* Its entry is what it was (node empty), or `node`. */
static void end_dir(struct backup_dir *d)
{
    struct backup *b = d->backup;
    struct backup_dir *parent = d->parent;
    /* the root's own entry stands in no row: it is as it was when all in it is */
    if (d->as_it_was && (d->same || !parent))
        b->summary.dirs_unmodified++;
    else if (d->known || (!parent && d->has_row))
        b->summary.dirs_changed++;
    else
        b->summary.dirs_new++;
    if (!parent) {
        b->rooted = true;
        buf_free(&b->root);
        b->root = d->node;
        d->node = BUF_INIT(0);
    } else if (d->node.size > 0) {
        change_dir(parent);
        struct backup_slot *slot = slot_at(parent, d->slot);
        uint8_t *owned = slot ? malloc(d->node.size + d->entry.name.size) : NULL;
        if (!owned) {
            no_memory(b);
        } else {
            memcpy(owned, d->node.data, d->node.size);
            memcpy(owned + d->node.size, d->entry.name.data, d->entry.name.size);
            free(slot->owned);
            *slot = (struct backup_slot){
                .c = {.name = slice_of(owned + d->node.size, d->entry.name.size),
                      .type = FS_DIRECTORY,
                      .mtime_s = d->entry.mtime.s,
                      .mtime_ns = d->entry.mtime.ns,
                      .ctime_s = d->entry.ctime.s,
                      .ctime_ns = d->entry.ctime.ns,
                      .inode = d->entry.inode,
                      .node = slice_of(owned, d->node.size)},
                .owned = owned,
                .ticket = b->writer ? transfer_writer_last(b->writer) : 0,
            };
        }
    }
    free_dir(d);
    if (parent)
        child_done(parent);
}

static void dir_encoded(struct work_job *job)
{
    struct backup_dir *d = container_of(job, struct backup_dir, job);
    struct backup *b = d->backup;
    b->dirs_out--;
    backup_hasher_return(b, d->hasher);
    if (d->e != ERR_OK)
        backup_fail(b, d->e, &d->msg);
    if (d->note != ERR_OK)
        backup_problem(b, d->note, d->fs, slice_of(NULL, 0), d->msg.text);
    backup_chunks_put(d->chunks); /* frees it after a failure */
    if (b->e == ERR_OK) {
        backup_rows_keep(d);
        end_dir(d);
    } else {
        free_dir(d);
    }
    backup_pump(b);
}

static enum err emit_list(void *user, struct slice bytes, struct id *out_id)
{
    struct backup_dir *d = user;
    return backup_chunks_add(d->chunks, d->hasher->hash, SEGMENT_LIST, bytes, out_id);
}

static enum err end_node(struct backup_dir *d, struct buf *node, struct snapshot_list *list)
{
    struct snapshot_ref ref = {.bytes = node->size};
    enum err e =
        backup_chunks_add(d->chunks, d->hasher->hash, SEGMENT_TREE, buf_slice(node), &ref.id);
    return e == ERR_OK ? snapshot_list_add(list, &ref) : e;
}

/* The nodes, their refs into `list`, and the new row. */
static enum err encode_nodes(struct backup_dir *d, struct snapshot_list *list)
{
    struct buf node = BUF_INIT(SNAPSHOT_NODE_BYTES_MAX);
    enum err e = snapshot_node_start(&node);
    if (e == ERR_OK)
        e = index_dir_start(&d->new_row);
    for (size_t i = 0; e == ERR_OK && i < d->seen; i++) {
        const struct backup_slot *slot = &d->slots[i];
        if (slot->dropped)
            continue;
        e = buf_append(&node, slot->c.node.data, slot->c.node.size);
        if (e == ERR_OK)
            e = index_dir_append(&d->new_row, &slot->c);
        if (e == ERR_OK && snapshot_node_full(node.size, slot->c.name)) {
            e = end_node(d, &node, list);
            if (e == ERR_OK)
                e = snapshot_node_start(&node);
        }
    }
    if (e == ERR_OK && node.size > 1)
        e = end_node(d, &node, list);
    buf_free(&node);
    return e;
}

static enum err encode_self(struct backup_dir *d, const struct snapshot_content *content)
{
    struct fs_details details = FS_DETAILS_INIT;
    if (!d->backup->options.stream) /* whose directories are made up */
        d->note = fs_details_read(d->fs, &d->entry, &details, &d->msg);
    if (d->note == ERR_NOMEM)
        return d->note;
    enum err note = ERR_OK;
    enum err e = backup_tree_encode(&d->entry, &details, content, false, slice_of(NULL, 0), NULL,
                                    &d->node, &note);
    if (note != ERR_OK && d->note == ERR_OK)
        d->note = err_say(&d->msg, note, "its extended attributes are too large and left out");
    fs_details_free(&details);
    return e;
}

static void encode_dir(struct work_job *job)
{
    struct backup_dir *d = container_of(job, struct backup_dir, job);
    struct snapshot_content content = {0};
    struct snapshot_list list;
    snapshot_list_init(&list, emit_list, d);
    d->e = ERR_OK;
    if (d->reuse_content) {
        struct snapshot_entry old;
        d->e = snapshot_entry_decode(d->old_node, &old, &d->msg);
        content = old.content;
    } else {
        d->e = encode_nodes(d, &list);
        if (d->e == ERR_OK)
            d->e = snapshot_list_finish(&list, &content);
        struct id tree;
        if (d->e == ERR_OK) {
            backup_tree_name(&content, &tree);
            index_dir_set_tree(&d->new_row, &tree);
        }
        if (d->e == ERR_OK)
            d->e = fs_dir_path(d->fs, slice_of(NULL, 0), &d->path);
    }
    if (d->e == ERR_OK)
        d->e = encode_self(d, &content);
    if (d->e != ERR_OK)
        (void)err_say(&d->msg, d->e, "cannot encode a directory: %s", err_words(d->e));
    snapshot_list_free(&list);
}

/* What a row's tree is called: all that its directory's content refers to. */
void backup_tree_name(const struct snapshot_content *content, struct id *out)
{
    sha256(content->refs, out->bytes);
    out->bytes[0] ^= (uint8_t)content->depth;
}

/* A run that was killed may have left a row that is newer than the parent's, or of a part of the
   directory: then the entry in the parent's row is not of these entries. */
static bool is_of_row(const struct backup_dir *d)
{
    struct snapshot_entry old;
    struct id tree;
    if (!d->known)
        return true;
    if (snapshot_entry_decode(d->old_node, &old, NULL) != ERR_OK)
        return false;
    backup_tree_name(&old.content, &tree);
    return id_equal(&tree, &d->row.tree);
}

static void finish_dir(struct backup_dir *d)
{
    struct backup *b = d->backup;
    d->as_it_was = !d->changed && d->has_row && d->seen == d->row.count && is_of_row(d);
    if (d->as_it_was && d->known && d->same) {
        end_dir(d);
        return;
    }
    d->reuse_content = d->as_it_was && d->known;
    if (!d->reuse_content)
        change_dir(d);
    if (b->options.dry_run) {
        end_dir(d);
        return;
    }
    if (b->e == ERR_OK)
        d->hasher = backup_hasher_take(b);
    if (b->e == ERR_OK && backup_chunks_new(b, INDEX_METADATA, &d->chunks) != ERR_OK)
        no_memory(b);
    if (b->e != ERR_OK) {
        backup_hasher_return(b, d->hasher);
        free_dir(d);
        return;
    }
    b->dirs_out++;
    d->job.run = encode_dir;
    d->job.done = dir_encoded;
    work_submit(b->vault->ports.work, NULL, &d->job);
}

/* --- files --- */

void backup_tree_file_done(struct backup_file *file)
{
    struct backup_dir *d = file->dir;
    struct backup *b = d->backup;
    const bool is_file = file->entry.type == FS_FILE;
    struct backup_slot *slot = b->e == ERR_OK ? slot_at(d, file->slot) : NULL;
    if (file->e != ERR_OK && !b->options.stream) {
        backup_problem(b, file->e, d->fs, file->entry.name, file->msg.text);
        if (slot)
            slot->dropped = true;
    } else {
        if (file->note != ERR_OK)
            backup_problem(b, file->note, d->fs, file->entry.name, file->msg.text);
        else if (file->gone)
            backup_note(b, d->fs, file->entry.name, "was removed while it was read, and is kept");
        else if (file->tries > 0)
            backup_note(b, d->fs, file->entry.name,
                        "changed while it was read, and was read again");
        if (b->e == ERR_OK)
            backup_tell_change(b, file);
        b->summary.files_changed += is_file && file->known;
        b->summary.files_new += is_file && !file->known;
        b->progress.bytes_done += is_file ? file->entry.size : 0;
        d->unkept_bytes += is_file ? file->entry.size : 0;
    }
    b->progress.files_done += is_file;
    uint8_t *owned =
        slot && !slot->dropped ? malloc(file->node.size + file->entry.name.size + 1) : NULL;
    if (owned) {
        memcpy(owned, file->name, file->entry.name.size);
        if (file->node.size > 0)
            memcpy(owned + file->entry.name.size, file->node.data, file->node.size);
        const struct fs_entry *e = &file->entry;
        *slot = (struct backup_slot){
            .c = {.name = slice_of(owned, e->name.size),
                  .type = (uint8_t)e->type,
                  .size = e->size,
                  .mtime_s = e->mtime.s,
                  .mtime_ns = e->mtime.ns,
                  .ctime_s = e->ctime.s,
                  .ctime_ns = e->ctime.ns,
                  .inode = e->inode,
                  .node = slice_of(owned + e->name.size, file->node.size)},
            .owned = owned,
            .ticket = b->writer ? transfer_writer_last(b->writer) : 0,
        };
    } else if (slot && !slot->dropped) {
        no_memory(b);
    }
    buf_free(&file->node);
    free(file);
    child_done(d);
}

/* --- entries --- */

static enum err encode_xattrs(const struct fs_details *details, struct buf *out)
{
    struct snapshot_xattr *list = calloc(details->xattr_count + 1, sizeof(*list));
    if (!list)
        return ERR_NOMEM;
    for (size_t i = 0; i < details->xattr_count; i++)
        list[i] = (struct snapshot_xattr){.name = slice_text(details->xattrs[i].name),
                                          .value = details->xattrs[i].value};
    enum err e = snapshot_xattrs_encode(list, details->xattr_count, out);
    free(list);
    return e;
}

enum err backup_tree_encode(const struct fs_entry *e, const struct fs_details *details,
                            const struct snapshot_content *content, bool sparse, struct slice runs,
                            const struct snapshot_ref *runs_ref, struct buf *out, enum err *note)
{
    struct buf xattrs = BUF_INIT(SNAPSHOT_ENTRY_BYTES_MAX - (256 << 10));
    enum err result = encode_xattrs(details, &xattrs);
    if (result == ERR_TOO_LARGE) {
        *note = result;
        buf_clear(&xattrs);
        result = ERR_OK;
    }
    const bool device = e->type == FS_BLOCK_DEVICE || e->type == FS_CHARACTER_DEVICE;
    struct snapshot_entry entry_out = {
        .name = e->name,
        .type = (uint8_t)e->type,
        .mode = e->mode,
        .uid = e->uid,
        .gid = e->gid,
        .user = e->user ? slice_text(e->user) : slice_of(NULL, 0),
        .group = e->group ? slice_text(e->group) : slice_of(NULL, 0),
        .size = e->type == FS_FILE      ? e->size
                : e->type == FS_SYMLINK ? details->target.size
                                        : 0,
        .mtime_s = e->mtime.s,
        .mtime_ns = e->mtime.ns,
        .ctime_s = e->ctime.s,
        .ctime_ns = e->ctime.ns,
        .inode = e->inode,
        .device = e->links > 1 && e->type != FS_DIRECTORY ? e->device : 0,
        .links = e->links > 1 && e->type != FS_DIRECTORY ? e->links : 1,
        .rdev_major = device ? e->rdev_major : 0,
        .rdev_minor = device ? e->rdev_minor : 0,
        .inode_flags = details->inode_flags,
        .target = e->type == FS_SYMLINK ? details->target : slice_of(NULL, 0),
        .xattrs = buf_slice(&xattrs),
        .content = content ? *content : (struct snapshot_content){0},
        .sparse = sparse,
        .runs = runs,
    };
    if (runs_ref)
        entry_out.runs_ref = *runs_ref;
    if (result == ERR_OK)
        result = snapshot_entry_encode(&entry_out, out);
    buf_free(&xattrs);
    return result;
}

void backup_tree_free(struct backup *b)
{
    while (!list_empty(&b->dirs)) /* also those that waited for their files */
        free_dir(container_of(b->dirs.next, struct backup_dir, link));
}
