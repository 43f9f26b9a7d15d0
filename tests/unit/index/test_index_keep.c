/* index/: snapshots, heads and facts: bytes of others that are kept as they are. */
#include "index_fixture.h"

static void test_snapshots_by_time_without_the_forgotten(void **state)
{
    struct fixture *f = *state;
    static const int64_t times[] = {500, -3, 77, 500, 9000000000000000000};
    struct index_snapshot s, page[8];
    struct slice body;
    size_t count;
    char text[32];
    for (unsigned i = 0; i < 5; i++) {
        s = (struct index_snapshot){make_id('n', i), make_id('d', i % 2), times[i], i == 2};
        (void)snprintf(text, sizeof(text), "body %u", i);
        OK(index_snapshot_put(f->index, &s, slice_text(text), msg));
    }
    fixture_reopen(f);
    OK(index_snapshot_get(f->index, &s.id, &page[0], &body, msg));
    assert_true(slice_equal(body, slice_text("body 4")) && page[0].time_ns == times[4]);
    assert_true(id_equal(&page[0].device, &s.device) && !page[0].forgotten);

    OK(index_snapshots(f->index, true, 0, page, 8, &count, msg));
    assert_int_equal(count, 5);
    for (size_t i = 1; i < count; i++)
        assert_true(page[i].time_ns >= page[i - 1].time_ns);
    assert_true(page[1].forgotten && page[1].time_ns == 77);
    OK(index_snapshots(f->index, false, 1, page, 2, &count, msg));
    assert_true(count == 2 && page[0].time_ns == 500 && page[1].time_ns == 500);
    OK(index_snapshots(f->index, false, 3, page, 8, &count, msg));
    assert_true(count == 1 && page[0].time_ns == times[4]);

    OK(index_snapshot_set_forgotten(f->index, &s.id, msg));
    OK(index_snapshots(f->index, false, 3, page, 8, &count, msg));
    assert_int_equal(count, 0);
    s.time_ns = 1;
    s.device = (struct id){{0}};
    OK(index_snapshot_put(f->index, &s, slice_of(NULL, 0), msg)); /* replaces all of it */
    OK(index_snapshot_get(f->index, &s.id, &page[0], &body, msg));
    assert_true(body.size == 0 && !page[0].forgotten && id_is_zero(&page[0].device));
    OK(index_snapshot_remove(f->index, &s.id, msg));
    FAILS(ERR_NOT_FOUND, index_snapshot_get(f->index, &s.id, &page[0], &body, msg));
    FAILS(ERR_NOT_FOUND, index_snapshot_remove(f->index, &s.id, msg));
    FAILS(ERR_NOT_FOUND, index_snapshot_set_forgotten(f->index, &s.id, msg));
}

static void test_heads_never_go_back(void **state)
{
    struct fixture *f = *state;
    struct id one = make_id('d', 1), two = make_id('d', 2), devices[4];
    struct slice body;
    uint64_t sequence = 0;
    size_t count;
    FAILS(ERR_NOT_FOUND, index_head_get(f->index, &one, &sequence, &body, msg));
    OK(index_head_put(f->index, &one, 7, slice_text("seven"), msg));
    OK(index_head_put(f->index, &two, 1, slice_text("other"), msg));
    FAILS(ERR_STALE, index_head_put(f->index, &one, 6, slice_text("six"), msg));
    OK(index_head_get(f->index, &one, &sequence, &body, msg));
    assert_true(sequence == 7 && slice_equal(body, slice_text("seven")));
    OK(index_head_put(f->index, &one, INT64_MAX, slice_text("last"), msg));
    FAILS(ERR_TOO_LARGE, index_head_put(f->index, &one, UINT64_MAX, slice_text("more"), msg));
    OK(index_head_get(f->index, &one, &sequence, &body, msg));
    assert_true(sequence == INT64_MAX && slice_equal(body, slice_text("last")));
    OK(index_heads(f->index, devices, 4, &count, msg));
    assert_int_equal(count, 2);
    assert_true(id_compare(&devices[0], &devices[1]) < 0);
    OK(index_heads(f->index, devices, 1, &count, msg));
    assert_int_equal(count, 1);
}

static void test_facts_are_bytes_or_numbers(void **state)
{
    struct fixture *f = *state;
    struct slice out;
    int64_t number;
    FAILS(ERR_NOT_FOUND, index_fact_get(f->index, "x", &out, msg));
    OK(index_fact_put(f->index, "x", slice_text("value"), msg));
    OK(index_fact_get(f->index, "x", &out, msg));
    assert_true(slice_equal(out, slice_text("value")));
    OK(index_fact_put(f->index, "x", slice_of(NULL, 0), msg));
    OK(index_fact_get(f->index, "x", &out, msg));
    assert_int_equal(out.size, 0);
    FAILS(ERR_CORRUPT, index_fact_get_number(f->index, "x", &number, msg));
    OK(index_fact_put_number(f->index, "n", INT64_MIN, msg));
    fixture_reopen(f);
    OK(index_fact_get_number(f->index, "n", &number, msg));
    assert_true(number == INT64_MIN);
    FAILS(ERR_CORRUPT, index_fact_get(f->index, "n", &out, msg));
}

static void test_keeping_has_limits(void **state)
{
    struct fixture *f = *state;
    size_t size = (4U << 20) + 1;
    uint8_t *large = calloc(1, size);
    char name[300];
    struct slice out;
    struct index_snapshot s = {.id = make_id('n', 1)}, read;
    assert_non_null(large);
    memset(name, 'a', sizeof(name));
    name[255] = '\0';
    OK(index_fact_put(f->index, name, slice_of(large, 1U << 20), msg));
    OK(index_fact_get(f->index, name, &out, msg));
    assert_int_equal(out.size, 1U << 20);
    FAILS(ERR_TOO_LARGE, index_fact_put(f->index, "x", slice_of(large, (1U << 20) + 1), msg));
    name[255] = 'a';
    name[256] = '\0';
    FAILS(ERR_TOO_LARGE, index_fact_put_number(f->index, name, 1, msg));
    FAILS(ERR_TOO_LARGE, index_fact_put_number(f->index, "", 1, msg));
    FAILS(ERR_TOO_LARGE, index_snapshot_put(f->index, &s, slice_of(large, size), msg));
    OK(index_snapshot_put(f->index, &s, slice_of(large, size - 1), msg));
    OK(index_snapshot_get(f->index, &s.id, &read, &out, msg));
    assert_int_equal(out.size, size - 1);
    FAILS(ERR_TOO_LARGE, index_head_put(f->index, &s.id, 1, slice_of(large, size), msg));
    free(large);
}

static void test_damaged_keepings_are_corrupt(void **state)
{
    struct fixture *f = *state;
    struct index_snapshot s = {.id = make_id('n', 1), .device = make_id('d', 1)}, out[2];
    struct slice body;
    uint64_t sequence;
    size_t count;
    OK(index_snapshot_put(f->index, &s, slice_text("b"), msg));
    OK(index_head_put(f->index, &s.device, 1, slice_text("h"), msg));
    damage(f, "UPDATE snapshot SET forgotten = 9");
    FAILS(ERR_CORRUPT, index_snapshot_get(f->index, &s.id, out, &body, msg));
    damage(f, "UPDATE snapshot SET forgotten = 0, device = 55");
    FAILS(ERR_CORRUPT, index_snapshots(f->index, true, 0, out, 2, &count, msg));
    damage(f, "UPDATE snapshot SET body = zeroblob(20000000), device = 1");
    FAILS(ERR_CORRUPT, index_snapshot_get(f->index, &s.id, out, &body, msg));
    damage(f, "UPDATE head SET sequence = -1");
    FAILS(ERR_CORRUPT, index_head_get(f->index, &s.device, &sequence, &body, msg));
    damage(f, "UPDATE head SET device = 1 << 40");
    FAILS(ERR_CORRUPT, index_heads(f->index, &s.id, 1, &count, msg));
    damage(f, "UPDATE name SET id = x'00'");
    FAILS(ERR_CORRUPT, index_snapshots(f->index, true, 0, out, 2, &count, msg));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_snapshots_by_time_without_the_forgotten),
        FIXTURE_TEST(test_heads_never_go_back),
        FIXTURE_TEST(test_facts_are_bytes_or_numbers),
        FIXTURE_TEST(test_keeping_has_limits),
        FIXTURE_TEST(test_damaged_keepings_are_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
