/*
 * Of this room only. An operation's state machine: whatever happens is noted in the operation and
 * wakes its task; the task's step then runs once, from the loop, and is the only place where the
 * operation goes on, ends and frees itself. So no callback is ever called from inside a call of the
 * user's, nothing recurses, and nothing is freed under somebody's feet.
 */
#pragma once

#include "base/list.h"
#include "port/work.h"

struct swarm;

struct swarm_task {
    struct swarm *swarm;
    void (*step)(struct swarm_task *task); /* may end the task and free what it is in */
    struct work_job job;
    struct list ticking; /* in swarm->ticking */
    bool posted;
    bool ended;
};

/* Counts as an operation of the swarm until swarm_task_end(). */
void swarm_task_begin(struct swarm_task *task, struct swarm *swarm,
                      void (*step)(struct swarm_task *task));
void swarm_task_wake(struct swarm_task *task);
/* From inside step(), last but for freeing, and not when it was woken since (`posted`): then the
   next step is the last one. */
void swarm_task_end(struct swarm_task *task);

/* From now on it is woken every SWARM_TICK_MS too. */
enum { SWARM_TICK_MS = 50 };
void swarm_task_tick(struct swarm_task *task);
