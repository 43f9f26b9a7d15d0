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

static void test_net_requests_share_a_connection_and_carry_leaves(void **state)
{
    (void)state;
    enum { COUNT = 300 }; /* more than LIMIT_STREAMS_PER_CONNECTION: some wait for their turn */
    struct fixture f;
    fixture_start(&f);
    static struct fetched calls[COUNT];
    memset(calls, 0, sizeof(calls));
    uint8_t data[20000];
    fill_pattern(data, sizeof(data), 3);
    f.reply_body = slice_of(data, sizeof(data));
    f.reply_piece = 7000;
    for (unsigned i = 0; i < COUNT; i++) {
        struct net_request request = {.method = NET_GET,
                                      .path = "/v1/shards/x/2",
                                      .net_class = i % NET_CLASS_COUNT,
                                      .leaf_first = 12,
                                      .leaf_count = 4294967295u};
        fetch_start_request(&f, &calls[i], &request);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        fetch_wait(&calls[i]);
        assert_int_equal(calls[i].result, ERR_OK);
        assert_int_equal(calls[i].body_bytes, sizeof(data));
    }
    assert_int_equal(f.last_leaf_first, 12);
    assert_int_equal(f.last_leaf_count, 4294967295u);
    struct uvio_net_counters counters;
    uvio_net_counters(f.client, &counters);
    assert_int_equal(counters.dialled, 1);
    assert_int_equal(counters.calls, 0);
    assert_int_equal(counters.held_bytes, 0);
    fixture_stop(&f);
}

static void test_net_wrong_peer_is_refused_before_a_request_moves(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f);
    struct fetched get = {0};
    struct net_request request = {.method = NET_GET, .path = "/v1/info"};
    request.target.id.bytes[0] = 1;
    request.target.addresses = f.addresses;
    request.target.address_count = 1;
    fetch_start_request(&f, &get, &request);
    fetch_wait(&get);
    assert_int_equal(get.result, ERR_WRONG_PEER);
    assert_non_null(strstr(get.msg.text, f.address));
    assert_int_equal(f.requests, 0);
    fixture_stop(&f);
}

static void test_net_unreachable_says_which_addresses(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f);
    const char *addresses[] = {"127.0.0.1:1", "[::1]:1", "nonsense", "no-such-name.invalid:80"};
    struct fetched get = {0}, none = {0};
    struct net_request request = {.method = NET_GET, .path = "/v1/info"};
    request.target.id = f.server->self;
    request.target.addresses = addresses;
    request.target.address_count = 4;
    fetch_start_request(&f, &get, &request);
    fetch_wait(&get);
    assert_int_equal(get.result, ERR_UNREACHABLE);
    assert_non_null(strstr(get.msg.text, "127.0.0.1:1"));
    assert_non_null(strstr(get.msg.text, "refused"));
    assert_non_null(strstr(get.msg.text, "nonsense"));
    request.target.address_count = 0;
    fetch_start_request(&f, &none, &request);
    fetch_wait(&none);
    assert_int_equal(none.result, ERR_UNREACHABLE);
    fixture_stop(&f);
}

static void test_net_tries_the_next_address(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f);
    char name[80];
    (void)snprintf(name, sizeof(name), "localhost:%u", uvio_net_listen_port(f.server));
    const char *addresses[] = {"127.0.0.1:1", name};
    struct fetched get = {0};
    struct net_request request = {.method = NET_HEAD, .path = "/v1/info"};
    request.target.id = f.server->self;
    request.target.addresses = addresses;
    request.target.address_count = 2;
    f.status = 404;
    fetch_start_request(&f, &get, &request);
    fetch_wait(&get);
    assert_int_equal(get.result, ERR_OK);
    assert_int_equal(get.status, 404);
    fixture_stop(&f);
}

static void test_net_head_announces_without_a_body(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f);
    f.reply_body = slice_of("x", 1);
    f.reply_piece = 0;
    struct fetched head = {0};
    fetch(&f, &head, NET_HEAD, "/v1/info", NULL, 0);
    assert_int_equal(head.result, ERR_OK);
    assert_int_equal(head.body_bytes, 0);
    fixture_stop(&f);
}

static void test_net_early_refusal_stops_the_upload(void **state)
{
    (void)state;
    enum { SIZE = 16 * 1024 * 1024 };
    struct fixture f;
    fixture_start(&f);
    uint8_t *data = calloc(1, SIZE);
    assert_non_null(data);
    f.early = true;
    f.status = 413;
    f.reply_body = slice_text("too large");
    const struct slice body = slice_of(data, SIZE);
    struct fetched put = {.body = BUF_INIT(100)};
    fetch(&f, &put, NET_PUT, "/v1/shards/a/1", &body, 1);
    assert_int_equal(put.result, ERR_OK);
    assert_int_equal(put.status, 413);
    assert_true(slice_equal(buf_slice(&put.body), f.reply_body));
    free(data); /* borrowed until on_done, no longer */
    run_for(&f, 50);
    assert_int_equal(f.closed_ok, 1);
    f.early = false;
    f.status = 200;
    struct fetched next = {0};
    fetch(&f, &next, NET_GET, "/v1/info", NULL, 0); /* the connection lives on */
    assert_int_equal(next.result, ERR_OK);
    struct uvio_net_counters counters;
    uvio_net_counters(f.client, &counters);
    assert_int_equal(counters.dialled, 1);
    fetch_free(&put);
    fixture_stop(&f);
}

static void test_net_without_credit_a_stream_stops_and_no_other(void **state)
{
    (void)state;
    enum { SIZE = 4 * 1024 * 1024 };
    struct fixture f;
    fixture_start(&f);
    uint8_t *data = calloc(1, SIZE);
    assert_non_null(data);
    const struct slice body = slice_of(data, SIZE);
    f.reply_body = body;
    struct fetched stuck = {.keep_credit = true}, other = {0};
    fetch_start(&f, &stuck, NET_GET, "/v1/stuck", NULL, 0);
    fetch(&f, &other, NET_GET, "/v1/other", NULL, 0);
    assert_int_equal(other.result, ERR_OK);
    assert_int_equal(other.body_bytes, SIZE);
    run_for(&f, 100);
    assert_false(stuck.done);
    assert_int_equal(stuck.body_bytes, NET_WINDOW_BYTES);
    struct uvio_net_counters counters;
    uvio_net_counters(f.client, &counters);
    assert_int_equal(counters.held_bytes, NET_WINDOW_BYTES);
    stuck.keep_credit = false;
    net_call_credit(stuck.call, NET_WINDOW_BYTES);
    fetch_wait(&stuck);
    assert_int_equal(stuck.result, ERR_OK);
    assert_int_equal(stuck.body_bytes, SIZE);

    f.keep_credit = true; /* and the same for the server's side */
    f.body_bytes = 0;
    struct fetched put = {0};
    fetch_start(&f, &put, NET_PUT, "/v1/stuck", &body, 1);
    run_for(&f, 100);
    assert_false(put.done);
    assert_int_equal(f.body_bytes, NET_WINDOW_BYTES);
    net_call_cancel(put.call);
    fetch_wait(&put);
    assert_int_equal(put.result, ERR_CANCELLED);
    uvio_net_counters(f.client, &counters);
    assert_int_equal(counters.held_bytes, 0);
    free(data);
    fixture_stop(&f);
}

static void test_net_idle_and_slow_requests_time_out(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f);
    f.silent = true;
    struct fetched idle = {0};
    struct net_request request = {.method = NET_GET, .path = "/v1/info", .idle_timeout_ms = 100};
    uint64_t before = clock_mono_ms(uvio_clock(f.io));
    fetch_start_request(&f, &idle, &request);
    fetch_wait(&idle);
    uint64_t took = clock_mono_ms(uvio_clock(f.io)) - before;
    assert_int_equal(idle.result, ERR_TIMEOUT);
    assert_in_range(took, 95, 400);
    run_for(&f, 30);
    assert_int_equal(f.closed_bad, 1);
    fixture_stop(&f);

    fixture_start(&f); /* a byte now and then is no progress */
    static uint8_t data[2000];
    f.reply_body = slice_of(data, sizeof(data));
    uvio_net_limit_upload(f.server, 0);
    f.reply_piece = 1;
    struct fetched slow = {0};
    struct net_request slowly = {.method = NET_GET,
                                 .path = "/v1/info",
                                 .idle_timeout_ms = 200,
                                 .rate_min_bytes_s = 100000000};
    f.silent = true;
    f.drip = true;
    fetch_start_request(&f, &slow, &slowly);
    fetch_wait(&slow);
    assert_int_equal(slow.result, ERR_TIMEOUT);
    assert_true(slow.body_bytes > 0);
    assert_non_null(strstr(slow.msg.text, "slower"));
    fixture_stop(&f);
}

static void test_net_cancel_at_any_moment(void **state)
{
    (void)state;
    enum { SIZE = 2 * 1024 * 1024, ROUNDS = 40 };
    struct fixture f;
    fixture_start(&f);
    uint8_t *data = calloc(1, SIZE);
    assert_non_null(data);
    f.reply_body = slice_of(data, SIZE);
    struct fetched now = {0}; /* before it is connected */
    fetch_start(&f, &now, NET_GET, "/v1/info", NULL, 0);
    net_call_cancel(now.call);
    assert_false(now.done);
    fetch_wait(&now);
    assert_int_equal(now.result, ERR_CANCELLED);

    struct fetched inside = {.cancel_on_body = true};
    fetch(&f, &inside, NET_GET, "/v1/info", NULL, 0);
    assert_int_equal(inside.result, ERR_CANCELLED);

    for (unsigned i = 0; i < ROUNDS; i++) { /* after so many turns of the loop */
        uint8_t *body_bytes = calloc(1, SIZE);
        assert_non_null(body_bytes);
        const struct slice body = slice_of(body_bytes, SIZE);
        struct fetched put = {0};
        fetch_start(&f, &put, NET_PUT, "/v1/put", &body, 1);
        for (unsigned turn = 0; turn < i; turn++)
            run_for(&f, 0);
        if (!put.done) {
            net_call_cancel(put.call);
            if (i % 2)
                net_call_cancel(put.call); /* twice is once */
            fetch_wait(&put);
        }
        assert_true(put.result == ERR_CANCELLED || put.result == ERR_OK);
        free(body_bytes);
    }
    run_for(&f, 50);
    assert_true(list_empty(&f.exchanges));
    free(data);
    fixture_stop(&f);
}

static void test_net_abort_reaches_the_client(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f);
    f.abort_on_request = true;
    struct fetched get = {0};
    fetch(&f, &get, NET_GET, "/v1/info", NULL, 0);
    assert_int_equal(get.result, ERR_UNREACHABLE);
    assert_int_equal(f.closed_bad, 1);
    assert_int_equal(f.last_closed, ERR_CANCELLED);
    fixture_stop(&f);
}

static void test_net_introduction_comes_first_and_may_be_refused(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f);
    assert_int_equal(net_introduce(f.client, "/v1/hello", slice_text("who I am")), ERR_OK);
    struct fetched a = {0}, b = {0};
    fetch_start(&f, &a, NET_GET, "/v1/a", NULL, 0);
    fetch_start(&f, &b, NET_GET, "/v1/b", NULL, 0);
    fetch_wait(&a);
    fetch_wait(&b);
    assert_int_equal(a.result, ERR_OK);
    assert_int_equal(f.introductions, 1);
    assert_int_equal(net_introduce(f.client, "/v1/hello", slice_text("newer")), ERR_OK);
    struct fetched after = {0}; /* on the open connection, behind the newer introduction */
    fetch(&f, &after, NET_GET, "/v1/c", NULL, 0);
    assert_int_equal(after.result, ERR_OK);
    assert_int_equal(f.introductions, 2);
    assert_int_equal(f.overtakers, 0);
    fixture_stop(&f);

    fixture_start(&f);
    f.introduce_status = 403;
    assert_int_equal(net_introduce(f.client, "/v1/hello", slice_text("a stranger")), ERR_OK);
    struct fetched refused = {0};
    fetch(&f, &refused, NET_GET, "/v1/a", NULL, 0);
    assert_int_equal(refused.result, ERR_DENIED);
    assert_int_equal(f.requests, 0);
    fixture_stop(&f);
}

struct closing {
    struct uvio *io;
    bool closed;
};

static void on_net_closed(void *user)
{
    struct closing *closing = user;
    closing->closed = true;
    uvio_stop(closing->io);
}

static void wait_closed(struct closing *closing)
{
    while (!closing->closed)
        uvio_run(closing->io);
}

static void test_net_close_lets_requests_finish_and_breaks_the_rest(void **state)
{
    (void)state;
    enum { SIZE = 4 * 1024 * 1024 };
    struct fixture f;
    fixture_start(&f);
    uint8_t *data = calloc(1, SIZE);
    assert_non_null(data);
    f.reply_body = slice_of(data, SIZE);
    struct fetched get = {0}, late = {0};
    fetch_start(&f, &get, NET_GET, "/v1/info", NULL, 0);
    while (f.requests == 0)
        run_for(&f, 0);
    struct closing server = {.io = f.io};
    uvio_net_close(f.server, 5000, on_net_closed, &server);
    fetch_wait(&get);
    assert_int_equal(get.result, ERR_OK);
    assert_int_equal(get.body_bytes, SIZE);
    wait_closed(&server); /* long before the grace time */
    struct net_request request = {.method = NET_GET, .path = "/v1/info"};
    request.target.id.bytes[0] = 9;
    request.target.addresses = f.addresses;
    request.target.address_count = 1;
    fetch_start_request(&f, &late, &request);
    fetch_wait(&late);
    assert_int_equal(late.result, ERR_UNREACHABLE);
    fixture_stop(&f);

    fixture_start(&f);
    f.silent = true;
    struct fetched stuck = {0};
    fetch_start(&f, &stuck, NET_GET, "/v1/info", NULL, 0);
    while (f.requests == 0)
        run_for(&f, 0);
    struct closing client = {.io = f.io};
    uvio_net_close(f.client, 50, on_net_closed, &client);
    wait_closed(&client);
    assert_true(stuck.done);
    assert_int_equal(stuck.result, ERR_CANCELLED);
    free(data);
    fixture_stop(&f);
}

static void test_net_bad_listen_addresses_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f);
    uint8_t seed[UVIO_NET_SEED_SIZE] = {3};
    const char *bad[] = {"",       "1.2.3.4", ":80", "::1:80", "localhost:80", "127.0.0.1:70000",
                         "[::1:80"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct uvio_net_options options = {.seed = seed, .listen = bad[i]};
        struct net *net;
        struct errmsg msg;
        assert_int_equal(uvio_net_open(f.io, &options, &net, &msg), ERR_USAGE);
    }
    struct uvio_net_options taken = {.seed = seed, .listen = f.address};
    struct net *net;
    struct errmsg msg;
    assert_int_equal(uvio_net_open(f.io, &taken, &net, &msg), ERR_EXISTS);
    struct uvio_net_options six = {.seed = seed, .listen = "[::]:0"};
    if (uvio_net_open(f.io, &six, &net, &msg) == ERR_OK)
        assert_true(strncmp(uvio_net_listen_address(net), "[::]:", 5) == 0);
    fixture_stop(&f);
}

static void test_net_peer_that_vanishes_fails_its_requests(void **state)
{
    (void)state;
    struct fixture f;
    fixture_start(&f);
    f.silent = true;
    struct fetched get = {0}, after = {0};
    fetch_start(&f, &get, NET_GET, "/v1/info", NULL, 0);
    while (f.requests == 0)
        run_for(&f, 0);
    struct closing server = {.io = f.io};
    uvio_net_close(f.server, 0, on_net_closed, &server);
    fetch_wait(&get);
    assert_int_equal(get.result, ERR_UNREACHABLE);
    struct net_request request = {.method = NET_GET, .path = "/v1/info"};
    request.target.id.bytes[0] = 9;
    request.target.addresses = f.addresses;
    request.target.address_count = 1;
    fetch_start_request(&f, &after, &request);
    fetch_wait(&after);
    assert_int_equal(after.result, ERR_UNREACHABLE);
    fixture_stop(&f);
}

static void test_net_upload_limit_holds(void **state)
{
    (void)state;
    enum { SIZE = 512 * 1024 };
    struct fixture f;
    fixture_start(&f);
    uint8_t *data = calloc(1, SIZE);
    assert_non_null(data);
    const struct slice body = slice_of(data, SIZE);
    uvio_net_limit_upload(f.client, 1024);
    struct fetched put = {0};
    uint64_t before = clock_mono_ms(uvio_clock(f.io));
    fetch(&f, &put, NET_PUT, "/v1/put", &body, 1);
    uint64_t took = clock_mono_ms(uvio_clock(f.io)) - before;
    assert_int_equal(put.result, ERR_OK);
    assert_in_range(took, 300, 1500);
    free(data);
    fixture_stop(&f);
}

static void test_net_budget_pauses_reading_and_goes_on(void **state)
{
    (void)state;
    enum { SIZE = 1024 * 1024, COUNT = 8 };
    struct fixture f;
    fixture_start(&f);
    uint8_t seed[UVIO_NET_SEED_SIZE] = {5};
    struct uvio_net_options options = {.seed = seed, .budget_bytes = 2 * SIZE};
    struct errmsg msg;
    uvio_net_close(f.client, 0, NULL, NULL);
    assert_int_equal(uvio_net_open(f.io, &options, &f.client, &msg), ERR_OK);
    uint8_t *data = calloc(1, SIZE);
    assert_non_null(data);
    f.reply_body = slice_of(data, SIZE);
    struct fetched calls[COUNT];
    memset(calls, 0, sizeof(calls));
    for (unsigned i = 0; i < COUNT; i++) {
        calls[i].keep_credit = true;
        fetch_start(&f, &calls[i], NET_GET, "/v1/info", NULL, 0);
    }
    run_for(&f, 200);
    struct uvio_net_counters counters;
    uvio_net_counters(f.client, &counters);
    assert_true(counters.held_bytes >= 2 * SIZE);
    assert_true(counters.held_bytes <= 2 * SIZE + (512 << 10)); /* one read more */
    for (unsigned i = 0; i < COUNT; i++) {
        calls[i].keep_credit = false;
        if (!calls[i].done)
            net_call_credit(calls[i].call, SIZE);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        fetch_wait(&calls[i]);
        assert_int_equal(calls[i].result, ERR_OK);
        assert_int_equal(calls[i].body_bytes, SIZE);
    }
    free(data);
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_net_get_and_put_move_whole_bodies),
        cmocka_unit_test(test_net_requests_share_a_connection_and_carry_leaves),
        cmocka_unit_test(test_net_wrong_peer_is_refused_before_a_request_moves),
        cmocka_unit_test(test_net_unreachable_says_which_addresses),
        cmocka_unit_test(test_net_tries_the_next_address),
        cmocka_unit_test(test_net_head_announces_without_a_body),
        cmocka_unit_test(test_net_early_refusal_stops_the_upload),
        cmocka_unit_test(test_net_without_credit_a_stream_stops_and_no_other),
        cmocka_unit_test(test_net_idle_and_slow_requests_time_out),
        cmocka_unit_test(test_net_cancel_at_any_moment),
        cmocka_unit_test(test_net_abort_reaches_the_client),
        cmocka_unit_test(test_net_introduction_comes_first_and_may_be_refused),
        cmocka_unit_test(test_net_close_lets_requests_finish_and_breaks_the_rest),
        cmocka_unit_test(test_net_bad_listen_addresses_are_refused),
        cmocka_unit_test(test_net_peer_that_vanishes_fails_its_requests),
        cmocka_unit_test(test_net_upload_limit_holds),
        cmocka_unit_test(test_net_budget_pauses_reading_and_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
