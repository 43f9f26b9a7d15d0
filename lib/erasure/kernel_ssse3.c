#include "erasure/kernel.h"

#if defined(__x86_64__)
#include "erasure/kernel_tables.h"
#include "erasure/kernel_target.h"

#include <immintrin.h>

/* Nibble shuffles on 16 bytes. */

KERNEL_TARGET("ssse3")

#define BODY(name)  ssse3_##name
#define V           __m128i
#define V_BYTES     16u
#define TABLE_BYTES 32u

struct split {
    V low, high;
};

#define v_zero()       _mm_setzero_si128()
#define v_load(p)      _mm_loadu_si128((const __m128i *)(const void *)(p))
#define v_store(p, v)  _mm_storeu_si128((__m128i *)(void *)(p), v)
#define v_stream(p, v) _mm_stream_si128((__m128i *)(void *)(p), v)
#define v_xor(a, b)    _mm_xor_si128(a, b)
#define v_fence()      _mm_sfence()

static inline __attribute__((always_inline)) struct split v_split(V v)
{
    const V mask = _mm_set1_epi8(0x0f);
    return (struct split){_mm_and_si128(v, mask), _mm_and_si128(_mm_srli_epi64(v, 4), mask)};
}

static inline __attribute__((always_inline)) V v_add(V sum, const uint8_t *table, struct split s)
{
    V low = _mm_load_si128((const __m128i *)(const void *)table);
    V high = _mm_load_si128((const __m128i *)(const void *)table + 1);
    return _mm_xor_si128(
        sum, _mm_xor_si128(_mm_shuffle_epi8(low, s.low), _mm_shuffle_epi8(high, s.high)));
}

#include "erasure/kernel_body.h"
#include "erasure/transform_body.h"

KERNEL_TARGET_END

static bool ssse3_usable(void)
{
    return __builtin_cpu_supports("ssse3");
}

const struct kernel kernel_ssse3 = {
    .name = "ssse3",
    .proven = true,
    .usable = ssse3_usable,
    .table_size = TABLE_BYTES,
    .table = kernel_tables_nibbles,
    .run = ssse3_run,
    .transform = ssse3_transform,
};
#endif
