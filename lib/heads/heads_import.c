#include "heads/heads_import.h"

#include "heads/heads_lines.h"
#include "identity/condemned.h"
#include "identity/head.h"
#include "identity/lift.h"
#include "identity/tombstone.h"
#include "index/index_removal.h"
#include "snapshot/snapshot.h"
#include "snapshot/snapshot_catalogue.h"
#include "snapshot/snapshot_head.h"
#include "snapshot/snapshot_index.h"
#include "swarm/swarm_have.h"

#include <stdlib.h>

#define IMPORT_CACHE_BYTES MIB(48)

struct import_segment {
    struct transfer_segment *segment; /* owned; NULL: not known */
    struct buf record;
    bool wanted; /* an object that we do not have lies in it */
    bool added;
};

struct heads_import {
    struct vault *vault;
    struct heads_import_options options;
    struct errmsg msg;
    struct work_job job;
    enum err e;
    struct transfer_reader *reader;
    struct buf catalogue;
    struct transfer_segment *head_segment; /* owned */
    struct index_chunk head_chunk;
    struct import_segment *segments; /* as the catalogue numbers them */
    size_t segment_count, segment_at;
    unsigned holder_at;
    size_t object_at;
    bool *known; /* objects that are in the index already */
    unsigned k, m;
    uint64_t problems_before;
};

static void segment_free(struct transfer_segment *segment)
{
    if (!segment)
        return;
    transfer_segment_clear(segment);
    free(segment);
}

static void import_free(struct heads_import *r)
{
    for (size_t i = 0; i < r->segment_count; i++) {
        segment_free(r->segments[i].segment);
        buf_free(&r->segments[i].record);
    }
    free(r->segments);
    free(r->known);
    segment_free(r->head_segment);
    transfer_reader_free(r->reader);
    buf_free(&r->catalogue);
    free(r);
}

static void import_end(struct heads_import *r, enum err e, const struct errmsg *why)
{
    const struct errmsg msg = *why;
    r->options.done(r->options.user, e, &msg, r);
    import_free(r);
}

void heads_import_level(const struct heads_import *import, unsigned *k, unsigned *m)
{
    *k = import->k;
    *m = import->m;
}

static enum err segment_from(struct slice header, const struct id *cells, size_t count,
                             struct transfer_segment **out, struct errmsg *msg)
{
    struct transfer_segment *s = calloc(1, sizeof(*s));
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

static enum err add_segment(struct heads_import *r, struct index_segment *row, struct slice header,
                            struct slice record, const struct index_shard *shards, bool *known,
                            struct errmsg *msg)
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
    bool condemned;
    e = index_is_named(index, INDEX_CONDEMNED_LIST, &row->id, &condemned, msg);
    if (e != ERR_OK)
        return e;
    row->state = condemned ? INDEX_CONDEMNED : INDEX_COMMITTED;
    r->options.summary->segments++;
    return index_segment_add(index, row, header, record, shards, msg);
}

/* What this vault wrote itself and has lost: an old copy of it catches up. */
static bool is_own(const struct heads_import *r)
{
    return id_equal(r->options.device, vault_device(r->vault));
}

/* In the index a device is zero when it is ours. */
static struct id device_of(const struct heads_import *r)
{
    return is_own(r) ? (struct id){{0}} : *r->options.device;
}

static enum err add_listed(struct heads_import *r, const struct id *object,
                           const struct snapshot_segment *from, struct slice table,
                           struct errmsg *msg)
{
    struct segment_header header;
    struct index_shard shards[LIMIT_SHARDS];
    const size_t count = from->chunks.size / SNAPSHOT_CHUNK_SIZE;
    bool known = false;
    enum err e = segment_header_decode(from->header, &header, msg);
    if (e == ERR_OK && header.device_slot != r->options.slot)
        e = err_say(msg, ERR_INCONSISTENT, "device %u lists a segment of device %u as its own",
                    r->options.slot, header.device_slot);
    if (e != ERR_OK)
        return e;
    struct index_segment row = {
        .device = device_of(r),
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
    e = heads_lines_read(from->chunks, chunks, msg);
    for (size_t i = 0; e == ERR_OK && i < count; i++) {
        row.plain_bytes += chunks[i].plain_bytes;
        row.sealed_bytes += chunks[i].sealed_bytes;
    }
    if (e == ERR_OK)
        e = add_segment(r, &row, from->header, from->record, shards, &known, msg);
    for (size_t i = 0; i < count; i++)
        chunks[i].segment = row.number;
    if (e == ERR_OK && !known)
        e = index_chunks_add(r->vault->index, chunks, count, msg);
    if (e == ERR_OK)
        e = is_own(r) ? index_listed_set(r->vault->index, row.number, object, msg)
                      : index_segment_set_published(r->vault->index, row.number, msg);
    r->options.summary->chunks += known ? 0 : count;
    free(chunks);
    return e;
}

static enum err add_index_object(struct heads_import *r, const struct id *object,
                                 struct slice bytes, struct errmsg *msg)
{
    struct snapshot_index_reader walk;
    struct snapshot_segment segment;
    enum err e = snapshot_index_open(&walk, bytes, msg);
    while (e == ERR_OK) {
        e = snapshot_index_next(&walk, &segment, msg);
        if (e == ERR_OK)
            e = add_listed(r, object, &segment, walk.table, msg);
    }
    return e == ERR_END ? ERR_OK : e;
}

static enum err add_snapshot(struct heads_import *r, const struct snapshot_object *object,
                             struct slice bytes, struct errmsg *msg)
{
    const struct index_snapshot row = {
        .id = object->chunk, .device = *r->options.device, .time_ns = object->time_ns};
    struct snapshot check;
    enum err e = snapshot_decode(bytes, &check, msg);
    snapshot_free(&check);
    if (e == ERR_OK)
        e = index_snapshot_put(r->vault->index, &row, bytes, msg);
    r->options.summary->snapshots += e == ERR_OK;
    return e;
}

/* --- documents about removal --- */

/* May its signer do that, by the newest manifest? */
static enum err check_deed(const struct heads_import *r, const struct deed *deed,
                           struct errmsg *msg)
{
    const struct manifest_device *device = manifest_device_find(r->vault->manifest, &deed->signer);
    if (!id_equal(&deed->account, &r->vault->account))
        return err_say(msg, ERR_DENIED, "a document about removal is another account's");
    bool now; /* what a root that was replaced has taken back stays so */
    if (deed->by_root && manifest_is_root(r->vault->manifest, &deed->signer, &now))
        return ERR_OK;
    if (deed->by_root || !device || device->slot != deed->slot ||
        !(device->capabilities & MANIFEST_DELETE) || !manifest_valid(device, deed->sequence))
        return err_say(msg, ERR_DENIED,
                       "a document about removal is signed by a device that may not");
    return ERR_OK;
}

static enum err open_condemned(const struct heads_import *r, struct slice bytes, struct deed *deed,
                               struct id_list *list, struct errmsg *msg)
{
    struct condemned *condemned = calloc(1, sizeof(*condemned));
    if (!condemned)
        return err_say(msg, ERR_NOMEM, "out of memory");
    const enum err e = condemned_open(bytes, &r->vault->swarm_root, NULL, condemned, msg);
    *deed = condemned->deed;
    *list = condemned->segments;
    free(condemned);
    return e;
}

static enum err open_document(const struct heads_import *r, uint8_t type, struct slice bytes,
                              struct deed *deed, struct id_list *list, struct errmsg *msg)
{
    const struct swarm_root *swarm = &r->vault->swarm_root;
    struct tombstone tombstone;
    struct lift lift;
    enum err e;
    if (type == SEGMENT_TOMBSTONE) {
        e = tombstone_open(bytes, swarm, NULL, &tombstone, msg);
        *deed = tombstone.deed;
        *list = tombstone.snapshots;
    } else if (type == SEGMENT_LIFT) {
        e = lift_open(bytes, swarm, &lift, msg);
        *deed = lift.deed;
        *list = lift.documents;
    } else {
        e = open_condemned(r, bytes, deed, list, msg);
    }
    return e == ERR_OK ? check_deed(r, deed, msg) : e;
}

static enum err add_document(struct heads_import *r, const struct snapshot_object *object,
                             struct slice bytes, struct errmsg *msg)
{
    struct deed deed;
    struct id_list list;
    size_t condemned = 0;
    enum err e = open_document(r, object->type, bytes, &deed, &list, msg);
    if (e != ERR_OK)
        return e;
    struct id *named = calloc(list.count + 1, sizeof(*named));
    if (!named)
        return err_say(msg, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < list.count; i++)
        id_list_at(&list, i, &named[i]);
    struct index_record record = {
        .id = object->chunk,
        .device = device_of(r),
        .type = (enum index_record_type)object->type,
        .head = r->options.sequence,
        .time_s = deed.time_s,
    };
    document_hash(bytes, &record.hash);
    e = index_record_add(r->vault->index, &record, named, list.count, bytes, true, &condemned, msg);
    r->options.summary->condemned += condemned;
    free(named);
    return e;
}

static bool is_document(uint8_t type)
{
    return type == SEGMENT_TOMBSTONE || type == SEGMENT_CONDEMNED || type == SEGMENT_LIFT;
}

/* --- one object --- */

/* Objects have records of their own: they are found without an index. */
static struct index_chunk chunk_of(const struct snapshot_object *object)
{
    return (struct index_chunk){.id = object->chunk,
                                .record = object->record,
                                .offset = object->offset,
                                .sealed_bytes = object->sealed_bytes,
                                .plain_bytes = object->plain_bytes,
                                .type = vault_type(object->type, object->flags)};
}

/* The segment in which an object lies is in the index too, with the objects as its chunks. */
static enum err add_own_segment(struct heads_import *r, const struct snapshot_object *object,
                                struct errmsg *msg)
{
    struct import_segment *from = &r->segments[object->segment];
    struct transfer_segment *s = from->segment;
    uint8_t header[SEGMENT_HEADER_SIZE_MAX];
    struct index_chunk chunk = chunk_of(object);
    enum err e = ERR_OK;
    if (!from->added) {
        struct index_segment row = s->row;
        bool known;
        row.device = device_of(r);
        row.kind = INDEX_METADATA;
        row.state = INDEX_COMMITTED;
        segment_header_encode(&s->header, header);
        e = add_segment(r, &row, slice_of(header, segment_header_size(row.k, row.m)),
                        buf_slice(&from->record), s->shards, &known, msg);
        s->row.number = row.number;
        from->added = e == ERR_OK;
        /* not even ours is listed by the next index object: the catalogue leads to the objects, and
           what else lies beside them (old catalogues) is not known here */
        if (e == ERR_OK)
            e = index_segment_set_published(r->vault->index, row.number, msg);
    }
    chunk.segment = s->row.number;
    return e == ERR_OK ? index_chunks_add(r->vault->index, &chunk, 1, msg) : e;
}

static enum err add_object(struct heads_import *r, const struct snapshot_object *object,
                           struct slice bytes, struct errmsg *msg)
{
    struct index *index = r->vault->index;
    enum err e = index_begin(index, msg);
    if (e != ERR_OK)
        return e;
    if (object->type == SEGMENT_INDEX)
        e = add_index_object(r, &object->chunk, bytes, msg);
    else if (object->type == SEGMENT_SNAPSHOT)
        e = add_snapshot(r, object, bytes, msg);
    else if (is_document(object->type))
        e = add_document(r, object, bytes, msg);
    if (e == ERR_DENIED) { /* it counts for nothing, and need not be looked at again */
        log_say(r->vault->ports.log, LOG_WARN, "%s", msg->text);
        e = ERR_OK;
    }
    if (e == ERR_OK)
        e = add_own_segment(r, object, msg);
    if (e == ERR_OK)
        return index_commit(index, msg);
    index_rollback(index);
    return e;
}

/* An object that cannot be had is a problem, unless it is forgotten, or its segment is condemned:
   then what it lists is condemned too, or stands elsewhere by now. */
static enum err count_problem(struct heads_import *r, const struct snapshot_catalogue_reader *from,
                              const struct snapshot_object *object, struct errmsg *msg)
{
    struct snapshot_catalogue_reader walk = *from;
    struct id segment = {{0}};
    struct slice holders;
    bool missing = false;
    enum err e = ERR_OK;
    for (uint32_t i = 0; e == ERR_OK && i <= object->segment; i++)
        e = snapshot_catalogue_next_segment(&walk, &segment, &holders);
    if (e == ERR_OK)
        e = index_is_named(r->vault->index, INDEX_TOMBSTONE, &object->chunk, &missing, msg);
    if (e == ERR_OK && !missing)
        e = index_is_named(r->vault->index, INDEX_CONDEMNED_LIST, &segment, &missing, msg);
    if (e == ERR_OK && !missing)
        r->options.summary->problems++;
    return e;
}

static enum err read_objects(void *user, struct errmsg *msg)
{
    struct heads_import *r = user;
    struct snapshot_catalogue_reader catalogue;
    enum err e = snapshot_catalogue_open(&catalogue, buf_slice(&r->catalogue), msg);
    for (; e == ERR_OK && r->object_at < snapshot_catalogue_count(&catalogue); r->object_at++) {
        struct snapshot_object object;
        struct slice bytes;
        snapshot_catalogue_at(&catalogue, r->object_at, &object);
        if (r->known[r->object_at])
            continue;
        if (object.segment >= r->segment_count || !r->segments[object.segment].segment) {
            e = count_problem(r, &catalogue, &object, msg);
            continue;
        }
        const struct index_chunk chunk = chunk_of(&object);
        e = transfer_reader_record(r->reader, r->segments[object.segment].segment, &chunk, &bytes,
                                   msg);
        if (e == ERR_BUSY || e == ERR_NOMEM)
            return e;
        if (e != ERR_OK) { /* told once, at the end */
            e = count_problem(r, &catalogue, &object, msg);
            continue;
        }
        e = add_object(r, &object, bytes, msg);
    }
    return e;
}

static void objects_read(void *user, enum err e, const struct errmsg *msg)
{
    struct heads_import *r = user;
    if (e == ERR_OK && r->options.summary->problems > r->problems_before)
        r->options.problem(r->options.user, ERR_NOT_ENOUGH,
                           "some of what a device has published cannot be had now");
    import_end(r, e, msg);
}

/* --- headers of the catalogue's segments, on the loop --- */

static void next_header(struct heads_import *r);

/* What the catalogue says of segment `segment_at`. */
static enum err catalogue_at(struct heads_import *r, struct id *segment, struct id *cells,
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
    struct heads_import *r = user;
    struct import_segment *to = &r->segments[r->segment_at];
    struct id id, cells[LIMIT_SHARDS];
    size_t count;
    if (e == ERR_OK)
        e = catalogue_at(r, &id, cells, &count);
    if (e == ERR_OK)
        e = segment_from(segment->header, cells, count, &to->segment, &r->msg);
    if (e == ERR_OK && to->segment->header.device_slot != r->options.slot)
        e = ERR_INCONSISTENT;
    to->record.size_max = SNAPSHOT_RECORD_BYTES_MAX;
    if (e == ERR_OK)
        e = buf_append(&to->record, segment->record.data, segment->record.size);
    if (e == ERR_OK)
        e = transfer_segment_unlock(r->vault, to->segment, &r->msg);
    (void)msg;
    if (e == ERR_OK) {
        r->segment_at++;
        r->holder_at = 0;
    }
    next_header(r);
}

/* Asks the next holder of the segment; true: an answer follows. */
static bool ask_holder(struct heads_import *r)
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

static void next_header(struct heads_import *r)
{
    for (; r->segment_at < r->segment_count; r->segment_at++, r->holder_at = 0) {
        if (!r->segments[r->segment_at].wanted)
            continue;
        if (ask_holder(r))
            return;
        segment_free(r->segments[r->segment_at].segment);
        r->segments[r->segment_at].segment = NULL; /* its objects are counted when they are met */
    }
    const enum err e = transfer_reader_run(r->reader, read_objects, objects_read, r, &r->msg);
    if (e != ERR_OK)
        import_end(r, e, &r->msg);
}

/* --- the catalogue --- */

static enum err read_catalogue(void *user, struct errmsg *msg)
{
    struct heads_import *r = user;
    struct slice bytes;
    const enum err e =
        transfer_reader_record(r->reader, r->head_segment, &r->head_chunk, &bytes, msg);
    return e == ERR_OK ? buf_append(&r->catalogue, bytes.data, bytes.size) : e;
}

/* This device finds its objects where the catalogue says: their segments stay as they are. */
static enum err pin(struct heads_import *r, struct snapshot_catalogue_reader catalogue)
{
    struct slice holders;
    struct id *ids = calloc(r->segment_count + 1, sizeof(*ids));
    enum err e = ids ? ERR_OK : err_say(&r->msg, ERR_NOMEM, "out of memory for a catalogue");
    for (size_t i = 0; e == ERR_OK && i < r->segment_count; i++)
        e = snapshot_catalogue_next_segment(&catalogue, &ids[i], &holders);
    if (e == ERR_OK) {
        ids[r->segment_count] = r->head_segment->row.id;
        e = index_pins_set(r->vault->index, r->options.device, ids,
                           is_own(r) ? 0 : r->segment_count + 1, &r->msg);
    }
    free(ids);
    return e;
}

/* On the lane: which of the catalogue's objects are new to us, and of this round. */
static enum err find_new(struct heads_import *r)
{
    struct snapshot_catalogue_reader catalogue;
    enum err e = snapshot_catalogue_open(&catalogue, buf_slice(&r->catalogue), &r->msg);
    if (e != ERR_OK)
        return e;
    const size_t count = snapshot_catalogue_count(&catalogue);
    r->segments = calloc(catalogue.segment_count + 1, sizeof(*r->segments));
    r->known = calloc(count + 1, sizeof(*r->known));
    if (!r->segments || !r->known)
        return err_say(&r->msg, ERR_NOMEM, "out of memory for a catalogue");
    r->segment_count = catalogue.segment_count;
    for (size_t i = 0; e == ERR_OK && i < count; i++) {
        struct snapshot_object object;
        struct index_chunk there;
        snapshot_catalogue_at(&catalogue, i, &object);
        e = index_chunks_find(r->vault->index, &object.chunk, 1, true, &there, &r->msg);
        r->known[i] = e == ERR_OK &&
                      (there.segment != 0 || is_document(object.type) != r->options.documents_only);
        if (!r->known[i] && object.segment < r->segment_count)
            r->segments[object.segment].wanted = true;
    }
    return e == ERR_OK ? pin(r, catalogue) : e;
}

static void find_new_run(struct work_job *job)
{
    struct heads_import *r = container_of(job, struct heads_import, job);
    r->e = find_new(r);
}

static void find_new_done(struct work_job *job)
{
    struct heads_import *r = container_of(job, struct heads_import, job);
    if (r->e == ERR_OK)
        next_header(r);
    else
        import_end(r, r->e, &r->msg);
}

static void catalogue_read(void *user, enum err e, const struct errmsg *msg)
{
    struct heads_import *r = user;
    if (e != ERR_OK) {
        struct errmsg why = *msg;
        e = err_wrap(&why, e, "the catalogue of a device cannot be had");
        import_end(r, e, &why);
        return;
    }
    r->job.run = find_new_run;
    r->job.done = find_new_done;
    work_submit(r->vault->ports.work, r->vault->lane, &r->job);
}

static enum err open_head(struct heads_import *r, struct errmsg *msg)
{
    const struct vault *vault = r->vault;
    struct head *opened = calloc(1, sizeof(*opened));
    uint8_t *plain = malloc(SNAPSHOT_HEAD_BYTES_MAX);
    struct snapshot_head where;
    enum err e = opened && plain ? ERR_OK : ERR_NOMEM;
    if (e == ERR_OK)
        e = head_open(r->options.head, &vault->swarm_root, r->options.device, opened, msg);
    if (e == ERR_OK && (opened->sealed.size < SEAL_OVERHEAD ||
                        opened->sealed.size - SEAL_OVERHEAD > SNAPSHOT_HEAD_BYTES_MAX))
        e = err_say(msg, ERR_FORMAT, "a head's sealed part has a wrong size");
    if (e == ERR_OK)
        e = vault_unseal(vault, opened->sealed, plain);
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
        r->head_chunk = (struct index_chunk){.id = where.chunk,
                                             .record = where.record,
                                             .offset = where.offset,
                                             .sealed_bytes = where.sealed_bytes,
                                             .plain_bytes = where.plain_bytes,
                                             .type = vault_type(SEGMENT_CATALOGUE, where.flags)};
        r->k = r->head_segment->header.k;
        r->m = r->head_segment->header.m;
        e = transfer_segment_unlock(vault, r->head_segment, msg);
    }
    free(opened);
    free(plain);
    return e;
}

enum err heads_import_start(struct vault *vault, const struct heads_import_options *options,
                            struct errmsg *msg)
{
    struct heads_import *r = calloc(1, sizeof(*r));
    if (!r)
        return err_say(msg, ERR_NOMEM, "out of memory");
    r->vault = vault;
    r->options = *options;
    r->problems_before = options->summary->problems;
    r->catalogue = BUF_INIT(SNAPSHOT_CATALOGUE_BYTES_MAX);
    enum err e = open_head(r, msg);
    if (e == ERR_OK)
        e = transfer_reader_new(vault, IMPORT_CACHE_BYTES, &r->reader, msg);
    if (e == ERR_OK)
        e = transfer_reader_run(r->reader, read_catalogue, catalogue_read, r, msg);
    if (e != ERR_OK)
        import_free(r);
    return e;
}
