/* A client's and a server's session back to back in memory, and hostile bytes into both. */
#include "base/buf.h"
#include "http2/http2.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CLIENT, SERVER, WINDOW = 1 << 20 };

struct side {
    struct http2_session *session;
    struct buf out;
    size_t out_max; /* the sink says ERR_BUSY above */
    bool dead;
    /* what happened */
    struct http2_stream *stream; /* the last one shown */
    unsigned requests, responses, ends, drained, closed, goaways, status;
    enum err closed_as;
    char path[600];
    enum http2_method method;
    uint64_t announced, body_bytes;
    uint32_t leaf_first, leaf_count;
    bool consume, sum_wrong;
    uint8_t next; /* bodies count up */
    /* what it does */
    bool answer;
    uint64_t reply_size;
    uint8_t *reply;
};

static void on_request(void *user, struct http2_stream *s, const struct http2_request *r)
{
    struct side *side = user;
    side->stream = s;
    side->requests++;
    side->method = r->method;
    side->announced = r->body_size;
    side->leaf_first = r->leaf_first;
    side->leaf_count = r->leaf_count;
    side->next = 0;
    (void)snprintf(side->path, sizeof(side->path), "%s", r->path);
}

static void on_response(void *user, struct http2_stream *s, unsigned status, uint64_t body_size)
{
    struct side *side = user;
    side->stream = s;
    side->responses++;
    side->status = status;
    side->announced = body_size;
    side->next = 0;
}

static void on_body(void *user, struct http2_stream *s, struct slice bytes)
{
    struct side *side = user;
    for (size_t i = 0; i < bytes.size; i++)
        side->sum_wrong = side->sum_wrong || bytes.data[i] != side->next++;
    side->body_bytes += bytes.size;
    if (side->consume)
        http2_consume(s, bytes.size);
}

static void on_body_end(void *user, struct http2_stream *s)
{
    struct side *side = user;
    side->ends++;
    if (side->answer) {
        assert_int_equal(http2_reply(s, 200, side->reply_size), ERR_OK);
        if (side->reply_size > 0)
            assert_int_equal(http2_reply_send(s, slice_of(side->reply, side->reply_size / 2)),
                             ERR_OK);
    }
}

static void on_drained(void *user, struct http2_stream *s)
{
    struct side *side = user;
    side->drained++;
    size_t half = side->reply_size / 2;
    assert_int_equal(http2_reply_send(s, slice_of(side->reply, side->reply_size + 1)), ERR_USAGE);
    assert_int_equal(http2_reply_send(s, slice_of(side->reply + half, side->reply_size - half)),
                     ERR_OK);
    assert_int_equal(http2_reply_send(s, slice_of(side->reply, 0)), ERR_STATE);
}

static void on_closed(void *user, struct http2_stream *s, enum err e)
{
    struct side *side = user;
    (void)s;
    side->closed++;
    side->closed_as = e;
    side->stream = NULL;
}

static void on_goaway(void *user)
{
    ((struct side *)user)->goaways++;
}

static const struct http2_events events = {on_request, on_response, on_body,  on_body_end,
                                           on_drained, on_closed,   on_goaway};

static enum err sink(void *user, const struct slice *parts, size_t count)
{
    struct side *side = user;
    if (side->out_max > 0 && side->out.size >= side->out_max)
        return ERR_BUSY;
    for (size_t i = 0; i < count; i++)
        assert_int_equal(buf_append(&side->out, parts[i].data, parts[i].size), ERR_OK);
    return ERR_OK;
}

static void pull(struct side *side)
{
    enum err e = http2_session_pull(side->session, sink, side);
    side->dead = side->dead || e != ERR_OK;
}

static void feed(struct side *side, struct slice bytes)
{
    if (!side->dead && bytes.size > 0)
        side->dead = http2_session_feed(side->session, bytes, NULL) != ERR_OK;
}

static void sides_open(struct side sides[2])
{
    const struct http2_limits limits = {.streams_max = 16, .window_bytes = WINDOW, .path_max = 512};
    for (int i = 0; i < 2; i++) {
        sides[i] = (struct side){.out = BUF_INIT(32 << 20), .consume = true, .answer = i == SERVER};
        assert_int_equal(http2_session_new(i == CLIENT ? HTTP2_CLIENT : HTTP2_SERVER, &limits,
                                           &events, &sides[i], &sides[i].session, NULL),
                         ERR_OK);
    }
}

static void sides_close(struct side sides[2])
{
    for (int i = 0; i < 2; i++) {
        http2_session_free(sides[i].session);
        buf_free(&sides[i].out);
    }
}

/* Carries bytes both ways until nobody has more. */
static void carry(struct side sides[2])
{
    for (int quiet = 0; quiet < 2;) {
        quiet++;
        for (int from = 0; from < 2; from++) {
            pull(&sides[from]);
            if (sides[from].out.size > 0)
                quiet = 0;
            feed(&sides[1 - from], buf_slice(&sides[from].out));
            buf_clear(&sides[from].out);
        }
    }
}

static uint8_t *counting(size_t size)
{
    uint8_t *data = malloc(size);
    assert_non_null(data);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)i;
    return data;
}

static struct http2_stream *put(struct side *client, const uint8_t *data, size_t size)
{
    struct http2_stream *s = NULL;
    const struct slice body[] = {slice_of(data, size / 3),
                                 slice_of(data + size / 3, size - size / 3)};
    const struct http2_request request = {
        .method = HTTP2_PUT, .path = "/v1/x", .leaf_first = 7, .leaf_count = 9, .weight = 64};
    assert_int_equal(http2_request(client->session, &request, body, 2, NULL, &s), ERR_OK);
    return s;
}

static void test_http2_request_and_reply_come_whole(void **state)
{
    (void)state;
    enum { SIZE = 3 * WINDOW + 5 };
    struct side sides[2];
    uint8_t *data = counting(SIZE);
    const size_t limits[] = {0, 1, 100000};
    for (size_t i = 0; i < ARRAY_COUNT(limits); i++) { /* also through a sink that is often full */
        sides_open(sides);
        sides[SERVER].reply = data;
        sides[SERVER].reply_size = SIZE;
        sides[CLIENT].out_max = sides[SERVER].out_max = limits[i];
        (void)put(&sides[CLIENT], data, SIZE);
        carry(sides);
        assert_int_equal(sides[SERVER].requests, 1);
        assert_int_equal(sides[SERVER].method, HTTP2_PUT);
        assert_string_equal(sides[SERVER].path, "/v1/x");
        assert_int_equal(sides[SERVER].leaf_first, 7);
        assert_int_equal(sides[SERVER].leaf_count, 9);
        assert_int_equal(sides[SERVER].body_bytes, SIZE);
        assert_int_equal(sides[SERVER].drained, 1);
        assert_int_equal(sides[CLIENT].status, 200);
        assert_int_equal(sides[CLIENT].announced, SIZE);
        assert_int_equal(sides[CLIENT].body_bytes, SIZE);
        for (int side = 0; side < 2; side++) {
            assert_false(sides[side].sum_wrong || sides[side].dead);
            assert_int_equal(sides[side].closed, 1);
            assert_int_equal(sides[side].closed_as, ERR_OK);
        }
        sides_close(sides);
    }
    free(data);
}

static void test_http2_window_holds_back_what_is_not_consumed(void **state)
{
    (void)state;
    struct side sides[2];
    uint8_t *data = counting(2 * WINDOW);
    sides_open(sides);
    sides[SERVER].consume = false;
    struct http2_stream *s = put(&sides[CLIENT], data, 2 * WINDOW);
    carry(sides);
    assert_int_equal(sides[SERVER].body_bytes, WINDOW);
    assert_int_equal(s->sent_bytes, WINDOW);
    assert_int_equal(s->unsent_bytes, WINDOW);
    http2_consume(sides[SERVER].stream, WINDOW);
    carry(sides);
    assert_int_equal(sides[SERVER].body_bytes, 2 * WINDOW);
    free(data);
    sides_close(sides);
}

static void test_http2_early_reply_ends_the_upload(void **state)
{
    (void)state;
    struct side sides[2];
    uint8_t *data = counting(4 * WINDOW);
    sides_open(sides);
    sides[SERVER].consume = sides[SERVER].answer = false;
    (void)put(&sides[CLIENT], data, 4 * WINDOW);
    carry(sides);
    assert_int_equal(http2_reply(sides[SERVER].stream, 413, 0), ERR_OK);
    carry(sides);
    assert_int_equal(sides[CLIENT].status, 413);
    assert_int_equal(sides[CLIENT].ends, 1);
    assert_int_equal(sides[CLIENT].closed_as, ERR_OK);
    assert_int_equal(sides[SERVER].closed_as, ERR_OK);
    assert_int_equal(sides[SERVER].ends, 0);
    free(data);
    sides_close(sides);
}

static void test_http2_reset_is_silent_here_and_told_there(void **state)
{
    (void)state;
    struct side sides[2];
    uint8_t *data = counting(4 * WINDOW);
    sides_open(sides);
    sides[SERVER].consume = false;
    struct http2_stream *s = put(&sides[CLIENT], data, 4 * WINDOW);
    carry(sides);
    http2_reset(s, HTTP2_RESET_CANCEL);
    free(data); /* borrowed no longer */
    carry(sides);
    assert_int_equal(sides[CLIENT].closed, 0);
    assert_int_equal(sides[SERVER].closed_as, ERR_CANCELLED);

    data = counting(10);
    s = put(&sides[CLIENT], data, 10); /* reset before it was sent: nobody hears of it */
    http2_reset(s, HTTP2_RESET_CANCEL);
    free(data);
    carry(sides);
    assert_int_equal(sides[SERVER].requests, 1);
    sides_close(sides);
}

static void test_http2_goaway_lets_finish_and_refuses_new(void **state)
{
    (void)state;
    struct side sides[2];
    struct http2_stream *s;
    uint8_t *data = counting(100);
    sides_open(sides);
    (void)put(&sides[CLIENT], data, 100);
    pull(&sides[CLIENT]);
    http2_session_goaway(sides[SERVER].session);
    pull(&sides[SERVER]); /* the server has not seen the request: it is refused, safe to send again
                           */
    feed(&sides[CLIENT], buf_slice(&sides[SERVER].out));
    buf_clear(&sides[SERVER].out);
    assert_int_equal(sides[CLIENT].goaways, 1);
    assert_int_equal(sides[CLIENT].closed_as, ERR_BUSY);
    const struct http2_request request = {.method = HTTP2_GET, .path = "/v1/x"};
    assert_int_equal(http2_request(sides[CLIENT].session, &request, NULL, 0, NULL, &s), ERR_STATE);
    free(data);
    sides_close(sides);
}

/* Paths and leaves that break our rules are answered here and never shown. */
static void test_http2_requests_against_the_rules_are_not_shown(void **state)
{
    (void)state;
    struct side sides[2];
    struct http2_stream *s;
    char path[700];
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    path[600] = 0;
    const struct {
        const char *path;
        unsigned status;
    } bad[] = {{path, 414}, {"no-slash", 0}}; /* nghttp2 itself resets the second */
    sides_open(sides);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        const struct http2_request request = {.method = HTTP2_GET, .path = bad[i].path};
        assert_int_equal(http2_request(sides[CLIENT].session, &request, NULL, 0, NULL, &s), ERR_OK);
        carry(sides);
        assert_int_equal(sides[SERVER].requests, 0);
        assert_int_equal(sides[CLIENT].status, bad[i].status);
        assert_int_equal(sides[CLIENT].closed_as, bad[i].status ? ERR_OK : ERR_PEER);
        sides[CLIENT].status = 0;
    }
    assert_false(sides[SERVER].dead);
    sides_close(sides);
}

/* The bytes that a good run sends to `to`. */
static struct buf recorded(int to, uint8_t *data)
{
    struct side sides[2];
    struct buf all = BUF_INIT(1 << 20);
    sides_open(sides);
    sides[SERVER].reply = data;
    sides[SERVER].reply_size = 300;
    (void)put(&sides[CLIENT], data, 500);
    for (int turn = 0; turn < 6; turn++)
        for (int from = 0; from < 2; from++) {
            pull(&sides[from]);
            if (from != to)
                assert_int_equal(buf_append(&all, sides[from].out.data, sides[from].out.size),
                                 ERR_OK);
            feed(&sides[1 - from], buf_slice(&sides[from].out));
            buf_clear(&sides[from].out);
        }
    sides_close(sides);
    return all;
}

static void hostile(int to, struct slice bytes, uint8_t *data)
{
    struct side sides[2];
    sides_open(sides);
    sides[SERVER].reply = data;
    sides[SERVER].reply_size = 300;
    if (to == CLIENT)
        (void)put(&sides[CLIENT], data, 500);
    pull(&sides[to]);
    feed(&sides[to], bytes);
    if (!sides[to].dead)
        pull(&sides[to]);
    assert_true(sides[to].closed <= sides[to].requests + sides[to].responses + 1);
    sides_close(sides);
}

static void test_http2_cut_changed_and_foreign_bytes_do_no_harm(void **state)
{
    (void)state;
    uint8_t *data = counting(1000);
    uint32_t seed = 99;
    print_message("seed %u\n", seed);
    for (int to = 0; to < 2; to++) {
        struct buf good = recorded(to, data);
        for (size_t size = 0; size <= good.size; size++)
            hostile(to, slice_of(good.data, size), data);
        for (size_t at = 0; at < good.size; at++)
            for (unsigned bit = 0; bit < 8; bit++) {
                good.data[at] ^= (uint8_t)(1u << bit);
                hostile(to, buf_slice(&good), data);
                good.data[at] ^= (uint8_t)(1u << bit);
            }
        for (int round = 0; round < 500; round++) { /* random frames behind a good beginning */
            for (size_t i = 60; i < good.size; i++) {
                seed = seed * 1664525u + 1013904223u;
                good.data[i] = (uint8_t)(seed >> 24);
            }
            hostile(to, slice_of(good.data + (round % 3 == 0 ? 60 : 0), good.size - 60), data);
        }
        buf_free(&good);
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http2_request_and_reply_come_whole),
        cmocka_unit_test(test_http2_window_holds_back_what_is_not_consumed),
        cmocka_unit_test(test_http2_early_reply_ends_the_upload),
        cmocka_unit_test(test_http2_reset_is_silent_here_and_told_there),
        cmocka_unit_test(test_http2_goaway_lets_finish_and_refuses_new),
        cmocka_unit_test(test_http2_requests_against_the_rules_are_not_shown),
        cmocka_unit_test(test_http2_cut_changed_and_foreign_bytes_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
