/*
 * The network: requests and responses between two identities. Whoever implements this port owns the
 * connections, TLS, HTTP/2, flow control and the process's byte budget; whoever uses it sees none
 * of them.
 *
 * All of it runs on the loop thread. A peer is named by its ID (SHA-256 of its public key); a peer
 * with another key than the dialled one is refused before a byte of a request moves
 * (ERR_WRONG_PEER).
 *
 * Client
 *     struct net_call *call;
 *     e = net_call_start(net, &request, &my_events, user, &call, msg);
 *   An error return means that no event follows. After ERR_OK: on_response at most once, then
 * on_body zero or more times, then on_done exactly once, never before net_call_start has returned;
 * `call` is gone when on_done returns. net_call_cancel() makes on_done(ERR_CANCELLED) follow (not
 * from inside the cancel).
 *
 * Server
 *     on_request -> (on_body ...) -> on_body_end -> on_writable ... -> on_closed
 *   on_closed comes exactly once for every on_request, and is the last event of the exchange; after
 * it the exchange is gone. A reply may be started at any time after on_request, also before the
 * body has ended (an early refusal: the rest of the body is then thrown away by the port).
 *
 * Credit: a body event hands over at most 64 KiB, which count against the budget until *_credit()
 * gives them back (the bytes themselves are valid during the event only). A receiver that never
 * credits stops its own stream, and nobody else's, after NET_WINDOW_BYTES.
 *
 * Timeouts: there is no absolute deadline. A request fails with ERR_TIMEOUT when nothing moved for
 * its idle time, or when it moved less than `rate_min_bytes_s` over the last idle time;
 * ERR_UNREACHABLE when no address could be connected to.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"
#include "base/id.h"

enum { NET_WINDOW_BYTES = 1 << 20, NET_IDLE_DEFAULT_MS = 30000, NET_RATE_MIN_DEFAULT = 256 };

/* What the bytes are for; the shaper serves lower numbers first. */
enum net_class { NET_RESTORE, NET_BACKUP, NET_REPAIR, NET_OTHER, NET_CLASS_COUNT };

enum net_method { NET_GET, NET_PUT, NET_POST, NET_HEAD, NET_DELETE };

struct net_target {
    struct id id;                 /* the peer's ID; must match its key */
    const char *const *addresses; /* borrowed until on_done; "host:port", tried in order */
    size_t address_count;         /* may be 0 when a connection to the peer is already there */
};

struct net_request {
    struct net_target target;
    enum net_method method;
    const char *path; /* "/v1/…", copied */
    enum net_class net_class;
    const struct slice *body; /* gathered in order; array copied, bytes borrowed until on_done */
    size_t body_count;
    /* leaves wanted of a shard: sent as "cellar-leaves: first-count"; count 0 = no such header */
    uint32_t leaf_first;
    uint32_t leaf_count;
    uint32_t idle_timeout_ms;  /* 0: NET_IDLE_DEFAULT_MS */
    uint32_t rate_min_bytes_s; /* 0: NET_RATE_MIN_DEFAULT */
};

struct net;
struct net_call;
struct net_exchange;

struct net_call_events {
    /* body_size: announced length of the response's body, UINT64_MAX when not announced */
    void (*on_response)(void *user, struct net_call *call, unsigned status, uint64_t body_size);
    void (*on_body)(void *user, struct net_call *call, struct slice bytes);
    /* ERR_OK when the whole response is here, whatever its status; `msg` is never NULL */
    void (*on_done)(void *user, struct net_call *call, enum err e, const struct errmsg *msg);
};

/* What a server knows of a request; borrowed until on_closed. */
struct net_incoming {
    struct net_session *session; /* of the connection */
    enum net_method method;
    const char *path;
    uint64_t body_size; /* announced; UINT64_MAX when not */
    uint32_t leaf_first, leaf_count;
};

/* One authenticated connection. Services hang what the peer showed once (certificate) on `user`. */
struct net_session {
    struct id peer;                /* ID of the peer's key */
    uint8_t peer_key[32];          /* its Ed25519 public key */
    void *user;                    /* the service's; NULL at first */
    void (*user_free)(void *user); /* called when the connection ends; may be NULL */
    char address[64];              /* where it comes from, for logs */
};

struct net_service {
    void (*on_request)(void *user, struct net_exchange *x, const struct net_incoming *request);
    void (*on_body)(void *user, struct net_exchange *x, struct slice bytes);
    void (*on_body_end)(void *user, struct net_exchange *x);
    /* The bytes of the last net_reply_write are with the port, which takes more. Never called
       before net_reply_start. */
    void (*on_writable)(void *user, struct net_exchange *x);
    /* ERR_OK: the whole reply was handed to the kernel. Else the exchange broke. */
    void (*on_closed)(void *user, struct net_exchange *x, enum err e);
};

struct net_ops {
    enum err (*call_start)(struct net *net, const struct net_request *request,
                           const struct net_call_events *events, void *user, struct net_call **out,
                           struct errmsg *msg);
    void (*call_credit)(struct net_call *call, size_t size);
    void (*call_cancel)(struct net_call *call);
    void (*exchange_credit)(struct net_exchange *x, size_t size);
    enum err (*reply_start)(struct net_exchange *x, unsigned status, uint64_t body_size);
    enum err (*reply_write)(struct net_exchange *x, struct slice bytes);
    void (*exchange_abort)(struct net_exchange *x);
    void (*serve)(struct net *net, const struct net_service *service, void *user);
    enum err (*introduce)(struct net *net, const char *path, struct slice bytes);
};

/* An implementation embeds these structs first in its own. */
struct net {
    const struct net_ops *ops;
    struct id self; /* this process's ID */
};

struct net_call {
    const struct net_ops *ops;
};

struct net_exchange {
    const struct net_ops *ops;
    void *user; /* the service's own state of this exchange; NULL at first */
};

MUST_CHECK static inline enum err net_call_start(struct net *net, const struct net_request *request,
                                                 const struct net_call_events *events, void *user,
                                                 struct net_call **out, struct errmsg *msg)
{
    return net->ops->call_start(net, request, events, user, out, msg);
}

/* Gives `size` delivered body bytes back. */
static inline void net_call_credit(struct net_call *call, size_t size)
{
    call->ops->call_credit(call, size);
}

static inline void net_call_cancel(struct net_call *call)
{
    call->ops->call_cancel(call);
}

static inline void net_exchange_credit(struct net_exchange *x, size_t size)
{
    x->ops->exchange_credit(x, size);
}

/* Status and exact body size (0: the reply is complete, no write follows). Once an exchange. */
MUST_CHECK static inline enum err net_reply_start(struct net_exchange *x, unsigned status,
                                                  uint64_t body_size)
{
    return x->ops->reply_start(x, status, body_size);
}

/* The next bytes of the body, copied by the port or kept until on_writable: `bytes` must stay valid
   until then (or on_closed). One write at a time; the reply ends by itself after body_size bytes.
 */
MUST_CHECK static inline enum err net_reply_write(struct net_exchange *x, struct slice bytes)
{
    return x->ops->reply_write(x, bytes);
}

/* Breaks the exchange off; on_closed follows, not from inside this call. */
static inline void net_exchange_abort(struct net_exchange *x)
{
    x->ops->exchange_abort(x);
}

/* Who answers incoming requests. Once, before the first one can arrive. */
static inline void net_serve(struct net *net, const struct net_service *service, void *user)
{
    net->ops->serve(net, service, user);
}

/* What this process shows of itself, once, first thing on every connection that it dials: `bytes`
   (copied) are POSTed to `path`, and other requests follow only after a 2xx; any other status fails
   them with ERR_DENIED. Called again (a new manifest), it is posted on the open connections too. */
MUST_CHECK static inline enum err net_introduce(struct net *net, const char *path,
                                                struct slice bytes)
{
    return net->ops->introduce(net, path, bytes);
}
