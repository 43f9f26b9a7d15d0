/* segment/: what is built opens again with its key alone, every shard is what the header's roots
 * say, any byte changed is noticed, and the golden segment of docs/format-segment.md stays as it
 * is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "crypto/crypto.h"
#include "erasure/erasure.h"
#include "harness/hostile.h"
#include "segment/segment_builder.h"
#include "segment_golden.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const uint8_t data_key[32] = {1, 2, 3, 4, 5, 6, 7, 8};
static const uint8_t other_key[32] = {9};
static const uint8_t salt[32] = {42};

static int setup(void **state)
{
    (void)state;
    return crypto_init(NULL) == ERR_OK ? 0 : -1;
}

static struct segment_builder *make_builder(unsigned k, unsigned m, unsigned suite)
{
    const struct segment_shape shape = {.k = k, .m = m, .suite = suite};
    struct segment_builder *b = NULL;
    assert_int_equal(segment_builder_new(&shape, &b, NULL), ERR_OK);
    return b;
}

static void start(struct segment_builder *b)
{
    struct segment_identity identity = {.kind = SEGMENT_DATA, .device_slot = 3, .epoch = 1};
    memset(identity.account.bytes, 5, 32);
    assert_int_equal(segment_builder_start(b, &identity, data_key, salt), ERR_OK);
}

/* Bytes of record i: a pattern that says which it is. */
static void fill(uint8_t *out, size_t size, uint32_t record)
{
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(i * 7 + record * 31 + (i >> 8));
}

static void add(struct segment_builder *b, struct aead *aead, uint32_t size, uint8_t type)
{
    struct segment_entry entry = {.plain_bytes = size, .type = type};
    uint32_t number;
    put_le32(entry.id.bytes, segment_builder_count(b) + 1);
    uint8_t *bytes = malloc(size + 1);
    assert_int_equal(segment_builder_reserve(b, &entry, size, &number), ERR_OK);
    fill(bytes, size, number);
    assert_int_equal(segment_builder_seal(b, aead, number, slice_of(bytes, size)), ERR_OK);
    free(bytes);
}

/* Opens everything from the data shards' bytes. */
static void read_back(struct segment_builder *b, const uint32_t *sizes, uint32_t count)
{
    struct segment_opener *opener;
    struct segment_locator locator;
    const struct segment_header *header = segment_builder_header(b);
    const uint8_t *payload = segment_builder_shard(b, 0).data;
    assert_int_equal(segment_opener_new(&opener), ERR_OK);
    assert_int_equal(segment_opener_set(opener, header, other_key), ERR_SECRET);
    assert_int_equal(segment_opener_set(opener, header, data_key), ERR_OK);
    assert_int_equal(segment_open_locator(opener, slice_of(payload, 64), &locator), ERR_OK);
    assert_int_equal(locator.record_count, count);
    struct segment_entry *entries = calloc(count + 1, sizeof(*entries));
    assert_int_equal(
        segment_open_table(opener, &locator,
                           slice_of(payload + locator.table_offset, locator.table_sealed_bytes),
                           entries),
        ERR_OK);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *plain = malloc(sizes[i] + 1), *expected = malloc(sizes[i] + 1);
        const struct slice sealed = slice_of(payload + entries[i].offset, entries[i].sealed_bytes);
        assert_int_equal(entries[i].plain_bytes, sizes[i]);
        assert_int_equal(segment_open_record(opener, i, &entries[i], sealed, plain), ERR_OK);
        fill(expected, sizes[i], i);
        assert_memory_equal(plain, expected, sizes[i]);
        /* a record answers to its own name and number only */
        assert_int_equal(segment_open_record(opener, i + 1, &entries[i], sealed, plain), ERR_AUTH);
        struct segment_entry other = entries[i];
        other.id.bytes[0] ^= 1;
        assert_int_equal(segment_open_record(opener, i, &other, sealed, plain), ERR_AUTH);
        other = entries[i];
        other.type ^= 1;
        assert_int_equal(segment_open_record(opener, i, &other, sealed, plain), ERR_AUTH);
        free(plain);
        free(expected);
    }
    free(entries);
    segment_opener_free(opener);
}

/* Every shard hashes to its root, and any k give the others. */
static void check_shards(struct segment_builder *b)
{
    const struct segment_header *header = segment_builder_header(b);
    const unsigned n = (unsigned)header->k + header->m;
    const uint32_t leaves = segment_leaf_count(header->shard_bytes);
    struct sha256 *h;
    assert_int_equal(sha256_new(&h), ERR_OK);
    for (unsigned i = 0; i < n; i++) {
        struct slice shard = segment_builder_shard(b, i);
        assert_int_equal(segment_leaves_verify(h, header, i, 0, leaves, shard, slice_of(NULL, 0)),
                         ERR_OK);
        uint8_t *changed = malloc(shard.size);
        memcpy(changed, shard.data, shard.size);
        changed[shard.size - 1] ^= 1;
        assert_int_equal(segment_leaves_verify(h, header, i, 0, leaves,
                                               slice_of(changed, shard.size), slice_of(NULL, 0)),
                         ERR_CORRUPT);
        free(changed);
    }
    if (header->m > 0) {
        struct erasure *code;
        const uint8_t *shards[LIMIT_SHARDS];
        struct erasure_set bad;
        for (unsigned i = 0; i < n; i++)
            shards[i] = segment_builder_shard(b, i).data;
        assert_int_equal(erasure_new(header->k, header->m, NULL, &code, NULL), ERR_OK);
        assert_int_equal(erasure_verify(code, shards, header->shard_bytes, &bad, NULL), ERR_OK);
        erasure_free(code);
    }
    sha256_free(h);
}

static void round_trip(unsigned k, unsigned m, unsigned suite, const uint32_t *sizes,
                       uint32_t count)
{
    struct segment_builder *b = make_builder(k, m, suite);
    struct aead *aead;
    assert_int_equal(aead_new(&aead), ERR_OK);
    for (int again = 0; again < 2; again++) { /* the second build reuses the buffer */
        start(b);
        for (uint32_t i = 0; i < count; i++)
            add(b, aead, sizes[i], SEGMENT_FILE);
        assert_int_equal(segment_builder_finish(b, NULL), ERR_OK);
        read_back(b, sizes, count);
        check_shards(b);
        assert_int_equal(segment_builder_check(b, data_key, NULL), ERR_OK);
    }
    aead_free(aead);
    segment_builder_free(b);
}

static void test_round_trips(void **state)
{
    (void)state;
    const uint32_t none[1] = {0}, small[3] = {0, 1, 5000};
    const uint32_t large[5] = {1u << 20, 700001, 3, 4u << 20, 65536};
    const unsigned shapes[][2] = {{1, 0}, {1, 1}, {2, 2}, {4, 2}, {10, 4}, {16, 8}, {3, 5}};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        round_trip(shapes[i][0], shapes[i][1], 1, none, 0);
        round_trip(shapes[i][0], shapes[i][1], 2, small, 3);
    }
    round_trip(10, 4, 1, large, 5);
    round_trip(16, 8, 2, large, 5);
}

static void test_a_segment_takes_exactly_what_fits(void **state)
{
    (void)state;
    struct segment_builder *b = make_builder(1, 0, 1);
    struct aead *aead;
    assert_int_equal(aead_new(&aead), ERR_OK);
    const uint32_t most = segment_builder_record_max(1, 0);
    start(b);
    assert_false(segment_builder_fits(b, most + 1));
    struct segment_entry entry = {.plain_bytes = most + 1};
    uint32_t number;
    assert_int_equal(segment_builder_reserve(b, &entry, most + 1, &number), ERR_TOO_LARGE);
    add(b, aead, most, SEGMENT_FILE);
    assert_false(segment_builder_fits(b, 0));
    assert_int_equal(segment_builder_finish(b, NULL), ERR_OK);
    read_back(b, &most, 1);
    /* and with less than a tag's room left behind the table */
    start(b);
    add(b, aead, most - 5, SEGMENT_FILE);
    assert_int_equal(segment_builder_finish(b, NULL), ERR_OK);
    check_shards(b);
    aead_free(aead);
    segment_builder_free(b);
}

static void test_a_hole_is_not_sent(void **state)
{
    (void)state;
    struct segment_builder *b = make_builder(2, 1, 1);
    struct segment_entry entry = {.plain_bytes = 10};
    uint32_t number;
    start(b);
    assert_int_equal(segment_builder_reserve(b, &entry, 10, &number), ERR_OK);
    assert_int_equal(segment_builder_finish(b, NULL), ERR_STATE);
    segment_builder_free(b);
}

struct hostile {
    struct segment_opener *opener;
    struct segment_locator locator;
    struct segment_entry *entries;
    bool table;
};

static void never_opens(void *user, struct slice bytes, const char *how)
{
    struct hostile *t = user;
    struct segment_locator locator;
    const enum err e = t->table ? segment_open_table(t->opener, &t->locator, bytes, t->entries)
                                : segment_open_locator(t->opener, bytes, &locator);
    if (e == ERR_OK)
        fail_msg("opened: %s", how);
}

static void test_changed_locators_and_tables_do_not_open(void **state)
{
    (void)state;
    struct segment_builder *b = make_builder(2, 1, 1);
    struct aead *aead;
    struct hostile t = {0};
    assert_int_equal(aead_new(&aead), ERR_OK);
    start(b);
    add(b, aead, 100, SEGMENT_FILE);
    add(b, aead, 200, SEGMENT_TREE);
    assert_int_equal(segment_builder_finish(b, NULL), ERR_OK);
    const uint8_t *payload = segment_builder_shard(b, 0).data;
    assert_int_equal(segment_opener_new(&t.opener), ERR_OK);
    assert_int_equal(segment_opener_set(t.opener, segment_builder_header(b), data_key), ERR_OK);
    const struct slice locator = slice_of(payload, SEGMENT_LOCATOR_SIZE);
    assert_int_equal(segment_open_locator(t.opener, locator, &t.locator), ERR_OK);
    t.entries = calloc(t.locator.record_count, sizeof(*t.entries));
    hostile_truncations(locator, never_opens, &t);
    hostile_flips(locator, 0, never_opens, &t);
    t.table = true;
    const struct slice table =
        slice_of(payload + t.locator.table_offset, t.locator.table_sealed_bytes);
    hostile_truncations(table, never_opens, &t);
    hostile_flips(table, 0, never_opens, &t);
    hostile_noise(3, 500, 300, never_opens, &t);
    free(t.entries);
    segment_opener_free(t.opener);
    aead_free(aead);
    segment_builder_free(b);
}

static void test_a_cell_s_leaves_are_checked_one_run_at_a_time(void **state)
{
    (void)state;
    struct segment_builder *b = make_builder(4, 2, 1);
    struct aead *aead;
    struct sha256 *h;
    assert_int_equal(aead_new(&aead), ERR_OK);
    assert_int_equal(sha256_new(&h), ERR_OK);
    start(b);
    add(b, aead, 3u << 20, SEGMENT_FILE);
    assert_int_equal(segment_builder_finish(b, NULL), ERR_OK);
    const struct segment_header *header = segment_builder_header(b);
    const uint32_t count = segment_leaf_count(header->shard_bytes);
    assert_true(count >= 13);
    for (unsigned shard = 0; shard < 6; shard++) {
        const struct slice all = segment_builder_shard(b, shard);
        struct merkle_hash leaves[64], path[MERKLE_PATH_MAX];
        for (uint32_t i = 0; i < count; i++)
            sha256_leaf(h,
                        slice_of(all.data + i * 65536u, segment_leaf_bytes(header->shard_bytes, i)),
                        leaves[i].bytes);
        for (uint32_t first = 0; first < count; first += 3) {
            const uint32_t run = count - first < 4 ? count - first : 4;
            const size_t size = merkle_path_count(count, first, run);
            merkle_path(h, leaves, count, first, run, path);
            const struct slice bytes = slice_of(
                all.data + first * 65536u, segment_leaves_bytes(header->shard_bytes, first, run));
            const struct slice hashes = slice_of(path, size * 32);
            assert_int_equal(segment_leaves_verify(h, header, shard, first, run, bytes, hashes),
                             ERR_OK);
            assert_int_not_equal(
                segment_leaves_verify(h, header, (shard + 1) % 6, first, run, bytes, hashes),
                ERR_OK);
            assert_int_equal(segment_leaves_verify(h, header, shard, first, run,
                                                   slice_of(bytes.data, bytes.size - 1), hashes),
                             ERR_FORMAT);
            assert_int_equal(
                segment_leaves_verify(h, header, shard, first, run + 100, bytes, hashes),
                ERR_FORMAT);
            assert_int_equal(segment_leaves_verify(h, header, 6, first, run, bytes, hashes),
                             ERR_FORMAT);
        }
    }
    sha256_free(h);
    aead_free(aead);
    segment_builder_free(b);
}

/* docs/format-segment.md, "A worked example"; computed independently by tools outside this program.
 */
static void test_the_golden_segment(void **state)
{
    (void)state;
    static const char hello[] = "hello, cellar";
    const struct segment_shape shape = {.k = 2, .m = 1, .suite = 1};
    struct segment_identity identity = {.kind = SEGMENT_DATA, .device_slot = 1, .epoch = 2};
    uint8_t key[32], a_salt[32];
    for (uint8_t i = 0; i < 32; i++) {
        key[i] = i;
        a_salt[i] = (uint8_t)(0x40 + i);
        identity.account.bytes[i] = (uint8_t)(0x80 + i);
    }
    struct segment_builder *b;
    struct aead *aead;
    struct segment_entry entry = {.plain_bytes = sizeof(hello) - 1, .type = SEGMENT_FILE};
    uint32_t number;
    char text[2 * SEGMENT_HEADER_SIZE_MAX + 1], id[65];
    memset(entry.id.bytes, 0xcc, 32);
    assert_int_equal(segment_builder_new(&shape, &b, NULL), ERR_OK);
    assert_int_equal(aead_new(&aead), ERR_OK);
    assert_int_equal(segment_builder_start(b, &identity, key, a_salt), ERR_OK);
    assert_int_equal(segment_builder_reserve(b, &entry, sizeof(hello) - 1, &number), ERR_OK);
    assert_int_equal(segment_builder_seal(b, aead, number, slice_of(hello, sizeof(hello) - 1)),
                     ERR_OK);
    assert_int_equal(segment_builder_finish(b, NULL), ERR_OK);
    text_hex(segment_builder_header_bytes(b), text);
    text_hex(slice_of(segment_builder_id(b)->bytes, 32), id);
    assert_string_equal(text, GOLDEN_HEADER);
    assert_string_equal(id, GOLDEN_ID);
    text_hex(slice_of(segment_builder_shard(b, 0).data, 64 + 29), text);
    assert_string_equal(text, GOLDEN_PAYLOAD);
    aead_free(aead);
    segment_builder_free(b);
}

/* Not a test of anything but that it is worth having: prints GB/s of data. CELLAR_TEST_FULL=1. */
static void test_speed(void **state)
{
    (void)state;
    if (!getenv("CELLAR_TEST_FULL"))
        skip();
    struct segment_builder *b = make_builder(10, 4, 1);
    struct aead *aead;
    assert_int_equal(aead_new(&aead), ERR_OK);
    uint8_t *bytes = malloc(1u << 20);
    fill(bytes, 1u << 20, 0);
    double seal = 1e9, finish = 1e9;
    for (int round = 0; round < 20; round++) {
        struct timespec t[3];
        start(b);
        clock_gettime(CLOCK_MONOTONIC, &t[0]);
        for (int i = 0; i < 15; i++) {
            struct segment_entry entry = {.plain_bytes = 1u << 20};
            uint32_t number;
            assert_int_equal(segment_builder_reserve(b, &entry, 1u << 20, &number), ERR_OK);
            assert_int_equal(segment_builder_seal(b, aead, number, slice_of(bytes, 1u << 20)),
                             ERR_OK);
        }
        clock_gettime(CLOCK_MONOTONIC, &t[1]);
        assert_int_equal(segment_builder_finish(b, NULL), ERR_OK);
        clock_gettime(CLOCK_MONOTONIC, &t[2]);
        double s[2];
        for (int i = 0; i < 2; i++)
            s[i] = (double)(t[i + 1].tv_sec - t[i].tv_sec) +
                   1e-9 * (double)(t[i + 1].tv_nsec - t[i].tv_nsec);
        seal = s[0] < seal ? s[0] : seal;
        finish = s[1] < finish ? s[1] : finish;
    }
    printf("10+4, 15 MiB: sealing %.2f GB/s, finishing %.2f GB/s\n", 15 * 1048576e-9 / seal,
           15 * 1048576e-9 / finish);
    free(bytes);
    aead_free(aead);
    segment_builder_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_a_segment_takes_exactly_what_fits),
        cmocka_unit_test(test_a_hole_is_not_sent),
        cmocka_unit_test(test_changed_locators_and_tables_do_not_open),
        cmocka_unit_test(test_a_cell_s_leaves_are_checked_one_run_at_a_time),
        cmocka_unit_test(test_the_golden_segment),
        cmocka_unit_test(test_speed),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
