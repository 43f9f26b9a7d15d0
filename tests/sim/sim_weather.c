/*
 * Faults, drawn from the seed. Each has a rough edge that a home has: machines that reboot, sleep
 * for days, burn; disks that rot, fill up, fail to sync, or are not mounted; thin lines; clocks
 * that are a year off. None takes more than promise_bears() allows.
 */
#include "sim_life_internal.h"

#include "cell_internal.h"
#include "identity/receipt.h"
#include "store/store_internal.h"

#include <stdlib.h>

enum {
    TRIES = 8,
    START_AGAIN_MS = 30 * MINUTE_MS,
    LIARS_MAX = 1,
    BEATS_MS = 30 * MINUTE_MS, /* two heartbeats */
};

/* --- the climate --- */

static void draw_shapes(struct sim_life *l)
{
    /* some cells share a site, or a household (claimed later: sim_life.c) */
    const unsigned sites = (unsigned)life_below(l, 3);
    for (unsigned c = 0; c < l->options.cells; c++) {
        l->shapes[c] = (struct sim_cell_shape){.give_bytes = MIB(1) + life_below(l, MIB(64))};
        if (c < sites * 3)
            l->shapes[c].site[0] = (char)('a' + c % sites);
    }
}

static void draw_redundancy(struct sim_life *l)
{
    static const uint8_t levels[][2] = {{4, 4}, {4, 4}, {2, 2}, {2, 4}, {1, 2}, {8, 4}, {4, 2}};
    unsigned level;
    do
        level = (unsigned)life_below(l, ARRAY_COUNT(levels));
    while ((unsigned)levels[level][0] + levels[level][1] + 6 > l->options.cells && level != 4);
    l->k = levels[level][0];
    l->m = levels[level][1];
    l->segments_wanted = 4 + (unsigned)life_below(l, LIFE_SEGMENTS_MAX - 4);
    l->shard_bytes = l->options.seed % 500 == 0 ? 512 << 10 : 4096;
    if (l->options.seed % 500 == 0)
        l->segments_wanted = 4;
}

void weather_draw(struct sim_life *l)
{
    static const unsigned per_mille[FAULT_COUNT] = {
        [FAULT_POWER] = 800,     [FAULT_KILL] = 600,      [FAULT_RESTART] = 600,
        [FAULT_AWAY] = 500,      [FAULT_DESTROY] = 500,   [FAULT_ROT] = 500,
        [FAULT_PARTITION] = 400, [FAULT_SLOW] = 400,      [FAULT_LOSS] = 400,
        [FAULT_CLOCK] = 400,     [FAULT_FULL] = 300,      [FAULT_SYNC] = 300,
        [FAULT_LIAR] = 300,      [FAULT_UNMOUNTED] = 300, [FAULT_OLD_IMAGE] = 300,
        [FAULT_OUTAGE] = 400,    [FAULT_JOIN] = 500,      [FAULT_LEAVE] = 300,
        [FAULT_HALF] = 200,
    };
    for (unsigned f = 0; f < FAULT_COUNT; f++)
        l->has[f] = life_chance(l, per_mille[f]);
    l->has_intruders = life_chance(l, 700);
    l->pause_ms = (uint64_t)(1 + life_below(l, 12)) * HOUR_MS / 2;
    l->cut_after_receipt_per_mille = l->has[FAULT_POWER] ? (unsigned)life_below(l, 40) : 0;
    draw_shapes(l);
    draw_redundancy(l);
    l->swarm_options = (struct sim_swarm_options){
        .cells = l->options.cells,
        .joined = l->has[FAULT_JOIN] ? l->options.cells - 1 - (unsigned)life_below(l, 3) : 0,
        .asleep_after_ms = (uint64_t)4 * HOUR_MS,
        .gone_after_ms = (1 + life_below(l, 3)) * DAY_MS,
        .scrub_period_ms = (4 + life_below(l, 10)) * DAY_MS,
        .repair_percent = life_below(l, 2) ? 100 : 75,
        .lease_s = 3600,
        .hold_s = (2 + life_below(l, 8)) * 86400,
        .proof_period_ms = (6 + life_below(l, 42)) * HOUR_MS,
        .flush_ms = 20 * MINUTE_MS,
        .shapes = l->shapes,
    };
    l->swarm_options.audit_period_ms = l->swarm_options.proof_period_ms;
}

/* --- cells up and down --- */

void weather_stop(struct sim_life *l, unsigned cell, enum sim_death how, uint64_t back_after_ms)
{
    static const char *const words[] = {"stops", "is killed", "loses power"};
    struct sim_fortune *f = &l->cells[cell];
    if (!life_runs(l, cell))
        return;
    life_say(l, "cell %u %s for %.1f h", cell, words[how], (double)back_after_ms / HOUR_MS);
    sim_swarm_stop_cell(l->swarm, cell, how);
    f->back_ms = back_after_ms ? life_now_ms(l) + back_after_ms : 0;
    f->check |= how == SIM_POWER;
}

static void start(struct sim_life *l, unsigned cell)
{
    struct sim_fortune *f = &l->cells[cell];
    struct errmsg msg = {.text = ""};
    const enum err e = sim_swarm_launch_cell(l->swarm, cell, &msg);
    f->list_number = 0;
    for (unsigned i = 0; i < LIFE_TICKETS; i++) /* who asks anew gives back what he had */
        if (id_equal(&l->tickets[i].repairer, &l->swarm->cells[cell].node->id))
            l->tickets[i].repairer_died = false;
    if (e == ERR_OK) {
        f->back_ms = 0;
        f->started_ms = life_now_ms(l);
        if (f->leaving)
            cell_set_leaving(l->swarm->cells[cell].cell, true);
        life_say(l, "cell %u starts", cell);
        return;
    }
    /* a disk that is not there, or full: its owner looks at it some time later */
    f->back_ms = life_now_ms(l) + START_AGAIN_MS;
    life_say(l, "cell %u does not start: %s", cell, msg.text);
    if (!f->unmounted && !f->blamed && !f->calm_ms)
        life_break(l, "DURABLE", "cell %u cannot start again: %s", cell, msg.text);
}

static void mend(struct sim_life *l, unsigned cell)
{
    struct sim_fortune *f = &l->cells[cell];
    struct sim_node *node = l->swarm->cells[cell].node;
    f->calm_ms = 0;
    sim_net_set_line(node, &(struct sim_line){.latency_us = 500});
    sim_disk_set_capacity(node, 0);
    sim_disk_fail(node, 0, NULL, ERR_IO);
    if (f->unmounted)
        sim_disk_hide(node, false);
    f->unmounted = false;
    for (unsigned i = 0; i < sim_world_node_count(l->world); i++) {
        sim_net_mend(node, sim_world_node(l->world, i));
        sim_net_mend(sim_world_node(l->world, i), node);
    }
}

static void start_coordinator(struct sim_life *l)
{
    life_say(l, "the coordinator starts");
    l->coordinator_back_ms = 0;
    sim_swarm_start_coordinator(l->swarm);
}

/* It has run for long enough to beat, and its heartbeats come through. */
static bool is_heard(const struct sim_life *l, unsigned cell)
{
    return life_runs(l, cell) && !l->swarm->cells[cell].cell->coordinator_away &&
           life_now_ms(l) >= l->cells[cell].started_ms + BEATS_MS;
}

/* Who is silent for the grace time is gone, and its shards may be made anew: whether it was off all
   the time, or came back now and then for less than a heartbeat. */
static void tend_silence(struct sim_life *l)
{
    const uint64_t now = life_now_ms(l);
    const bool listens = l->swarm->coordinator != NULL;
    for (unsigned c = 0; c < l->options.cells; c++) {
        struct sim_fortune *f = &l->cells[c];
        if (f->fate != CELL_HERE)
            continue;
        if (listens && is_heard(l, c)) {
            f->silence_ms = 0;
            f->excused = false;
        } else if (listens || l->listened) {
            f->silence_ms += now - l->tended_ms;
        }
        if (!f->excused && f->silence_ms + 2 * HOUR_MS > l->swarm_options.gone_after_ms) {
            f->excused = f->was_gone = true;
            promise_excuse(l, c);
        }
    }
    l->tended_ms = now;
    l->listened = listens;
}

void weather_tend(struct sim_life *l)
{
    const uint64_t now = life_now_ms(l);
    tend_silence(l);
    if (l->coordinator_back_ms && now >= l->coordinator_back_ms)
        start_coordinator(l);
    for (unsigned c = 0; c < l->options.cells && !life_over(l); c++) {
        struct sim_fortune *f = &l->cells[c];
        if (f->calm_ms && now >= f->calm_ms)
            mend(l, c);
        if (f->fate == CELL_HERE && f->back_ms && now >= f->back_ms)
            start(l, c);
        if (f->leaving && life_runs(l, c) && cell_drained(l->swarm->cells[c].cell) &&
            f->fate == CELL_HERE && promise_bears(l, c, 0)) {
            life_say(l, "cell %u is drained and goes", c);
            f->fate = CELL_GONE;
            weather_stop(l, c, SIM_STOP, 0);
        }
    }
}

/* --- picking --- */

/* One that runs and is not in trouble already; -1 when there is none. */
static int pick_cell(struct sim_life *l)
{
    for (unsigned i = 0; i < TRIES; i++) {
        const unsigned c = (unsigned)life_below(l, l->options.cells);
        if (l->cells[c].fate == CELL_HERE && life_runs(l, c) && !l->cells[c].calm_ms &&
            !l->cells[c].liar)
            return (int)c;
    }
    return -1;
}

static uint64_t some_time(struct sim_life *l, uint64_t least_ms, uint64_t most_ms)
{
    return least_ms + life_below(l, most_ms - least_ms);
}

/* --- single faults; each gets a cell that runs --- */

static void blow_away(struct sim_life *l, unsigned c)
{
    const uint64_t grace = l->swarm_options.gone_after_ms;
    weather_stop(l, c, life_below(l, 2) ? SIM_STOP : SIM_POWER,
                 some_time(l, grace + HOUR_MS, 2 * grace + DAY_MS));
}

static void blow_destroy(struct sim_life *l, unsigned c)
{
    if (!promise_bears(l, c, 0))
        return;
    weather_stop(l, c, SIM_POWER, 0);
    life_say(l, "cell %u and its disk are destroyed", c);
    l->cells[c].fate = CELL_DESTROYED;
    l->cells[c].blamed = true;
    promise_lose(l, c, 0);
}

static void blow_rot(struct sim_life *l, unsigned c)
{
    char path[STORE_PATH_SIZE];
    const unsigned s = (unsigned)life_below(l, l->backup->count ? l->backup->count : 1);
    struct sim_promise *p = &l->promises[s];
    struct disk_info info;
    if (s >= l->backup->count || p->deleted || p->threatened)
        return;
    for (unsigned i = 0; i < l->k + l->m; i++) {
        if (p->at[i][c] != PLACE_KEPT || !promise_bears_one(l, s, i, c))
            continue;
        store_shard_path(&l->backup->segments[s].id, i, path);
        if (disk_info(&l->swarm->cells[c].node->disk, path, &info, NULL) != ERR_OK)
            return;
        if (sim_disk_rot(l->swarm->cells[c].node, path, life_below(l, info.size_bytes), 1) !=
            ERR_OK)
            return;
        life_say(l, "cell %u: shard %u of segment %u rots", c, i, s);
        p->at[i][c] = PLACE_ROTTEN;
        l->cells[c].blamed = true;
        promise_excuse_one(l, s);
        return;
    }
}

static void blow_partition(struct sim_life *l, unsigned c)
{
    struct sim_node *group[SIM_SWARM_CELLS_MAX];
    const uint64_t until = life_now_ms(l) + some_time(l, MINUTE_MS, 12 * (uint64_t)HOUR_MS);
    const unsigned size = 1 + (unsigned)life_below(l, l->options.cells / 3);
    unsigned count = 0;
    for (unsigned i = 0; i < size; i++) {
        const unsigned member = (c + i) % l->options.cells;
        if (l->cells[member].calm_ms)
            continue;
        l->cells[member].calm_ms = until;
        group[count++] = l->swarm->cells[member].node;
    }
    life_say(l, "%u cells from %u on are cut off", count, c);
    sim_net_partition(group, count);
}

static void blow_line(struct sim_life *l, unsigned c, bool slow)
{
    const struct sim_line line = {
        .latency_us = slow ? some_time(l, 10000, 800000) : 500,
        .jitter_us = slow ? 20000 : 0,
        .up_bytes_s = slow ? some_time(l, 2000, 100000) : 0,
        .down_bytes_s = slow ? some_time(l, 20000, 1000000) : 0,
        .break_per_million = slow ? 0 : some_time(l, 100, 50000),
    };
    life_say(l, "cell %u has a %s line", c, slow ? "slow" : "bad");
    sim_net_set_line(l->swarm->cells[c].node, &line);
    l->cells[c].calm_ms = life_now_ms(l) + some_time(l, HOUR_MS, 2 * DAY_MS);
}

static void blow_clock(struct sim_life *l, unsigned c)
{
    const int64_t most[] = {HOUR_MS, (int64_t)DAY_MS, 366 * (int64_t)DAY_MS};
    const int64_t delta = (int64_t)life_below(l, (uint64_t)most[life_below(l, 3)]);
    const bool back = life_below(l, 2) == 0;
    life_say(l, "cell %u's clock jumps by %s%.1f h", c, back ? "-" : "", (double)delta / HOUR_MS);
    sim_node_clock_jump(l->swarm->cells[c].node, back ? -delta : delta);
    if (life_below(l, 4) == 0)
        sim_node_clock_drift(l->swarm->cells[c].node, (int64_t)life_below(l, 2000) - 1000);
}

static void blow_full(struct sim_life *l, unsigned c)
{
    struct sim_disk_counters counters;
    sim_disk_counters(l->swarm->cells[c].node, &counters);
    life_say(l, "cell %u's disk is full", c);
    sim_disk_set_capacity(l->swarm->cells[c].node, counters.used_bytes + life_below(l, 65536));
    l->cells[c].calm_ms = life_now_ms(l) + some_time(l, HOUR_MS, DAY_MS);
}

/* Syncs fail from the next one on; somebody looks at the machine and starts it again. */
static void blow_sync(struct sim_life *l, unsigned c)
{
    life_say(l, "cell %u's disk fails to sync", c);
    l->sync_fault = FAULT_INIT(0, true);
    sim_disk_fail(l->swarm->cells[c].node, SIM_DISK_SYNC, &l->sync_fault, ERR_IO);
    const enum err e = sim_world_run(l->world, some_time(l, MINUTE_MS, 3 * (uint64_t)HOUR_MS));
    if (e != ERR_OK)
        life_break(l, "ENDLESS", "the events do not end");
    weather_stop(l, c, SIM_POWER, some_time(l, MINUTE_MS, HOUR_MS));
    mend(l, c);
}

static void blow_liar(struct sim_life *l, unsigned c)
{
    for (unsigned i = 0; i < l->options.cells; i++)
        if (l->cells[i].liar)
            return;
    if (!promise_bears(l, c, 0))
        return;
    life_say(l, "cell %u begins to lie", c);
    l->cells[c].liar = l->cells[c].blamed = true;
    promise_excuse(l, c);
}

static void blow_unmounted(struct sim_life *l, unsigned c)
{
    const uint64_t until = some_time(l, HOUR_MS, l->swarm_options.gone_after_ms - HOUR_MS);
    if (!l->swarm->cells[c].was_member)
        return; /* its first start would make itself a store on what lies below the mount point */
    weather_stop(l, c, SIM_STOP, MINUTE_MS);
    life_say(l, "cell %u's disk is not mounted", c);
    sim_disk_hide(l->swarm->cells[c].node, true);
    l->cells[c].unmounted = true;
    l->cells[c].calm_ms = life_now_ms(l) + until;
}

static void blow_old_image(struct sim_life *l, unsigned c)
{
    struct sim_fortune *f = &l->cells[c];
    if (!f->image) { /* a backup of the machine, for later */
        weather_stop(l, c, SIM_STOP, MINUTE_MS);
        sim_disk_sync_all(l->swarm->cells[c].node);
        f->image = sim_disk_save(l->swarm->cells[c].node);
        f->image_ms = life_now_ms(l);
        return;
    }
    if (!promise_bears(l, c, f->image_ms))
        return;
    weather_stop(l, c, SIM_POWER, some_time(l, MINUTE_MS, HOUR_MS));
    life_say(l, "cell %u comes back with its disk as it was on day %.1f", c,
             (double)f->image_ms / (double)DAY_MS);
    sim_disk_load(l->swarm->cells[c].node, f->image);
    f->blamed = true;
    f->knows_revocation = false;
    l->head_seen[c] = 0;
    promise_lose(l, c, f->image_ms);
}

static void blow_outage(struct sim_life *l)
{
    if (!l->swarm->coordinator)
        return;
    const uint64_t most = life_below(l, 4) ? 6 * (uint64_t)HOUR_MS : 6 * DAY_MS;
    const uint64_t until = some_time(l, MINUTE_MS, most);
    life_say(l, "the coordinator is away for %.1f h", (double)until / HOUR_MS);
    promise_look(l);
    sim_swarm_stop_coordinator(l->swarm, life_below(l, 2) ? SIM_POWER : SIM_KILL);
    l->coordinator_back_ms = life_now_ms(l) + until;
}

static void blow_join(struct sim_life *l)
{
    for (unsigned c = 0; c < l->options.cells; c++)
        if (l->cells[c].fate == CELL_UNBORN) {
            l->cells[c].fate = CELL_HERE;
            start(l, c);
            return;
        }
}

static void blow_leave(struct sim_life *l, unsigned c)
{
    for (unsigned i = 0; i < l->options.cells; i++)
        if (l->cells[i].leaving)
            return;
    life_say(l, "cell %u wants to leave", c);
    l->cells[c].leaving = true;
    promise_excuse(l, c);
    cell_set_leaving(l->swarm->cells[c].cell, true);
}

static void blow_half(struct sim_life *l)
{
    for (unsigned c = 0; c < l->options.cells; c++)
        if (l->cells[c].fate == CELL_HERE && life_below(l, 2))
            weather_stop(l, c, SIM_POWER,
                         some_time(l, MINUTE_MS, l->swarm_options.gone_after_ms - 2 * HOUR_MS));
}

static void blow_on(struct sim_life *l, enum sim_fault fault, unsigned c)
{
    static const enum sim_death deaths[] = {
        [FAULT_POWER] = SIM_POWER, [FAULT_KILL] = SIM_KILL, [FAULT_RESTART] = SIM_STOP};
    switch (fault) {
    case FAULT_POWER:
    case FAULT_KILL:
    case FAULT_RESTART:
        weather_stop(l, c, deaths[fault], some_time(l, MINUTE_MS, 12 * (uint64_t)HOUR_MS));
        break;
    case FAULT_AWAY:
        blow_away(l, c);
        break;
    case FAULT_DESTROY:
        blow_destroy(l, c);
        break;
    case FAULT_ROT:
        blow_rot(l, c);
        break;
    case FAULT_PARTITION:
        blow_partition(l, c);
        break;
    case FAULT_SLOW:
    case FAULT_LOSS:
        blow_line(l, c, fault == FAULT_SLOW);
        break;
    case FAULT_CLOCK:
        blow_clock(l, c);
        break;
    case FAULT_FULL:
        blow_full(l, c);
        break;
    case FAULT_SYNC:
        blow_sync(l, c);
        break;
    case FAULT_LIAR:
        blow_liar(l, c);
        break;
    case FAULT_UNMOUNTED:
        blow_unmounted(l, c);
        break;
    case FAULT_OLD_IMAGE:
        blow_old_image(l, c);
        break;
    case FAULT_LEAVE:
        blow_leave(l, c);
        break;
    default:
        break;
    }
}

void weather_blow(struct sim_life *l)
{
    const enum sim_fault fault = (enum sim_fault)life_below(l, FAULT_COUNT);
    const int cell = pick_cell(l);
    if (!l->has[fault])
        return;
    l->result->faults++;
    if (fault == FAULT_OUTAGE)
        blow_outage(l);
    else if (fault == FAULT_JOIN)
        blow_join(l);
    else if (fault == FAULT_HALF)
        blow_half(l);
    else if (cell >= 0)
        blow_on(l, fault, (unsigned)cell);
}

/* --- what a cell says --- */

struct cut {
    struct sim_life *l;
    unsigned cell;
};

static void cut_power(void *user)
{
    struct cut *cut = user;
    struct sim_life *l = cut->l;
    const unsigned cell = cut->cell;
    free(cut);
    weather_stop(l, cell, SIM_POWER, some_time(l, MINUTE_MS, HOUR_MS));
}

void weather_watch(void *user, const char *path, uint64_t offset, uint8_t *bytes, size_t size)
{
    struct sim_watcher *watcher = user;
    struct sim_life *l = watcher->l;
    if (strncmp(path, "/v1/shards/", 11) != 0)
        return;
    const bool receipt = offset == 0 && size < RECEIPT_BYTES_MAX;
    if (l->cells[watcher->cell].liar && !receipt && offset + size > 64)
        bytes[size / 2] ^= 1;
    if (!receipt || !life_chance(l, l->cut_after_receipt_per_mille))
        return;
    struct cut *cut = malloc(sizeof(*cut));
    if (!cut)
        abort();
    *cut = (struct cut){l, watcher->cell};
    sim_world_plan(l->world, life_below(l, 3), cut_power, cut);
}

/* --- the end of it --- */

void weather_clear(struct sim_life *l)
{
    memset(l->has, 0, sizeof(l->has));
    l->cut_after_receipt_per_mille = 0;
    l->replay_until_ms = 0;
    if (!l->swarm->coordinator)
        start_coordinator(l);
    sim_net_heal(l->world);
    for (unsigned c = 0; c < l->options.cells && !life_over(l); c++) {
        struct sim_fortune *f = &l->cells[c];
        if (f->fate != CELL_HERE)
            continue;
        mend(l, c);
        f->liar = false;
        if (!life_runs(l, c))
            start(l, c);
    }
}
