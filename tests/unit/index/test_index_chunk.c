/* index/: chunks found and moved, and the marks of prune. */
#include "index_fixture.h"

static struct index_chunk make_chunk(uint64_t number, uint64_t segment, uint32_t record)
{
    return (struct index_chunk){.id = make_id('k', number),
                                .segment = segment,
                                .record = record,
                                .offset = record * 1000,
                                .sealed_bytes = 990 + record,
                                .plain_bytes = 2000,
                                .group_bytes = number % 2 ? 5000 + record : 0,
                                .type = (uint8_t)(record % 3)};
}

static void add_chunk(struct fixture *f, uint64_t number, uint64_t segment, uint32_t record)
{
    struct index_chunk chunk = make_chunk(number, segment, record);
    OK(index_chunks_add(f->index, &chunk, 1, msg));
}

static uint64_t segment_of(struct fixture *f, uint64_t number, bool any_state)
{
    struct id id = make_id('k', number);
    struct index_chunk out;
    OK(index_chunks_find(f->index, &id, 1, any_state, &out, msg));
    assert_true(id_equal(&out.id, &id));
    return out.segment;
}

static void test_chunks_are_found_in_the_order_asked(void **state)
{
    enum { COUNT = 3000 };
    struct fixture *f = *state;
    uint64_t one = add_segment(f, 1, 2, 1, INDEX_COMMITTED);
    uint64_t two = add_segment(f, 2, 2, 1, INDEX_COMMITTED);
    static struct index_chunk chunks[COUNT], found[2 * COUNT];
    static struct id ids[2 * COUNT];
    for (uint32_t i = 0; i < COUNT; i++)
        chunks[i] = make_chunk(i, i % 3 ? one : two, i);
    OK(index_begin(f->index, msg));
    OK(index_chunks_add(f->index, chunks, COUNT, msg));
    OK(index_commit(f->index, msg));
    fixture_reopen(f);
    for (uint32_t i = 0; i < 2 * COUNT; i++) /* repeats, and every second unknown */
        ids[i] = make_id('k', i % 2 ? i / 2 * 7 % COUNT : COUNT + i % 100);
    OK(index_chunks_find(f->index, ids, 2 * COUNT, false, found, msg));
    for (uint32_t i = 0; i < 2 * COUNT; i++) {
        assert_true(id_equal(&found[i].id, &ids[i]));
        if (i % 2 == 0) {
            assert_int_equal(found[i].segment, 0);
            continue;
        }
        const struct index_chunk *in = &chunks[i / 2 * 7 % COUNT];
        assert_true(found[i].segment == in->segment && found[i].record == in->record &&
                    found[i].offset == in->offset && found[i].sealed_bytes == in->sealed_bytes &&
                    found[i].plain_bytes == in->plain_bytes && found[i].type == in->type &&
                    found[i].group_bytes == in->group_bytes);
        assert_int_equal(index_chunk_record_bytes(&found[i]),
                         in->group_bytes ? in->group_bytes : in->sealed_bytes);
    }
    OK(index_chunks_find(f->index, ids, 0, false, found, msg));
    OK(index_check(f->index, msg));
}

/* A chunk of a segment that is not committed must not be relied on. */
static void test_chunks_count_while_their_segment_is_committed(void **state)
{
    struct fixture *f = *state;
    uint64_t number = add_segment(f, 1, 2, 1, INDEX_BUILDING);
    add_chunk(f, 1, number, 0);
    static const enum index_segment_state walk[] = {INDEX_BUILDING,  INDEX_COMMITTED,
                                                    INDEX_LOST,      INDEX_COMMITTED,
                                                    INDEX_CONDEMNED, INDEX_DELETED};
    for (size_t i = 0; i < ARRAY_COUNT(walk); i++) {
        OK(index_segment_set_state(f->index, number, walk[i], msg));
        assert_int_equal(segment_of(f, 1, false), walk[i] == INDEX_COMMITTED ? number : 0);
        assert_int_equal(segment_of(f, 1, true), number);
    }
}

static void test_chunks_move_away_from_segments_that_are_gone(void **state)
{
    struct fixture *f = *state;
    uint64_t one = add_segment(f, 1, 2, 1, INDEX_COMMITTED);
    uint64_t two = add_segment(f, 2, 2, 1, INDEX_COMMITTED);
    add_chunk(f, 1, one, 0);
    add_chunk(f, 1, two, 5); /* the first is good: it stays */
    assert_int_equal(segment_of(f, 1, false), one);
    OK(index_segment_set_state(f->index, one, INDEX_LOST, msg));
    add_chunk(f, 1, two, 5);
    assert_int_equal(segment_of(f, 1, false), two);
    /* removing the old segment must not take the moved chunk along */
    OK(index_segment_remove(f->index, one, msg));
    assert_int_equal(segment_of(f, 1, false), two);
    struct index_chunk chunk = make_chunk(2, 99, 0);
    FAILS(ERR_NOT_FOUND, index_chunks_add(f->index, &chunk, 1, msg));
    assert_int_equal(segment_of(f, 2, true), 0);
}

static void test_segment_chunks_in_the_order_of_records(void **state)
{
    enum { COUNT = 500 };
    struct fixture *f = *state;
    uint64_t one = add_segment(f, 1, 2, 1, INDEX_COMMITTED);
    uint64_t two = add_segment(f, 2, 2, 1, INDEX_COMMITTED);
    struct index_chunk chunks[COUNT], out[COUNT];
    size_t count;
    for (uint32_t i = 0; i < COUNT; i++)
        chunks[i] = make_chunk(i, i % 5 ? one : two, COUNT - i);
    /* ids that share the bytes by which a segment's list knows them */
    chunks[7].id = chunks[8].id = chunks[10].id;
    chunks[7].id.bytes[20] ^= 1;
    chunks[8].id.bytes[31] ^= 1;
    OK(index_chunks_add(f->index, chunks, 100, msg));
    OK(index_chunks_add(f->index, chunks + 100, COUNT - 100, msg));
    OK(index_chunks_add(f->index, chunks, COUNT, msg)); /* again: changes nothing */
    OK(index_segment_chunks(f->index, one, out, COUNT, &count, msg));
    assert_int_equal(count, COUNT / 5 * 4);
    for (size_t i = 0; i < count; i++) {
        const struct index_chunk *in = &chunks[COUNT - out[i].record];
        assert_true(i == 0 || out[i].record > out[i - 1].record);
        assert_true(out[i].segment == one && id_equal(&out[i].id, &in->id));
    }
    FAILS(ERR_TOO_LARGE, index_segment_chunks(f->index, two, out, 99, &count, msg));
    assert_int_equal(count, 100);
    OK(index_segment_chunks(f->index, 77, out, COUNT, &count, msg));
    assert_int_equal(count, 0);

    OK(index_segment_remove(f->index, one, msg));
    struct id after = {{0}};
    OK(index_chunks(f->index, &after, out, COUNT, &count, msg));
    assert_int_equal(count, 100);
    OK(index_check(f->index, msg));
}

static void test_chunks_walk_in_the_order_of_ids(void **state)
{
    enum { COUNT = 1000 };
    struct fixture *f = *state;
    uint64_t one = add_segment(f, 1, 2, 1, INDEX_BUILDING);
    struct index_chunk chunks[COUNT], page[64];
    for (uint32_t i = 0; i < COUNT; i++)
        chunks[i] = make_chunk(i, one, i);
    OK(index_chunks_add(f->index, chunks, COUNT, msg));
    struct id after = {{0}}, last = {{0}};
    size_t count, seen = 0;
    do {
        OK(index_chunks(f->index, &after, page, 64, &count, msg));
        for (size_t i = 0; i < count; i++) {
            assert_true(id_compare(&last, &page[i].id) < 0);
            last = page[i].id;
        }
        seen += count;
    } while (count == 64);
    assert_int_equal(seen, COUNT);
    assert_true(id_equal(&after, &last));
}

static void test_chunks_roll_back(void **state)
{
    struct fixture *f = *state;
    uint64_t one = add_segment(f, 1, 2, 1, INDEX_COMMITTED);
    OK(index_begin(f->index, msg));
    add_chunk(f, 1, one, 0);
    assert_int_equal(segment_of(f, 1, false), one);
    index_rollback(f->index);
    assert_int_equal(segment_of(f, 1, false), 0);
    struct index_chunk out[4];
    size_t count;
    OK(index_segment_chunks(f->index, one, out, 4, &count, msg));
    assert_int_equal(count, 0);
}

static void test_marks_say_what_is_new_and_add_up(void **state)
{
    struct fixture *f = *state;
    uint64_t one = add_segment(f, 1, 2, 1, INDEX_COMMITTED);
    uint64_t two = add_segment(f, 2, 2, 1, INDEX_COMMITTED);
    uint64_t building = add_segment(f, 3, 2, 1, INDEX_BUILDING);
    for (uint32_t i = 0; i < 10; i++)
        add_chunk(f, i, i < 6 ? one : two, i);
    add_chunk(f, 10, building, 10);
    struct id ids[6] = {make_id('k', 3), make_id('k', 8),   make_id('k', 3),
                        make_id('k', 5), make_id('k', 999), make_id('k', 10)};
    static const bool expected[6] = {true, true, false, true, true, true};
    bool is_new[6];
    size_t count;
    OK(index_marks_add(f->index, ids, 6, is_new, &count, msg));
    assert_int_equal(count, 5);
    assert_memory_equal(is_new, expected, sizeof(expected));
    OK(index_marks_add(f->index, ids, 6, NULL, &count, msg));
    assert_int_equal(count, 0);

    struct index_segment_live live[4];
    for (unsigned round = 0; round < 2; round++) { /* worked out, then from its result */
        OK(index_marks_live(f->index, 0, live, 4, &count, msg));
        assert_int_equal(count, 2);
        assert_true(live[0].number == one && live[0].live_chunks == 2);
        assert_int_equal(live[0].live_bytes, 993 + 995);
        assert_true(live[1].number == two && live[1].live_chunks == 1 && live[1].live_bytes == 998);
    }
    OK(index_marks_live(f->index, one, live, 4, &count, msg));
    assert_true(count == 1 && live[0].number == two);
    /* later marks and later chunks count too */
    ids[0] = make_id('k', 9);
    OK(index_marks_add(f->index, ids, 1, is_new, &count, msg));
    assert_true(is_new[0]);
    add_chunk(f, 999, two, 20);
    OK(index_marks_live(f->index, one, live, 4, &count, msg));
    assert_true(live[0].live_chunks == 3 && live[0].live_bytes == 998 + 999 + 1010);

    OK(index_marks_clear(f->index, msg));
    OK(index_marks_live(f->index, 0, live, 4, &count, msg));
    assert_true(count == 2 && live[0].live_chunks == 0 && live[1].live_bytes == 0);
    OK(index_marks_add(f->index, ids, 1, is_new, &count, msg));
    assert_true(is_new[0]);
}

/* Chunks of one record: listed together, and what is live of it is the sum of their shares. */
static void test_members_of_a_group(void **state)
{
    struct fixture *f = *state;
    const uint64_t number = add_segment(f, 1, 2, 1, INDEX_COMMITTED);
    struct index_chunk chunks[4], out[4];
    struct index_segment_live live[2];
    size_t count;
    for (uint32_t i = 0; i < 4; i++) {
        chunks[i] = make_chunk(i, number, i == 3);
        chunks[i].offset = i == 3 ? 1064 : 64;
        chunks[i].group_bytes = i == 3 ? 0 : 1000;
        chunks[i].sealed_bytes = i == 3 ? 500 : 333 + (i == 2);
    }
    OK(index_chunks_add(f->index, chunks, 4, msg));
    OK(index_segment_chunks(f->index, number, out, 4, &count, msg));
    assert_int_equal(count, 4);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(out[i].record == 0 && out[i].offset == 64 && out[i].group_bytes == 1000);
        assert_true(i == 0 || memcmp(out[i].id.bytes, out[i - 1].id.bytes, ID_SIZE) > 0);
    }
    assert_true(out[3].record == 1 && out[3].group_bytes == 0);
    for (uint32_t i = 0; i < 3; i++)
        OK(index_marks_add(f->index, &chunks[i].id, 1, NULL, &count, msg));
    OK(index_marks_live(f->index, 0, live, 2, &count, msg));
    assert_true(count == 1 && live[0].live_bytes == 1000 && live[0].live_chunks == 3);
    /* one moves to a record of its own, elsewhere */
    const uint64_t other = add_segment(f, 2, 2, 1, INDEX_COMMITTED);
    OK(index_segment_set_state(f->index, number, INDEX_LOST, msg));
    struct index_chunk moved = make_chunk(0, other, 7);
    OK(index_chunks_add(f->index, &moved, 1, msg));
    OK(index_chunks_find(f->index, &moved.id, 1, false, out, msg));
    assert_true(out[0].segment == other && out[0].group_bytes == 0);
}

/* An index of schema 2 knew no groups: its chunks have records of their own. */
static void test_an_index_of_the_second_schema(void **state)
{
    struct fixture *f = *state;
    const uint64_t number = add_segment(f, 1, 2, 1, INDEX_COMMITTED);
    struct index_chunk chunk = make_chunk(2, number, 4), out;
    OK(index_chunks_add(f->index, &chunk, 1, msg));
    damage_closed(f, "ALTER TABLE chunk DROP COLUMN group_bytes; PRAGMA user_version = 2;"
                     "UPDATE chunk SET type = type");
    fixture_open(f, false);
    OK(index_chunks_find(f->index, &chunk.id, 1, false, &out, msg));
    assert_true(out.segment == number && out.record == 4 && out.sealed_bytes == 994 &&
                out.group_bytes == 0 && index_chunk_record_bytes(&out) == 994);
    chunk = make_chunk(3, number, 5);
    OK(index_chunks_add(f->index, &chunk, 1, msg));
    fixture_reopen(f);
    OK(index_chunks_find(f->index, &chunk.id, 1, false, &out, msg));
    assert_int_equal(out.group_bytes, 5005);
    OK(index_check(f->index, msg));
}

static void test_damaged_chunks_are_corrupt(void **state)
{
    struct fixture *f = *state;
    static const char *const breaks[] = {
        "UPDATE chunk SET segment = 0",       "UPDATE chunk SET segment = -1",
        "UPDATE chunk SET record = -1",       "UPDATE chunk SET offset = 1 << 32",
        "UPDATE chunk SET sealed_bytes = -1", "UPDATE chunk SET plain_bytes = 1 << 32",
        "UPDATE chunk SET type = 256",        "UPDATE chunk SET group_bytes = -1",
    };
    struct id id = make_id('k', 1), after = {{0}};
    struct index_chunk out[2];
    size_t count;
    for (size_t i = 0; i < ARRAY_COUNT(breaks); i++) {
        uint64_t number = add_segment(f, i, 2, 1, INDEX_COMMITTED);
        add_chunk(f, 1, number, 0);
        damage(f, breaks[i]);
        FAILS(ERR_CORRUPT, index_chunks_find(f->index, &id, 1, true, out, msg));
        after = (struct id){{0}};
        FAILS(ERR_CORRUPT, index_chunks(f->index, &after, out, 2, &count, msg));
        damage(f, "DELETE FROM chunk");
    }
    uint64_t number = add_segment(f, 50, 2, 1, INDEX_COMMITTED);
    add_chunk(f, 1, number, 0);
    damage(f, "UPDATE segment_chunks SET keys = x'00112233'");
    FAILS(ERR_CORRUPT, index_segment_chunks(f->index, number, out, 2, &count, msg));
    FAILS(ERR_CORRUPT, index_segment_remove(f->index, number, msg));
    assert_int_equal(segment_of(f, 1, false), number);
    /* its segment is not there: as good as unknown to a backup, and what a check is for */
    damage(f, "DELETE FROM segment");
    assert_int_equal(segment_of(f, 1, true), 0);
    FAILS(ERR_CORRUPT, index_check(f->index, msg));
    damage(f, "UPDATE chunk SET id = x'01'");
    after = (struct id){{0}};
    FAILS(ERR_CORRUPT, index_chunks(f->index, &after, out, 2, &count, msg));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_chunks_are_found_in_the_order_asked),
        FIXTURE_TEST(test_chunks_count_while_their_segment_is_committed),
        FIXTURE_TEST(test_chunks_move_away_from_segments_that_are_gone),
        FIXTURE_TEST(test_segment_chunks_in_the_order_of_records),
        FIXTURE_TEST(test_chunks_walk_in_the_order_of_ids),
        FIXTURE_TEST(test_chunks_roll_back),
        FIXTURE_TEST(test_marks_say_what_is_new_and_add_up),
        FIXTURE_TEST(test_members_of_a_group),
        FIXTURE_TEST(test_an_index_of_the_second_schema),
        FIXTURE_TEST(test_damaged_chunks_are_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
