#include "removal/removal_orders.h"

#include "index/index_removal.h"
#include "swarm/swarm_removal.h"
#include "vault/vault_parts.h"

#include <stdlib.h>

enum { PEERS_AT_ONCE = 32, MESSAGE_BYTES = WIRE_DELETE_BYTES - 65536 };

/* One message to one peer. */
struct sending {
    struct removal_orders *owner;
    struct index_order orders[WIRE_ORDERS_MAX];
    struct wire_order wire[WIRE_ORDERS_MAX];
    size_t sizes[WIRE_ORDERS_MAX];
    size_t count;
    struct buf docs;
    bool used, final; /* answered, or it can never be */
    enum err e;
};

struct removal_orders {
    struct vault *vault;
    removal_orders_fn *done;
    void *user;
    struct sending sendings[PEERS_AT_ONCE];
    size_t out;
    struct index_order after; /* the last one that was taken up */
    bool all, cancelled;
    struct removal_orders_summary summary;
    struct work_job job;
    enum err e;
    struct errmsg msg;
};

static void orders_end(struct removal_orders *o)
{
    const struct errmsg msg = o->msg;
    const struct removal_orders_summary summary = o->summary;
    removal_orders_fn *done = o->done;
    void *user = o->user;
    const enum err e = o->e;
    for (size_t i = 0; i < PEERS_AT_ONCE; i++)
        buf_free(&o->sendings[i].docs);
    free(o);
    done(user, e, &summary, &msg);
}

/* --- on the lane --- */

static enum err take_one(struct removal_orders *o, struct sending *s,
                         const struct index_order *order)
{
    struct slice doc;
    enum err e = index_order_doc(o->vault->index, order->number, &doc, &o->msg);
    if (e != ERR_OK)
        return e;
    if (s->count > 0 && (s->count == WIRE_ORDERS_MAX || s->docs.size + doc.size > MESSAGE_BYTES))
        return ERR_END;
    s->orders[s->count] = *order;
    s->sizes[s->count++] = doc.size;
    return buf_append(&s->docs, doc.data, doc.size);
}

/* The next message: the first orders that wait, as far as they are for one peer and fit. */
static enum err take_message(struct removal_orders *o, struct sending *s)
{
    struct index_order rows[WIRE_ORDERS_MAX];
    size_t count;
    s->count = 0;
    s->docs = BUF_INIT(WIRE_DELETE_BYTES);
    enum err e = index_orders(o->vault->index, &o->after, rows, WIRE_ORDERS_MAX, &count, &o->msg);
    o->all = e == ERR_OK && count == 0;
    for (size_t i = 0; e == ERR_OK && i < count && id_equal(&rows[i].peer, &rows[0].peer); i++) {
        e = take_one(o, s, &rows[i]);
        if (e == ERR_OK)
            o->after = rows[i];
    }
    s->used = s->count > 0;
    return e == ERR_END ? ERR_OK : e;
}

static void take_run(struct work_job *job)
{
    struct removal_orders *o = container_of(job, struct removal_orders, job);
    for (size_t i = 0; o->e == ERR_OK && !o->all && i < PEERS_AT_ONCE; i++)
        o->e = take_message(o, &o->sendings[i]);
}

/* What was answered waits no more. */
static void note_run(struct work_job *job)
{
    struct removal_orders *o = container_of(job, struct removal_orders, job);
    struct index *index = o->vault->index;
    enum err e = index_begin(index, &o->msg);
    for (size_t i = 0; i < PEERS_AT_ONCE; i++) {
        struct sending *s = &o->sendings[i];
        for (size_t at = 0; e == ERR_OK && s->used && s->final && at < s->count; at++)
            e = index_order_answered(index, &s->orders[at], &o->msg);
    }
    if (e == ERR_OK)
        e = index_commit(index, &o->msg);
    else
        index_rollback(index);
    o->e = e;
}

/* --- on the loop --- */

static void take_done(struct work_job *job);

static void note_done(struct work_job *job)
{
    struct removal_orders *o = container_of(job, struct removal_orders, job);
    for (size_t i = 0; i < PEERS_AT_ONCE; i++) {
        buf_free(&o->sendings[i].docs);
        o->sendings[i].used = false;
    }
    if (o->e != ERR_OK || o->all || o->cancelled) {
        orders_end(o);
        return;
    }
    o->job = (struct work_job){.run = take_run, .done = take_done};
    work_submit(o->vault->ports.work, o->vault->lane, &o->job);
}

static void check_round(struct removal_orders *o)
{
    if (o->out > 0)
        return;
    o->job = (struct work_job){.run = note_run, .done = note_done};
    work_submit(o->vault->ports.work, o->vault->lane, &o->job);
}

/* It is done there; or the peer is no member any more, or knows nothing of the account, and so
   holds nothing of it. */
static bool is_final(enum err e)
{
    return e == ERR_OK || e == ERR_NOT_FOUND;
}

static void went(struct sending *s, enum err e, const struct errmsg *msg)
{
    struct removal_orders *o = s->owner;
    s->e = e;
    s->final = is_final(e);
    if (s->final)
        o->summary.answered += s->count;
    else
        o->summary.waiting += s->count;
    if (e != ERR_OK)
        log_say(o->vault->ports.log, e == ERR_DENIED ? LOG_WARN : LOG_INFO,
                "what is to be deleted, or kept after all, was not taken: %s", msg->text);
}

static void answered(void *user, enum err e, const uint32_t *counts, size_t count,
                     const struct errmsg *msg)
{
    struct sending *s = user;
    (void)counts, (void)count;
    went(s, e, msg);
    s->owner->out--;
    check_round(s->owner);
}

static void send_one(struct sending *s)
{
    struct removal_orders *o = s->owner;
    struct errmsg msg;
    size_t at = 0;
    for (size_t i = 0; i < s->count; at += s->sizes[i++])
        s->wire[i] = (struct wire_order){.kind = (enum wire_order_kind)s->orders[i].kind,
                                         .doc = slice_of(s->docs.data + at, s->sizes[i])};
    const enum err e = swarm_orders_send(o->vault->swarm, &s->orders[0].peer, s->wire, s->count,
                                         answered, s, &msg);
    if (e == ERR_OK)
        o->out++;
    else
        went(s, e, &msg);
}

static void take_done(struct work_job *job)
{
    struct removal_orders *o = container_of(job, struct removal_orders, job);
    for (size_t i = 0; o->e == ERR_OK && i < PEERS_AT_ONCE; i++)
        if (o->sendings[i].used)
            send_one(&o->sendings[i]);
    if (o->e != ERR_OK)
        orders_end(o);
    else
        check_round(o);
}

enum err removal_orders_send(struct vault *vault, removal_orders_fn *done, void *user,
                             struct removal_orders **out, struct errmsg *msg)
{
    struct removal_orders *o = calloc(1, sizeof(*o));
    if (!o)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *o = (struct removal_orders){.vault = vault, .done = done, .user = user};
    for (size_t i = 0; i < PEERS_AT_ONCE; i++)
        o->sendings[i].owner = o;
    o->job = (struct work_job){.run = take_run, .done = take_done};
    work_submit(vault->ports.work, vault->lane, &o->job);
    *out = o;
    return ERR_OK;
}

void removal_orders_cancel(struct removal_orders *o)
{
    o->cancelled = true;
}
