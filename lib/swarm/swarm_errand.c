#include "swarm/swarm_errand.h"

#include "swarm/swarm_ask.h"
#include "swarm/swarm_internal.h"
#include "wire/wire_repair.h"

#include <stdlib.h>

struct swarm_errand {
    struct swarm *swarm;
    struct ticket ticket;
    struct buf document;
    struct swarm_ask *ask; /* under way; NULL: none */
    struct swarm_repair *repair;
    bool cancelled;
    enum err e; /* of the repair */
    struct errmsg msg;

    struct swarm_errand_result result;
    struct swarm_repair_result repaired;
    struct buf receipts; /* the documents, one behind the other: they outlive the repair */
    struct slice receipt_docs[LIMIT_SHARDS];
    swarm_errand_fn *done;
    void *user;
};

static void end(struct swarm_errand *errand, enum err e)
{
    if (errand->cancelled)
        e = err_say(&errand->msg, ERR_CANCELLED, "cancelled");
    errand->done(errand->user, e, &errand->result, &errand->msg);
    buf_free(&errand->document);
    buf_free(&errand->receipts);
    free(errand);
}

static enum err ask(struct swarm_errand *errand, enum wire_route route, struct buf *body,
                    size_t reply_max, swarm_ask_fn *done, struct errmsg *msg)
{
    return swarm_ask_start(errand->swarm, errand->swarm->coordinator, NET_POST,
                           wire_path_plain(route), body, reply_max, done, errand, &errand->ask,
                           msg);
}

/* --- the report --- */

static void reported(void *user, enum err e, struct slice body, const struct errmsg *msg)
{
    struct swarm_errand *errand = user;
    (void)body;
    errand->ask = NULL;
    if (e != ERR_OK && errand->e == ERR_OK)
        errand->msg = *msg;
    end(errand, errand->e != ERR_OK ? errand->e : e);
}

static enum err report(struct swarm_errand *errand)
{
    struct buf body = BUF_INIT(WIRE_REPORT_BYTES);
    struct wire_report message = {
        .segment = errand->ticket.segment,
        .outcome = errand->e == ERR_INCONSISTENT        ? WIRE_OUTCOME_INCONSISTENT
                   : errand->repaired.receipt_count > 0 ? WIRE_OUTCOME_DONE
                                                        : WIRE_OUTCOME_FAILED,
        .receipts = errand->receipt_docs,
        .receipt_count = errand->repaired.receipt_count,
    };
    memcpy(message.ticket, errand->ticket.id, sizeof(message.ticket));
    enum err e = wire_report_encode(&message, &body);
    if (e == ERR_OK)
        e = ask(errand, WIRE_REPORT, &body, LIMIT_MESSAGE_BYTES, reported, &errand->msg);
    else
        buf_free(&body);
    return e;
}

static enum err keep_receipts(struct swarm_errand *errand, const struct swarm_repair_result *result)
{
    enum err e = ERR_OK;
    size_t at = 0;
    for (size_t i = 0; i < result->receipt_count && e == ERR_OK; i++)
        e = buf_append(&errand->receipts, result->receipts[i].data, result->receipts[i].size);
    for (size_t i = 0; i < result->receipt_count && e == ERR_OK; i++) {
        errand->receipt_docs[i] = slice_of(errand->receipts.data + at, result->receipts[i].size);
        at += result->receipts[i].size;
    }
    errand->repaired = (struct swarm_repair_result){
        .receipts = errand->receipt_docs,
        .receipt_count = e == ERR_OK ? result->receipt_count : 0,
        .fetched_bytes = result->fetched_bytes,
        .sent_bytes = result->sent_bytes,
    };
    errand->result.repair = &errand->repaired;
    return e;
}

static void repaired(void *user, enum err e, const struct swarm_repair_result *result,
                     const struct errmsg *msg)
{
    struct swarm_errand *errand = user;
    errand->repair = NULL;
    errand->e = e;
    errand->msg = *msg;
    enum err kept = keep_receipts(errand, result);
    if (kept == ERR_OK)
        kept = report(errand); /* also after a cancel: others need not wait for the lease */
    if (kept != ERR_OK)
        end(errand, e != ERR_OK ? e : kept);
}

/* --- the ticket --- */

static enum err begin(struct swarm_errand *errand, struct slice body, struct errmsg *msg)
{
    struct wire_work_reply reply;
    const struct id coordinator = swarm_coordinator(errand->swarm);
    enum err e = wire_work_reply_decode(body, &reply);
    if (e != ERR_OK)
        return err_say(msg, e, "the coordinator's answer to a wish for work cannot be read");
    if (reply.kind != WIRE_WORK_REPAIR)
        return err_say(msg, ERR_NOT_FOUND, "there is nothing to repair");
    e = ticket_open(reply.ticket, &errand->swarm->root, &coordinator, &errand->ticket, msg);
    if (e == ERR_OK &&
        buf_append(&errand->document, reply.ticket.data, reply.ticket.size) != ERR_OK)
        e = err_say(msg, ERR_NOMEM, "out of memory for a ticket");
    if (e != ERR_OK)
        return e;
    errand->result.ticket = &errand->ticket;
    return swarm_repair_start(errand->swarm, &errand->ticket, buf_slice(&errand->document),
                              repaired, errand, &errand->repair, msg);
}

static void answered(void *user, enum err e, struct slice body, const struct errmsg *why)
{
    struct swarm_errand *errand = user;
    errand->ask = NULL;
    errand->msg = *why;
    if (e == ERR_OK && !errand->cancelled)
        e = begin(errand, body, &errand->msg);
    if (e != ERR_OK || errand->cancelled)
        end(errand, e);
}

enum err swarm_errand_start(struct swarm *swarm, swarm_errand_fn *done, void *user,
                            struct swarm_errand **out, struct errmsg *msg)
{
    struct buf body = BUF_INIT(WIRE_WORK_BYTES);
    if (!swarm->coordinator)
        return err_say(msg, ERR_UNREACHABLE, "no coordinator is known");
    struct swarm_errand *errand = calloc(1, sizeof(*errand));
    if (!errand)
        return err_say(msg, ERR_NOMEM, "out of memory for a repair");
    errand->swarm = swarm;
    errand->document = BUF_INIT(TICKET_BYTES_MAX);
    errand->receipts = BUF_INIT(WIRE_REPORT_BYTES);
    errand->done = done;
    errand->user = user;
    enum err e = wire_work_encode(WIRE_WORK_REPAIR, &body);
    if (e == ERR_OK)
        e = ask(errand, WIRE_REPAIRS, &body, WIRE_WORK_REPLY_BYTES, answered, msg);
    else
        buf_free(&body);
    if (e != ERR_OK) {
        free(errand);
        return e;
    }
    *out = errand;
    return ERR_OK;
}

void swarm_errand_cancel(struct swarm_errand *errand)
{
    errand->cancelled = true;
    if (errand->ask)
        swarm_ask_cancel(errand->ask);
    if (errand->repair)
        swarm_repair_cancel(errand->repair);
}
