#include "transfer/transfer_grants.h"

#include "vault/vault_parts.h"

#include <stdlib.h>

enum { SAVED_BYTES_MAX = 4 << 20 };

struct keep {
    struct work_job job;
    struct vault *vault;
    struct buf saved;
    vault_done_fn *done;
    void *user;
    enum err e;
    struct errmsg msg;
};

static void run_keep(struct work_job *job)
{
    struct keep *keep = container_of(job, struct keep, job);
    keep->e = index_fact_put(keep->vault->index, "grants", buf_slice(&keep->saved), &keep->msg);
}

static void keep_done(struct work_job *job)
{
    struct keep *keep = container_of(job, struct keep, job);
    keep->done(keep->user, keep->e, &keep->msg);
    buf_free(&keep->saved);
    free(keep);
}

static void asked(void *user, enum err e, const struct errmsg *why)
{
    struct keep *keep = user;
    keep->job = (struct work_job){.run = run_keep, .done = keep_done};
    if (e != ERR_OK)
        log_say(keep->vault->ports.log, LOG_INFO, "no grants ahead: %s", why->text);
    keep->e = swarm_grants_save(keep->vault->swarm, &keep->saved);
    if (keep->e == ERR_OK)
        work_submit(keep->vault->ports.work, keep->vault->lane, &keep->job);
    else
        keep_done(&keep->job);
}

static void posted(struct work_job *job)
{
    const struct errmsg none = {{0}};
    asked(container_of(job, struct keep, job), ERR_OK, &none);
}

enum err transfer_grants_keep(struct vault *vault, vault_done_fn *done, void *user,
                              struct errmsg *msg)
{
    struct keep *keep = calloc(1, sizeof(*keep));
    if (!keep)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *keep = (struct keep){.job = {.done = posted}, /* not from inside this call */
                          .vault = vault,
                          .saved = BUF_INIT(SAVED_BYTES_MAX),
                          .done = done,
                          .user = user};
    if (swarm_coordinator_up(vault->swarm) &&
        swarm_grants_ask(vault->swarm, TRANSFER_GRANTS_AHEAD_BYTES, asked, keep, NULL) == ERR_OK)
        return ERR_OK;
    work_post(vault->ports.work, &keep->job);
    return ERR_OK;
}
