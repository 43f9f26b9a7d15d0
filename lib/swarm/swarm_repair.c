/*
 *     SHOWING ──▶ GATHERING ──▶ STORING ──▶ done
 *        └─ no header, fewer than k sources ─┴─ a failure, a cancel ──▶ what is under way ends,
 * done
 *
 * What can fail: sources that are away, lack their shard or lie (named in the result; the gather
 * takes others), targets that are away or full (their shards stay owed), shards that contradict
 * each other (the gather says INCONSISTENT).
 */
#include "swarm/swarm_repair.h"

#include "swarm/swarm_attempt.h"
#include "swarm/swarm_ticket.h"

#include <stdlib.h>

enum state { SHOWING, GATHERING, GATHERED, STORING };

struct swarm_repair {
    struct swarm_task task;
    struct swarm *swarm;
    struct ticket ticket;
    struct buf document;
    enum state state;
    bool cancelled;
    enum err e;
    struct errmsg msg;

    struct swarm_showing showing;
    struct swarm_gather *gather;
    uint8_t *payload, *parity;
    struct slice shards[LIMIT_SHARDS];
    struct swarm_upload_request upload;
    struct swarm_attempt *attempts; /* owned; one a target */
    size_t storing;

    struct swarm_repair_result result;
    struct swarm_fault faults[SWARM_GATHER_FAULTS];
    struct slice receipts[LIMIT_SHARDS];
    swarm_repair_fn *done;
    void *user;
};

static void repair_free(struct swarm_repair *r)
{
    swarm_show_clear(&r->showing);
    buf_free(&r->document);
    free(r->payload);
    free(r->parity);
    free(r->attempts);
    free(r);
}

static void end(struct swarm_repair *r, enum err e)
{
    swarm_task_end(&r->task);
    r->result.receipts = r->receipts;
    r->result.faults = r->faults;
    r->done(r->user, e, &r->result, &r->msg);
    repair_free(r);
}

static void add_fault(struct swarm_repair *r, const struct id *cell, uint8_t index,
                      enum swarm_fault_kind kind)
{
    if (r->result.fault_count < SWARM_GATHER_FAULTS)
        r->faults[r->result.fault_count++] =
            (struct swarm_fault){.cell = *cell, .index = index, .kind = kind};
}

/* --- gathering --- */

static void gathered(void *user, enum err e, const struct swarm_gather_result *result,
                     const struct errmsg *msg)
{
    struct swarm_repair *r = user;
    for (size_t i = 0; i < result->fault_count; i++)
        add_fault(r, &result->faults[i].cell, result->faults[i].index, result->faults[i].kind);
    r->result.fetched_bytes = result->fetched_bytes;
    r->gather = NULL;
    r->e = e;
    r->msg = *msg;
    r->state = GATHERED;
    swarm_task_wake(&r->task);
}

static enum err make_room(struct swarm_repair *r)
{
    const struct segment_header *h = &r->showing.header;
    r->payload = malloc((size_t)h->k * h->shard_bytes);
    r->parity = malloc((size_t)h->m * h->shard_bytes + 1);
    r->attempts = calloc(r->ticket.target_count, sizeof(*r->attempts));
    return r->payload && r->parity && r->attempts
               ? ERR_OK
               : err_say(&r->msg, ERR_NOMEM, "out of memory for a segment");
}

/* Whoever is short of sources learns it before anything was fetched: a repair that is tried again
   and again must not draw k - 1 shards through a household's line each time. */
static enum err check_sources(struct swarm_repair *r, const struct swarm_holder *holders,
                              size_t count)
{
    bool there[LIMIT_SHARDS] = {false};
    unsigned can_be_had = 0;
    for (size_t i = 0; i < count; i++) {
        can_be_had += !there[holders[i].index];
        there[holders[i].index] = true;
    }
    return can_be_had >= r->showing.header.k
               ? ERR_OK
               : err_say(&r->msg, ERR_NOT_ENOUGH,
                         "of the %u shards that are needed, the sources that answer have %u",
                         r->showing.header.k, can_be_had);
}

static enum err gather(struct swarm_repair *r)
{
    const struct segment_header *h = &r->showing.header;
    struct swarm_holder holders[LIMIT_SHARDS];
    uint8_t wanted[LIMIT_SHARDS];
    size_t count = 0;
    for (size_t i = 0; i < r->showing.source_count; i++) {
        const struct swarm_source *source = &r->showing.sources[i];
        if (source->state == SWARM_SOURCE_HAS)
            holders[count++] =
                (struct swarm_holder){.cell = source->peer->id, .index = source->index};
        else if (source->state == SWARM_SOURCE_LACKS)
            add_fault(r, &source->peer->id, source->index, source->fault);
    }
    if (!r->showing.has_header)
        return err_say(&r->msg, ERR_NOT_ENOUGH, "no source has the segment");
    for (size_t i = 0; i < r->ticket.target_count; i++) {
        wanted[i] = r->ticket.targets[i].index;
        if (wanted[i] >= h->k + h->m)
            return err_say(&r->msg, ERR_PEER, "the ticket wants shards that the segment has not");
    }
    enum err e = check_sources(r, holders, count);
    if (e == ERR_OK)
        e = make_room(r);
    if (e != ERR_OK)
        return e;
    const struct swarm_gather_request request = {
        .segment = r->ticket.segment,
        .header = h,
        .holders = holders,
        .holder_count = count,
        .shards = wanted,
        .shard_count = r->ticket.target_count,
        .payload = r->payload,
        .parity = r->parity,
        .net_class = NET_REPAIR,
        .check_decoded = true,
        .known_only = true,
    };
    r->state = GATHERING;
    return swarm_gather_start(r->swarm, &request, gathered, r, &r->gather, &r->msg);
}

/* --- storing --- */

static void stored(struct swarm_attempt *attempt)
{
    struct swarm_repair *r =
        container_of(attempt->request, struct swarm_repair, upload); /* ours alone */
    r->storing--;
    swarm_task_wake(&r->task);
}

static enum err store(struct swarm_repair *r)
{
    const struct segment_header *h = &r->showing.header;
    for (unsigned i = 0; i < (unsigned)h->k + h->m; i++)
        r->shards[i] =
            i < h->k ? slice_of(r->payload + (size_t)i * h->shard_bytes, h->shard_bytes)
                     : slice_of(r->parity + (size_t)(i - h->k) * h->shard_bytes, h->shard_bytes);
    r->upload = (struct swarm_upload_request){
        .segment = r->ticket.segment,
        .header = buf_slice(&r->showing.header_bytes),
        .record = buf_slice(&r->showing.record),
        .k = h->k,
        .m = h->m,
        .shard_bytes = h->shard_bytes,
        .device_slot = h->device_slot,
        .shards = r->shards,
        .net_class = NET_REPAIR,
    };
    r->state = STORING;
    r->storing = r->ticket.target_count;
    for (size_t i = 0; i < r->ticket.target_count; i++) {
        struct swarm_attempt *attempt = &r->attempts[i];
        attempt->peer = swarm_peer_get(r->swarm, &r->ticket.targets[i].cell);
        if (!attempt->peer) {
            r->storing--;
            attempt->e = err_say(&attempt->msg, ERR_NOMEM, "out of memory");
            continue;
        }
        attempt->swarm = r->swarm;
        attempt->request = &r->upload;
        attempt->shard = r->ticket.targets[i].index;
        attempt->ticket = buf_slice(&r->document);
        attempt->ticket_account = &r->ticket.account;
        attempt->ended = stored;
        swarm_attempt_start(attempt);
    }
    swarm_task_wake(&r->task);
    return ERR_OK;
}

static enum err take_receipts(struct swarm_repair *r)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < r->ticket.target_count; i++) {
        const struct swarm_attempt *attempt = &r->attempts[i];
        if (attempt->e == ERR_OK) {
            r->receipts[r->result.receipt_count++] =
                slice_of(attempt->answer, attempt->answer_size);
            r->result.sent_bytes += r->upload.shard_bytes;
        } else {
            e = attempt->e;
            r->msg = attempt->msg;
        }
    }
    return e;
}

/* --- the machine --- */

static void step(struct swarm_task *task)
{
    struct swarm_repair *r = container_of(task, struct swarm_repair, task);
    enum err e = ERR_OK;
    if (r->showing.asking > 0 || r->state == GATHERING || r->storing > 0)
        return;
    if (r->cancelled)
        e = err_say(&r->msg, ERR_CANCELLED, "cancelled");
    else if (r->state == SHOWING)
        e = gather(r);
    else if (r->state == GATHERED)
        e = r->e == ERR_OK ? store(r) : r->e;
    else {
        end(r, take_receipts(r));
        return;
    }
    if (e != ERR_OK)
        end(r, e);
}

enum err swarm_repair_start(struct swarm *swarm, const struct ticket *ticket, struct slice document,
                            swarm_repair_fn *done, void *user, struct swarm_repair **out,
                            struct errmsg *msg)
{
    if (ticket->target_count == 0 || ticket->source_count == 0)
        return err_say(msg, ERR_USAGE, "the ticket is not one for a repair");
    struct swarm_repair *r = calloc(1, sizeof(*r));
    if (!r)
        return err_say(msg, ERR_NOMEM, "out of memory for a repair");
    r->swarm = swarm;
    r->ticket = *ticket;
    r->document = BUF_INIT(TICKET_BYTES_MAX);
    r->done = done;
    r->user = user;
    enum err e = buf_append(&r->document, document.data, document.size);
    swarm_task_begin(&r->task, swarm, step);
    r->showing = (struct swarm_showing){.swarm = swarm,
                                        .ticket = &r->ticket,
                                        .document = buf_slice(&r->document),
                                        .task = &r->task};
    if (e == ERR_OK)
        e = swarm_show_start(&r->showing, msg);
    else
        err_say(msg, e, "out of memory for a ticket");
    if (e != ERR_OK) {
        swarm_task_end(&r->task);
        repair_free(r);
        return e;
    }
    swarm_task_wake(&r->task);
    *out = r;
    return ERR_OK;
}

void swarm_repair_cancel(struct swarm_repair *r)
{
    if (r->cancelled)
        return;
    r->cancelled = true;
    swarm_show_cancel(&r->showing);
    if (r->gather)
        swarm_gather_cancel(r->gather);
    for (size_t i = 0; r->state == STORING && i < r->ticket.target_count; i++)
        if (r->attempts[i].request)
            swarm_attempt_cancel(&r->attempts[i]);
    swarm_task_wake(&r->task);
}
