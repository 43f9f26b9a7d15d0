/* How much a prune may leave unneeded, as a person says it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "removal/removal_prune.h"

static void test_what_may_stay_unneeded(void **state)
{
    (void)state;
    struct removal_prune_options o = {0};
    struct errmsg msg;
    assert_int_equal(removal_prune_parse_unused("5%", &o, &msg), ERR_OK);
    assert_true(o.unused == REMOVAL_UNUSED_PERCENT && o.unused_max == 5);
    assert_int_equal(removal_prune_parse_unused("unlimited", &o, &msg), ERR_OK);
    assert_true(o.unused == REMOVAL_UNUSED_UNLIMITED);
    assert_int_equal(removal_prune_parse_unused("2M", &o, &msg), ERR_OK);
    assert_true(o.unused == REMOVAL_UNUSED_BYTES && o.unused_max == 2 << 20);
    assert_int_equal(removal_prune_parse_unused("0", &o, &msg), ERR_OK);
    assert_true(o.unused == REMOVAL_UNUSED_BYTES && o.unused_max == 0);
    const char *const wrong[] = {"", "%", "101%", "5%x", "-1", "much"};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        assert_int_equal(removal_prune_parse_unused(wrong[i], &o, &msg), ERR_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_may_stay_unneeded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
