/*
 * The scrub: one shard at a time, spread over the period, on the store's lane.
 *
 * The pause after a shard is its part of the period by bytes, so a cell with much finishes in time
 * and one with little does not read its disk all day. Damage goes into quarantine (store/) and is
 * told to the coordinator with the next heartbeat.
 */
#include "cell_internal.h"

enum { SCRUB_PAUSE_MIN_MS = 20, SCRUB_PAUSE_MAX_MS = 600000 };

static void set_timer(struct cell *cell, uint64_t delay_ms)
{
    if (!cell->stopping && timer_start(cell->options.clock, &cell->scrub_timer, delay_ms) != ERR_OK)
        log_say(cell->options.log, LOG_WARN, "the scrub cannot go on: no memory for a timer");
}

static uint64_t pause_ms(const struct cell *cell)
{
    const uint64_t used = cell->usage.used_bytes ? cell->usage.used_bytes : 1;
    if (cell->scrub.cycle_done)
        return SCRUB_PAUSE_MAX_MS;
    const double share = (double)cell->scrub.bytes / (double)used;
    const double pause = share * (double)cell->options.scrub_period_ms;
    if (pause < SCRUB_PAUSE_MIN_MS)
        return SCRUB_PAUSE_MIN_MS;
    return pause > SCRUB_PAUSE_MAX_MS ? SCRUB_PAUSE_MAX_MS : (uint64_t)pause;
}

static void run(struct work_job *job)
{
    struct cell *cell = container_of(job, struct cell, scrub_job);
    struct errmsg msg;
    const int64_t now_s = cell->scrub_now_s;
    cell->scrub_result = store_scrub_step(cell->options.store, now_s, &cell->scrub, &msg);
    if (cell->scrub_result != ERR_OK)
        log_say(cell->options.log, LOG_ERROR, "the scrub stops for now: %s", msg.text);
}

static void done(struct work_job *job)
{
    struct cell *cell = container_of(job, struct cell, scrub_job);
    if (cell->scrub_result == ERR_OK && cell->scrub.cycle_done)
        log_say(cell->options.log, LOG_DEBUG, "the scrub has read every shard once");
    cell->damage.news |= cell->scrub_result == ERR_OK && cell->scrub.found_damage;
    set_timer(cell, cell->scrub_result == ERR_OK ? pause_ms(cell) : SCRUB_PAUSE_MAX_MS);
    cell_work_ended(cell);
}

static void fire(struct timer *timer)
{
    struct cell *cell = container_of(timer, struct cell, scrub_timer);
    cell->scrub_now_s = clock_wall_ns(cell->options.clock) / 1000000000;
    cell->scrub_job.run = run;
    cell->scrub_job.done = done;
    cell_work_began(cell);
    work_submit(cell->options.work, cell->options.lane, &cell->scrub_job);
}

void cell_scrub_start(struct cell *cell)
{
    if (!cell->options.scrub_period_ms)
        return;
    cell->scrub_timer.fire = fire;
    set_timer(cell, SCRUB_PAUSE_MIN_MS);
}

void cell_scrub_stop(struct cell *cell)
{
    timer_stop(cell->options.clock, &cell->scrub_timer);
}
