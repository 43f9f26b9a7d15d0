/* index/: what follows from tombstones, condemned lists and lifts, in whatever order they come;
   what prune asks of the marks; and delete orders that wait for their answers. */
#include "index_fixture.h"

#include "index/index_cache.h"
#include "index/index_removal.h"

#define BODY slice_text("a document")

static struct index_record add(struct fixture *f, enum index_record_type type, uint64_t number,
                               const struct id *named, size_t count, size_t *condemned)
{
    struct index_record record = {.id = make_id('k', 9000 + number),
                                  .hash = make_id('h', number),
                                  .type = type,
                                  .head = 7,
                                  .time_s = 1000 + (int64_t)number};
    OK(index_record_add(f->index, &record, named, count, BODY, true, condemned, msg));
    return record;
}

static void put_snapshot(struct fixture *f, uint64_t number)
{
    const struct index_snapshot snapshot = {.id = make_id('n', number), .time_ns = (int64_t)number};
    OK(index_snapshot_put(f->index, &snapshot, slice_text("a snapshot"), msg));
}

static bool is_forgotten(struct fixture *f, uint64_t number)
{
    struct index_snapshot snapshot;
    const struct id id = make_id('n', number);
    OK(index_snapshot_get(f->index, &id, &snapshot, NULL, msg));
    return snapshot.forgotten;
}

static enum index_segment_state state_of(struct fixture *f, uint64_t number)
{
    struct index_segment row;
    OK(index_segment_by_number(f->index, number, &row, msg));
    return row.state;
}

/* Who pulls two heads gets a snapshot and the tombstone of it in either order. */
static void test_a_tombstone_holds_whether_it_comes_before_or_after_the_snapshot(void **state)
{
    struct fixture *f = *state;
    const struct id named[2] = {make_id('n', 1), make_id('n', 2)};
    put_snapshot(f, 1);
    put_snapshot(f, 3);
    (void)add(f, INDEX_TOMBSTONE, 1, named, 2, NULL);
    put_snapshot(f, 2);
    put_snapshot(f, 1); /* once more */
    assert_true(is_forgotten(f, 1) && is_forgotten(f, 2));
    assert_false(is_forgotten(f, 3));
}

static void test_a_lift_holds_whether_it_comes_before_or_after_what_it_lifts(void **state)
{
    struct fixture *f = *state;
    const struct id named[1] = {make_id('n', 1)}, hashes[2] = {make_id('h', 1), make_id('h', 2)};
    put_snapshot(f, 1);
    (void)add(f, INDEX_TOMBSTONE, 1, named, 1, NULL);
    assert_true(is_forgotten(f, 1));
    (void)add(f, INDEX_LIFT, 50, hashes, 2, NULL);
    assert_false(is_forgotten(f, 1));
    (void)add(f, INDEX_TOMBSTONE, 2, named, 1, NULL); /* lifted before it was known */
    assert_false(is_forgotten(f, 1));
    (void)add(f, INDEX_TOMBSTONE, 3, named, 1, NULL); /* a new one counts */
    assert_true(is_forgotten(f, 1));
    (void)add(f, INDEX_TOMBSTONE, 1, named, 1, NULL); /* known: nothing changes */
    struct index_record rows[8];
    size_t count;
    OK(index_records(f->index, 0, 0, rows, 8, &count, msg));
    assert_int_equal(count, 4);
    assert_true(rows[0].lifted && rows[2].lifted && !rows[3].lifted);
    assert_int_equal(rows[3].time_s, 1003);
    assert_int_equal(rows[3].head, 7);
    OK(index_records(f->index, INDEX_TOMBSTONE, rows[0].number, rows, 8, &count, msg));
    assert_int_equal(count, 2);
}

static void test_a_segment_is_condemned_while_any_list_names_it(void **state)
{
    struct fixture *f = *state;
    const struct id named[2] = {make_id('s', 1), make_id('s', 2)};
    const struct id first[1] = {make_id('h', 1)}, second[1] = {make_id('h', 2)};
    const uint64_t one = add_segment(f, 1, 2, 1, INDEX_COMMITTED);
    const uint64_t two = add_segment(f, 2, 2, 1, INDEX_COMMITTED);
    const uint64_t other = add_segment(f, 3, 2, 1, INDEX_COMMITTED);
    size_t condemned = 0;
    bool is;
    (void)add(f, INDEX_CONDEMNED_LIST, 1, named, 2, &condemned);
    assert_int_equal(condemned, 2);
    (void)add(f, INDEX_CONDEMNED_LIST, 2, &named[1], 1, &condemned);
    assert_int_equal(condemned, 2); /* it was so before */
    assert_int_equal(state_of(f, one), INDEX_CONDEMNED);
    assert_int_equal(state_of(f, other), INDEX_COMMITTED);
    OK(index_is_named(f->index, INDEX_CONDEMNED_LIST, &named[0], &is, msg));
    assert_true(is);
    OK(index_is_named(f->index, INDEX_TOMBSTONE, &named[0], &is, msg));
    assert_false(is);
    (void)add(f, INDEX_LIFT, 3, first, 1, NULL);
    assert_int_equal(state_of(f, one), INDEX_COMMITTED);
    assert_int_equal(state_of(f, two), INDEX_CONDEMNED);
    (void)add(f, INDEX_LIFT, 4, second, 1, NULL);
    assert_int_equal(state_of(f, two), INDEX_COMMITTED);
}

/* A run that dies between condemning and publishing leaves nothing that a later one minds. */
static void test_what_was_condemned_and_never_published_counts_again(void **state)
{
    struct fixture *f = *state;
    const struct id named[1] = {make_id('s', 1)};
    const uint64_t listed = add_segment(f, 1, 2, 1, INDEX_COMMITTED);
    const uint64_t unlisted = add_segment(f, 2, 2, 1, INDEX_COMMITTED);
    (void)add(f, INDEX_CONDEMNED_LIST, 1, named, 1, NULL);
    OK(index_segment_condemn(f->index, unlisted, msg));
    FAILS(ERR_STATE, index_segment_condemn(f->index, unlisted, msg));
    OK(index_uncondemn_unlisted(f->index, msg));
    assert_int_equal(state_of(f, listed), INDEX_CONDEMNED);
    assert_int_equal(state_of(f, unlisted), INDEX_COMMITTED);
}

static void put_dir(struct fixture *f, const char *path, const struct id *tree, size_t node_size)
{
    struct buf row, node = BUF_INIT(1 << 20);
    assert_int_equal(index_dir_start(&row), ERR_OK);
    assert_int_equal(buf_append_zeros(&node, node_size), ERR_OK);
    const struct index_cached entry = {.name = slice_text("f"), .node = buf_slice(&node)};
    if (node_size > 0)
        assert_int_equal(index_dir_append(&row, &entry), ERR_OK);
    index_dir_set_tree(&row, tree);
    OK(index_dir_put(f->index, slice_text(path), buf_slice(&row), msg));
    buf_free(&row);
    buf_free(&node);
}

static bool is_doubtful(struct fixture *f, const char *path)
{
    struct index_dir dir;
    OK(index_dir_get(f->index, slice_text(path), &dir, msg));
    const bool doubtful = dir.doubtful;
    index_dir_free(&dir);
    return doubtful;
}

/* After a prune an unchanged tree is not read again: its rows name what is marked. */
static void test_directories_whose_tree_is_marked_stay_without_doubt(void **state)
{
    struct fixture *f = *state;
    const struct id marked = make_id('k', 1), unmarked = make_id('k', 2), none = {{0}};
    size_t fresh;
    put_dir(f, "/marked", &marked, 100);
    put_dir(f, "/unmarked", &unmarked, 100);
    put_dir(f, "/large", &marked, 300000); /* of several nodes: the first says nothing of others */
    put_dir(f, "/empty", &none, 0);
    OK(index_marks_add(f->index, &marked, 1, NULL, &fresh, msg));
    OK(index_dirs_doubt_unmarked(f->index, msg));
    assert_false(is_doubtful(f, "/marked"));
    assert_true(is_doubtful(f, "/unmarked"));
    assert_true(is_doubtful(f, "/large"));
    assert_false(is_doubtful(f, "/empty"));
    /* another device's list puts all in doubt, as it is not known what was marked for it */
    (void)add_segment(f, 1, 2, 1, INDEX_COMMITTED);
    const struct id named[1] = {make_id('s', 1)};
    (void)add(f, INDEX_CONDEMNED_LIST, 1, named, 1, NULL);
    assert_true(is_doubtful(f, "/marked"));
}

static void add_chunk(struct fixture *f, uint64_t number, uint64_t segment, uint32_t record)
{
    const struct index_chunk chunk = {.id = make_id('k', number),
                                      .segment = segment,
                                      .record = record,
                                      .sealed_bytes = 100,
                                      .plain_bytes = 84,
                                      .type = 1};
    OK(index_chunks_add(f->index, &chunk, 1, msg));
}

static void test_marks_tell_what_is_lost_and_what_must_be_rescued(void **state)
{
    struct fixture *f = *state;
    const struct id ids[3] = {make_id('k', 1), make_id('k', 2), make_id('k', 77)};
    const struct id named[1] = {make_id('s', 1)};
    struct index_segment_live live[4];
    const uint64_t condemned = add_segment(f, 1, 2, 1, INDEX_COMMITTED);
    const uint64_t counts = add_segment(f, 2, 2, 1, INDEX_COMMITTED);
    size_t count, fresh;
    uint64_t lost, numbers[4];
    bool has[3];
    add_chunk(f, 1, condemned, 0);
    add_chunk(f, 2, counts, 0);
    (void)add(f, INDEX_CONDEMNED_LIST, 1, named, 1, NULL);
    OK(index_marks_add(f->index, ids, 2, NULL, &fresh, msg));
    OK(index_marks_has(f->index, ids, 3, has, msg));
    assert_true(has[0] && has[1] && !has[2]);
    OK(index_marks_lost(f->index, &lost, msg));
    assert_int_equal(lost, 0);
    OK(index_marks_live(f->index, 0, live, 4, &count, msg));
    assert_int_equal(count, 1);
    assert_true(live[0].number == counts && live[0].live_chunks == 1);
    OK(index_marks_condemned(f->index, 0, numbers, 4, &count, msg));
    assert_int_equal(count, 1);
    assert_int_equal(numbers[0], condemned);
    add_chunk(f, 1, counts, 1); /* it has moved */
    OK(index_marks_live(f->index, 0, live, 4, &count, msg));
    assert_int_equal(live[0].live_chunks, 2);
    OK(index_marks_condemned(f->index, 0, numbers, 4, &count, msg));
    assert_int_equal(count, 0);
    OK(index_marks_add(f->index, &ids[2], 1, NULL, &fresh, msg));
    OK(index_marks_lost(f->index, &lost, msg));
    assert_int_equal(lost, 1);
}

static void test_objects_are_listed_by_what_they_list(void **state)
{
    struct fixture *f = *state;
    const struct id one = make_id('o', 1), two = make_id('o', 2);
    const uint64_t a = add_segment(f, 1, 2, 1, INDEX_COMMITTED);
    const uint64_t b = add_segment(f, 2, 2, 1, INDEX_COMMITTED);
    const uint64_t c = add_segment(f, 3, 2, 1, INDEX_COMMITTED);
    struct index_segment row;
    struct id after = {{0}}, out[4];
    size_t count;
    OK(index_listed_set(f->index, a, &one, msg));
    OK(index_listed_set(f->index, b, &one, msg));
    OK(index_listed_set(f->index, c, &two, msg));
    OK(index_segment_by_number(f->index, c, &row, msg));
    assert_true(row.published);
    OK(index_listed_objects(f->index, 1u << INDEX_COMMITTED, &after, out, 4, &count, msg));
    assert_int_equal(count, 2);
    OK(index_segment_condemn(f->index, c, msg));
    after = (struct id){{0}};
    OK(index_listed_objects(f->index, 1u << INDEX_COMMITTED, &after, out, 4, &count, msg));
    assert_true(count == 1 && id_equal(&out[0], &one));
    after = (struct id){{0}};
    OK(index_listed_objects(f->index, 1u << INDEX_CONDEMNED, &after, out, 4, &count, msg));
    assert_true(count == 1 && id_equal(&out[0], &two));
    OK(index_segment_remove(f->index, c, msg));
    after = (struct id){{0}};
    OK(index_listed_objects(f->index, 0xff, &after, out, 4, &count, msg));
    assert_int_equal(count, 1);
}

static void test_pins_are_replaced_device_by_device(void **state)
{
    struct fixture *f = *state;
    const struct id a = make_id('d', 1), b = make_id('d', 2);
    const struct id segments[3] = {make_id('s', 1), make_id('s', 2), make_id('s', 3)};
    bool pinned[3];
    OK(index_pins_set(f->index, &a, segments, 2, msg));
    OK(index_pins_set(f->index, &b, &segments[1], 2, msg));
    OK(index_pins_set(f->index, &a, segments, 1, msg));
    for (size_t i = 0; i < 3; i++)
        OK(index_is_pinned(f->index, &segments[i], &pinned[i], msg));
    assert_true(pinned[0] && pinned[1] && pinned[2]);
    OK(index_pins_set(f->index, &b, NULL, 0, msg));
    for (size_t i = 0; i < 3; i++)
        OK(index_is_pinned(f->index, &segments[i], &pinned[i], msg));
    assert_true(pinned[0] && !pinned[1] && !pinned[2]);
}

static void test_orders_wait_until_everybody_has_answered(void **state)
{
    struct fixture *f = *state;
    const struct id peers[4] = {{{0}}, make_id('c', 1), make_id('c', 2), make_id('c', 1)};
    struct index_order rows[8], after = {0};
    struct slice doc;
    size_t count;
    uint64_t waiting;
    OK(index_order_add(f->index, 1, slice_text("first"), 10, peers, 4, msg));
    OK(index_order_add(f->index, 2, slice_text("second"), 11, &peers[1], 1, msg));
    fixture_reopen(f);
    OK(index_orders_waiting(f->index, &waiting, msg));
    assert_int_equal(waiting, 4);
    OK(index_orders(f->index, NULL, rows, 8, &count, msg));
    assert_int_equal(count, 4);
    assert_true(id_is_zero(&rows[0].peer)); /* the coordinator */
    for (size_t i = 0; i < 4; i++) {        /* one at a time: each once, none left out */
        struct index_order one;
        OK(index_orders(f->index, &after, &one, 1, &count, msg));
        assert_true(count == 1 && one.number == rows[i].number &&
                    id_equal(&one.peer, &rows[i].peer) && one.kind == rows[i].kind);
        after = one;
    }
    OK(index_order_doc(f->index, rows[0].number, &doc, msg));
    assert_true(slice_equal(doc, slice_text("first")));
    for (size_t i = 0; i < 4; i++)
        if (rows[i].kind == 1)
            OK(index_order_answered(f->index, &rows[i], msg));
    FAILS(ERR_NOT_FOUND, index_order_doc(f->index, rows[0].number, &doc, msg));
    OK(index_orders_waiting(f->index, &waiting, msg));
    assert_int_equal(waiting, 1);
    OK(index_orders_drop(f->index, 2, msg));
    OK(index_orders_waiting(f->index, &waiting, msg));
    assert_int_equal(waiting, 0);
}

static void test_an_index_of_the_first_schema_lists_its_segments_anew(void **state)
{
    struct fixture *f = *state;
    struct index_segment row;
    const uint64_t number = add_segment(f, 1, 2, 1, INDEX_COMMITTED);
    OK(index_segment_set_published(f->index, number, msg));
    damage_closed(f, "DROP TABLE listed; DROP TABLE pin; DROP TABLE record; DROP TABLE named;"
                     "DROP TABLE lift; DROP TABLE removal; DROP TABLE removal_peer;"
                     "ALTER TABLE chunk DROP COLUMN group_bytes;"
                     "PRAGMA user_version = 1; UPDATE state SET generation = generation");
    fixture_open(f, false);
    OK(index_segment_by_number(f->index, number, &row, msg));
    assert_false(row.published);
    (void)add(f, INDEX_TOMBSTONE, 1, &row.id, 1, NULL);
}

static void test_a_damaged_record_is_told(void **state)
{
    struct fixture *f = *state;
    const struct id named[1] = {make_id('n', 1)};
    struct index_record rows[2], *record = rows;
    size_t count;
    (void)add(f, INDEX_TOMBSTONE, 1, named, 1, NULL);
    FAILS(ERR_TOO_LARGE,
          index_record_add(f->index, record, named, 1, slice_of(NULL, 0), true, NULL, msg));
    damage(f, "UPDATE record SET type = 3");
    FAILS(ERR_CORRUPT, index_records(f->index, 0, 0, rows, 2, &count, msg));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_a_tombstone_holds_whether_it_comes_before_or_after_the_snapshot),
        FIXTURE_TEST(test_a_lift_holds_whether_it_comes_before_or_after_what_it_lifts),
        FIXTURE_TEST(test_a_segment_is_condemned_while_any_list_names_it),
        FIXTURE_TEST(test_what_was_condemned_and_never_published_counts_again),
        FIXTURE_TEST(test_directories_whose_tree_is_marked_stay_without_doubt),
        FIXTURE_TEST(test_marks_tell_what_is_lost_and_what_must_be_rescued),
        FIXTURE_TEST(test_objects_are_listed_by_what_they_list),
        FIXTURE_TEST(test_pins_are_replaced_device_by_device),
        FIXTURE_TEST(test_orders_wait_until_everybody_has_answered),
        FIXTURE_TEST(test_an_index_of_the_first_schema_lists_its_segments_anew),
        FIXTURE_TEST(test_a_damaged_record_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
