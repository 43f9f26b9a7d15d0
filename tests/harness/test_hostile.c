/* hostile, fault, temp_dir: the helpers do all that they say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/fault.h"
#include "harness/hostile.h"
#include "harness/temp_dir.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct seen {
    uint64_t count, sizes, differing;
    struct slice good;
};

static void see(void *user, struct slice bytes, const char *how)
{
    struct seen *seen = user;
    assert_true(*how != 0);
    seen->count++;
    seen->sizes += bytes.size;
    seen->differing += !slice_equal(bytes, seen->good);
    for (size_t i = 0; i < bytes.size; i++) /* every byte may be read */
        seen->sizes += (uint64_t)(bytes.data[i] & 0);
}

static void test_hostile_does_all_of_it(void **state)
{
    (void)state;
    uint8_t bytes[100];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i + 1);
    struct seen seen = {.good = slice_of(bytes, sizeof(bytes))};
    hostile_truncations(seen.good, see, &seen);
    assert_int_equal(seen.count, 100);
    assert_int_equal(seen.sizes, 100 * 99 / 2);
    seen.count = seen.differing = 0;
    hostile_flips(seen.good, 0, see, &seen);
    assert_int_equal(seen.count, 800);
    assert_int_equal(seen.differing, 800);
    seen.count = 0;
    hostile_flips(seen.good, 90, see, &seen);
    assert_true(seen.count > 45 && seen.count <= 90);
    seen.count = seen.differing = 0;
    hostile_extremes(seen.good, 0, see, &seen);
    assert_true(seen.count > 390 && seen.differing == seen.count);
    seen.count = 0;
    hostile_trailing(seen.good, see, &seen);
    assert_int_equal(seen.count, 256);
    seen.count = seen.differing = 0;
    hostile_noise(1, 500, 64, see, &seen);
    assert_int_equal(seen.count, 500);
    hostile_mutations(seen.good, 1, 2000, see, &seen);
    assert_int_equal(seen.count, 2500);
    assert_true(seen.differing > 2300);
    hostile_mutations(slice_of(NULL, 0), 1, 100, see, &seen);
    hostile_flips(slice_of(NULL, 0), 0, see, &seen);
}

struct loop_state {
    uint64_t runs, points;
};

/* An operation of `points` steps that stops at the first one that fails. */
static bool scenario(void *user, uint64_t at, bool for_good)
{
    struct loop_state *loop = user;
    struct fault fault = FAULT_INIT(at, for_good);
    loop->runs++;
    for (uint64_t i = 0; i < loop->points && !fault_hit(&fault); i++) {
    }
    return fault.failed > 0;
}

static void test_fault_loop_tries_every_point(void **state)
{
    (void)state;
    struct loop_state loop = {.points = 7};
    assert_int_equal(fault_loop(scenario, &loop, 100), 7);
    assert_int_equal(loop.runs, 16);
    struct fault once = FAULT_INIT(1, false), good = FAULT_INIT(1, true), none = FAULT_NONE;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(fault_hit(&once), i == 1);
        assert_int_equal(fault_hit(&good), i >= 1);
        assert_false(fault_hit(&none));
    }
    assert_int_equal(good.failed, 3);
    assert_int_equal(none.seen, 4);
}

static void test_temp_dir_comes_and_goes(void **state)
{
    (void)state;
    char path[TEMP_DIR_SIZE], inner[TEMP_DIR_SIZE + 32];
    temp_dir_make(path);
    (void)snprintf(inner, sizeof(inner), "%s/d", path);
    assert_int_equal(mkdir(inner, 0700), 0);
    (void)snprintf(inner, sizeof(inner), "%s/d/f", path);
    int fd = open(inner, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    (void)snprintf(inner, sizeof(inner), "%s/d/link", path);
    assert_int_equal(symlink("/", inner), 0);
    temp_dir_remove(path);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access("/", F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_does_all_of_it),
        cmocka_unit_test(test_fault_loop_tries_every_point),
        cmocka_unit_test(test_temp_dir_comes_and_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
