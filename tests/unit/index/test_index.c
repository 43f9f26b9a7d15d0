/* index/: segments, their states and shards, the sums over them, and files that are not as they
   should be. */
#include "index_fixture.h"

#include <limits.h>

static void test_segment_comes_back_as_it_went_in(void **state)
{
    struct fixture *f = *state;
    struct index_shard shards[6] = {{make_id('c', 1), INDEX_SHARD_STORED},
                                    {make_id('c', 2), INDEX_SHARD_SENT},
                                    {{{0}}, INDEX_SHARD_NONE},
                                    {make_id('c', 1), INDEX_SHARD_MISSING},
                                    {make_id('c', 4), INDEX_SHARD_DEBT},
                                    {make_id('c', 5), INDEX_SHARD_STORED}};
    struct index_segment in = {.id = make_id('s', 1),
                               .device = make_id('d', 1),
                               .kind = INDEX_METADATA,
                               .state = INDEX_BUILDING,
                               .k = 4,
                               .m = 2,
                               .shard_bytes = UINT32_MAX,
                               .epoch = UINT32_MAX,
                               .plain_bytes = INT64_MAX,
                               .sealed_bytes = 77,
                               .chunk_count = 65536,
                               .created_s = -5,
                               .published = true};
    struct index_segment out, again;
    struct slice header, record;
    OK(index_segment_add(f->index, &in, slice_text("the header"), slice_text("the record"), shards,
                         msg));
    assert_true(in.number > 0);
    assert_int_equal(in.debt_count, 4);
    fixture_reopen(f);
    OK(index_segment_get(f->index, &in.id, &out, msg));
    OK(index_segment_by_number(f->index, in.number, &again, msg));
    assert_memory_equal(&out.id, &in.id, sizeof(in.id));
    assert_memory_equal(&out.device, &in.device, sizeof(in.device));
    assert_true(out.kind == in.kind && out.state == in.state && out.k == 4 && out.m == 2);
    assert_true(out.shard_bytes == in.shard_bytes && out.epoch == in.epoch);
    assert_true(out.plain_bytes == in.plain_bytes && out.sealed_bytes == 77);
    assert_true(out.chunk_count == 65536 && out.created_s == -5 && out.published);
    assert_true(out.debt_count == 4 && out.number == in.number && again.number == in.number);

    OK(index_segment_header(f->index, in.number, &header, &record, msg));
    assert_true(slice_equal(header, slice_text("the header")));
    assert_true(slice_equal(record, slice_text("the record")));
    struct index_shard read[LIMIT_SHARDS];
    size_t count;
    OK(index_segment_shards(f->index, in.number, read, &count, msg));
    assert_int_equal(count, 6);
    for (size_t i = 0; i < count; i++)
        assert_true(read[i].state == shards[i].state && id_equal(&read[i].cell, &shards[i].cell));
}

static void test_segment_wrong_ones_are_refused(void **state)
{
    struct fixture *f = *state;
    struct index_shard shards[2] = {{make_id('c', 1), INDEX_SHARD_STORED}};
    struct index_segment s = {.id = make_id('s', 1), .kind = 1, .state = 1, .k = 1, .m = 1}, wrong;
    struct slice none = slice_of(NULL, 0), out;
    OK(index_segment_add(f->index, &s, none, none, shards, msg));
    OK(index_segment_header(f->index, s.number, &out, &out, msg));
    assert_int_equal(out.size, 0);
    wrong = s;
    FAILS(ERR_EXISTS, index_segment_add(f->index, &wrong, none, none, shards, msg));
    wrong.id = make_id('s', 2);
    wrong.k = 0;
    FAILS(ERR_USAGE, index_segment_add(f->index, &wrong, none, none, shards, msg));
    wrong.k = 250;
    wrong.m = 6;
    FAILS(ERR_USAGE, index_segment_add(f->index, &wrong, none, none, shards, msg));
    wrong = s;
    wrong.id = make_id('s', 2);
    wrong.plain_bytes = UINT64_MAX;
    FAILS(ERR_TOO_LARGE, index_segment_add(f->index, &wrong, none, none, shards, msg));
    wrong.plain_bytes = 0;
    shards[1].state = INDEX_SHARD_MISSING + 1;
    FAILS(ERR_USAGE, index_segment_add(f->index, &wrong, none, none, shards, msg));
    FAILS(ERR_NOT_FOUND, index_segment_get(f->index, &wrong.id, &s, msg)); /* nothing half-done */

    size_t count;
    FAILS(ERR_NOT_FOUND, index_segment_by_number(f->index, 99, &wrong, msg));
    FAILS(ERR_NOT_FOUND, index_segment_shards(f->index, 99, shards, &count, msg));
    FAILS(ERR_NOT_FOUND, index_segment_header(f->index, 99, &out, &out, msg));
    FAILS(ERR_NOT_FOUND, index_segment_set_state(f->index, 99, INDEX_LOST, msg));
    FAILS(ERR_NOT_FOUND, index_segment_set_published(f->index, 99, msg));
    FAILS(ERR_NOT_FOUND, index_segment_remove(f->index, 99, msg));
    FAILS(ERR_NOT_FOUND, index_segment_set_shard(f->index, 99, 0, shards, msg));
    FAILS(ERR_USAGE, index_segment_set_state(f->index, 1, 9, msg));
    FAILS(ERR_USAGE, index_segment_set_shard(f->index, 1, 2, shards, msg));
    FAILS(ERR_USAGE, index_segment_set_shards(f->index, 1, shards, 1, msg));
}

static void test_segment_debts_follow_the_shards(void **state)
{
    struct fixture *f = *state;
    uint64_t number = add_segment(f, 1, 4, 2, INDEX_COMMITTED);
    struct index_segment segment;
    struct index_shard shard = {make_id('c', 99), INDEX_SHARD_DEBT};
    OK(index_segment_set_shard(f->index, number, 5, &shard, msg));
    shard.state = INDEX_SHARD_MISSING;
    OK(index_segment_set_shard(f->index, number, 0, &shard, msg));
    OK(index_segment_by_number(f->index, number, &segment, msg));
    assert_int_equal(segment.debt_count, 2);
    shard.state = INDEX_SHARD_STORED;
    OK(index_segment_set_shard(f->index, number, 5, &shard, msg));
    OK(index_segment_by_number(f->index, number, &segment, msg));
    assert_int_equal(segment.debt_count, 1);
    struct index_shard shards[LIMIT_SHARDS], back[LIMIT_SHARDS];
    size_t count;
    OK(index_segment_shards(f->index, number, shards, &count, msg));
    assert_true(id_equal(&shards[5].cell, &shard.cell) && shards[0].state == INDEX_SHARD_MISSING);
    shards[0].state = INDEX_SHARD_STORED;
    OK(index_segment_set_shards(f->index, number, shards, count, msg));
    OK(index_segment_shards(f->index, number, back, &count, msg));
    for (size_t i = 0; i < count; i++)
        assert_true(back[i].state == INDEX_SHARD_STORED &&
                    id_equal(&back[i].cell, &shards[i].cell));
    OK(index_segment_by_number(f->index, number, &segment, msg));
    assert_int_equal(segment.debt_count, 0);
}

static void test_segments_are_listed_by_filter_and_page(void **state)
{
    struct fixture *f = *state;
    struct index_shard debt = {.state = INDEX_SHARD_DEBT};
    for (unsigned i = 0; i < 20; i++) {
        uint64_t number = add_segment(f, i, 2, 1, i % 2 ? INDEX_COMMITTED : INDEX_BUILDING);
        if (i % 5 == 0)
            OK(index_segment_set_shard(f->index, number, 1, &debt, msg));
        if (i < 10)
            OK(index_segment_set_published(f->index, number, msg));
    }
    struct index_segment page[32];
    size_t count;
    const struct {
        struct index_segment_filter filter;
        size_t expected;
    } cases[] = {
        {{0}, 20},
        {{.states = 1U << INDEX_COMMITTED}, 10},
        {{.states = 1U << INDEX_COMMITTED | 1U << INDEX_BUILDING}, 20},
        {{.states = 1U << INDEX_LOST}, 0},
        {{.with_debts = true}, 4},
        {{.with_debts = true, .states = 1U << INDEX_BUILDING}, 2},
        {{.unpublished = true}, 10},
        {{.unpublished = true, .with_debts = true}, 2},
        {{.kind = INDEX_METADATA}, 0},
        {{.kind = INDEX_DATA, .unpublished = true}, 10},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        OK(index_segments(f->index, &cases[i].filter, page, 32, &count, msg));
        assert_int_equal(count, cases[i].expected);
    }
    struct index_segment_filter filter = {0};
    size_t seen = 0;
    do {
        OK(index_segments(f->index, &filter, page, 7, &count, msg));
        for (size_t i = 0; i < count; i++) {
            assert_true(page[i].number > filter.after_number);
            filter.after_number = page[i].number;
        }
        seen += count;
    } while (count == 7);
    assert_int_equal(seen, 20);
}

static void test_segment_deleted_is_for_good_and_numbers_are_not_given_again(void **state)
{
    struct fixture *f = *state;
    uint64_t one = add_segment(f, 1, 2, 1, INDEX_DELETED);
    FAILS(ERR_STATE, index_segment_set_state(f->index, one, INDEX_COMMITTED, msg));
    OK(index_segment_set_state(f->index, one, INDEX_DELETED, msg));
    uint64_t two = add_segment(f, 2, 2, 1, INDEX_BUILDING);
    OK(index_segment_remove(f->index, two, msg));
    FAILS(ERR_NOT_FOUND, index_segment_by_number(f->index, two, &(struct index_segment){0}, msg));
    assert_true(add_segment(f, 3, 2, 1, INDEX_BUILDING) > two);
    OK(index_check(f->index, msg));
}

static void test_totals_and_cells_count_committed_segments(void **state)
{
    struct fixture *f = *state;
    struct index_totals totals;
    OK(index_totals(f->index, &totals, msg));
    assert_true(totals.segments == 0 && totals.margin_min == INT_MAX);
    uint64_t one = add_segment(f, 1, 4, 2, INDEX_COMMITTED);
    (void)add_segment(f, 2, 2, 2, INDEX_COMMITTED);
    (void)add_segment(f, 3, 2, 2, INDEX_BUILDING);
    struct index_shard gone = {make_id('c', 3), INDEX_SHARD_MISSING};
    OK(index_segment_set_shard(f->index, one, 3, &gone, msg));
    OK(index_totals(f->index, &totals, msg));
    assert_true(totals.segments == 2 && totals.segments_with_debts == 1 && totals.chunks == 6);
    assert_true(totals.plain_bytes == 2000 && totals.sealed_bytes == 1800);
    assert_true(totals.shard_bytes == 9 * 65536 && totals.margin_min == 1);

    struct index_cell_use uses[8];
    size_t count;
    OK(index_cells(f->index, uses, 8, &count, msg));
    assert_int_equal(count, 6);
    for (size_t i = 0; i < count; i++) {
        assert_true(i == 0 || id_compare(&uses[i - 1].cell, &uses[i].cell) < 0);
        for (unsigned c = 0; c < 6; c++) {
            struct id id = make_id('c', c);
            if (!id_equal(&id, &uses[i].cell))
                continue;
            unsigned shards = c == 3 ? 1 : c < 4 ? 2 : 1;
            assert_int_equal(uses[i].shards, shards);
            assert_int_equal(uses[i].missing, c == 3);
            assert_int_equal(uses[i].bytes, shards * 65536);
        }
    }
    OK(index_cells(f->index, uses, 2, &count, msg));
    assert_int_equal(count, 2);
    for (unsigned i = 0; i < 5; i++) { /* fewer than k are left: below zero */
        gone.cell = make_id('c', i);
        OK(index_segment_set_shard(f->index, one, i, &gone, msg));
    }
    OK(index_totals(f->index, &totals, msg));
    assert_int_equal(totals.margin_min, -3);
}

static void test_rollback_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    uint64_t kept = add_segment(f, 1, 2, 1, INDEX_COMMITTED);
    OK(index_begin(f->index, msg));
    FAILS(ERR_STATE, index_begin(f->index, msg));
    (void)add_segment(f, 2, 2, 1, INDEX_COMMITTED);
    OK(index_segment_set_state(f->index, kept, INDEX_LOST, msg));
    OK(index_fact_put_number(f->index, "n", 1, msg));
    index_rollback(f->index);
    index_rollback(f->index);
    struct index_segment s;
    struct id id = make_id('s', 2);
    int64_t n;
    FAILS(ERR_NOT_FOUND, index_segment_get(f->index, &id, &s, msg));
    FAILS(ERR_NOT_FOUND, index_fact_get_number(f->index, "n", &n, msg));
    OK(index_segment_by_number(f->index, kept, &s, msg));
    assert_int_equal(s.state, INDEX_COMMITTED);
    FAILS(ERR_STATE, index_commit(f->index, msg));
    /* what is open when the program stops is rolled back too */
    OK(index_begin(f->index, msg));
    OK(index_segment_remove(f->index, kept, msg));
    fixture_reopen(f);
    OK(index_segment_by_number(f->index, kept, &s, msg));
}

static void test_reader_beside_a_writer_sees_what_was_committed(void **state)
{
    struct fixture *f = *state;
    uint64_t number = add_segment(f, 1, 2, 1, INDEX_BUILDING);
    struct index *reader;
    struct index_segment s;
    const struct index_options options = {.path = f->path, .read_only = true};
    OK(index_open(&options, &reader, msg));
    OK(index_begin(f->index, msg));
    OK(index_segment_set_state(f->index, number, INDEX_COMMITTED, msg));
    OK(index_segment_by_number(reader, number, &s, msg));
    assert_int_equal(s.state, INDEX_BUILDING);
    OK(index_commit(f->index, msg));
    OK(index_segment_by_number(reader, number, &s, msg));
    assert_int_equal(s.state, INDEX_COMMITTED);
    /* a reader that looks at several things sees one state meanwhile */
    OK(index_begin(reader, msg));
    OK(index_segment_by_number(reader, number, &s, msg));
    OK(index_segment_set_state(f->index, number, INDEX_LOST, msg));
    OK(index_segment_by_number(reader, number, &s, msg));
    assert_int_equal(s.state, INDEX_COMMITTED);
    OK(index_commit(reader, msg));

    size_t count;
    FAILS(ERR_READ_ONLY, index_segment_set_state(reader, number, INDEX_LOST, msg));
    FAILS(ERR_READ_ONLY, index_segment_remove(reader, number, msg));
    FAILS(ERR_READ_ONLY, index_fact_put_number(reader, "n", 1, msg));
    FAILS(ERR_READ_ONLY, index_marks_live(reader, 0, NULL, 0, &count, msg));
    FAILS(ERR_READ_ONLY, index_chunks_add(reader, NULL, 0, msg));
    OK(index_check(reader, msg));
    index_close(reader);
}

static void test_open_refuses_what_it_cannot_understand(void **state)
{
    struct fixture *f = *state;
    struct index *index;
    char missing[128];
    (void)snprintf(missing, sizeof(missing), "%s/nothing.db", f->dir);
    struct index_options options = {.path = missing};
    FAILS(ERR_NOT_FOUND, index_open(&options, &index, msg));
    assert_null(index);
    index_close(NULL);
    options.path = f->path;
    (void)add_segment(f, 1, 2, 1, INDEX_COMMITTED);
    damage_closed(f, "UPDATE state SET generation = 1; PRAGMA user_version = 99");
    FAILS(ERR_VERSION, index_open(&options, &index, msg));
    assert_null(index);
}

/* Each row that this room reads holds what it could never have written. */
static void test_damaged_rows_are_corrupt_and_never_more(void **state)
{
    struct fixture *f = *state;
    static const char *const breaks[] = {
        "UPDATE segment SET id = x'00'",
        "UPDATE segment SET state = 0",
        "UPDATE segment SET state = 6",
        "UPDATE segment SET kind = 3",
        "UPDATE segment SET k = 0",
        "UPDATE segment SET k = 256",
        "UPDATE segment SET m = 255",
        "UPDATE segment SET m = -1",
        "UPDATE segment SET debts = 99",
        "UPDATE segment SET shard_bytes = -1",
        "UPDATE segment SET epoch = 1 << 40",
        "UPDATE segment SET plain_bytes = -1",
        "UPDATE segment SET chunk_count = -1",
        "UPDATE segment SET published = 2",
        "UPDATE segment SET device = 77",
    };
    for (size_t i = 0; i < ARRAY_COUNT(breaks); i++) {
        uint64_t number = add_segment(f, i, 2, 1, INDEX_COMMITTED);
        struct index_segment s;
        size_t count;
        damage(f, breaks[i]);
        FAILS(ERR_CORRUPT, index_segment_by_number(f->index, number, &s, msg));
        struct index_segment_filter all = {0};
        FAILS(ERR_CORRUPT, index_segments(f->index, &all, &s, 1, &count, msg));
        damage(f, "DELETE FROM segment");
    }
    static const char *const shard_breaks[] = {
        "UPDATE segment_shards SET shards = x''",
        "UPDATE segment_shards SET shards = x'0200000000'",
        "UPDATE segment_shards SET shards = x'050100000002010000000201000000'",
        "UPDATE segment_shards SET shards = x'02ffffffff02010000000201000000'",
        "DELETE FROM segment_shards",
    };
    for (size_t i = 0; i < ARRAY_COUNT(shard_breaks); i++) {
        uint64_t number = add_segment(f, 100 + i, 2, 1, INDEX_COMMITTED);
        struct index_shard shards[LIMIT_SHARDS], shard = {.state = INDEX_SHARD_DEBT};
        struct index_cell_use uses[8];
        size_t count;
        damage(f, shard_breaks[i]);
        FAILS(ERR_CORRUPT, index_segment_shards(f->index, number, shards, &count, msg));
        assert_int_equal(count, 0);
        if (i == 3)
            FAILS(ERR_CORRUPT, index_cells(f->index, uses, 8, &count, msg));
        else
            FAILS(ERR_CORRUPT, index_segment_set_shard(f->index, number, 0, &shard, msg));
        if (i == 4)
            FAILS(ERR_CORRUPT, index_check(f->index, msg));
        damage(f, "DELETE FROM segment");
    }
    (void)add_segment(f, 200, 2, 1, INDEX_COMMITTED);
    damage(f, "UPDATE segment SET m = 1 << 40");
    FAILS(ERR_CORRUPT, index_totals(f->index, &(struct index_totals){0}, msg));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_segment_comes_back_as_it_went_in),
        FIXTURE_TEST(test_segment_wrong_ones_are_refused),
        FIXTURE_TEST(test_segment_debts_follow_the_shards),
        FIXTURE_TEST(test_segments_are_listed_by_filter_and_page),
        FIXTURE_TEST(test_segment_deleted_is_for_good_and_numbers_are_not_given_again),
        FIXTURE_TEST(test_totals_and_cells_count_committed_segments),
        FIXTURE_TEST(test_rollback_leaves_nothing),
        FIXTURE_TEST(test_reader_beside_a_writer_sees_what_was_committed),
        FIXTURE_TEST(test_open_refuses_what_it_cannot_understand),
        FIXTURE_TEST(test_damaged_rows_are_corrupt_and_never_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
