#include "transfer/transfer_reader.h"

#include "base/list.h"
#include "transfer/transfer_record.h"

#include <stdlib.h>

/* A segment that was fetched, or could not be. */
struct cached {
    struct list link; /* in reader->cached, the most recently used first */
    struct transfer_segment *segment;
    uint8_t *payload; /* NULL: it could not be had */
    enum err e;
    struct errmsg msg;
};

struct transfer_reader {
    struct vault *vault;
    size_t cache_bytes, cached_bytes;
    struct list cached;             /* struct cached */
    struct transfer_record *record; /* owned */
    const struct cached *opened;    /* which one it is set to */
    uint64_t fetched_bytes;
    /* the run */
    transfer_reader_step_fn *step;
    vault_done_fn *done;
    void *user;
    bool running, cancelled;
    struct work_job job;
    enum err e;
    struct errmsg msg;
    struct transfer_segment *wanted; /* owned; what the step lacked */
    struct swarm_gather *gather;
    uint8_t *payload; /* being gathered */
};

enum err transfer_reader_new(struct vault *vault, size_t cache_bytes, struct transfer_reader **out,
                             struct errmsg *msg)
{
    struct transfer_reader *reader = calloc(1, sizeof(*reader));
    if (!reader)
        return err_say(msg, ERR_NOMEM, "out of memory");
    reader->vault = vault;
    reader->cache_bytes = cache_bytes;
    list_init(&reader->cached);
    const enum err e = transfer_record_new(true, &reader->record);
    if (e != ERR_OK) {
        transfer_reader_free(reader);
        return err_say(msg, e, "out of memory for reading");
    }
    *out = reader;
    return ERR_OK;
}

static void segment_free(struct transfer_segment *segment)
{
    if (!segment)
        return;
    transfer_segment_clear(segment);
    free(segment);
}

static void cached_free(struct transfer_reader *reader, struct cached *c)
{
    if (reader->opened == c)
        reader->opened = NULL;
    list_remove(&c->link);
    if (c->payload)
        reader->cached_bytes -= transfer_segment_bytes(c->segment);
    free(c->payload);
    segment_free(c->segment);
    free(c);
}

void transfer_reader_free(struct transfer_reader *reader)
{
    if (!reader)
        return;
    while (!list_empty(&reader->cached))
        cached_free(reader, container_of(reader->cached.next, struct cached, link));
    transfer_record_free(reader->record);
    segment_free(reader->wanted);
    free(reader);
}

struct index *transfer_reader_index(const struct transfer_reader *reader)
{
    return reader->vault->index;
}

uint64_t transfer_reader_fetched_bytes(const struct transfer_reader *reader)
{
    return reader->fetched_bytes;
}

/* --- inside a step --- */

static struct cached *cached_find(struct transfer_reader *reader, const struct id *segment)
{
    list_for_each(link, &reader->cached)
    {
        struct cached *c = container_of(link, struct cached, link);
        if (id_equal(&c->segment->row.id, segment))
            return c;
    }
    return NULL;
}

static enum err open_chunk(struct transfer_reader *reader, struct cached *c,
                           const struct index_chunk *chunk, struct slice *out, struct errmsg *msg)
{
    if (!c->payload) {
        *msg = c->msg;
        return c->e;
    }
    list_remove(&c->link);
    list_prepend(&reader->cached, &c->link);
    if (reader->opened != c) {
        const enum err e =
            transfer_record_set(reader->record, &c->segment->header, c->segment->data_key);
        reader->opened = e == ERR_OK ? c : NULL;
        if (e != ERR_OK)
            return err_say(msg, e, "a segment cannot be opened: %s", err_words(e));
    }
    return transfer_record_open(reader->record, chunk, c->payload,
                                transfer_segment_bytes(c->segment), out, msg);
}

/* Asks the run to fetch `segment` before the step is run again. */
static enum err want(struct transfer_reader *reader, const struct transfer_segment *segment)
{
    segment_free(reader->wanted);
    reader->wanted = malloc(sizeof(*segment));
    if (!reader->wanted)
        return ERR_NOMEM;
    *reader->wanted = *segment;
    return ERR_BUSY;
}

enum err transfer_reader_record(struct transfer_reader *reader,
                                const struct transfer_segment *segment,
                                const struct index_chunk *chunk, struct slice *out,
                                struct errmsg *msg)
{
    struct cached *c = cached_find(reader, &segment->row.id);
    if (!c)
        return want(reader, segment);
    return open_chunk(reader, c, chunk, out, msg);
}

enum err transfer_reader_chunk(struct transfer_reader *reader, const struct id *chunk,
                               struct slice *out, struct errmsg *msg)
{
    struct index *index = reader->vault->index;
    struct index_chunk found;
    struct index_segment row;
    enum err e = index_chunks_find(index, chunk, 1, true, &found, msg);
    if (e != ERR_OK)
        return e;
    if (found.segment == 0)
        return err_say(msg, ERR_NOT_FOUND,
                       "a piece of metadata is in no segment that the index "
                       "knows; cellctl check says more");
    e = index_segment_by_number(index, found.segment, &row, msg);
    if (e != ERR_OK)
        return e;
    struct cached *c = cached_find(reader, &row.id);
    if (c)
        return open_chunk(reader, c, &found, out, msg);
    struct transfer_segment *segment = malloc(sizeof(*segment));
    if (!segment)
        return err_say(msg, ERR_NOMEM, "out of memory");
    e = transfer_segment_load(index, found.segment, segment, msg);
    if (e == ERR_OK)
        e = want(reader, segment);
    free(segment);
    return e;
}

/* --- the run --- */

static void step_run(struct work_job *job)
{
    struct transfer_reader *reader = container_of(job, struct transfer_reader, job);
    reader->e = reader->step(reader->user, &reader->msg);
}

static void run_end(struct transfer_reader *reader, enum err e)
{
    reader->running = false;
    segment_free(reader->wanted);
    reader->wanted = NULL;
    vault_done_fn *done = reader->done;
    void *user = reader->user;
    const struct errmsg msg = reader->msg;
    done(user, e, &msg);
}

static void step_again(struct transfer_reader *reader)
{
    reader->msg.text[0] = 0;
    work_submit(reader->vault->ports.work, reader->vault->lane, &reader->job);
}

/* Takes the wanted segment into the cache, `e` telling how fetching it went. */
static void cache_take(struct transfer_reader *reader, enum err e, const struct errmsg *msg)
{
    struct cached *c = calloc(1, sizeof(*c));
    if (!c) {
        free(reader->payload);
        reader->payload = NULL;
        run_end(reader, ERR_NOMEM);
        return;
    }
    c->segment = reader->wanted;
    c->e = e;
    c->msg = *msg;
    if (e == ERR_OK) {
        c->payload = reader->payload;
        reader->cached_bytes += transfer_segment_bytes(c->segment);
    } else {
        free(reader->payload);
    }
    reader->payload = NULL;
    reader->wanted = NULL;
    list_prepend(&reader->cached, &c->link);
    while (reader->cached_bytes > reader->cache_bytes && reader->cached.previous != &c->link) {
        struct cached *oldest = container_of(reader->cached.previous, struct cached, link);
        cached_free(reader, oldest);
    }
    step_again(reader);
}

static void gathered(void *user, enum err e, const struct swarm_gather_result *result,
                     const struct errmsg *msg)
{
    struct transfer_reader *reader = user;
    reader->gather = NULL;
    if (result)
        reader->fetched_bytes += result->fetched_bytes;
    if (reader->cancelled || e == ERR_CANCELLED) {
        free(reader->payload);
        reader->payload = NULL;
        run_end(reader, ERR_CANCELLED);
        return;
    }
    cache_take(reader, e, msg);
}

static enum err fetch_wanted(struct transfer_reader *reader, struct errmsg *msg)
{
    struct transfer_segment *segment = reader->wanted;
    enum err e = transfer_segment_unlock(reader->vault, segment, msg);
    if (e != ERR_OK)
        return e;
    const size_t size = transfer_segment_bytes(segment);
    reader->payload = malloc(size);
    if (!reader->payload)
        return err_say(msg, ERR_NOMEM, "out of memory");
    const struct swarm_range all = {.offset = 0, .size = (uint32_t)size};
    const struct swarm_gather_request request = {
        .segment = segment->row.id,
        .header = &segment->header,
        .holders = segment->holders,
        .holder_count = segment->holder_count,
        .ranges = &all,
        .range_count = 1,
        .payload = reader->payload,
        .net_class = NET_RESTORE,
    };
    return swarm_gather_start(reader->vault->swarm, &request, gathered, reader, &reader->gather,
                              msg);
}

static void step_done(struct work_job *job)
{
    struct transfer_reader *reader = container_of(job, struct transfer_reader, job);
    if (reader->cancelled) {
        run_end(reader, ERR_CANCELLED);
        return;
    }
    if (reader->e != ERR_BUSY || !reader->wanted) {
        run_end(reader, reader->e);
        return;
    }
    struct errmsg msg = {0};
    const enum err e = fetch_wanted(reader, &msg);
    if (e != ERR_OK)
        cache_take(reader, e, &msg);
}

enum err transfer_reader_run(struct transfer_reader *reader, transfer_reader_step_fn *step,
                             vault_done_fn *done, void *user, struct errmsg *msg)
{
    if (reader->running)
        return err_say(msg, ERR_BUSY, "this reader runs already");
    reader->running = true;
    reader->cancelled = false;
    reader->step = step;
    reader->done = done;
    reader->user = user;
    reader->job = (struct work_job){.run = step_run, .done = step_done};
    step_again(reader);
    return ERR_OK;
}

void transfer_reader_cancel(struct transfer_reader *reader)
{
    if (!reader || !reader->running)
        return;
    reader->cancelled = true;
    if (reader->gather)
        swarm_gather_cancel(reader->gather);
}
