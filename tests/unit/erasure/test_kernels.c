/* Every kernel that this CPU runs does what the portable one does, at any length and alignment, and
   touches nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "erasure/erasure.h"
#include "kernel_checks.h"

static void test_kernels_are_equal(void **state)
{
    (void)state;
    random_start("kernels");
    for (unsigned i = 0; kernels_at(i); i++) {
        const struct kernel *kernel = kernels_at(i);
        printf("%s: %s\n", kernel->name, kernel->usable() ? "checked" : "this CPU cannot run it");
        if (kernel->usable())
            check_kernel(kernel, full_tier() ? CHECK_FULL : CHECK_NORMAL);
    }
}

static void test_kernels_are_chosen_by_name(void **state)
{
    struct erasure *code;
    struct errmsg msg;
    (void)state;
    for (unsigned i = 0; erasure_kernel_name(i); i++) {
        struct erasure_options options = {.kernel = erasure_kernel_name(i)};
        enum err e = erasure_new(10, 4, &options, &code, &msg);
        if (!erasure_kernel_usable(options.kernel, NULL)) {
            assert_int_equal(e, ERR_UNSUPPORTED);
            continue;
        }
        assert_int_equal(e, ERR_OK);
        assert_string_equal(erasure_kernel(code), options.kernel);
        erasure_free(code);
    }
    struct erasure_options none = {.kernel = "abacus"};
    assert_int_equal(erasure_new(10, 4, &none, &code, &msg), ERR_UNSUPPORTED);
}

static void test_kernels_unproven_are_off(void **state)
{
    struct erasure *code;
    struct errmsg msg;
    bool proven;
    (void)state;
    assert_int_equal(erasure_new(10, 4, NULL, &code, &msg), ERR_OK);
    assert_true(erasure_kernel_usable(erasure_kernel(code), &proven));
    assert_true(proven);
    erasure_free(code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kernels_are_equal),
        cmocka_unit_test(test_kernels_are_chosen_by_name),
        cmocka_unit_test(test_kernels_unproven_are_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
