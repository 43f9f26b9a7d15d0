/*
 * One device's index, from its head:
 *
 *     unseal the head (loop) ─▶ catalogue (reader) ─▶ headers of its segments (asked of the cells)
 *     ─▶ index objects and snapshots, one after the other (reader) ─▶ done
 */
#include "snapshot/snapshot.h"
#include "snapshot/snapshot_catalogue.h"
#include "snapshot/snapshot_head.h"
#include "snapshot/snapshot_index.h"
#include "swarm/swarm_have.h"
#include "vault/vault_recover_internal.h"

#include <stdlib.h>

#define RECOVER_CACHE_BYTES MIB(48)

static void segment_free(struct vault_segment *segment)
{
    if (!segment)
        return;
    vault_segment_clear(segment);
    free(segment);
}

void vault_recover_index_clear(struct vault_recovery *r)
{
    for (size_t i = 0; i < r->segment_count; i++) {
        segment_free(r->segments[i].segment);
        buf_free(&r->segments[i].record);
    }
    free(r->segments);
    r->segments = NULL;
    r->segment_count = r->segment_at = r->object_at = 0;
    segment_free(r->head_segment);
    r->head_segment = NULL;
    vault_reader_free(r->reader);
    r->reader = NULL;
    buf_free(&r->catalogue);
}

static void index_end(struct vault_recovery *r, enum err e, const struct errmsg *why)
{
    const struct errmsg msg = *why;
    vault_done_fn *done = r->index_done;
    vault_recover_index_clear(r);
    done(r, e, &msg);
}

/* What could not be had is counted and told, and the rest is read. */
static void problem(struct vault_recovery *r, enum err e, const char *sentence)
{
    r->summary.problems++;
    r->events.problem(r->user, e, sentence);
}

static enum err segment_from(struct slice header, const struct id *cells, size_t count,
                             struct vault_segment **out, struct errmsg *msg)
{
    struct vault_segment *s = calloc(1, sizeof(*s));
    if (!s)
        return err_say(msg, ERR_NOMEM, "out of memory");
    const enum err e = segment_header_decode(header, &s->header, msg);
    if (e != ERR_OK) {
        free(s);
        return e;
    }
    segment_header_id(header, &s->row.id);
    s->row.k = s->header.k;
    s->row.m = s->header.m;
    s->row.shard_bytes = s->header.shard_bytes;
    s->row.epoch = s->header.epoch;
    for (size_t i = 0; i < count && i < (size_t)s->header.k + s->header.m; i++) {
        s->shards[i] = (struct index_shard){.cell = cells[i],
                                            .state = id_is_zero(&cells[i]) ? INDEX_SHARD_DEBT
                                                                           : INDEX_SHARD_STORED};
        if (!id_is_zero(&cells[i]))
            s->holders[s->holder_count++] = (struct swarm_holder){cells[i], (uint8_t)i};
    }
    *out = s;
    return ERR_OK;
}

/* --- the objects, on the lane --- */

static enum err add_segment(struct vault_recovery *r, struct index_segment *row,
                            struct slice header, struct slice record,
                            const struct index_shard *shards, bool *known, struct errmsg *msg)
{
    struct index *index = r->vault->index;
    struct index_segment there;
    enum err e = index_segment_get(index, &row->id, &there, NULL);
    *known = e == ERR_OK;
    if (e == ERR_OK) { /* a newer object: it is right about the cells */
        row->number = there.number;
        return index_segment_set_shards(index, there.number, shards, row->k + row->m, msg);
    }
    if (e != ERR_NOT_FOUND)
        return e;
    r->summary.segments++;
    return index_segment_add(index, row, header, record, shards, msg);
}

static enum err add_listed(struct vault_recovery *r, const struct snapshot_segment *from,
                           struct slice table, struct errmsg *msg)
{
    struct segment_header header;
    struct index_shard shards[LIMIT_SHARDS];
    const size_t count = from->chunks.size / SNAPSHOT_CHUNK_SIZE;
    bool known;
    enum err e = segment_header_decode(from->header, &header, msg);
    if (e != ERR_OK)
        return e;
    struct index_segment row = {
        .device = *r->device,
        .kind = from->kind == SEGMENT_DATA ? INDEX_DATA : INDEX_METADATA,
        .state = INDEX_COMMITTED,
        .k = header.k,
        .m = header.m,
        .shard_bytes = header.shard_bytes,
        .epoch = header.epoch,
        .chunk_count = (uint32_t)count,
        .created_s = clock_wall_ns(r->vault->ports.clock) / 1000000000,
    };
    segment_header_id(from->header, &row.id);
    for (size_t i = 0; i < row.k + row.m; i++) {
        const struct id cell = snapshot_cells_at(table, from->holders, i);
        shards[i] = (struct index_shard){
            .cell = cell, .state = id_is_zero(&cell) ? INDEX_SHARD_DEBT : INDEX_SHARD_STORED};
    }
    struct index_chunk *chunks = calloc(count + 1, sizeof(*chunks));
    if (!chunks)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        struct snapshot_chunk one;
        snapshot_chunk_at(from->chunks, i, &one);
        chunks[i] = (struct index_chunk){.id = one.id,
                                         .record = (uint32_t)i,
                                         .offset = one.offset,
                                         .sealed_bytes = one.sealed_bytes,
                                         .plain_bytes = one.plain_bytes,
                                         .type = vault_type(one.type, one.flags)};
        row.plain_bytes += one.plain_bytes;
        row.sealed_bytes += one.sealed_bytes;
    }
    e = add_segment(r, &row, from->header, from->record, shards, &known, msg);
    for (size_t i = 0; i < count; i++)
        chunks[i].segment = row.number;
    if (e == ERR_OK && !known)
        e = index_chunks_add(r->vault->index, chunks, count, msg);
    if (e == ERR_OK)
        e = index_segment_set_published(r->vault->index, row.number, msg);
    r->summary.chunks += known ? 0 : count;
    free(chunks);
    return e;
}

static enum err add_index_object(struct vault_recovery *r, struct slice bytes, struct errmsg *msg)
{
    struct snapshot_index_reader walk;
    struct snapshot_segment segment;
    enum err e = snapshot_index_open(&walk, bytes, msg);
    while (e == ERR_OK) {
        e = snapshot_index_next(&walk, &segment, msg);
        if (e == ERR_OK)
            e = add_listed(r, &segment, walk.table, msg);
    }
    return e == ERR_END ? ERR_OK : e;
}

static enum err add_snapshot(struct vault_recovery *r, const struct snapshot_object *object,
                             struct slice bytes, struct errmsg *msg)
{
    const struct index_snapshot row = {
        .id = object->chunk, .device = *r->device, .time_ns = object->time_ns};
    struct snapshot check;
    enum err e = snapshot_decode(bytes, &check, msg);
    snapshot_free(&check);
    if (e == ERR_OK)
        e = index_snapshot_put(r->vault->index, &row, bytes, msg);
    r->summary.snapshots += e == ERR_OK;
    return e;
}

/* The segment in which an object lies is in the index too, with the objects as its chunks. */
static enum err add_own_segment(struct vault_recovery *r, const struct snapshot_object *object,
                                struct errmsg *msg)
{
    struct recovery_segment *from = &r->segments[object->segment];
    struct vault_segment *s = from->segment;
    uint8_t header[SEGMENT_HEADER_SIZE_MAX];
    struct index_chunk chunk = {.id = object->chunk,
                                .record = object->record,
                                .offset = object->offset,
                                .sealed_bytes = object->sealed_bytes,
                                .plain_bytes = object->plain_bytes,
                                .type = vault_type(object->type, object->flags)};
    enum err e = ERR_OK;
    if (!from->added) {
        struct index_segment row = s->row;
        bool known;
        row.device = *r->device;
        row.kind = INDEX_METADATA;
        row.state = INDEX_COMMITTED;
        segment_header_encode(&s->header, header);
        e = add_segment(r, &row, slice_of(header, segment_header_size(row.k, row.m)),
                        buf_slice(&from->record), s->shards, &known, msg);
        s->row.number = row.number;
        from->added = e == ERR_OK;
        if (e == ERR_OK)
            e = index_segment_set_published(r->vault->index, row.number, msg);
    }
    chunk.segment = s->row.number;
    return e == ERR_OK ? index_chunks_add(r->vault->index, &chunk, 1, msg) : e;
}

static enum err add_object(struct vault_recovery *r, const struct snapshot_object *object,
                           struct slice bytes, struct errmsg *msg)
{
    struct index *index = r->vault->index;
    enum err e = index_begin(index, msg);
    if (e != ERR_OK)
        return e;
    if (object->type == SEGMENT_INDEX)
        e = add_index_object(r, bytes, msg);
    else if (object->type == SEGMENT_SNAPSHOT)
        e = add_snapshot(r, object, bytes, msg);
    if (e == ERR_OK)
        e = add_own_segment(r, object, msg);
    if (e == ERR_OK)
        return index_commit(index, msg);
    index_rollback(index);
    return e;
}

static enum err read_objects(void *user, struct errmsg *msg)
{
    struct vault_recovery *r = user;
    struct snapshot_catalogue_reader catalogue;
    enum err e = snapshot_catalogue_open(&catalogue, buf_slice(&r->catalogue), msg);
    for (; e == ERR_OK && r->object_at < snapshot_catalogue_count(&catalogue); r->object_at++) {
        struct snapshot_object object;
        struct slice bytes;
        snapshot_catalogue_at(&catalogue, r->object_at, &object);
        if (object.segment >= r->segment_count || !r->segments[object.segment].segment) {
            r->summary.problems++;
            continue;
        }
        const struct segment_entry entry = {.id = object.chunk,
                                            .offset = object.offset,
                                            .sealed_bytes = object.sealed_bytes,
                                            .plain_bytes = object.plain_bytes,
                                            .type = object.type,
                                            .flags = object.flags};
        e = vault_reader_record(r->reader, r->segments[object.segment].segment, object.record,
                                &entry, &bytes, msg);
        if (e == ERR_BUSY || e == ERR_NOMEM)
            return e;
        if (e != ERR_OK) { /* told once, at the end */
            r->summary.problems++;
            e = ERR_OK;
            continue;
        }
        e = add_object(r, &object, bytes, msg);
    }
    return e;
}

static void objects_read(void *user, enum err e, const struct errmsg *msg)
{
    index_end(user, e, msg);
}

/* --- headers of the catalogue's segments, on the loop --- */

static void next_header(struct vault_recovery *r);

/* What the catalogue says of segment `segment_at`. */
static enum err catalogue_at(struct vault_recovery *r, struct id *segment, struct id *cells,
                             size_t *count)
{
    struct snapshot_catalogue_reader catalogue;
    struct slice holders;
    enum err e = snapshot_catalogue_open(&catalogue, buf_slice(&r->catalogue), NULL);
    for (size_t i = 0; e == ERR_OK && i <= r->segment_at; i++)
        e = snapshot_catalogue_next_segment(&catalogue, segment, &holders);
    if (e != ERR_OK)
        return e;
    *count = holders.size / 2 < LIMIT_SHARDS ? holders.size / 2 : LIMIT_SHARDS;
    for (size_t i = 0; i < *count; i++)
        cells[i] = snapshot_cells_at(catalogue.table, holders, i);
    return ERR_OK;
}

static void header_told(void *user, enum err e, const struct wire_segment *segment,
                        const struct errmsg *msg)
{
    struct vault_recovery *r = user;
    struct recovery_segment *to = &r->segments[r->segment_at];
    struct id id, cells[LIMIT_SHARDS];
    size_t count;
    if (e == ERR_OK)
        e = catalogue_at(r, &id, cells, &count);
    if (e == ERR_OK)
        e = segment_from(segment->header, cells, count, &to->segment, &r->msg);
    to->record.size_max = SNAPSHOT_RECORD_BYTES_MAX;
    if (e == ERR_OK)
        e = buf_append(&to->record, segment->record.data, segment->record.size);
    if (e == ERR_OK)
        e = vault_segment_unlock(r->vault, to->segment, &r->msg);
    (void)msg;
    if (e == ERR_OK) {
        r->segment_at++;
        r->holder_at = 0;
    }
    next_header(r);
}

/* Asks the next holder of the segment; true: an answer follows. */
static bool ask_holder(struct vault_recovery *r)
{
    struct id id, cells[LIMIT_SHARDS];
    size_t count;
    if (catalogue_at(r, &id, cells, &count) != ERR_OK)
        return false;
    while (r->holder_at < count) {
        const struct id *cell = &cells[r->holder_at++];
        if (!id_is_zero(cell) &&
            swarm_segment_ask(r->vault->swarm, cell, &id, header_told, r, &r->msg) == ERR_OK)
            return true;
    }
    return false;
}

static void next_header(struct vault_recovery *r)
{
    for (; r->segment_at < r->segment_count; r->segment_at++, r->holder_at = 0) {
        if (ask_holder(r))
            return;
        segment_free(r->segments[r->segment_at].segment);
        r->segments[r->segment_at].segment = NULL;
        problem(r, ERR_NOT_ENOUGH, "no cell answers for a segment with index objects");
    }
    const enum err e = vault_reader_run(r->reader, read_objects, objects_read, r, &r->msg);
    if (e != ERR_OK)
        index_end(r, e, &r->msg);
}

/* --- the catalogue --- */

static enum err read_catalogue(void *user, struct errmsg *msg)
{
    struct vault_recovery *r = user;
    struct slice bytes;
    const enum err e = vault_reader_record(r->reader, r->head_segment, r->head_record,
                                           &r->head_entry, &bytes, msg);
    return e == ERR_OK ? buf_append(&r->catalogue, bytes.data, bytes.size) : e;
}

static void catalogue_read(void *user, enum err e, const struct errmsg *msg)
{
    struct vault_recovery *r = user;
    struct snapshot_catalogue_reader catalogue;
    r->msg = *msg;
    if (e == ERR_OK)
        e = snapshot_catalogue_open(&catalogue, buf_slice(&r->catalogue), &r->msg);
    if (e == ERR_OK) {
        r->segments = calloc(catalogue.segment_count + 1, sizeof(*r->segments));
        e = r->segments ? ERR_OK : ERR_NOMEM;
    }
    if (e != ERR_OK) {
        struct errmsg why = r->msg;
        e = err_wrap(&why, e, "the catalogue of a device cannot be had");
        index_end(r, e, &why);
        return;
    }
    r->segment_count = catalogue.segment_count;
    r->segment_at = 0;
    r->holder_at = 0;
    next_header(r);
}

static enum err open_head(struct vault_recovery *r, const struct recovery_head *head,
                          struct errmsg *msg)
{
    struct head *opened = calloc(1, sizeof(*opened));
    uint8_t *plain = malloc(SNAPSHOT_HEAD_BYTES_MAX);
    struct snapshot_head where;
    enum err e = opened && plain ? ERR_OK : ERR_NOMEM;
    if (e == ERR_OK)
        e = head_open(buf_slice(&head->bytes), &r->vault->swarm_root, &head->device, opened, msg);
    if (e == ERR_OK && (opened->sealed.size < SEAL_OVERHEAD ||
                        opened->sealed.size - SEAL_OVERHEAD > SNAPSHOT_HEAD_BYTES_MAX))
        e = err_say(msg, ERR_FORMAT, "a head's sealed part has a wrong size");
    if (e == ERR_OK)
        e = seal_open(r->secret->keys.reading_public, r->secret->keys.secrets.reading_secret,
                      opened->sealed, plain);
    if (e == ERR_OK)
        e = snapshot_head_decode(slice_of(plain, opened->sealed.size - SEAL_OVERHEAD), &where, msg);
    if (e == ERR_OK) {
        struct id cells[LIMIT_SHARDS];
        const size_t count = where.cells.size / ID_SIZE;
        memcpy(cells, where.cells.data,
               (count < LIMIT_SHARDS ? count : LIMIT_SHARDS) * sizeof(*cells));
        e = segment_from(where.header, cells, count, &r->head_segment, msg);
    }
    if (e == ERR_OK) {
        r->head_record = where.record;
        r->head_entry = (struct segment_entry){.id = where.chunk,
                                               .offset = where.offset,
                                               .sealed_bytes = where.sealed_bytes,
                                               .plain_bytes = where.plain_bytes,
                                               .type = SEGMENT_CATALOGUE,
                                               .flags = where.flags};
        r->k = r->head_segment->header.k;
        r->m = r->head_segment->header.m;
        e = vault_segment_unlock(r->vault, r->head_segment, msg);
    }
    free(opened);
    free(plain);
    return e;
}

enum err vault_recover_index(struct vault_recovery *r, const struct recovery_head *head,
                             vault_done_fn *done, struct errmsg *msg)
{
    r->index_done = done;
    r->device = &head->device;
    r->catalogue = BUF_INIT(SNAPSHOT_CATALOGUE_BYTES_MAX);
    enum err e = open_head(r, head, msg);
    if (e == ERR_OK)
        e = vault_reader_new(r->vault, RECOVER_CACHE_BYTES, &r->reader, msg);
    if (e == ERR_OK)
        e = vault_reader_run(r->reader, read_catalogue, catalogue_read, r, msg);
    if (e != ERR_OK)
        vault_recover_index_clear(r);
    return e;
}
