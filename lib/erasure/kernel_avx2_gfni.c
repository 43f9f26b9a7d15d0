#include "erasure/kernel.h"

#if defined(__x86_64__)
#include "erasure/kernel_tables.h"
#include "erasure/kernel_target.h"

#ifdef KERNEL_MODEL /* the tests bring their own gf2p8affineqb, for CPUs without it */
#define KERNEL_ISA "avx2"
#else
#include <immintrin.h>
#define KERNEL_ISA      "avx2,gfni"
#define AFFINE256(v, m) _mm256_gf2p8affine_epi64_epi8(v, m, 0)
#endif

/* A multiplication by a constant is a matrix of 8 x 8 bits times each byte: one instruction of
   GFNI, with the matrix broadcast as it is loaded. (GF2P8MULB is for the polynomial 0x11B, not
   ours.) */

KERNEL_TARGET(KERNEL_ISA)

#define BODY(name)  avx2_gfni_##name
#define V           __m256i
#define V_BYTES     32u
#define TABLE_BYTES 8u

struct split {
    V v;
};

#define v_zero()       _mm256_setzero_si256()
#define v_load(p)      _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define v_store(p, v)  _mm256_storeu_si256((__m256i *)(void *)(p), v)
#define v_stream(p, v) _mm256_stream_si256((__m256i *)(void *)(p), v)
#define v_xor(a, b)    _mm256_xor_si256(a, b)
#define v_fence()      _mm_sfence()

static inline __attribute__((always_inline)) struct split v_split(V v)
{
    return (struct split){v};
}

static inline __attribute__((always_inline)) V v_add(V sum, const uint8_t *table, struct split s)
{
    V matrix = _mm256_broadcastq_epi64(_mm_loadl_epi64((const __m128i *)(const void *)table));
    return _mm256_xor_si256(sum, AFFINE256(s.v, matrix));
}

#include "erasure/kernel_body.h"
#include "erasure/transform_body.h"

KERNEL_TARGET_END

static bool avx2_gfni_usable(void)
{
#ifdef KERNEL_MODEL
    return __builtin_cpu_supports("avx2");
#else
    return kernels_have_gfni() && __builtin_cpu_supports("avx2");
#endif
}

const struct kernel kernel_avx2_gfni = {
    .name = "avx2-gfni",
    .proven = false,
    .usable = avx2_gfni_usable,
    .table_size = TABLE_BYTES,
    .table = kernel_tables_matrix,
    .run = avx2_gfni_run,
    .transform = avx2_gfni_transform,
};
#endif
