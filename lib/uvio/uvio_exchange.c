/*
 * A request of a peer's. Happy path: on_request -> on_body ... -> on_body_end -> reply_start,
 * reply_write and on_writable in turns -> HTTP/2 has closed the stream -> its last bytes are with
 * the kernel -> on_closed(OK). Whatever breaks it off goes through uvio_stream_end(), so on_closed
 * comes once.
 */
#include "uvio/uvio_net_internal.h"

#include <stdlib.h>

static const enum net_method methods[HTTP2_METHOD_COUNT] = {[HTTP2_GET] = NET_GET,
                                                            [HTTP2_PUT] = NET_PUT,
                                                            [HTTP2_POST] = NET_POST,
                                                            [HTTP2_HEAD] = NET_HEAD,
                                                            [HTTP2_DELETE] = NET_DELETE};

static struct uvio_exchange *exchange_from(struct net_exchange *x)
{
    return (struct uvio_exchange *)x;
}

static void exchange_free(struct uvio_exchange *x)
{
    free(x->path);
    free(x);
}

static void on_request(void *user, struct http2_stream *h2, const struct http2_request *request)
{
    struct uvio_conn *conn = user;
    struct uvio_net *net = conn->net;
    h2->user = NULL;
    struct uvio_exchange *x = calloc(1, sizeof(*x));
    char *path = strdup(request->path);
    if (!net->service || !x || !path) {
        free(x);
        free(path);
        if (http2_reply(h2, 503, 0) != ERR_OK)
            http2_reset(h2, HTTP2_RESET_INTERNAL);
        return;
    }
    x->x.ops = &uvio_net_ops;
    x->path = path;
    list_init(&x->unsent_link);
    uvio_stream_init(&x->s, net, false);
    uvio_stream_attach(&x->s, conn, h2);
    h2->user = &x->s;
    x->incoming = (struct net_incoming){.session = &conn->session,
                                        .method = methods[request->method],
                                        .path = path,
                                        .body_size = request->body_size,
                                        .leaf_first = request->leaf_first,
                                        .leaf_count = request->leaf_count};
    net->counters.exchanges++;
    enum err e = uvio_stream_watch(&x->s, NET_IDLE_DEFAULT_MS, NET_RATE_MIN_DEFAULT);
    net->service->on_request(net->service_user, &x->x, &x->incoming);
    if (e != ERR_OK)
        uvio_stream_end(&x->s, e, HTTP2_RESET_INTERNAL);
}

static void on_body(void *user, struct http2_stream *h2, struct slice bytes)
{
    struct uvio_conn *conn = user;
    struct uvio_stream *s = h2->user;
    if (!s || s->ended) {
        http2_consume(h2, bytes.size);
        uvio_net_dirty(conn);
        return;
    }
    uvio_stream_took(s, bytes.size);
    s->net->service->on_body(s->net->service_user, &uvio_exchange_of(s)->x, bytes);
}

static void on_body_end(void *user, struct http2_stream *h2)
{
    (void)user;
    struct uvio_stream *s = h2->user;
    if (s && !s->ended)
        s->net->service->on_body_end(s->net->service_user, &uvio_exchange_of(s)->x);
}

static void on_drained(void *user, struct http2_stream *h2)
{
    (void)user;
    struct uvio_stream *s = h2->user;
    if (!s || s->ended)
        return;
    struct uvio_exchange *x = uvio_exchange_of(s);
    x->sending = false;
    s->net->service->on_writable(s->net->service_user, &x->x);
}

static void on_closed(void *user, struct http2_stream *h2, enum err e)
{
    struct uvio_conn *conn = user;
    struct uvio_stream *s = h2->user;
    if (!s || s->ended)
        return;
    struct uvio_exchange *x = uvio_exchange_of(s);
    h2->user = NULL;
    s->h2 = NULL;
    if (e != ERR_OK) {
        uvio_stream_end(s, e == ERR_PEER ? ERR_PEER : ERR_CANCELLED, HTTP2_RESET_CANCEL);
        return;
    }
    x->unsent_mark = UINT64_MAX; /* the next flush knows */
    list_append(&conn->unsent, &x->unsent_link);
    uvio_net_dirty(conn);
}

static void on_goaway(void *user)
{
    (void)user; /* a client that goes away just sends nothing more */
}

const struct http2_events uvio_exchange_http2 = {
    .on_request = on_request,
    .on_body = on_body,
    .on_body_end = on_body_end,
    .on_drained = on_drained,
    .on_closed = on_closed,
    .on_goaway = on_goaway,
};

void uvio_exchange_sent(struct uvio_conn *conn)
{
    while (!list_empty(&conn->unsent)) {
        struct uvio_exchange *x =
            container_of(conn->unsent.next, struct uvio_exchange, unsent_link);
        if (x->unsent_mark > conn->sent_bytes)
            return;
        list_remove(&x->unsent_link);
        uvio_stream_end(&x->s, ERR_OK, HTTP2_RESET_ENOUGH);
    }
}

void uvio_exchange_finish(struct uvio_exchange *x)
{
    struct uvio_net *net = x->s.net;
    net->counters.exchanges--;
    list_remove(&x->unsent_link);
    net->service->on_closed(net->service_user, &x->x, x->s.result);
    uvio_stream_leave(&x->s);
    exchange_free(x);
}

void uvio_exchange_credit(struct net_exchange *port, size_t size)
{
    uvio_stream_credit(&exchange_from(port)->s, size);
}

enum err uvio_exchange_reply_start(struct net_exchange *port, unsigned status, uint64_t body_size)
{
    struct uvio_exchange *x = exchange_from(port);
    if (x->replied || status < 200 || status > 599)
        return ERR_STATE;
    if (x->s.ended || !x->s.h2)
        return ERR_CANCELLED;
    enum err e = http2_reply(x->s.h2, status, body_size);
    if (e != ERR_OK)
        return e;
    x->replied = true;
    x->sending = x->s.h2->send_complete;
    uvio_net_dirty(x->s.conn);
    return ERR_OK;
}

enum err uvio_exchange_reply_write(struct net_exchange *port, struct slice bytes)
{
    struct uvio_exchange *x = exchange_from(port);
    if (!x->replied)
        return ERR_STATE;
    if (x->s.ended || !x->s.h2)
        return ERR_CANCELLED;
    enum err e = http2_reply_send(x->s.h2, bytes);
    if (e != ERR_OK)
        return e == ERR_USAGE ? ERR_TOO_LARGE : e;
    x->sending = true;
    uvio_net_dirty(x->s.conn);
    return ERR_OK;
}

void uvio_exchange_abort(struct net_exchange *port)
{
    struct uvio_exchange *x = exchange_from(port);
    list_remove(&x->unsent_link);
    uvio_stream_end(&x->s, ERR_CANCELLED, HTTP2_RESET_INTERNAL);
}
