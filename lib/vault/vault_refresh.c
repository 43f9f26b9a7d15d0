#include "vault/vault_parts.h"

#include <stdlib.h>

struct refresh {
    struct work_job job; /* first */
    struct vault *vault;
    struct buf members; /* a copy, for the job */
    struct id *holders; /* owned; of a large swarm */
    size_t holder_count;
    enum err e;
    struct errmsg msg;
    vault_done_fn *done;
    void *user;
};

static void refresh_end(struct refresh *refresh)
{
    refresh->done(refresh->user, refresh->e, &refresh->msg);
    buf_free(&refresh->members);
    free(refresh->holders);
    free(refresh);
}

static void write_members(struct work_job *job)
{
    struct refresh *refresh = container_of(job, struct refresh, job);
    char *path = vault_path(refresh->vault, "members");
    refresh->e =
        path ? file_write(path, 0600, buf_slice(&refresh->members), &refresh->msg) : ERR_NOMEM;
    free(path);
}

static void members_written(struct work_job *job)
{
    refresh_end(container_of(job, struct refresh, job));
}

static void refreshed(void *user, enum err e, const struct errmsg *msg)
{
    struct refresh *refresh = user;
    struct vault *vault = refresh->vault;
    refresh->e = e;
    refresh->msg = *msg;
    const struct slice list = swarm_list_bytes(vault->swarm);
    if (e == ERR_OK && vault->access == VAULT_WRITE &&
        swarm_list_number(vault->swarm) != vault->members_number) {
        vault->members_number = swarm_list_number(vault->swarm);
        refresh->e = buf_append(&refresh->members, list.data, list.size);
        if (refresh->e == ERR_OK) {
            work_submit(vault->ports.work, vault->lane, &refresh->job);
            return;
        }
    }
    refresh_end(refresh);
}

/* In a large swarm the cells that hold something are asked about by name. */
static void read_holders(struct work_job *job)
{
    struct refresh *refresh = container_of(job, struct refresh, job);
    struct index_cell_use *uses = calloc(SWARM_WATCH_MAX, sizeof(*uses));
    refresh->holders = calloc(SWARM_WATCH_MAX, sizeof(*refresh->holders));
    refresh->e = uses && refresh->holders
                     ? index_cells(refresh->vault->index, uses, SWARM_WATCH_MAX,
                                   &refresh->holder_count, &refresh->msg)
                     : err_say(&refresh->msg, ERR_NOMEM, "out of memory");
    for (size_t i = 0; refresh->e == ERR_OK && i < refresh->holder_count; i++)
        refresh->holders[i] = uses[i].cell;
    free(uses);
}

static void holders_read(struct work_job *job)
{
    struct refresh *refresh = container_of(job, struct refresh, job);
    refresh->job.run = write_members;
    refresh->job.done = members_written;
    if (refresh->e == ERR_OK &&
        swarm_watch(refresh->vault->swarm, refresh->holders, refresh->holder_count) != ERR_OK)
        refresh->e = err_say(&refresh->msg, ERR_NOMEM, "out of memory");
    if (refresh->e == ERR_OK)
        refresh->e = swarm_refresh(refresh->vault->swarm, refreshed, refresh, &refresh->msg);
    if (refresh->e != ERR_OK)
        refresh_end(refresh);
}

enum err vault_refresh(struct vault *vault, vault_done_fn *done, void *user, struct errmsg *msg)
{
    struct refresh *refresh = calloc(1, sizeof(*refresh));
    if (!refresh)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *refresh = (struct refresh){.job = {.run = write_members, .done = members_written},
                                .vault = vault,
                                .members = BUF_INIT(LIMIT_MEMBER_LIST_BYTES),
                                .done = done,
                                .user = user};
    if (swarm_is_large(vault->swarm)) {
        refresh->job.run = read_holders;
        refresh->job.done = holders_read;
        work_submit(vault->ports.work, vault->lane, &refresh->job);
        return ERR_OK;
    }
    enum err e = swarm_refresh(vault->swarm, refreshed, refresh, msg);
    if (e != ERR_OK)
        free(refresh);
    return e;
}
