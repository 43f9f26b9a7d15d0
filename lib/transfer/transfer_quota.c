#include "transfer/transfer_quota.h"

#include "vault/vault_parts.h"

#include <stdlib.h>

struct ask {
    struct work_job job; /* when there is nobody to ask */
    struct transfer_quota quota;
    transfer_quota_fn *done;
    void *user;
};

static void tell(struct ask *ask)
{
    ask->done(ask->user, &ask->quota);
    free(ask);
}

static void on_account(void *user, enum err e, const struct wire_account *account,
                       const struct errmsg *msg)
{
    struct ask *ask = user;
    (void)msg;
    if (e == ERR_OK)
        ask->quota = (struct transfer_quota){.known = true,
                                             .used_bytes = account->used_bytes,
                                             .given_bytes = account->given_bytes,
                                             .allowed_bytes = account->allowed_bytes};
    tell(ask);
}

static void posted(struct work_job *job)
{
    tell(container_of(job, struct ask, job));
}

enum err transfer_quota_ask(struct vault *vault, transfer_quota_fn *done, void *user,
                            struct errmsg *msg)
{
    struct ask *ask = calloc(1, sizeof(*ask));
    if (!ask)
        return err_say(msg, ERR_NOMEM, "out of memory");
    ask->done = done;
    ask->user = user;
    ask->job.done = posted;
    if (!swarm_coordinator_up(vault->swarm) ||
        swarm_account(vault->swarm, on_account, ask, NULL) != ERR_OK)
        work_post(vault->ports.work, &ask->job);
    return ERR_OK;
}

uint64_t transfer_quota_need(uint64_t bytes, unsigned k, unsigned m)
{
    const uint64_t limit = UINT64_MAX / 512;
    return k == 0 ? 0 : (bytes < limit ? bytes : limit) * (k + m) / k;
}
