/* Fragments are liberasurecode's to the byte, both ways; hostile ones are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "erasure/erasure.h"
#include "erasure/interop.h"
#include "erasure_fixture.h"

/* Our own fragments of `data`, all k + m. */
static struct shards fragments_new(unsigned k, unsigned m, struct slice data, bool with_checksum)
{
    size_t size = interop_shard_size(k, data.size);
    struct shards f = shards_new(k + m, INTEROP_HEADER_BYTES + size);
    uint8_t *at[INTEROP_SHARDS_MAX];
    struct erasure *code;
    memset(f.memory, 0, f.count * f.size);
    for (unsigned i = 0; i < k + m; i++)
        at[i] = f.at[i] + INTEROP_HEADER_BYTES;
    for (size_t i = 0; i < data.size; i++)
        at[i / size][i % size] = data.data[i];
    assert_int_equal(erasure_new(k, m, NULL, &code, NULL), ERR_OK);
    erasure_encode(code, (const uint8_t *const *)at, at + k, size);
    erasure_free(code);
    for (unsigned i = 0; i < k + m; i++)
        interop_header(i, slice_of(at[i], size), data.size, with_checksum, f.at[i]);
    return f;
}

static void check_both(unsigned k, unsigned m, size_t size, bool with_checksum)
{
    uint8_t *data = malloc(size), *back = malloc(size);
    struct errmsg msg;
    random_fill(data, size);
    struct shards ours = fragments_new(k, m, slice_of(data, size), with_checksum);
    struct shards theirs = shards_new(k + m, ours.size);
    assert_int_equal(
        interop_peer_encode(k, m, slice_of(data, size), with_checksum, theirs.at, &msg), ERR_OK);
    if (memcmp(ours.memory, theirs.memory, ours.count * ours.size) != 0)
        fail_msg("%u+%u of %zu bytes: fragments differ", k, m, size);
    for (unsigned i = 0; i < k + m; i++) {
        struct interop_fragment f;
        assert_int_equal(interop_read(slice_of(theirs.at[i], theirs.size), &f, &msg), ERR_OK);
        assert_int_equal(f.index, i);
        assert_int_equal(f.data_size, size);
        assert_int_equal(f.has_checksum, with_checksum);
        assert_ptr_equal(f.shard.data, theirs.at[i] + INTEROP_HEADER_BYTES);
    }
    /* it decodes what we wrote, from the last k */
    assert_int_equal(interop_peer_decode(k, m, ours.at + m, k, ours.size, back, size, &msg),
                     ERR_OK);
    assert_memory_equal(back, data, size);
    shards_free(&ours);
    shards_free(&theirs);
    free(data);
    free(back);
}

static void test_interop_same_fragments(void **state)
{
    static const unsigned codes[][2] = {{1, 1},  {2, 1},   {4, 2}, {10, 4},
                                        {16, 8}, {20, 12}, {31, 1}};
    (void)state;
    random_start("fragments");
    for (unsigned i = 0; i < 7; i++)
        for (unsigned n = 0; n < 8; n++)
            check_both(codes[i][0], codes[i][1], 1 + random_below(5000), n % 2);
    for (unsigned n = 0; n < (full_tier() ? 2000 : 50); n++) {
        unsigned k = 1 + random_below(31);
        check_both(k, 1 + random_below(32 - k), 1 + random_below(3000), n % 2);
    }
}

static void test_interop_hostile_fragments(void **state)
{
    uint8_t data[100], other[INTEROP_HEADER_BYTES + 34];
    struct interop_fragment f;
    struct errmsg msg;
    (void)state;
    random_start("hostile");
    random_fill(data, sizeof(data));
    struct shards s = fragments_new(3, 2, slice_of(data, sizeof(data)), true);
    for (size_t size = 0; size < s.size; size++) { /* cut short; in memory of its own, for ASan */
        uint8_t *cut = malloc(size + 1);
        memcpy(cut, s.at[1], size);
        assert_int_not_equal(interop_read(slice_of(cut, size), &f, &msg), ERR_OK);
        free(cut);
    }
    for (size_t bit = 0; bit < s.size * 8; bit++) {
        memcpy(other, s.at[1], s.size);
        other[bit / 8] ^= (uint8_t)(1u << bit % 8);
        bool unchecked = bit / 8 >= 63 && bit / 8 < INTEROP_HEADER_BYTES &&
                         (bit / 8 < 67 || bit / 8 >= 71); /* version and padding */
        enum err e = interop_read(slice_of(other, s.size), &f, &msg);
        assert_true(unchecked ? e == ERR_OK : e != ERR_OK);
    }
    for (unsigned n = 0; n < 1000; n++) {
        random_fill(other, sizeof(other));
        assert_int_not_equal(interop_read(slice_of(other, sizeof(other)), &f, &msg), ERR_OK);
    }
    shards_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interop_same_fragments),
        cmocka_unit_test(test_interop_hostile_fragments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
