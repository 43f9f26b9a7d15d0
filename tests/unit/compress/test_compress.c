/* compress/: what goes in comes out, what does not pay is left raw, hostile frames cost nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/compress.h"

#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

static uint64_t next_word(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * 0x9e3779b97f4a7c15U;
}

static void fill_random(uint8_t *out, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(next_word(&seed) >> 56);
}

static void fill_text(uint8_t *out, size_t size, uint64_t seed)
{
    static const char *const words[] = {"shard ", "cell ", "a ", "backup ", "of ", "the\n", "x, "};
    for (size_t i = 0; i < size;) {
        const char *word = words[(next_word(&seed) >> 40) % ARRAY_COUNT(words)];
        for (; *word && i < size; word++)
            out[i++] = (uint8_t)*word;
    }
}

static struct compressor *make(int level)
{
    struct compressor *c;
    struct errmsg msg;
    assert_int_equal(compress_new(level, &c, &msg), ERR_OK);
    return c;
}

/* Packs into a block of exactly the promised room, so that ASan sees a byte too much. */
static uint8_t *pack(struct compressor *c, struct slice plain, enum compress_form *form,
                     size_t *size)
{
    struct errmsg msg;
    uint8_t *out = malloc(plain.size ? plain.size : 1);
    assert_non_null(out);
    assert_int_equal(compress_pack(c, plain, out, form, size, &msg), ERR_OK);
    assert_true(*size <= plain.size);
    if (*form == COMPRESS_RAW && plain.size > 0)
        memcpy(out, plain.data, plain.size);
    return out;
}

static enum err unpack(struct compressor *c, unsigned form, struct slice packed, size_t plain_size,
                       uint8_t **out)
{
    struct errmsg msg = {{0}};
    *out = malloc(plain_size ? plain_size : 1);
    assert_non_null(*out);
    enum err e = compress_unpack(c, form, packed, *out, plain_size, &msg);
    if (e != ERR_OK)
        assert_true(strlen(msg.text) > 20);
    return e;
}

static void test_compress_gives_back_what_it_got(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,    1,     2,     31,    32,      33,
                                   1000, 65535, 65536, 65537, 1000000, LIMIT_CHUNK_BYTES};
    static const int levels[] = {0, 1, 3, 9};
    uint8_t *plain = malloc(LIMIT_CHUNK_BYTES);
    assert_non_null(plain);
    for (size_t l = 0; l < ARRAY_COUNT(levels); l++) {
        struct compressor *c = make(levels[l]);
        for (size_t i = 0; i < 2 * ARRAY_COUNT(sizes); i++) {
            size_t size = sizes[i / 2], packed_size;
            (i % 2 ? fill_random : fill_text)(plain, size, 5 + i);
            enum compress_form form;
            uint8_t *packed = pack(c, slice_of(plain, size), &form, &packed_size), *back;
            if (i % 2 || levels[l] == 0)
                assert_int_equal(form, COMPRESS_RAW);
            else if (size >= 1000)
                assert_true(form == COMPRESS_ZSTD && packed_size < size / 2);
            assert_int_equal(unpack(c, form, slice_of(packed, packed_size), size, &back), ERR_OK);
            assert_memory_equal(back, plain, size);
            free(back);
            free(packed);
        }
        compress_free(c);
    }
    free(plain);
    compress_free(NULL);
}

/* The same chunk must pack to the same bytes whatever came before: nothing leaks from chunk to
 * chunk. */
static void test_compress_knows_nothing_of_other_chunks(void **state)
{
    (void)state;
    enum { SIZE = 200000 };
    static uint8_t plain[SIZE], other[SIZE];
    fill_text(plain, SIZE, 1);
    struct compressor *fresh = make(3), *used = make(3);
    for (uint64_t i = 0; i < 5; i++) {
        enum compress_form form;
        size_t one_size, two_size;
        uint8_t *one = pack(fresh, slice_of(plain, SIZE), &form, &one_size);
        (i % 2 ? fill_random : fill_text)(other, SIZE, i + 1); /* the very text, the first time */
        free(pack(used, slice_of(other, SIZE), &form, &two_size));
        uint8_t *two = pack(used, slice_of(plain, SIZE), &form, &two_size);
        assert_int_equal(one_size, two_size);
        assert_memory_equal(one, two, one_size);
        free(one);
        free(two);
    }
    compress_free(fresh);
    compress_free(used);
}

/* Half random and half text is worth packing; text with the odd random piece too. */
static void test_compress_samples_do_not_fool_it(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    uint8_t *plain = malloc(SIZE);
    assert_non_null(plain);
    struct compressor *c = make(3);
    for (unsigned shape = 0; shape < 4; shape++) {
        fill_random(plain, SIZE, 21);
        if (shape == 0)
            fill_text(plain + SIZE / 2, SIZE / 2, 22);
        if (shape == 1)
            memset(plain, 0, SIZE / 8);
        if (shape == 2)
            for (size_t i = 0; i < SIZE; i++)
                plain[i] &= 0x3f; /* 6 bits a byte */
        if (shape == 3) /* all byte values equally often, and yet 4 KiB after 4 KiB the same */
            for (size_t i = 1024; i < SIZE; i++)
                plain[i] = plain[i - 1024];
        enum compress_form form;
        size_t size;
        free(pack(c, slice_of(plain, SIZE), &form, &size));
        assert_int_equal(form, COMPRESS_ZSTD);
        assert_true(size < SIZE - SIZE / 16);
    }
    compress_free(c);
    free(plain);
}

static void test_compress_refuses_what_is_too_large(void **state)
{
    (void)state;
    struct compressor *c;
    struct errmsg msg;
    assert_int_equal(compress_new(-1, &c, &msg), ERR_USAGE);
    assert_null(c);
    assert_int_equal(compress_new(20, &c, &msg), ERR_USAGE);
    c = make(1);
    uint8_t byte = 0;
    enum compress_form form;
    size_t size;
    struct slice large = slice_of(&byte, LIMIT_CHUNK_BYTES + 1);
    assert_int_equal(compress_pack(c, large, &byte, &form, &size, &msg), ERR_TOO_LARGE);
    assert_int_equal(
        compress_unpack(c, COMPRESS_RAW, slice_of(&byte, 1), &byte, LIMIT_CHUNK_BYTES + 1, &msg),
        ERR_TOO_LARGE);
    assert_int_equal(compress_unpack(c, 2, slice_of(&byte, 1), &byte, 1, &msg), ERR_VERSION);
    assert_int_equal(compress_unpack(c, COMPRESS_RAW, slice_of(&byte, 1), &byte, 0, &msg),
                     ERR_CORRUPT);
    compress_free(c);
}

/* Cut short anywhere, longer than it is, with another length recorded: never an answer. */
static void test_compress_unpack_wants_exactly_one_frame(void **state)
{
    (void)state;
    enum { SIZE = 3000 };
    uint8_t plain[SIZE], twice[2 * SIZE];
    fill_text(plain, SIZE, 31);
    struct compressor *c = make(3);
    enum compress_form form;
    size_t size;
    uint8_t *packed = pack(c, slice_of(plain, SIZE), &form, &size), *back;
    assert_int_equal(form, COMPRESS_ZSTD);
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *shorter = malloc(cut ? cut : 1);
        assert_non_null(shorter);
        memcpy(shorter, packed, cut);
        assert_int_equal(unpack(c, form, slice_of(shorter, cut), SIZE, &back), ERR_CORRUPT);
        free(back);
        free(shorter);
    }
    memcpy(twice, packed, size);
    memcpy(twice + size, packed, size);
    assert_int_equal(unpack(c, form, slice_of(twice, 2 * size), SIZE, &back), ERR_CORRUPT);
    free(back);
    assert_int_equal(unpack(c, form, slice_of(twice, 2 * size), 2 * SIZE, &back), ERR_CORRUPT);
    free(back);
    assert_int_equal(unpack(c, form, slice_of(twice, size + 1), SIZE, &back), ERR_CORRUPT);
    free(back);
    static const size_t wrong[] = {0, 1, SIZE - 1, SIZE + 1, LIMIT_CHUNK_BYTES};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        assert_int_equal(unpack(c, form, slice_of(packed, size), wrong[i], &back), ERR_CORRUPT);
        free(back);
    }
    free(packed);
    compress_free(c);
}

/* Every bit of a frame flipped, and its first bytes anything: an error or the recorded length. */
static void test_compress_unpack_survives_hostile_frames(void **state)
{
    (void)state;
    enum { SIZE = 4000 };
    uint8_t plain[SIZE];
    fill_text(plain, SIZE / 2, 41);
    fill_random(plain + SIZE / 2, SIZE / 8, 42);
    memset(plain + SIZE / 2 + SIZE / 8, 7, SIZE - SIZE / 2 - SIZE / 8);
    struct compressor *c = make(9);
    enum compress_form form;
    size_t size;
    unsigned refused = 0;
    uint8_t *packed = pack(c, slice_of(plain, SIZE), &form, &size), *back;
    for (size_t bit = 0; bit < 8 * size; bit++) {
        packed[bit / 8] ^= (uint8_t)(1U << bit % 8);
        refused += unpack(c, form, slice_of(packed, size), SIZE, &back) != ERR_OK;
        packed[bit / 8] ^= (uint8_t)(1U << bit % 8);
        free(back);
    }
    assert_true(refused > 100);
    uint64_t seed = 43;
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t foreign[64];
        fill_random(foreign, sizeof(foreign), seed + round);
        put_le32(foreign, ZSTD_MAGICNUMBER);
        size_t used = 4 + round % 60;
        (void)unpack(c, form, slice_of(foreign, used), foreign[10], &back);
        free(back);
    }
    free(packed);
    compress_free(c);
}

/* What zstd's own reader would take and ours must not. */
static void test_compress_unpack_refuses_other_frames(void **state)
{
    (void)state;
    enum { SIZE = 2000 };
    uint8_t plain[SIZE], out[2 * SIZE], *back;
    fill_text(plain, SIZE, 51);
    struct compressor *c = make(3);
    ZSTD_CCtx *other = ZSTD_createCCtx();
    assert_non_null(other);
    /* without its content size */
    assert_int_equal(ZSTD_CCtx_setParameter(other, ZSTD_c_contentSizeFlag, 0), 0);
    size_t size = ZSTD_compress2(other, out, sizeof(out), plain, SIZE);
    assert_int_equal(unpack(c, COMPRESS_ZSTD, slice_of(out, size), SIZE, &back), ERR_CORRUPT);
    free(back);
    /* with a dictionary's number: the descriptor's lowest bit, and a byte behind it */
    size = ZSTD_compress(out, sizeof(out) - 1, plain, SIZE, 3);
    assert_true(!ZSTD_isError(size));
    memmove(out + 6, out + 5, size - 5);
    out[4] |= 1;
    out[5] = 7;
    assert_int_equal(ZSTD_getDictID_fromFrame(out, size + 1), 7);
    assert_int_equal(unpack(c, COMPRESS_ZSTD, slice_of(out, size + 1), SIZE, &back), ERR_CORRUPT);
    free(back);
    /* a skippable frame, alone and in front of a good one */
    uint8_t skippable[12 + 2 * SIZE] = {0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4};
    assert_int_equal(unpack(c, COMPRESS_ZSTD, slice_of(skippable, 12), 0, &back), ERR_CORRUPT);
    free(back);
    size = ZSTD_compress(skippable + 12, sizeof(skippable) - 12, plain, SIZE, 3);
    assert_int_equal(unpack(c, COMPRESS_ZSTD, slice_of(skippable, 12 + size), SIZE, &back),
                     ERR_CORRUPT);
    free(back);
    /* a bomb: 4 MiB of zeros in few bytes is what it says, and no more than was asked for */
    uint8_t *zeros = calloc(1, LIMIT_CHUNK_BYTES + 1);
    assert_non_null(zeros);
    size = ZSTD_compress(out, sizeof(out), zeros, LIMIT_CHUNK_BYTES + 1, 3);
    assert_true(!ZSTD_isError(size));
    assert_int_equal(unpack(c, COMPRESS_ZSTD, slice_of(out, size), SIZE, &back), ERR_CORRUPT);
    free(back);
    assert_int_equal(unpack(c, COMPRESS_ZSTD, slice_of(out, size), LIMIT_CHUNK_BYTES, &back),
                     ERR_CORRUPT);
    free(back);
    free(zeros);
    (void)ZSTD_freeCCtx(other);
    compress_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compress_gives_back_what_it_got),
        cmocka_unit_test(test_compress_knows_nothing_of_other_chunks),
        cmocka_unit_test(test_compress_samples_do_not_fool_it),
        cmocka_unit_test(test_compress_refuses_what_is_too_large),
        cmocka_unit_test(test_compress_unpack_wants_exactly_one_frame),
        cmocka_unit_test(test_compress_unpack_survives_hostile_frames),
        cmocka_unit_test(test_compress_unpack_refuses_other_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
