#include "health/health_drops.h"

#include "identity/drop_order.h"
#include "swarm/swarm_removal.h"
#include "vault/vault_deed.h"

#include <stdlib.h>

struct drops {
    struct vault *vault;
    struct work_job job;
    struct health_drop list[WIRE_ORDERS_MAX];
    size_t count;
    struct buf docs;
    size_t ends[WIRE_ORDERS_MAX];
    vault_done_fn *done;
    void *user;
    enum err e;
    struct errmsg msg;
};

static void drops_end(struct drops *d)
{
    d->done(d->user, ERR_OK, &d->msg);
    buf_free(&d->docs);
    free(d);
}

static enum err make_one(struct drops *d, const struct health_drop *drop, int64_t now_s)
{
    struct drop_order order = {.cell = drop->cell,
                               .segment = drop->segment,
                               .index = drop->index,
                               .generation = (uint32_t)now_s};
    const enum err e = vault_deed_next(d->vault, &order.deed, &d->msg);
    return e == ERR_OK ? drop_order_make(&order, &d->vault->swarm_root, d->vault->device, &d->docs)
                       : e;
}

static void run_make(struct work_job *job)
{
    struct drops *d = container_of(job, struct drops, job);
    const int64_t now_s = clock_wall_ns(d->vault->ports.clock) / 1000000000;
    d->e = ERR_OK;
    for (size_t i = 0; i < d->count && d->e == ERR_OK; i++) {
        d->e = make_one(d, &d->list[i], now_s);
        d->ends[i] = d->docs.size;
    }
}

static void sent(void *user, enum err e, const uint32_t *counts, size_t count,
                 const struct errmsg *msg)
{
    struct drops *d = user;
    (void)counts;
    (void)count;
    if (e != ERR_OK)
        log_say(d->vault->ports.log, LOG_INFO, "old holders were not told of moved shards: %s",
                msg->text);
    drops_end(d);
}

static void made(struct work_job *job)
{
    struct drops *d = container_of(job, struct drops, job);
    static const struct id coordinator;
    struct wire_order orders[WIRE_ORDERS_MAX];
    for (size_t i = 0; i < d->count; i++) {
        const size_t begin = i ? d->ends[i - 1] : 0;
        orders[i] = (struct wire_order){.kind = WIRE_ORDER_DROP,
                                        .doc = slice_of(d->docs.data + begin, d->ends[i] - begin)};
    }
    if (d->e != ERR_OK ||
        swarm_orders_send(d->vault->swarm, &coordinator, orders, d->count, sent, d, NULL) != ERR_OK)
        drops_end(d);
}

enum err health_drops_send(struct vault *vault, const struct health_drop *drops, size_t count,
                           vault_done_fn *done, void *user, struct errmsg *msg)
{
    struct drops *d = calloc(1, sizeof(*d));
    if (!d)
        return err_say(msg, ERR_NOMEM, "out of memory");
    d->vault = vault;
    d->job = (struct work_job){.run = run_make, .done = made};
    d->count = count < WIRE_ORDERS_MAX ? count : WIRE_ORDERS_MAX;
    memcpy(d->list, drops, d->count * sizeof(*drops));
    d->docs = BUF_INIT((size_t)WIRE_ORDERS_MAX * DROP_ORDER_BYTES_MAX);
    d->done = done;
    d->user = user;
    work_submit(vault->ports.work, vault->lane, &d->job);
    return ERR_OK;
}
