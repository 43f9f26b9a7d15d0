#include "uvio/uvio_net_internal.h"

/* How often progress is looked at: late by a quarter of the idle time at most. */
static uint64_t period_ms(const struct uvio_stream *s)
{
    return s->idle_ms / 4 > 5 ? s->idle_ms / 4 : 5;
}

/* All that moved: bodies both ways, and what our own side gave back. */
static uint64_t progress(const struct uvio_stream *s)
{
    if (s->h2)
        return s->h2->sent_bytes + s->h2->received_bytes + s->credited_bytes;
    return s->conn ? s->conn->sent_bytes : 0; /* done, the last bytes are on their way */
}

/* Is it the peer's turn? A server that thinks is not timed by itself. */
static bool peers_turn(const struct uvio_stream *s)
{
    if (s->is_call || !s->h2)
        return true;
    const struct uvio_exchange *x = container_of(s, const struct uvio_exchange, s);
    bool body_awaited = !s->h2->receive_complete && !x->replied;
    bool ours = s->held_bytes >= NET_WINDOW_BYTES / 2; /* the window is closed by us */
    return (body_awaited && !ours) || x->sending;
}

/* Should body bytes be flowing? Between the request and the answer they need not. */
static bool should_flow(const struct uvio_stream *s)
{
    if (!s->h2)
        return false;
    if (!s->is_call)
        return true;
    const struct uvio_call *call = container_of(s, const struct uvio_call, s);
    return s->h2->unsent_bytes > 0 || call->responded;
}

static void time_out(struct uvio_stream *s, const char *format, uint64_t number)
{
    struct uvio_conn *conn = s->conn;
    uint64_t now = uvio_now_ms(s->net);
    bool dead = conn && now - conn->received_ms >= s->idle_ms;
    if (s->is_call)
        (void)err_say(&uvio_call_of(s)->msg, ERR_TIMEOUT, format, conn ? conn->where : "the peer",
                      number);
    uvio_stream_end(s, ERR_TIMEOUT, HTTP2_RESET_CANCEL);
    if (dead && s->is_call && conn->state != UVIO_CLOSED) {
        struct errmsg msg;
        (void)err_say(&msg, ERR_UNREACHABLE, "%s says nothing any more", conn->where);
        uvio_conn_break(conn, ERR_UNREACHABLE, &msg);
    }
}

static void look(struct timer *timer)
{
    struct uvio_stream *s = container_of(timer, struct uvio_stream, timer);
    uint64_t now = uvio_now_ms(s->net);
    uint64_t total = progress(s);
    bool excused = !peers_turn(s) || !list_empty(&s->conn->throttled_link);
    if (total != s->seen_bytes || excused)
        s->moved_ms = now;
    if (now - s->moved_ms >= s->idle_ms) {
        time_out(s, "%s did not move a byte for %llu ms", s->idle_ms);
        return;
    }
    if (!should_flow(s) || excused) {
        s->rating = false;
    } else if (!s->rating && total != s->seen_bytes) {
        s->rating = true;
        s->rate_bytes_base = s->seen_bytes;
        s->rate_since_ms = now;
    } else if (s->rating && now - s->rate_since_ms >= s->idle_ms) {
        uint64_t least = (uint64_t)s->rate_min_bytes_s * (now - s->rate_since_ms) / 1000;
        if (total - s->rate_bytes_base < least) {
            time_out(s, "%s is slower than %llu bytes a second", s->rate_min_bytes_s);
            return;
        }
        s->rate_bytes_base = total;
        s->rate_since_ms = now;
    }
    s->seen_bytes = total;
    if (timer_start(&s->net->io->clock, &s->timer, period_ms(s)) != ERR_OK)
        uvio_stream_end(s, ERR_NOMEM, HTTP2_RESET_INTERNAL);
}

void uvio_stream_init(struct uvio_stream *s, struct uvio_net *net, bool is_call)
{
    s->net = net;
    s->is_call = is_call;
    list_init(&s->link);
    list_init(&s->ended_link);
    s->timer.fire = look;
}

void uvio_stream_attach(struct uvio_stream *s, struct uvio_conn *conn, struct http2_stream *h2)
{
    list_remove(&s->link);
    list_append(&conn->streams, &s->link);
    s->conn = conn;
    s->h2 = h2;
}

enum err uvio_stream_watch(struct uvio_stream *s, uint32_t idle_ms, uint32_t rate_min)
{
    s->idle_ms = idle_ms ? idle_ms : NET_IDLE_DEFAULT_MS;
    s->rate_min_bytes_s = rate_min ? rate_min : NET_RATE_MIN_DEFAULT;
    s->moved_ms = uvio_now_ms(s->net);
    return timer_start(&s->net->io->clock, &s->timer, period_ms(s));
}

void uvio_stream_took(struct uvio_stream *s, size_t size)
{
    s->held_bytes += size;
    uvio_net_held(s->net, size);
}

void uvio_stream_credit(struct uvio_stream *s, size_t size)
{
    if (size > s->held_bytes)
        size = s->held_bytes;
    s->held_bytes -= size;
    s->credited_bytes += size;
    uvio_net_unheld(s->net, size);
    if (!s->h2)
        return;
    http2_consume(s->h2, size);
    uvio_net_dirty(s->conn);
}

void uvio_stream_end(struct uvio_stream *s, enum err e, enum http2_reset_reason reason)
{
    if (s->ended)
        return;
    s->ended = true;
    s->result = e;
    timer_stop(&s->net->io->clock, &s->timer);
    if (s->h2) {
        s->h2->user = NULL;
        if (!s->h2->send_complete || !s->h2->receive_complete)
            http2_reset(s->h2, reason);
        s->h2 = NULL;
        uvio_net_dirty(s->conn);
    }
    list_append(&s->net->ended, &s->ended_link);
    uvio_net_due(s->net);
}

void uvio_stream_leave(struct uvio_stream *s)
{
    struct uvio_conn *conn = s->conn;
    timer_stop(&s->net->io->clock, &s->timer);
    uvio_net_unheld(s->net, s->held_bytes);
    list_remove(&s->link);
    list_remove(&s->ended_link);
    if (conn)
        uvio_conn_let_go(conn);
}
