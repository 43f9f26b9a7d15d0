/*
 * The scrub: one shard at a time, spread over the period, on the store's lane.
 *
 *     shard, pause, shard, pause ... all read once ── rest until the period is over ── again
 *
 * The pause after a shard is its part of the period by bytes, one half to one and a half times that
 * by lot, so a cell with much finishes in time, one with little does not read its disk all day, and
 * no two cells stay in step. A cycle is as long as the period at the most; what is left of it is
 * rest. Both outlive a restart (store/ keeps where the cycle is). Damage goes into quarantine
 * (store/) and is told to the coordinator with the next heartbeat.
 */
#include "cell_internal.h"

enum { SCRUB_PAUSE_MIN_MS = 20, SCRUB_PAUSE_MAX_MS = 600000, SCRUB_LOOK_MS = 6 * 3600000 };

static void set_timer(struct cell *cell, uint64_t delay_ms)
{
    if (!cell->stopping && timer_start(cell->options.clock, &cell->scrub_timer, delay_ms) != ERR_OK)
        log_say(cell->options.log, LOG_WARN, "the scrub cannot go on: no memory for a timer");
}

int64_t cell_scrub_next_s(const struct store_scrub_state *state, uint64_t period_ms)
{
    const int64_t began_s = state->cycle_began_s ? state->cycle_began_s : state->last_cycle_began_s;
    return period_ms && began_s ? began_s + (int64_t)(period_ms / 1000) : 0;
}

static uint64_t pause_ms(const struct cell *cell)
{
    const uint64_t used = cell->usage.used_bytes ? cell->usage.used_bytes : 1;
    const double lot = 0.5 + (double)random_below(cell->options.random, 1024) / 1024;
    const double share = (double)cell->scrub.bytes / (double)used;
    const double pause = share * (double)cell->options.scrub_period_ms * lot;
    if (pause < SCRUB_PAUSE_MIN_MS)
        return SCRUB_PAUSE_MIN_MS;
    return pause > SCRUB_PAUSE_MAX_MS ? SCRUB_PAUSE_MAX_MS : (uint64_t)pause;
}

/* Until the next cycle is due; 0: it is, or one is running. A clock that was set back does not put
   it off for ever. */
static uint64_t rest_ms(const struct cell *cell, const struct store_scrub_state *state)
{
    const int64_t next_s = cell_scrub_next_s(state, cell->scrub_job_period_ms);
    const int64_t now_s = cell->scrub_now_s;
    if (state->cycle_began_s || state->last_cycle_began_s == 0 || next_s <= now_s ||
        state->last_cycle_ended_s > now_s)
        return 0;
    return (uint64_t)(next_s - now_s) * 1000;
}

static void run(struct work_job *job)
{
    struct cell *cell = container_of(job, struct cell, scrub_job);
    struct store *store = cell->options.store;
    struct store_scrub_state state;
    struct errmsg msg;
    cell->scrub = (struct store_scrub){0};
    cell->scrub_rest_ms = 0;
    cell->scrub_result = store_scrub_state(store, &state, &msg);
    if (cell->scrub_result == ERR_OK)
        cell->scrub_rest_ms = rest_ms(cell, &state);
    if (cell->scrub_result == ERR_OK && cell->scrub_rest_ms == 0)
        cell->scrub_result = store_scrub_step(store, cell->scrub_now_s, &cell->scrub, &msg);
    if (cell->scrub_result != ERR_OK)
        log_say(cell->options.log, LOG_ERROR, "the scrub stops for now: %s", msg.text);
}

static void done(struct work_job *job)
{
    struct cell *cell = container_of(job, struct cell, scrub_job);
    uint64_t delay_ms = SCRUB_PAUSE_MAX_MS;
    cell->scrub_busy = false;
    if (cell->scrub_result == ERR_OK && cell->scrub_rest_ms)
        delay_ms = cell->scrub_rest_ms < SCRUB_LOOK_MS ? cell->scrub_rest_ms : SCRUB_LOOK_MS;
    else if (cell->scrub_result == ERR_OK)
        delay_ms = cell->scrub.cycle_done ? SCRUB_PAUSE_MIN_MS : pause_ms(cell);
    if (cell->scrub_result == ERR_OK && cell->scrub.cycle_done)
        log_say(cell->options.log, LOG_INFO, "the scrub has read every shard once");
    cell->damage.news |= cell->scrub_result == ERR_OK && cell->scrub.found_damage;
    if (cell->options.scrub_period_ms)
        set_timer(cell, delay_ms);
    cell_work_ended(cell);
}

static void fire(struct timer *timer)
{
    struct cell *cell = container_of(timer, struct cell, scrub_timer);
    cell->scrub_now_s = clock_wall_ns(cell->options.clock) / 1000000000;
    cell->scrub_job_period_ms = cell->options.scrub_period_ms;
    cell->scrub_busy = true;
    cell->scrub_job.run = run;
    cell->scrub_job.done = done;
    cell_work_began(cell);
    work_submit(cell->options.work, cell->options.lane, &cell->scrub_job);
}

void cell_scrub_start(struct cell *cell)
{
    cell->scrub_timer.fire = fire;
    if (cell->options.scrub_period_ms)
        set_timer(cell, SCRUB_PAUSE_MIN_MS);
}

void cell_scrub_stop(struct cell *cell)
{
    timer_stop(cell->options.clock, &cell->scrub_timer);
}

void cell_set_limits(struct cell *cell, uint64_t scrub_period_ms, uint64_t repair_bytes_s)
{
    cell->options.repair_bytes_s = repair_bytes_s ? repair_bytes_s : CELL_REPAIR_BYTES_S;
    if (scrub_period_ms == cell->options.scrub_period_ms)
        return;
    cell->options.scrub_period_ms = scrub_period_ms;
    if (scrub_period_ms == 0)
        timer_stop(cell->options.clock, &cell->scrub_timer);
    else if (!cell->scrub_busy)
        set_timer(cell, SCRUB_PAUSE_MIN_MS);
}
