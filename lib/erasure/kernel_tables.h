/* Tables of one constant, as the kernels want them. */
#pragma once

#include <stdint.h>

/* 32 bytes: the products with 0..15, then with 0, 16, .. 240. */
void kernel_tables_nibbles(uint8_t constant, uint8_t *out);

/* 8 bytes: the constant as an 8 x 8 matrix of bits, as GF2P8AFFINEQB reads it: byte 7 - i holds the
   row that gives bit i of the product. */
void kernel_tables_matrix(uint8_t constant, uint8_t *out);
