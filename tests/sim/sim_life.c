#include "sim_life_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    CHECK_EVERY_MS = 6 * HOUR_MS,
    CALM_DAYS = 4,
    IDLE_CLOSE_MS = 20 * MINUTE_MS, /* longer than a heartbeat: a hello a connection is enough */
    VAULT_EVERY = 10,               /* seeds */
    OWNER = 1,
    THIEF = 2,
    STRANGER = 3,
};

void life_say(struct sim_life *l, const char *format, ...)
{
    char line[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    sim_world_note(l->world, NULL, "%s", line);
    if (l->options.verbose)
        printf("day %7.3f  %s\n", (double)life_now_ms(l) / (double)DAY_MS, line);
}

void life_break(struct sim_life *l, const char *invariant, const char *format, ...)
{
    va_list arguments;
    if (l->result->broken)
        return;
    l->result->broken = true;
    snprintf(l->result->invariant, sizeof(l->result->invariant), "%s", invariant);
    const int used = snprintf(l->result->words, sizeof(l->result->words),
                              "day %.3f: ", (double)life_now_ms(l) / (double)DAY_MS);
    va_start(arguments, format);
    vsnprintf(l->result->words + used, sizeof(l->result->words) - (size_t)used, format, arguments);
    va_end(arguments);
    life_say(l, "BROKEN %s: %s", invariant, l->result->words);
}

int64_t life_now_s(const struct sim_life *l)
{
    return (SIM_WALL_START_NS + (int64_t)sim_world_now_ns(l->world)) / 1000000000;
}

void life_run(struct sim_life *l, uint64_t ms)
{
    if (!life_over(l) && sim_world_run(l->world, ms) != ERR_OK)
        life_break(l, "ENDLESS", "the events do not end");
}

/* What the code says; only a warning can matter here. */
static void on_log(void *context, enum log_level level, const char *line)
{
    struct sim_life *l = context;
    if (l->options.verbose && level <= LOG_WARN)
        printf("day %7.3f  | %s\n", (double)life_now_ms(l) / (double)DAY_MS, line);
    /* a repairer compares what it fetches with the segment's name before it sends it on */
    if (strstr(line, "was not stored: the bytes are not those"))
        life_break(l, "SOURCES", "wrong bytes were sent to be stored: %s", line);
}

/* --- the beginning --- */

static void on_receipt(void *user, unsigned segment, unsigned index, const struct id *cell)
{
    struct sim_life *l = user;
    const int number = sim_swarm_number(l->swarm, cell);
    if (number < 0)
        abort();
    promise_receipt(l, segment, index, (unsigned)number);
}

static void claim(struct sim_life *l, struct sim_device *device, unsigned cell, uint8_t household)
{
    if (cell >= l->options.cells || !life_runs(l, cell))
        return;
    if (sim_device_claim(device, cell, "a-code") != ERR_OK)
        abort();
    l->cells[cell].household = household;
}

static struct sim_life *begin(const struct sim_life_options *options,
                              struct sim_life_result *result)
{
    struct sim_life *l = calloc(1, sizeof(*l));
    if (!l)
        abort();
    l->options = *options;
    l->result = result;
    l->world = sim_world_new(options->seed);
    l->log = (struct log){.write = on_log, .context = l, .level_max = LOG_INFO};
    weather_draw(l);
    l->swarm_options.log = &l->log;
    l->swarm = sim_swarm_new(l->world, &l->swarm_options);
    for (unsigned c = 0; c < options->cells; c++) {
        l->cells[c].fate = life_runs(l, c) ? CELL_HERE : CELL_UNBORN;
        sim_net_set_idle_close(l->swarm->cells[c].node, IDLE_CLOSE_MS);
        l->watchers[c] = (struct sim_watcher){l, c};
        sim_net_tamper(l->swarm->cells[c].node, weather_watch, &l->watchers[c]);
    }
    sim_net_tamper(l->swarm->coordinator_node, promise_watch, l);
    l->owner = sim_device_new(l->swarm, OWNER);
    l->stranger = sim_device_new(l->swarm, STRANGER);
    if (l->has_intruders)
        l->thief = sim_device_add(l->owner, THIEF, MANIFEST_PUT | MANIFEST_READ | MANIFEST_DELETE);
    l->backup = sim_backup_new(l->owner);
    l->backup->receipted = on_receipt;
    l->backup->user = l;
    /* the owner has a box of his own, which gets none of his shards, and a neighbour has two */
    claim(l, l->owner, 6, 1);
    claim(l, l->stranger, 7, 2);
    claim(l, l->stranger, 8, 2);
    life_say(l, "%u+%u, %u segments of %u-byte shards", l->k, l->m, l->segments_wanted,
             l->shard_bytes);
    return l;
}

static void end(struct sim_life *l)
{
    for (unsigned c = 0; c < l->options.cells; c++) {
        struct cell_counters counters;
        sim_swarm_cell_counters(l->swarm, c, &counters);
        l->result->refused += counters.refused_count;
        l->result->proofs += counters.proof_count;
        sim_net_tamper(l->swarm->cells[c].node, NULL, NULL);
        sim_disk_image_free(l->cells[c].image);
    }
    sim_net_tamper(l->swarm->coordinator_node, NULL, NULL);
    l->result->segments = l->backup->count;
    if (!l->result->hash)
        l->result->hash = sim_world_hash(l->world);
    l->result->steps = sim_world_steps(l->world);
    sim_backup_free(l->backup);
    sim_device_free(l->thief);
    sim_device_free(l->stranger);
    sim_device_free(l->owner);
    sim_swarm_free(l->swarm);
    sim_world_free(l->world);
    free(l);
}

/* --- the owner --- */

static void add_segment(struct sim_life *l)
{
    const unsigned number = l->backup->count;
    struct sim_promise *p = &l->promises[number];
    *p = (struct sim_promise){.entered = false};
    const enum err e = sim_backup_add(l->backup, l->k, l->m, l->shard_bytes);
    life_say(l, "the owner stores segment %u: %s", number, err_name(e));
    if (e == ERR_OK)
        p->entered = true;
    for (unsigned i = 0; i < l->k + l->m && e == ERR_OK; i++) {
        bool kept = false;
        for (unsigned c = 0; c < l->options.cells; c++)
            kept |= p->named[i][c] = p->at[i][c] == PLACE_KEPT; /* till the directory is read */
        if (!kept)
            promise_excuse_one(l, number); /* a debt, which repair may pay */
    }
}

static void publish(struct sim_life *l)
{
    unsigned acks;
    const enum err e = sim_backup_publish(l->backup, ++l->head_sequence, &acks);
    life_say(l, "the owner publishes head %llu: %s, %u have it",
             (unsigned long long)l->head_sequence, err_name(e), acks);
}

static void delete_segment(struct sim_life *l)
{
    const unsigned s = (unsigned)life_below(l, l->backup->count);
    struct sim_promise *p = &l->promises[s];
    if (p->deleted)
        return;
    promise_look(l);
    const enum err e = sim_backup_delete(l->backup, s, ++l->order_sequence);
    life_say(l, "the owner deletes segment %u: %s", s, err_name(e));
    /* whether the coordinator has it or not: from now on nobody may rely on it */
    p->deleted = true;
    p->ends_ms = life_now_ms(l) + l->swarm_options.hold_s * 1000 - MINUTE_MS;
}

static void owner_acts(struct sim_life *l)
{
    const uint64_t lot = life_below(l, 10);
    if (l->backup->count < l->segments_wanted && lot < 7)
        add_segment(l);
    else if (lot < 9 || l->backup->count < 3)
        publish(l);
    else
        delete_segment(l);
}

/* --- the days --- */

static void check(struct sim_life *l)
{
    promise_check(l);
    l->checked_ms = life_now_ms(l);
}

static void pass(struct sim_life *l, uint64_t ms)
{
    const uint64_t until = life_now_ms(l) + ms;
    while (life_now_ms(l) < until && !life_over(l)) {
        uint64_t step = until - life_now_ms(l);
        life_run(l, step < HOUR_MS ? step : HOUR_MS);
        weather_tend(l);
        if (life_now_ms(l) >= l->checked_ms + CHECK_EVERY_MS)
            check(l);
    }
}

static void live(struct sim_life *l)
{
    const uint64_t end_ms = l->options.days * DAY_MS;
    while (life_now_ms(l) < end_ms && !life_over(l)) {
        pass(l, MINUTE_MS + life_below(l, 2 * l->pause_ms));
        const uint64_t lot = life_below(l, 20);
        if (life_over(l))
            break;
        if (lot < 11)
            weather_blow(l);
        else if (lot < 16)
            owner_acts(l);
        else if (l->has_intruders)
            intruder_try(l);
    }
}

/* --- the end of it --- */

/* As many cells are switched off as the segments bear, and sometimes the coordinator. */
static void last_blows(struct sim_life *l)
{
    for (unsigned i = 0; i < l->m; i++) {
        const unsigned c = (unsigned)life_below(l, l->options.cells);
        if (!life_runs(l, c) || !promise_bears(l, c, 0))
            continue;
        weather_stop(l, c, SIM_POWER, 0);
        l->cells[c].fate = CELL_DESTROYED;
        promise_lose(l, c, 0);
    }
    if (life_below(l, 2))
        sim_swarm_stop_coordinator(l->swarm, SIM_KILL);
}

static void restore(struct sim_life *l)
{
    for (unsigned s = 0; s < l->backup->count && !life_over(l); s++) {
        if (l->promises[s].deleted)
            continue;
        memset(l->backup->segments[s].holders, 0, sizeof(l->backup->segments[s].holders));
        const enum err e = sim_backup_read(l->backup, s);
        if (e == ERR_OK)
            l->result->restored++;
        else
            life_break(l, "RESTORE", "segment %u cannot be read any more: %s", s, err_name(e));
    }
}

void sim_life_run(const struct sim_life_options *options, struct sim_life_result *result)
{
    const clock_t began = clock();
    *result = (struct sim_life_result){.broken = false};
    struct sim_life *l = begin(options, result);
    live(l);
    if (!life_over(l)) {
        life_say(l, "the weather clears");
        weather_clear(l);
        pass(l, CALM_DAYS * DAY_MS);
    }
    if (!life_over(l)) {
        check(l);
        promise_check_whole(l);
    }
    if (!life_over(l)) {
        last_blows(l);
        restore(l);
    }
    if (!life_over(l) && options->seed % VAULT_EVERY == 0) {
        result->hash = sim_world_hash(l->world);
        vault_live(l);
    }
    end(l);
    result->cpu_s = (double)(clock() - began) / CLOCKS_PER_SEC;
}
