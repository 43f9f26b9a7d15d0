/* sim_world, sim_node, sim_work: order, time, determinism, death. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/sim_work.h"

#include "base/bytes.h"

#include <stdlib.h>

struct record {
    int order[64];
    int count;
};

struct numbered_job {
    struct work_job job;
    struct record *ran, *done;
    int number;
};

static void run_job(struct work_job *job)
{
    struct numbered_job *n = container_of(job, struct numbered_job, job);
    n->ran->order[n->ran->count++] = n->number;
}

static void done_job(struct work_job *job)
{
    struct numbered_job *n = container_of(job, struct numbered_job, job);
    n->done->order[n->done->count++] = n->number;
}

static bool all_done(void *user)
{
    return ((struct record *)user)->count == 20;
}

/* 10 jobs in each of two lanes (or in the pool); returns the world's hash. */
static uint64_t run_lanes(uint64_t seed, bool pool, struct record *ran, struct record *done)
{
    struct sim_world *world = sim_world_new(seed);
    struct sim_node *node = sim_node_new(world, &(struct sim_identity){.name = "n"});
    struct work_lane *lanes[2] = {NULL, NULL};
    for (int i = 0; i < 2 && !pool; i++)
        lanes[i] = work_lane_new(&node->work, "lane");
    struct numbered_job jobs[20];
    *ran = *done = (struct record){.count = 0};
    for (int i = 0; i < 20; i++) {
        jobs[i] = (struct numbered_job){
            .job = {.run = run_job, .done = done_job}, .ran = ran, .done = done, .number = i};
        work_submit(&node->work, lanes[i % 2], &jobs[i].job);
    }
    assert_int_equal(ran->count, 0); /* never before work_submit returns */
    assert_int_equal(sim_work_pending(node), 20);
    assert_int_equal(sim_world_run_until(world, all_done, done, 1000), ERR_OK);
    assert_int_equal(sim_work_pending(node), 0);
    for (int i = 0; i < 2; i++)
        work_lane_free(&node->work, lanes[i]);
    uint64_t hash = sim_world_hash(world);
    sim_world_free(world);
    return hash;
}

static void test_sim_work_lanes_keep_their_order(void **state)
{
    (void)state;
    bool interleaved = false, swapped = false;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct record ran, done;
        (void)run_lanes(seed, false, &ran, &done);
        const struct record *both[] = {&ran, &done};
        for (size_t r = 0; r < 2; r++) {
            int last[2] = {-1, -1};
            for (int i = 0; i < 20; i++) {
                int number = both[r]->order[i];
                assert_true(number > last[number % 2]);
                last[number % 2] = number;
            }
        }
        for (int i = 0; i < 20; i++)
            interleaved = interleaved || ran.order[i] != i;
        (void)run_lanes(seed, true, &ran, &done);
        for (int i = 1; i < 20; i++)
            swapped = swapped || ran.order[i] < ran.order[i - 1];
    }
    assert_true(interleaved);
    assert_true(swapped);
}

static void test_sim_world_repeats_from_its_seed(void **state)
{
    (void)state;
    struct record ran, done;
    uint64_t first = run_lanes(7, false, &ran, &done);
    assert_true(first == run_lanes(7, false, &ran, &done));
    assert_true(first != run_lanes(8, false, &ran, &done));
}

struct ticker {
    struct timer timer;
    struct sim_node *node;
    uint64_t fired_at_ms[8];
    int count, again;
};

static void tick(struct timer *timer)
{
    struct ticker *t = container_of(timer, struct ticker, timer);
    t->fired_at_ms[t->count++] = clock_mono_ms(&t->node->clock);
    if (t->again-- > 0)
        assert_int_equal(timer_start(&t->node->clock, timer, 10), ERR_OK);
}

static void test_sim_node_timers_and_clocks(void **state)
{
    (void)state;
    struct sim_world *world = sim_world_new(1);
    struct sim_node *node = sim_node_new(world, &(struct sim_identity){.name = "n"});
    struct ticker a = {.timer.fire = tick, .node = node, .again = 2};
    struct ticker b = {.timer.fire = tick, .node = node};
    struct ticker c = {.timer.fire = tick, .node = node};
    assert_int_equal(timer_start(&node->clock, &a.timer, 5), ERR_OK);
    assert_int_equal(timer_start(&node->clock, &b.timer, 5), ERR_OK);
    assert_int_equal(timer_start(&node->clock, &b.timer, 50), ERR_OK); /* anew */
    assert_int_equal(timer_start(&node->clock, &c.timer, 20), ERR_OK);
    timer_stop(&node->clock, &c.timer);
    timer_stop(&node->clock, &c.timer);
    assert_int_equal(sim_world_run(world, 100), ERR_OK);
    assert_int_equal(a.count, 3);
    assert_int_equal(a.fired_at_ms[0], 5);
    assert_int_equal(a.fired_at_ms[2], 25);
    assert_int_equal(b.count, 1);
    assert_int_equal(b.fired_at_ms[0], 50);
    assert_int_equal(c.count, 0);
    assert_true(clock_wall_ns(&node->clock) == SIM_WALL_START_NS + 100000000);
    sim_node_clock_jump(node, -3600000);
    assert_true(clock_wall_ns(&node->clock) == SIM_WALL_START_NS + 100000000 - 3600000000000);
    assert_int_equal(clock_mono_ms(&node->clock), 100);
    sim_node_clock_drift(node, 1000);
    int64_t before = clock_wall_ns(&node->clock);
    assert_int_equal(sim_world_run(world, 1000), ERR_OK);
    assert_true(clock_wall_ns(&node->clock) - before == 1001000000);
    sim_world_free(world);
}

static void test_sim_world_says_why_it_stopped(void **state)
{
    (void)state;
    struct sim_world *world = sim_world_new(1);
    struct sim_node *node = sim_node_new(world, &(struct sim_identity){.name = "n"});
    struct record never = {.count = 0};
    assert_int_equal(sim_world_run_until(world, all_done, &never, 1000), ERR_END);
    struct ticker t = {.timer.fire = tick, .node = node};
    assert_int_equal(timer_start(&node->clock, &t.timer, 5000), ERR_OK);
    assert_int_equal(sim_world_run_until(world, all_done, &never, 1000), ERR_TIMEOUT);
    assert_int_equal(sim_world_now_ms(world), 1000);
    sim_world_set_step_max(world, 0);
    assert_int_equal(sim_world_run(world, 10000), ERR_TOO_LARGE);
    assert_int_equal(sim_node_timers(node), 1);
    sim_world_free(world);
}

static void crash_it(void *user)
{
    sim_node_crash(user, SIM_KILL);
}

/* A dying node's jobs complete, its timers do not fire, and nothing is left that points to it. */
static void test_sim_node_death_completes_what_is_owed(void **state)
{
    (void)state;
    struct sim_world *world = sim_world_new(3);
    struct sim_node *node = sim_node_new(world, &(struct sim_identity){.name = "n"});
    struct work_lane *lane = work_lane_new(&node->work, "lane");
    sim_work_set_delay(node, 1000000);
    struct record ran = {.count = 0}, done = {.count = 0};
    struct numbered_job jobs[5];
    for (int i = 0; i < 5; i++) {
        jobs[i] = (struct numbered_job){
            .job = {.run = run_job, .done = done_job}, .ran = &ran, .done = &done, .number = i};
        if (i < 4)
            work_submit(&node->work, lane, &jobs[i].job);
        else
            work_post(&node->work, &jobs[i].job);
    }
    struct ticker t = {.timer.fire = tick, .node = node};
    assert_int_equal(timer_start(&node->clock, &t.timer, 100), ERR_OK);
    sim_world_plan(world, 1, crash_it, node);
    assert_int_equal(sim_world_run(world, 2), ERR_OK);
    assert_false(node->alive);
    assert_int_equal(ran.count, 4);
    assert_int_equal(done.count, 5);
    work_lane_free(&node->work, lane);
    timer_stop(&node->clock, &t.timer);
    assert_int_equal(sim_world_run(world, 1000), ERR_OK);
    assert_int_equal(t.count, 0);
    sim_node_start(node);
    assert_int_equal(clock_mono_ms(&node->clock), 1002); /* the machine ran on */
    sim_node_crash(node, SIM_POWER);
    assert_int_equal(sim_world_run(world, 50), ERR_OK);
    sim_node_start(node);
    assert_int_equal(clock_mono_ms(&node->clock), 0);
    sim_world_free(world);
}

static void test_sim_node_streams_are_its_own(void **state)
{
    (void)state;
    struct sim_world *world = sim_world_new(5);
    struct sim_node *a = sim_node_new(world, &(struct sim_identity){.name = "a"});
    struct sim_node *b = sim_node_new(world, &(struct sim_identity){.name = "b"});
    uint64_t from_b = random_u64(&b->random);
    assert_true(random_u64(&a->random) != from_b);
    assert_false(id_equal(&a->id, &b->id));
    sim_world_free(world);

    world = sim_world_new(5);
    a = sim_node_new(world, &(struct sim_identity){.name = "a"});
    for (int i = 0; i < 100; i++)
        (void)random_u64(&a->random);
    b = sim_node_new(world, &(struct sim_identity){.name = "b"});
    assert_true(random_u64(&b->random) == from_b);
    sim_world_free(world);
    sim_world_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sim_work_lanes_keep_their_order),
        cmocka_unit_test(test_sim_world_repeats_from_its_seed),
        cmocka_unit_test(test_sim_node_timers_and_clocks),
        cmocka_unit_test(test_sim_world_says_why_it_stopped),
        cmocka_unit_test(test_sim_node_death_completes_what_is_owed),
        cmocka_unit_test(test_sim_node_streams_are_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
