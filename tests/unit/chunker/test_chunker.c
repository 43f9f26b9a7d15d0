/* chunker/: where the cuts fall, that they follow the content, and that the key decides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chunker/chunker.h"

#include <stdio.h>
#include <stdlib.h>

static const struct chunker_limits small = {
    .min_bytes = 256, .average_bytes = 1024, .max_bytes = 4096};

/* SplitMix64: the test's bytes, and its keys */
static uint64_t next_word(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static void fill(uint8_t *out, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i += 8) {
        uint8_t word[8];
        put_le64(word, next_word(&seed));
        memcpy(out + i, word, size - i < 8 ? size - i : 8);
    }
}

static struct chunker make(uint64_t key_seed, const struct chunker_limits *limits)
{
    uint8_t key[CHUNKER_KEY_SIZE];
    struct chunker c;
    fill(key, sizeof(key), key_seed);
    assert_int_equal(chunker_init(&c, slice_of(key, sizeof(key)), limits), ERR_OK);
    return c;
}

/* Sizes of all chunks, the whole file at once. */
static size_t cut_all(const struct chunker *c, const uint8_t *data, size_t size, size_t *sizes,
                      size_t max)
{
    size_t count = 0;
    for (size_t at = 0; at < size; count++) {
        size_t cut = chunker_cut(c, slice_of(data + at, size - at), true);
        assert_true(cut > 0 && cut <= size - at && count < max);
        sizes[count] = cut;
        at += cut;
    }
    return count;
}

/* An independent program (docs/chunking.md says how) gave these: what is cut once must be cut so
   for ever, or nothing deduplicates any more. */
static void test_chunker_cuts_where_the_golden_vector_says(void **state)
{
    (void)state;
    static const size_t golden[] = {863,  1188, 1046, 904,  1312, 836,  937,  838, 1040, 813, 832,
                                    1028, 2358, 1016, 1104, 850,  1376, 840,  854, 472,  987, 402,
                                    955,  944,  604,  962,  1266, 1413, 2046, 902, 1019, 761};
    static uint8_t data[32768];
    fill(data, sizeof(data), 2);
    assert_int_equal(get_le64(data), 0x975835de1c9756ceU);
    struct chunker c = make(1, &small);
    assert_true(c.gear[0] == 0x910a2dec89025cc1U);
    size_t sizes[128];
    assert_int_equal(cut_all(&c, data, sizeof(data), sizes, 128), ARRAY_COUNT(golden));
    assert_memory_equal(sizes, golden, sizeof(golden));
}

/* A pipe gives bytes as it likes: the cuts must not depend on that. */
static void test_chunker_cuts_do_not_depend_on_feeding(void **state)
{
    (void)state;
    static uint8_t data[50000];
    fill(data, sizeof(data), 3);
    struct chunker c = make(4, &small);
    size_t sizes[256];
    size_t count = cut_all(&c, data, sizeof(data), sizes, 256);
    static const size_t steps[] = {1, 7, 63, 64, 255, 256, 257, 1000, 4095, 4096, 4097};
    for (size_t s = 0; s < ARRAY_COUNT(steps); s++) {
        size_t at = 0, have = 0, chunk = 0;
        while (at < sizeof(data)) {
            size_t left = sizeof(data) - at;
            size_t cut = chunker_cut(&c, slice_of(data + at, have), have == left);
            if (cut == 0) {
                assert_true(have < small.max_bytes);
                have = have + steps[s] < left ? have + steps[s] : left;
                continue;
            }
            assert_int_equal(cut, sizes[chunk++]);
            at += cut;
            have -= cut;
        }
        assert_int_equal(chunk, count);
    }
}

static void test_chunker_one_inserted_byte_changes_neighbours_only(void **state)
{
    (void)state;
    enum { SIZE = 400000 };
    static uint8_t data[SIZE], changed[SIZE + 1];
    static size_t before[2048], after[2048];
    fill(data, SIZE, 5);
    struct chunker c = make(6, &small);
    size_t before_count = cut_all(&c, data, SIZE, before, 2048);
    for (size_t where = 1; where < SIZE; where += 39989) {
        memcpy(changed, data, where);
        changed[where] = (uint8_t)(where * 7);
        memcpy(changed + where + 1, data + where, SIZE - where);
        size_t after_count = cut_all(&c, changed, SIZE + 1, after, 2048);
        size_t head = 0, tail = 0;
        while (head < before_count && head < after_count && before[head] == after[head])
            head++;
        while (tail < before_count - head && tail < after_count - head &&
               before[before_count - 1 - tail] == after[after_count - 1 - tail])
            tail++;
        assert_true(before_count - head - tail <= 12); /* of some 400 */
        size_t at = 0;
        for (size_t i = 0; i < head; i++)
            at += before[i];
        assert_true(at <= where + 1 && where - at <= small.max_bytes);
    }
}

static void test_chunker_sizes_lie_around_the_average(void **state)
{
    (void)state;
    enum { SIZE = 8 << 20 };
    uint8_t *data = malloc(SIZE);
    size_t *sizes = calloc(SIZE / 256, sizeof(*sizes));
    assert_true(data && sizes);
    fill(data, SIZE, 7);
    struct chunker c = make(8, &small);
    size_t count = cut_all(&c, data, SIZE, sizes, SIZE / 256), near = 0, at_max = 0;
    for (size_t i = 0; i + 1 < count; i++) {
        assert_in_range(sizes[i], small.min_bytes, small.max_bytes);
        near += sizes[i] >= 512 && sizes[i] <= 2048;
        at_max += sizes[i] == small.max_bytes;
    }
    double mean = (double)SIZE / (double)count;
    assert_true(mean > 0.95 * 1024 && mean < 1.05 * 1024);
    assert_true(near * 10 > count * 8); /* normalised: most within a factor of two */
    assert_true(at_max * 1000 < count);
    free(sizes);
    free(data);
}

/* Without the key nobody can tell where a known file is cut. */
static void test_chunker_key_decides(void **state)
{
    (void)state;
    enum { SIZE = 200000 };
    static uint8_t data[SIZE], cut_at[SIZE + 1];
    size_t sizes[1024], common = 0, at = 0;
    fill(data, SIZE, 9);
    struct chunker one = make(10, &small), two = make(11, &small);
    size_t count = cut_all(&one, data, SIZE, sizes, 1024);
    for (size_t i = 0; i < count; i++)
        cut_at[at += sizes[i]] = 1;
    count = cut_all(&two, data, SIZE, sizes, 1024);
    at = 0;
    for (size_t i = 0; i + 1 < count; i++)
        common += cut_at[at += sizes[i]];
    assert_true(common < 8); /* chance gives one in a thousand each */
}

static void test_chunker_constant_bytes_and_odd_ends(void **state)
{
    (void)state;
    static uint8_t data[20000];
    struct chunker c = make(12, &small);
    size_t sizes[128];
    for (unsigned value = 0; value < 256; value++) {
        memset(data, (int)value, sizeof(data));
        size_t count = cut_all(&c, data, sizeof(data), sizes, 128);
        for (size_t i = 0; i + 1 < count; i++)
            assert_true(sizes[i] == sizes[0] && sizes[i] >= small.min_bytes);
    }
    assert_int_equal(chunker_cut(&c, slice_of(NULL, 0), true), 0);
    assert_int_equal(chunker_cut(&c, slice_of(NULL, 0), false), 0);
    fill(data, sizeof(data), 13);
    for (size_t size = 1; size <= small.min_bytes; size++) {
        assert_int_equal(chunker_cut(&c, slice_of(data, size), true), size);
        if (size < small.min_bytes)
            assert_int_equal(chunker_cut(&c, slice_of(data, size), false), 0);
    }
}

static void test_chunker_refuses_wrong_limits(void **state)
{
    (void)state;
    static const struct chunker_limits wrong[] = {
        {63, 1024, 4096},  {1024, 1024, 4096}, {256, 1000, 4096},
        {256, 1024, 1024}, {256, 0, 4096},     {256, 1U << 31, UINT32_MAX},
    };
    uint8_t key[CHUNKER_KEY_SIZE] = {0};
    struct chunker c;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        assert_int_equal(chunker_init(&c, slice_of(key, sizeof(key)), &wrong[i]), ERR_USAGE);
    assert_int_equal(chunker_init(&c, slice_of(key, sizeof(key) - 1), &small), ERR_USAGE);
    const struct chunker_limits house = CHUNKER_LIMITS_DEFAULT;
    assert_int_equal(chunker_init(&c, slice_of(key, sizeof(key)), &house), ERR_OK);
}

/* The limits of the house on real sizes: 64 MiB, the mean within a quarter. */
static void test_chunker_default_limits(void **state)
{
    (void)state;
    enum { SIZE = 64 << 20 };
    const struct chunker_limits house = CHUNKER_LIMITS_DEFAULT;
    uint8_t *data = malloc(SIZE);
    assert_non_null(data);
    fill(data, SIZE, 14);
    struct chunker c = make(15, &house);
    size_t sizes[256];
    size_t count = cut_all(&c, data, SIZE, sizes, 256);
    assert_in_range(count, 48, 85);
    for (size_t i = 0; i + 1 < count; i++)
        assert_in_range(sizes[i], CHUNK_MIN_BYTES, LIMIT_CHUNK_BYTES);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunker_cuts_where_the_golden_vector_says),
        cmocka_unit_test(test_chunker_cuts_do_not_depend_on_feeding),
        cmocka_unit_test(test_chunker_one_inserted_byte_changes_neighbours_only),
        cmocka_unit_test(test_chunker_sizes_lie_around_the_average),
        cmocka_unit_test(test_chunker_key_decides),
        cmocka_unit_test(test_chunker_constant_bytes_and_odd_ends),
        cmocka_unit_test(test_chunker_refuses_wrong_limits),
        cmocka_unit_test(test_chunker_default_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
