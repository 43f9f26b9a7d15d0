/*
 * A request of ours. Happy path: call_start -> waits for a connection or is submitted at once ->
 * on_response, on_body ... -> the peer's END_STREAM -> on_done(OK). It fails by the peer's reset,
 * its connection, a timeout or a cancel; each goes through uvio_stream_end(), so on_done comes
 * once.
 */
#include "uvio/uvio_net_internal.h"

#include <stdlib.h>

static const enum http2_method methods[] = {[NET_GET] = HTTP2_GET,
                                            [NET_PUT] = HTTP2_PUT,
                                            [NET_POST] = HTTP2_POST,
                                            [NET_HEAD] = HTTP2_HEAD,
                                            [NET_DELETE] = HTTP2_DELETE};

/* Shares among the streams of one connection; what comes first in net_class gets four times the
 * next. */
static const unsigned weights[NET_CLASS_COUNT] = {256, 64, 16, 4};

static struct uvio_call *call_from(struct net_call *call)
{
    return (struct uvio_call *)call;
}

static void call_free(struct uvio_call *call)
{
    buf_free(&call->own_body);
    free(call->path);
    free(call->body);
    free(call);
}

static struct uvio_call *call_new(struct uvio_net *net, const struct net_request *request,
                                  const struct net_call_events *events, void *user)
{
    struct uvio_call *call = calloc(1, sizeof(*call));
    if (!call)
        return NULL;
    call->call.ops = &uvio_net_ops;
    call->events = events;
    call->user = user;
    call->request = *request;
    call->peer_id = request->target.id;
    uvio_stream_init(&call->s, net, true);
    call->path = strdup(request->path);
    if (request->body_count > 0)
        call->body = calloc(request->body_count, sizeof(*call->body));
    if (!call->path || (request->body_count > 0 && !call->body)) {
        call_free(call);
        return NULL;
    }
    if (call->body)
        memcpy(call->body, request->body, request->body_count * sizeof(*call->body));
    call->request.path = call->path;
    call->request.body = call->body;
    return call;
}

static bool request_is_good(const struct net_request *request)
{
    size_t length = strlen(request->path);
    bool good = request->path[0] == '/' && length <= LIMIT_PATH_BYTES;
    for (size_t i = 0; i < length; i++)
        good = good && request->path[i] > 0x20 && request->path[i] < 0x7f;
    return good && (unsigned)request->method < ARRAY_COUNT(methods) &&
           (unsigned)request->net_class < NET_CLASS_COUNT;
}

enum err uvio_call_start(struct net *port, const struct net_request *request,
                         const struct net_call_events *events, void *user, struct net_call **out,
                         struct errmsg *msg)
{
    struct uvio_net *net = uvio_net_of(port);
    if (!request_is_good(request))
        return err_say(msg, ERR_USAGE, "a request's path begins with / and has at most %u bytes",
                       LIMIT_PATH_BYTES);
    if (net->closing)
        return err_say(msg, ERR_CANCELLED, "the network of this process is closing");
    struct uvio_peer *peer = NULL;
    struct uvio_call *call = call_new(net, request, events, user);
    enum err e = call ? uvio_peer_get(net, &request->target.id, &peer) : ERR_NOMEM;
    if (e == ERR_OK)
        e = uvio_peer_add_addresses(peer, &request->target);
    if (e != ERR_OK) {
        if (peer)
            uvio_peer_release(peer);
        if (call)
            call_free(call);
        return err_say(msg, e, "%s", err_words(e));
    }
    net->counters.calls++;
    *out = &call->call;
    if (peer->ready) {
        uvio_call_submit(call, peer->conn);
        return ERR_OK;
    }
    call->peer = peer;
    list_append(&peer->waiting, &call->s.link);
    uvio_peer_dial(peer);
    return ERR_OK;
}

void uvio_call_submit(struct uvio_call *call, struct uvio_conn *conn)
{
    const struct net_request *r = &call->request;
    struct http2_request request = {.method = methods[r->method],
                                    .path = r->path,
                                    .leaf_first = r->leaf_first,
                                    .leaf_count = r->leaf_count,
                                    .weight = weights[r->net_class]};
    struct http2_stream *h2;
    call->peer = NULL;
    enum err e = http2_request(conn->http2, &request, r->body, r->body_count, &call->s, &h2);
    if (e == ERR_OK) {
        uvio_stream_attach(&call->s, conn, h2);
        uvio_net_dirty(conn);
        e = uvio_stream_watch(&call->s, r->idle_timeout_ms, r->rate_min_bytes_s);
    }
    if (e != ERR_OK) {
        struct errmsg msg;
        (void)err_say(&msg, e, "cannot send a request to %s: %s", conn->where, err_words(e));
        uvio_call_fail(call, e, &msg);
    }
}

void uvio_call_fail(struct uvio_call *call, enum err e, const struct errmsg *msg)
{
    if (call->s.ended)
        return;
    call->msg = *msg;
    call->peer = NULL;
    uvio_stream_end(&call->s, e, HTTP2_RESET_CANCEL);
}

void uvio_call_finish(struct uvio_call *call)
{
    struct uvio_net *net = call->s.net;
    net->counters.calls--;
    if (call->s.result == ERR_OK)
        call->msg.text[0] = 0;
    else if (call->msg.text[0] == 0)
        (void)err_say(&call->msg, call->s.result, "%s", err_words(call->s.result));
    call->events->on_done(call->user, &call->call, call->s.result, &call->msg);
    uvio_stream_leave(&call->s);
    call_free(call);
}

void uvio_call_credit(struct net_call *call, size_t size)
{
    uvio_stream_credit(&call_from(call)->s, size);
}

void uvio_call_cancel(struct net_call *port)
{
    struct uvio_call *call = call_from(port);
    struct uvio_peer *peer = call->peer;
    struct errmsg msg;
    (void)err_say(&msg, ERR_CANCELLED, "we cancelled it");
    uvio_call_fail(call, ERR_CANCELLED, &msg);
    if (peer && !call->s.conn) {
        list_remove(&call->s.link);
        uvio_peer_release(peer);
    }
}

/* --- what HTTP/2 says */

static void on_response(void *user, struct http2_stream *h2, unsigned status, uint64_t body_size)
{
    (void)user;
    struct uvio_stream *s = h2->user;
    if (!s || s->ended)
        return;
    struct uvio_call *call = uvio_call_of(s);
    call->responded = true;
    call->events->on_response(call->user, &call->call, status, body_size);
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
    struct uvio_call *call = uvio_call_of(s);
    call->events->on_body(call->user, &call->call, bytes);
}

static void on_body_end(void *user, struct http2_stream *h2)
{
    (void)user;
    struct uvio_stream *s = h2->user;
    if (s)
        uvio_stream_end(s, ERR_OK, HTTP2_RESET_ENOUGH);
}

/* Refused before anybody looked at it (the peer is going away): safe to send on a new connection.
 */
static bool send_again(struct uvio_call *call)
{
    struct uvio_net *net = call->s.net;
    struct uvio_peer *peer = NULL;
    if (call->retried || call->responded || net->closing || call->own_body.data ||
        call->request.target.address_count == 0)
        return false;
    struct uvio_conn *conn = call->s.conn;
    if (conn->peer)
        uvio_peer_forget_conn(conn->peer);
    if (uvio_peer_get(net, &call->peer_id, &peer) != ERR_OK)
        return false;
    if (uvio_peer_add_addresses(peer, &call->request.target) != ERR_OK) {
        uvio_peer_release(peer);
        return false;
    }
    timer_stop(&net->io->clock, &call->s.timer);
    list_remove(&call->s.link);
    uvio_conn_let_go(conn);
    call->s.conn = NULL;
    call->s.h2 = NULL;
    call->retried = true;
    call->peer = peer;
    list_append(&peer->waiting, &call->s.link);
    uvio_peer_dial(peer);
    return true;
}

static void on_closed(void *user, struct http2_stream *h2, enum err e)
{
    struct uvio_conn *conn = user;
    struct uvio_stream *s = h2->user;
    if (!s || s->ended)
        return;
    struct uvio_call *call = uvio_call_of(s);
    h2->user = NULL;
    if (e == ERR_BUSY && send_again(call))
        return;
    s->h2 = NULL;
    const char *why = e == ERR_BUSY   ? "it takes no more requests"
                      : e == ERR_PEER ? "it says that we broke the protocol"
                                      : "it broke the request off";
    (void)err_say(&call->msg, e, "%s: %s", conn->where, why);
    uvio_stream_end(s, e == ERR_CANCELLED ? ERR_UNREACHABLE : e, HTTP2_RESET_CANCEL);
}

static void on_goaway(void *user)
{
    struct uvio_conn *conn = user;
    if (conn->peer)
        uvio_peer_forget_conn(conn->peer);
    if (conn->state == UVIO_OPEN)
        conn->state = UVIO_DRAINING;
    uvio_net_dirty(conn);
}

const struct http2_events uvio_call_http2 = {
    .on_response = on_response,
    .on_body = on_body,
    .on_body_end = on_body_end,
    .on_closed = on_closed,
    .on_goaway = on_goaway,
};

/* --- what we show of ourselves */

static void introduction_response(void *user, struct net_call *port, unsigned status,
                                  uint64_t body_size)
{
    (void)user;
    (void)body_size;
    struct uvio_call *call = call_from(port);
    if (status < 200 || status > 299) {
        struct errmsg msg;
        (void)err_say(&msg, ERR_DENIED, "%s does not accept our introduction (status %u)",
                      call->s.conn->where, status);
        uvio_call_fail(call, ERR_DENIED, &msg);
    }
}

static void introduction_body(void *user, struct net_call *call, struct slice bytes)
{
    (void)user;
    uvio_call_credit(call, bytes.size);
}

static void introduction_done(void *user, struct net_call *call, enum err e,
                              const struct errmsg *msg)
{
    (void)call;
    struct uvio_conn *conn = user;
    if (conn->state == UVIO_CLOSED)
        return;
    if (e != ERR_OK) {
        uvio_conn_break(conn, e, msg);
        return;
    }
    if (conn->introduce_again) {
        conn->introduce_again = false;
        uvio_call_introduce(conn);
        return;
    }
    uvio_conn_ready(conn);
    if (conn->introductions && --conn->introductions == 0 && conn->peer)
        uvio_peer_opened(conn->peer);
}

void uvio_conn_introduce_again(struct uvio_conn *conn)
{
    if (conn->state == UVIO_INTRODUCING)
        conn->introduce_again = true;
    if (conn->state != UVIO_OPEN)
        return;
    conn->introductions++;
    if (conn->peer)
        conn->peer->ready = false;
    uvio_call_introduce(conn);
}

void uvio_call_introduce(struct uvio_conn *conn)
{
    static const struct net_call_events events = {introduction_response, introduction_body,
                                                  introduction_done};
    struct uvio_net *net = conn->net;
    struct slice bytes = buf_slice(&net->introduce_bytes);
    struct net_request request = {
        .method = NET_POST, .path = net->introduce_path, .body = &bytes, .body_count = 1};
    struct uvio_call *call = call_new(net, &request, &events, conn);
    if (call)
        call->own_body = BUF_INIT(bytes.size);
    if (!call || buf_append(&call->own_body, bytes.data, bytes.size) != ERR_OK) {
        struct errmsg msg;
        (void)err_say(&msg, ERR_NOMEM, "out of memory");
        if (call)
            call_free(call);
        uvio_conn_break(conn, ERR_NOMEM, &msg);
        return;
    }
    call->body[0] = buf_slice(&call->own_body); /* the net's own may change meanwhile */
    call->s.conn = conn;
    list_append(&conn->streams, &call->s.link);
    net->counters.calls++;
    uvio_call_submit(call, conn);
}
