/* The net port on loopback: what port/net.h promises to clients and servers. */
#include "net_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_net_get_and_put_move_whole_bodies(void **state)
{
    (void)state;
    enum { SIZE = 3 * 1024 * 1024 + 17 };
    struct fixture f;
    fixture_start(&f);
    uint8_t *data = malloc(SIZE);
    assert_non_null(data);
    fill_pattern(data, SIZE, 7);
    f.reply_body = slice_of(data, SIZE);
    struct fetched get = {.body = BUF_INIT(SIZE)};
    fetch(&f, &get, NET_GET, "/v1/shards/a/1", NULL, 0);
    assert_int_equal(get.result, ERR_OK);
    assert_int_equal(get.status, 200);
    assert_int_equal(get.announced, SIZE);
    assert_int_equal(get.body.size, SIZE);
    assert_memory_equal(get.body.data, data, SIZE);
    assert_string_equal(f.last_path, "/v1/shards/a/1");
    assert_true(id_equal(&f.last_peer, &f.client->self));

    const struct slice parts[] = {slice_of(data, 5), slice_of(data, 0),
                                  slice_of(data + 5, SIZE - 5)};
    struct fetched put = {0};
    f.reply_body = slice_text("stored");
    put.body = BUF_INIT(100);
    fetch(&f, &put, NET_PUT, "/v1/shards/a/1", parts, 3);
    assert_int_equal(put.result, ERR_OK);
    assert_int_equal(f.body_bytes, SIZE);
    assert_int_equal(f.last_body_size, SIZE);
    assert_true(slice_equal(buf_slice(&put.body), slice_text("stored")));
    run_for(&f, 20);
    assert_int_equal(f.closed_ok, 2);
    assert_int_equal(f.closed_bad, 0);
    fetch_free(&get);
    fetch_free(&put);
    free(data);
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_net_get_and_put_move_whole_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
