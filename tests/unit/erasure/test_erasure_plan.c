/* Any k of k + m give all the others back: all patterns of loss where they can be counted, random
   ones where they cannot; and shards that lie are found out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "erasure/erasure_internal.h"
#include "erasure_fixture.h"

enum { SIZE = 70 }; /* a whole column and a tail */

struct fixture {
    struct erasure *code;
    unsigned k, n;
    struct shards good, work;
};

static struct fixture fixture_new(unsigned k, unsigned m, size_t size)
{
    struct fixture f = {.k = k, .n = k + m};
    struct errmsg msg;
    assert_int_equal(erasure_new(k, m, NULL, &f.code, &msg), ERR_OK);
    f.good = shards_new(k + m, size);
    f.work = shards_new(k + m, size);
    random_fill(f.good.memory, k * size);
    erasure_encode(f.code, (const uint8_t *const *)f.good.at, f.good.at + k, size);
    memcpy(f.work.memory, f.good.memory, f.n * size);
    return f;
}

static void fixture_free(struct fixture *f)
{
    shards_free(&f->good);
    shards_free(&f->work);
    erasure_free(f->code);
}

/* Loses the shards of `lost`, makes them again, and leaves everything as it was. */
static void lose_and_restore(struct fixture *f, const struct erasure_set *lost)
{
    struct erasure_set present = {{0}};
    struct erasure_plan *plan;
    struct errmsg msg;
    size_t size = f->good.size;
    for (unsigned i = 0; i < f->n; i++) {
        if (erasure_set_has(lost, i))
            memset(f->work.at[i], 0xee, size);
        else
            erasure_set_add(&present, i);
    }
    assert_int_equal(erasure_plan_new(f->code, &present, lost, &plan, &msg), ERR_OK);
    erasure_plan_run(plan, f->work.at, size);
    erasure_plan_free(plan);
    if (memcmp(f->work.memory, f->good.memory, f->n * size) != 0)
        fail_msg("%u of %u: losing %llx is not made good", f->k, f->n,
                 (unsigned long long)lost->words[0]);
}

/* Every pattern of exactly `count` lost, from shard `first` on. */
static unsigned all_patterns(struct fixture *f, struct erasure_set *lost, unsigned first,
                             unsigned count)
{
    unsigned tried = 0;
    if (count == 0) {
        lose_and_restore(f, lost);
        return 1;
    }
    for (unsigned i = first; i + count <= f->n; i++) {
        erasure_set_add(lost, i);
        tried += all_patterns(f, lost, i + 1, count - 1);
        erasure_set_remove(lost, i);
    }
    return tried;
}

static unsigned all_patterns_of(unsigned k, unsigned m, unsigned least)
{
    struct fixture f = fixture_new(k, m, SIZE);
    struct erasure_set lost = {{0}};
    unsigned tried = 0;
    for (unsigned count = least; count <= m; count++)
        tried += all_patterns(&f, &lost, 0, count);
    fixture_free(&f);
    return tried;
}

static void random_patterns(unsigned k, unsigned m, unsigned count)
{
    struct fixture f = fixture_new(k, m, SIZE);
    for (unsigned i = 0; i < count; i++) {
        struct erasure_set lost = {{0}};
        for (unsigned n = 1 + random_below(m); n > 0; n--)
            erasure_set_add(&lost, random_below(k + m));
        lose_and_restore(&f, &lost);
    }
    fixture_free(&f);
}

static void test_plan_all_patterns(void **state)
{
    unsigned tried = 0;
    (void)state;
    random_start("patterns");
    for (unsigned n = 2; n <= (full_tier() ? 12 : 11); n++)
        for (unsigned k = 1; k < n; k++)
            tried += all_patterns_of(k, n - k, 1);
    printf("%u patterns of small codes\n", tried);
    if (!full_tier())
        return;
    assert_int_equal(all_patterns_of(10, 6, 1), 14892);
    assert_int_equal(all_patterns_of(12, 6, 6), 18564);
}

static void test_plan_random_patterns(void **state)
{
    static const unsigned codes[][2] = {{24, 12}, {20, 40}, {16, 8}, {10, 4}, {100, 30}, {3, 7}};
    (void)state;
    random_start("random patterns");
    for (unsigned i = 0; i < 6; i++)
        random_patterns(codes[i][0], codes[i][1], !full_tier() ? 2000 : i < 2 ? 100000 : 2000);
}

/* The plan takes the way of least work; each must be right wherever it can be taken. */
static void test_plan_all_ways(void **state)
{
    static const unsigned codes[][2] = {{8, 5},   {8, 8},   {16, 8},  {12, 7},  {24, 12},
                                        {32, 16}, {20, 40}, {40, 10}, {100, 30}};
    static const size_t sizes[] = {1, 63, 64, 300, 2500};
    (void)state;
    random_start("ways");
    for (enum erasure_way way = WAY_DENSE; way <= WAY_SOLVE; way++) {
        for (unsigned n = 0; n < 5 * 9; n++) {
            unsigned k = codes[n % 9][0], m = codes[n % 9][1];
            struct fixture f = fixture_new(k, m, sizes[n / 9]);
            f.code->way = way;
            for (unsigned i = 0; i < (full_tier() ? 200 : 8); i++) {
                struct erasure_set lost = {{0}};
                unsigned first = random_below(k), apart = i % 3 ? k + m : m; /* near each other */
                for (unsigned count = 0; count < m; count++)
                    erasure_set_add(&lost, (first + random_below(apart)) % (k + m));
                lose_and_restore(&f, &lost);
            }
            fixture_free(&f);
        }
    }
}

static void test_plan_all_patterns_all_ways(void **state)
{
    (void)state;
    for (enum erasure_way way = WAY_DENSE; way <= WAY_SOLVE; way++) {
        struct fixture f = fixture_new(8, full_tier() ? 6 : 4, SIZE);
        struct erasure_set lost = {{0}};
        f.code->way = way;
        for (unsigned count = 1; count <= f.n - 8; count++)
            assert_true(all_patterns(&f, &lost, 0, count) > 0);
        fixture_free(&f);
    }
}

/* Lost data that fills aligned fours, with all or most parity there, is solved by transforms. */
static void test_plan_aligned_losses(void **state)
{
    static const unsigned codes[][2] = {{16, 8}, {24, 12}, {32, 16}, {20, 40}, {8, 8}, {12, 13}};
    (void)state;
    random_start("aligned");
    for (unsigned n = 0; n < 4 * 6; n++) {
        unsigned k = codes[n / 4][0], m = codes[n / 4][1];
        struct fixture f = fixture_new(k, m, 1000);
        f.code->way = (enum erasure_way)(n % 4);
        for (unsigned first = 0; first < k; first += 4) {
            for (unsigned count = 4; first + count <= k && count <= m; count += 4) {
                struct erasure_set lost = {{0}};
                for (unsigned i = 0; i < count; i++)
                    erasure_set_add(&lost, first + i);
                lose_and_restore(&f, &lost);
                for (unsigned i = count; i < m; i++) /* and parity: first or last rows */
                    erasure_set_add(&lost, count % 8 ? k + i : k + m - 1 - i);
                lose_and_restore(&f, &lost);
            }
        }
        fixture_free(&f);
    }
}

/* Many blocks of columns, an end that is no whole column, ranges that start anywhere; and large
   enough to come from memory. */
static void test_plan_syndromes_in_blocks(void **state)
{
    static const unsigned codes[][2] = {{32, 16}, {24, 12}, {20, 40}};
    (void)state;
    random_start("syndromes in blocks");
    for (unsigned c = 0; c < 3; c++) {
        unsigned k = codes[c][0], m = codes[c][1];
        size_t size = c == 0 ? 300001 : 20001;
        struct fixture f = fixture_new(k, m, size);
        struct erasure_set present = {{0}}, lost = {{0}};
        struct erasure_plan *plan;
        f.code->way = WAY_SOLVE;
        for (unsigned i = 0; i < m; i++)
            erasure_set_add(&lost, random_below(k + m));
        for (unsigned i = 0; i < k + m; i++) {
            if (erasure_set_has(&lost, i))
                memset(f.work.at[i], 0x33, size);
            else
                erasure_set_add(&present, i);
        }
        assert_int_equal(erasure_plan_new(f.code, &present, &lost, &plan, NULL), ERR_OK);
        erasure_plan_run_range(plan, f.work.at, 0, 4321);
        erasure_plan_run_range(plan, f.work.at, 4321, 30);
        erasure_plan_run_range(plan, f.work.at, 4351, size - 4351);
        erasure_plan_free(plan);
        assert_memory_equal(f.work.memory, f.good.memory, (k + m) * size);
        fixture_free(&f);
    }
}

static void test_plan_large_shards_and_ranges(void **state)
{
    struct fixture f = fixture_new(10, 4, 100001);
    struct erasure_set present = {{0x3fff}}, lost = {{0}};
    struct erasure_plan *plan;
    struct errmsg msg;
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        erasure_set_add(&lost, i * 3);
        erasure_set_remove(&present, i * 3);
        memset(f.work.at[i * 3], 0, 100001);
    }
    assert_int_equal(erasure_plan_new(f.code, &present, &lost, &plan, &msg), ERR_OK);
    for (unsigned part = 0; part < 3; part++) {
        struct erasure_range range = erasure_split(100001, 3, part);
        erasure_plan_run_range(plan, f.work.at, range.offset, range.size);
    }
    erasure_plan_free(plan);
    assert_memory_equal(f.work.memory, f.good.memory, 14 * 100001);
    fixture_free(&f);
}

/* Lost parity comes from the encoder when that is less work, with lost data made first, block by
   block: its bytes must be right beyond the first block and in any range. */
static void test_plan_parity_from_the_encoder(void **state)
{
    static const unsigned codes[][2] = {{16, 8}, {10, 4}, {24, 12}, {20, 40}, {6, 3}};
    (void)state;
    for (unsigned c = 0; c < 5; c++) {
        unsigned k = codes[c][0], m = codes[c][1];
        struct fixture f = fixture_new(k, m, 100001);
        for (unsigned data_lost = 0; data_lost <= 2; data_lost++) {
            struct erasure_set present = {{0}}, lost = {{0}};
            struct erasure_plan *plan;
            for (unsigned i = 0; i < k + m; i++)
                erasure_set_add(i < data_lost || i >= k + data_lost ? &lost : &present, i);
            for (unsigned i = 0; i < k + m; i++)
                if (erasure_set_has(&lost, i))
                    memset(f.work.at[i], 0x11, 100001);
            assert_int_equal(erasure_plan_new(f.code, &present, &lost, &plan, NULL), ERR_OK);
            for (unsigned part = 0; part < 2; part++) {
                struct erasure_range range = erasure_split(100001, 2, part);
                erasure_plan_run_range(plan, f.work.at, range.offset, range.size);
            }
            erasure_plan_free(plan);
            assert_memory_equal(f.work.memory, f.good.memory, (k + m) * 100001);
        }
        fixture_free(&f);
    }
}

static void test_plan_reads_k_and_writes_what_is_wanted(void **state)
{
    struct fixture f = fixture_new(4, 3, 100);
    struct erasure_set present = {{0x7b}}, wanted = {{0x05}}, few = {{0x07}}, foreign = {{0x80}};
    struct erasure_plan *plan, *again;
    struct errmsg msg;
    (void)state;
    /* shard 2 is lost, shard 0 is wanted though present */
    assert_int_equal(erasure_plan_new(f.code, &present, &wanted, &plan, &msg), ERR_OK);
    struct erasure_set sources = erasure_plan_sources(plan), targets = erasure_plan_targets(plan);
    assert_int_equal(sources.words[0], 0x1b);
    assert_int_equal(targets.words[0], 0x04);
    assert_int_equal(erasure_plan_new(f.code, &present, &wanted, &again, &msg), ERR_OK);
    assert_ptr_equal(plan, again); /* the inverse is cached */
    uint8_t *at[7] = {f.work.at[0], f.work.at[1], f.work.at[2], f.work.at[3], f.work.at[4]};
    memset(at[2], 0, 100);
    erasure_plan_run(plan, at, 100); /* 5 and 6 are not touched */
    assert_memory_equal(at[2], f.good.at[2], 100);
    erasure_plan_free(plan);
    erasure_plan_free(again);
    assert_int_equal(erasure_plan_new(f.code, &few, &wanted, &plan, &msg), ERR_OK);
    erasure_plan_free(plan); /* all that is wanted is there */
    wanted = (struct erasure_set){{0x08}};
    assert_int_equal(erasure_plan_new(f.code, &few, &wanted, &plan, &msg), ERR_NOT_ENOUGH);
    assert_int_equal(erasure_plan_new(f.code, &foreign, &wanted, &plan, &msg), ERR_USAGE);
    fixture_free(&f);
}

static void test_plan_survives_its_cache(void **state)
{
    struct fixture f = fixture_new(8, 8, 100);
    struct erasure_set all = {{0xffff}}, lost = {{1}}, rest = {{0xfffe}};
    struct erasure_plan *first, *other;
    struct errmsg msg;
    (void)state;
    assert_int_equal(erasure_plan_new(f.code, &rest, &lost, &first, &msg), ERR_OK);
    for (unsigned i = 1; i < 256; i++) { /* many more than the cache holds */
        struct erasure_set gone = {{i}}, here = {{all.words[0] & ~(uint64_t)i}};
        assert_int_equal(erasure_plan_new(f.code, &here, &gone, &other, &msg), ERR_OK);
        erasure_plan_free(other);
    }
    memset(f.work.at[0], 0, 100);
    erasure_plan_run(first, f.work.at, 100);
    assert_memory_equal(f.work.memory, f.good.memory, 1600);
    erasure_plan_free(first);
    fixture_free(&f);
}

static void test_verify_names_the_liar(void **state)
{
    struct fixture f = fixture_new(6, 3, 5000);
    const uint8_t *at[9];
    struct erasure_set bad;
    struct errmsg msg;
    (void)state;
    random_start("liars");
    for (unsigned i = 0; i < 9; i++)
        at[i] = f.work.at[i];
    assert_int_equal(erasure_verify(f.code, at, 5000, &bad, &msg), ERR_OK);
    for (unsigned liar = 0; liar < 9; liar++) { /* one bit anywhere, any shard */
        uint8_t *byte = f.work.at[liar] + random_below(5000), bit = (uint8_t)(1u << liar % 8);
        *byte ^= bit;
        assert_int_equal(erasure_verify(f.code, at, 5000, &bad, &msg), ERR_CORRUPT);
        assert_int_equal(bad.words[0], 1u << liar);
        *byte ^= bit;
    }
    f.work.at[2][7] ^= 1;
    f.work.at[4][7] ^= 9; /* two liars */
    assert_int_equal(erasure_verify(f.code, at, 5000, &bad, &msg), ERR_INCONSISTENT);
    assert_int_equal(erasure_set_count(&bad), 0);
    f.work.at[4][7] ^= 9;
    at[0] = at[1] = NULL; /* k + 1: it is seen that one lies, not which */
    assert_int_equal(erasure_verify(f.code, at, 5000, &bad, &msg), ERR_INCONSISTENT);
    at[8] = NULL; /* k: nothing can be said */
    assert_int_equal(erasure_verify(f.code, at, 5000, &bad, &msg), ERR_NOT_ENOUGH);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_all_patterns),
        cmocka_unit_test(test_plan_random_patterns),
        cmocka_unit_test(test_plan_all_ways),
        cmocka_unit_test(test_plan_all_patterns_all_ways),
        cmocka_unit_test(test_plan_aligned_losses),
        cmocka_unit_test(test_plan_syndromes_in_blocks),
        cmocka_unit_test(test_plan_large_shards_and_ranges),
        cmocka_unit_test(test_plan_parity_from_the_encoder),
        cmocka_unit_test(test_plan_reads_k_and_writes_what_is_wanted),
        cmocka_unit_test(test_plan_survives_its_cache),
        cmocka_unit_test(test_verify_names_the_liar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
