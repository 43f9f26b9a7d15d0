#include "erasure/kernel.h"

#if defined(__aarch64__)
#include "erasure/kernel_tables.h"

#include <arm_neon.h>

/* Nibble look-ups on 16 bytes (TBL), part of every 64-bit Arm. */

#define BODY(name)  neon_##name
#define V           uint8x16_t
#define V_BYTES     16u
#define TABLE_BYTES 32u

struct split {
    V low, high;
};

#define v_zero()      vdupq_n_u8(0)
#define v_load(p)     vld1q_u8(p)
#define v_store(p, v) vst1q_u8(p, v)
#define v_stream      v_store
#define v_xor(a, b)   veorq_u8(a, b)
#define v_fence()     ((void)0)

static inline __attribute__((always_inline)) struct split v_split(V v)
{
    return (struct split){vandq_u8(v, vdupq_n_u8(0x0f)), vshrq_n_u8(v, 4)};
}

static inline __attribute__((always_inline)) V v_add(V sum, const uint8_t *table, struct split s)
{
    return veorq_u8(sum, veorq_u8(vqtbl1q_u8(vld1q_u8(table), s.low),
                                  vqtbl1q_u8(vld1q_u8(table + 16), s.high)));
}

#include "erasure/kernel_body.h"
#include "erasure/transform_body.h"

static bool neon_usable(void)
{
    return true;
}

const struct kernel kernel_neon = {
    .name = "neon",
    .proven = false,
    .usable = neon_usable,
    .table_size = TABLE_BYTES,
    .table = kernel_tables_nibbles,
    .run = neon_run,
    .transform = neon_transform,
};
#endif
