/*
 *     SHOWING ──▶ FETCHING ──▶ done
 */
#include "swarm/swarm_fetch.h"
#include "swarm/swarm_repair.h"
#include "swarm/swarm_ticket.h"

#include <stdlib.h>

struct swarm_prove {
    struct swarm_task task;
    struct swarm *swarm;
    struct ticket ticket;
    struct buf document;
    struct swarm_showing showing;
    bool fetching, fetched, cancelled;
    struct swarm_fetch fetch;
    uint8_t *leaf; /* owned */
    struct errmsg msg;
    swarm_prove_fn *done;
    void *user;
};

static void prove_free(struct swarm_prove *p)
{
    swarm_show_clear(&p->showing);
    buf_free(&p->document);
    free(p->leaf);
    free(p);
}

static void end(struct swarm_prove *p, enum err e, bool disproved)
{
    swarm_task_end(&p->task);
    p->done(p->user, e, disproved, &p->msg);
    prove_free(p);
}

static void leaf_came(struct swarm_fetch *fetch)
{
    struct swarm_prove *p = container_of(fetch, struct swarm_prove, fetch);
    p->fetched = true;
    swarm_task_wake(&p->task);
}

static enum err fetch_leaf(struct swarm_prove *p)
{
    const struct swarm_source *source = &p->showing.sources[0];
    const uint32_t leaves = segment_leaf_count(p->showing.header.shard_bytes);
    if (source->index >= p->showing.header.k + p->showing.header.m)
        return err_say(&p->msg, ERR_PEER, "the ticket names a shard that the segment has not");
    p->leaf = malloc(LIMIT_LEAF_BYTES);
    if (!p->leaf)
        return err_say(&p->msg, ERR_NOMEM, "out of memory for a leaf");
    p->fetch.swarm = p->swarm;
    p->fetch.peer = source->peer;
    p->fetch.header = &p->showing.header;
    p->fetch.segment = p->ticket.segment;
    p->fetch.shard = source->index;
    p->fetch.leaf_first = (uint32_t)random_below(p->swarm->random, leaves);
    p->fetch.leaf_count = 1;
    p->fetch.out = p->leaf;
    p->fetch.net_class = NET_OTHER;
    p->fetch.ended = leaf_came;
    p->fetching = true;
    swarm_fetch_start(&p->fetch);
    return ERR_OK;
}

/* It answered, and the answer is not the leaf: wrong bytes, or the word that the shard is not
   there. */
static bool is_disproof(const struct swarm_fetch *fetch)
{
    return fetch->lied || fetch->e == ERR_NOT_FOUND || fetch->e == ERR_CORRUPT;
}

static void step(struct swarm_task *task)
{
    struct swarm_prove *p = container_of(task, struct swarm_prove, task);
    const struct swarm_source *source = &p->showing.sources[0];
    if (p->showing.asking > 0 || (p->fetching && !p->fetched))
        return;
    if (p->cancelled) {
        end(p, err_say(&p->msg, ERR_CANCELLED, "cancelled"), false);
    } else if (p->fetched) {
        p->msg = p->fetch.msg;
        end(p, p->fetch.e, p->fetch.e != ERR_OK && is_disproof(&p->fetch));
    } else if (source->state == SWARM_SOURCE_LACKS) {
        end(p, err_say(&p->msg, ERR_NOT_FOUND, "the cell says that it has no such shard"), true);
    } else if (source->state != SWARM_SOURCE_HAS) {
        end(p, err_say(&p->msg, ERR_UNREACHABLE, "the cell gave no answer"), false);
    } else {
        const enum err e = fetch_leaf(p);
        if (e != ERR_OK)
            end(p, e, false);
    }
}

enum err swarm_prove_start(struct swarm *swarm, const struct ticket *ticket, struct slice document,
                           swarm_prove_fn *done, void *user, struct swarm_prove **out,
                           struct errmsg *msg)
{
    if (ticket->target_count != 0 || ticket->source_count != 1)
        return err_say(msg, ERR_USAGE, "the ticket is not one for a proof");
    struct swarm_prove *p = calloc(1, sizeof(*p));
    if (!p)
        return err_say(msg, ERR_NOMEM, "out of memory for a proof");
    p->swarm = swarm;
    p->ticket = *ticket;
    p->document = BUF_INIT(TICKET_BYTES_MAX);
    p->done = done;
    p->user = user;
    enum err e = buf_append(&p->document, document.data, document.size);
    swarm_task_begin(&p->task, swarm, step);
    p->showing = (struct swarm_showing){.swarm = swarm,
                                        .ticket = &p->ticket,
                                        .document = buf_slice(&p->document),
                                        .task = &p->task};
    if (e == ERR_OK)
        e = swarm_show_start(&p->showing, msg);
    else
        err_say(msg, e, "out of memory for a ticket");
    if (e != ERR_OK) {
        swarm_task_end(&p->task);
        prove_free(p);
        return e;
    }
    swarm_task_wake(&p->task);
    *out = p;
    return ERR_OK;
}

void swarm_prove_cancel(struct swarm_prove *p)
{
    if (p->cancelled)
        return;
    p->cancelled = true;
    swarm_show_cancel(&p->showing);
    if (p->fetching && !p->fetched)
        swarm_fetch_cancel(&p->fetch);
    swarm_task_wake(&p->task);
}
