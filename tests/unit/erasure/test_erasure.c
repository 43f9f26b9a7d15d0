/* erasure/: parity is ISA-L's byte for byte, any k of n give all, for every way of calling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "erasure/erasure.h"
#include "erasure_fixture.h"

#include <isa-l/erasure_code.h>

static struct erasure *code_new(unsigned k, unsigned m)
{
    struct erasure *code;
    struct errmsg msg;
    assert_int_equal(erasure_new(k, m, NULL, &code, &msg), ERR_OK);
    return code;
}

static void isal_encode(unsigned k, unsigned m, size_t size, uint8_t **data, uint8_t **parity)
{
    uint8_t *matrix = malloc((k + m) * k), *tables = malloc(k * m * 32);
    gf_gen_cauchy1_matrix(matrix, (int)(k + m), (int)k);
    ec_init_tables((int)k, (int)m, matrix + k * k, tables);
    ec_encode_data((int)size, (int)k, (int)m, tables, data, parity);
    free(matrix);
    free(tables);
}

static void check_isal(unsigned k, unsigned m, size_t size)
{
    struct shards s = shards_new(k + m, size), expected = shards_new(m, size);
    struct erasure *code = code_new(k, m);
    random_fill(s.memory, (k + m) * size);
    isal_encode(k, m, size, s.at, expected.at);
    erasure_encode(code, (const uint8_t *const *)s.at, s.at + k, size);
    for (unsigned i = 0; i < m; i++)
        if (memcmp(s.at[k + i], expected.at[i], size) != 0)
            fail_msg("%u+%u, %zu bytes: parity %u differs from ISA-L", k, m, size, i);
    /* one shard at a time */
    memset(s.at[k], 0, m * size);
    for (unsigned j = k; j-- > 0;)
        erasure_update(code, j, s.at[j], s.at + k, size);
    assert_memory_equal(s.at[k], expected.memory, m * size);
    erasure_free(code);
    shards_free(&s);
    shards_free(&expected);
}

static void test_parity_is_isal(void **state)
{
    (void)state;
    random_start("parity");
    for (unsigned k = 1; k < 34; k++)
        for (unsigned m = 1; m < 20; m++)
            check_isal(k, m, 1 + random_below(300));
    for (unsigned n = 0; n < (full_tier() ? 5000 : 200); n++) {
        unsigned k = 1 + random_below(254), m = 1 + random_below(255 - k);
        check_isal(k, m, 1 + random_below(5000));
    }
}

/* All kernels that this CPU runs, through the whole of the API. */
static void test_parity_of_each_kernel(void **state)
{
    (void)state;
    random_start("each kernel");
    for (unsigned i = 0; erasure_kernel_name(i); i++) {
        struct erasure_options options = {.kernel = erasure_kernel_name(i)};
        if (!erasure_kernel_usable(options.kernel, NULL))
            continue;
        for (unsigned n = 0; n < 40; n++) {
            unsigned k = 1 + random_below(40), m = 1 + random_below(40);
            size_t size = 1 + random_below(1000);
            struct shards s = shards_new(k + m, size), expected = shards_new(m, size);
            struct erasure *code;
            assert_int_equal(erasure_new(k, m, &options, &code, NULL), ERR_OK);
            random_fill(s.memory, k * size);
            isal_encode(k, m, size, s.at, expected.at);
            erasure_encode(code, (const uint8_t *const *)s.at, s.at + k, size);
            assert_memory_equal(s.at[k], expected.memory, m * size);
            erasure_free(code);
            shards_free(&s);
            shards_free(&expected);
        }
    }
}

/* Rows that are not wanted are not made, the others are the same. */
static void test_encode_wanted_rows(void **state)
{
    static const unsigned codes[][2] = {{10, 4}, {16, 8}, {24, 12}, {5, 3}, {32, 40}};
    (void)state;
    random_start("wanted rows");
    for (unsigned n = 0; n < 200; n++) {
        unsigned k = codes[n % 5][0], m = codes[n % 5][1];
        struct shards s = shards_new(k + m, 300), all = shards_new(m, 300);
        struct erasure *code = code_new(k, m);
        uint8_t *wanted[64];
        random_fill(s.memory, k * 300);
        memset(s.at[k], 0x77, m * 300);
        erasure_encode(code, (const uint8_t *const *)s.at, all.at, 300);
        for (unsigned i = 0; i < m; i++)
            wanted[i] = random_below(3) ? s.at[k + i] : NULL;
        erasure_encode(code, (const uint8_t *const *)s.at, wanted, 300);
        for (unsigned i = 0; i < m; i++) {
            if (wanted[i])
                assert_memory_equal(wanted[i], all.at[i], 300);
            else
                assert_int_equal(s.at[k + i][random_below(300)], 0x77);
        }
        erasure_free(code);
        shards_free(&s);
        shards_free(&all);
    }
}

/* Ranges of the split cover everything once, and give the whole. */
static void test_encode_by_ranges(void **state)
{
    (void)state;
    random_start("ranges");
    for (unsigned n = 0; n < 50; n++) {
        size_t size = random_below(40000), at = 0;
        unsigned parts = 1 + random_below(9);
        struct shards s = shards_new(24, size), whole = shards_new(8, size);
        struct erasure *code = code_new(16, 8);
        random_fill(s.memory, 16 * size);
        erasure_encode(code, (const uint8_t *const *)s.at, whole.at, size);
        for (unsigned i = 0; i < parts; i++) {
            struct erasure_range range = erasure_split(size, parts, i);
            assert_int_equal(range.offset, at);
            at += range.size;
            erasure_encode_range(code, (const uint8_t *const *)s.at, s.at + 16, range.offset,
                                 range.size);
        }
        assert_int_equal(at, size);
        assert_memory_equal(s.at[16], whole.memory, 8 * size);
        erasure_free(code);
        shards_free(&s);
        shards_free(&whole);
    }
}

struct seen {
    const struct shards *shards;
    const struct shards *expected;
    size_t data_at, parity_at;
    unsigned k;
};

static void on_block(void *user, unsigned first, unsigned count, size_t offset, size_t size)
{
    struct seen *seen = user;
    if (first == 0) {
        assert_int_equal(count, seen->k);
        assert_int_equal(offset, seen->data_at);
        assert_int_equal(seen->data_at, seen->parity_at); /* its parity comes next */
        seen->data_at += size;
        return;
    }
    assert_int_equal(offset, seen->parity_at);
    seen->parity_at += size;
    for (unsigned i = 0; i < count; i++) /* the parity is there when it is reported */
        assert_memory_equal(seen->shards->at[first + i] + offset, seen->expected->at[i] + offset,
                            size);
}

static void test_encode_fused(void **state)
{
    static const size_t blocks[] = {0, 1024, 65536};
    (void)state;
    random_start("fused");
    for (unsigned n = 0; n < 3; n++) {
        size_t size = 150000 + n;
        struct shards s = shards_new(14, size), expected = shards_new(4, size);
        struct erasure *code = code_new(10, 4);
        struct seen seen = {.shards = &s, .expected = &expected, .k = 10};
        struct erasure_fuse fuse = {.block = blocks[n], .on_block = on_block, .user = &seen};
        random_fill(s.memory, 10 * size);
        isal_encode(10, 4, size, s.at, expected.at);
        erasure_encode_fused(code, (const uint8_t *const *)s.at, s.at + 10, size, &fuse);
        assert_int_equal(seen.data_at, size);
        assert_int_equal(seen.parity_at, size);
        assert_int_equal(65536 % erasure_fuse_block(code), 0);
        erasure_free(code);
        shards_free(&s);
        shards_free(&expected);
    }
}

/* A shard that changes: the parity follows from the difference alone. */
static void test_update_replaces(void **state)
{
    struct shards s = shards_new(9, 500), expected = shards_new(3, 500);
    uint8_t difference[500];
    struct erasure *code = code_new(6, 3);
    (void)state;
    random_start("update");
    random_fill(s.memory, 6 * 500);
    random_fill(difference, 500);
    erasure_encode(code, (const uint8_t *const *)s.at, s.at + 6, 500);
    for (unsigned i = 0; i < 500; i++)
        s.at[4][i] ^= difference[i];
    erasure_encode(code, (const uint8_t *const *)s.at, expected.at, 500);
    uint8_t *some[3] = {s.at[6], NULL, s.at[8]};
    uint8_t kept = s.at[7][3];
    erasure_update(code, 4, difference, some, 500);
    assert_memory_equal(s.at[6], expected.at[0], 500);
    assert_memory_equal(s.at[8], expected.at[2], 500);
    assert_int_equal(s.at[7][3], kept);
    erasure_free(code);
    shards_free(&s);
    shards_free(&expected);
}

static void test_new_refuses(void **state)
{
    struct erasure *code;
    struct errmsg msg;
    struct erasure_options foreign = {.matrix = (enum erasure_matrix)2};
    (void)state;
    assert_int_equal(erasure_new(0, 4, NULL, &code, &msg), ERR_USAGE);
    assert_int_equal(erasure_new(4, 0, NULL, &code, &msg), ERR_USAGE);
    assert_int_equal(erasure_new(128, 128, NULL, &code, &msg), ERR_USAGE);
    assert_int_equal(erasure_new(1, 0xffffffff, NULL, &code, &msg), ERR_USAGE);
    assert_int_equal(erasure_new(4, 2, &foreign, &code, &msg), ERR_UNSUPPORTED);
    erasure_free(NULL);
    erasure_plan_free(NULL);
    code = code_new(250, 5);
    erasure_free(code);
}

/* Strides keep shards apart and never waste much more than a page. */
static void test_stride(void **state)
{
    (void)state;
    for (size_t size = 0; size < 70000; size += 61) {
        size_t stride = erasure_stride(size);
        assert_true(stride >= size && stride % 64 == 0 && stride <= size + 4096 + 64);
        assert_true(stride % 4096 != 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parity_is_isal),     cmocka_unit_test(test_parity_of_each_kernel),
        cmocka_unit_test(test_encode_wanted_rows), cmocka_unit_test(test_encode_by_ranges),
        cmocka_unit_test(test_encode_fused),       cmocka_unit_test(test_update_replaces),
        cmocka_unit_test(test_new_refuses),        cmocka_unit_test(test_stride),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
