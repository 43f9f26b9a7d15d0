/*
 * Files. Small ones (below the chunker's minimum: one chunk) are read some dozens at a time into
 * one batch; a large one is read 4 MiB at a time, cut, and what is left over begins its next piece.
 * Many pieces of different files are under way at once; of one file one is.
 */
#include "backup/backup_internal.h"

#include <stdlib.h>

static void no_memory(struct backup *b)
{
    struct errmsg msg;
    backup_fail(b, err_say(&msg, ERR_NOMEM, "out of memory for reading files"), &msg);
}

/* --- in jobs --- */

static enum err add_chunk(struct backup_reading *r, uint32_t offset, uint32_t size,
                          struct snapshot_ref *ref)
{
    if (r->batch.count == BACKUP_READ_CHUNKS)
        return ERR_TOO_LARGE;
    struct transfer_chunk *chunk = &r->chunks[r->batch.count++];
    *chunk = (struct transfer_chunk){.type = SEGMENT_FILE, .offset = offset, .plain_bytes = size};
    keyed_hash(r->hasher->hash, slice_of(r->bytes + offset, size), chunk->id.bytes);
    *ref = (struct snapshot_ref){.id = chunk->id, .bytes = size};
    return ERR_OK;
}

static enum err encode_runs(const struct fs_run *runs, size_t count, struct buf *out)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < count; i++)
        e = snapshot_run_append(out, runs[i].offset, runs[i].size);
    return e;
}

/* Details, holes and the entry itself, when all is read. The content's size is what was read. */
static enum err finish_file(struct backup_file *file, struct fs_reader *reader,
                            const struct snapshot_content *content, struct backup_chunks **extra,
                            struct backup *b, struct keyed_hash *hash)
{
    struct fs_details details = FS_DETAILS_INIT;
    struct buf runs = BUF_INIT(SNAPSHOT_RUNS_MAX * SNAPSHOT_RUN_SIZE);
    struct snapshot_ref runs_ref = {.bytes = 0};
    const struct fs_run *list;
    size_t count;
    bool changed = false;
    enum err note = ERR_OK;
    file->entry.size = reader->entry.size;
    file->entry = reader->entry;
    file->entry.name = slice_of(file->name, strlen(file->name));
    enum err e = fs_reader_runs(reader, &list, &count, &file->msg);
    if (e == ERR_OK)
        e = fs_reader_details(reader, &details, &file->msg);
    const bool sparse =
        e == ERR_OK && !(count == 1 && list[0].offset == 0 && list[0].size == reader->entry.size) &&
        reader->entry.size > 0;
    if (e == ERR_OK && sparse)
        e = encode_runs(list, count, &runs);
    if (e == ERR_OK && count > SNAPSHOT_INLINE_RUNS && sparse) {
        if (!*extra)
            e = backup_chunks_new(b, INDEX_METADATA, extra);
        runs_ref.bytes = runs.size;
        if (e == ERR_OK)
            e = backup_chunks_add(*extra, hash, SEGMENT_LIST, buf_slice(&runs), &runs_ref.id);
    }
    if (e == ERR_OK)
        e = backup_tree_encode(&file->entry, &details, content, sparse,
                               runs_ref.bytes ? slice_of(NULL, 0) : buf_slice(&runs), &runs_ref,
                               &file->node, &note);
    if (e == ERR_OK && note != ERR_OK)
        file->note =
            err_say(&file->msg, note, "its extended attributes are too large and left out");
    if (e == ERR_OK && fs_reader_finish(reader, &changed, &file->msg) == ERR_OK && changed)
        file->note = ERR_STALE;
    file->gone = reader->gone;
    fs_details_free(&details);
    buf_free(&runs);
    return e;
}

/* Links, FIFOs, devices: no content. */
static enum err read_other(struct backup_file *file)
{
    struct fs_details details = FS_DETAILS_INIT;
    enum err note = ERR_OK;
    enum err e = fs_details_read(file->dir->fs, &file->entry, &details, &file->msg);
    if (e == ERR_OK)
        e = backup_tree_encode(&file->entry, &details, NULL, false, slice_of(NULL, 0), NULL,
                               &file->node, &note);
    fs_details_free(&details);
    return e;
}

static enum err read_small(struct backup_reading *r, struct backup_file *file)
{
    struct fs_reader reader;
    struct buf refs = BUF_INIT(SNAPSHOT_REF_SIZE);
    struct snapshot_ref ref;
    size_t got = 1, at = r->used;
    enum err e = fs_reader_open(&reader, file->dir->fs, &file->entry, &file->msg);
    if (e != ERR_OK)
        return e;
    file->grown =
        reader.entry.size > r->backup->small_bytes || reader.entry.size > BACKUP_READ_BYTES - at;
    while (e == ERR_OK && got > 0 && !file->grown) {
        e = fs_reader_next(&reader, r->bytes + at, BACKUP_READ_BYTES - at, &got, &file->msg);
        at += e == ERR_OK ? got : 0;
        if (at == BACKUP_READ_BYTES)
            break;
    }
    if (e == ERR_OK && !file->grown && at > r->used) {
        e = add_chunk(r, (uint32_t)r->used, (uint32_t)(at - r->used), &ref);
        if (e == ERR_OK)
            e = snapshot_ref_append(&refs, &ref);
    }
    if (e == ERR_OK && !file->grown) {
        const struct snapshot_content content = {.refs = buf_slice(&refs)};
        e = finish_file(file, &reader, &content, &r->extra, r->backup, r->hasher->hash);
        r->used = at;
    }
    fs_reader_close(&reader);
    buf_free(&refs);
    return e;
}

static void read_smalls(struct work_job *job)
{
    struct backup_reading *r = container_of(job, struct backup_reading, job);
    for (size_t i = 0; i < r->file_count; i++) {
        struct backup_file *file = r->files[i];
        file->e = file->entry.type == FS_FILE ? read_small(r, file) : read_other(file);
        if (file->e != ERR_OK && !file->msg.text[0])
            (void)err_say(&file->msg, file->e, "%s", err_words(file->e));
    }
}

static enum err emit_list(void *user, struct slice bytes, struct id *out_id)
{
    struct backup_big *big = user;
    struct backup *b = big->file->dir->backup;
    enum err e = big->lists ? ERR_OK : backup_chunks_new(b, INDEX_METADATA, &big->lists);
    return e == ERR_OK
               ? backup_chunks_add(big->lists, big->hasher->hash, SEGMENT_LIST, bytes, out_id)
               : e;
}

/* Fills the batch: what was left over, then what comes next. */
static enum err fill_piece(struct backup_reading *r, struct backup_big *big, size_t *size)
{
    struct backup_file *file = big->file;
    enum err e = ERR_OK;
    size_t got = 1;
    const bool stream = r->backup->options.stream != NULL;
    if (!big->opened && !stream) {
        e = fs_reader_open(&big->reader, file->dir->fs, &file->entry, &file->msg);
        if (e != ERR_OK)
            return e;
        big->opened = true;
        e = backup_rows_resume(big);
        if (e != ERR_OK)
            return e;
    }
    *size = big->carry.size;
    if (big->carry.size > 0)
        memcpy(r->bytes, big->carry.data, big->carry.size);
    buf_clear(&big->carry);
    if (stream) {
        const size_t room = BACKUP_READ_BYTES - *size;
        e = backup_stream_fill(r->backup, r->bytes + *size, room, &got, &file->msg);
        big->ended = got < room;
        big->streamed += got;
        *size += got;
        return e;
    }
    while (e == ERR_OK && *size < BACKUP_READ_BYTES) {
        e = fs_reader_next(&big->reader, r->bytes + *size, BACKUP_READ_BYTES - *size, &got,
                           &file->msg);
        if (e == ERR_OK && got == 0) {
            big->ended = true;
            break;
        }
        *size += e == ERR_OK ? got : 0;
    }
    return e;
}

static void read_piece(struct work_job *job)
{
    struct backup_reading *r = container_of(job, struct backup_reading, job);
    struct backup_big *big = r->big;
    struct backup_file *file = big->file;
    size_t size = 0, at = 0;
    enum err e = fill_piece(r, big, &size);
    while (e == ERR_OK && at < size) {
        struct snapshot_ref ref;
        const size_t cut =
            chunker_cut(r->backup->chunker, slice_of(r->bytes + at, size - at), big->ended);
        if (cut == 0)
            break;
        e = add_chunk(r, (uint32_t)at, (uint32_t)cut, &ref);
        if (e == ERR_OK)
            e = snapshot_list_add(&big->list, &ref);
        if (e == ERR_OK)
            e = snapshot_ref_append(&big->refs, &ref);
        big->cut_bytes += cut;
        at += cut;
    }
    if (e == ERR_OK && at < size)
        e = buf_append(&big->carry, r->bytes + at, size - at);
    if (e == ERR_OK && big->ended) {
        struct snapshot_content content;
        e = snapshot_list_finish(&big->list, &content);
        if (e == ERR_OK && r->backup->options.stream)
            e = backup_stream_finish(file, &content, big->streamed);
        else if (e == ERR_OK)
            e = finish_file(file, &big->reader, &content, &big->lists, r->backup, r->hasher->hash);
    }
    file->e = e;
    if (e != ERR_OK && !file->msg.text[0])
        (void)err_say(&file->msg, e, "%s", err_words(e));
}

/* --- on the loop --- */

static void reading_free(struct backup_reading *r)
{
    free(r->bytes);
    free(r);
}

static void big_free(struct backup_big *big)
{
    if (big->opened)
        fs_reader_close(&big->reader);
    snapshot_list_free(&big->list);
    buf_free(&big->refs);
    buf_free(&big->carry);
    free(big);
}

static void reading_back(struct backup_reading *r)
{
    r->backup->readings_out--;
    list_append(&r->backup->readings, &r->link);
}

static void batch_done(struct transfer_batch *batch)
{
    struct backup_reading *r = container_of(batch, struct backup_reading, batch);
    struct backup *b = r->backup;
    reading_back(r);
    backup_pump(b);
}

/* What it read goes on its way; with nothing in it, it is free at once. */
static void put_reading(struct backup_reading *r)
{
    struct backup *b = r->backup;
    backup_hasher_return(b, r->hasher);
    r->hasher = NULL;
    backup_chunks_put(r->extra);
    r->extra = NULL;
    if (b->e != ERR_OK || r->batch.count == 0) {
        reading_back(r);
        return;
    }
    r->batch.bytes = r->bytes;
    r->batch.chunks = r->chunks;
    r->batch.kind = INDEX_DATA;
    r->batch.done = batch_done;
    transfer_writer_put(b->writer, &r->batch);
}

static void again(struct backup *b, struct backup_file *file)
{
    file->e = ERR_OK;
    file->msg.text[0] = 0;
    file->entry.size = b->small_bytes + 1; /* what it is will be seen when it is opened */
    list_prepend(&b->files, &file->link);
    b->file_count++;
}

/* It changed while it was read: what was read may be of two moments. Read it once more, behind the
   others, so that whoever writes may be done by then. */
static bool read_again(struct backup *b, struct backup_file *file)
{
    if (b->e != ERR_OK || file->e != ERR_OK || file->note != ERR_STALE ||
        ++file->tries == BACKUP_TRIES || file->entry.size > BACKUP_AGAIN_BYTES)
        return false;
    file->note = ERR_OK;
    file->msg.text[0] = 0;
    buf_clear(&file->node);
    list_append(&b->files, &file->link);
    b->file_count++;
    return true;
}

static void smalls_read(struct work_job *job)
{
    struct backup_reading *r = container_of(job, struct backup_reading, job);
    struct backup *b = r->backup;
    const size_t count = r->file_count;
    struct backup_file *files[BACKUP_READ_FILES];
    memcpy(files, r->files, count * sizeof(files[0]));
    put_reading(r);
    for (size_t i = 0; i < count; i++) {
        b->files_active--;
        if (files[i]->grown && b->e == ERR_OK) {
            files[i]->grown = false;
            again(b, files[i]);
        } else if (!read_again(b, files[i])) {
            backup_tree_file_done(files[i]);
        }
    }
    backup_pump(b);
}

static void piece_read(struct work_job *job)
{
    struct backup_reading *r = container_of(job, struct backup_reading, job);
    struct backup *b = r->backup;
    struct backup_big *big = r->big;
    struct backup_file *file = big->file;
    if (b->options.stream && file->e != ERR_OK)
        backup_fail(b, file->e, &file->msg);
    const bool over = big->ended || file->e != ERR_OK || b->e != ERR_OK;
    if (b->options.stream) /* at its end it counts like every file */
        b->progress.bytes_done = over ? 0 : big->streamed;
    big->busy = false;
    big->hasher = NULL;
    put_reading(r);
    backup_chunks_put(big->lists);
    big->lists = NULL;
    if (over) {
        b->big_count--;
        b->files_active--;
        big_free(big);
        if (!read_again(b, file))
            backup_tree_file_done(file);
    } else {
        backup_rows_keep_big(big);
        list_append(&b->bigs, &big->link);
    }
    backup_pump(b);
}

/* A free reading with its tools; NULL: later. */
static struct backup_reading *take_reading(struct backup *b)
{
    struct list *node = list_pop(&b->readings);
    struct backup_reading *r = node ? container_of(node, struct backup_reading, link) : NULL;
    if (!r) {
        if (b->readings_made == b->readings_max)
            return NULL;
        r = calloc(1, sizeof(*r));
        if (!r || !(r->bytes = malloc(BACKUP_READ_BYTES))) {
            free(r);
            no_memory(b);
            return NULL;
        }
        list_init(&r->link);
        r->backup = b;
        b->readings_made++;
    }
    r->hasher = backup_hasher_take(b);
    if (!r->hasher) {
        list_append(&b->readings, &r->link);
        return NULL;
    }
    r->batch.count = 0;
    r->used = 0;
    r->file_count = 0;
    r->big = NULL;
    r->extra = NULL;
    b->readings_out++;
    return r;
}

static struct backup_big *start_big(struct backup *b, struct backup_file *file)
{
    struct backup_big *big = calloc(1, sizeof(*big));
    if (!big) {
        no_memory(b);
        return NULL;
    }
    list_init(&big->link);
    big->file = file;
    big->carry = BUF_INIT(BACKUP_READ_BYTES);
    big->refs = BUF_INIT(INDEX_DIR_BYTES_MAX);
    snapshot_list_init(&big->list, emit_list, big);
    b->big_count++;
    b->files_active++;
    return big;
}

static void look_up(struct work_job *job)
{
    backup_rows_find(container_of(job, struct backup_big, job));
}

static void looked_up(struct work_job *job)
{
    struct backup_big *big = container_of(job, struct backup_big, job);
    struct backup *b = big->file->dir->backup;
    b->lookups_out--;
    list_append(&b->bigs, &big->link);
    backup_pump(b);
}

/* A killed run may have left how far it came with it: then it goes on there. */
static bool is_looked_up(struct backup *b, struct backup_big *big)
{
    if (big->file->entry.size < BACKUP_CHECKPOINT_BYTES || b->options.stream)
        return false;
    big->job.run = look_up;
    big->job.done = looked_up;
    b->lookups_out++;
    work_submit(b->vault->ports.work, b->vault->lane, &big->job);
    return true;
}

static bool is_big(const struct backup *b, const struct backup_file *file)
{
    return file->entry.type == FS_FILE && (file->entry.size > b->small_bytes || b->options.stream);
}

static struct backup_file *first_file(struct backup *b)
{
    return list_empty(&b->files) ? NULL : container_of(b->files.next, struct backup_file, link);
}

/* Small files from the queue's front, so many that the jobs they go through take some milliseconds
   each. What has grown so much meanwhile that there is no room for it is read by itself. */
static void take_smalls(struct backup *b, struct backup_reading *r)
{
    size_t bytes = 0;
    struct backup_file *file;
    while ((file = first_file(b)) && !is_big(b, file) && r->file_count < BACKUP_READ_FILES &&
           bytes < BACKUP_SMALLS_BYTES) {
        bytes += file->entry.size;
        list_remove(&file->link);
        b->file_count--;
        b->files_active++;
        r->files[r->file_count++] = file;
    }
}

/* The queue's front, a large file, joins those that are under way. */
static void begin_big(struct backup *b, struct backup_file *file)
{
    list_remove(&file->link);
    b->file_count--;
    struct backup_big *big = start_big(b, file);
    if (!big)
        backup_tree_file_done(file);
    else if (!is_looked_up(b, big))
        list_append(&b->bigs, &big->link);
}

void backup_file_pump(struct backup *b)
{
    while (b->e == ERR_OK) {
        struct backup_file *file = first_file(b);
        struct list *node = list_empty(&b->bigs) ? NULL : b->bigs.next;
        const bool may_start = file && (!is_big(b, file) || b->big_count < b->readings_max);
        if (!node && !may_start)
            return;
        if (!node && is_big(b, file)) {
            begin_big(b, file);
            continue;
        }
        struct backup_reading *r = take_reading(b);
        if (!r)
            return;
        if (node) {
            list_remove(node);
            r->big = container_of(node, struct backup_big, link);
            r->big->busy = true;
            r->big->hasher = r->hasher;
            r->job.run = read_piece;
            r->job.done = piece_read;
        } else {
            take_smalls(b, r);
            r->job.run = read_smalls;
            r->job.done = smalls_read;
        }
        work_submit(b->vault->ports.work, NULL, &r->job);
    }
}

static void file_free(struct backup_file *file)
{
    buf_free(&file->node);
    free(file);
}

void backup_file_free_all(struct backup *b)
{
    for (struct list *node; (node = list_pop(&b->files));)
        file_free(container_of(node, struct backup_file, link));
    for (struct list *node; (node = list_pop(&b->bigs));) {
        struct backup_big *big = container_of(node, struct backup_big, link);
        file_free(big->file);
        big_free(big);
    }
    for (struct list *node; (node = list_pop(&b->readings));)
        reading_free(container_of(node, struct backup_reading, link));
}
