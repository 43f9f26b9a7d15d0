/*
 * One connection:
 *
 *   dialled    CONNECTING -> HANDSHAKING -> INTRODUCING -> OPEN -> DRAINING -> CLOSED
 *   accepted                 HANDSHAKING ----------------> OPEN -> DRAINING -> CLOSED
 *
 * Bytes from the socket go through TLS and HTTP/2 in one call; events run inside it. Output is
 * pulled from HTTP/2 through TLS into a buffer and tried on the socket; what it does not take is
 * left to uv_write, and nothing more is pulled before that is done, which is the back-pressure.
 * Every way of failing ends in uvio_conn_break().
 */
#include "uvio/uvio_net_internal.h"

#include <stdlib.h>

static void maybe_free(struct uvio_conn *conn)
{
    if (!conn->handle_closed || !list_empty(&conn->streams))
        return;
    struct uvio_net *net = conn->net;
    if (conn->session.user_free)
        conn->session.user_free(conn->session.user);
    list_remove(&conn->link);
    http2_session_free(conn->http2);
    tls_session_free(conn->tls);
    buf_free(&conn->out);
    buf_free(&conn->writing);
    if (!conn->outgoing)
        net->incoming--;
    net->counters.connections--;
    free(conn);
    uvio_net_released(net);
}

static void on_closed(uv_handle_t *handle)
{
    struct uvio_conn *conn = handle->data;
    conn->handle_closed = true;
    maybe_free(conn);
}

static void left_handshake(struct uvio_conn *conn)
{
    if (!conn->outgoing && conn->state == UVIO_HANDSHAKING)
        conn->net->handshakes--;
}

/* The output that nobody will send any more leaves the books. */
static void close_handle(struct uvio_conn *conn)
{
    struct uvio_net *net = conn->net;
    left_handshake(conn);
    conn->state = UVIO_CLOSED;
    timer_stop(&net->io->clock, &conn->timer);
    list_remove(&conn->dirty_link);
    list_remove(&conn->paused_link);
    list_remove(&conn->throttled_link);
    net->output_bytes -= conn->out.size + conn->writing.size;
    conn->out.size = 0;
    if (!conn->writing_now)
        conn->writing.size = 0;
    uv_close((uv_handle_t *)&conn->tcp, on_closed);
}

void uvio_conn_break(struct uvio_conn *conn, enum err e, const struct errmsg *msg)
{
    if (conn->state == UVIO_CLOSED)
        return;
    if (conn->state == UVIO_HANDSHAKING && !conn->outgoing) {
        conn->net->counters.refused++;
        log_say(conn->net->io->log, LOG_DEBUG, "%s: %s", conn->where, msg->text);
    }
    close_handle(conn);
    list_for_each(node, &conn->streams)
    {
        struct uvio_stream *s = container_of(node, struct uvio_stream, link);
        if (s->h2)
            s->h2->user = NULL;
        s->h2 = NULL; /* no reset to send: there is nobody left */
        if (!s->is_call)
            list_remove(&uvio_exchange_of(s)->unsent_link);
        if (s->is_call && !s->ended)
            uvio_call_fail(uvio_call_of(s), e, msg);
        else
            uvio_stream_end(s, e, HTTP2_RESET_CANCEL);
    }
    struct uvio_peer *peer = conn->peer;
    conn->peer = NULL;
    if (peer)
        uvio_peer_lost(peer, conn, e, msg);
}

/* --- sending */

struct sink {
    struct uvio_conn *conn;
    size_t batch_bytes;
    struct errmsg msg;
};

static enum err take_output(void *user, const struct slice *parts, size_t count)
{
    struct sink *sink = user;
    struct uvio_conn *conn = sink->conn;
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += parts[i].size;
    if (conn->out.size >= sink->batch_bytes)
        return ERR_BUSY;
    if (count > 1 && !uvio_net_may_send(conn, size)) /* several parts: a body */
        return ERR_BUSY;
    for (size_t i = 0; i < count; i++) {
        enum err e = tls_session_write(conn->tls, parts[i], &sink->msg);
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

/* Fills conn->out with what HTTP/2 has. */
static enum err produce(struct uvio_conn *conn, struct errmsg *msg)
{
    struct uvio_net *net = conn->net;
    size_t before = conn->out.size;
    struct sink sink = {.conn = conn, .batch_bytes = UVIO_BATCH_BYTES};
    enum err e = ERR_OK;
    if (net->output_bytes > net->budget_bytes / 2)
        sink.batch_bytes = UVIO_BATCH_MIN_BYTES;
    sink.msg.text[0] = 0;
    if (conn->http2 && tls_session_is_open(conn->tls)) {
        if (conn->out.capacity == 0)
            conn->out = uvio_net_buffer(net);
        e = http2_session_pull(conn->http2, take_output, &sink);
        if (e == ERR_OK)
            e = tls_session_flush(conn->tls, &sink.msg);
    }
    net->output_bytes += conn->out.size - before;
    conn->produced_bytes += conn->out.size - before;
    list_for_each(node, &conn->unsent)
    {
        struct uvio_exchange *x = container_of(node, struct uvio_exchange, unsent_link);
        if (x->unsent_mark == UINT64_MAX)
            x->unsent_mark = conn->produced_bytes;
    }
    if (e != ERR_OK)
        return err_say(msg, e, "cannot send to %s: %s", conn->where,
                       sink.msg.text[0] ? sink.msg.text : err_words(e));
    return ERR_OK;
}

static void sent(struct uvio_conn *conn, size_t size)
{
    conn->sent_bytes += size;
    conn->net->output_bytes -= size;
    conn->net->counters.sent_bytes += size;
}

static void on_written(uv_write_t *write, int status)
{
    struct uvio_conn *conn = write->data;
    conn->writing_now = false;
    size_t size = conn->writing.size;
    if (conn->state == UVIO_CLOSED) {
        conn->writing.size = 0;
        return;
    }
    uvio_net_buffer_back(conn->net, &conn->writing);
    if (status != 0) {
        conn->net->output_bytes -= size;
        struct errmsg msg;
        (void)uvio_say(&msg, status, "the connection to %s broke", conn->where);
        uvio_conn_break(conn, ERR_UNREACHABLE, &msg);
        return;
    }
    sent(conn, size);
    uvio_exchange_sent(conn);
    uvio_conn_flush(conn);
}

/* True when the socket took everything. */
static bool try_socket(struct uvio_conn *conn)
{
    struct errmsg msg;
    uv_buf_t bytes = uv_buf_init((char *)conn->out.data, (unsigned)conn->out.size);
    int n = uv_try_write((uv_stream_t *)&conn->tcp, &bytes, 1);
    if (n < 0 && n != UV_EAGAIN) {
        (void)uvio_say(&msg, n, "the connection to %s broke", conn->where);
        uvio_conn_break(conn, ERR_UNREACHABLE, &msg);
        return false;
    }
    size_t took = n > 0 ? (size_t)n : 0;
    sent(conn, took);
    if (took == conn->out.size) {
        conn->out.size = 0;
        uvio_exchange_sent(conn);
        return true;
    }
    conn->writing = conn->out;
    conn->out = BUF_INIT(UVIO_OUTPUT_MAX);
    bytes = uv_buf_init((char *)conn->writing.data + took, (unsigned)(conn->writing.size - took));
    conn->writing.size -= took; /* what is left, though not at the buffer's start */
    conn->write.data = conn;
    int result = uv_write(&conn->write, (uv_stream_t *)&conn->tcp, &bytes, 1, on_written);
    if (result != 0) {
        (void)uvio_say(&msg, result, "the connection to %s broke", conn->where);
        uvio_conn_break(conn, ERR_UNREACHABLE, &msg);
        return false;
    }
    conn->writing_now = true;
    tls_session_output(conn->tls, &conn->out);
    return false;
}

static bool has_said_all(const struct uvio_conn *conn)
{
    return conn->state == UVIO_DRAINING && list_empty(&conn->streams) && conn->out.size == 0 &&
           !conn->writing_now;
}

/* Goodbye in good order: close_notify, then the socket. */
static void end_quietly(struct uvio_conn *conn, enum err e, const char *why)
{
    struct errmsg msg;
    tls_session_end(conn->tls);
    uv_buf_t bytes = uv_buf_init((char *)conn->out.data, (unsigned)conn->out.size);
    if (conn->out.size > 0)
        (void)uv_try_write((uv_stream_t *)&conn->tcp, &bytes, 1);
    conn->net->output_bytes += conn->out.size; /* close_handle takes it off again */
    (void)err_say(&msg, e, "%s: %s", conn->where, why);
    uvio_conn_break(conn, e, &msg);
}

void uvio_conn_flush(struct uvio_conn *conn)
{
    enum { ROUNDS = 8 }; /* then others get their turn */
    struct errmsg msg;
    list_remove(&conn->dirty_link);
    if (conn->state == UVIO_CLOSED || conn->state == UVIO_CONNECTING || conn->writing_now)
        return;
    for (int round = 0;; round++) {
        enum err e = produce(conn, &msg);
        if (e != ERR_OK) {
            uvio_conn_break(conn, e, &msg);
            return;
        }
        if (conn->out.size == 0) {
            uvio_exchange_sent(conn);
            break;
        }
        if (!try_socket(conn))
            return;
        if (!conn->http2 || !http2_session_wants_pull(conn->http2))
            break;
        if (round == ROUNDS) {
            uvio_net_dirty(conn);
            return;
        }
    }
    uvio_net_buffer_back(conn->net, &conn->out);
    if (has_said_all(conn))
        end_quietly(conn, ERR_UNREACHABLE, "the connection was closed");
    else if (conn->http2 && http2_session_is_over(conn->http2))
        end_quietly(conn, ERR_PEER, "the HTTP/2 session ended before its time");
}

/* --- receiving */

static void set_timer(struct uvio_conn *conn, uint64_t delay_ms)
{
    struct errmsg msg;
    if (timer_start(&conn->net->io->clock, &conn->timer, delay_ms) == ERR_OK)
        return;
    (void)err_say(&msg, ERR_NOMEM, "out of memory");
    uvio_conn_break(conn, ERR_NOMEM, &msg);
}

static uint64_t idle_limit_ms(const struct uvio_conn *conn)
{
    return conn->outgoing ? UVIO_NET_IDLE_CLOSE_MS : 2 * UVIO_NET_IDLE_CLOSE_MS;
}

static void say_settled(struct uvio_conn *conn)
{
    struct uvio_net *net = conn->net;
    left_handshake(conn);
    conn->state = UVIO_OPEN;
    conn->active_ms = uvio_now_ms(net);
    set_timer(conn, idle_limit_ms(conn));
}

void uvio_conn_ready(struct uvio_conn *conn)
{
    struct uvio_net *net = conn->net;
    if (conn->state != UVIO_INTRODUCING)
        return;
    say_settled(conn);
    if (conn->peer && conn->state == UVIO_OPEN)
        uvio_peer_opened(conn->peer);
    if (net->closing)
        uvio_conn_drain(conn);
}

/* TLS is open: whom we speak to is known, nothing of HTTP/2 has moved yet. */
static enum err on_opened(struct uvio_conn *conn, struct errmsg *msg)
{
    struct uvio_net *net = conn->net;
    const struct http2_limits limits = {.streams_max = LIMIT_STREAMS_PER_CONNECTION,
                                        .window_bytes = NET_WINDOW_BYTES,
                                        .path_max = LIMIT_PATH_BYTES};
    tls_session_peer(conn->tls, &conn->session.peer, conn->session.peer_key);
    enum err e = http2_session_new(conn->outgoing ? HTTP2_CLIENT : HTTP2_SERVER, &limits,
                                   conn->outgoing ? &uvio_call_http2 : &uvio_exchange_http2, conn,
                                   &conn->http2, msg);
    if (e != ERR_OK)
        return e;
    if (!conn->outgoing) {
        net->counters.accepted++;
        say_settled(conn);
        return ERR_OK;
    }
    net->counters.dialled++;
    conn->state = UVIO_INTRODUCING;
    if (net->introduce_path)
        uvio_call_introduce(conn);
    else
        uvio_conn_ready(conn);
    return ERR_OK;
}

static enum err take_event(struct uvio_conn *conn, const struct tls_event *event,
                           struct errmsg *msg)
{
    switch (event->kind) {
    case TLS_OPENED:
        return on_opened(conn, msg);
    case TLS_PLAIN:
        return http2_session_feed(conn->http2, event->plain, msg);
    case TLS_ENDED:
        return err_say(msg, ERR_UNREACHABLE, "it closed the connection");
    case TLS_WANT_INPUT:
        break;
    }
    return ERR_OK;
}

static void take_input(struct uvio_conn *conn, struct slice wire)
{
    struct uvio_net *net = conn->net;
    struct tls_event event = {0};
    struct errmsg msg;
    enum err e;
    msg.text[0] = 0;
    size_t before = conn->out.size;
    tls_session_input(conn->tls, wire);
    do {
        e = tls_session_step(conn->tls, net->plain, UVIO_PLAIN_BYTES, &event, &msg);
        if (e == ERR_OK)
            e = take_event(conn, &event, &msg);
    } while (e == ERR_OK && event.kind != TLS_WANT_INPUT && conn->state != UVIO_CLOSED);
    if (conn->state == UVIO_CLOSED)
        return;
    net->output_bytes += conn->out.size - before;
    conn->produced_bytes += conn->out.size - before;
    if (e == ERR_OK) {
        uvio_conn_flush(conn);
        return;
    }
    if (event.kind != TLS_ENDED && !conn->writing_now) { /* the alert or GOAWAY is worth a try */
        struct errmsg ignored;
        if (conn->http2)
            (void)produce(conn, &ignored);
        if (conn->out.size > 0 && !try_socket(conn) && conn->state == UVIO_CLOSED)
            return;
    }
    (void)err_wrap(&msg, e, "%s", conn->where);
    uvio_conn_break(conn, e, &msg);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct uvio_conn *conn = handle->data;
    (void)suggested;
    *out = uv_buf_init((char *)conn->net->read_buffer, UVIO_READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *bytes)
{
    struct uvio_conn *conn = stream->data;
    struct uvio_net *net = conn->net;
    struct errmsg msg;
    if (size == 0)
        return;
    if (size < 0) {
        if (size == UV_EOF)
            (void)err_say(&msg, ERR_UNREACHABLE, "%s closed the connection", conn->where);
        else
            (void)uvio_say(&msg, (int)size, "the connection to %s broke", conn->where);
        uvio_conn_break(conn, ERR_UNREACHABLE, &msg);
        return;
    }
    conn->received_ms = uvio_now_ms(net);
    net->counters.received_bytes += (uint64_t)size;
    take_input(conn, slice_of(bytes->base, (size_t)size));
    if (conn->state != UVIO_CLOSED && net->held_bytes >= net->budget_bytes) {
        (void)uv_read_stop(stream);
        list_remove(&conn->paused_link);
        list_append(&net->paused, &conn->paused_link);
    }
}

void uvio_conn_read_again(struct uvio_conn *conn)
{
    struct errmsg msg;
    list_remove(&conn->paused_link);
    int result = uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read);
    if (result == 0)
        return;
    (void)uvio_say(&msg, result, "cannot read from %s", conn->where);
    uvio_conn_break(conn, uvio_err(result), &msg);
}

/* --- beginning and ending */

static void on_timer(struct timer *timer)
{
    struct uvio_conn *conn = container_of(timer, struct uvio_conn, timer);
    struct uvio_net *net = conn->net;
    struct errmsg msg;
    if (conn->state == UVIO_OPEN || conn->state == UVIO_DRAINING) {
        uint64_t idle = list_empty(&conn->streams) ? uvio_now_ms(net) - conn->active_ms : 0;
        uint64_t limit = idle_limit_ms(conn);
        if (idle >= limit)
            uvio_conn_drain(conn);
        else
            set_timer(conn, limit - idle);
        return;
    }
    (void)err_say(&msg, ERR_UNREACHABLE, "%s did not answer within %d s", conn->where,
                  (conn->state == UVIO_CONNECTING ? UVIO_CONNECT_MS : UVIO_HANDSHAKE_MS) / 1000);
    uvio_conn_break(conn, ERR_UNREACHABLE, &msg);
}

struct uvio_conn *uvio_conn_new(struct uvio_net *net, bool outgoing)
{
    struct uvio_conn *conn = calloc(1, sizeof(*conn));
    if (!conn || uv_tcp_init(&net->io->loop, &conn->tcp) != 0) {
        free(conn);
        return NULL;
    }
    conn->net = net;
    conn->outgoing = outgoing;
    conn->tcp.data = conn;
    conn->state = UVIO_CONNECTING;
    conn->out = conn->writing = BUF_INIT(UVIO_OUTPUT_MAX);
    conn->timer.fire = on_timer;
    conn->received_ms = conn->active_ms = uvio_now_ms(net);
    list_init(&conn->streams);
    list_init(&conn->unsent);
    list_init(&conn->dirty_link);
    list_init(&conn->paused_link);
    list_init(&conn->throttled_link);
    list_append(&net->connections, &conn->link);
    net->handles++;
    net->counters.connections++;
    if (!outgoing)
        net->incoming++;
    return conn;
}

/* TCP is there. */
static void begin_tls(struct uvio_conn *conn, const struct id *expected)
{
    enum { KEEPALIVE_S = 60 };
    struct uvio_net *net = conn->net;
    struct sockaddr_storage name;
    struct errmsg msg;
    int size = sizeof(name);
    if (uv_tcp_getpeername(&conn->tcp, (struct sockaddr *)&name, &size) == 0)
        uvio_address_text((struct sockaddr *)&name, conn->where);
    memcpy(conn->session.address, conn->where, sizeof(conn->session.address));
    (void)uv_tcp_nodelay(&conn->tcp, 1);
    (void)uv_tcp_keepalive(&conn->tcp, 1, KEEPALIVE_S);
    conn->state = UVIO_HANDSHAKING;
    if (!conn->outgoing)
        net->handshakes++;
    enum err e = tls_session_new(net->tls, conn->outgoing ? TLS_CLIENT : TLS_SERVER, expected,
                                 &conn->out, &conn->tls, &msg);
    if (e == ERR_OK)
        e = timer_start(&net->io->clock, &conn->timer, UVIO_HANDSHAKE_MS);
    if (e != ERR_OK) {
        uvio_conn_break(conn, e, &msg);
        return;
    }
    net->output_bytes += conn->out.size;
    conn->produced_bytes += conn->out.size;
    uvio_conn_read_again(conn);
    uvio_net_dirty(conn);
}

void uvio_conn_accept(struct uvio_net *net)
{
    struct errmsg msg;
    struct uvio_conn *conn = uvio_conn_new(net, false);
    if (!conn)
        return;
    int result = uv_accept((uv_stream_t *)&net->listener, (uv_stream_t *)&conn->tcp);
    if (result != 0 || net->incoming > net->incoming_max || net->closing ||
        net->handshakes >= UVIO_HANDSHAKES_MAX) {
        (void)err_say(&msg, ERR_BUSY, "too many connections");
        net->counters.refused++;
        uvio_conn_break(conn, ERR_BUSY, &msg);
        return;
    }
    begin_tls(conn, NULL);
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct uvio_conn *conn = connect->data;
    struct errmsg msg;
    if (conn->state == UVIO_CLOSED)
        return;
    if (status != 0) {
        (void)uvio_say(&msg, status, "%s", conn->where);
        uvio_conn_break(conn, ERR_UNREACHABLE, &msg);
        return;
    }
    begin_tls(conn, &conn->peer->id);
}

enum err uvio_conn_dial(struct uvio_peer *peer, const struct sockaddr *address, struct errmsg *msg)
{
    struct uvio_net *net = peer->net;
    struct uvio_conn *conn = uvio_conn_new(net, true);
    if (!conn)
        return err_say(msg, ERR_NOMEM, "out of memory");
    uvio_address_text(address, conn->where);
    conn->connect.data = conn;
    int result = uv_tcp_connect(&conn->connect, &conn->tcp, address, on_connected);
    enum err e = result == 0 ? timer_start(&net->io->clock, &conn->timer, UVIO_CONNECT_MS)
                             : uvio_say(msg, result, "%s", conn->where);
    if (e != ERR_OK) {
        struct errmsg why;
        (void)err_say(&why, e, "%s", err_words(e));
        uvio_conn_break(conn, e, &why);
        return e;
    }
    conn->peer = peer;
    peer->conn = conn;
    return ERR_OK;
}

void uvio_conn_drain(struct uvio_conn *conn)
{
    struct errmsg msg;
    if (conn->peer)
        uvio_peer_forget_conn(conn->peer);
    if (conn->state == UVIO_OPEN) {
        conn->state = UVIO_DRAINING;
        http2_session_goaway(conn->http2);
        uvio_net_dirty(conn);
    } else if (conn->state != UVIO_DRAINING && conn->state != UVIO_CLOSED) {
        (void)err_say(&msg, ERR_CANCELLED, "the network of this process is closing");
        uvio_conn_break(conn, ERR_CANCELLED, &msg);
    }
}

void uvio_conn_let_go(struct uvio_conn *conn)
{
    conn->active_ms = uvio_now_ms(conn->net);
    if (conn->state == UVIO_DRAINING)
        uvio_net_dirty(conn);
    else if (conn->state == UVIO_CLOSED)
        maybe_free(conn);
}
