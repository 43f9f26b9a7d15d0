#include "restore/restore_internal.h"

#include <stdlib.h>

/* Records of one segment that the batch wants, on their way:
 *
 *     LOAD (lane) ─▶ gather (loop) ─▶ parts (pool) ─▶ gone
 */
struct restore_segment {
    struct list link; /* in restore->flight */
    struct restore *restore;
    struct restore_batch *batch;
    struct restore_use *uses; /* in the batch, in the order of records */
    size_t count;
    struct transfer_segment *segment; /* owned */
    uint8_t *payload;                 /* owned */
    struct swarm_gather *gather;
    uint64_t reserved; /* of restore->flight_bytes */
    unsigned parts;    /* jobs under way */
    struct work_job load;
    enum err e;
    struct errmsg msg;
};

struct restore_part {
    struct work_job job;
    struct restore_segment *of;
    struct restore_use *uses;
    size_t count;
};

/* --- payloads: the few that are needed are kept, fresh memory costs more than what is done in it
 * --- */

struct restore_payload {
    struct restore_payload *next; /* while it is free */
};

static uint8_t *payload_take(struct restore *restore)
{
    struct restore_payload *payload = restore->payloads;
    if (!payload)
        return malloc(LIMIT_SEGMENT_BYTES);
    restore->payloads = payload->next;
    return (uint8_t *)payload;
}

static void payload_give(struct restore *restore, uint8_t *bytes)
{
    struct restore_payload *payload = (struct restore_payload *)(void *)bytes;
    if (!payload)
        return;
    payload->next = restore->payloads;
    restore->payloads = payload;
}

void restore_fetch_free(struct restore *restore)
{
    for (struct restore_payload *payload; (payload = restore->payloads);) {
        restore->payloads = payload->next;
        free(payload);
    }
}

bool restore_fetch_idle(const struct restore *restore)
{
    return list_empty(&restore->flight);
}

static void segment_end(struct restore_segment *s)
{
    struct restore *restore = s->restore;
    list_remove(&s->link);
    restore->flight_bytes -= s->reserved;
    s->batch->left -= s->count;
    if (s->segment)
        transfer_segment_clear(s->segment);
    free(s->segment);
    payload_give(restore, s->payload);
    free(s);
    restore_go_on(restore);
}

/* None of its records can be had. */
static void segment_failed(struct restore_segment *s, enum err e, const struct errmsg *msg)
{
    for (size_t i = 0; i < s->count; i++) {
        restore_fail(s->uses[i].file, e, msg->text);
        restore_release(s->uses[i].file);
    }
    segment_end(s);
}

/* --- in the pool --- */

static struct index_chunk chunk_of(const struct restore_use *use)
{
    return (struct index_chunk){
        .id = use->chunk,
        .record = use->record,
        .offset = use->offset,
        .sealed_bytes = use->sealed_bytes,
        .group_bytes = use->group_bytes,
        .plain_bytes = use->plain_bytes,
        .type = use->type,
    };
}

/* Opened in its place: each record is opened once. */
static enum err open_use(const struct restore_segment *s, struct restore_tools *tools,
                         const struct restore_use *use, struct slice *out, struct errmsg *msg)
{
    const struct index_chunk chunk = chunk_of(use);
    return transfer_record_open(tools->record, &chunk, s->payload,
                                transfer_segment_bytes(s->segment), out, msg);
}

static void part_run(struct work_job *job)
{
    struct restore_part *part = container_of(job, struct restore_part, job);
    struct restore_segment *s = part->of;
    struct restore_tools *tools = restore_tools_take(s->restore);
    struct errmsg msg = {0};
    struct slice plain = slice_of(NULL, 0);
    enum err set =
        tools ? transfer_record_set(tools->record, &s->segment->header, s->segment->data_key)
              : ERR_NOMEM;
    enum err e = set;
    if (e != ERR_OK)
        err_ignore(err_say(&msg, e, "its segment cannot be opened: %s", err_words(e)));
    for (size_t i = 0; i < part->count; i++) {
        const struct restore_use *use = &part->uses[i];
        const bool same = i > 0 && part->uses[i - 1].record == use->record &&
                          id_equal(&part->uses[i - 1].chunk, &use->chunk);
        if (set == ERR_OK && !same)
            e = open_use(s, tools, use, &plain, &msg);
        if (e == ERR_OK)
            restore_write(use->file, use, plain);
        else
            restore_fail(use->file, e, msg.text);
        restore_release(use->file);
    }
    restore_tools_give(s->restore, tools);
}

static void part_done(struct work_job *job)
{
    struct restore_part *part = container_of(job, struct restore_part, job);
    struct restore_segment *s = part->of;
    free(part);
    if (--s->parts == 0)
        segment_end(s);
}

/* How many uses go into one job: whole records. */
static size_t part_count(const struct restore_use *uses, size_t count)
{
    uint64_t bytes = 0;
    size_t i = 0;
    for (; i < count; i++) {
        if (i > 0 && uses[i].record != uses[i - 1].record &&
            (bytes >= RESTORE_PART_BYTES || i >= RESTORE_PART_USES))
            break;
        bytes += uses[i].plain_bytes;
    }
    return i;
}

static void open_parts(struct restore_segment *s)
{
    s->parts = 1; /* ours, so that none of them ends it before all are there */
    for (size_t at = 0, count; at < s->count; at += count) {
        struct restore_part *part = malloc(sizeof(*part));
        count = part_count(s->uses + at, s->count - at);
        for (size_t i = 0; !part && i < count; i++) {
            restore_fail(s->uses[at + i].file, ERR_NOMEM, "out of memory");
            restore_release(s->uses[at + i].file);
        }
        if (!part)
            continue;
        *part = (struct restore_part){.job = {.run = part_run, .done = part_done},
                                      .of = s,
                                      .uses = s->uses + at,
                                      .count = count};
        s->parts++;
        work_submit(s->restore->vault->ports.work, NULL, &part->job);
    }
    if (--s->parts == 0)
        segment_end(s);
}

/* --- on the loop --- */

static void gathered(void *user, enum err e, const struct swarm_gather_result *result,
                     const struct errmsg *msg)
{
    struct restore_segment *s = user;
    s->gather = NULL;
    if (result)
        s->restore->fetched_bytes += result->fetched_bytes;
    if (e != ERR_OK)
        segment_failed(s, e, msg);
    else
        open_parts(s);
}

/* Neighbouring records as one range. */
static size_t make_ranges(const struct restore_segment *s, struct swarm_range *out)
{
    size_t count = 0;
    for (size_t i = 0; i < s->count; i++) {
        const struct restore_use *use = &s->uses[i];
        const struct index_chunk chunk = chunk_of(use);
        const uint32_t sealed = index_chunk_record_bytes(&chunk);
        struct swarm_range *last = count ? &out[count - 1] : NULL;
        if (last && use->offset >= last->offset &&
            use->offset <= (uint64_t)last->offset + last->size + LIMIT_LEAF_BYTES) {
            const uint32_t end = use->offset + sealed;
            if (end > last->offset + last->size)
                last->size = end - last->offset;
        } else {
            out[count++] = (struct swarm_range){use->offset, sealed};
        }
    }
    return count;
}

static enum err start_gather(struct restore_segment *s, struct errmsg *msg)
{
    struct vault *vault = s->restore->vault;
    const size_t size = transfer_segment_bytes(s->segment);
    if (size > LIMIT_SEGMENT_BYTES)
        return err_say(msg, ERR_CORRUPT, "the index gives a segment's size wrongly");
    for (size_t i = 0; i < s->count; i++) {
        const struct index_chunk chunk = chunk_of(&s->uses[i]);
        if ((uint64_t)chunk.offset + index_chunk_record_bytes(&chunk) > size)
            return err_say(msg, ERR_CORRUPT, "the index places a record outside of its segment");
    }
    enum err e = transfer_segment_unlock(vault, s->segment, msg);
    if (e != ERR_OK)
        return e;
    s->payload = payload_take(s->restore);
    struct swarm_range *ranges = malloc(s->count * sizeof(*ranges));
    if (!s->payload || !ranges) {
        free(ranges);
        return err_say(msg, ERR_NOMEM, "out of memory");
    }
    const struct swarm_gather_request request = {
        .segment = s->segment->row.id,
        .header = &s->segment->header,
        .holders = s->segment->holders,
        .holder_count = s->segment->holder_count,
        .ranges = ranges,
        .range_count = make_ranges(s, ranges),
        .payload = s->payload,
        .net_class = NET_RESTORE,
    };
    e = swarm_gather_start(vault->swarm, &request, gathered, s, &s->gather, msg);
    free(ranges);
    return e;
}

static void load_run(struct work_job *job)
{
    struct restore_segment *s = container_of(job, struct restore_segment, load);
    s->segment = malloc(sizeof(*s->segment));
    s->e = s->segment ? transfer_segment_load(s->restore->vault->index, s->uses[0].segment,
                                              s->segment, &s->msg)
                      : ERR_NOMEM;
}

static void load_done(struct work_job *job)
{
    struct restore_segment *s = container_of(job, struct restore_segment, load);
    struct restore *restore = s->restore;
    if (restore->cancelled && s->e == ERR_OK)
        s->e = err_say(&s->msg, ERR_CANCELLED, "interrupted");
    if (s->e == ERR_OK) {
        restore->flight_bytes -= s->reserved;
        s->reserved = transfer_segment_bytes(s->segment);
        restore->flight_bytes += s->reserved;
        s->e = start_gather(s, &s->msg);
    }
    if (s->e != ERR_OK)
        segment_failed(s, s->e, &s->msg);
    else
        restore_go_on(restore); /* it may have reserved too much */
}

/* Of the batch, from `first`: how many lie in the same segment. */
static size_t group_count(const struct restore_batch *batch, size_t first)
{
    size_t end = first + 1;
    while (end < batch->use_count && batch->uses[end].segment == batch->uses[first].segment)
        end++;
    return end - first;
}

static enum err start_segment(struct restore *restore, struct restore_batch *batch, size_t count)
{
    struct restore_segment *s = calloc(1, sizeof(*s));
    if (!s)
        return ERR_NOMEM;
    s->restore = restore;
    s->batch = batch;
    s->uses = batch->uses + batch->next_use;
    s->count = count;
    s->reserved = LIMIT_SEGMENT_BYTES;
    s->load = (struct work_job){.run = load_run, .done = load_done};
    restore->flight_bytes += s->reserved;
    list_append(&restore->flight, &s->link);
    work_submit(restore->vault->ports.work, restore->vault->lane, &s->load);
    return ERR_OK;
}

static void group_failed(struct restore_batch *batch, size_t count, enum err e,
                         const char *sentence)
{
    for (size_t i = 0; i < count; i++) {
        struct restore_file *file = batch->uses[batch->next_use + i].file;
        restore_fail(file, e, sentence);
        restore_release(file);
    }
    batch->left -= count;
}

/* False: as much is on its way as may be. */
static bool fetch_batch(struct restore *restore, struct restore_batch *batch)
{
    while (batch->next_use < batch->use_count) {
        const size_t count = group_count(batch, batch->next_use);
        if (batch->uses[batch->next_use].segment == 0) {
            group_failed(batch, count, ERR_NOT_FOUND,
                         "a piece of it is in no segment that the index knows; cellctl check says "
                         "more");
        } else if (restore->cancelled || atomic_load(&restore->fatal) != ERR_OK) {
            group_failed(batch, count, ERR_CANCELLED, "the restore was ended before");
        } else {
            if (restore->flight_bytes + LIMIT_SEGMENT_BYTES > RESTORE_FLIGHT_BYTES)
                return false;
            const enum err e = start_segment(restore, batch, count);
            if (e != ERR_OK)
                group_failed(batch, count, e, "out of memory");
        }
        batch->next_use += count;
    }
    return true;
}

void restore_fetch_more(struct restore *restore)
{
    list_for_each(link, &restore->batches)
    {
        if (!fetch_batch(restore, container_of(link, struct restore_batch, link)))
            return;
    }
}

void restore_fetch_cancel(struct restore *restore)
{
    list_for_each(link, &restore->flight)
    {
        struct restore_segment *s = container_of(link, struct restore_segment, link);
        if (s->gather)
            swarm_gather_cancel(s->gather);
    }
}
