#include "erasure/kernel.h"

#if defined(__x86_64__)
#include "erasure/kernel_tables.h"
#include "erasure/kernel_target.h"

#ifdef KERNEL_MODEL /* the tests bring their own 512-bit vectors, for CPUs without them */
#define KERNEL_ISA "avx2"
#else
#include <immintrin.h>
#define KERNEL_ISA      "avx512f,avx512bw,gfni"
#define V512            __m512i
#define ZERO512()       _mm512_setzero_si512()
#define LOAD512(p)      _mm512_loadu_si512(p)
#define STORE512(p, v)  _mm512_storeu_si512(p, v)
#define STREAM512(p, v) _mm512_stream_si512((__m512i *)(void *)(p), v)
#define XOR512(a, b)    _mm512_xor_si512(a, b)
#define AFFINE512(v, m) _mm512_gf2p8affine_epi64_epi8(v, m, 0)
#define BROADCAST512(p) _mm512_broadcastq_epi64(_mm_loadl_epi64((const __m128i *)(const void *)(p)))
#endif

/* As kernel_avx2_gfni.c, on 64 bytes. */

KERNEL_TARGET(KERNEL_ISA)

#define BODY(name)     avx512_gfni_##name
#define V              V512
#define V_BYTES        64u
#define TABLE_BYTES    8u
#define v_zero()       ZERO512()
#define v_load(p)      LOAD512(p)
#define v_store(p, v)  STORE512(p, v)
#define v_stream(p, v) STREAM512(p, v)
#define v_xor(a, b)    XOR512(a, b)
#define v_fence()      _mm_sfence()

struct split {
    V v;
};

static inline __attribute__((always_inline)) struct split v_split(V v)
{
    return (struct split){v};
}

static inline __attribute__((always_inline)) V v_add(V sum, const uint8_t *table, struct split s)
{
    return XOR512(sum, AFFINE512(s.v, BROADCAST512(table)));
}

#include "erasure/kernel_body.h"
#include "erasure/transform_body.h"

KERNEL_TARGET_END

static bool avx512_gfni_usable(void)
{
#ifdef KERNEL_MODEL
    return __builtin_cpu_supports("avx2");
#else
    return kernels_have_gfni() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw");
#endif
}

const struct kernel kernel_avx512_gfni = {
    .name = "avx512-gfni",
    .proven = false,
    .usable = avx512_gfni_usable,
    .table_size = TABLE_BYTES,
    .table = kernel_tables_matrix,
    .run = avx512_gfni_run,
    .transform = avx512_gfni_transform,
};
#endif
