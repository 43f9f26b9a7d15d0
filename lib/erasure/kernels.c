#include "erasure/kernel.h"

#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

static const struct kernel *const all[] = {
    &kernel_portable,
#if defined(__x86_64__)
    &kernel_ssse3,    &kernel_avx2, &kernel_avx2_gfni, &kernel_avx512_gfni,
#elif defined(__aarch64__)
    &kernel_neon,
#endif
};

/* Asked by hand: gcc 12 and clang 14 do not agree on a name for it. */
bool kernels_have_gfni(void)
{
#if defined(__x86_64__)
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c >> 8 & 1);
#else
    return false;
#endif
}

const struct kernel *kernels_at(unsigned index)
{
    return index < sizeof(all) / sizeof(all[0]) ? all[index] : NULL;
}

const struct kernel *kernels_find(const char *name)
{
    for (unsigned i = 0; kernels_at(i); i++)
        if (strcmp(kernels_at(i)->name, name) == 0)
            return kernels_at(i);
    return NULL;
}

const struct kernel *kernels_best(bool even_unproven)
{
    const struct kernel *best = &kernel_portable;
    for (unsigned i = 0; kernels_at(i); i++)
        if ((kernels_at(i)->proven || even_unproven) && kernels_at(i)->usable())
            best = kernels_at(i);
    return best;
}

static size_t cache_size(int name, size_t guess)
{
    long size = sysconf(name);
    return size > 0 ? (size_t)size : guess;
}

size_t kernels_cache_l1(void)
{
    return cache_size(_SC_LEVEL1_DCACHE_SIZE, 32768);
}

size_t kernels_cache_l2(void)
{
    return cache_size(_SC_LEVEL2_CACHE_SIZE, 262144);
}

size_t kernels_cache_l3(void)
{
    return cache_size(_SC_LEVEL3_CACHE_SIZE, 4u << 20);
}
