/* The NEON kernel under an emulator (tests/unit/erasure/neon): no test library there. */
#include "erasure/erasure.h"
#include "kernel_checks.h"

int main(void)
{
    random_start("neon");
    const struct kernel *kernel = kernels_find("neon");
    CHECK(kernel && kernel->usable() && !kernel->proven, "no NEON kernel");
    check_kernel(kernel, full_tier() ? CHECK_NORMAL : CHECK_QUICK);
    struct erasure *code;
    CHECK(erasure_new(10, 4, NULL, &code, NULL) == ERR_OK, "erasure_new");
    CHECK(strcmp(erasure_kernel(code), "portable") == 0, "an unproven kernel was chosen");
    erasure_free(code);
    printf("[  PASSED  ] 1 test\n");
    return 0;
}
