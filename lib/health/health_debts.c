#include "health/health_debts.h"

#include "health/health_drops.h"
#include "swarm/swarm_directory.h"
#include "swarm/swarm_upload.h"
#include "transfer/transfer_segment.h"

#include <stdlib.h>

struct health_debts {
    struct vault *vault;
    health_debts_fn *done;
    void *user;
    struct health_debts_summary summary;
    uint64_t after; /* number of the last segment looked at */
    bool end, cancelled;
    struct transfer_segment *segment; /* owned; the one that is paid for */
    struct buf record;                /* its segment record */
    uint8_t header[SEGMENT_HEADER_SIZE_MAX];
    uint8_t *bytes; /* owned: k data shards, then m of parity */
    uint8_t wanted[LIMIT_SHARDS];
    size_t wanted_count;
    struct id stored[LIMIT_SHARDS];
    struct id before[LIMIT_SHARDS]; /* who had it, and has it no more, or damaged; zero: nobody */
    bool registered;
    struct slice shards[LIMIT_SHARDS];
    struct buf receipts; /* of this segment, one behind the other */
    size_t receipt_ends[LIMIT_SHARDS], receipt_count;
    struct swarm_gather *gather;
    struct swarm_upload *upload;
    struct work_job job;
    enum err e;
    struct errmsg msg;
};

static void find_next(struct health_debts *d);

static void segment_clear(struct health_debts *d)
{
    transfer_segment_clear(d->segment);
    free(d->bytes);
    d->bytes = NULL;
    buf_clear(&d->record);
    buf_clear(&d->receipts);
    d->receipt_count = 0;
}

static void debts_end(struct health_debts *d, enum err e)
{
    const struct health_debts_summary summary = d->summary;
    const struct errmsg msg = d->msg;
    health_debts_fn *done = d->done;
    void *user = d->user;
    segment_clear(d);
    buf_free(&d->record);
    buf_free(&d->receipts);
    free(d->segment);
    free(d);
    done(user, e, &summary, &msg);
}

/* --- on the lane --- */

/* Cells take shards of a segment from the device that made it: another one's debts are its own, and
   the swarm's to repair. */
static bool is_own(const struct vault *vault, const struct index_segment *row)
{
    return id_is_zero(&row->device) || id_equal(&row->device, vault_device(vault));
}

static enum err load_next(struct health_debts *d)
{
    struct index *index = d->vault->index;
    struct index_segment_filter filter = {
        .states = 1u << INDEX_COMMITTED, .with_debts = true, .after_number = d->after};
    struct index_segment row;
    struct slice header, record;
    size_t count;
    enum err e = index_segments(index, &filter, &row, 1, &count, &d->msg);
    while (e == ERR_OK && count > 0 && !is_own(d->vault, &row)) {
        filter.after_number = row.number;
        e = index_segments(index, &filter, &row, 1, &count, &d->msg);
    }
    d->end = count == 0;
    if (e != ERR_OK || d->end)
        return e;
    d->after = row.number;
    e = transfer_segment_load(index, row.number, d->segment, &d->msg);
    if (e == ERR_OK)
        e = index_segment_header(index, row.number, &header, &record, &d->msg);
    return e == ERR_OK ? buf_append(&d->record, record.data, record.size) : e;
}

static void load_run(struct work_job *job)
{
    struct health_debts *d = container_of(job, struct health_debts, job);
    d->e = load_next(d);
}

static void store_run(struct work_job *job)
{
    struct health_debts *d = container_of(job, struct health_debts, job);
    d->e = index_segment_set_shards(d->vault->index, d->segment->row.number, d->segment->shards,
                                    d->segment->row.k + d->segment->row.m, &d->msg);
}

/* --- on the loop --- */

static void dropped(void *user, enum err e, const struct errmsg *msg)
{
    (void)e;
    (void)msg;
    find_next(user);
}

/* Cells that had lost or damaged what is stored elsewhere now may free what is left of it. */
static size_t list_drops(const struct health_debts *d, struct health_drop drops[WIRE_ORDERS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < d->wanted_count && count < WIRE_ORDERS_MAX; i++) {
        const uint8_t index = d->wanted[i];
        const struct index_shard *now = &d->segment->shards[index];
        if (now->state == INDEX_SHARD_STORED && !id_is_zero(&d->before[index]) &&
            !id_equal(&now->cell, &d->before[index]))
            drops[count++] = (struct health_drop){
                .segment = d->segment->row.id, .cell = d->before[index], .index = index};
    }
    return count;
}

static void store_done(struct work_job *job)
{
    struct health_debts *d = container_of(job, struct health_debts, job);
    struct health_drop drops[WIRE_ORDERS_MAX];
    if (d->e != ERR_OK) {
        debts_end(d, d->e);
        return;
    }
    const size_t count = d->registered ? list_drops(d, drops) : 0;
    if (count == 0 || health_drops_send(d->vault, drops, count, dropped, d, NULL) != ERR_OK)
        find_next(d);
}

/* What could not be done with this segment stays owed. */
static void give_up(struct health_debts *d)
{
    d->summary.owed += d->wanted_count;
    find_next(d);
}

static void receipted(void *user, unsigned index, const struct id *cell, struct slice receipt)
{
    struct health_debts *d = user;
    if (buf_append(&d->receipts, receipt.data, receipt.size) == ERR_OK)
        d->receipt_ends[d->receipt_count++] = d->receipts.size;
    d->segment->shards[index] = (struct index_shard){.cell = *cell, .state = INDEX_SHARD_STORED};
    d->summary.paid++;
}

static void store_shards(struct health_debts *d)
{
    d->job = (struct work_job){.run = store_run, .done = store_done};
    work_submit(d->vault->ports.work, d->vault->lane, &d->job);
}

static void registered(void *user, enum err e, uint32_t taken, const struct errmsg *msg)
{
    struct health_debts *d = user;
    (void)taken;
    d->registered = e == ERR_OK;
    if (e != ERR_OK) /* it is a help to find shards, no more */
        log_say(d->vault->ports.log, LOG_INFO, "the directory was not told of new shards: %s",
                msg->text);
    store_shards(d);
}

/* Tells the coordinator's directory; false: there is nothing to wait for. */
static bool register_shards(struct health_debts *d)
{
    struct slice receipts[LIMIT_SHARDS];
    size_t from = 0;
    for (size_t i = 0; i < d->receipt_count; i++) {
        receipts[i] = slice_of(d->receipts.data + from, d->receipt_ends[i] - from);
        from = d->receipt_ends[i];
    }
    const struct wire_registration registration = {
        .record = buf_slice(&d->record),
        .k = d->segment->header.k,
        .m = d->segment->header.m,
        .shard_bytes = d->segment->header.shard_bytes,
        .receipts = receipts,
        .receipt_count = (uint32_t)d->receipt_count,
    };
    return d->receipt_count > 0 &&
           swarm_register(d->vault->swarm, &registration, 1, registered, d, NULL) == ERR_OK;
}

static void uploaded(void *user, enum err e, const struct swarm_upload_result *result,
                     const struct errmsg *msg)
{
    struct health_debts *d = user;
    (void)msg;
    d->upload = NULL;
    if (result) {
        d->summary.owed += result->owed;
        d->summary.sent_bytes += result->sent_bytes;
    }
    if (e == ERR_NOMEM) {
        debts_end(d, e);
        return;
    }
    if (!register_shards(d))
        store_shards(d);
}

static void gathered(void *user, enum err e, const struct swarm_gather_result *result,
                     const struct errmsg *msg)
{
    struct health_debts *d = user;
    const struct transfer_segment *s = d->segment;
    (void)result;
    d->gather = NULL;
    if (e != ERR_OK) {
        log_say(d->vault->ports.log, LOG_INFO, "a debt cannot be paid now: %s", msg->text);
        give_up(d);
        return;
    }
    for (size_t i = 0; i < d->wanted_count; i++)
        d->shards[d->wanted[i]] = slice_of(d->bytes + (size_t)d->wanted[i] * s->header.shard_bytes,
                                           s->header.shard_bytes);
    segment_header_encode(&s->header, d->header);
    const struct swarm_upload_request request = {
        .segment = s->row.id,
        .header = slice_of(d->header, segment_header_size(s->header.k, s->header.m)),
        .record = buf_slice(&d->record),
        .k = s->header.k,
        .m = s->header.m,
        .shard_bytes = s->header.shard_bytes,
        .device_slot = s->header.device_slot,
        .shards = d->shards,
        .stored = d->stored,
        .net_class = NET_REPAIR,
    };
    if (swarm_upload_start(d->vault->swarm, &request, receipted, uploaded, d, &d->upload,
                           &d->msg) != ERR_OK)
        give_up(d);
}

static void pay(struct health_debts *d)
{
    const struct transfer_segment *s = d->segment;
    const unsigned n = s->header.k + s->header.m;
    d->wanted_count = 0;
    d->registered = false;
    for (unsigned i = 0; i < n; i++) {
        d->before[i] =
            s->shards[i].state == INDEX_SHARD_MISSING ? s->shards[i].cell : (struct id){0};
        const bool there = s->shards[i].state == INDEX_SHARD_STORED;
        d->stored[i] = there ? s->shards[i].cell : (struct id){0};
        d->shards[i] = slice_of(NULL, 0);
        if (!there)
            d->wanted[d->wanted_count++] = (uint8_t)i;
    }
    d->bytes = malloc((size_t)n * s->header.shard_bytes);
    if (!d->bytes) {
        give_up(d);
        return;
    }
    const struct swarm_gather_request request = {
        .segment = s->row.id,
        .header = &s->header,
        .holders = s->holders,
        .holder_count = s->holder_count,
        .shards = d->wanted,
        .shard_count = d->wanted_count,
        .payload = d->bytes,
        .parity = d->bytes + (size_t)s->header.k * s->header.shard_bytes,
        .net_class = NET_REPAIR,
        .check_decoded = true,
    };
    if (swarm_gather_start(d->vault->swarm, &request, gathered, d, &d->gather, &d->msg) != ERR_OK)
        give_up(d);
}

static void load_done(struct work_job *job)
{
    struct health_debts *d = container_of(job, struct health_debts, job);
    if (d->e != ERR_OK || d->end)
        debts_end(d, d->e);
    else
        pay(d);
}

static void find_next(struct health_debts *d)
{
    segment_clear(d);
    if (d->cancelled) {
        debts_end(d, ERR_CANCELLED);
        return;
    }
    d->job = (struct work_job){.run = load_run, .done = load_done};
    work_submit(d->vault->ports.work, d->vault->lane, &d->job);
}

enum err health_debts_pay(struct vault *vault, health_debts_fn *done, void *user,
                          struct health_debts **out, struct errmsg *msg)
{
    struct health_debts *d = calloc(1, sizeof(*d));
    if (d)
        d->segment = calloc(1, sizeof(*d->segment));
    if (!d || !d->segment) {
        free(d);
        return err_say(msg, ERR_NOMEM, "out of memory");
    }
    d->vault = vault;
    d->done = done;
    d->user = user;
    d->record = BUF_INIT(LIMIT_MESSAGE_BYTES);
    d->receipts = BUF_INIT(LIMIT_MESSAGE_BYTES);
    find_next(d);
    *out = d;
    return ERR_OK;
}

void health_debts_cancel(struct health_debts *d)
{
    d->cancelled = true;
    if (d->gather)
        swarm_gather_cancel(d->gather);
    if (d->upload)
        swarm_upload_cancel(d->upload);
}
