/* The logic of the kernel avx2-gfni, over a model of its instructions (gfni_model.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernel_checks.h"

#if defined(__x86_64__)
#include "gfni_model.h"
#define KERNEL_MODEL
#define kernel_avx2_gfni model_kernel
#include "erasure/kernel_avx2_gfni.c"
#endif

static void test_kernel_avx2_gfni_model(void **state)
{
    (void)state;
#if defined(__x86_64__)
    if (model_kernel.usable()) {
        random_start("model");
        check_kernel(&model_kernel, full_tier() ? CHECK_NORMAL : CHECK_QUICK);
        return;
    }
#endif
    skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kernel_avx2_gfni_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
