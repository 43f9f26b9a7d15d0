#include "health/health_renew.h"

#include "identity/renewal.h"
#include "swarm/swarm_removal.h"
#include "vault/vault_deed.h"

#include <stdlib.h>

enum { RENEW_S = 86400 };

struct renew {
    struct vault *vault;
    struct work_job job;
    struct buf doc;
    int64_t now_s;
    bool due;
    vault_done_fn *done;
    void *user;
    enum err e;
    struct errmsg msg;
};

static void renew_end(struct renew *r)
{
    r->done(r->user, r->e, &r->msg);
    buf_free(&r->doc);
    free(r);
}

/* --- lane --- */

static enum err make(struct renew *r)
{
    struct vault *vault = r->vault;
    struct deed deed;
    int64_t last_s = 0;
    enum err e = index_fact_get_number(vault->index, VAULT_FACT_RENEWED, &last_s, &r->msg);
    if (e != ERR_OK && e != ERR_NOT_FOUND)
        return e;
    r->due = last_s == 0 || r->now_s - last_s >= RENEW_S || r->now_s < last_s;
    if (!r->due)
        return ERR_OK;
    e = vault_deed_next(vault, &deed, &r->msg);
    return e == ERR_OK ? renewal_make(&deed, &vault->swarm_root, vault->device, &r->doc) : e;
}

static void run_make(struct work_job *job)
{
    struct renew *r = container_of(job, struct renew, job);
    r->e = make(r);
}

static void run_keep(struct work_job *job)
{
    struct renew *r = container_of(job, struct renew, job);
    r->e = index_fact_put_number(r->vault->index, VAULT_FACT_RENEWED, r->now_s, &r->msg);
}

/* --- loop --- */

static void kept(struct work_job *job)
{
    renew_end(container_of(job, struct renew, job));
}

static void sent(void *user, enum err e, const uint32_t *counts, size_t count,
                 const struct errmsg *msg)
{
    struct renew *r = user;
    (void)counts;
    (void)count;
    if (e != ERR_OK) {
        log_say(r->vault->ports.log, LOG_INFO, "the lease is not renewed this time: %s", msg->text);
        renew_end(r);
        return;
    }
    r->job = (struct work_job){.run = run_keep, .done = kept};
    work_submit(r->vault->ports.work, r->vault->lane, &r->job);
}

static void made(struct work_job *job)
{
    struct renew *r = container_of(job, struct renew, job);
    static const struct id coordinator;
    const struct wire_order order = {.kind = WIRE_ORDER_RENEW, .doc = buf_slice(&r->doc)};
    if (r->e != ERR_OK || !r->due || !swarm_coordinator_up(r->vault->swarm) ||
        swarm_orders_send(r->vault->swarm, &coordinator, &order, 1, sent, r, NULL) != ERR_OK)
        renew_end(r);
}

enum err health_renew(struct vault *vault, vault_done_fn *done, void *user, struct errmsg *msg)
{
    struct renew *r = calloc(1, sizeof(*r));
    if (!r)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *r = (struct renew){.vault = vault,
                        .job = {.run = run_make, .done = made},
                        .doc = BUF_INIT(RENEWAL_BYTES_MAX),
                        .now_s = clock_wall_ns(vault->ports.clock) / 1000000000,
                        .done = done,
                        .user = user};
    work_submit(vault->ports.work, vault->lane, &r->job);
    return ERR_OK;
}
