#include "health/health_repairs.h"

#include "identity/receipt.h"
#include "swarm/swarm_errand.h"
#include "vault/vault_parts.h"

#include <stdlib.h>

struct moved {
    unsigned index;
    struct id cell;
};

struct health_repairs {
    struct vault *vault;
    health_repairs_fn *done;
    void *user;
    struct health_repairs_summary summary;
    unsigned taken;
    bool cancelled;
    struct swarm_errand *errand;
    struct id segment; /* the one that was repaired last, and where its shards are now */
    struct moved moved[LIMIT_SHARDS];
    size_t moved_count;
    struct work_job job;
    enum err e;
    struct errmsg msg;
};

static void repairs_end(struct health_repairs *r, enum err e)
{
    const struct health_repairs_summary summary = r->summary;
    const struct errmsg msg = r->msg;
    health_repairs_fn *done = r->done;
    void *user = r->user;
    free(r);
    done(user, e, &summary, &msg);
}

static void take_next(struct health_repairs *r);

/* --- the index learns of it --- */

static void store_run(struct work_job *job)
{
    struct health_repairs *r = container_of(job, struct health_repairs, job);
    struct index *index = r->vault->index;
    struct index_segment row;
    r->e = index_segment_get(index, &r->segment, &row, &r->msg);
    for (size_t i = 0; i < r->moved_count && r->e == ERR_OK; i++) {
        const struct index_shard shard = {.cell = r->moved[i].cell, .state = INDEX_SHARD_STORED};
        if (r->moved[i].index < (unsigned)row.k + row.m)
            r->e = index_segment_set_shard(index, row.number, r->moved[i].index, &shard, &r->msg);
    }
    if (r->e == ERR_NOT_FOUND) /* another device's, not known here yet */
        r->e = ERR_OK;
}

static void store_done(struct work_job *job)
{
    struct health_repairs *r = container_of(job, struct health_repairs, job);
    if (r->e != ERR_OK)
        repairs_end(r, r->e);
    else
        take_next(r);
}

static void keep_moved(struct health_repairs *r, const struct swarm_errand_result *result)
{
    struct receipt receipt;
    r->segment = result->ticket->segment;
    r->moved_count = 0;
    for (size_t i = 0; i < result->repair->receipt_count; i++)
        if (receipt_open(result->repair->receipts[i], &r->vault->swarm_root, NULL, &receipt,
                         NULL) == ERR_OK)
            r->moved[r->moved_count++] =
                (struct moved){.index = receipt.index, .cell = receipt.cell};
}

static void errand_done(void *user, enum err e, const struct swarm_errand_result *result,
                        const struct errmsg *msg)
{
    struct health_repairs *r = user;
    r->errand = NULL;
    if (e != ERR_OK && e != ERR_NOT_FOUND && !r->cancelled)
        log_say(r->vault->ports.log, LOG_INFO, "a repair did not come about: %s", msg->text);
    if (!result->repair || result->repair->receipt_count == 0) {
        /* nothing to do, or nothing that could be done: it need not be tried at once again */
        repairs_end(r, r->cancelled ? ERR_CANCELLED : ERR_OK);
        return;
    }
    r->summary.segments++;
    r->summary.shards += result->repair->receipt_count;
    r->summary.moved_bytes += result->repair->fetched_bytes + result->repair->sent_bytes;
    keep_moved(r, result);
    r->job = (struct work_job){.run = store_run, .done = store_done};
    work_submit(r->vault->ports.work, r->vault->lane, &r->job);
}

static void take_next(struct health_repairs *r)
{
    enum err e = ERR_OK;
    if (r->cancelled)
        e = err_say(&r->msg, ERR_CANCELLED, "cancelled");
    else if (r->taken++ < HEALTH_REPAIRS_MAX &&
             swarm_errand_start(r->vault->swarm, errand_done, r, &r->errand, &r->msg) == ERR_OK)
        return;
    repairs_end(r, e);
}

static void begin_run(struct work_job *job)
{
    (void)job;
}

enum err health_repairs_take(struct vault *vault, health_repairs_fn *done, void *user,
                             struct health_repairs **out, struct errmsg *msg)
{
    struct health_repairs *r = calloc(1, sizeof(*r));
    if (!r)
        return err_say(msg, ERR_NOMEM, "out of memory");
    r->vault = vault;
    r->done = done;
    r->user = user;
    /* by way of the lane, so that `done` never comes from inside this call */
    r->job = (struct work_job){.run = begin_run, .done = store_done};
    work_submit(vault->ports.work, vault->lane, &r->job);
    *out = r;
    return ERR_OK;
}

void health_repairs_cancel(struct health_repairs *r)
{
    r->cancelled = true;
    if (r->errand)
        swarm_errand_cancel(r->errand);
}
