/* index/: what directories looked like, rows as bytes, and files on their way. */
#include "index_fixture.h"

#include "index/index_cache.h"

static struct index_cached make_entry(const char *name, uint64_t n)
{
    return (struct index_cached){.name = slice_text(name),
                                 .type = (uint8_t)(1 + n % 7),
                                 .size = n * 1000,
                                 .mtime_s = -(int64_t)n,
                                 .ctime_s = (int64_t)n,
                                 .mtime_ns = 999999999,
                                 .ctime_ns = (uint32_t)n,
                                 .inode = UINT64_MAX - n,
                                 .node = slice_text("an opaque node")};
}

static const char *const names[] = {"a", "ab", "b", "\xff\x01"};

static struct buf make_row(size_t count)
{
    struct buf row;
    struct id tree = make_id('t', 1);
    assert_int_equal(index_dir_start(&row), ERR_OK);
    for (size_t i = 0; i < count; i++) {
        struct index_cached entry = make_entry(names[i], i);
        assert_int_equal(index_dir_append(&row, &entry), ERR_OK);
    }
    index_dir_set_tree(&row, &tree);
    return row;
}

/* Takes a copy, so that ASan sees a byte too much. */
static enum err parse(struct slice bytes, struct index_dir *out)
{
    struct buf body = BUF_INIT(bytes.size + 1);
    assert_int_equal(buf_append(&body, bytes.data, bytes.size), ERR_OK);
    enum err e = index_dir_parse(&body, out);
    assert_null(body.data); /* taken over */
    return e;
}

static void check_row(struct index_dir *dir, size_t count)
{
    struct index_cached entry;
    struct id tree = make_id('t', 1);
    assert_true(id_equal(&dir->tree, &tree) && dir->count == count);
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < count; i++) {
            struct index_cached expected = make_entry(names[i], i);
            assert_int_equal(index_dir_next(dir, &entry), ERR_OK);
            assert_true(slice_equal(entry.name, expected.name));
            assert_true(slice_equal(entry.node, expected.node));
            assert_true(entry.type == expected.type && entry.size == expected.size);
            assert_true(entry.mtime_s == expected.mtime_s && entry.mtime_ns == expected.mtime_ns);
            assert_true(entry.ctime_s == expected.ctime_s && entry.ctime_ns == expected.ctime_ns);
            assert_true(entry.inode == expected.inode);
        }
        assert_int_equal(index_dir_next(dir, &entry), ERR_END);
        index_dir_rewind(dir);
    }
}

static void test_dir_row_round_trip(void **state)
{
    (void)state;
    for (size_t count = 0; count <= ARRAY_COUNT(names); count++) {
        struct buf row = make_row(count);
        struct index_dir dir;
        assert_int_equal(parse(buf_slice(&row), &dir), ERR_OK);
        check_row(&dir, count);
        index_dir_free(&dir);
        index_dir_free(&dir);
        buf_free(&row);
    }
}

/* The page's worked example (docs/index.md): these bytes are on disks. */
static void test_dir_row_is_the_golden_one(void **state)
{
    (void)state;
    static const uint8_t golden[] = {
        1,    0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,
        0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,
        0xaa, 0xaa, 0xaa, 1,    0,    0,    0,    1,    0,    'f',  1,    0x39, 0x30, 0,    0,
        0,    0,    0,    0,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,    0,    0,
        0,    3,    0,    0,    0,    0,    0,    0,    0,    4,    0,    0,    0,    5,    0,
        0,    0,    0,    0,    0,    0,    2,    0,    0,    0,    'n',  'o'};
    struct buf row;
    struct id tree;
    memset(tree.bytes, 0xaa, ID_SIZE);
    struct index_cached entry = {slice_text("f"), 1, 12345, -1, 3, 2, 4, 5, slice_text("no")};
    assert_int_equal(index_dir_start(&row), ERR_OK);
    index_dir_set_tree(&row, &tree);
    assert_int_equal(index_dir_append(&row, &entry), ERR_OK);
    assert_int_equal(row.size, sizeof(golden));
    assert_memory_equal(row.data, golden, sizeof(golden));
    buf_free(&row);
}

static void test_dir_append_refuses_what_cannot_be(void **state)
{
    (void)state;
    struct buf row = make_row(1), not_started = BUF_INIT(100);
    struct index_cached entry = make_entry("", 1);
    assert_int_equal(index_dir_append(&row, &entry), ERR_USAGE);
    entry = make_entry("x", 1);
    assert_int_equal(index_dir_append(&not_started, &entry), ERR_USAGE);
    entry.name = slice_of(row.data, UINT16_MAX + 1);
    assert_int_equal(index_dir_append(&row, &entry), ERR_TOO_LARGE);
    struct index_dir dir;
    assert_int_equal(parse(buf_slice(&row), &dir), ERR_OK); /* and is still whole */
    check_row(&dir, 1);
    index_dir_free(&dir);
    buf_free(&row);
}

static void test_dir_parse_survives_hostile_rows(void **state)
{
    (void)state;
    struct buf row = make_row(4);
    struct index_dir dir;
    struct index_cached entry;
    for (size_t size = 0; size < row.size; size++)
        assert_int_equal(parse(slice_of(row.data, size), &dir), ERR_FORMAT);
    for (size_t bit = 0; bit < 8 * row.size; bit++) {
        row.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        if (parse(buf_slice(&row), &dir) == ERR_OK) {
            size_t seen = 0;
            while (index_dir_next(&dir, &entry) == ERR_OK)
                seen++;
            assert_int_equal(seen, 4);
            index_dir_free(&dir);
        }
        row.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    for (unsigned value = 0; value < 256; value++) {
        uint8_t foreign[200];
        memset(foreign, (int)value, sizeof(foreign));
        assert_int_equal(parse(slice_of(foreign, sizeof(foreign)), &dir), ERR_FORMAT);
        foreign[0] = 1;
        assert_int_equal(parse(slice_of(foreign, sizeof(foreign)), &dir), ERR_FORMAT);
    }
    assert_int_equal(buf_append_u8(&row, 0), ERR_OK);
    assert_int_equal(parse(buf_slice(&row), &dir), ERR_FORMAT);
    buf_free(&row);
    /* a merge would miss entries that stand in the wrong place, or twice */
    static const char *const wrong[] = {"b", "a", "b", "b"};
    for (size_t i = 0; i < 4; i += 2) {
        assert_int_equal(index_dir_start(&row), ERR_OK);
        for (size_t j = i; j < i + 2; j++) {
            entry = make_entry(wrong[j], j);
            assert_int_equal(index_dir_append(&row, &entry), ERR_OK);
        }
        assert_int_equal(parse(buf_slice(&row), &dir), ERR_FORMAT);
        buf_free(&row);
    }
}

static enum err get(struct fixture *f, const char *path, bool *doubtful)
{
    struct index_dir dir;
    enum err e = index_dir_get(f->index, slice_text(path), &dir, NULL);
    if (doubtful)
        *doubtful = dir.doubtful;
    if (e == ERR_OK)
        check_row(&dir, 2);
    index_dir_free(&dir);
    return e;
}

static void put(struct fixture *f, const char *path)
{
    struct buf row = make_row(2);
    OK(index_dir_put(f->index, slice_text(path), buf_slice(&row), msg));
    buf_free(&row);
}

static void test_dirs_are_kept_and_removed_with_all_below(void **state)
{
    struct fixture *f = *state;
    static const char *const paths[] = {"/", "/a", "/a/b", "/a/b/c", "/a.b", "/a0", "/aa", "/b"};
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++)
        put(f, paths[i]);
    put(f, "/a"); /* replaces */
    fixture_reopen(f);
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++)
        assert_int_equal(get(f, paths[i], NULL), ERR_OK);
    assert_int_equal(get(f, "/a/", NULL), ERR_NOT_FOUND);
    OK(index_dir_remove(f->index, slice_text("/a"), msg));
    OK(index_dir_remove(f->index, slice_text("/nothing"), msg));
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++)
        assert_int_equal(get(f, paths[i], NULL), i >= 1 && i <= 3 ? ERR_NOT_FOUND : ERR_OK);
    OK(index_dir_remove(f->index, slice_text("/"), msg));
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++)
        assert_int_equal(get(f, paths[i], NULL), ERR_NOT_FOUND);
    struct index_dir dir;
    FAILS(ERR_TOO_LARGE, index_dir_get(f->index, slice_of(NULL, 0), &dir, msg));
    FAILS(ERR_TOO_LARGE, index_dir_put(f->index, slice_of(NULL, 0), slice_of(NULL, 0), msg));
    FAILS(ERR_TOO_LARGE, index_dir_remove(f->index, slice_of(f, 65537), msg));
}

/* When a segment is gone, nothing that was cached may be believed without asking for its chunks. */
static void test_dirs_are_doubtful_once_a_segment_leaves_committed(void **state)
{
    struct fixture *f = *state;
    bool doubtful;
    static const enum index_segment_state leave[] = {INDEX_LOST, INDEX_CONDEMNED, INDEX_DELETED,
                                                     INDEX_BUILDING};
    for (unsigned i = 0; i < 5; i++) {
        uint64_t number = add_segment(f, i, 2, 1, INDEX_COMMITTED);
        put(f, "/a");
        OK(index_segment_set_state(f->index, number, INDEX_COMMITTED, msg));
        assert_int_equal(get(f, "/a", &doubtful), ERR_OK);
        assert_false(doubtful);
        if (i < 4)
            OK(index_segment_set_state(f->index, number, leave[i], msg));
        else
            OK(index_segment_remove(f->index, number, msg));
        fixture_reopen(f);
        assert_int_equal(get(f, "/a", &doubtful), ERR_OK);
        assert_true(doubtful);
        put(f, "/a"); /* looked up again, and written again */
        assert_int_equal(get(f, "/a", &doubtful), ERR_OK);
        assert_false(doubtful);
        if (i < 4) { /* what was not committed can go without doubt */
            OK(index_segment_remove(f->index, number, msg));
            assert_int_equal(get(f, "/a", &doubtful), ERR_OK);
            assert_false(doubtful);
        }
    }
    /* a state that is rolled back never was */
    uint64_t number = add_segment(f, 9, 2, 1, INDEX_COMMITTED);
    OK(index_begin(f->index, msg));
    OK(index_segment_set_state(f->index, number, INDEX_LOST, msg));
    index_rollback(f->index);
    assert_int_equal(get(f, "/a", &doubtful), ERR_OK);
    assert_false(doubtful);
}

/* A bit that flips in a row would be copied into the next tree: the row is forgotten instead. */
static void test_dirs_damaged_are_not_found(void **state)
{
    struct fixture *f = *state;
    static const char *const breaks[] = {
        "UPDATE dir SET body = x''",
        "UPDATE dir SET body = substr(body, 1, length(body) - 1)",
        "UPDATE dir SET body = CAST(substr(body, 1, 50) || x'7f' || substr(body, 52) AS BLOB)",
        "UPDATE dir SET sum = sum + 1",
        "UPDATE dir SET body = zeroblob(100)",
    };
    for (size_t i = 0; i < ARRAY_COUNT(breaks); i++) {
        put(f, "/a");
        damage(f, breaks[i]);
        assert_int_equal(get(f, "/a", NULL), ERR_NOT_FOUND);
    }
    put(f, "/a");
    assert_int_equal(get(f, "/a", NULL), ERR_OK);
}

static void test_progress_holds_while_the_file_is_the_same(void **state)
{
    struct fixture *f = *state;
    struct index_progress in = {1 << 30, UINT64_MAX, -1, 2, 3, 4, 1 << 20}, out;
    struct slice path = slice_text("/big");
    struct buf body = BUF_INIT(100);
    FAILS(ERR_NOT_FOUND, index_progress_get(f->index, path, &in, &body, msg));
    OK(index_progress_put(f->index, path, &in, slice_text("chunks"), msg));
    in.offset = 2 << 20;
    OK(index_progress_put(f->index, path, &in, slice_text("more chunks"), msg));
    fixture_reopen(f);
    out = in;
    out.offset = 0;
    OK(index_progress_get(f->index, path, &out, &body, msg));
    assert_true(out.offset == 2 << 20 && slice_equal(buf_slice(&body), slice_text("more chunks")));
    for (unsigned i = 0; i < 6; i++) {
        struct index_progress other = in;
        other.size += i == 0;
        other.inode -= i == 1;
        other.mtime_s += i == 2;
        other.ctime_s += i == 3;
        other.mtime_ns += i == 4;
        other.ctime_ns += i == 5;
        FAILS(ERR_NOT_FOUND, index_progress_get(f->index, path, &other, &body, msg));
    }
    damage(f, "UPDATE progress SET body = x'00'");
    FAILS(ERR_NOT_FOUND, index_progress_get(f->index, path, &out, &body, msg));
    OK(index_progress_put(f->index, path, &in, slice_text("x"), msg));
    damage(f, "UPDATE progress SET offset = 1 << 40");
    FAILS(ERR_NOT_FOUND, index_progress_get(f->index, path, &out, &body, msg));
    OK(index_progress_put(f->index, path, &in, slice_text("x"), msg));
    /* its chunks may be in the segment that was lost */
    uint64_t number = add_segment(f, 1, 2, 1, INDEX_COMMITTED);
    OK(index_progress_get(f->index, path, &out, &body, msg));
    OK(index_segment_set_state(f->index, number, INDEX_LOST, msg));
    FAILS(ERR_NOT_FOUND, index_progress_get(f->index, path, &out, &body, msg));
    OK(index_progress_put(f->index, path, &in, slice_text("x"), msg));
    OK(index_progress_clear(f->index, msg));
    FAILS(ERR_NOT_FOUND, index_progress_get(f->index, path, &out, &body, msg));
    buf_free(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dir_row_round_trip),
        cmocka_unit_test(test_dir_row_is_the_golden_one),
        cmocka_unit_test(test_dir_append_refuses_what_cannot_be),
        cmocka_unit_test(test_dir_parse_survives_hostile_rows),
        FIXTURE_TEST(test_dirs_are_kept_and_removed_with_all_below),
        FIXTURE_TEST(test_dirs_are_doubtful_once_a_segment_leaves_committed),
        FIXTURE_TEST(test_dirs_damaged_are_not_found),
        FIXTURE_TEST(test_progress_holds_while_the_file_is_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
