/*
 * Work for the swarm: repairs and proofs, one ticket at a time.
 *
 *     IDLE --offer--> ASKING --ticket--> DOING --> REPORTING --> PAUSING --> ASKING ...
 *       ^                | none                                     |
 *       +----------------+------------------ after a proof ---------+
 *
 * The pause after a repair is what makes its bytes cost no more than repair_bytes_s of the line.
 * What can fail: a ticket that does not verify (left), sources and targets (the report says so), a
 * report that does not arrive (the lease passes, somebody else gets the work).
 */
#include "cell_internal.h"

#include "wire/wire_error.h"
#include "wire/wire_repair.h"

#include <stdlib.h>

enum { PAUSE_MIN_MS = 200 };

static void ask(struct cell *cell);

static void idle(struct cell *cell)
{
    cell->work.state = WORK_IDLE;
}

/* Posts cell->work.body. */
static enum err post(struct cell *cell, enum wire_route route, size_t reply_max,
                     net_message_fn *done)
{
    struct cell_work *w = &cell->work;
    struct errmsg msg;
    struct net_request request = {
        .method = NET_POST,
        .path = wire_path_plain(route),
        .net_class = NET_OTHER,
        .body = &w->body_slice,
        .body_count = 1,
    };
    w->body_slice = buf_slice(&w->body);
    cell_coordinator(cell, &w->coordinator_addresses, w->addresses, &request.target);
    const enum err e =
        net_message_start(cell->options.net, &request, reply_max, done, cell, &w->message, &msg);
    if (e != ERR_OK) {
        w->message = NULL;
        return e;
    }
    cell_work_began(cell);
    return ERR_OK;
}

/* --- the report --- */

static void pause_over(struct timer *timer)
{
    ask(container_of(timer, struct cell, work.timer));
}

static void reported(void *user, enum err e, unsigned status, struct slice body,
                     const struct errmsg *net_msg)
{
    struct cell *cell = user;
    struct cell_work *w = &cell->work;
    struct errmsg msg = *net_msg;
    w->message = NULL;
    if (e == ERR_OK && wire_status_failed(status))
        e = wire_error_take(status, body, NULL, &msg);
    if (e != ERR_OK)
        log_say(cell->options.log, LOG_INFO, "a ticket's report was not taken: %s", msg.text);
    const uint64_t pause_ms = w->moved_bytes * 1000 / cell->options.repair_bytes_s + PAUSE_MIN_MS;
    w->timer.fire = pause_over;
    if ((w->ticket.target_count == 0 && !w->many) || cell->stopping ||
        timer_start(cell->options.clock, &w->timer, pause_ms) != ERR_OK)
        idle(cell);
    else
        w->state = WORK_PAUSING;
    cell_work_ended(cell);
}

static void report(struct cell *cell, struct wire_report *report)
{
    struct cell_work *w = &cell->work;
    memcpy(report->ticket, w->ticket.id, sizeof(report->ticket));
    report->segment = w->ticket.segment;
    buf_clear(&w->body);
    w->state = WORK_REPORTING;
    if (cell->stopping || wire_report_encode(report, &w->body) != ERR_OK ||
        post(cell, WIRE_REPORT, LIMIT_MESSAGE_BYTES, reported) != ERR_OK)
        idle(cell);
}

/* --- doing it --- */

static size_t take_faults(const struct swarm_repair_result *result, struct wire_fault *out)
{
    size_t count = 0;
    for (size_t i = 0; i < result->fault_count && count < WIRE_REPORT_FAULTS; i++) {
        const struct swarm_fault *fault = &result->faults[i];
        if (fault->kind >= SWARM_FAULT_MISSING && fault->kind <= SWARM_FAULT_LIED)
            out[count++] = (struct wire_fault){.index = fault->index,
                                               .cell = fault->cell,
                                               .kind = (enum wire_fault_kind)fault->kind};
    }
    return count;
}

static void repaired(void *user, enum err e, const struct swarm_repair_result *result,
                     const struct errmsg *msg)
{
    struct cell *cell = user;
    struct cell_work *w = &cell->work;
    struct wire_fault *faults = calloc(WIRE_REPORT_FAULTS, sizeof(*faults));
    struct wire_report message = {
        .outcome = e == ERR_INCONSISTENT       ? WIRE_OUTCOME_INCONSISTENT
                   : result->receipt_count > 0 ? WIRE_OUTCOME_DONE
                                               : WIRE_OUTCOME_FAILED,
        .receipts = result->receipts,
        .receipt_count = result->receipt_count,
        .faults = faults,
        .fault_count = faults ? take_faults(result, faults) : 0,
    };
    w->repair = NULL;
    w->moved_bytes = result->fetched_bytes + result->sent_bytes;
    cell->counters.repair_bytes += w->moved_bytes;
    cell->counters.repair_count += e == ERR_OK;
    if (e != ERR_OK)
        log_say(cell->options.log, LOG_INFO, "a repair came to %zu of %zu shards: %s",
                result->receipt_count, w->ticket.target_count, msg->text);
    report(cell, &message);
    free(faults);
    cell_work_ended(cell);
}

static void proved(void *user, enum err e, bool disproved, const struct errmsg *msg)
{
    struct cell *cell = user;
    struct wire_report message = {
        .outcome = e == ERR_OK ? WIRE_OUTCOME_DONE
                   : disproved ? WIRE_OUTCOME_DISPROVED
                               : WIRE_OUTCOME_FAILED,
    };
    cell->work.prove = NULL;
    cell->counters.proof_count++;
    if (disproved)
        log_say(cell->options.log, LOG_WARN, "a cell could not prove a shard: %s", msg->text);
    report(cell, &message);
    cell_work_ended(cell);
}

enum err cell_work_swarm(struct cell *cell, struct errmsg *msg)
{
    struct cell_work *w = &cell->work;
    struct net_target coordinator;
    if (w->swarm && w->swarm_list == cell->view.list_number)
        return ERR_OK;
    swarm_close(w->swarm);
    w->swarm = NULL;
    cell_coordinator(cell, &w->coordinator_addresses, w->addresses, &coordinator);
    const struct swarm_options options = {
        .net = cell->options.net,
        .clock = cell->options.clock,
        .random = cell->options.random,
        .work = cell->options.work,
        .log = cell->options.log,
        .root = &cell->swarm,
        .coordinator = coordinator.id,
        .coordinator_addresses = coordinator.addresses,
        .coordinator_address_count = coordinator.address_count,
        .members = cell->members->bytes,
    };
    w->swarm_list = cell->view.list_number;
    return swarm_open(&options, &w->swarm, msg);
}

static enum err begin(struct cell *cell, const struct wire_work_reply *reply, struct errmsg *msg)
{
    struct cell_work *w = &cell->work;
    enum err e = ticket_open(reply->ticket, &cell->swarm, &cell->view.coordinator, &w->ticket, msg);
    if (e == ERR_OK && !id_equal(&w->ticket.repairer, &cell->id))
        e = err_say(msg, ERR_PEER, "the ticket is somebody else's");
    if (e == ERR_OK)
        e = cell_work_swarm(cell, msg);
    w->moved_bytes = 0;
    if (e == ERR_OK && reply->kind == WIRE_WORK_REPAIR)
        e = swarm_repair_start(w->swarm, &w->ticket, reply->ticket, repaired, cell, &w->repair,
                               msg);
    else if (e == ERR_OK)
        e = swarm_prove_start(w->swarm, &w->ticket, reply->ticket, proved, cell, &w->prove, msg);
    if (e == ERR_OK)
        cell_work_began(cell);
    return e;
}

/* --- asking for it --- */

static void answered(void *user, enum err e, unsigned status, struct slice body,
                     const struct errmsg *net_msg)
{
    struct cell *cell = user;
    struct cell_work *w = &cell->work;
    struct errmsg msg = *net_msg;
    struct wire_work_reply reply = {0};
    w->message = NULL;
    if (e == ERR_OK && wire_status_failed(status))
        e = wire_error_take(status, body, NULL, &msg);
    else if (e == ERR_OK)
        e = wire_work_reply_decode(body, &reply);
    w->state = WORK_DOING;
    if (e == ERR_OK && reply.kind && cell->members && !cell->stopping)
        e = begin(cell, &reply, &msg);
    else
        idle(cell);
    if (e != ERR_OK) {
        log_say(cell->options.log, LOG_INFO, "no ticket: %s", msg.text);
        idle(cell);
    }
    cell_work_ended(cell);
}

static void ask(struct cell *cell)
{
    struct cell_work *w = &cell->work;
    buf_clear(&w->body);
    w->state = WORK_ASKING;
    if (cell->stopping || cell->leaving || wire_work_encode(w->wanted, &w->body) != ERR_OK ||
        post(cell, WIRE_REPAIRS, WIRE_WORK_REPLY_BYTES, answered) != ERR_OK)
        idle(cell);
}

void cell_work_offered(struct cell *cell, unsigned kinds)
{
    cell->work.many = kinds & WIRE_WORK_MANY;
    kinds &= WIRE_WORK_REPAIR | WIRE_WORK_PROOF;
    if (cell->work.state != WORK_IDLE || !kinds)
        return;
    cell->work.wanted = kinds;
    ask(cell);
}

void cell_work_stop(struct cell *cell)
{
    struct cell_work *w = &cell->work;
    timer_stop(cell->options.clock, &w->timer);
    if (w->message)
        net_message_cancel(w->message);
    if (w->repair)
        swarm_repair_cancel(w->repair);
    if (w->prove)
        swarm_prove_cancel(w->prove);
}

void cell_work_free(struct cell *cell)
{
    swarm_close(cell->work.swarm);
    buf_free(&cell->work.body);
}
