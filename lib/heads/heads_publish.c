#include "heads/heads_publish.h"

#include "heads/heads_lines.h"
#include "heads/heads_sync.h"
#include "identity/head.h"
#include "index/index_removal.h"
#include "segment/segment_header.h"
#include "snapshot/snapshot_catalogue.h"
#include "snapshot/snapshot_head.h"
#include "snapshot/snapshot_index.h"
#include "swarm/swarm_heads.h"
#include "vault/vault_manifest.h"

#include <stdlib.h>

enum { PIECE = 64, PUBLISHED_BYTES_MAX = 1 << 26, ITEMS_MAX = 1 << 16 };

/* An index object of this run. */
struct object {
    struct list link;
    struct id id;
    size_t first, end; /* of the segments that it lists, in publish->published */
};

struct heads_publish {
    struct heads_publish_options options;
    struct vault *vault;
    struct keyed_hash *hash;
    struct snapshot_index index; /* the index object being made */
    struct buf published;        /* numbers of the segments in objects, le64 */
    struct buf noted;            /* the same as bits */
    size_t object_first;         /* in `published`: where the object being made begins */
    struct list objects;
    struct heads_publish_item **items;
    size_t item_count, item_capacity;
    struct work_job job;
    struct transfer_chunks chunks;
    struct snapshot_catalogue next;
    struct buf catalogue, head, sealed;
    struct id catalogue_id;
    int64_t time_ns;
    uint64_t sequence;
    struct swarm_heads *heads;
    enum err stop; /* why nothing more is to be done: set on the loop */
    struct errmsg stop_msg;
    enum err e;
    struct errmsg msg;
    void (*then)(struct heads_publish *p);
    bool manifest_changed; /* since it was last sent */
    bool overtaken;        /* by another device's condemned list */
    struct head record;    /* large */
};

static void publish_end(struct heads_publish *p)
{
    if (p->stop != ERR_OK) {
        p->e = p->stop;
        p->msg = p->stop_msg;
    }
    const struct errmsg msg = p->msg;
    p->options.done(p->options.done_user, p->e, &msg);
}

/* --- what was committed --- */

static enum err note_segment(struct heads_publish *p, const struct snapshot_segment *segment,
                             const struct index_shard *shards, size_t count, uint64_t number)
{
    struct id cells[LIMIT_SHARDS];
    uint8_t bytes[8];
    for (size_t i = 0; i < count; i++)
        cells[i] = shards[i].state == INDEX_SHARD_STORED ? shards[i].cell : (struct id){{0}};
    enum err e = snapshot_index_add(&p->index, segment, cells, count);
    put_le64(bytes, number);
    if (e == ERR_OK)
        e = buf_append(&p->published, bytes, sizeof(bytes));
    if (e == ERR_OK && number / 8 >= p->noted.size)
        e = buf_append_zeros(&p->noted, number / 8 + 1 - p->noted.size);
    if (e == ERR_OK)
        p->noted.data[number / 8] |= (uint8_t)(1u << number % 8);
    return e;
}

/* The object so far becomes a chunk. */
static enum err end_object(struct heads_publish *p)
{
    struct buf bytes = BUF_INIT(SNAPSHOT_INDEX_BYTES_MAX);
    struct object *object = calloc(1, sizeof(*object));
    enum err e = object ? snapshot_index_finish(&p->index, &bytes) : ERR_NOMEM;
    if (e == ERR_OK)
        e = transfer_chunks_add(&p->chunks, p->hash, SEGMENT_INDEX, buf_slice(&bytes), &object->id);
    if (e == ERR_OK) {
        object->first = p->object_first;
        object->end = p->object_first = p->published.size;
        list_append(&p->objects, &object->link);
    } else {
        free(object);
    }
    buf_free(&bytes);
    return e;
}

enum err heads_publish_note(struct heads_publish *p, const struct transfer_writer_committed *s)
{
    struct buf chunks = BUF_INIT(SNAPSHOT_INDEX_BYTES_MAX);
    if (p->time_ns != 0)
        return ERR_OK; /* what publishing itself commits is listed by the next run */
    enum err e = heads_lines_append(&chunks, s->chunks, s->chunk_count);
    const struct snapshot_segment segment = {.kind = (uint8_t)s->row->kind,
                                             .header = s->header,
                                             .record = s->record,
                                             .chunks = buf_slice(&chunks)};
    /* a full object is left for publishing: it takes what was noted, and finds the rest in the
     * index */
    if (e == ERR_OK && snapshot_index_size(&p->index) < SNAPSHOT_INDEX_BYTES)
        e = note_segment(p, &segment, s->shards, s->row->k + s->row->m, s->row->number);
    buf_free(&chunks);
    return e;
}

static bool noted(const struct heads_publish *p, uint64_t number)
{
    return number / 8 < p->noted.size && p->noted.data[number / 8] >> number % 8 & 1;
}

/* A committed segment that no object lists: of a run that was killed, or of the last publishing. */
static enum err note_from_index(struct heads_publish *p, const struct index_segment *row)
{
    struct index *index = p->vault->index;
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
    if (e == ERR_OK)
        e = heads_lines_append(&chunks, list, count);
    const struct snapshot_segment segment = {.kind = (uint8_t)row->kind,
                                             .header = buf_slice(&header),
                                             .record = buf_slice(&record),
                                             .chunks = buf_slice(&chunks)};
    if (e == ERR_OK)
        e = note_segment(p, &segment, shards, shard_count, row->number);
    free(list);
    buf_free(&chunks);
    buf_free(&header);
    buf_free(&record);
    return e;
}

static enum err make_objects(struct heads_publish *p)
{
    struct index_segment rows[PIECE];
    struct index_segment_filter filter = {.states = 1u << INDEX_COMMITTED, .unpublished = true};
    size_t count = PIECE;
    enum err e = ERR_OK;
    while (e == ERR_OK && count == PIECE) {
        e = index_segments(p->vault->index, &filter, rows, PIECE, &count, &p->msg);
        for (size_t i = 0; e == ERR_OK && i < count; i++) {
            filter.after_number = rows[i].number;
            if (noted(p, rows[i].number))
                continue;
            if (snapshot_index_size(&p->index) >= SNAPSHOT_INDEX_BYTES)
                e = end_object(p);
            if (e == ERR_OK)
                e = note_from_index(p, &rows[i]);
        }
    }
    if (e == ERR_OK && p->index.count > 0)
        e = end_object(p);
    return e;
}

/* --- items --- */

enum err heads_publish_add(struct heads_publish *p, uint8_t type, struct buf *bytes,
                           struct heads_publish_item **out)
{
    if (p->item_count == ITEMS_MAX)
        return ERR_TOO_LARGE;
    if (p->item_count == p->item_capacity) {
        const size_t capacity = p->item_capacity ? 2 * p->item_capacity : 8;
        struct heads_publish_item **grown = realloc(p->items, capacity * sizeof(*grown));
        if (!grown)
            return ERR_NOMEM;
        p->items = grown;
        p->item_capacity = capacity;
    }
    struct heads_publish_item *item = calloc(1, sizeof(*item));
    if (!item)
        return ERR_NOMEM;
    *item = (struct heads_publish_item){.type = type, .bytes = *bytes};
    *bytes = BUF_INIT(0);
    p->items[p->item_count++] = item;
    document_hash(buf_slice(&item->bytes), &item->hash);
    *out = item;
    return transfer_chunks_add(&p->chunks, p->hash, type, buf_slice(&item->bytes), &item->id);
}

size_t heads_publish_count(const struct heads_publish *p)
{
    return p->item_count;
}

struct heads_publish_item *heads_publish_at(struct heads_publish *p, size_t index)
{
    return p->items[index];
}

int64_t heads_publish_time_ns(const struct heads_publish *p)
{
    return p->time_ns;
}

uint64_t heads_publish_sequence(const struct heads_publish *p)
{
    return p->sequence;
}

/* --- the catalogue --- */

/* Where a chunk lies: its row, its segment's ID and cells. chunk->segment is 0 when it is unknown.
 */
static enum err find_place(struct heads_publish *p, const struct id *id, struct index_chunk *chunk,
                           struct index_segment *row, struct id cells[LIMIT_SHARDS])
{
    struct index *index = p->vault->index;
    struct index_shard shards[LIMIT_SHARDS];
    size_t count = 0;
    enum err e = index_chunks_find(index, id, 1, true, chunk, &p->msg);
    if (e != ERR_OK || chunk->segment == 0)
        return e;
    e = index_segment_by_number(index, chunk->segment, row, &p->msg);
    if (e == ERR_OK)
        e = index_segment_shards(index, chunk->segment, shards, &count, &p->msg);
    for (size_t i = 0; e == ERR_OK && i < count; i++)
        cells[i] = shards[i].state == INDEX_SHARD_STORED ? shards[i].cell : (struct id){{0}};
    return e;
}

/* With `needed`, one that is nowhere is an error; else it is left out. */
static enum err add_object(struct heads_publish *p, const struct id *id, uint8_t type,
                           int64_t time_ns, bool needed)
{
    struct index_chunk chunk = {0};
    struct index_segment row = {0};
    struct id cells[LIMIT_SHARDS];
    uint32_t number = 0;
    enum err e = find_place(p, id, &chunk, &row, cells);
    if (e == ERR_OK && chunk.segment == 0)
        return needed ? err_say(&p->msg, ERR_INCONSISTENT,
                                "an object of the catalogue is in no segment that the index knows")
                      : ERR_OK;
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

/* Index objects that list what counts, and those of what is condemned and may come back. */
static enum err add_old_objects(struct heads_publish *p, unsigned states, bool needed)
{
    struct id after = {{0}}, ids[PIECE];
    size_t count = PIECE;
    enum err e = ERR_OK;
    while (e == ERR_OK && count == PIECE) {
        e = index_listed_objects(p->vault->index, states, &after, ids, PIECE, &count, &p->msg);
        for (size_t i = 0; e == ERR_OK && i < count; i++)
            e = add_object(p, &ids[i], SEGMENT_INDEX, 0, needed);
    }
    return e;
}

/* This device's; those that are forgotten as long as they could come back. */
static enum err add_old_snapshots(struct heads_publish *p)
{
    struct index_snapshot rows[PIECE];
    size_t count = PIECE, skip = 0;
    enum err e = ERR_OK;
    for (; e == ERR_OK && count == PIECE; skip += count) {
        e = index_snapshots(p->vault->index, true, skip, rows, PIECE, &count, &p->msg);
        for (size_t i = 0; e == ERR_OK && i < count; i++)
            if (id_equal(&rows[i].device, vault_device(p->vault)))
                e = add_object(p, &rows[i].id, SEGMENT_SNAPSHOT, rows[i].time_ns,
                               !rows[i].forgotten);
    }
    return e;
}

/* This device's documents about removal. */
static enum err add_old_records(struct heads_publish *p)
{
    struct index_record rows[PIECE];
    size_t count = PIECE;
    uint64_t after = 0;
    enum err e = ERR_OK;
    while (e == ERR_OK && count == PIECE) {
        e = index_records(p->vault->index, 0, after, rows, PIECE, &count, &p->msg);
        for (size_t i = 0; e == ERR_OK && i < count; i++) {
            after = rows[i].number;
            if (id_is_zero(&rows[i].device) && !(rows[i].lifted && rows[i].type != INDEX_LIFT))
                e = add_object(p, &rows[i].id, (uint8_t)rows[i].type, 0, true);
        }
    }
    return e;
}

static void make_catalogue(struct work_job *job)
{
    struct heads_publish *p = container_of(job, struct heads_publish, job);
    const unsigned counts = 1u << INDEX_COMMITTED, waits = 1u << INDEX_CONDEMNED;
    p->e = add_old_objects(p, counts, true);
    if (p->e == ERR_OK)
        p->e = add_old_objects(p, waits, false);
    if (p->e == ERR_OK)
        p->e = add_old_snapshots(p);
    if (p->e == ERR_OK)
        p->e = add_old_records(p);
    list_for_each(node, &p->objects)
    {
        const struct object *object = container_of(node, struct object, link);
        if (p->e == ERR_OK)
            p->e = add_object(p, &object->id, SEGMENT_INDEX, 0, true);
    }
    for (size_t i = 0; p->e == ERR_OK && i < p->item_count; i++)
        p->e = add_object(p, &p->items[i]->id, p->items[i]->type, p->items[i]->time_ns, true);
    if (p->e == ERR_OK)
        p->e = snapshot_catalogue_finish(&p->next, &p->catalogue);
    if (p->e == ERR_OK)
        p->e = transfer_chunks_add(&p->chunks, p->hash, SEGMENT_CATALOGUE, buf_slice(&p->catalogue),
                                   &p->catalogue_id);
    if (p->e != ERR_OK)
        p->e = err_wrap(&p->msg, p->e, "cannot make the catalogue");
}

/* --- the head --- */

static enum err seal_place(struct heads_publish *p)
{
    struct vault *vault = p->vault;
    struct index_chunk chunk = {0};
    struct index_segment row = {0};
    struct id cells[LIMIT_SHARDS];
    struct slice header = {0}, record = {0};
    struct buf plain = BUF_INIT(SNAPSHOT_HEAD_BYTES_MAX);
    uint8_t ephemeral[SEAL_SEED_SIZE];
    enum err e = find_place(p, &p->catalogue_id, &chunk, &row, cells);
    if (e == ERR_OK && chunk.segment == 0)
        e = err_say(&p->msg, ERR_INCONSISTENT, "the catalogue that was stored is not in the index");
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

/* The newest heads of the others that were seen, by slot. */
static enum err name_others(struct heads_publish *p, struct head *head)
{
    struct vault *vault = p->vault;
    const struct manifest *m = vault->manifest;
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < m->device_count; i++) {
        struct head_other *other = &head->others[head->other_count];
        struct slice body;
        if (m->devices[i].slot == vault->secrets->slot)
            continue;
        e = index_head_get(vault->index, &m->devices[i].id, &other->sequence, &body, &p->msg);
        if (e == ERR_OK) {
            other->slot = m->devices[i].slot;
            document_hash(body, &other->hash);
            head->other_count++;
        }
        e = e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    return e;
}

static enum err sign_head(struct heads_publish *p)
{
    struct vault *vault = p->vault;
    uint64_t sequence = 0;
    struct slice old;
    struct head *head = &p->record;
    enum err e = index_head_get(vault->index, vault_device(vault), &sequence, &old, &p->msg);
    p->sequence = sequence + 1;
    *head = (struct head){
        .account = vault->account,
        .slot = vault->secrets->slot,
        .sequence = p->sequence,
        .manifest_number = vault->manifest->number,
        .time_s = p->time_ns / 1000000000,
        .sealed = buf_slice(&p->sealed),
    };
    if (e == ERR_OK)
        document_hash(old, &head->previous);
    if (e == ERR_NOT_FOUND)
        e = ERR_OK;
    if (e == ERR_OK)
        e = name_others(p, head);
    return e == ERR_OK ? head_make(head, &vault->swarm_root, vault->device, &p->head) : e;
}

static enum err store_item(struct heads_publish *p, const struct heads_publish_item *item)
{
    struct index *index = p->vault->index;
    if (item->type == SEGMENT_SNAPSHOT) {
        const struct index_snapshot row = {
            .id = item->id, .device = *vault_device(p->vault), .time_ns = item->time_ns};
        return index_snapshot_put(index, &row, buf_slice(&item->bytes), &p->msg);
    }
    struct index_record record = {
        .id = item->id,
        .hash = item->hash,
        .type = (enum index_record_type)item->type,
        .head = p->sequence,
        .time_s = item->time_s,
    };
    return index_record_add(index, &record, item->named, item->named_count, buf_slice(&item->bytes),
                            false, NULL, &p->msg);
}

static enum err store_objects(struct heads_publish *p)
{
    enum err e = ERR_OK;
    list_for_each(node, &p->objects)
    {
        const struct object *object = container_of(node, struct object, link);
        for (size_t at = object->first; e == ERR_OK && at < object->end; at += 8)
            e = index_listed_set(p->vault->index, get_le64(p->published.data + at), &object->id,
                                 &p->msg);
    }
    return e;
}

/* One transaction: snapshots, documents, head, what is published. */
static enum err store_head(struct heads_publish *p)
{
    struct index *index = p->vault->index;
    enum err e = index_begin(index, &p->msg);
    for (size_t i = 0; e == ERR_OK && i < p->item_count; i++)
        e = store_item(p, p->items[i]);
    if (e == ERR_OK)
        e = index_head_put(index, vault_device(p->vault), p->sequence, buf_slice(&p->head),
                           &p->msg);
    if (e == ERR_OK)
        e = store_objects(p);
    if (e == ERR_OK && p->options.store)
        e = p->options.store(p->options.user, p, &p->msg);
    if (e == ERR_OK)
        return index_commit(index, &p->msg);
    index_rollback(index);
    return e;
}

static void make_head(struct work_job *job)
{
    struct heads_publish *p = container_of(job, struct heads_publish, job);
    p->e = seal_place(p);
    if (p->e == ERR_OK)
        p->e = sign_head(p);
    if (p->e == ERR_OK)
        p->e = store_head(p);
    if (p->e != ERR_OK)
        p->e = err_wrap(&p->msg, p->e, "cannot make the head");
}

/* The head rests with enough: what it publishes may be acted on. */
static void note_kept(struct work_job *job)
{
    struct heads_publish *p = container_of(job, struct heads_publish, job);
    p->e =
        index_fact_put_number(p->vault->index, VAULT_FACT_HEAD_KEPT, (int64_t)p->sequence, &p->msg);
}

static void heads_put(void *user, enum err e, const struct swarm_heads_result *result,
                      const struct errmsg *msg);

/* Another device has changed the manifest meanwhile. */
static void newer(void *user, const struct id *peer, struct slice document)
{
    struct heads_publish *p = user;
    struct errmsg msg;
    bool taken;
    (void)peer;
    if (vault_manifest_seen(p->vault, document, &taken, &msg) == ERR_OK && taken)
        p->manifest_changed = true;
}

static void send_head(struct heads_publish *p)
{
    struct vault *vault = p->vault;
    const struct slice heads[1] = {buf_slice(&p->head)};
    const struct swarm_heads_put put = {
        .account = vault->account,
        .manifest = buf_slice(&vault->manifest_bytes),
        .heads = heads,
        .head_count = 1,
        .losses = p->options.losses,
        .newer = newer,
        .done = heads_put,
        .user = p,
    };
    p->e = swarm_heads_put(vault->swarm, &put, &p->heads, &p->msg);
    if (p->e != ERR_OK)
        publish_end(p);
}

/* --- the steps --- */

static void step_done(struct work_job *job)
{
    struct heads_publish *p = container_of(job, struct heads_publish, job);
    if (p->e != ERR_OK || p->stop != ERR_OK)
        publish_end(p);
    else
        p->then(p);
}

static void in_lane(struct heads_publish *p, void (*run)(struct work_job *job),
                    void (*then)(struct heads_publish *p))
{
    p->then = then;
    p->job = (struct work_job){.run = run, .done = step_done};
    work_submit(p->vault->ports.work, p->vault->lane, &p->job);
}

static void heads_put(void *user, enum err e, const struct swarm_heads_result *result,
                      const struct errmsg *msg)
{
    struct heads_publish *p = user;
    (void)result;
    p->heads = NULL;
    if (e == ERR_STALE && p->manifest_changed) {
        p->manifest_changed = false;
        send_head(p);
        return;
    }
    p->e = e;
    if (e == ERR_OK) {
        in_lane(p, note_kept, publish_end);
        return;
    }
    p->msg = *msg;
    (void)err_wrap(&p->msg, e, "everything is stored, but too few keep the head that names it");
    publish_end(p);
}

static void flushed(void *user)
{
    struct heads_publish *p = user;
    if (p->stop != ERR_OK)
        publish_end(p);
    else
        p->then(p);
}

static void chunks_back(struct transfer_batch *batch)
{
    struct heads_publish *p = batch->user;
    const enum index_kind kind = p->chunks.batch.kind;
    transfer_chunks_clear(&p->chunks);
    transfer_chunks_init(&p->chunks, p->options.writer, kind);
    transfer_writer_flush(p->options.writer, flushed, p);
}

static void put_chunks(struct heads_publish *p, void (*then)(struct heads_publish *p))
{
    p->then = then;
    transfer_chunks_ready(&p->chunks);
    p->chunks.batch.done = chunks_back;
    p->chunks.batch.user = p;
    transfer_writer_put(p->options.writer, &p->chunks.batch);
}

static void synced(void *user, enum err e, const struct heads_sync_summary *summary,
                   const struct errmsg *msg)
{
    struct heads_publish *p = user;
    if (e == ERR_OK && summary->condemned > 0 && p->options.references) {
        e = ERR_STALE;
        p->overtaken = true;
        p->e =
            err_say(&p->msg, e, "another device has condemned %llu segments since this run began",
                    (unsigned long long)summary->condemned);
    }
    if (e == ERR_STALE || p->stop != ERR_OK) {
        publish_end(p);
        return;
    }
    if (e != ERR_OK) /* then nothing new is acknowledged, which only delays others' deletions */
        log_say(p->vault->ports.log, LOG_WARN, "other devices' heads cannot be had now: %s",
                msg->text);
    in_lane(p, make_head, send_head);
}

static void say_problem(void *user, enum err e, const char *sentence)
{
    struct heads_publish *p = user;
    (void)e;
    log_say(p->vault->ports.log, LOG_WARN, "%s", sentence);
}

/* The newest heads of the others, just before ours names them. */
static void to_head(struct heads_publish *p)
{
    const struct heads_sync_events events = {.problem = say_problem, .done = synced};
    if (!heads_sync_is_needed(p->vault)) {
        in_lane(p, make_head, send_head);
        return;
    }
    p->e = heads_sync_start(p->vault, &events, p, &p->msg);
    if (p->e != ERR_OK)
        publish_end(p);
}

static void put_catalogue(struct heads_publish *p)
{
    put_chunks(p, to_head);
}

static void to_catalogue(struct heads_publish *p)
{
    in_lane(p, make_catalogue, put_catalogue);
}

static void make_first(struct work_job *job)
{
    struct heads_publish *p = container_of(job, struct heads_publish, job);
    p->e = make_objects(p);
    if (p->e == ERR_OK && p->options.prepare)
        p->e = p->options.prepare(p->options.user, p, &p->msg);
    if (p->e != ERR_OK)
        p->e = err_wrap(&p->msg, p->e, "cannot make what is to be published");
}

static void put_first(struct heads_publish *p)
{
    if (p->chunks.batch.count > 0)
        put_chunks(p, to_catalogue);
    else
        to_catalogue(p);
}

void heads_publish_start(struct heads_publish *p)
{
    p->time_ns = clock_wall_ns(p->vault->ports.clock);
    in_lane(p, make_first, put_first);
}

void heads_publish_stop(struct heads_publish *p, enum err e, const struct errmsg *msg)
{
    if (p->stop != ERR_OK)
        return;
    p->stop = e;
    p->stop_msg = *msg;
    if (p->heads)
        swarm_heads_cancel(p->heads);
}

bool heads_publish_overtaken(const struct heads_publish *p)
{
    return p->overtaken;
}

enum err heads_publish_new(const struct heads_publish_options *options, struct heads_publish **out,
                           struct errmsg *msg)
{
    struct heads_publish *p = calloc(1, sizeof(*p));
    if (!p)
        return err_say(msg, ERR_NOMEM, "out of memory for publishing");
    *p = (struct heads_publish){
        .options = *options,
        .vault = options->vault,
        .published = BUF_INIT(PUBLISHED_BYTES_MAX),
        .noted = BUF_INIT(PUBLISHED_BYTES_MAX),
        .catalogue = BUF_INIT(SNAPSHOT_CATALOGUE_BYTES_MAX),
        .head = BUF_INIT(HEAD_BYTES_MAX),
        .sealed = BUF_INIT(HEAD_SEALED_MAX),
    };
    list_init(&p->objects);
    snapshot_index_init(&p->index);
    snapshot_catalogue_init(&p->next);
    transfer_chunks_init(&p->chunks, options->writer, INDEX_METADATA);
    if (keyed_hash_new(options->vault->secrets->account.chunk_id_key, &p->hash) != ERR_OK) {
        heads_publish_free(p);
        return err_say(msg, ERR_NOMEM, "out of memory for publishing");
    }
    *out = p;
    return ERR_OK;
}

void heads_publish_free(struct heads_publish *p)
{
    if (!p)
        return;
    for (struct list *node; (node = list_pop(&p->objects));)
        free(container_of(node, struct object, link));
    for (size_t i = 0; i < p->item_count; i++) {
        buf_free(&p->items[i]->bytes);
        free(p->items[i]->named);
        free(p->items[i]);
    }
    free(p->items);
    transfer_chunks_clear(&p->chunks);
    keyed_hash_free(p->hash);
    snapshot_index_free(&p->index);
    snapshot_catalogue_free(&p->next);
    buf_free(&p->published);
    buf_free(&p->noted);
    buf_free(&p->catalogue);
    buf_free(&p->head);
    buf_free(&p->sealed);
    free(p);
}
