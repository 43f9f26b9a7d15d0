/*
 * Heartbeats: what they say is in the database soon, that they came only now and then, and all of
 * it when the registry is closed.
 */
#include "registry_fixture.h"

enum { CELLS = 3, QUARTER_S = 3600 };

static int64_t column(struct fixture *f, const char *name, size_t cell)
{
    char sql[96];
    int64_t value;
    snprintf(sql, sizeof(sql), "SELECT %s FROM cell WHERE number = %zu", name, cell + 1);
    OK(db_number(registry_db(f->registry), sql, &value, &f->msg));
    return value;
}

static int setup(void **state)
{
    struct fixture *f = fixture_new(3);
    f->options.beat_ms = 900000;
    fixture_open(f);
    for (size_t i = 0; i < CELLS; i++) {
        join_cell(f, i);
        beat(f, i, GIB(100));
    }
    OK(registry_flush(f->registry, &f->msg));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static void test_that_a_cell_was_heard_again_is_written_now_and_then(void **state)
{
    struct fixture *f = *state;
    const int64_t began_s = f->now_s;
    for (; f->now_s < began_s + QUARTER_S; f->now_s += 900) {
        beat(f, 0, GIB(90));
        OK(registry_flush_news(f->registry, &f->msg));
        assert_int_equal(column(f, "last_seen_s", 0), began_s);
    }
    beat(f, 0, GIB(80));
    OK(registry_flush_news(f->registry, &f->msg));
    assert_int_equal(column(f, "last_seen_s", 0), f->now_s);
    assert_int_equal(column(f, "free_bytes", 0), (int64_t)GIB(80));
    assert_int_equal(column(f, "last_seen_s", 1), began_s);
}

static void test_what_a_heartbeat_says_is_written_at_once(void **state)
{
    struct fixture *f = *state;
    const struct wire_heartbeat fewer = {.free_bytes = GIB(100), .damaged_count = 1},
                                leaving = {
                                    .free_bytes = GIB(100), .shard_count = 1, .leaving = true};
    f->now_s += 900;
    OK(registry_heartbeat(f->registry, cell_id(f, 0), &fewer, f->now_s, &f->msg));
    OK(registry_heartbeat(f->registry, cell_id(f, 1), &leaving, f->now_s, &f->msg));
    beat(f, 2, GIB(90));
    OK(registry_flush_news(f->registry, &f->msg));
    assert_int_equal(column(f, "damaged_count", 0), 1);
    assert_int_equal(column(f, "shard_count", 0), 0);
    assert_int_equal(column(f, "leaving", 1), 1);
    assert_int_equal(column(f, "last_seen_s", 1), f->now_s);
    assert_int_equal(column(f, "last_seen_s", 2), f->now_s - 900);
}

static void test_a_registry_that_is_closed_knows_when_everybody_was_heard(void **state)
{
    struct fixture *f = *state;
    f->now_s += 900;
    beat(f, 2, GIB(90));
    registry_close(f->registry);
    fixture_open(f);
    assert_int_equal(column(f, "last_seen_s", 2), f->now_s);
    assert_int_equal(column(f, "free_bytes", 2), (int64_t)GIB(90));
}

/* What was not written makes nobody gone: silence that nobody heard does not count. */
static void test_after_a_crash_nobody_is_blamed_for_what_was_not_written(void **state)
{
    struct fixture *f = *state;
    struct registry_cell_info info;
    f->now_s += 1800;
    for (size_t i = 0; i < CELLS; i++)
        beat(f, i, GIB(90));
    for (size_t i = 0; i < CELLS; i++) /* a crash: nothing is left to be written at the close */
        registry_cell_find(f->registry, cell_id(f, i))->heard = false;
    registry_close(f->registry);
    f->now_s += 3600;
    fixture_open(f);
    assert_int_equal(column(f, "last_seen_s", 0), f->now_s - 3600 - 1800);
    beat(f, 0, GIB(90));
    f->now_s += (int64_t)(f->options.gone_after_ms / 1000) - 60;
    OK(registry_cell_info(f->registry, cell_id(f, 1), &info));
    assert_int_equal(
        registry_cell_state(f->registry, registry_cell_find(f->registry, cell_id(f, 1)), f->now_s),
        WIRE_CELL_ASLEEP);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_that_a_cell_was_heard_again_is_written_now_and_then),
        TEST(test_what_a_heartbeat_says_is_written_at_once),
        TEST(test_a_registry_that_is_closed_knows_when_everybody_was_heard),
        TEST(test_after_a_crash_nobody_is_blamed_for_what_was_not_written),
    };
    return cmocka_run_group_tests_name("coordinator/registry_heartbeat", tests, NULL, NULL);
}
