/* Protects against hostile values of system.posix_acl_*: they come out of a backup. */
#include "bundle/bundle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* user::rw-, user:12345:r--, group::r--, mask::r--, other::--- */
static const uint8_t example[] = {
    2,  0, 0, 0,                         /* version */
    1,  0, 6, 0, 0xff, 0xff, 0xff, 0xff, /* owner */
    2,  0, 4, 0, 0x39, 0x30, 0,    0,    /* user 12345 */
    4,  0, 4, 0, 0xff, 0xff, 0xff, 0xff, /* owning group */
    16, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, /* mask */
    32, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, /* others */
};

static void test_acl_decode_reads_the_kernels_encoding(void **state)
{
    struct bundle_acl acl[8];
    size_t count;
    (void)state;
    assert_int_equal(bundle_acl_decode(slice_of(example, sizeof(example)), acl, 8, &count), ERR_OK);
    assert_int_equal(count, 5);
    assert_int_equal(acl[0].tag, 1);
    assert_int_equal(acl[0].perm, 6);
    assert_int_equal(acl[1].tag, 2);
    assert_int_equal(acl[1].id, 12345);
    assert_int_equal(acl[4].perm, 0);
}

static void test_acl_decode_refuses_what_is_cut_short(void **state)
{
    struct bundle_acl acl[8];
    size_t count;
    (void)state;
    for (size_t size = 0; size < sizeof(example); size++) {
        uint8_t *copy = malloc(size + 1); /* so that reading on is seen */
        assert_non_null(copy);
        memcpy(copy, example, size);
        const enum err e = bundle_acl_decode(slice_of(copy, size), acl, 8, &count);
        assert_int_equal(e == ERR_OK, size >= 4 && size % 8 == 4);
        free(copy);
    }
}

static void test_acl_decode_survives_any_changed_byte(void **state)
{
    struct bundle_acl acl[8];
    uint8_t bytes[sizeof(example)];
    size_t count;
    (void)state;
    for (size_t i = 0; i < sizeof(example); i++) {
        for (unsigned value = 0; value < 256; value++) {
            memcpy(bytes, example, sizeof(bytes));
            bytes[i] = (uint8_t)value;
            const enum err e = bundle_acl_decode(slice_of(bytes, sizeof(bytes)), acl, 8, &count);
            if (i < 4 && value != example[i])
                assert_int_equal(e, ERR_VERSION);
            for (size_t j = 0; e == ERR_OK && j < count; j++)
                assert_true(acl[j].perm <= 7 && acl[j].tag <= 32);
        }
    }
}

static void test_acl_decode_holds_to_its_limit(void **state)
{
    struct bundle_acl acl[4];
    size_t count;
    (void)state;
    assert_int_equal(bundle_acl_decode(slice_of(example, sizeof(example)), acl, 4, &count),
                     ERR_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_acl_decode_reads_the_kernels_encoding),
        cmocka_unit_test(test_acl_decode_refuses_what_is_cut_short),
        cmocka_unit_test(test_acl_decode_survives_any_changed_byte),
        cmocka_unit_test(test_acl_decode_holds_to_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
