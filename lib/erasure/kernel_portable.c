#include "erasure/kernel.h"

#include "erasure/gf256.h"

#include <string.h>

/*
 * Eight bytes in a 64-bit word. A source is split into its eight bit planes, each a word of bytes 0
 * or 1; a plane times the byte constant * 2^bit is an integer multiplication in which no byte
 * carries into the next. So a constant's table is its products with 1, 2, 4, .. 128.
 */

#define BODY(name)  portable_##name
#define V           uint64_t
#define V_BYTES     8u
#define TABLE_BYTES 8u

struct split {
    uint64_t planes[8];
};

static inline uint64_t v_zero(void)
{
    return 0;
}

static inline uint64_t v_load(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline void v_store(uint8_t *p, uint64_t v)
{
    memcpy(p, &v, sizeof(v));
}

#define v_stream v_store

static inline void v_fence(void)
{
}

static inline uint64_t v_xor(uint64_t a, uint64_t b)
{
    return a ^ b;
}

static inline struct split v_split(uint64_t v)
{
    struct split s;
    for (unsigned bit = 0; bit < 8; bit++)
        s.planes[bit] = v >> bit & 0x0101010101010101u;
    return s;
}

static inline uint64_t v_add(uint64_t sum, const uint8_t *table, struct split s)
{
    for (unsigned bit = 0; bit < 8; bit++)
        sum ^= s.planes[bit] * table[bit];
    return sum;
}

#include "erasure/kernel_body.h"
#include "erasure/transform_body.h"

static void portable_table(uint8_t constant, uint8_t *out)
{
    for (unsigned bit = 0; bit < 8; bit++)
        out[bit] = gf256_multiply(constant, (uint8_t)(1u << bit));
}

static bool portable_usable(void)
{
    return true;
}

const struct kernel kernel_portable = {
    .name = "portable",
    .proven = true,
    .usable = portable_usable,
    .table_size = TABLE_BYTES,
    .table = portable_table,
    .run = portable_run,
    .transform = portable_transform,
};
