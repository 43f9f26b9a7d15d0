#include "vault/vault_status.h"

#include "vault/vault_margins.h"

#include <stdlib.h>

enum { SEGMENTS_AT_ONCE = 256, SNAPSHOTS_AT_ONCE = 256 };

struct ask {
    struct work_job job;
    struct vault *vault;
    struct vault_members members;
    struct vault_status status;
    vault_status_fn *done;
    void *user;
    enum err e;
    struct errmsg msg;
};

static enum err count_segment(struct ask *ask, const struct index_segment *row)
{
    struct index_shard shards[LIMIT_SHARDS];
    struct placement_shard places[LIMIT_SHARDS];
    struct vault_status *status = &ask->status;
    size_t count;
    enum err e = index_segment_shards(ask->vault->index, row->number, shards, &count, &ask->msg);
    if (e != ERR_OK)
        return e;
    uint64_t missing = 0;
    for (size_t i = 0; i < count; i++) {
        places[i] = (struct placement_shard){
            .household = vault_members_household(&ask->members, &shards[i].cell),
            .alive = shards[i].state == INDEX_SHARD_STORED &&
                     vault_members_alive(&ask->members, &shards[i].cell),
        };
        missing += !places[i].alive;
    }
    const int32_t margin = placement_margin(places, count, row->k);
    status->segments++;
    status->debts += missing;
    status->segments_below_target += margin < (int32_t)row->m;
    status->segments_lost += margin < 0;
    if (margin < status->margin_min)
        status->margin_min = margin;
    return ERR_OK;
}

static enum err count_segments(struct ask *ask)
{
    struct index_segment *rows = malloc(SEGMENTS_AT_ONCE * sizeof(*rows));
    struct index_segment_filter filter = {.states = 1u << INDEX_COMMITTED | 1u << INDEX_LOST};
    size_t count = 0;
    enum err e = rows ? ERR_OK : ERR_NOMEM;
    while (e == ERR_OK) {
        e = index_segments(ask->vault->index, &filter, rows, SEGMENTS_AT_ONCE, &count, &ask->msg);
        for (size_t i = 0; e == ERR_OK && i < count; i++)
            e = count_segment(ask, &rows[i]);
        if (e != ERR_OK || count < SEGMENTS_AT_ONCE)
            break;
        filter.after_number = rows[count - 1].number;
    }
    free(rows);
    return e;
}

static enum err count_snapshots(struct ask *ask)
{
    struct index_snapshot rows[SNAPSHOTS_AT_ONCE];
    size_t count;
    enum err e;
    do {
        e = index_snapshots(ask->vault->index, false, ask->status.snapshots, rows,
                            SNAPSHOTS_AT_ONCE, &count, &ask->msg);
        if (e == ERR_OK)
            ask->status.snapshots += count;
    } while (e == ERR_OK && count == SNAPSHOTS_AT_ONCE);
    return e;
}

static void ask_run(struct work_job *job)
{
    struct ask *ask = container_of(job, struct ask, job);
    struct index_totals totals;
    int64_t last = 0;
    enum err e = index_totals(ask->vault->index, &totals, &ask->msg);
    if (e == ERR_OK) {
        ask->status.chunks = totals.chunks;
        ask->status.plain_bytes = totals.plain_bytes;
        ask->status.sealed_bytes = totals.sealed_bytes;
        ask->status.bytes_used = totals.shard_bytes;
        e = count_segments(ask);
    }
    if (e == ERR_OK)
        e = count_snapshots(ask);
    if (e == ERR_OK) {
        e = index_fact_get_number(ask->vault->index, "last-backup", &last, &ask->msg);
        if (e == ERR_NOT_FOUND)
            e = ERR_OK;
    }
    ask->status.last_backup_s = last;
    ask->e = e;
}

static void ask_done(struct work_job *job)
{
    struct ask *ask = container_of(job, struct ask, job);
    ask->done(ask->user, ask->e, &ask->status, &ask->msg);
    vault_members_free(&ask->members);
    free(ask);
}

static void fill_members(struct ask *ask)
{
    struct vault_status *status = &ask->status;
    struct swarm_survey survey;
    swarm_survey(ask->vault->swarm, &survey);
    status->members = survey.members;
    status->own = survey.own;
    status->others = survey.domains;
    status->coordinator_up = swarm_coordinator_up(ask->vault->swarm);
    for (size_t i = 0; i < swarm_member_count(ask->vault->swarm); i++) {
        struct swarm_member member;
        swarm_member(ask->vault->swarm, i, &member);
        status->members_up += member.state == WIRE_CELL_UP;
    }
}

enum err vault_status_ask(struct vault *vault, vault_status_fn *done, void *user,
                          struct errmsg *msg)
{
    struct ask *ask = calloc(1, sizeof(*ask));
    if (!ask)
        return err_say(msg, ERR_NOMEM, "out of memory");
    ask->vault = vault;
    ask->done = done;
    ask->user = user;
    ask->job = (struct work_job){.run = ask_run, .done = ask_done};
    ask->status.margin_min = INT32_MAX;
    vault_level(vault, &ask->status.k, &ask->status.m);
    ask->status.margin_target = ask->status.m;
    fill_members(ask);
    const enum err e = vault_members_copy(vault, &ask->members);
    if (e != ERR_OK) {
        free(ask);
        return err_say(msg, e, "out of memory");
    }
    work_submit(vault->ports.work, vault->lane, &ask->job);
    return ERR_OK;
}
