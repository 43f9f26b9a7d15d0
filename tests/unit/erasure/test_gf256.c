/* The field: its laws for all elements, and the inversion of matrices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "erasure/gf256.h"
#include "erasure_fixture.h"

/* As polynomials over GF(2), the slow and obvious way. */
static uint8_t multiply(unsigned a, unsigned b)
{
    unsigned product = 0;
    for (unsigned bit = 0; bit < 8; bit++)
        if (b >> bit & 1)
            product ^= a << bit;
    for (unsigned bit = 15; bit > 7; bit--)
        if (product >> bit & 1)
            product ^= 0x11du << (bit - 8);
    return (uint8_t)product;
}

static void test_gf256_products_are_polynomials(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++)
            assert_int_equal(gf256_multiply((uint8_t)a, (uint8_t)b), multiply(a, b));
}

static void test_gf256_laws(void **state)
{
    static uint8_t product[256][256];
    (void)state;
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++)
            product[a][b] = gf256_multiply((uint8_t)a, (uint8_t)b);
    for (unsigned a = 0; a < 256; a++) {
        assert_int_equal(product[a][0], 0);
        assert_int_equal(product[a][1], a);
        if (a)
            assert_int_equal(product[a][gf256_inverse((uint8_t)a)], 1);
        for (unsigned b = 0; b < 256; b++) {
            unsigned wrong = product[a][b] != product[b][a];
            for (unsigned c = 0; c < 256; c++) {
                wrong |= product[product[a][b]][c] != product[a][product[b][c]];
                wrong |= product[a][b ^ c] != (product[a][b] ^ product[a][c]);
            }
            if (wrong)
                fail_msg("a law is broken at %u, %u", a, b);
        }
    }
}

static void test_gf256_inverses_of_matrices(void **state)
{
    uint8_t matrix[40 * 40], copy[40 * 40], inverse[40 * 40];
    unsigned singular = 0;
    (void)state;
    random_start("matrices");
    for (unsigned n = 1; n <= 40; n++) {
        random_fill(matrix, n * n);
        if (n % 5 == 0) /* needs a pivot from below */
            matrix[0] = 0;
        memcpy(copy, matrix, sizeof(copy));
        if (!gf256_invert(copy, inverse, n)) {
            singular++;
            continue;
        }
        for (unsigned i = 0; i < n; i++) {
            for (unsigned j = 0; j < n; j++) {
                unsigned sum = 0;
                for (unsigned x = 0; x < n; x++)
                    sum ^= multiply(matrix[i * n + x], inverse[x * n + j]);
                assert_int_equal(sum, i == j);
            }
        }
    }
    assert_true(singular < 10);      /* one in 255 is */
    memcpy(matrix, matrix + 40, 40); /* two equal rows */
    assert_false(gf256_invert(matrix, inverse, 40));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gf256_products_are_polynomials),
        cmocka_unit_test(test_gf256_laws),
        cmocka_unit_test(test_gf256_inverses_of_matrices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
