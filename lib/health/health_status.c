#include "health/health_status.h"

#include "health/health_renew.h"
#include "placement/placement_durability.h"
#include "vault/vault_members.h"

#include <stdio.h>
#include <stdlib.h>

enum { SEGMENTS_AT_ONCE = 256, SNAPSHOTS_AT_ONCE = 256 };

struct ask {
    struct work_job job;
    struct vault *vault;
    struct vault_members members;
    struct swarm_losses losses;
    struct health_status status;
    double unavailable, loss_rate;             /* of the segments so far, added up */
    double group_up[PLACEMENT_DURABILITY_MAX]; /* of the cells that hold something */
    size_t group_count;
    struct idmap group;
    struct id newest_device; /* that made the newest snapshot */
    health_status_fn *done;
    void *user;
    enum err e;
    struct errmsg msg;
};

/* --- chances --- */

/* A year of one cell, or more: with less there is nothing to go by. */
enum { EXPOSURE_MIN_S = 31557600, REPAIR_S = 86400 };

static bool losses_known(const struct ask *ask)
{
    return ask->losses.exposure_s >= EXPOSURE_MIN_S;
}

/* Losses of one domain a year: one more than were seen (docs/durability.md). */
static double loss_rate(const struct ask *ask, uint32_t count, uint32_t m, uint32_t unrepaired)
{
    const double years = (double)ask->losses.exposure_s / EXPOSURE_MIN_S;
    return placement_loss_rate(&(struct placement_loss){
        .count = count,
        .m = m,
        .unrepaired = unrepaired,
        .rate_year = (double)(ask->losses.count + 1) / years,
        .window_year = (double)(ask->losses.gone_after_s + REPAIR_S) / EXPOSURE_MIN_S,
    });
}

static void add_to_group(struct ask *ask, const struct id *cell)
{
    if (ask->group_count == PLACEMENT_DURABILITY_MAX || idmap_get(&ask->group, cell))
        return;
    /* a cell that cannot be remembered counts again: the bound becomes wider, not wrong */
    err_ignore(idmap_set(&ask->group, cell, ask));
    ask->group_up[ask->group_count++] = vault_members_up(&ask->members, cell);
}

static void add_chances(struct ask *ask, const struct index_segment *row,
                        const struct index_shard *shards, const struct placement_shard *places,
                        size_t count, int32_t margin)
{
    double up[LIMIT_SHARDS];
    uint32_t alive = 0;
    for (size_t i = 0; i < count; i++) {
        if (!places[i].alive)
            continue;
        up[alive++] = vault_members_up(&ask->members, &shards[i].cell);
        add_to_group(ask, &shards[i].cell);
    }
    ask->unavailable += placement_unavailable(up, alive, row->k);
    if (margin < 0 || !losses_known(ask)) {
        ask->loss_rate += margin < 0 ? 1e9 : 0;
        return;
    }
    const uint32_t left = placement_unrepaired(row->m, ask->losses.repair_percent);
    const uint32_t lost = row->m - (uint32_t)margin < row->m ? row->m - (uint32_t)margin : 0;
    ask->loss_rate +=
        loss_rate(ask, row->k + (uint32_t)margin, (uint32_t)margin, left > lost ? left - lost : 0);
}

/* No segment is out of reach while no more cells are than the worst one can spare, nor lost: so the
   whole account's chance is at most that of its cells, however many segments there are. */
static void take_chances(struct ask *ask)
{
    struct health_status *status = &ask->status;
    status->unavailable = status->loss_year = -1;
    if (status->segments == 0)
        return;
    const uint32_t spare = status->margin_min > 0 ? (uint32_t)status->margin_min : 0;
    const uint32_t group = (uint32_t)ask->group_count;
    if (ask->members.watched) {
        const double all =
            status->margin_min < 0
                ? 1
                : placement_unavailable(ask->group_up, group, group > spare ? group - spare : 0);
        status->unavailable = ask->unavailable < all ? ask->unavailable : all;
    }
    if (losses_known(ask)) {
        const double all = status->margin_min < 0
                               ? 1e9
                               : loss_rate(ask, group, spare,
                                           placement_unrepaired(spare, ask->losses.repair_percent));
        status->loss_year = placement_year(ask->loss_rate < all ? ask->loss_rate : all);
    }
}

static enum err count_segment(struct ask *ask, const struct index_segment *row)
{
    struct index_shard shards[LIMIT_SHARDS];
    struct placement_shard places[LIMIT_SHARDS];
    struct health_status *status = &ask->status;
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
    add_chances(ask, row, shards, places, count, margin);
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
        if (e == ERR_OK && count > 0) { /* oldest first */
            ask->status.newest_s = rows[count - 1].time_ns / 1000000000;
            ask->newest_device = rows[count - 1].device;
        }
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
        if (!ask->status.standing_known)
            ask->status.bytes_used = totals.shard_bytes;
        e = count_segments(ask);
    }
    if (e == ERR_OK)
        take_chances(ask);
    if (e == ERR_OK)
        e = count_snapshots(ask);
    if (e == ERR_OK) {
        e = index_fact_get_number(ask->vault->index, "last-backup", &last, &ask->msg);
        if (e == ERR_NOT_FOUND)
            e = ERR_OK;
    }
    ask->status.last_backup_s = last;
    int64_t renewed = 0;
    if (e == ERR_OK) {
        e = index_fact_get_number(ask->vault->index, VAULT_FACT_RENEWED, &renewed, &ask->msg);
        if (e == ERR_NOT_FOUND)
            e = ERR_OK;
    }
    ask->status.lease_until_s = renewed ? renewed + HEALTH_LEASE_S : 0;
    ask->e = e;
}

/* The manifest is the loop's. */
static void name_device(struct ask *ask)
{
    const struct id *device = &ask->newest_device;
    if (id_is_zero(device) || id_equal(device, vault_device(ask->vault)))
        return;
    const struct manifest_device *found = manifest_device_find(ask->vault->manifest, device);
    char id[ID_TEXT_SIZE];
    snprintf(ask->status.newest_device, sizeof(ask->status.newest_device), "%s",
             found && found->name[0] ? found->name : id_format(device, id));
}

static void ask_done(struct work_job *job)
{
    struct ask *ask = container_of(job, struct ask, job);
    name_device(ask);
    ask->done(ask->user, ask->e, &ask->status, &ask->msg);
    vault_members_free(&ask->members);
    idmap_free(&ask->group);
    free(ask);
}

static void on_account(void *user, enum err e, const struct wire_account *account,
                       const struct errmsg *msg)
{
    struct ask *ask = user;
    (void)msg;
    ask->status.standing_known = e == ERR_OK;
    if (e == ERR_OK) {
        ask->status.bytes_used = account->used_bytes;
        ask->status.bytes_given = account->given_bytes;
        ask->status.bytes_allowed = account->allowed_bytes;
    }
    work_submit(ask->vault->ports.work, ask->vault->lane, &ask->job);
}

static void fill_members(struct ask *ask)
{
    struct health_status *status = &ask->status;
    struct swarm_survey survey;
    swarm_survey(ask->vault->swarm, &survey);
    status->members = survey.members;
    status->own = survey.own;
    status->others = survey.domains;
    status->coordinator_up = swarm_coordinator_up(ask->vault->swarm);
    status->members_up = swarm_members_up(ask->vault->swarm);
}

enum err health_status_ask(struct vault *vault, health_status_fn *done, void *user,
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
    swarm_losses(vault->swarm, &ask->losses);
    if (!ask->status.coordinator_up || swarm_account(vault->swarm, on_account, ask, msg) != ERR_OK)
        work_submit(vault->ports.work, vault->lane, &ask->job);
    return ERR_OK;
}
