#include "net_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct served {
    struct fixture *f;
    struct net_exchange *x;
    struct list link;
    size_t sent;
    bool introduction;
    struct timer drip;
};

static void write_more(struct served *s)
{
    struct fixture *f = s->f;
    size_t left = f->reply_body.size - s->sent;
    size_t size = left < f->reply_piece ? left : f->reply_piece;
    if (size == 0)
        return;
    size_t at = s->sent;
    s->sent += size;
    enum err e = net_reply_write(s->x, slice_of(f->reply_body.data + at, size));
    assert_int_equal(e, ERR_OK);
}

static void reply(struct served *s)
{
    struct fixture *f = s->f;
    if (s->introduction) {
        assert_int_equal(net_reply_start(s->x, f->introduce_status, 0), ERR_OK);
        return;
    }
    assert_int_equal(net_reply_start(s->x, f->status, f->reply_body.size), ERR_OK);
    write_more(s);
}

static void on_drip(struct timer *timer)
{
    struct served *s = container_of(timer, struct served, drip);
    if (s->sent == 0)
        assert_int_equal(net_reply_start(s->x, s->f->status, s->f->reply_body.size), ERR_OK);
    write_more(s);
}

static void on_request(void *user, struct net_exchange *x, const struct net_incoming *request)
{
    struct fixture *f = user;
    struct served *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    s->f = f;
    s->x = x;
    x->user = s;
    list_append(&f->exchanges, &s->link);
    s->introduction = strcmp(request->path, "/v1/hello") == 0;
    if (s->introduction) {
        f->introductions++;
        f->introducing++;
        return;
    }
    f->requests++;
    f->overtakers += f->introducing > 0;
    (void)snprintf(f->last_path, sizeof(f->last_path), "%s", request->path);
    f->last_body_size = request->body_size;
    f->last_leaf_first = request->leaf_first;
    f->last_leaf_count = request->leaf_count;
    f->last_peer = request->session->peer;
    if (f->abort_on_request)
        net_exchange_abort(x);
    else if (f->early)
        reply(s);
}

static void on_body(void *user, struct net_exchange *x, struct slice bytes)
{
    struct fixture *f = user;
    assert_true(bytes.size > 0 && bytes.size <= 65536);
    f->body_bytes += bytes.size;
    if (!f->keep_credit)
        net_exchange_credit(x, bytes.size);
}

static void on_body_end(void *user, struct net_exchange *x)
{
    struct fixture *f = user;
    struct served *s = x->user;
    s->drip.fire = on_drip;
    if (f->drip)
        assert_int_equal(timer_start(uvio_clock(f->io), &s->drip, 20), ERR_OK);
    if ((!f->silent && !f->early) || s->introduction)
        reply(x->user);
}

static void on_writable(void *user, struct net_exchange *x)
{
    struct fixture *f = user;
    struct served *s = x->user;
    if (f->drip)
        assert_int_equal(timer_start(uvio_clock(f->io), &s->drip, 20), ERR_OK);
    else
        write_more(s);
}

static void on_closed(void *user, struct net_exchange *x, enum err e)
{
    struct fixture *f = user;
    struct served *s = x->user;
    f->introducing -= s->introduction;
    if (!s->introduction) {
        f->last_closed = e;
        if (e == ERR_OK)
            f->closed_ok++;
        else
            f->closed_bad++;
    }
    timer_stop(uvio_clock(f->io), &s->drip);
    list_remove(&s->link);
    free(s);
}

static const struct net_service service = {on_request, on_body, on_body_end, on_writable,
                                           on_closed};

static void on_guard(struct timer *timer)
{
    (void)timer;
    fail_msg("the test hangs");
}

void fixture_start(struct fixture *f)
{
    struct errmsg msg;
    uint8_t seed[UVIO_NET_SEED_SIZE];
    *f = (struct fixture){.status = 200, .reply_piece = 65536, .introduce_status = 200};
    list_init(&f->exchanges);
    const struct uvio_options options = {.threads = 1};
    assert_int_equal(uvio_new(&options, &f->io, &msg), ERR_OK);
    memset(seed, 1, sizeof(seed));
    struct uvio_net_options server = {.seed = seed, .listen = "127.0.0.1:0"};
    enum err e = uvio_net_open(f->io, &server, &f->server, &msg);
    if (e != ERR_OK)
        fail_msg("%s", msg.text);
    net_serve(f->server, &service, f);
    uint8_t other[UVIO_NET_SEED_SIZE];
    memset(other, 2, sizeof(other));
    struct uvio_net_options client = {.seed = other};
    assert_int_equal(uvio_net_open(f->io, &client, &f->client, &msg), ERR_OK);
    (void)snprintf(f->address, sizeof(f->address), "%s", uvio_net_listen_address(f->server));
    f->addresses[0] = f->address;
    f->guard.fire = on_guard;
    assert_int_equal(timer_start(uvio_clock(f->io), &f->guard, 60000), ERR_OK);
}

void fixture_stop(struct fixture *f)
{
    timer_stop(uvio_clock(f->io), &f->guard);
    uvio_free(f->io);
    assert_true(list_empty(&f->exchanges));
}

static void on_response(void *user, struct net_call *call, unsigned status, uint64_t body_size)
{
    struct fetched *out = user;
    assert_ptr_equal(call, out->call);
    assert_int_equal(out->status, 0);
    out->status = status;
    out->announced = body_size;
}

static void on_fetched_body(void *user, struct net_call *call, struct slice bytes)
{
    struct fetched *out = user;
    assert_false(out->done);
    assert_true(out->status != 0);
    assert_true(bytes.size > 0 && bytes.size <= 65536);
    out->body_bytes += bytes.size;
    if (out->body.size_max)
        assert_int_equal(buf_append(&out->body, bytes.data, bytes.size), ERR_OK);
    if (!out->keep_credit)
        net_call_credit(call, bytes.size);
    if (out->cancel_on_body) {
        net_call_cancel(call);
        assert_false(out->done);
    }
}

static void on_done(void *user, struct net_call *call, enum err e, const struct errmsg *msg)
{
    struct fetched *out = user;
    (void)call;
    assert_false(out->done);
    assert_non_null(msg);
    out->done = true;
    out->result = e;
    out->msg = *msg;
    if (out->stop_when_done)
        uvio_stop(out->f->io);
}

static const struct net_call_events call_events = {on_response, on_fetched_body, on_done};

void fetch_start_request(struct fixture *f, struct fetched *out, struct net_request *request)
{
    struct errmsg msg;
    out->f = f;
    if (id_is_zero(&request->target.id)) {
        request->target.id = f->server->self;
        request->target.addresses = f->addresses;
        request->target.address_count = 1;
    }
    enum err e = net_call_start(f->client, request, &call_events, out, &out->call, &msg);
    if (e != ERR_OK)
        fail_msg("%s", msg.text);
    assert_false(out->done);
}

void fetch_start(struct fixture *f, struct fetched *out, enum net_method method, const char *path,
                 const struct slice *body, size_t body_count)
{
    struct net_request request = {
        .method = method, .path = path, .body = body, .body_count = body_count};
    fetch_start_request(f, out, &request);
}

void fetch_free(struct fetched *out)
{
    buf_free(&out->body);
}

void fetch_wait(struct fetched *out)
{
    out->stop_when_done = true;
    while (!out->done)
        uvio_run(out->f->io);
}

void fetch(struct fixture *f, struct fetched *out, enum net_method method, const char *path,
           const struct slice *body, size_t body_count)
{
    fetch_start(f, out, method, path, body, body_count);
    fetch_wait(out);
}

struct stopper {
    struct timer timer;
    struct uvio *io;
};

static void on_stop(struct timer *timer)
{
    uvio_stop(((struct stopper *)(void *)timer)->io);
}

void run_for(struct fixture *f, uint64_t ms)
{
    struct stopper stopper = {.timer = {.fire = on_stop}, .io = f->io};
    assert_int_equal(timer_start(uvio_clock(f->io), &stopper.timer, ms), ERR_OK);
    uvio_run(f->io);
}

void fill_pattern(uint8_t *out, size_t size, unsigned seed)
{
    uint32_t x = seed * 2654435761u + 1;
    for (size_t i = 0; i < size; i++) {
        x = x * 1664525u + 1013904223u;
        out[i] = (uint8_t)(x >> 24);
    }
}
