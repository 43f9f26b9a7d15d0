/* erasure/: parity is ISA-L's byte for byte, any k of n give all, for every way of calling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "erasure/erasure.h"
#include "erasure_fixture.h"

#include <isa-l/erasure_code.h>

static struct erasure *code_new(unsigned k, unsigned m)
{
    struct erasure *code;
    struct errmsg msg;
    assert_int_equal(erasure_new(k, m, NULL, &code, &msg), ERR_OK);
    return code;
}

static void isal_encode(unsigned k, unsigned m, size_t size, uint8_t **data, uint8_t **parity)
{
    uint8_t *matrix = malloc((k + m) * k), *tables = malloc(k * m * 32);
    gf_gen_cauchy1_matrix(matrix, (int)(k + m), (int)k);
    ec_init_tables((int)k, (int)m, matrix + k * k, tables);
    ec_encode_data((int)size, (int)k, (int)m, tables, data, parity);
    free(matrix);
    free(tables);
}

static void check_isal(unsigned k, unsigned m, size_t size)
{
    struct shards s = shards_new(k + m, size), expected = shards_new(m, size);
    struct erasure *code = code_new(k, m);
    random_fill(s.memory, (k + m) * size);
    isal_encode(k, m, size, s.at, expected.at);
    erasure_encode(code, (const uint8_t *const *)s.at, s.at + k, size);
    for (unsigned i = 0; i < m; i++)
        if (memcmp(s.at[k + i], expected.at[i], size) != 0)
            fail_msg("%u+%u, %zu bytes: parity %u differs from ISA-L", k, m, size, i);
    /* one shard at a time */
    memset(s.at[k], 0, m * size);
    for (unsigned j = k; j-- > 0;)
        erasure_update(code, j, s.at[j], s.at + k, size);
    assert_memory_equal(s.at[k], expected.memory, m * size);
    erasure_free(code);
    shards_free(&s);
    shards_free(&expected);
}

static void test_parity_is_isal(void **state)
{
    (void)state;
    random_start("parity");
    for (unsigned k = 1; k < 34; k++)
        for (unsigned m = 1; m < 20; m++)
            check_isal(k, m, 1 + random_below(300));
    for (unsigned n = 0; n < (full_tier() ? 5000 : 200); n++) {
        unsigned k = 1 + random_below(254), m = 1 + random_below(255 - k);
        check_isal(k, m, 1 + random_below(5000));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parity_is_isal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
