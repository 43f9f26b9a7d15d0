/*
 * The server's side of both protocols: who asks, may he ask at all, which handler answers. What
 * celld and coordinatord have in common; the client's side is swarm/.
 *
 *     serve_open(&options, &serve, msg)      answers requests from now on (net_serve)
 *     serve_stop(serve); ... serve_close()   when the owner's last exchange has ended
 *
 * Every path and method that is answered stands in the owner's table of routes. A handler runs on
 * the owner's lane with the whole body at hand and fills the reply; an error that it returns
 * becomes a status and an error body (wire/wire_error.h). It may touch nothing that belongs to the
 * loop: what it needs from there is copied into request->context when the request comes
 * (`prepare`), and what it found out for the loop goes there by an effect.
 *
 * Hello is answered here. Each connection is a peer: a stranger until its hello has verified. When
 * a newer manifest of an account is met, what the account's other connections may do follows it.
 */
#pragma once

#include "base/list.h"
#include "base/log.h"
#include "db/db.h"
#include "identity/manifest.h"
#include "port/net.h"
#include "port/work.h"
#include "wire/wire_path.h"

struct serve;

enum serve_kind {
    SERVE_STRANGER, /* no hello yet */
    SERVE_DEVICE,   /* of an account, by its manifest */
    SERVE_ROOT,     /* a device that the account's root certified, before any manifest names it */
    SERVE_CELL,
    SERVE_COORDINATOR,
};

struct serve_peer {
    enum serve_kind kind;
    struct id id;          /* of its TLS key */
    uint8_t key[32];       /* that key */
    struct id account;     /* DEVICE, ROOT */
    uint32_t slot;         /* DEVICE: in the manifest; else UINT32_MAX */
    unsigned capabilities; /* identity/manifest.h's bits */
    char address[64];      /* where it comes from */
    struct list link;      /* private */
};

enum { SERVE_CONTEXT_SIZE = 192 };

/* What a handler found and the loop must take up. `apply` frees it. */
struct serve_effect {
    void (*apply)(void *owner, struct serve_effect *effect);
};

/* One small request, as its handler sees it. */
struct serve_request {
    struct serve_peer peer;
    struct wire_path path;
    _Alignas(16) unsigned char context[SERVE_CONTEXT_SIZE]; /* `prepare` fills it */
    struct buf *newer;           /* for the newer document, before ERR_STALE is returned */
    struct manifest *manifest;   /* owned: a handler leaves the newest one of an account here */
    struct serve_effect *effect; /* owned; may be NULL */
    /* private from here on */
    struct serve *serve;
    struct net_session *session;
    bool is_hello;
};

typedef enum err serve_fn(void *owner, struct serve_request *request, struct slice body,
                          struct buf *reply, struct errmsg *msg);

struct serve_route {
    enum wire_route route;
    enum net_method method;
    bool for_strangers; /* answered before any hello */
    size_t body_max, reply_max;
    serve_fn *handle;
};

/* An exchange that the owner handles by itself, as shards are. */
struct serve_events {
    void (*on_body)(void *user, struct slice bytes);
    void (*on_body_end)(void *user);
    void (*on_writable)(void *user);
    void (*on_closed)(void *user, enum err e);
};

struct serve_options {
    struct net *net; /* all borrowed until serve_close */
    const struct work *work;
    struct work_lane *lane;
    struct db *db; /* with documents/'s tables; used on the lane */
    const struct log *log;
    const struct swarm_root *swarm;
    void *owner;
    const struct serve_route *routes;
    size_t route_count;

    const char *redundancy; /* what a device that joins is told; NULL: nothing */

    /* Loop: fills request->context. May be NULL. */
    void (*prepare)(void *owner, struct serve_request *request);
    /* Loop: takes the exchange over (ERR_OK, *events and *user set; on_closed is the last that it
       hears), or ERR_UNSUPPORTED: not one of its own. May be NULL. */
    enum err (*stream)(void *owner, const struct serve_peer *peer, struct net_exchange *x,
                       const struct net_incoming *request, const struct wire_path *path,
                       const struct serve_events **events, void **user);

    /* Lane: is this coordinator's incarnation not an old one? May be NULL: every one is taken. */
    enum err (*check_coordinator)(void *owner, struct serve_request *request, uint32_t incarnation,
                                  struct errmsg *msg);
    /* Lane: may devices of this account come in at all? May be NULL: all may. */
    enum err (*check_account)(void *owner, const struct id *account, struct errmsg *msg);
    /* Lane: what a hello is answered with. */
    void (*describe)(void *owner, const struct serve_request *request, uint64_t *list_number,
                     int64_t *time_s);
};

MUST_CHECK enum err serve_open(const struct serve_options *options, struct serve **out,
                               struct errmsg *msg);
/* New requests are refused with 503 from now on. */
void serve_stop(struct serve *serve);
/* Small requests whose handlers still run or whose replies are on their way. */
unsigned serve_under_way(const struct serve *serve);
/* `idle` runs whenever that number falls to 0. */
void serve_on_idle(struct serve *serve, void (*idle)(void *owner));
/* Connections must have ended (the net closed), or be told nothing more. NULL does nothing. */
void serve_close(struct serve *serve);

uint64_t serve_refused_count(const struct serve *serve); /* answers of 400 to 499 so far */

/* "device abc… at 192.168.1.7:4711", for logs. */
struct serve_peer_text {
    char text[192];
};
struct serve_peer_text serve_peer_text(const struct serve_peer *peer);

/* Is "ip:port" this machine's own address or a private one (RFC 1918, RFC 4193, link-local)? */
bool serve_address_is_near(const char *address);

/* --- documents that both daemons keep for accounts: lane --- */

/* The newest manifest of `account` that is kept here, also as its bytes (appended to `doc`, may be
   NULL). *out is owned by the caller; NULL when none is known, which is no error. */
MUST_CHECK enum err serve_manifest_load(struct serve *serve, const struct id *account,
                                        struct buf *doc, struct manifest **out, struct errmsg *msg);
/* The ID that a replaced root's successor would give stands for the account's: `id` becomes that.
 */
MUST_CHECK enum err serve_account_of(struct serve *serve, struct id *id, struct errmsg *msg);
/* Keeps a verified manifest when it may follow the one that is known; ERR_STALE with the newer
   document appended to `newer`. */
MUST_CHECK enum err serve_manifest_keep(struct serve *serve, const struct manifest *m,
                                        struct slice doc, struct buf *newer, struct errmsg *msg);
/* Handlers for GET and PUT of /v1/heads/{account}. */
serve_fn serve_heads_get, serve_heads_put;
/* Handlers for POST (for strangers too) and GET of /v1/devices/{account}. */
serve_fn serve_devices_post, serve_devices_get;

/* --- rights that both daemons ask about --- */

/* A device (or the root) of this account? */
bool serve_is_of(const struct serve_peer *peer, const struct id *account);
/* Of the account, or the coordinator; else ERR_DENIED with a sentence. */
MUST_CHECK enum err serve_may_look(const struct serve_peer *peer, const struct id *account,
                                   struct errmsg *msg);
/* The sentence of a refusal: "the peer may not <what>". Returns ERR_DENIED. */
enum err serve_deny(const struct serve_peer *peer, struct errmsg *msg, const char *what);
