/* The lot of the day: the same for both, never on oneself, on about four others, and another one
   every day. */
#include "placement/placement_lot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct id cell(unsigned number)
{
    struct id id = {{0}};
    for (size_t i = 0; i < ID_SIZE; i++)
        id.bytes[i] = (uint8_t)((number * 2654435761u) >> (i % 4 * 8)) ^ (uint8_t)i;
    return id;
}

static void test_in_a_small_swarm_everybody_asks_everybody_else(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 5; a++)
        for (unsigned b = 0; b < 5; b++) {
            const struct id one = cell(a), two = cell(b);
            assert_int_equal(placement_lot_falls(&one, &two, 20000, 5), a != b);
        }
}

static void test_lots_fall_on_about_four_and_change_with_the_day(void **state)
{
    (void)state;
    enum { CELLS = 200, DAYS = 50 };
    unsigned total = 0, again = 0;
    const struct id auditor = cell(0);
    for (unsigned c = 1; c < CELLS; c++) {
        const struct id about = cell(c);
        for (unsigned day = 0; day < DAYS; day++) {
            const bool falls = placement_lot_falls(&auditor, &about, 20000 + day, CELLS);
            total += falls;
            again += falls && placement_lot_falls(&auditor, &about, 20001 + day, CELLS);
        }
    }
    /* 200 expected, with a deviation of some 14 */
    assert_true(total > 4 * DAYS - 70 && total < 4 * DAYS + 70);
    assert_true(again < total / 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_a_small_swarm_everybody_asks_everybody_else),
        cmocka_unit_test(test_lots_fall_on_about_four_and_change_with_the_day),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
