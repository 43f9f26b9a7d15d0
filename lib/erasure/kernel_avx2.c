#include "erasure/kernel.h"

#if defined(__x86_64__)
#include "erasure/kernel_tables.h"
#include "erasure/kernel_target.h"

#include <immintrin.h>

/* Nibble shuffles on 32 bytes; a table's 16 bytes are broadcast to both lanes as they are loaded.
 */

KERNEL_TARGET("avx2")

#define BODY(name)  avx2_##name
#define V           __m256i
#define V_BYTES     32u
#define TABLE_BYTES 32u

struct split {
    V low, high;
};

#define v_zero()       _mm256_setzero_si256()
#define v_load(p)      _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define v_store(p, v)  _mm256_storeu_si256((__m256i *)(void *)(p), v)
#define v_stream(p, v) _mm256_stream_si256((__m256i *)(void *)(p), v)
#define v_xor(a, b)    _mm256_xor_si256(a, b)
#define v_fence()      _mm_sfence()

static inline __attribute__((always_inline)) struct split v_split(V v)
{
    const V mask = _mm256_set1_epi8(0x0f);
    return (struct split){_mm256_and_si256(v, mask),
                          _mm256_and_si256(_mm256_srli_epi64(v, 4), mask)};
}

static inline __attribute__((always_inline)) V v_add(V sum, const uint8_t *table, struct split s)
{
    V low = _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)(const void *)table));
    V high = _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)(const void *)table + 1));
    return _mm256_xor_si256(
        sum, _mm256_xor_si256(_mm256_shuffle_epi8(low, s.low), _mm256_shuffle_epi8(high, s.high)));
}

#include "erasure/kernel_body.h"
#include "erasure/transform_body.h"

KERNEL_TARGET_END

static bool avx2_usable(void)
{
    return __builtin_cpu_supports("avx2");
}

const struct kernel kernel_avx2 = {
    .name = "avx2",
    .proven = true,
    .usable = avx2_usable,
    .table_size = TABLE_BYTES,
    .table = kernel_tables_nibbles,
    .run = avx2_run,
    .transform = avx2_transform,
};
#endif
