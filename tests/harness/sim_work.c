#include "harness/sim_work.h"

#include "harness/sim_internal.h"

#include <stdlib.h>

/* A lane keeps its order; the pool is a lane that does not. */
struct work_lane {
    struct list link;
    struct sim_work *work;
    struct list waiting; /* jobs to run */
    struct list ran;     /* jobs whose done() is owed */
    struct sim_event run, done;
    bool any_order;
};

struct sim_work {
    struct sim_node *node;
    uint64_t delay_max_us;
    size_t pending;
    struct work_lane pool;
    struct work_lane posted; /* only its `ran` is used */
    struct list lanes;       /* those of lane_new */
    uint64_t random_state[4];
};

static size_t length(const struct list *head)
{
    size_t count = 0;
    list_for_each(node, head) count++;
    return count;
}

static struct work_job *take(struct work_lane *lane, struct list *from)
{
    struct list *node = from->next;
    if (lane->any_order)
        for (uint64_t skip = sim_world_next(lane->work->random_state) % length(from); skip > 0;
             skip--)
            node = node->next;
    list_remove(node);
    return container_of(node, struct work_job, link);
}

static void wake(struct work_lane *lane, struct sim_event *event, uint64_t delay_max_us)
{
    if (sim_event_is_scheduled(event))
        return;
    uint64_t delay =
        delay_max_us ? sim_world_next(lane->work->random_state) % (1000 * delay_max_us + 1) : 0;
    sim_world_schedule(lane->work->node->world, event, delay);
}

static void run_one(struct sim_event *event)
{
    struct work_lane *lane = container_of(event, struct work_lane, run);
    struct work_job *job = take(lane, &lane->waiting);
    job->run(job);
    list_append(&lane->ran, &job->link);
    wake(lane, &lane->done, 0);
    if (!list_empty(&lane->waiting))
        wake(lane, &lane->run, lane->work->delay_max_us);
}

static void finish_one(struct sim_event *event)
{
    struct work_lane *lane = container_of(event, struct work_lane, done);
    struct work_job *job = take(lane, &lane->ran);
    if (!list_empty(&lane->ran))
        wake(lane, &lane->done, 0);
    lane->work->pending--;
    job->done(job); /* may free the job, and the lane when it was the last */
}

static void lane_init(struct sim_work *work, struct work_lane *lane, bool any_order)
{
    lane->work = work;
    lane->any_order = any_order;
    list_init(&lane->link);
    list_init(&lane->waiting);
    list_init(&lane->ran);
    lane->run = (struct sim_event){.run = run_one, .kind = "job", .node = work->node};
    lane->done = (struct sim_event){.run = finish_one, .kind = "job done", .node = work->node};
}

static struct work_lane *lane_new(void *context, const char *name)
{
    struct sim_work *work = context;
    (void)name;
    struct work_lane *lane = sim_world_alloc(sizeof(*lane));
    lane_init(work, lane, false);
    list_append(&work->lanes, &lane->link);
    return lane;
}

static void lane_free(void *context, struct work_lane *lane)
{
    (void)context;
    assert(list_empty(&lane->waiting) && list_empty(&lane->ran));
    list_remove(&lane->link);
    free(lane);
}

static void submit(void *context, struct work_lane *lane, struct work_job *job)
{
    struct sim_work *work = context;
    lane = lane ? lane : &work->pool;
    assert(lane->work == work && job->run && job->done);
    job->lane = lane;
    work->pending++;
    list_append(&lane->waiting, &job->link);
    wake(lane, &lane->run, work->delay_max_us);
}

static void post(void *context, struct work_job *job)
{
    struct sim_work *work = context;
    assert(job->done);
    job->lane = NULL;
    work->pending++;
    list_append(&work->posted.ran, &job->link);
    wake(&work->posted, &work->posted.done, 0);
}

static unsigned threads(void *context)
{
    (void)context;
    return 4;
}

struct sim_work *sim_work_new(struct sim_node *node)
{
    static const struct work_ops ops = {lane_new, lane_free, submit, post, threads};
    struct sim_work *work = sim_world_alloc(sizeof(*work));
    work->node = node;
    work->delay_max_us = SIM_WORK_DELAY_DEFAULT_US;
    list_init(&work->lanes);
    lane_init(work, &work->pool, true);
    lane_init(work, &work->posted, false);
    sim_world_seed_stream(work->random_state,
                          sim_world_seed(node->world) ^ (0x776f726bu + (uint64_t)node->index * 7));
    node->work = (struct work){.ops = &ops, .context = work};
    return work;
}

static bool drain_lane(struct sim_work *work, struct work_lane *lane)
{
    struct sim_event *events[] = {&lane->run, &lane->done};
    for (size_t i = 0; i < 2; i++)
        if (sim_event_is_scheduled(events[i])) {
            sim_world_run_now(work->node->world, events[i]);
            return true;
        }
    return false;
}

bool sim_work_drain_one(struct sim_work *work)
{
    if (drain_lane(work, &work->posted) || drain_lane(work, &work->pool))
        return true;
    list_for_each(node, &work->lanes) if (drain_lane(work, container_of(node, struct work_lane,
                                                                        link))) return true;
    return false;
}

void sim_work_free(struct sim_work *work)
{
    assert(work->pending == 0);
    assert(list_empty(&work->lanes)); /* the code under test has left a lane behind */
    free(work);
}

void sim_work_set_delay(struct sim_node *node, uint64_t max_us)
{
    node->sim_work->delay_max_us = max_us;
}

size_t sim_work_pending(const struct sim_node *node)
{
    return node->sim_work->pending;
}
