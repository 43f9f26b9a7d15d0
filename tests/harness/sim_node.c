#include "harness/sim_disk.h"
#include "harness/sim_internal.h"
#include "harness/sim_net.h"

#include <stdio.h>
#include <stdlib.h>

struct sim_clock {
    struct sim_node *node;
    uint64_t boot_ns; /* the monotonic clock's zero */
    int64_t wall_ns;  /* at wall_since_ns */
    uint64_t wall_since_ns;
    int64_t drift_per_million;
    bool powerless; /* since the last start */
    struct list timers;
    unsigned timer_count;
};

struct sim_timer {
    struct sim_event event;
    struct list link;
    struct timer *timer;
};

static int64_t wall_ns(void *context)
{
    struct sim_clock *clock = context;
    int64_t passed = (int64_t)(sim_world_now_ns(clock->node->world) - clock->wall_since_ns);
    return clock->wall_ns + passed + passed / 1000000 * clock->drift_per_million;
}

static uint64_t mono_ns(void *context)
{
    struct sim_clock *clock = context;
    return sim_world_now_ns(clock->node->world) - clock->boot_ns;
}

static void drop_timer(struct sim_clock *clock, struct sim_timer *t)
{
    sim_world_unschedule(clock->node->world, &t->event);
    list_remove(&t->link);
    clock->timer_count--;
    t->timer->impl = NULL;
    free(t);
}

static void fire(struct sim_event *event)
{
    struct sim_timer *t = container_of(event, struct sim_timer, event);
    struct timer *timer = t->timer;
    drop_timer(event->node->sim_clock, t);
    timer->fire(timer);
}

static enum err start_timer(void *context, struct timer *timer, uint64_t delay_ms)
{
    struct sim_clock *clock = context;
    if (!clock->node->alive)
        return ERR_OK; /* a dead process's timer never fires */
    struct sim_timer *t = timer->impl;
    if (!t) {
        t = sim_world_alloc(sizeof(*t));
        t->timer = timer;
        t->event = (struct sim_event){.run = fire, .kind = "timer", .node = clock->node};
        list_append(&clock->timers, &t->link);
        clock->timer_count++;
        timer->impl = t;
    }
    uint64_t limit = UINT64_MAX / 4 / 1000000;
    sim_world_schedule(clock->node->world, &t->event,
                       1000000 * (delay_ms < limit ? delay_ms : limit));
    return ERR_OK;
}

static void stop_timer(void *context, struct timer *timer)
{
    if (timer->impl)
        drop_timer(context, timer->impl);
}

static void drop_timers(struct sim_clock *clock)
{
    while (!list_empty(&clock->timers))
        drop_timer(clock, container_of(clock->timers.next, struct sim_timer, link));
}

static void fill_random(void *context, void *out, size_t size)
{
    struct sim_node *node = context;
    for (uint8_t *at = out; size > 0;) {
        uint64_t value = sim_world_next(node->random_state);
        size_t part = size < 8 ? size : 8;
        memcpy(at, &value, part);
        at += part;
        size -= part;
    }
}

static bool all_zero(const uint8_t *bytes, size_t size)
{
    uint8_t any = 0;
    for (size_t i = 0; i < size; i++)
        any |= bytes[i];
    return any == 0;
}

struct sim_node *sim_node_new(struct sim_world *world, const struct sim_identity *identity)
{
    static const struct clock_ops clock_ops = {wall_ns, mono_ns, start_timer, stop_timer};
    struct sim_node *node = sim_world_alloc(sizeof(*node));
    node->world = world;
    node->index = sim_world_add_node(world, node);
    if (identity->name)
        (void)snprintf(node->name, sizeof(node->name), "%s", identity->name);
    else
        (void)snprintf(node->name, sizeof(node->name), "node%u", node->index);
    node->alive = true;
    sim_world_seed_stream(node->random_state,
                          sim_world_seed(world) + 0x6e6f6465u * (node->index + (uint64_t)1));
    node->random = (struct random){.fill = fill_random, .context = node};
    node->id = identity->id;
    memcpy(node->key, identity->key, sizeof(node->key));
    if (all_zero(node->id.bytes, ID_SIZE))
        fill_random(node, node->id.bytes, ID_SIZE);
    if (all_zero(node->key, sizeof(node->key)))
        fill_random(node, node->key, sizeof(node->key));

    struct sim_clock *clock = sim_world_alloc(sizeof(*clock));
    clock->node = node;
    clock->boot_ns = clock->wall_since_ns = sim_world_now_ns(world);
    clock->wall_ns = SIM_WALL_START_NS + (int64_t)clock->wall_since_ns;
    list_init(&clock->timers);
    node->sim_clock = clock;
    node->clock = (struct clock){.ops = &clock_ops, .context = clock};
    node->sim_work = sim_work_new(node);
    node->sim_disk = sim_disk_new(node);
    node->sim_vfs = sim_vfs_new(node);
    node->sim_net = sim_net_new(node);
    if (identity->address)
        sim_net_add_address(node, identity->address);
    return node;
}

void sim_node_crash(struct sim_node *node, enum sim_death how)
{
    if (node->alive) {
        node->alive = false;
        sim_world_note(node->world, node, "%s",
                       how == SIM_STOP   ? "stops"
                       : how == SIM_KILL ? "is killed"
                                         : "loses power");
        sim_disk_down(node->sim_disk);
        drop_timers(node->sim_clock);
        sim_net_down(node->sim_net, how == SIM_POWER);
        for (unsigned long rounds = 0;
             sim_work_drain_one(node->sim_work) || sim_net_drain_one(node->sim_net); rounds++)
            assert(rounds < 10 * 1000 * 1000); /* the code starts new work for ever */
        drop_timers(node->sim_clock);
    }
    if (how == SIM_POWER) {
        sim_disk_crash(node);
        node->sim_clock->powerless = true;
    }
}

void sim_node_stop(struct sim_node *node)
{
    sim_node_crash(node, SIM_STOP);
}

void sim_node_start(struct sim_node *node)
{
    assert(!node->alive);
    node->alive = true;
    if (node->sim_clock->powerless)
        node->sim_clock->boot_ns = sim_world_now_ns(node->world);
    node->sim_clock->powerless = false;
    sim_world_note(node->world, node, "starts");
    sim_disk_up(node->sim_disk);
    sim_net_up(node->sim_net);
}

static void set_wall(struct sim_clock *clock, int64_t value)
{
    clock->wall_ns = value;
    clock->wall_since_ns = sim_world_now_ns(clock->node->world);
}

void sim_node_clock_jump(struct sim_node *node, int64_t delta_ms)
{
    sim_world_note(node->world, node, "clock jumps by %lld ms", (long long)delta_ms);
    set_wall(node->sim_clock, wall_ns(node->sim_clock) + delta_ms * 1000000);
}

void sim_node_clock_drift(struct sim_node *node, int64_t per_million)
{
    set_wall(node->sim_clock, wall_ns(node->sim_clock));
    node->sim_clock->drift_per_million = per_million;
}

unsigned sim_node_timers(const struct sim_node *node)
{
    return node->sim_clock->timer_count;
}
