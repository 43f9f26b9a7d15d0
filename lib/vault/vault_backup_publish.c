/*
 * From committed segments to the head:
 *     index objects (of what this run and killed ones committed) and the snapshot ─▶ flush
 *     ─▶ catalogue (the old one's objects and these) ─▶ flush ─▶ head: into the index, to the swarm
 *
 * The head is in our index before it is sent: were it the other way round, a kill between the two
 * would make the next run sign another head under the same sequence.
 */
#include "vault/vault_backup_internal.h"

#include "identity/head.h"
#include "segment/segment_header.h"
#include "swarm/swarm_heads.h"

#include <stdlib.h>
#include <unistd.h>

struct backup_publish {
    struct work_job job;
    struct vault_backup *backup;
    struct backup_hasher *hasher;
    struct backup_chunks *chunks;
    struct buf snapshot, catalogue, head, sealed;
    struct id snapshot_id, catalogue_id;
    int64_t time_ns;
    struct list objects; /* struct object: index objects of this run */
    struct snapshot_catalogue next;
    struct swarm_heads *heads;
    enum err e;
    struct errmsg msg;
    void (*then)(struct backup_publish *p);
    struct head record; /* large */
};

struct object {
    struct list link;
    struct id id;
};

static void publish_fail(struct backup_publish *p)
{
    backup_fail(p->backup, p->e, &p->msg);
    backup_flushed(p->backup);
}

/* --- what was committed --- */

static enum err note_segment(struct vault_backup *b, const struct snapshot_segment *segment,
                             const struct index_shard *shards, size_t count, uint64_t number)
{
    struct id cells[LIMIT_SHARDS];
    uint8_t bytes[8];
    for (size_t i = 0; i < count; i++)
        cells[i] = shards[i].state == INDEX_SHARD_STORED ? shards[i].cell : (struct id){{0}};
    enum err e = snapshot_index_add(&b->objects, segment, cells, count);
    put_le64(bytes, number);
    return e == ERR_OK ? buf_append(&b->published, bytes, sizeof(bytes)) : e;
}

/* The objects so far become a chunk. */
static enum err end_object(struct backup_publish *p, struct keyed_hash *hash,
                           struct backup_chunks *chunks)
{
    struct buf bytes = BUF_INIT(SNAPSHOT_INDEX_BYTES_MAX);
    struct object *object = calloc(1, sizeof(*object));
    enum err e = object ? snapshot_index_finish(&p->backup->objects, &bytes) : ERR_NOMEM;
    if (e == ERR_OK)
        e = backup_chunks_add(chunks, hash, SEGMENT_INDEX, buf_slice(&bytes), &object->id);
    if (e == ERR_OK)
        list_append(&p->objects, &object->link);
    else
        free(object);
    buf_free(&bytes);
    return e;
}

void backup_publish_note(struct vault_backup *b, const struct vault_writer_committed *s)
{
    struct errmsg msg;
    struct buf chunks = BUF_INIT(SNAPSHOT_INDEX_BYTES_MAX);
    enum err e = ERR_OK;
    if (b->publish || b->e != ERR_OK)
        return; /* what publishing itself commits is listed by the next run */
    for (uint32_t i = 0; e == ERR_OK && i < s->entry_count; i++) {
        const struct segment_entry *entry = &s->entries[i];
        const struct snapshot_chunk chunk = {.id = entry->id,
                                             .type = entry->type,
                                             .flags = entry->flags,
                                             .offset = entry->offset,
                                             .sealed_bytes = entry->sealed_bytes,
                                             .plain_bytes = entry->plain_bytes};
        e = snapshot_chunk_append(&chunks, &chunk);
    }
    const struct snapshot_segment segment = {.kind = (uint8_t)s->row->kind,
                                             .header = s->header,
                                             .record = s->record,
                                             .chunks = buf_slice(&chunks)};
    /* a full object is left for publishing: it takes what was noted, and finds the rest in the
     * index */
    if (e == ERR_OK && snapshot_index_size(&b->objects) < SNAPSHOT_INDEX_BYTES)
        e = note_segment(b, &segment, s->shards, s->row->k + s->row->m, s->row->number);
    if (e != ERR_OK)
        backup_fail(b, err_say(&msg, e, "cannot note a segment for the index"), &msg);
    buf_free(&chunks);
}

static bool noted(const struct vault_backup *b, uint64_t number)
{
    for (size_t i = 0; i < b->published.size; i += 8)
        if (get_le64(b->published.data + i) == number)
            return true;
    return false;
}

/* A committed segment that no object lists: of a run that was killed, or of the last publishing. */
static enum err note_from_index(struct backup_publish *p, const struct index_segment *row)
{
    struct index *index = p->backup->vault->index;
    struct index_shard shards[LIMIT_SHARDS];
    struct index_chunk *list = calloc(row->chunk_count + 1, sizeof(*list));
    struct buf chunks = BUF_INIT(SNAPSHOT_INDEX_BYTES_MAX), header = BUF_INIT(65536),
               record = BUF_INIT(65536);
    struct slice header_at, record_at;
    size_t count, shard_count;
    enum err e = list ? ERR_OK : ERR_NOMEM;
    if (e == ERR_OK)
        e = index_segment_shards(index, row->number, shards, &shard_count, &p->msg);
    if (e == ERR_OK)
        e = index_segment_header(index, row->number, &header_at, &record_at, &p->msg);
    if (e == ERR_OK)
        e = buf_append(&header, header_at.data, header_at.size);
    if (e == ERR_OK)
        e = buf_append(&record, record_at.data, record_at.size);
    if (e == ERR_OK)
        e = index_segment_chunks(index, row->number, list, row->chunk_count, &count, &p->msg);
    for (size_t i = 0; e == ERR_OK && i < count; i++) {
        const struct snapshot_chunk chunk = {.id = list[i].id,
                                             .type = vault_type_of(list[i].type),
                                             .flags = vault_flags_of(list[i].type),
                                             .offset = list[i].offset,
                                             .sealed_bytes = list[i].sealed_bytes,
                                             .plain_bytes = list[i].plain_bytes};
        e = snapshot_chunk_append(&chunks, &chunk);
    }
    const struct snapshot_segment segment = {.kind = (uint8_t)row->kind,
                                             .header = buf_slice(&header),
                                             .record = buf_slice(&record),
                                             .chunks = buf_slice(&chunks)};
    if (e == ERR_OK)
        e = note_segment(p->backup, &segment, shards, shard_count, row->number);
    free(list);
    buf_free(&chunks);
    buf_free(&header);
    buf_free(&record);
    return e;
}

static enum err make_objects(struct backup_publish *p)
{
    enum { PIECE = 64 };
    struct vault_backup *b = p->backup;
    struct index_segment rows[PIECE];
    struct index_segment_filter filter = {.states = 1u << INDEX_COMMITTED, .unpublished = true};
    size_t count = PIECE;
    enum err e = ERR_OK;
    while (e == ERR_OK && count == PIECE) {
        e = index_segments(b->vault->index, &filter, rows, PIECE, &count, &p->msg);
        for (size_t i = 0; e == ERR_OK && i < count; i++) {
            filter.after_number = rows[i].number;
            if (noted(b, rows[i].number))
                continue;
            if (snapshot_index_size(&b->objects) >= SNAPSHOT_INDEX_BYTES)
                e = end_object(p, p->hasher->hash, p->chunks);
            if (e == ERR_OK)
                e = note_from_index(p, &rows[i]);
        }
    }
    if (e == ERR_OK && b->objects.count > 0)
        e = end_object(p, p->hasher->hash, p->chunks);
    return e;
}

/* --- the snapshot --- */

static enum err slices_of(const char *const *texts, size_t count, struct slice **out)
{
    *out = calloc(count + 1, sizeof(**out));
    for (size_t i = 0; *out && i < count; i++)
        (*out)[i] = slice_text(texts[i]);
    return *out ? ERR_OK : ERR_NOMEM;
}

static enum err newest_own(struct vault_backup *b, struct id *out, struct errmsg *msg)
{
    struct slice value;
    enum err e = index_fact_get(b->vault->index, "last-snapshot", &value, msg);
    if (e == ERR_OK && value.size == ID_SIZE)
        memcpy(out->bytes, value.data, ID_SIZE);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err make_snapshot(struct backup_publish *p)
{
    struct vault_backup *b = p->backup;
    const struct vault_backup_options *o = &b->options;
    const char *const *roots;
    const char *user = getenv("USER");
    char host[LIMIT_NAME_BYTES + 1] = "";
    const size_t root_count = b->walk ? fs_walk_roots(b->walk, &roots) : 1;
    if (!b->walk)
        roots = &o->stream->path;
    struct slice *paths = NULL, *tags = NULL, *excludes = NULL;
    const struct vault_backup_summary *s = &b->summary;
    enum err e = slices_of(roots, root_count, &paths);
    if (e == ERR_OK)
        e = slices_of(o->tags, o->tag_count, &tags);
    if (e == ERR_OK)
        e = slices_of(o->exclude_texts, o->exclude_text_count, &excludes);
    (void)gethostname(host, sizeof(host) - 1);
    struct snapshot snapshot = {
        .time_ns = p->time_ns,
        .host = slice_text(o->host ? o->host : host),
        .user = slice_text(user ? user : ""),
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
        e = newest_own(b, &snapshot.parent, &p->msg);
    if (e == ERR_OK)
        e = snapshot_encode(&snapshot, &p->snapshot);
    if (e == ERR_OK)
        e = backup_chunks_add(p->chunks, p->hasher->hash, SEGMENT_SNAPSHOT, buf_slice(&p->snapshot),
                              &p->snapshot_id);
    free(paths);
    free(tags);
    free(excludes);
    return e;
}

/* --- the catalogue --- */

/* Where a chunk that was just committed lies: its row, its segment's ID and cells. */
static enum err find_place(struct backup_publish *p, const struct id *id, struct index_chunk *chunk,
                           struct index_segment *row, struct id cells[LIMIT_SHARDS])
{
    struct index *index = p->backup->vault->index;
    struct index_shard shards[LIMIT_SHARDS];
    size_t count = 0;
    enum err e = index_chunks_find(index, id, 1, false, chunk, &p->msg);
    if (e == ERR_OK && chunk->segment == 0)
        e = err_say(&p->msg, ERR_INCONSISTENT, "a chunk that was committed is not in the index");
    if (e == ERR_OK)
        e = index_segment_by_number(index, chunk->segment, row, &p->msg);
    if (e == ERR_OK)
        e = index_segment_shards(index, chunk->segment, shards, &count, &p->msg);
    for (size_t i = 0; e == ERR_OK && i < count; i++)
        cells[i] = shards[i].state == INDEX_SHARD_STORED ? shards[i].cell : (struct id){{0}};
    return e;
}

static enum err add_object(struct backup_publish *p, const struct id *id, uint8_t type,
                           int64_t time_ns)
{
    struct index_chunk chunk = {0};
    struct index_segment row = {0};
    struct id cells[LIMIT_SHARDS];
    uint32_t number = 0;
    enum err e = find_place(p, id, &chunk, &row, cells);
    if (e == ERR_OK)
        e = snapshot_catalogue_segment(&p->next, &row.id, cells, row.k + row.m, &number);
    const struct snapshot_object object = {.chunk = *id,
                                           .segment = number,
                                           .record = chunk.record,
                                           .offset = chunk.offset,
                                           .sealed_bytes = chunk.sealed_bytes,
                                           .plain_bytes = chunk.plain_bytes,
                                           .type = type,
                                           .flags = vault_flags_of(chunk.type),
                                           .time_ns = time_ns};
    return e == ERR_OK ? snapshot_catalogue_object(&p->next, &object) : e;
}

/* What the last catalogue listed; its segments keep their numbers. */
static enum err copy_catalogue(struct backup_publish *p)
{
    struct slice bytes, holders;
    struct snapshot_catalogue_reader old;
    struct id segment, cells[LIMIT_SHARDS];
    uint32_t number;
    enum err e = index_fact_get(p->backup->vault->index, "catalogue", &bytes, &p->msg);
    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    if (e == ERR_OK)
        e = snapshot_catalogue_open(&old, bytes, &p->msg);
    while (e == ERR_OK &&
           (e = snapshot_catalogue_next_segment(&old, &segment, &holders)) == ERR_OK) {
        for (size_t i = 0; i < holders.size / 2; i++)
            cells[i] = snapshot_cells_at(old.table, holders, i);
        e = snapshot_catalogue_segment(&p->next, &segment, cells, holders.size / 2, &number);
    }
    e = e == ERR_END ? ERR_OK : e;
    for (size_t i = 0; e == ERR_OK && i < snapshot_catalogue_count(&old); i++) {
        struct snapshot_object object;
        snapshot_catalogue_at(&old, i, &object);
        e = snapshot_catalogue_object(&p->next, &object);
    }
    return e;
}

static void make_catalogue(struct work_job *job)
{
    struct backup_publish *p = container_of(job, struct backup_publish, job);
    p->e = copy_catalogue(p);
    list_for_each(node, &p->objects)
    {
        const struct object *object = container_of(node, struct object, link);
        if (p->e == ERR_OK)
            p->e = add_object(p, &object->id, SEGMENT_INDEX, 0);
    }
    if (p->e == ERR_OK)
        p->e = add_object(p, &p->snapshot_id, SEGMENT_SNAPSHOT, p->time_ns);
    if (p->e == ERR_OK)
        p->e = snapshot_catalogue_finish(&p->next, &p->catalogue);
    if (p->e == ERR_OK)
        p->e = backup_chunks_add(p->chunks, p->hasher->hash, SEGMENT_CATALOGUE,
                                 buf_slice(&p->catalogue), &p->catalogue_id);
    if (p->e != ERR_OK)
        p->e = err_wrap(&p->msg, p->e, "cannot make the catalogue");
}

/* --- the head --- */

static enum err seal_place(struct backup_publish *p)
{
    struct vault *vault = p->backup->vault;
    struct index_chunk chunk = {0};
    struct index_segment row = {0};
    struct id cells[LIMIT_SHARDS];
    struct slice header = {0}, record = {0};
    struct buf plain = BUF_INIT(SNAPSHOT_HEAD_BYTES_MAX);
    uint8_t ephemeral[SEAL_SEED_SIZE];
    enum err e = find_place(p, &p->catalogue_id, &chunk, &row, cells);
    if (e == ERR_OK)
        e = index_segment_header(vault->index, row.number, &header, &record, &p->msg);
    const struct snapshot_head head = {
        .chunk = p->catalogue_id,
        .header = header,
        .cells = slice_of(cells, (row.k + row.m) * sizeof(cells[0])),
        .record = chunk.record,
        .offset = chunk.offset,
        .sealed_bytes = chunk.sealed_bytes,
        .plain_bytes = chunk.plain_bytes,
        .flags = vault_flags_of(chunk.type),
    };
    if (e == ERR_OK)
        e = snapshot_head_encode(&head, &plain);
    if (e == ERR_OK)
        e = buf_append_zeros(&p->sealed, plain.size + SEAL_OVERHEAD);
    random_fill(vault->ports.random, ephemeral, sizeof(ephemeral));
    if (e == ERR_OK)
        e = seal(vault->manifest->reading_key, ephemeral, buf_slice(&plain), p->sealed.data);
    buf_free(&plain);
    return e;
}

static enum err sign_head(struct backup_publish *p)
{
    struct vault *vault = p->backup->vault;
    uint64_t sequence = 0;
    struct slice old;
    struct head *head = &p->record;
    enum err e = index_head_get(vault->index, vault_device(vault), &sequence, &old, &p->msg);
    *head = (struct head){
        .account = vault->account,
        .slot = vault->secrets->slot,
        .sequence = sequence + 1,
        .manifest_number = vault->manifest->number,
        .time_s = p->time_ns / 1000000000,
        .sealed = buf_slice(&p->sealed),
    };
    if (e == ERR_OK)
        document_hash(old, &head->previous);
    if (e == ERR_NOT_FOUND)
        e = ERR_OK;
    return e == ERR_OK ? head_make(head, &vault->swarm_root, vault->device, &p->head) : e;
}

/* One transaction: snapshot, head, catalogue, what is published. */
static enum err store_head(struct backup_publish *p)
{
    struct vault_backup *b = p->backup;
    struct index *index = b->vault->index;
    const struct index_snapshot snapshot = {
        .id = p->snapshot_id, .device = *vault_device(b->vault), .time_ns = p->time_ns};
    enum err e = index_begin(index, &p->msg);
    if (e == ERR_OK)
        e = index_snapshot_put(index, &snapshot, buf_slice(&p->snapshot), &p->msg);
    if (e == ERR_OK)
        e = index_head_put(index, vault_device(b->vault), p->record.sequence, buf_slice(&p->head),
                           &p->msg);
    if (e == ERR_OK)
        e = index_fact_put(index, "catalogue", buf_slice(&p->catalogue), &p->msg);
    if (e == ERR_OK)
        e = index_fact_put(index, "last-snapshot", slice_of(p->snapshot_id.bytes, ID_SIZE),
                           &p->msg);
    if (e == ERR_OK)
        e = index_fact_put_number(index, "last-backup", p->time_ns / 1000000000, &p->msg);
    for (size_t i = 0; e == ERR_OK && i < b->published.size; i += 8)
        e = index_segment_set_published(index, get_le64(b->published.data + i), &p->msg);
    if (e == ERR_OK)
        return index_commit(index, &p->msg);
    index_rollback(index);
    return e;
}

static void make_head(struct work_job *job)
{
    struct backup_publish *p = container_of(job, struct backup_publish, job);
    p->e = seal_place(p);
    if (p->e == ERR_OK)
        p->e = sign_head(p);
    if (p->e == ERR_OK)
        p->e = store_head(p);
    if (p->e != ERR_OK)
        p->e = err_wrap(&p->msg, p->e, "cannot make the head");
}

static void heads_put(void *user, enum err e, const struct swarm_heads_result *result,
                      const struct errmsg *msg)
{
    struct backup_publish *p = user;
    (void)result;
    p->heads = NULL;
    p->e = e;
    if (e == ERR_OK) {
        p->backup->summary.snapshot_id = p->snapshot_id;
        backup_end(p->backup);
        return;
    }
    p->msg = *msg;
    (void)err_wrap(&p->msg, e, "the snapshot is stored, but too few keep its head");
    publish_fail(p);
}

static void send_head(struct backup_publish *p)
{
    struct vault *vault = p->backup->vault;
    const struct slice heads[1] = {buf_slice(&p->head)};
    const struct swarm_heads_put put = {
        .account = vault->account,
        .manifest = buf_slice(&vault->manifest_bytes),
        .heads = heads,
        .head_count = 1,
        .losses = p->backup->summary.m,
        .done = heads_put,
        .user = p,
    };
    p->e = swarm_heads_put(vault->swarm, &put, &p->heads, &p->msg);
    if (p->e != ERR_OK)
        publish_fail(p);
}

/* --- the steps --- */

static void step_done(struct work_job *job)
{
    struct backup_publish *p = container_of(job, struct backup_publish, job);
    if (p->e != ERR_OK)
        publish_fail(p);
    else
        p->then(p);
}

static void in_lane(struct backup_publish *p, void (*run)(struct work_job *job),
                    void (*then)(struct backup_publish *p))
{
    p->then = then;
    p->job.run = run;
    p->job.done = step_done;
    work_submit(p->backup->vault->ports.work, p->backup->vault->lane, &p->job);
}

static void flushed_again(void *user)
{
    struct backup_publish *p = user;
    if (p->backup->e != ERR_OK)
        backup_flushed(p->backup);
    else
        p->then(p);
}

static void to_head(struct backup_publish *p)
{
    in_lane(p, make_head, send_head);
}

static void flush_if_back(struct backup_publish *p);

static void chunks_back(struct vault_batch *batch)
{
    struct backup_chunks *chunks = container_of(batch, struct backup_chunks, batch);
    struct backup_publish *p = batch->user;
    buf_free(&chunks->bytes);
    free(chunks->chunks);
    free(chunks);
    flush_if_back(p);
}

static void flush_if_back(struct backup_publish *p)
{
    p->backup->chunks_out--;
    vault_writer_flush(p->backup->writer, flushed_again, p);
}

static void put_chunks(struct backup_publish *p, void (*then)(struct backup_publish *p))
{
    struct backup_chunks *chunks = p->chunks;
    p->chunks = NULL;
    p->then = then;
    chunks->batch.done = chunks_back;
    chunks->batch.user = p;
    backup_chunks_put(chunks);
}

static void put_catalogue(struct backup_publish *p)
{
    put_chunks(p, to_head);
}

static void to_catalogue(struct backup_publish *p)
{
    p->e = backup_chunks_new(p->backup, INDEX_METADATA, &p->chunks);
    if (p->e != ERR_OK) {
        (void)err_say(&p->msg, p->e, "out of memory for the catalogue");
        publish_fail(p);
        return;
    }
    in_lane(p, make_catalogue, put_catalogue);
}

static void make_first(struct work_job *job)
{
    struct backup_publish *p = container_of(job, struct backup_publish, job);
    p->e = make_objects(p);
    if (p->e == ERR_OK)
        p->e = make_snapshot(p);
    if (p->e != ERR_OK)
        p->e = err_wrap(&p->msg, p->e, "cannot make the snapshot");
}

static void put_first(struct backup_publish *p)
{
    put_chunks(p, to_catalogue);
}

void backup_publish_start(struct vault_backup *b)
{
    struct errmsg msg;
    struct backup_publish *p = calloc(1, sizeof(*p));
    if (p) {
        *p = (struct backup_publish){.backup = b,
                                     .snapshot = BUF_INIT(SNAPSHOT_BYTES_MAX),
                                     .catalogue = BUF_INIT(SNAPSHOT_CATALOGUE_BYTES_MAX),
                                     .head = BUF_INIT(HEAD_BYTES_MAX),
                                     .sealed = BUF_INIT(HEAD_SEALED_MAX),
                                     .time_ns = clock_wall_ns(b->vault->ports.clock)};
        list_init(&p->objects);
        snapshot_catalogue_init(&p->next);
        b->publish = p;
        p->hasher = backup_hasher_take(b);
    }
    if (!p || !p->hasher || backup_chunks_new(b, INDEX_METADATA, &p->chunks) != ERR_OK) {
        backup_fail(b, err_say(&msg, ERR_NOMEM, "out of memory for publishing"), &msg);
        backup_flushed(b);
        return;
    }
    in_lane(p, make_first, put_first);
}

void backup_publish_free(struct vault_backup *b)
{
    struct backup_publish *p = b->publish;
    if (!p)
        return;
    for (struct list *node; (node = list_pop(&p->objects));)
        free(container_of(node, struct object, link));
    if (p->chunks) {
        buf_free(&p->chunks->bytes);
        free(p->chunks->chunks);
        free(p->chunks);
    }
    backup_hasher_return(b, p->hasher);
    snapshot_catalogue_free(&p->next);
    buf_free(&p->snapshot);
    buf_free(&p->catalogue);
    buf_free(&p->head);
    buf_free(&p->sealed);
    free(p);
    b->publish = NULL;
}
