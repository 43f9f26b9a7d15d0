/*
 * Work off the loop: a pool for the CPU, and serial lanes (one a database, one a disk).
 *
 *     struct my_job { struct work_job job; ... };
 *     my->job.run = compute;     // on a worker thread; may block, may use disk and databases
 *     my->job.done = finished;   // on the loop thread, exactly once, never before work_submit
 * returns work_submit(work, lane, &my->job);
 *
 * Jobs of one lane run one after the other, in the order in which they were submitted; jobs of the
 * pool (lane NULL) run in any order and at once. Submitting never fails and never blocks: whoever
 * submits bounds how much. run() and done() give the caller a happens-before between threads, so a
 * job's fields need no lock. In the simulator a job runs inline when the loop takes it up, in a
 * seeded order between lanes.
 *
 * Loop thread only, but for work_post, which any thread may call to have `job->done` run on the
 * loop.
 */
#pragma once

#include "base/list.h"

struct work_job {
    void (*run)(struct work_job *job);  /* public */
    void (*done)(struct work_job *job); /* public; may free the job */
    struct list link;                   /* private */
    struct work_lane *lane;             /* private */
};

struct work_lane; /* opaque, owned by whoever made it */

struct work_ops {
    struct work_lane *(*lane_new)(void *context, const char *name);
    void (*lane_free)(void *context, struct work_lane *lane);
    void (*submit)(void *context, struct work_lane *lane, struct work_job *job);
    void (*post)(void *context, struct work_job *job);
    unsigned (*threads)(void *context);
};

struct work {
    const struct work_ops *ops;
    void *context;
};

/* NULL when out of memory. `name` is for thread names and traces. */
static inline struct work_lane *work_lane_new(const struct work *w, const char *name)
{
    return w->ops->lane_new(w->context, name);
}

/* Only when none of its jobs is under way. NULL does nothing. */
static inline void work_lane_free(const struct work *w, struct work_lane *lane)
{
    if (lane)
        w->ops->lane_free(w->context, lane);
}

static inline void work_submit(const struct work *w, struct work_lane *lane, struct work_job *job)
{
    w->ops->submit(w->context, lane, job);
}

/* From any thread: `job->done` runs on the loop; `job->run` is not used. */
static inline void work_post(const struct work *w, struct work_job *job)
{
    w->ops->post(w->context, job);
}

/* Threads of the CPU pool, at least 1: how many jobs are worth having under way. */
static inline unsigned work_threads(const struct work *w)
{
    return w->ops->threads(w->context);
}
