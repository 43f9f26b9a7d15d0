#include "swarm/swarm_internal.h"

#include <assert.h>

static void run_step(struct work_job *job)
{
    struct swarm_task *task = container_of(job, struct swarm_task, job);
    task->posted = false;
    task->step(task);
}

void swarm_task_begin(struct swarm_task *task, struct swarm *swarm,
                      void (*step)(struct swarm_task *task))
{
    *task = (struct swarm_task){.swarm = swarm, .step = step, .job = {.done = run_step}};
    list_init(&task->ticking);
    swarm->operations++;
}

void swarm_task_wake(struct swarm_task *task)
{
    if (task->posted || task->ended)
        return;
    task->posted = true;
    work_post(task->swarm->work, &task->job);
}

void swarm_task_end(struct swarm_task *task)
{
    assert(!task->posted && !task->ended && task->swarm->operations > 0);
    task->ended = true;
    list_remove(&task->ticking);
    task->swarm->operations--;
}

void swarm_task_wake_all(struct swarm *swarm)
{
    for (struct list *at = swarm->ticking.next; at != &swarm->ticking; at = at->next)
        swarm_task_wake(container_of(at, struct swarm_task, ticking));
}

static void tick(struct timer *timer)
{
    struct swarm *swarm = container_of(timer, struct swarm, ticker);
    swarm->ticker_runs = false;
    swarm_task_wake_all(swarm);
    if (!list_empty(&swarm->ticking))
        swarm->ticker_runs = timer_start(swarm->clock, &swarm->ticker, SWARM_TICK_MS) == ERR_OK;
}

void swarm_task_tick(struct swarm_task *task)
{
    struct swarm *swarm = task->swarm;
    if (list_empty(&task->ticking))
        list_append(&swarm->ticking, &task->ticking);
    if (!swarm->ticker_runs) {
        swarm->ticker.fire = tick;
        swarm->ticker_runs = timer_start(swarm->clock, &swarm->ticker, SWARM_TICK_MS) == ERR_OK;
    }
}
