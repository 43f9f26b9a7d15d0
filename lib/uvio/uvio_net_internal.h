/*
 * The net port's insides.
 *
 *   uvio_net       the port: listener, budget, what is due at the end of a turn of the loop
 *   uvio_peer      somebody whom we dial: addresses, calls that wait for a connection
 *   uvio_conn      a TCP connection with its TLS and HTTP/2 sessions
 *   uvio_stream    what calls and exchanges have in common: credit, timeouts, one last event
 *   uvio_call      a request of ours
 *   uvio_exchange  a request of a peer's
 *
 * Last events (on_done, on_closed) and output are due at the end of a turn: whoever causes them
 * puts the stream into net->ended or the connection into net->dirty, and the prepare handle, which
 * runs before the loop waits again, sees to both. So no last event comes from inside a call of the
 * user's, and output is gathered into few writes.
 */
#pragma once

#include "base/buf.h"
#include "base/idmap.h"
#include "base/limits.h"
#include "http2/http2.h"
#include "tls/tls.h"
#include "uvio/uvio_internal.h"
#include "uvio/uvio_net.h"

enum {
    UVIO_READ_BYTES = 256 << 10,     /* one read from a socket */
    UVIO_PLAIN_BYTES = 64 << 10,     /* plain bytes of one step: a body event's most */
    UVIO_BATCH_BYTES = 256 << 10,    /* output of a connection before it goes to the socket */
    UVIO_BATCH_MIN_BYTES = 16 << 10, /* the same when the budget of output is used up */
    UVIO_OUTPUT_MAX = 1 << 20,       /* limit of a connection's output buffer */
    UVIO_SPARE_BUFFERS = 8,
    UVIO_BACKLOG = 512,
    UVIO_CONNECT_MS = 5000,
    UVIO_HANDSHAKE_MS = 10000,
    UVIO_HANDSHAKES_MAX = 512, /* strangers that have not shown a key yet */
    UVIO_PEER_ADDRESSES = 2 * LIMIT_ADDRESSES,
    UVIO_RESOLVED_MAX = 8, /* sockaddrs taken of one name */
};

struct uvio_net {
    struct net net; /* first: the port's pointer is ours */
    struct uvio *io;
    struct list link; /* in io->nets */
    struct tls_context *tls;
    const struct net_service *service;
    void *service_user;

    uv_tcp_t listener;
    bool listening;
    char listen_address[UVIO_NET_ADDRESS_SIZE];
    uint16_t listen_port;

    struct list connections; /* of uvio_conn */
    struct idmap peers;      /* id -> uvio_peer */
    uint32_t incoming_max, incoming, handshakes;

    uv_prepare_t prepare;
    uv_idle_t idle;     /* active when something is due, so that the loop does not wait */
    struct list dirty;  /* of uvio_conn */
    struct list ended;  /* of uvio_stream */
    struct list paused; /* of uvio_conn: not read from, the budget is used up */

    uint8_t *read_buffer, *plain; /* owned */
    struct buf spare[UVIO_SPARE_BUFFERS];
    size_t spare_count;
    size_t budget_bytes, held_bytes, output_bytes;

    /* shaper: tokens are bytes of body that may go; refilled by time, at most a tenth of a second's
     */
    uint64_t upload_bytes_s; /* 0: no limit */
    int64_t tokens;
    uint64_t refilled_ns;
    struct timer refill;
    struct list throttled; /* of uvio_conn */

    char *introduce_path; /* owned; NULL: nothing to show */
    struct buf introduce_bytes;

    bool closing, breaking, handles_closing;
    struct timer grace;
    uvio_net_closed_fn *closed;
    void *closed_user;
    unsigned handles; /* libuv handles and requests that still have to call back */

    struct uvio_net_counters counters;
};

struct uvio_peer {
    struct uvio_net *net;
    struct id id;
    struct uvio_conn *conn;               /* the one in use or being made; NULL: none */
    bool ready;                           /* conn takes requests */
    struct list waiting;                  /* of uvio_stream (calls) */
    char *addresses[UVIO_PEER_ADDRESSES]; /* owned */
    size_t address_count, address_index;  /* index: the one being tried */
    struct sockaddr_storage resolved[UVIO_RESOLVED_MAX];
    size_t resolved_count, resolved_index;
    struct uvio_lookup *lookup; /* a name being resolved */
    bool dialling;
    enum err dial_error;
    struct errmsg dial_msg;
};

enum uvio_conn_state {
    UVIO_CONNECTING,  /* TCP, outgoing only */
    UVIO_HANDSHAKING, /* TLS */
    UVIO_INTRODUCING, /* outgoing: our introduction is under way */
    UVIO_OPEN,
    UVIO_DRAINING, /* GOAWAY, ours or theirs: finishes what is here */
    UVIO_CLOSED,   /* broken or ended; the handle closes, then the struct goes */
};

struct uvio_conn {
    struct uvio_net *net;
    struct list link;
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    enum uvio_conn_state state;
    bool outgoing;
    bool handle_closed;
    bool reading, writing_now;
    bool introduce_again;   /* what we show changed while it was being shown */
    unsigned introductions; /* under way on an open connection: new calls wait for them */
    struct uvio_peer *peer; /* outgoing, while new calls may use it; else NULL */
    struct tls_session *tls;
    struct http2_session *http2;
    struct net_session session;
    char where[UVIO_NET_ADDRESS_SIZE]; /* the other end, for sentences */

    struct buf out;     /* bytes for the socket */
    struct buf writing; /* those that uv_write holds */
    uint64_t produced_bytes, sent_bytes;
    struct list streams; /* of uvio_stream, until their last event has run */
    struct list unsent;  /* of uvio_exchange: done, their last bytes are not with the kernel */
    struct list dirty_link, paused_link, throttled_link;
    struct timer timer;
    uint64_t active_ms;   /* when the last stream ended */
    uint64_t received_ms; /* when the last bytes came */
};

struct uvio_stream {
    struct uvio_net *net;
    struct uvio_conn *conn;  /* NULL: a call that waits, or whose connection could not be made */
    struct http2_stream *h2; /* NULL: not begun, or gone */
    bool is_call;
    struct list link;       /* in conn->streams or peer->waiting */
    struct list ended_link; /* in net->ended */
    bool ended;             /* the last event is due: no other follows */
    enum err result;
    size_t held_bytes; /* delivered, not credited */

    struct timer timer;
    uint32_t idle_ms, rate_min_bytes_s;
    uint64_t seen_bytes, moved_ms; /* progress at the last look, when it was made */
    uint64_t credited_bytes;
    bool rating; /* body bytes should flow: the rate is measured */
    uint64_t rate_bytes_base, rate_since_ms;
};

struct uvio_call {
    struct net_call call; /* first */
    struct uvio_stream s;
    const struct net_call_events *events;
    void *user;
    struct uvio_peer *peer; /* while waiting */
    struct id peer_id;
    struct net_request request; /* path and body are these: */
    char *path;                 /* owned */
    struct slice *body;         /* owned array of borrowed bytes */
    struct buf own_body;        /* of an introduction */
    bool responded, retried;
    struct errmsg msg;
};

struct uvio_exchange {
    struct net_exchange x; /* first */
    struct uvio_stream s;
    struct net_incoming incoming;
    char *path; /* owned */
    bool replied, sending;
    struct list unsent_link;
    uint64_t unsent_mark; /* conn->produced_bytes that must be sent; UINT64_MAX: not known yet */
};

static inline struct uvio_net *uvio_net_of(struct net *net)
{
    return (struct uvio_net *)net;
}

static inline struct uvio_call *uvio_call_of(struct uvio_stream *s)
{
    return container_of(s, struct uvio_call, s);
}

static inline struct uvio_exchange *uvio_exchange_of(struct uvio_stream *s)
{
    return container_of(s, struct uvio_exchange, s);
}

static inline uint64_t uvio_now_ms(const struct uvio_net *net)
{
    return clock_mono_ms(&net->io->clock);
}

/* net: something is due at the end of the turn */
void uvio_net_due(struct uvio_net *net);
void uvio_net_dirty(struct uvio_conn *conn);
/* a handle or request of the net's has called back for the last time */
void uvio_net_released(struct uvio_net *net);
void uvio_net_held(struct uvio_net *net, size_t more);
void uvio_net_unheld(struct uvio_net *net, size_t less);
/* shaper: may body bytes go now? If not, the connection is flushed again later. */
bool uvio_net_may_send(struct uvio_conn *conn, size_t size);
struct buf uvio_net_buffer(struct uvio_net *net);
void uvio_net_buffer_back(struct uvio_net *net, struct buf *b);

/* stream */
void uvio_stream_init(struct uvio_stream *s, struct uvio_net *net, bool is_call);
void uvio_stream_attach(struct uvio_stream *s, struct uvio_conn *conn, struct http2_stream *h2);
/* timeouts begin; ERR_NOMEM */
MUST_CHECK enum err uvio_stream_watch(struct uvio_stream *s, uint32_t idle_ms, uint32_t rate_min);
void uvio_stream_took(struct uvio_stream *s, size_t size);   /* a body event of so many bytes */
void uvio_stream_credit(struct uvio_stream *s, size_t size); /* the user gives back */
/* The last event is due; h2 is reset when it is still there. */
void uvio_stream_end(struct uvio_stream *s, enum err e, enum http2_reset_reason reason);
/* Takes it out of its lists before its struct goes; the connection may go with it. */
void uvio_stream_leave(struct uvio_stream *s);

/* call */
extern const struct net_ops uvio_net_ops;
enum err uvio_call_start(struct net *net, const struct net_request *request,
                         const struct net_call_events *events, void *user, struct net_call **out,
                         struct errmsg *msg);
void uvio_call_credit(struct net_call *call, size_t size);
void uvio_call_cancel(struct net_call *call);
/* On an open connection; a failure ends the call. */
void uvio_call_submit(struct uvio_call *call, struct uvio_conn *conn);
void uvio_call_fail(struct uvio_call *call, enum err e, const struct errmsg *msg);
void uvio_call_finish(struct uvio_call *call); /* its on_done, and it is gone */
/* Shows us on `conn`; at the first time the connection opens by it. */
void uvio_call_introduce(struct uvio_conn *conn);
/* We show something else from now on: calls that begin after this wait until the peer has it. */
void uvio_conn_introduce_again(struct uvio_conn *conn);

/* exchange */
void uvio_exchange_credit(struct net_exchange *x, size_t size);
enum err uvio_exchange_reply_start(struct net_exchange *x, unsigned status, uint64_t body_size);
enum err uvio_exchange_reply_write(struct net_exchange *x, struct slice bytes);
void uvio_exchange_abort(struct net_exchange *x);
void uvio_exchange_finish(struct uvio_exchange *x);
/* Those whose last bytes the kernel has now end well. */
void uvio_exchange_sent(struct uvio_conn *conn);

/* events of HTTP/2, by role; `user` is the connection */
extern const struct http2_events uvio_call_http2;
extern const struct http2_events uvio_exchange_http2;

/* conn */
struct uvio_conn *uvio_conn_new(struct uvio_net *net, bool outgoing);
void uvio_conn_accept(struct uvio_net *net);
/* Errors before the attempt has begun; then uvio_peer_opened or uvio_peer_lost follows. */
MUST_CHECK enum err uvio_conn_dial(struct uvio_peer *peer, const struct sockaddr *address,
                                   struct errmsg *msg);
void uvio_conn_flush(struct uvio_conn *conn);
/* All its streams end with `e`; it closes. */
void uvio_conn_break(struct uvio_conn *conn, enum err e, const struct errmsg *msg);
/* Says goodbye; closes when nothing is left on it. */
void uvio_conn_drain(struct uvio_conn *conn);
void uvio_conn_ready(struct uvio_conn *conn);  /* introduced */
void uvio_conn_let_go(struct uvio_conn *conn); /* a stream has left: frees it, or lets it idle */
void uvio_conn_read_again(struct uvio_conn *conn);

/* dial */
MUST_CHECK enum err uvio_peer_get(struct uvio_net *net, const struct id *id,
                                  struct uvio_peer **out);
MUST_CHECK enum err uvio_peer_add_addresses(struct uvio_peer *peer,
                                            const struct net_target *target);
void uvio_peer_dial(struct uvio_peer *peer);
void uvio_peer_opened(struct uvio_peer *peer);
/* Its connection broke or could not be made. */
void uvio_peer_lost(struct uvio_peer *peer, struct uvio_conn *conn, enum err e,
                    const struct errmsg *msg);
/* conn takes no new calls: the next ones dial anew. */
void uvio_peer_forget_conn(struct uvio_peer *peer);
void uvio_peer_release(struct uvio_peer *peer); /* frees it when nobody needs it */
void uvio_peer_break(struct uvio_peer *peer);   /* fails what waits, cancels the lookup */
/* "host:port" or "[v6]:port" taken apart. `host` holds LIMIT_ADDRESS_BYTES. ERR_USAGE. */
MUST_CHECK enum err uvio_address_split(const char *address, char *host, uint16_t *port,
                                       struct errmsg *msg);
bool uvio_address_numeric(const char *host, uint16_t port, struct sockaddr_storage *out);
void uvio_address_text(const struct sockaddr *address, char out[UVIO_NET_ADDRESS_SIZE]);
