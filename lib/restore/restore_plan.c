#include "restore/restore_internal.h"

#include <stdlib.h>
#include <unistd.h>

/* Room for one more in a growing array; false: out of memory. */
static bool grow(void *array, size_t size, size_t count, size_t *capacity)
{
    void **data = array;
    if (count < *capacity)
        return true;
    const size_t more = *capacity ? *capacity * 2 : 256;
    void *bigger = realloc(*data, more * size);
    if (!bigger)
        return false;
    *data = bigger;
    *capacity = more;
    return true;
}

static enum err copy_bytes(struct slice bytes, struct slice *out)
{
    uint8_t *copy = malloc(bytes.size + 1);
    if (!copy)
        return ERR_NOMEM;
    memcpy(copy, bytes.data, bytes.size);
    *out = slice_of(copy, bytes.size);
    return ERR_OK;
}

static bool batch_full(const struct restore_batch *batch)
{
    return batch->file_count + batch->closed_count + batch->link_count >= batch->limit ||
           batch->use_count >= batch->limit * 2;
}

struct restore_batch *restore_batch_new(size_t limit_before)
{
    const size_t limit = limit_before ? limit_before * 2 : RESTORE_BATCH_FIRST;
    struct restore_batch *batch = calloc(1, sizeof(*batch));
    if (!batch)
        return NULL;
    batch->limit = limit < RESTORE_BATCH_FILES ? limit : RESTORE_BATCH_FILES;
    list_init(&batch->link);
    return batch;
}

/* --- which snapshot, and where in it --- */

static enum err choose(struct restore *r, struct errmsg *msg)
{
    struct vault_snapshots all;
    size_t index;
    enum err e = vault_snapshots_load(transfer_reader_index(r->reader), &all, msg);
    if (e != ERR_OK)
        return e;
    e = vault_snapshots_pick(&all, r->options.snapshot, r->options.host, vault_device(r->vault),
                             &index, msg);
    if (e == ERR_OK) {
        r->snapshot = all.list[index];
        all.list[index] = all.list[--all.count];
        e = buf_append(&r->root, r->snapshot.snapshot.root.data, r->snapshot.snapshot.root.size);
        if (e == ERR_OK)
            e = buf_append_text(&r->root_path, "/");
        r->chosen = e == ERR_OK;
    }
    vault_snapshots_free(&all);
    return e;
}

/* The next name of the subpath; size 0 at its end. */
static struct slice next_name(struct restore *r)
{
    const char *path = r->options.subpath;
    while (path[r->descended] == '/')
        r->descended++;
    size_t end = r->descended;
    while (path[end] && path[end] != '/')
        end++;
    return slice_of(path + r->descended, end - r->descended);
}

/* Looks for one name in the directory that `root` is. */
static enum err descend_one(struct restore *r, struct slice name, struct errmsg *msg)
{
    struct transfer_tree_event event;
    enum err e = ERR_OK;
    if (!r->descent)
        e = transfer_tree_new(r->reader, buf_slice(&r->root), buf_slice(&r->root_path), &r->descent,
                              msg);
    while (e == ERR_OK) {
        e = transfer_tree_next(r->descent, &event, msg);
        if (e != ERR_OK)
            break;
        if (event.kind == TRANSFER_TREE_PROBLEM)
            return event.e;
        if (event.kind == TRANSFER_TREE_LEAVE || event.depth == 0)
            continue;
        if (!slice_equal(event.entry.name, name)) {
            if (event.kind == TRANSFER_TREE_ENTER)
                transfer_tree_skip(r->descent);
            continue;
        }
        if (event.kind != TRANSFER_TREE_ENTER)
            return err_say(msg, ERR_USAGE,
                           "%s is no directory in the snapshot; use --include for a file",
                           r->options.subpath);
        buf_clear(&r->root);
        buf_clear(&r->root_path);
        e = buf_append(&r->root, event.bytes.data, event.bytes.size);
        if (e == ERR_OK)
            e = buf_append(&r->root_path, event.path.data, event.path.size);
        transfer_tree_free(r->descent);
        r->descent = NULL;
        r->descended += name.size;
        return e;
    }
    return e == ERR_END
               ? err_say(msg, ERR_NOT_FOUND, "there is no %s in the snapshot", r->options.subpath)
               : e;
}

static enum err open_target(struct restore *r, struct errmsg *msg)
{
    const struct fs_target_options options = {
        .path = r->options.target,
        .overwrite = r->options.overwrite,
        .numeric_owners = r->options.numeric_owners,
        .replace_directories = r->options.delete_others,
        .dry_run = r->options.dry_run,
        .on_note = restore_on_note,
        .user = r,
    };
    struct fs_target *target = NULL;
    const bool was_there = access(r->options.target, F_OK) == 0;
    enum err e = fs_target_open(&options, &target, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "cannot restore into %s", r->options.target);
    r->target = target;
    r->target_made = !was_there;
    return ERR_OK;
}

static enum err begin(struct restore *r, struct errmsg *msg)
{
    enum err e = r->chosen ? ERR_OK : choose(r, msg);
    while (e == ERR_OK && r->options.subpath) {
        const struct slice name = next_name(r);
        if (name.size == 0)
            break;
        e = descend_one(r, name, msg);
    }
    if (e == ERR_OK)
        e = open_target(r, msg);
    if (e == ERR_OK)
        e = transfer_tree_new(r->reader, buf_slice(&r->root), buf_slice(&r->root_path), &r->tree,
                              msg);
    return e;
}

/* --- directories --- */

static bool included(const struct restore *r, struct slice path)
{
    return !r->options.include || fs_exclude_matches(r->options.include, path);
}

static enum err add_name(struct restore_dir *dir, struct slice name)
{
    const enum err e = buf_append_le16(&dir->name_text, (uint16_t)name.size);
    if (e != ERR_OK)
        return e;
    dir->name_count++;
    return buf_append(&dir->name_text, name.data, name.size);
}

static struct restore_dir *top(const struct restore *r)
{
    return r->stack_count ? r->stack[r->stack_count - 1] : NULL;
}

static enum err enter(struct restore *r, const struct transfer_tree_event *event,
                      struct errmsg *msg)
{
    struct restore_dir *parent = top(r);
    if (parent && r->options.delete_others) {
        const enum err e = add_name(parent, event->entry.name);
        if (e != ERR_OK)
            return e;
    }
    if (parent && (fs_exclude_matches(r->options.exclude, event->path) ||
                   (!included(r, event->path) &&
                    !fs_exclude_may_match_below(r->options.include, event->path)))) {
        transfer_tree_skip(r->tree);
        return ERR_OK;
    }
    struct restore_dir *dir = calloc(1, sizeof(*dir));
    if (!dir ||
        !grow(&r->stack, sizeof(struct restore_dir *), r->stack_count, &r->stack_capacity)) {
        free(dir);
        return ERR_NOMEM;
    }
    dir->parent = parent;
    dir->name_text = BUF_INIT(1u << 30);
    dir->names_known = true;
    r->stack[r->stack_count++] = dir;
    enum err e = copy_bytes(event->bytes, &dir->bytes);
    if (e != ERR_OK)
        return e;
    if (!parent) {
        dir->fs = fs_target_root(r->target);
        dir->made = r->target_made;
        return ERR_OK;
    }
    if (!included(r, event->path)) /* made when something in it is wanted */
        return ERR_OK;
    e = restore_make_dir(r, dir, msg);
    if (e != ERR_OK)
        restore_note_path(r, event->path, e, msg->text);
    if (e != ERR_OK)
        atomic_fetch_add(&r->failed, 1);
    return ERR_OK;
}

static enum err leave(struct restore *r)
{
    struct restore_batch *batch = r->batch;
    if (!grow(&batch->closed, sizeof(struct restore_dir *), batch->closed_count,
              &batch->closed_capacity))
        return ERR_NOMEM;
    batch->closed[batch->closed_count++] = r->stack[--r->stack_count];
    return ERR_OK;
}

/* --- files --- */

static struct id source_key(const struct snapshot_entry *entry)
{
    struct id key = {0};
    put_le64(key.bytes, entry->inode);
    put_le64(key.bytes + 8, entry->device);
    key.bytes[16] = 1;
    return key;
}

static enum err source_new(struct restore *r, const struct snapshot_entry *entry,
                           struct restore_dir *dir, struct restore_source **out)
{
    const struct id key = source_key(entry);
    struct restore_source *source = calloc(1, sizeof(*source));
    if (!source)
        return ERR_NOMEM;
    source->name = BUF_INIT(256);
    enum err e = buf_append(&source->name, entry->name.data, entry->name.size);
    if (e == ERR_OK)
        e = buf_append_u8(&source->name, 0);
    if (e == ERR_OK)
        e = idmap_set(&r->sources, &key, source);
    if (e != ERR_OK) {
        buf_free(&source->name);
        free(source);
        return e;
    }
    source->name.size--;
    source->fs = dir->fs ? fs_dir_ref(dir->fs) : NULL;
    *out = source;
    return ERR_OK;
}

static enum err add_link(struct restore *r, struct restore_dir *dir, struct restore_source *source,
                         struct slice bytes)
{
    struct restore_batch *batch = r->batch;
    struct restore_link link = {.dir = dir, .source = source};
    if (!grow(&batch->links, sizeof(struct restore_link), batch->link_count, &batch->link_capacity))
        return ERR_NOMEM;
    const enum err e = copy_bytes(bytes, &link.bytes);
    if (e == ERR_OK)
        batch->links[batch->link_count++] = link;
    return e;
}

static enum err add_file(struct restore *r, struct restore_dir *dir, struct restore_source *source,
                         struct slice bytes)
{
    struct restore_batch *batch = r->batch;
    if (!grow(&batch->files, sizeof(struct restore_file *), batch->file_count,
              &batch->file_capacity))
        return ERR_NOMEM;
    struct restore_file *file = calloc(1, sizeof(*file) + bytes.size);
    if (!file)
        return ERR_NOMEM;
    pthread_mutex_init(&file->lock, NULL);
    file->restore = r;
    file->dir = dir;
    file->source = source;
    file->pieces = 1;
    file->size = bytes.size;
    memcpy(file->bytes, bytes.data, bytes.size);
    batch->files[batch->file_count++] = file;
    r->current = file;
    r->current_uses = 0;
    r->current_carried = false;
    r->content_started = false;
    r->content_at = 0;
    return ERR_OK;
}

static void skipped(struct restore *r)
{
    atomic_fetch_add(&r->skipped, 1);
}

/* What the overwrite policy leaves to be done. */
static enum err ask_target(struct restore *r, struct restore_dir *dir,
                           const struct snapshot_entry *entry, enum fs_want *want,
                           struct errmsg *msg)
{
    struct restore_meta meta = {0};
    *want = FS_WANT_CREATE;
    if (dir->made || (r->options.dry_run && !dir->fs))
        return ERR_OK;
    enum err e = restore_meta(entry, &meta);
    if (e == ERR_OK)
        e = fs_target_wants(r->target, dir->fs, &meta.entry, want, msg);
    if (e == ERR_OK && *want == FS_WANT_METADATA && !r->options.dry_run)
        e = fs_target_touch(r->target, dir->fs, &meta.entry, &meta.details, msg);
    restore_meta_free(&meta);
    return e;
}

static enum err add_entry(struct restore *r, struct restore_dir *dir,
                          const struct transfer_tree_event *event, struct errmsg *msg)
{
    const struct snapshot_entry *entry = &event->entry;
    struct restore_source *source = NULL;
    enum fs_want want;
    enum err e = restore_make_dir(r, dir, msg);
    if (e == ERR_OK)
        e = ask_target(r, dir, entry, &want, msg);
    if (e != ERR_OK)
        return e;
    if (entry->links > 1) { /* of a directory it is 1 */
        const struct id key = source_key(entry);
        source = idmap_get(&r->sources, &key);
        if (source && want != FS_WANT_NOTHING)
            return add_link(r, dir, source, event->bytes);
        if (!source)
            e = source_new(r, entry, dir, &source);
        if (e != ERR_OK)
            return e;
    }
    if (want == FS_WANT_NOTHING || want == FS_WANT_METADATA) {
        skipped(r);
        return ERR_OK;
    }
    if (entry->type == SNAPSHOT_TYPE_FILE) {
        e = add_file(r, dir, source, event->bytes);
        if (e == ERR_OK)
            r->current->maybe_there = want == FS_WANT_REPLACE;
        return e;
    }
    if (!restore_make_other(r, dir, entry) && source)
        source->failed = true;
    return ERR_OK;
}

/* A lot for each path: FNV-1a, and a last mixing so that its low digits are fair. */
static bool in_sample(const struct restore *r, const struct transfer_tree_event *event)
{
    uint64_t h = 0xcbf29ce484222325u ^ r->options.sample_seed;
    if (r->options.sample_percent == 0 || event->entry.type == SNAPSHOT_TYPE_DIRECTORY)
        return true;
    for (size_t i = 0; i < event->path.size; i++)
        h = (h ^ event->path.data[i]) * 0x100000001b3u;
    h = (h ^ h >> 31) * 0xbf58476d1ce4e5b9u;
    return (h ^ h >> 29) % 100 < r->options.sample_percent;
}

static enum err entry(struct restore *r, const struct transfer_tree_event *event,
                      struct errmsg *msg)
{
    struct restore_dir *dir = top(r);
    enum err e = r->options.delete_others ? add_name(dir, event->entry.name) : ERR_OK;
    if (e != ERR_OK)
        return e;
    if (fs_exclude_matches(r->options.exclude, event->path) || !included(r, event->path) ||
        !in_sample(r, event))
        return ERR_OK;
    e = add_entry(r, dir, event, msg);
    if (e == ERR_OK || e == ERR_NOMEM)
        return e;
    atomic_fetch_add(&r->failed, 1);
    restore_note_path(r, event->path, e, msg->text);
    return ERR_OK;
}

/* --- the content of the file that is being planned --- */

static enum err read_runs(struct restore *r, const struct snapshot_entry *entry, struct errmsg *msg)
{
    struct restore_file *file = r->current;
    struct slice runs = entry->runs;
    uint64_t data;
    enum err e = ERR_OK;
    if (entry->runs_ref.bytes > 0)
        e = transfer_reader_chunk(r->reader, &entry->runs_ref.id, &runs, msg);
    if (e == ERR_OK)
        e = snapshot_runs_check(runs, entry->size, &data);
    if (e != ERR_OK)
        return e;
    file->run_count = runs.size / SNAPSHOT_RUN_SIZE;
    file->runs = malloc((file->run_count + 1) * sizeof(*file->runs));
    if (!file->runs)
        return ERR_NOMEM;
    for (size_t i = 0; i < file->run_count; i++)
        snapshot_run_at(runs, i, &file->runs[i].offset, &file->runs[i].size);
    return ERR_OK;
}

static enum err content_start(struct restore *r, struct errmsg *msg)
{
    struct restore_file *file = r->current;
    struct snapshot_entry from;
    enum err e = snapshot_entry_decode(slice_of(file->bytes, file->size), &from, msg);
    if (e == ERR_OK && from.sparse && !file->runs)
        e = read_runs(r, &from, msg);
    if (e == ERR_OK)
        e = transfer_content_start(&r->content, &from.content);
    r->content_started = e == ERR_OK;
    return e;
}

static enum err add_use(struct restore *r, const struct snapshot_ref *ref)
{
    struct restore_batch *batch = r->batch;
    if (ref->bytes > LIMIT_CHUNK_BYTES)
        return ERR_CORRUPT;
    if (!grow(&batch->uses, sizeof(struct restore_use), batch->use_count, &batch->use_capacity))
        return ERR_NOMEM;
    batch->uses[batch->use_count++] = (struct restore_use){
        .chunk = ref->id,
        .file = r->current,
        .at = r->content_at,
        .plain_bytes = (uint32_t)ref->bytes,
    };
    pthread_mutex_lock(&r->current->lock); /* of the batch before some may be written just now */
    r->current->pieces++;
    pthread_mutex_unlock(&r->current->lock);
    r->current_uses++;
    r->content_at += ref->bytes;
    return ERR_OK;
}

/* What an interrupted run has restored already is not fetched again: a file of that size and time
   whose chunks are what they should be only gets its metadata. */
static void leave_if_there(struct restore *r, struct restore_file *file)
{
    struct restore_batch *batch = r->batch;
    const size_t first = batch->use_count - r->current_uses;
    if (r->current_carried || !restore_is_there(file, batch->uses + first, r->current_uses))
        return;
    batch->use_count = first;
    file->pieces = 1;
    file->finished = true;
    skipped(r);
    atomic_fetch_add(&r->bytes_done, r->content_at);
}

/* ERR_OK: all of it is planned, or the batch is full. */
static enum err plan_content(struct restore *r, struct errmsg *msg)
{
    struct restore_file *file = r->current;
    struct snapshot_ref ref;
    enum err e = r->content_started ? ERR_OK : content_start(r, msg);
    while (e == ERR_OK) {
        if (r->batch->use_count >= RESTORE_BATCH_USES)
            return ERR_OK;
        e = transfer_content_next(&r->content, r->reader, &ref, msg);
        if (e == ERR_OK)
            e = add_use(r, &ref);
    }
    if (e == ERR_BUSY || e == ERR_NOMEM)
        return e;
    if (e != ERR_END)
        restore_fail(file, e, msg->text[0] ? msg->text : err_words(e));
    if (!r->current_carried)
        file->whole = r->current_uses == 1 && r->content_at > 0;
    r->current = NULL;
    if (e == ERR_END && file->maybe_there && !r->options.dry_run)
        leave_if_there(r, file);
    restore_release(file);
    return ERR_OK;
}

/* --- where the chunks lie --- */

static int by_place(const void *a, const void *b)
{
    const struct restore_use *x = a, *y = b;
    if (x->segment != y->segment)
        return x->segment < y->segment ? -1 : 1;
    if (x->record != y->record)
        return x->record < y->record ? -1 : 1;
    return 0;
}

static enum err find_some(struct restore *r, struct restore_use *uses, size_t count, struct id *ids,
                          struct index_chunk *found, struct errmsg *msg)
{
    for (size_t i = 0; i < count; i++)
        ids[i] = uses[i].chunk;
    const enum err e =
        index_chunks_find(transfer_reader_index(r->reader), ids, count, true, found, msg);
    for (size_t i = 0; e == ERR_OK && i < count; i++) {
        if (found[i].segment && found[i].plain_bytes != uses[i].plain_bytes)
            continue;
        uses[i].segment = found[i].segment;
        uses[i].record = found[i].record;
        uses[i].offset = found[i].offset;
        uses[i].sealed_bytes = found[i].sealed_bytes;
        uses[i].group_bytes = found[i].group_bytes;
        uses[i].type = found[i].type;
    }
    return e;
}

static enum err find_places(struct restore *r, struct errmsg *msg)
{
    struct restore_batch *batch = r->batch;
    struct id *ids = malloc(RESTORE_FIND * sizeof(*ids));
    struct index_chunk *found = malloc(RESTORE_FIND * sizeof(*found));
    enum err e = ids && found ? ERR_OK : ERR_NOMEM;
    for (size_t at = 0; e == ERR_OK && at < batch->use_count; at += RESTORE_FIND) {
        const size_t left = batch->use_count - at;
        e = find_some(r, batch->uses + at, left < RESTORE_FIND ? left : RESTORE_FIND, ids, found,
                      msg);
    }
    free(ids);
    free(found);
    if (e == ERR_OK && batch->use_count > 0)
        qsort(batch->uses, batch->use_count, sizeof(*batch->uses), by_place);
    return e;
}

/* --- the step --- */

static enum err handle(struct restore *r, const struct transfer_tree_event *event,
                       struct errmsg *msg)
{
    switch (event->kind) {
    case TRANSFER_TREE_ENTER:
        return enter(r, event, msg);
    case TRANSFER_TREE_LEAVE:
        return leave(r);
    case TRANSFER_TREE_ENTRY:
        return entry(r, event, msg);
    case TRANSFER_TREE_PROBLEM:
        break;
    }
    if (top(r))
        top(r)->names_known = false;
    atomic_fetch_add(&r->failed, 1);
    atomic_fetch_add(&r->lost, 1);
    restore_note_path(r, event->path, event->e, msg->text);
    return ERR_OK;
}

/* The batch is as it should be; a file that is not planned to its end goes over to the next one. */
static enum err close_batch(struct restore *r, struct errmsg *msg)
{
    struct restore_batch *batch = r->batch;
    if (r->current) {
        batch->file_count--; /* the last that was added */
        r->current_carried = r->current_carried || r->current_uses > 0;
        r->current_uses = 0;
    }
    batch->left = batch->use_count;
    batch->planned = true;
    return find_places(r, msg);
}

/* The file that was begun in the batch before. */
static enum err take_over(struct restore *r)
{
    struct restore_batch *batch = r->batch;
    if (!r->current || batch->file_count > 0)
        return ERR_OK;
    if (!grow(&batch->files, sizeof(struct restore_file *), 0, &batch->file_capacity))
        return ERR_NOMEM;
    batch->files[batch->file_count++] = r->current;
    return ERR_OK;
}

enum err restore_plan(void *restore, struct errmsg *msg)
{
    struct restore *r = restore;
    struct transfer_tree_event event;
    enum err e = r->tree ? take_over(r) : begin(r, msg);
    for (size_t i = 0; e == ERR_OK && i < RESTORE_SLICE; i++) {
        if (r->current) {
            e = plan_content(r, msg);
            if (e != ERR_OK)
                break;
        }
        if (batch_full(r->batch))
            return close_batch(r, msg);
        msg->text[0] = 0;
        e = transfer_tree_next(r->tree, &event, msg);
        if (e == ERR_OK)
            e = handle(r, &event, msg);
    }
    if (e != ERR_END)
        return e == ERR_NOMEM ? err_say(msg, e, "out of memory") : e;
    r->walked = true;
    return close_batch(r, msg);
}

/* --- freeing --- */

void restore_batch_free(struct restore_batch *batch)
{
    if (!batch)
        return;
    for (size_t i = 0; i < batch->file_count; i++)
        restore_file_free(batch->files[i]);
    for (size_t i = 0; i < batch->link_count; i++)
        free((void *)(uintptr_t)batch->links[i].bytes.data);
    for (size_t i = 0; i < batch->closed_count; i++)
        restore_dir_free(batch->closed[i]);
    free(batch->files);
    free(batch->uses);
    free(batch->closed);
    free(batch->links);
    free(batch);
}

void restore_plan_free(struct restore *r)
{
    size_t at = 0;
    const struct id *key;
    struct restore_source *source;
    if (r->current && (!r->batch || r->batch->planned || r->batch->file_count == 0))
        restore_file_free(r->current); /* between two batches */
    restore_batch_free(r->batch);
    for (struct list *link; (link = list_pop(&r->batches));)
        restore_batch_free(container_of(link, struct restore_batch, link));
    while (r->stack_count > 0)
        restore_dir_free(r->stack[--r->stack_count]);
    while ((source = idmap_next(&r->sources, &at, &key))) {
        fs_dir_release(source->fs);
        buf_free(&source->name);
        free(source);
    }
    idmap_free(&r->sources);
    free(r->stack);
    transfer_content_free(&r->content);
    transfer_tree_free(r->tree);
    transfer_tree_free(r->descent);
    fs_target_close(r->target);
    snapshot_free(&r->snapshot.snapshot);
    buf_free(&r->snapshot.body);
    buf_free(&r->root);
    buf_free(&r->root_path);
}
