/*
 * The field GF(2^8) as GF(2)[x] / (x^8 + x^4 + x^3 + x^2 + 1), 0x11D; 2 generates its units. Bytes,
 * one at a time: for building tables and matrices, not for moving data.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint8_t gf256_multiply(uint8_t a, uint8_t b);
uint8_t gf256_inverse(uint8_t a); /* a != 0 */

/* row *= factor; row += factor * other */
void gf256_row_scale(uint8_t *row, unsigned count, uint8_t factor);
void gf256_row_add(uint8_t *row, const uint8_t *other, unsigned count, uint8_t factor);

/* Gauss-Jordan. n * n bytes each, row by row; `matrix` is used up. False: it has no inverse. */
bool gf256_invert(uint8_t *matrix, uint8_t *inverse, unsigned n);
