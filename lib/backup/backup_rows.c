/*
 * What a backup writes into the index on its way, so that a run after a kill reads again only what
 * was not committed: directories' rows when they are done; at checkpoints also rows of what is done
 * in directories that are not, and how far large files have come.
 *
 * Each waits until every chunk that it names is committed. Open segments of metadata would hold
 * that up for long; so a checkpoint
 *
 *     ends the open segment of metadata ─▶ it is committed ─▶ what is safe by now is written down
 */
#include "backup/backup_internal.h"

#include <stdlib.h>

static void rows_free(struct list *rows)
{
    for (struct list *node; (node = list_pop(rows));) {
        struct backup_row *row = container_of(node, struct backup_row, link);
        buf_free(&row->path);
        buf_free(&row->row);
        free(row);
    }
}

void backup_rows_free(struct backup *b)
{
    rows_free(&b->rows);
    rows_free(&b->row_list);
}

/* --- into the index --- */

static enum err put_row(struct backup *b, const struct backup_row *row)
{
    struct index *index = b->vault->index;
    return row->of_file
               ? index_progress_put(index, buf_slice(&row->path), &row->file, buf_slice(&row->row),
                                    &b->row_msg)
               : index_dir_put(index, buf_slice(&row->path), buf_slice(&row->row), &b->row_msg);
}

static void put_rows(struct work_job *job)
{
    struct backup *b = container_of(job, struct backup, row_job);
    struct index *index = b->vault->index;
    b->row_e = index_begin(index, &b->row_msg);
    list_for_each(node, &b->row_list)
    {
        if (b->row_e == ERR_OK)
            b->row_e = put_row(b, container_of(node, struct backup_row, link));
    }
    if (b->row_e == ERR_OK)
        b->row_e = index_commit(index, &b->row_msg);
    else
        index_rollback(index);
}

static void rows_put(struct work_job *job)
{
    struct backup *b = container_of(job, struct backup, row_job);
    rows_free(&b->row_list);
    b->row_busy = false;
    if (b->row_e != ERR_OK)
        backup_fail(b, b->row_e, &b->row_msg);
    else
        backup_rows_put(b);
    if (b->flushed && !b->row_busy)
        backup_flushed(b);
    backup_pump(b);
}

void backup_rows_put(struct backup *b)
{
    if (b->row_busy || b->e != ERR_OK || b->publishing)
        return;
    const uint64_t safe = transfer_writer_safe(b->writer);
    while (!list_empty(&b->rows)) {
        struct backup_row *row = container_of(b->rows.next, struct backup_row, link);
        if (row->ticket > safe)
            break;
        list_remove(&row->link);
        list_append(&b->row_list, &row->link);
        b->rows_bytes -= row->row.size;
        if (b->rows_bytes < BACKUP_ROWS_BYTES)
            b->rows_push_bytes = BACKUP_ROWS_BYTES;
    }
    if (list_empty(&b->row_list))
        return;
    b->row_busy = true;
    b->row_job.run = put_rows;
    b->row_job.done = rows_put;
    work_submit(b->vault->ports.work, b->vault->lane, &b->row_job);
}

/* --- what is written down --- */

/* In the order of tickets. */
static void insert_row(struct backup *b, struct backup_row *row)
{
    struct list *before = &b->rows;
    while (before->previous != &b->rows &&
           container_of(before->previous, struct backup_row, link)->ticket > row->ticket)
        before = before->previous;
    list_append(before, &row->link);
}

/* Takes over both buffers. NULL: out of memory; then it is read again next time, no more. */
static struct backup_row *add_row(struct backup *b, uint64_t ticket, struct buf *path,
                                  struct buf *bytes)
{
    struct backup_row *row = calloc(1, sizeof(*row));
    if (!row) {
        buf_free(path);
        buf_free(bytes);
        return NULL;
    }
    row->path = *path;
    row->row = *bytes;
    buf_trim(&row->row);
    row->ticket = ticket;
    *path = *bytes = BUF_INIT(0);
    b->rows_bytes += row->row.size;
    list_init(&row->link);
    insert_row(b, row);
    return row;
}

void backup_rows_keep(struct backup_dir *d)
{
    struct backup *b = d->backup;
    if (d->new_row.size == 0 || b->options.stream)
        return;
    (void)add_row(b, transfer_writer_last(b->writer), &d->path, &d->new_row);
    if (b->rows_bytes >= b->rows_push_bytes) { /* once: they need their time to be committed */
        (void)transfer_writer_push(b->writer, false);
        b->rows_push_bytes = b->rows_bytes + BACKUP_ROWS_BYTES / 2;
    }
    backup_rows_put(b);
}

/* Those entries of a directory that are done and safe. Its tree has no name yet. */
static enum err encode_part(struct backup_dir *d, uint64_t safe, struct buf *out)
{
    enum err e = index_dir_start(out);
    d->unkept_bytes = 0;
    for (size_t i = 0; e == ERR_OK && i < d->seen && i < d->slot_capacity; i++) {
        const struct backup_slot *slot = &d->slots[i];
        if (slot->dropped || slot->c.node.size == 0)
            continue;
        if (slot->ticket <= safe)
            e = index_dir_append(out, &slot->c);
        else if (slot->c.type == FS_FILE)
            d->unkept_bytes += slot->c.size;
    }
    return e;
}

static void keep_part(struct backup_dir *d, uint64_t safe)
{
    struct buf path = BUF_INIT(1 << 20), row = BUF_INIT(0);
    enum err e = encode_part(d, safe, &row);
    if (e == ERR_OK)
        e = fs_dir_path(d->fs, slice_of(NULL, 0), &path);
    if (e == ERR_OK)
        (void)add_row(d->backup, safe, &path, &row);
    buf_free(&path);
    buf_free(&row);
}

/* A directory whose own job runs already, or which is as it was, needs none. */
static bool part_is_due(const struct backup_dir *d)
{
    return d->changed && (d->pending > 0 || !d->left) &&
           d->unkept_bytes > BACKUP_CHECKPOINT_BYTES + 16 * d->row.body.size;
}

void backup_rows_committed(struct backup *b, enum index_kind kind)
{
    const uint64_t now_ms = clock_mono_ms(b->vault->ports.clock);
    if (kind == INDEX_METADATA)
        b->metadata_out = false;
    if (kind == INDEX_METADATA || now_ms - b->checkpoint_ms < BACKUP_CHECKPOINT_MS)
        return;
    b->checkpoint_ms = now_ms;
    b->checkpoint_due = true;
}

void backup_rows_checkpoint(struct backup *b)
{
    if (!b->checkpoint_due || b->e != ERR_OK || b->publishing || b->options.stream)
        return;
    b->checkpoint_due = false;
    b->checkpoint_begun = true;
    if (transfer_writer_push(b->writer, true))
        b->metadata_out = true;
}

void backup_rows_safe(struct backup *b)
{
    if (b->checkpoint_begun && !b->metadata_out && b->e == ERR_OK && !b->publishing) {
        const uint64_t safe = transfer_writer_safe(b->writer);
        b->checkpoint_begun = false;
        b->checkpoint++; /* for the large files, when they are not busy */
        list_for_each(node, &b->dirs)
        {
            struct backup_dir *d = container_of(node, struct backup_dir, link);
            if (part_is_due(d))
                keep_part(d, safe);
        }
    }
    backup_rows_put(b);
}

/* --- large files --- */

static uint64_t run_sum_of(const struct fs_run *runs, size_t count)
{
    uint64_t sum = 0xcbf29ce484222325; /* FNV-1a over the numbers */
    for (size_t i = 0; i < count; i++) {
        sum = (sum ^ runs[i].offset) * 0x100000001b3;
        sum = (sum ^ runs[i].size) * 0x100000001b3;
    }
    return sum;
}

static struct index_progress stat_of(const struct fs_entry *entry)
{
    return (struct index_progress){
        .size = entry->size,
        .inode = entry->inode,
        .mtime_s = entry->mtime.s,
        .ctime_s = entry->ctime.s,
        .mtime_ns = entry->mtime.ns,
        .ctime_ns = entry->ctime.ns,
    };
}

/* The newest mark that is safe; older ones are not needed any more. NULL: none is. */
static const struct backup_mark *safe_mark(struct backup_big *big, uint64_t safe)
{
    size_t count = 0;
    while (count < big->mark_count && big->marks[count].ticket <= safe)
        count++;
    if (count == 0)
        return NULL;
    big->mark_count -= count - 1;
    memmove(big->marks, big->marks + count - 1, big->mark_count * sizeof(big->marks[0]));
    return &big->marks[0];
}

static void add_mark(struct backup_big *big, uint64_t ticket)
{
    if (big->mark_count == BACKUP_MARKS)
        big->mark_count--; /* the newest: those before it are safe sooner */
    big->marks[big->mark_count++] = (struct backup_mark){
        .ticket = ticket, .cut_bytes = big->cut_bytes, .refs_size = big->refs.size};
}

static void keep_mark(struct backup_big *big, const struct backup_mark *mark)
{
    struct backup_file *file = big->file;
    struct buf path = BUF_INIT(1 << 20), body = BUF_INIT(INDEX_DIR_BYTES_MAX);
    struct backup_row *row = NULL;
    enum err e = fs_dir_path(file->dir->fs, file->entry.name, &path);
    if (e == ERR_OK)
        e = buf_append_le64(&body, big->run_sum);
    if (e == ERR_OK)
        e = buf_append(&body, big->refs.data, mark->refs_size);
    if (e == ERR_OK)
        row = add_row(file->dir->backup, mark->ticket, &path, &body);
    if (row) {
        row->of_file = true;
        row->file = stat_of(&big->reader.entry);
        row->file.offset = mark->cut_bytes;
        big->kept_bytes = mark->cut_bytes;
    }
    buf_free(&path);
    buf_free(&body);
}

void backup_rows_keep_big(struct backup_big *big)
{
    struct backup *b = big->file->dir->backup;
    if (b->e != ERR_OK || b->options.stream)
        return;
    add_mark(big, transfer_writer_last(b->writer));
    if (big->checkpoint == b->checkpoint)
        return;
    big->checkpoint = b->checkpoint;
    const struct backup_mark *mark = safe_mark(big, transfer_writer_safe(b->writer));
    if (mark && mark->cut_bytes >= big->kept_bytes + BACKUP_CHECKPOINT_BYTES + 16 * mark->refs_size)
        keep_mark(big, mark);
}

void backup_rows_find(struct backup_big *big)
{
    struct backup_file *file = big->file;
    struct buf path = BUF_INIT(1 << 20);
    struct index_progress found = stat_of(&file->entry);
    enum err e = fs_dir_path(file->dir->fs, file->entry.name, &path);
    if (e == ERR_OK)
        e = index_progress_get(file->dir->backup->vault->index, buf_slice(&path), &found,
                               &big->refs, NULL);
    if (e != ERR_OK)
        buf_clear(&big->refs);
    else
        big->cut_bytes = found.offset;
    buf_free(&path);
}

/* What was found, when it fits the file as it is now. */
static bool fits(const struct backup_big *big)
{
    const struct fs_entry *was = &big->file->entry, *is = &big->reader.entry;
    uint64_t bytes = 0;
    const struct slice refs = slice_of(big->refs.data + 8, big->refs.size - 8);
    return get_le64(big->refs.data) == big->run_sum && was->size == is->size &&
           was->inode == is->inode && fs_time_equal(was->mtime, is->mtime) &&
           fs_time_equal(was->ctime, is->ctime) && refs.size % SNAPSHOT_REF_SIZE == 0 &&
           snapshot_refs_bytes(refs, &bytes) == ERR_OK && bytes == big->cut_bytes;
}

enum err backup_rows_resume(struct backup_big *big)
{
    enum err e = ERR_OK;
    const struct fs_run *runs;
    size_t count;
    e = fs_reader_runs(&big->reader, &runs, &count, &big->file->msg);
    if (e != ERR_OK)
        return e;
    big->run_sum = run_sum_of(runs, count);
    if (big->refs.size <= 8 || !fits(big)) {
        buf_clear(&big->refs);
        big->cut_bytes = 0;
        return ERR_OK;
    }
    memmove(big->refs.data, big->refs.data + 8, big->refs.size - 8);
    big->refs.size -= 8;
    for (size_t i = 0; e == ERR_OK && i < snapshot_ref_count(buf_slice(&big->refs)); i++) {
        const struct snapshot_ref ref = snapshot_ref_at(buf_slice(&big->refs), i);
        e = snapshot_list_add(&big->list, &ref);
    }
    big->kept_bytes = big->cut_bytes;
    fs_reader_skip(&big->reader, big->cut_bytes);
    return e;
}
