#include "erasure/kernel_tables.h"

#include "erasure/gf256.h"

void kernel_tables_nibbles(uint8_t constant, uint8_t *out)
{
    for (unsigned i = 0; i < 16; i++) {
        out[i] = gf256_multiply(constant, (uint8_t)i);
        out[16 + i] = gf256_multiply(constant, (uint8_t)(i << 4));
    }
}

void kernel_tables_matrix(uint8_t constant, uint8_t *out)
{
    for (unsigned i = 0; i < 8; i++) {
        unsigned row = 0;
        for (unsigned bit = 0; bit < 8; bit++)
            row |= (unsigned)(gf256_multiply(constant, (uint8_t)(1u << bit)) >> i & 1) << bit;
        out[7 - i] = (uint8_t)row;
    }
}
