/*
 * How the cell is, for its owner: what the loop knows, and what the store's lane says.
 */
#include "cell_internal.h"

#include <stdlib.h>

struct reporting {
    struct work_job job;
    struct cell *cell;
    struct cell_report report;
    enum err e;
    struct errmsg msg;
    cell_reported_fn *reported;
    void *user;
};

static void run(struct work_job *job)
{
    struct reporting *r = container_of(job, struct reporting, job);
    struct store *store = r->cell->options.store;
    r->e = store_usage(store, &r->report.usage, &r->msg);
    if (r->e == ERR_OK)
        r->e = store_scrub_state(store, &r->report.scrub, &r->msg);
    if (r->e == ERR_OK)
        r->e = store_removal_state(store, &r->report.removal, &r->msg);
}

static void done(struct work_job *job)
{
    struct reporting *r = container_of(job, struct reporting, job);
    struct cell *cell = r->cell;
    struct cell_report *report = &r->report;
    report->now_s = clock_wall_ns(cell->options.clock) / 1000000000;
    report->scrub_next_s = cell_scrub_next_s(&report->scrub, cell->options.scrub_period_ms);
    report->coordinator_away = cell->coordinator_away;
    report->trust = cell->view.trust;
    report->fault_count = cell->view.fault_count;
    report->leaving = cell->leaving;
    report->drained = cell_drained(cell);
    report->left_known = cell->left_known;
    report->left_count = cell->left_count;
    report->stuck_count = cell->stuck_count;
    report->leaving_since_s = cell->leaving_since_s;
    cell_counters(cell, &report->counters);
    r->reported(r->user, r->e, report, &r->msg);
    free(r);
    cell_work_ended(cell);
}

enum err cell_report(struct cell *cell, cell_reported_fn *reported, void *user, struct errmsg *msg)
{
    if (cell->stopping)
        return err_say(msg, ERR_STATE, "the cell is stopping");
    struct reporting *r = calloc(1, sizeof(*r));
    if (!r)
        return err_say(msg, ERR_NOMEM, "out of memory for a report");
    *r = (struct reporting){
        .job = {.run = run, .done = done},
        .cell = cell,
        .reported = reported,
        .user = user,
    };
    cell_work_began(cell);
    work_submit(cell->options.work, cell->options.lane, &r->job);
    return ERR_OK;
}
