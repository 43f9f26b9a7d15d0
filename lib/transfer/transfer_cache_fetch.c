#include "transfer/transfer_cache_internal.h"

#include "transfer/transfer_record.h"

#include <stdlib.h>

/* Records of this many plain bytes and less are opened along with the one that was wanted. */
enum { SMALL_BYTES = 64 << 10 };

/* One fetch:
 *
 *     LOAD (lane): the chunk, its segment, its neighbours ─▶ gather (loop) ─▶ OPEN (pool) ─▶ taken
 */
struct flight {
    struct list link; /* in chunks->flights */
    struct transfer_cache *chunks;
    struct id id;
    struct work_job job;
    struct index_chunk chunk;
    struct transfer_segment segment;
    struct swarm_range range; /* of the payload: whole leaves */
    struct index_chunk *near; /* owned; small chunks within the range, without the wanted one */
    size_t near_count;
    uint8_t *payload; /* owned */
    struct swarm_gather *gather;
    struct opened {
        uint8_t *plain; /* owned until it is taken; NULL: could not be opened */
        size_t size;
    } * opened; /* owned; of near, then the wanted one */
    enum err e;
    struct errmsg msg;
};

static void flight_end(struct flight *f)
{
    struct transfer_cache *chunks = f->chunks;
    for (size_t i = 0; f->opened && i < f->near_count; i++) {
        if (f->opened[i].plain)
            transfer_cache_take(chunks, &f->near[i].id, f->opened[i].plain, f->opened[i].size,
                                ERR_OK, NULL);
    }
    if (f->e == ERR_OK)
        transfer_cache_take(chunks, &f->id, f->opened[f->near_count].plain,
                            f->opened[f->near_count].size, ERR_OK, NULL);
    else
        transfer_cache_take(chunks, &f->id, NULL, 0, f->e, &f->msg);
    list_remove(&f->link);
    chunks->flight_count--;
    transfer_segment_clear(&f->segment);
    free(f->payload);
    free(f->opened);
    free(f->near);
    free(f);
    transfer_cache_go_on(chunks);
}

/* --- OPEN, in the pool --- */

static enum err open_chunk(struct flight *f, struct transfer_record *record,
                           const struct index_chunk *chunk, struct opened *out, struct errmsg *msg)
{
    struct slice plain;
    const enum err e = transfer_record_open(record, chunk, f->payload,
                                            transfer_segment_bytes(&f->segment), &plain, msg);
    if (e != ERR_OK)
        return e;
    out->size = plain.size;
    out->plain = malloc(out->size + 1);
    if (!out->plain)
        return err_say(msg, ERR_NOMEM, "out of memory");
    if (plain.size > 0)
        memcpy(out->plain, plain.data, plain.size);
    return ERR_OK;
}

static enum err open_all(struct flight *f, struct errmsg *msg)
{
    struct transfer_record *record = NULL;
    enum err e = transfer_record_new(true, &record);
    f->opened = calloc(f->near_count + 1, sizeof(*f->opened));
    if (e != ERR_OK || !f->opened) {
        transfer_record_free(record);
        return err_say(msg, ERR_NOMEM, "out of memory");
    }
    e = transfer_record_set(record, &f->segment.header, f->segment.data_key);
    if (e != ERR_OK)
        err_ignore(err_say(msg, e, "a segment cannot be opened: %s", err_words(e)));
    if (e == ERR_OK)
        e = open_chunk(f, record, &f->chunk, &f->opened[f->near_count], msg);
    for (size_t i = 0; e == ERR_OK && i < f->near_count; i++)
        err_ignore(open_chunk(f, record, &f->near[i], &f->opened[i], NULL));
    transfer_record_free(record);
    return e;
}

static void open_run(struct work_job *job)
{
    struct flight *f = container_of(job, struct flight, job);
    f->e = open_all(f, &f->msg);
}

static void open_done(struct work_job *job)
{
    flight_end(container_of(job, struct flight, job));
}

/* --- gather, on the loop --- */

static void gathered(void *user, enum err e, const struct swarm_gather_result *result,
                     const struct errmsg *msg)
{
    struct flight *f = user;
    f->gather = NULL;
    if (result) {
        f->chunks->counts.fetches += result->fetches;
        f->chunks->counts.fetched_bytes += result->fetched_bytes;
        f->chunks->counts.hedged += result->hedged;
    }
    if (e == ERR_OK && f->chunks->stopping)
        e = ERR_CANCELLED;
    if (e != ERR_OK) {
        f->e = e;
        f->msg = *msg;
        flight_end(f);
        return;
    }
    f->job = (struct work_job){.run = open_run, .done = open_done};
    work_submit(f->chunks->vault->ports.work, NULL, &f->job);
}

static enum err start_gather(struct flight *f, struct errmsg *msg)
{
    struct vault *vault = f->chunks->vault;
    enum err e = transfer_segment_unlock(vault, &f->segment, msg);
    if (e != ERR_OK)
        return e;
    /* address space for all of it; only the leaves that come are ever touched */
    f->payload = malloc(transfer_segment_bytes(&f->segment));
    if (!f->payload)
        return err_say(msg, ERR_NOMEM, "out of memory");
    const struct swarm_gather_request request = {
        .segment = f->segment.row.id,
        .header = &f->segment.header,
        .holders = f->segment.holders,
        .holder_count = f->segment.holder_count,
        .ranges = &f->range,
        .range_count = 1,
        .payload = f->payload,
        .net_class = NET_RESTORE,
    };
    return swarm_gather_start(vault->swarm, &request, gathered, f, &f->gather, msg);
}

/* --- LOAD, on the lane --- */

/* Whole leaves, as they are laid out in each shard. */
static uint32_t leaf_floor(uint32_t at, uint32_t shard_bytes)
{
    const uint32_t shard = at / shard_bytes * shard_bytes;
    return shard + (at - shard) / LIMIT_LEAF_BYTES * LIMIT_LEAF_BYTES;
}

static uint32_t leaf_ceiling(uint32_t end, uint32_t shard_bytes)
{
    const uint32_t first = leaf_floor(end - 1, shard_bytes);
    const uint32_t shard_end = (first / shard_bytes + 1) * shard_bytes;
    return shard_end - first < LIMIT_LEAF_BYTES ? shard_end : first + LIMIT_LEAF_BYTES;
}

static enum err choose_range(struct flight *f, struct errmsg *msg)
{
    const struct index_chunk *c = &f->chunk;
    const size_t payload = transfer_segment_bytes(&f->segment);
    const uint32_t sealed = index_chunk_record_bytes(c);
    if (sealed == 0 || c->offset > payload || sealed > payload - c->offset)
        return err_say(msg, ERR_CORRUPT, "the index places a record outside of its segment");
    const uint32_t shard = f->segment.header.shard_bytes;
    const uint32_t window = f->segment.row.kind == INDEX_METADATA
                                ? f->chunks->options.metadata_window
                                : f->chunks->options.data_window;
    uint32_t first = c->offset, end = c->offset + sealed;
    if (sealed < window && window > 0) {
        first = first / window * window;
        end = (end + window - 1) / window * window;
        if (end > payload)
            end = (uint32_t)payload;
    }
    first = leaf_floor(first, shard);
    end = leaf_ceiling(end, shard);
    f->range = (struct swarm_range){.offset = first, .size = end - first};
    return ERR_OK;
}

/* Keeps those of the segment's chunks that are small, lie within the range and are not the one. */
static enum err load_near(struct flight *f, struct errmsg *msg)
{
    struct index *index = f->chunks->vault->index;
    const size_t max = f->segment.row.chunk_count;
    const uint64_t end = (uint64_t)f->range.offset + f->range.size;
    size_t count = 0, kept = 0;
    if (max < 2 || max > LIMIT_SEGMENT_RECORDS ||
        (f->chunk.group_bytes == 0 && f->chunk.sealed_bytes >= f->range.size))
        return ERR_OK;
    f->near = malloc(max * sizeof(*f->near));
    if (!f->near)
        return err_say(msg, ERR_NOMEM, "out of memory");
    const enum err e = index_segment_chunks(index, f->chunk.segment, f->near, max, &count, msg);
    if (e == ERR_TOO_LARGE) /* it grew; the neighbours are a help only */
        return ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < count; i++) {
        const struct index_chunk *c = &f->near[i];
        if (c->offset >= f->range.offset &&
            (uint64_t)c->offset + index_chunk_record_bytes(c) <= end &&
            c->sealed_bytes <= SMALL_BYTES && c->plain_bytes <= SMALL_BYTES &&
            !id_equal(&c->id, &f->id))
            f->near[kept++] = *c;
    }
    f->near_count = kept;
    return e;
}

static enum err load(struct flight *f, struct errmsg *msg)
{
    struct index *index = f->chunks->vault->index;
    enum err e = index_chunks_find(index, &f->id, 1, true, &f->chunk, msg);
    if (e == ERR_OK && f->chunk.segment == 0)
        e = err_say(msg, ERR_NOT_FOUND,
                    "a piece of it is in no segment that the index knows; cellctl check says more");
    if (e == ERR_OK)
        e = transfer_segment_load(index, f->chunk.segment, &f->segment, msg);
    if (e == ERR_OK)
        e = choose_range(f, msg);
    return e == ERR_OK ? load_near(f, msg) : e;
}

static void load_run(struct work_job *job)
{
    struct flight *f = container_of(job, struct flight, job);
    f->e = load(f, &f->msg);
}

static void load_done(struct work_job *job)
{
    struct flight *f = container_of(job, struct flight, job);
    if (f->e == ERR_OK && f->chunks->stopping)
        f->e = ERR_CANCELLED;
    if (f->e == ERR_OK)
        f->e = start_gather(f, &f->msg);
    if (f->e != ERR_OK)
        flight_end(f);
}

enum err transfer_cache_fetch(struct transfer_cache *chunks, const struct id *id)
{
    struct flight *f = calloc(1, sizeof(*f));
    if (!f)
        return ERR_NOMEM;
    f->chunks = chunks;
    f->id = *id;
    f->job = (struct work_job){.run = load_run, .done = load_done};
    list_append(&chunks->flights, &f->link);
    chunks->flight_count++;
    work_submit(chunks->vault->ports.work, chunks->vault->lane, &f->job);
    return ERR_OK;
}

void transfer_cache_fetch_cancel(struct transfer_cache *chunks)
{
    list_for_each(link, &chunks->flights)
    {
        struct flight *f = container_of(link, struct flight, link);
        if (f->gather)
            swarm_gather_cancel(f->gather);
    }
}
