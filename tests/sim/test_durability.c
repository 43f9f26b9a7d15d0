/*
 * The formulas of placement/placement_durability.h against a simulation of the years that they
 * speak of: domains that are lost one by one and made anew after a fixed time, and what takes many
 * at one blow: a site, a bad batch of disks, a bad release. And each level, tried on the real code.
 *
 * CELLAR_TEST_FULL=1 simulates twenty times as long. The seed is printed; CELLAR_TEST_SEED sets it.
 */
#include "sim_backup.h"

#include "placement/placement_durability.h"
#include "placement/placement_level.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <math.h>

enum { DOMAINS_MAX = 32, EVENTS_MAX = 3 };

static uint64_t seed;

static double uniform(void)
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return ((double)(seed * UINT64_C(0x2545F4914F6CDD1D) >> 11) + 0.5) / 9007199254740992.0;
}

static double exponential(double rate)
{
    return -log(uniform()) / rate;
}

/* --- losses --- */

struct years {
    const struct placement_loss *loss;
    double next[DOMAINS_MAX]; /* when it is lost next, or stands again */
    bool gone[DOMAINS_MAX];
    double next_event[EVENTS_MAX];
    uint64_t lost; /* how often more than m were gone at once */
};

static void begin_again(struct years *y, double now)
{
    for (uint32_t i = 0; i < y->loss->count; i++) {
        y->gone[i] = false;
        y->next[i] = now + exponential(y->loss->rate_year);
    }
}

static void take(struct years *y, uint32_t domain, double now)
{
    y->gone[domain] = true;
    y->next[domain] = now + y->loss->window_year;
}

static void count_gone(struct years *y, double now)
{
    uint32_t gone = 0;
    for (uint32_t i = 0; i < y->loss->count; i++)
        gone += y->gone[i];
    if (gone <= y->loss->m)
        return;
    y->lost++;
    begin_again(y, now);
}

static void change_domain(struct years *y, uint32_t domain)
{
    const double now = y->next[domain];
    if (y->gone[domain]) {
        y->gone[domain] = false;
        y->next[domain] = now + exponential(y->loss->rate_year);
        return;
    }
    take(y, domain, now);
    count_gone(y, now);
}

static void strike(struct years *y, size_t number)
{
    const struct placement_event *event = &y->loss->events[number];
    const double now = y->next_event[number];
    y->next_event[number] = now + exponential(event->rate_year);
    for (uint32_t i = 0; i < y->loss->count; i++)
        if (!y->gone[i] && uniform() < event->each)
            take(y, i, now);
    count_gone(y, now);
}

/* Losses a year, in so many years. */
static double simulate(const struct placement_loss *loss, double years, uint64_t *lost)
{
    struct years y = {.loss = loss};
    begin_again(&y, 0);
    for (size_t i = 0; i < loss->event_count; i++)
        y.next_event[i] = exponential(loss->events[i].rate_year);
    for (;;) {
        uint32_t domain = 0;
        size_t event = loss->event_count;
        for (uint32_t i = 1; i < loss->count; i++)
            domain = y.next[i] < y.next[domain] ? i : domain;
        double now = y.next[domain];
        for (size_t i = 0; i < loss->event_count; i++) {
            if (y.next_event[i] < now) {
                now = y.next_event[i];
                event = i;
            }
        }
        if (now > years)
            break;
        if (event < loss->event_count)
            strike(&y, event);
        else
            change_domain(&y, domain);
    }
    *lost = y.lost;
    return (double)y.lost / years;
}

static void test_losses_come_as_often_as_the_formula_says(void **state)
{
    (void)state;
    /* rates far above those of any home, so that losses are seen at all */
    static const struct placement_event site = {0.2, 0.3}, batch = {0.5, 0.2},
                                        release = {0.05, 0.9};
    const struct placement_event all[] = {site, batch, release};
    const struct {
        const char *what;
        struct placement_loss loss;
    } cases[] = {
        {"1+1 alone", {.count = 2, .m = 1, .rate_year = 0.5, .window_year = 0.04}},
        {"2+2 alone", {.count = 4, .m = 2, .rate_year = 1, .window_year = 0.08}},
        {"4+4 alone", {.count = 8, .m = 4, .rate_year = 2, .window_year = 0.08}},
        {"8+4 alone", {.count = 12, .m = 4, .rate_year = 1, .window_year = 0.08}},
        {"16+8 alone", {.count = 24, .m = 8, .rate_year = 1, .window_year = 0.1}},
        {"2+2, a site",
         {.count = 4,
          .m = 2,
          .rate_year = 0.5,
          .window_year = 0.04,
          .events = &site,
          .event_count = 1}},
        {"8+4, a bad batch",
         {.count = 12,
          .m = 4,
          .rate_year = 0.5,
          .window_year = 0.04,
          .events = &batch,
          .event_count = 1}},
        {"8+4, a bad release",
         {.count = 12,
          .m = 4,
          .rate_year = 0.5,
          .window_year = 0.04,
          .events = &release,
          .event_count = 1}},
        {"8+4, all of them",
         {.count = 12,
          .m = 4,
          .rate_year = 0.5,
          .window_year = 0.04,
          .events = all,
          .event_count = 3}},
    };
    const double years = getenv("CELLAR_TEST_FULL") ? 4e6 : 2e5;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint64_t lost;
        const double said = placement_loss_rate(&cases[i].loss);
        const double seen = simulate(&cases[i].loss, years, &lost);
        print_message("%-20s formula %.3e a year, simulation %.3e (%llu losses)\n", cases[i].what,
                      said, seen, (unsigned long long)lost);
        /* four standard deviations; and losses that come in one cluster, which the formula counts
           one by one, and which are common at these rates only */
        const double chance = 4 * sqrt(said * years) / years;
        assert_true(lost > 50);
        assert_true(seen <= said + chance);
        assert_true(seen >= 0.8 * said - chance);
    }
}

/* --- uptime --- */

static void test_readable_as_often_as_the_formula_says(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 2, 3, 4, 5, 6, 7, 12, 24, 30};
    const unsigned draws = getenv("CELLAR_TEST_FULL") ? 4000000 : 200000;
    for (size_t s = 0; s < ARRAY_COUNT(sizes); s++) {
        const struct placement_level level = placement_level_for(sizes[s]);
        const uint32_t n = level.k + level.m;
        double up[DOMAINS_MAX];
        unsigned failed = 0;
        for (uint32_t i = 0; i < n; i++)
            up[i] = 0.55 + 0.4 * uniform();
        for (unsigned draw = 0; draw < draws; draw++) {
            uint32_t there = 0;
            for (uint32_t i = 0; i < n; i++)
                there += uniform() < up[i];
            failed += there < level.k;
        }
        const double said = placement_unavailable(up, n, level.k);
        const double seen = (double)failed / draws;
        print_message("%2u others, %u+%u: formula %.3e, simulation %.3e\n", sizes[s], level.k,
                      level.m, said, seen);
        assert_true(fabs(said - seen) <= 4 * sqrt(said / draws) + 1e-5);
    }
}

/* --- each level, on the real code --- */

/* What the words promise: any m of the others may go, and with one more it is over. */
static void try_level(uint32_t others)
{
    struct sim_world *world = sim_world_new(sim_world_test_seed(others));
    struct sim_swarm *swarm =
        sim_swarm_new(world, &(struct sim_swarm_options){.cells = others, .give_bytes = MIB(64)});
    struct sim_device *device = sim_device_new(swarm, 1);
    struct sim_backup *backup = sim_backup_new(device);
    const struct placement_level level = placement_level_for(others);
    struct sim_truth truth;
    uint32_t stopped = 0;
    assert_int_equal(sim_backup_add(backup, level.k, level.m, 4096), ERR_OK);
    sim_backup_truth(backup, 0, &truth);
    assert_int_equal(truth.whole, level.k + level.m);
    for (unsigned cell = 0; cell < others && stopped <= level.m; cell++) {
        bool holds = false;
        for (unsigned i = 0; i < level.k + level.m; i++)
            holds |= truth.at[i][cell];
        if (!holds)
            continue;
        sim_swarm_stop_cell(swarm, cell, SIM_POWER);
        stopped++;
        const enum err e = sim_backup_read(backup, 0);
        if (stopped <= level.m)
            assert_int_equal(e, ERR_OK);
        else
            assert_int_not_equal(e, ERR_OK);
    }
    assert_int_equal(stopped, level.m + 1);
    sim_backup_free(backup);
    sim_device_free(device);
    sim_swarm_free(swarm);
    sim_world_free(world);
}

static void test_each_level_keeps_its_promise(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 2, 3, 4, 5, 6, 7, 12, 24, 30};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++)
        try_level(sizes[i]);
}

int main(void)
{
    const char *given = getenv("CELLAR_TEST_SEED");
    seed = given ? strtoull(given, NULL, 10) : 20261125;
    print_message("seed %llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_losses_come_as_often_as_the_formula_says),
        cmocka_unit_test(test_readable_as_often_as_the_formula_says),
        cmocka_unit_test(test_each_level_keeps_its_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
