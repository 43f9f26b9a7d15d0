/* segment/segment_header: one encoding, hostile headers refused, sizes and pieces as documented. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/hostile.h"
#include "segment/segment_header.h"

static struct segment_header make_header(void)
{
    struct segment_header h = {
        .suite = 1, .k = 4, .m = 2, .device_slot = 7, .epoch = 9, .shard_bytes = 65536};
    memset(h.account.bytes, 1, 32);
    memset(h.salt, 2, 32);
    memset(h.commitment, 3, 32);
    for (uint8_t i = 0; i < 6; i++)
        memset(h.roots[i].bytes, 10 + i, 32);
    return h;
}

static void refused_or_canonical(void *user, struct slice bytes, const char *how)
{
    static struct segment_header h;
    uint8_t again[SEGMENT_HEADER_SIZE_MAX];
    struct errmsg msg;
    (void)user;
    if (segment_header_decode(bytes, &h, &msg) != ERR_OK)
        return;
    if (segment_header_size(h.k, h.m) != bytes.size)
        fail_msg("accepted another length: %s", how);
    segment_header_encode(&h, again);
    if (memcmp(again, bytes.data, bytes.size) != 0)
        fail_msg("accepted what is not canonical: %s", how);
}

static void refused(void *user, struct slice bytes, const char *how)
{
    static struct segment_header h;
    (void)user;
    if (segment_header_decode(bytes, &h, NULL) == ERR_OK)
        fail_msg("accepted: %s", how);
}

static void test_hostile_headers(void **state)
{
    (void)state;
    const struct segment_header h = make_header();
    uint8_t bytes[SEGMENT_HEADER_SIZE_MAX];
    segment_header_encode(&h, bytes);
    const struct slice good = slice_of(bytes, segment_header_size(4, 2));
    struct segment_header out;
    assert_int_equal(segment_header_decode(good, &out, NULL), ERR_OK);
    refused_or_canonical(NULL, good, "good");
    hostile_truncations(good, refused, NULL);
    hostile_trailing(good, refused, NULL);
    hostile_flips(good, 0, refused_or_canonical, NULL);
    hostile_extremes(good, 0, refused_or_canonical, NULL);
    hostile_noise(1, 2000, 400, refused, NULL);
    hostile_mutations(good, 2, 5000, refused_or_canonical, NULL);
}

static void test_unknown_kinds_are_refused_as_such(void **state)
{
    (void)state;
    const struct segment_header h = make_header();
    uint8_t bytes[SEGMENT_HEADER_SIZE_MAX];
    struct segment_header out;
    for (size_t at = 4; at <= 11; at++) {
        if (at == 6 || at == 7)
            continue; /* k and m */
        segment_header_encode(&h, bytes);
        bytes[at] = 77;
        assert_int_equal(
            segment_header_decode(slice_of(bytes, segment_header_size(4, 2)), &out, NULL),
            ERR_VERSION);
    }
    segment_header_encode(&h, bytes);
    put_le32(bytes + 20, 4096 + 512);
    assert_int_equal(segment_header_decode(slice_of(bytes, segment_header_size(4, 2)), &out, NULL),
                     ERR_FORMAT);
    put_le32(bytes + 20, (4u << 20) + 4096);
    assert_int_equal(segment_header_decode(slice_of(bytes, segment_header_size(4, 2)), &out, NULL),
                     ERR_FORMAT);
}

static void test_sizes(void **state)
{
    (void)state;
    assert_int_equal(segment_shard_bytes_max(1), 4u << 20);
    assert_int_equal(segment_shard_bytes_max(4), 4u << 20);
    assert_int_equal(segment_shard_bytes_max(10), 409 * 4096);
    assert_int_equal(segment_shard_bytes_for(10, 1, 409 * 4096), 4096);
    assert_int_equal(segment_shard_bytes_for(10, 40961, 409 * 4096), 8192);
    assert_int_equal(segment_shard_bytes_for(10, 10 * 4096 * 15, 409 * 4096), 15 * 4096);
    assert_int_equal(segment_shard_bytes_for(10, 10 * 4096 * 16 + 1, 409 * 4096), 18 * 4096);
    assert_int_equal(segment_shard_bytes_for(10, 10 * 4096 * 32, 409 * 4096), 32 * 4096);
    assert_int_equal(segment_shard_bytes_for(10, 10 * 4096 * 32 + 1, 409 * 4096), 36 * 4096);
    assert_int_equal(segment_shard_bytes_for(10, 10 * 4096 * 385, 409 * 4096), 409 * 4096);
    assert_int_equal(segment_shard_bytes_for(10, 10 * 1048577, 409 * 4096), 288 * 4096);
    assert_int_equal(segment_shard_bytes_for(10, 10 * 409 * 4096 + 1, 409 * 4096), 0);
    for (unsigned k = 1; k <= 255; k++) {
        const uint32_t most = segment_shard_bytes_max(k);
        assert_true(most % 4096 == 0 && most > 0 && (uint64_t)most * k <= LIMIT_SEGMENT_BYTES);
        for (uint64_t bytes = 1; bytes <= (uint64_t)most * k; bytes = bytes * 3 + 1) {
            const uint32_t shard = segment_shard_bytes_for(k, bytes, most);
            assert_true(shard % 4096 == 0 && (uint64_t)shard * k >= bytes && shard <= most);
            if (bytes > 8ull * 4096 * k) /* an eighth of padding at most */
                assert_true((uint64_t)shard * k * 8 <= bytes * 9 + 8);
        }
    }
}

static void test_pieces_cover_a_range_once(void **state)
{
    (void)state;
    const uint32_t shard = 409 * 4096;
    const uint64_t starts[] = {0, 64, 65535, 65536, shard - 1, shard, 3 * (uint64_t)shard - 5};
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
        for (uint64_t size = 1; size < 4u << 20; size = size * 7 + 3) {
            uint64_t at = starts[i], left = size;
            while (left > 0) {
                const struct segment_piece p = segment_piece_at(shard, at, left);
                assert_true(p.size > 0 && p.size <= left);
                assert_true((uint64_t)p.shard * shard + p.leaf_first * 65536u + p.skip == at);
                const uint32_t bytes = segment_leaves_bytes(shard, p.leaf_first, p.leaf_count);
                assert_true(p.skip + p.size <= bytes && p.skip < 65536);
                assert_true(p.skip + p.size >
                            bytes - segment_leaf_bytes(shard, p.leaf_first + p.leaf_count - 1));
                at += p.size;
                left -= p.size;
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_headers),
        cmocka_unit_test(test_unknown_kinds_are_refused_as_such),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_pieces_cover_a_range_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
