/* What serve/ decides by itself; the rest of it is tested with real daemons in tests/sim. */
#include "serve/serve.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* A claim is believed without a code from the cell's own machine and network only. */
static void test_near_addresses_are_private_ones(void **state)
{
    (void)state;
    static const char *const near_ones[] = {
        "127.0.0.1:1",   "10.1.2.3:7400", "172.16.0.1:1", "172.31.255.255:1", "192.168.1.7:4711",
        "169.254.1.1:1", "[::1]:1",       "[fe80::1]:1",  "[fd12::1]:7400",   "[::ffff:10.0.0.1]:1",
    };
    static const char *const far_ones[] = {
        "8.8.8.8:1",
        "172.15.0.1:1",
        "172.32.0.1:1",
        "192.169.0.1:1",
        "11.0.0.1:1",
        "[2001:db8::1]:1",
        "[::ffff:8.8.8.8]:1",
        "",
        "localhost:1",
        "127.0.0.1",
        "[::1",
        ":1",
    };
    for (size_t i = 0; i < ARRAY_COUNT(near_ones); i++)
        assert_true(serve_address_is_near(near_ones[i]));
    for (size_t i = 0; i < ARRAY_COUNT(far_ones); i++)
        assert_false(serve_address_is_near(far_ones[i]));
}

static void test_who_belongs_to_an_account(void **state)
{
    (void)state;
    const struct id account = {{1}}, other = {{2}};
    struct serve_peer peer = {.account = account};
    struct errmsg msg;
    static const struct {
        enum serve_kind kind;
        bool own, others;
    } rows[] = {
        {SERVE_STRANGER, false, false}, {SERVE_DEVICE, true, false},     {SERVE_ROOT, true, false},
        {SERVE_CELL, false, false},     {SERVE_COORDINATOR, true, true},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        peer.kind = rows[i].kind;
        assert_int_equal(serve_may_look(&peer, &account, &msg), rows[i].own ? ERR_OK : ERR_DENIED);
        assert_int_equal(serve_may_look(&peer, &other, &msg), rows[i].others ? ERR_OK : ERR_DENIED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_near_addresses_are_private_ones),
        cmocka_unit_test(test_who_belongs_to_an_account),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
