/* heads/: the lines of a segment in an index object. What was written is read again, shares that no
 * line tells come out as they were, records keep their numbers whatever is missing, and no line
 * that lies makes a group. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/hostile.h"
#include "heads/heads_lines.h"
#include "segment/segment_group.h"
#include "snapshot/snapshot_index.h"

#include <stdlib.h>

enum { ALONE = 1, MEMBERS = 3, COUNT = ALONE + MEMBERS + MEMBERS + ALONE };

/* One alone, a group, another group right behind it, one alone. */
static void make(struct index_chunk out[COUNT])
{
    static const uint32_t sizes[COUNT] = {5000, 100, 7, 1, 30, 4096, 2, 70000};
    static const uint32_t records[COUNT] = {0, 1, 1, 1, 2, 2, 2, 3};
    static const uint32_t sealed[4] = {4016, 400, 3000, 60000};
    uint32_t offset = 64;
    for (uint32_t i = 0; i < COUNT; i++) {
        const uint32_t record = records[i];
        const bool group = record == 1 || record == 2;
        uint32_t before = 0, all = 0;
        for (uint32_t j = 0; j < COUNT; j++) {
            before += j < i && records[j] == record ? sizes[j] : 0;
            all += records[j] == record ? sizes[j] : 0;
        }
        if (i > 0 && records[i - 1] != record)
            offset += sealed[records[i - 1]];
        out[i] = (struct index_chunk){
            .id = {{(uint8_t)(i + 1)}},
            .record = record,
            .offset = offset,
            .sealed_bytes =
                group ? segment_group_share(sealed[record], before, sizes[i], all) : sealed[record],
            .group_bytes = group ? sealed[record] : 0,
            .plain_bytes = sizes[i],
            .type = record == 2 ? 2 : 0x81,
        };
    }
}

static void test_what_was_written_is_read_again(void **state)
{
    (void)state;
    struct index_chunk in[COUNT], out[COUNT];
    struct buf lines = BUF_INIT(4096);
    struct errmsg msg;
    make(in);
    assert_int_equal(heads_lines_append(&lines, in, COUNT), ERR_OK);
    assert_int_equal(lines.size, COUNT * SNAPSHOT_CHUNK_SIZE);
    assert_int_equal(heads_lines_read(buf_slice(&lines), out, &msg), ERR_OK);
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(id_equal(&out[i].id, &in[i].id) && out[i].record == in[i].record);
        assert_true(out[i].offset == in[i].offset && out[i].sealed_bytes == in[i].sealed_bytes);
        assert_true(out[i].group_bytes == in[i].group_bytes && out[i].type == in[i].type);
        assert_int_equal(out[i].plain_bytes, in[i].plain_bytes);
    }
    buf_free(&lines);
}

/* A member that lies elsewhere by now is missing: the others are the whole. */
static void test_what_is_left_of_a_group_is_the_whole(void **state)
{
    (void)state;
    struct index_chunk in[COUNT], out[COUNT];
    struct buf lines = BUF_INIT(4096);
    struct errmsg msg;
    make(in);
    assert_int_equal(heads_lines_append(&lines, in, 1), ERR_OK);
    assert_int_equal(heads_lines_append(&lines, in + 2, COUNT - 2), ERR_OK);
    assert_int_equal(heads_lines_read(buf_slice(&lines), out, &msg), ERR_OK);
    assert_int_equal(out[1].sealed_bytes + out[2].sealed_bytes, 400);
    for (size_t i = 1; i < COUNT - 1; i++)
        assert_int_equal(out[i].record, in[i + 1].record);
    buf_free(&lines);
}

/* Any of the chunks lie elsewhere by now: the nonces of the others do not change. */
static void test_the_rest_keeps_its_records_whatever_is_missing(void **state)
{
    (void)state;
    struct index_chunk in[COUNT], out[COUNT];
    struct errmsg msg;
    make(in);
    for (unsigned kept = 1; kept < 1u << COUNT; kept++) {
        struct buf lines = BUF_INIT(4096);
        size_t count = 0;
        for (size_t i = 0; i < COUNT; i++)
            if (kept >> i & 1)
                assert_int_equal(heads_lines_append(&lines, &in[i], 1), ERR_OK);
        assert_int_equal(heads_lines_read(buf_slice(&lines), out, &msg), ERR_OK);
        for (size_t i = 0; i < COUNT; i++) {
            if (!(kept >> i & 1))
                continue;
            assert_true(id_equal(&out[count].id, &in[i].id) && out[count].record == in[i].record);
            assert_true(out[count].offset == in[i].offset &&
                        out[count].group_bytes == in[i].group_bytes);
            count++;
        }
        buf_free(&lines);
    }
}

/* Member 1 of the lines, changed in one way. */
static enum err with(uint8_t flags, uint32_t sealed, uint32_t plain)
{
    struct index_chunk out[2];
    struct buf lines = BUF_INIT(4096);
    struct errmsg msg;
    struct snapshot_chunk line = {.id = {{1}},
                                  .type = 1,
                                  .flags = SEGMENT_GROUP,
                                  .offset = 64,
                                  .sealed_bytes = sealed,
                                  .plain_bytes = 10};
    assert_int_equal(snapshot_chunk_append(&lines, &line), ERR_OK);
    line.id.bytes[0] = 2;
    line.flags = flags;
    line.plain_bytes = plain;
    assert_int_equal(snapshot_chunk_append(&lines, &line), ERR_OK);
    const enum err e = heads_lines_read(buf_slice(&lines), out, &msg);
    buf_free(&lines);
    return e;
}

/* Two lines of different records, the second changed. */
static enum err with_record(uint8_t flags, uint32_t first, uint32_t second, uint32_t offset)
{
    struct index_chunk out[2];
    struct buf lines = BUF_INIT(4096);
    struct errmsg msg;
    struct snapshot_chunk line = {.id = {{1}},
                                  .type = 1,
                                  .flags = flags,
                                  .offset = 64,
                                  .sealed_bytes = 1000,
                                  .plain_bytes = 10,
                                  .record = first};
    assert_int_equal(snapshot_chunk_append(&lines, &line), ERR_OK);
    line.id.bytes[0] = 2;
    line.offset = offset;
    line.record = second;
    assert_int_equal(snapshot_chunk_append(&lines, &line), ERR_OK);
    const enum err e = heads_lines_read(buf_slice(&lines), out, &msg);
    buf_free(&lines);
    return e;
}

static void test_records_that_do_not_grow_are_refused(void **state)
{
    (void)state;
    const uint32_t last = LIMIT_SEGMENT_RECORDS - 1;
    assert_int_equal(with_record(0, 4, 9, 1064), ERR_OK);
    assert_int_equal(with_record(0, 4, 4, 1064), ERR_CORRUPT);
    assert_int_equal(with_record(0, 4, 3, 1064), ERR_CORRUPT);
    assert_int_equal(with_record(0, last - 1, last, 1064), ERR_OK);
    assert_int_equal(with_record(0, last, last + 1, 1064), ERR_CORRUPT);
    assert_int_equal(with_record(0, last + 1, last + 2, 1064), ERR_CORRUPT);
    assert_int_equal(with_record(0, last, UINT32_MAX, 1064), ERR_CORRUPT);
    assert_int_equal(with_record(SEGMENT_GROUP, 4, 4, 64), ERR_OK);
    assert_int_equal(with_record(SEGMENT_GROUP, 4, 4, 1064), ERR_CORRUPT);
    assert_int_equal(with_record(SEGMENT_GROUP, 4, 3, 64), ERR_CORRUPT);
    assert_int_equal(with_record(SEGMENT_GROUP, 4, 5, 1064), ERR_OK);
    assert_int_equal(with_record(SEGMENT_GROUP, last + 1, last + 1, 64), ERR_CORRUPT);
}

static void test_lines_that_lie_are_refused(void **state)
{
    (void)state;
    const uint32_t least = SEGMENT_RECORD_OVERHEAD + (uint32_t)segment_group_list_bytes(2);
    assert_int_equal(with(SEGMENT_GROUP, least, 10), ERR_OK);
    assert_int_equal(with(SEGMENT_GROUP, least - 1, 10), ERR_CORRUPT);
    assert_int_equal(with(SEGMENT_GROUP, 0, 10), ERR_CORRUPT);
    assert_int_equal(with(SEGMENT_GROUP, least, 0), ERR_CORRUPT);
    assert_int_equal(with(SEGMENT_GROUP, least, LIMIT_GROUP_BYTES - 10), ERR_OK);
    assert_int_equal(with(SEGMENT_GROUP, least, LIMIT_GROUP_BYTES - 9), ERR_CORRUPT);
    assert_int_equal(with(SEGMENT_GROUP, least, UINT32_MAX), ERR_CORRUPT);
    assert_int_equal(with(SEGMENT_GROUP, least, UINT32_MAX - 9), ERR_CORRUPT);
    assert_int_equal(with(4, least, 10), ERR_VERSION);
    assert_int_equal(with(SEGMENT_GROUP | 8, least, 10), ERR_VERSION);
}

/* More lines than a group may have members. */
static void test_too_many_members_are_refused(void **state)
{
    (void)state;
    struct buf lines = BUF_INIT(1 << 20);
    struct index_chunk *out = calloc(LIMIT_GROUP_MEMBERS + 1, sizeof(*out));
    struct errmsg msg;
    assert_non_null(out);
    for (uint32_t i = 0; i <= LIMIT_GROUP_MEMBERS; i++) {
        struct snapshot_chunk line = {.type = 1,
                                      .flags = SEGMENT_GROUP,
                                      .offset = 64,
                                      .sealed_bytes = 100000,
                                      .plain_bytes = 1};
        put_le32(line.id.bytes, i);
        assert_int_equal(snapshot_chunk_append(&lines, &line), ERR_OK);
    }
    assert_int_equal(heads_lines_read(buf_slice(&lines), out, &msg), ERR_CORRUPT);
    assert_int_equal(
        heads_lines_read(slice_of(lines.data, lines.size - SNAPSHOT_CHUNK_SIZE), out, &msg),
        ERR_OK);
    free(out);
    buf_free(&lines);
}

/* What is accepted is consistent: records grow below their limit, and the shares of each are its
 * bytes. */
static void adds_up(void *user, struct slice bytes, const char *how)
{
    const size_t count = bytes.size / SNAPSHOT_CHUNK_SIZE;
    struct index_chunk *out = calloc(count + 1, sizeof(*out));
    struct errmsg msg;
    uint64_t sum = 0;
    (void)user;
    assert_non_null(out);
    if (heads_lines_read(slice_of(bytes.data, count * SNAPSHOT_CHUNK_SIZE), out, &msg) == ERR_OK)
        for (size_t i = 0; i < count; i++) {
            const bool first = i == 0 || out[i - 1].record != out[i].record;
            const bool last = i + 1 == count || out[i + 1].record != out[i].record;
            sum = (first ? 0 : sum) + out[i].sealed_bytes;
            if (out[i].record >= LIMIT_SEGMENT_RECORDS ||
                (i > 0 && first && out[i].record < out[i - 1].record))
                fail_msg("records do not grow: %s", how);
            if (last && sum != index_chunk_record_bytes(&out[i]))
                fail_msg("a byte is counted twice, or lost: %s", how);
        }
    free(out);
}

static void test_hostile_lines(void **state)
{
    (void)state;
    struct index_chunk in[COUNT];
    struct buf lines = BUF_INIT(4096);
    make(in);
    assert_int_equal(heads_lines_append(&lines, in, COUNT), ERR_OK);
    hostile_truncations(buf_slice(&lines), adds_up, NULL);
    hostile_flips(buf_slice(&lines), 0, adds_up, NULL);
    hostile_extremes(buf_slice(&lines), 0, adds_up, NULL);
    hostile_mutations(buf_slice(&lines), 7, 3000, adds_up, NULL);
    hostile_noise(7, 3000, 400, adds_up, NULL);
    buf_free(&lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_written_is_read_again),
        cmocka_unit_test(test_what_is_left_of_a_group_is_the_whole),
        cmocka_unit_test(test_the_rest_keeps_its_records_whatever_is_missing),
        cmocka_unit_test(test_records_that_do_not_grow_are_refused),
        cmocka_unit_test(test_lines_that_lie_are_refused),
        cmocka_unit_test(test_too_many_members_are_refused),
        cmocka_unit_test(test_hostile_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
