/* segment/: groups. What is put in is found by its name, shares of a group are its bytes, no list
 * that lies is believed, and the golden segment of docs/format-segment.md stays as it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "crypto/crypto.h"
#include "harness/hostile.h"
#include "segment/segment_builder.h"
#include "segment/segment_group.h"
#include "segment_golden.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROOM = SEGMENT_GROUP_COUNT_SIZE + LIMIT_GROUP_MEMBERS * SEGMENT_MEMBER_SIZE + 4096 };

static int setup(void **state)
{
    (void)state;
    return crypto_init(NULL) == ERR_OK ? 0 : -1;
}

static struct id name_of(uint32_t number)
{
    struct id id = {{0}};
    put_le32(id.bytes + 28, number + 1); /* alike but for the end */
    return id;
}

/* A raw group of `count` members, i + 1 bytes of value i each. Returns its size. */
static size_t make(uint8_t *out, uint32_t count)
{
    size_t at = segment_group_list_bytes(count);
    for (uint32_t i = 0; i < count; i++) {
        const struct id id = name_of(i);
        segment_group_add(out, i, &id, i + 1);
        memset(out + at, (int)i, i + 1);
        at += i + 1;
    }
    return at;
}

static void test_members_are_found_by_their_names(void **state)
{
    (void)state;
    uint8_t plain[ROOM];
    struct segment_group group;
    const size_t size = make(plain, 20);
    assert_int_equal(segment_group_open(slice_of(plain, size), 0, &group), ERR_OK);
    assert_int_equal(group.count, 20);
    assert_int_equal(group.plain_bytes, 20 * 21 / 2);
    assert_int_equal(group.body.size, group.plain_bytes);
    for (uint32_t i = 0; i < 20; i++) {
        const struct id id = name_of(i);
        uint32_t offset;
        assert_int_equal(segment_group_find(&group, &id, i + 1, &offset), ERR_OK);
        for (uint32_t j = 0; j <= i; j++)
            assert_int_equal(group.body.data[offset + j], i);
        assert_int_equal(segment_group_find(&group, &id, i + 2, &offset), ERR_CORRUPT);
    }
    const struct id other = name_of(20);
    uint32_t offset;
    assert_int_equal(segment_group_find(&group, &other, 21, &offset), ERR_CORRUPT);
}

/* A name that stands there twice could be either: neither is given. */
static void test_a_name_that_is_there_twice_is_not_found(void **state)
{
    (void)state;
    uint8_t plain[ROOM];
    struct segment_group group;
    uint32_t offset;
    const struct id twice = name_of(3), once = name_of(2);
    const size_t size = make(plain, 6);
    uint8_t *line = plain + segment_group_list_bytes(5);
    memcpy(line, twice.bytes, ID_SIZE);
    assert_int_equal(segment_group_open(slice_of(plain, size), 0, &group), ERR_OK);
    assert_int_equal(segment_group_find(&group, &twice, 4, &offset), ERR_CORRUPT);
    assert_int_equal(segment_group_find(&group, &twice, 6, &offset), ERR_CORRUPT);
    assert_int_equal(segment_group_find(&group, &once, 3, &offset), ERR_OK);
}

static void lie(uint8_t *plain, uint32_t member, uint32_t size)
{
    put_le32(plain + segment_group_list_bytes(member) + ID_SIZE, size);
}

static void test_lists_that_lie_are_refused(void **state)
{
    (void)state;
    uint8_t good[ROOM], plain[ROOM];
    struct segment_group group;
    const size_t size = make(good, 3);
    static const struct {
        uint32_t member, size;
    } lies[] = {
        {0, 0},                     /* empty */
        {0, 2},                     /* longer than the body */
        {2, 2},                     /* shorter */
        {1, UINT32_MAX},            /* the sum wraps around */
        {1, UINT32_MAX - 3},        /* to what the body has */
        {1, LIMIT_GROUP_BYTES},     /* the sum is over the limit by 4 */
        {2, LIMIT_GROUP_BYTES - 2}, /* by 1 */
        {0, 1u << 31},              /* a sign */
    };
    for (size_t i = 0; i < ARRAY_COUNT(lies); i++) {
        memcpy(plain, good, size);
        lie(plain, lies[i].member, lies[i].size);
        assert_int_equal(segment_group_open(slice_of(plain, size), 0, &group), ERR_CORRUPT);
        assert_int_equal(group.count, 0);
    }
    static const uint32_t counts[] = {0, 2, 4, 1u << 16, LIMIT_GROUP_MEMBERS + 1, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
        memcpy(plain, good, size);
        put_le32(plain, counts[i]);
        assert_int_equal(segment_group_open(slice_of(plain, size), 0, &group), ERR_CORRUPT);
    }
    /* packed, the body's size is the frame's affair: the limit holds all the same */
    memcpy(plain, good, size);
    lie(plain, 2, LIMIT_GROUP_BYTES - 3);
    assert_int_equal(segment_group_open(slice_of(plain, size), SEGMENT_ZSTD, &group), ERR_OK);
    assert_int_equal(group.plain_bytes, LIMIT_GROUP_BYTES);
    lie(plain, 2, LIMIT_GROUP_BYTES - 2);
    assert_int_equal(segment_group_open(slice_of(plain, size), SEGMENT_ZSTD, &group), ERR_CORRUPT);
}

static void test_a_list_is_full_at_its_limit(void **state)
{
    (void)state;
    uint8_t plain[ROOM];
    struct segment_group group;
    const size_t list = segment_group_list_bytes(LIMIT_GROUP_MEMBERS);
    for (uint32_t i = 0; i < LIMIT_GROUP_MEMBERS; i++) {
        const struct id id = name_of(i);
        segment_group_add(plain, i, &id, 1);
    }
    assert_int_equal(segment_group_open(slice_of(plain, list + LIMIT_GROUP_MEMBERS), 0, &group),
                     ERR_OK);
    put_le32(plain, LIMIT_GROUP_MEMBERS + 1);
    memset(plain + list, 1, 4096);
    assert_int_equal(segment_group_open(slice_of(plain, list + 4096), SEGMENT_ZSTD, &group),
                     ERR_CORRUPT);
}

/* What is accepted lies within the bytes, and its members within the body. */
static void stays_inside(void *user, struct slice bytes, const char *how)
{
    const unsigned *flags = user;
    struct segment_group group;
    if (segment_group_open(bytes, *flags, &group) != ERR_OK)
        return;
    if (group.lines.size + SEGMENT_GROUP_COUNT_SIZE + group.body.size != bytes.size ||
        group.count > LIMIT_GROUP_MEMBERS || group.plain_bytes > LIMIT_GROUP_BYTES ||
        (!*flags && group.plain_bytes != group.body.size))
        fail_msg("opened: %s", how);
    for (uint32_t i = 0; i < group.count; i++) {
        const uint8_t *line = group.lines.data + (size_t)i * SEGMENT_MEMBER_SIZE;
        const uint32_t size = get_le32(line + ID_SIZE);
        struct id id;
        uint32_t offset;
        memcpy(id.bytes, line, ID_SIZE);
        if (segment_group_find(&group, &id, size, &offset) == ERR_OK &&
            (uint64_t)offset + size > group.plain_bytes)
            fail_msg("a member outside: %s", how);
    }
}

static void test_hostile_groups(void **state)
{
    (void)state;
    uint8_t plain[ROOM];
    const size_t size = make(plain, 7);
    const uint64_t seed = (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)seed);
    for (unsigned flags = 0; flags <= SEGMENT_ZSTD; flags++) {
        hostile_truncations(slice_of(plain, size), stays_inside, &flags);
        hostile_flips(slice_of(plain, size), 0, stays_inside, &flags);
        hostile_extremes(slice_of(plain, size), 0, stays_inside, &flags);
        hostile_trailing(slice_of(plain, size), stays_inside, &flags);
        hostile_mutations(slice_of(plain, size), seed, 2000, stays_inside, &flags);
        hostile_noise(seed, 2000, 300, stays_inside, &flags);
    }
}

/* No byte of a group is counted twice or lost, whatever the sizes. */
static void test_shares_are_the_whole(void **state)
{
    (void)state;
    uint64_t seed = (uint64_t)time(NULL), x = seed | 1;
    printf("seed %llu\n", (unsigned long long)seed);
    for (int round = 0; round < 2000; round++) {
        uint32_t sizes[LIMIT_GROUP_MEMBERS], all = 0, before = 0, sum = 0;
        x = x * 6364136223846793005u + 1442695040888963407u;
        const uint32_t count = 1 + (uint32_t)(x >> 33) % 40, sealed = (uint32_t)(x >> 20) % 300000;
        for (uint32_t i = 0; i < count; i++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            all += sizes[i] = 1 + (uint32_t)(x >> 40) % (LIMIT_GROUP_BYTES / 40);
        }
        for (uint32_t i = 0; i < count; i++) {
            const uint32_t share = segment_group_share(sealed, before, sizes[i], all);
            const uint64_t fair = (uint64_t)sealed * sizes[i] / all;
            assert_true(share >= fair && share <= fair + 1);
            before += sizes[i];
            sum += share;
        }
        assert_int_equal(sum, sealed);
    }
    assert_int_equal(segment_group_share(UINT32_MAX, 0, LIMIT_GROUP_BYTES, LIMIT_GROUP_BYTES),
                     UINT32_MAX);
}

static void put(struct segment_builder *b, struct aead *aead, struct segment_entry *entry,
                struct slice stored)
{
    uint32_t number;
    assert_int_equal(segment_builder_reserve(b, entry, stored.size, &number), ERR_OK);
    assert_int_equal(segment_builder_seal(b, aead, number, stored), ERR_OK);
}

static void start_golden(struct segment_builder **b, uint8_t key[32])
{
    const struct segment_shape shape = {.k = 2, .m = 1, .suite = 1};
    struct segment_identity identity = {.kind = SEGMENT_DATA, .device_slot = 1, .epoch = 2};
    uint8_t salt[32];
    for (uint8_t i = 0; i < 32; i++) {
        key[i] = i;
        salt[i] = (uint8_t)(0x40 + i);
        identity.account.bytes[i] = (uint8_t)(0x80 + i);
    }
    assert_int_equal(segment_builder_new(&shape, b, NULL), ERR_OK);
    assert_int_equal(segment_builder_start(*b, &identity, key, salt), ERR_OK);
}

/* docs/format-segment.md, "A worked example of a group": built, and read back. */
static void test_the_golden_group(void **state)
{
    (void)state;
    uint8_t record[117], key[32];
    struct segment_builder *b;
    struct aead *aead;
    struct segment_entry group = {.type = SEGMENT_FILE, .flags = SEGMENT_GROUP | SEGMENT_ZSTD};
    struct segment_entry alone = {.plain_bytes = 5, .type = SEGMENT_FILE};
    char text[2 * SEGMENT_HEADER_SIZE_MAX + 1], hex[2 * SEGMENT_HEADER_SIZE_MAX + 1];
    struct id first, second;
    static const uint8_t frame[] = "\x28\xb5\x2f\xfd\x20\x20\x01\x01\x00"
                                   "hello, cellarhello again, cellar";
    memset(first.bytes, 0xcc, ID_SIZE);
    memset(second.bytes, 0xdd, ID_SIZE);
    memset(alone.id.bytes, 0xee, ID_SIZE);
    segment_group_add(record, 0, &first, 13);
    segment_group_add(record, 1, &second, 19);
    memcpy(record + segment_group_list_bytes(2), frame, sizeof(frame) - 1);
    text_hex(slice_of(record, sizeof(record)), text);
    assert_string_equal(text, GOLDEN_GROUP_RECORD);
    assert_int_equal(aead_new(&aead), ERR_OK);
    start_golden(&b, key);
    put(b, aead, &group, slice_of(record, sizeof(record)));
    put(b, aead, &alone, slice_of("alone", 5));
    assert_int_equal(segment_builder_finish(b, NULL), ERR_OK);
    assert_int_equal(segment_builder_check(b, key, NULL), ERR_OK);
    text_hex(segment_builder_header_bytes(b), hex);
    assert_string_equal(hex, GOLDEN_GROUP_HEADER);
    text_hex(slice_of(segment_builder_id(b)->bytes, 32), hex);
    assert_string_equal(hex, GOLDEN_GROUP_ID);
    const uint8_t *payload = segment_builder_shard(b, 0).data;
    text_hex(slice_of(payload, 330), hex);
    assert_string_equal(hex, GOLDEN_GROUP_PAYLOAD);

    struct segment_opener *opener;
    struct segment_group found;
    uint8_t plain[117];
    uint32_t offset;
    const struct slice sealed = slice_of(payload + 64, sizeof(record) + 16);
    assert_int_equal(segment_opener_new(&opener), ERR_OK);
    assert_int_equal(segment_opener_set(opener, segment_builder_header(b), key), ERR_OK);
    assert_int_equal(segment_open_record(opener, 0, &group, sealed, plain), ERR_OK);
    assert_int_equal(segment_group_open(slice_of(plain, sizeof(plain)), group.flags, &found),
                     ERR_OK);
    assert_int_equal(found.plain_bytes, 32);
    assert_int_equal(segment_group_find(&found, &second, 19, &offset), ERR_OK);
    assert_int_equal(offset, 13);
    /* a group never opens as a chunk, nor as another kind of group */
    struct segment_entry other = group;
    other.flags = SEGMENT_ZSTD;
    assert_int_equal(segment_open_record(opener, 0, &other, sealed, plain), ERR_AUTH);
    other = group;
    other.id = first;
    assert_int_equal(segment_open_record(opener, 0, &other, sealed, plain), ERR_AUTH);
    other = group;
    other.type = SEGMENT_TREE;
    assert_int_equal(segment_open_record(opener, 0, &other, sealed, plain), ERR_AUTH);
    segment_opener_free(opener);
    aead_free(aead);
    segment_builder_free(b);
}

/* Tables as a broken writer would seal them: the builder takes lines as they are given. */
static void test_lines_of_groups_that_lie_are_refused(void **state)
{
    (void)state;
    static const uint8_t stored[100];
    static const struct {
        struct segment_entry line;
        enum err e;
    } cases[] = {
        {{.flags = SEGMENT_GROUP}, ERR_OK},
        {{.flags = SEGMENT_GROUP | SEGMENT_ZSTD}, ERR_OK},
        {{.flags = SEGMENT_GROUP, .id = {{1}}}, ERR_CORRUPT},
        {{.flags = SEGMENT_GROUP, .plain_bytes = 100}, ERR_CORRUPT},
        {{.flags = 4}, ERR_VERSION},
        {{.flags = 4 | SEGMENT_GROUP}, ERR_VERSION},
    };
    struct aead *aead;
    assert_int_equal(aead_new(&aead), ERR_OK);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct segment_builder *b;
        struct segment_opener *opener;
        struct segment_locator locator;
        struct segment_entry line = cases[i].line, read;
        uint8_t key[32];
        start_golden(&b, key);
        put(b, aead, &line, slice_of(stored, sizeof(stored)));
        assert_int_equal(segment_builder_finish(b, NULL), ERR_OK);
        const uint8_t *payload = segment_builder_shard(b, 0).data;
        assert_int_equal(segment_opener_new(&opener), ERR_OK);
        assert_int_equal(segment_opener_set(opener, segment_builder_header(b), key), ERR_OK);
        assert_int_equal(segment_open_locator(opener, slice_of(payload, 64), &locator), ERR_OK);
        const struct slice table =
            slice_of(payload + locator.table_offset, locator.table_sealed_bytes);
        assert_int_equal(segment_open_table(opener, &locator, table, &read), cases[i].e);
        segment_opener_free(opener);
        segment_builder_free(b);
    }
    aead_free(aead);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_are_found_by_their_names),
        cmocka_unit_test(test_a_name_that_is_there_twice_is_not_found),
        cmocka_unit_test(test_lists_that_lie_are_refused),
        cmocka_unit_test(test_a_list_is_full_at_its_limit),
        cmocka_unit_test(test_hostile_groups),
        cmocka_unit_test(test_shares_are_the_whole),
        cmocka_unit_test(test_the_golden_group),
        cmocka_unit_test(test_lines_of_groups_that_lie_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
