/* placement/: the formulas of docs/durability.md against exact values, and levels by uptime. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "base/limits.h"
#include "placement/placement_durability.h"
#include "placement/placement_level.h"

static void assert_near(double got, double wanted, double relative)
{
    if (fabs(got - wanted) > relative * wanted)
        fail_msg("%g is not %g", got, wanted);
}

static double same_uptime(unsigned k, unsigned m, double up)
{
    double each[PLACEMENT_DURABILITY_MAX];
    for (unsigned i = 0; i < k + m; i++)
        each[i] = up;
    return placement_unavailable(each, k + m, k);
}

/* 24+12 at 75, 90 and 95 % uptime: figures that others have published. */
static void test_unavailable_is_the_tail_of_the_binomial(void **state)
{
    (void)state;
    assert_near(same_uptime(24, 12, 0.75), 9e-2, 0.1);
    assert_near(same_uptime(24, 12, 0.90), 2.5e-5, 0.1);
    assert_near(same_uptime(24, 12, 0.95), 9.5e-9, 0.1);
    assert_near(same_uptime(1, 0, 0.9), 0.1, 1e-9);
    assert_near(same_uptime(1, 1, 0.9), 0.01, 1e-9);
    assert_near(same_uptime(2, 1, 0.9), 0.028, 1e-9);
    for (unsigned k = 1; k <= 16; k *= 2)
        for (unsigned m = 0; m <= 8; m++)
            assert_near(same_uptime(k, m, 0.8), placement_tail(k + m, m, 0.2), 1e-9);
}

static void test_unavailable_with_uptimes_of_their_own(void **state)
{
    (void)state;
    const double up[] = {1, 0, 0.5};
    assert_near(placement_unavailable(up, 3, 1), 1e-300, 1); /* the first is always there */
    assert_near(placement_unavailable(up, 3, 2), 0.5, 1e-12);
    assert_near(placement_unavailable(up, 3, 3), 1, 1e-12);
    assert_near(placement_unavailable(up, 3, 4), 1, 1e-12);
    assert_near(placement_unavailable(up, 0, 1), 1, 1e-12);
}

static void test_tail_at_its_ends(void **state)
{
    (void)state;
    assert_true(placement_tail(5, 5, 0.5) == 0);
    assert_true(placement_tail(5, 2, 0) == 0);
    assert_true(placement_tail(5, 2, 1) == 1);
    assert_near(placement_tail(3, 2, 0.5), 0.125, 1e-9);
    assert_near(placement_tail(255, 0, 1e-9), 255e-9, 1e-6);
}

/* A mirror: the second is lost within the window of the first: 2 r · r w, for small r w. */
static void test_loss_rate_of_a_mirror(void **state)
{
    (void)state;
    struct placement_loss loss = {.count = 2, .m = 1, .rate_year = 0.05, .window_year = 0.01};
    assert_near(placement_loss_rate(&loss), 2 * 0.05 * 0.05 * 0.01, 0.01);
    loss.m = 0; /* no spare: any loss */
    assert_near(placement_loss_rate(&loss), 0.1, 0.01);
    loss.m = 2; /* more spares than domains: never */
    assert_true(placement_loss_rate(&loss) == 0);
    loss = (struct placement_loss){.count = 4, .m = 2, .rate_year = 0.1}; /* repaired at once */
    assert_true(placement_loss_rate(&loss) == 0);
    const struct placement_event event = {.rate_year = 0.01, .each = 1};
    loss.events = &event;
    loss.event_count = 1; /* but all are taken at one blow */
    assert_near(placement_loss_rate(&loss), 0.01, 1e-9);
}

/* Lazy repair leaves what registry.h's threshold says, and never helps. */
static void test_lazy_repair_costs_spares(void **state)
{
    (void)state;
    assert_int_equal(placement_unrepaired(4, 75), 1);
    assert_int_equal(placement_unrepaired(2, 75), 0);
    assert_int_equal(placement_unrepaired(8, 75), 2);
    assert_int_equal(placement_unrepaired(8, 100), 0);
    assert_int_equal(placement_unrepaired(0, 75), 0);
    for (uint32_t m = 1; m < 40; m++)
        assert_true(placement_unrepaired(m, 1) < m);
    struct placement_loss loss = {.count = 12, .m = 4, .rate_year = 0.05, .window_year = 0.04};
    const double at_once = placement_loss_rate(&loss);
    loss.unrepaired = 1;
    assert_true(placement_loss_rate(&loss) > at_once);
}

static void test_year_of_a_rate(void **state)
{
    (void)state;
    assert_true(placement_year(0) == 0);
    assert_near(placement_year(1e-12), 1e-12, 1e-6);
    assert_near(placement_year(1), 0.632, 0.001);
    assert_true(placement_year(1e9) == 1);
}

/* Where cells are up enough the table stands; where not, m grows, then k falls; never above the
   cost that is allowed, never more shards than households. */
static void test_levels_grow_where_uptime_is_poor(void **state)
{
    (void)state;
    for (uint32_t others = 0; others <= 60; others++) {
        const struct placement_level table = placement_level_for(others);
        const struct placement_level unknown = placement_level_measured(others, 0);
        assert_int_equal(unknown.k, table.k);
        assert_int_equal(unknown.m, table.m);
        for (unsigned percent = 30; percent <= 100; percent += 5) {
            const struct placement_level level = placement_level_measured(others, percent / 100.0);
            assert_true(level.k + level.m <= others);
            assert_true(level.m >= table.m && level.k <= table.k);
            assert_true(level.k + level.m <= PLACEMENT_OVERHEAD_MOST * level.k ||
                        (level.k == table.k && level.m == table.m));
            if (others == 0)
                continue;
            const double is = placement_tail(level.k + level.m, level.m, 1 - percent / 100.0);
            const double was = placement_tail(table.k + table.m, table.m, 1 - percent / 100.0);
            assert_true(is <= was);
            if (was <= PLACEMENT_UNAVAILABLE_MOST)
                assert_true(level.k == table.k && level.m == table.m);
        }
    }
    struct placement_level level = placement_level_measured(20, 0.99);
    assert_int_equal(level.k, 8);
    assert_int_equal(level.m, 4);
    level = placement_level_measured(20, 0.9);
    assert_int_equal(level.k, 8);
    assert_true(level.m > 4 && level.m <= 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unavailable_is_the_tail_of_the_binomial),
        cmocka_unit_test(test_unavailable_with_uptimes_of_their_own),
        cmocka_unit_test(test_tail_at_its_ends),
        cmocka_unit_test(test_loss_rate_of_a_mirror),
        cmocka_unit_test(test_lazy_repair_costs_spares),
        cmocka_unit_test(test_year_of_a_rate),
        cmocka_unit_test(test_levels_grow_where_uptime_is_poor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
