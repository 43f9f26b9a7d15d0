#include "serve/serve_internal.h"

#include "port/net_answer.h"
#include "wire/wire_error.h"
#include "wire/wire_hello.h"

#include <assert.h>
#include <stdlib.h>

/* net_exchange.user of every exchange. */
struct exchange {
    struct serve *serve;
    const struct serve_events *events; /* NULL: refused */
    void *user;
};

static const struct serve_route hello_route = {
    WIRE_HELLO, NET_POST, true, WIRE_HELLO_BYTES, WIRE_ERROR_BYTES, serve_hello,
};

/* --- peers --- */

static void peer_of(const struct net_session *session, struct serve_peer *out)
{
    if (session->user) {
        *out = *(const struct serve_peer *)session->user;
        return;
    }
    *out = (struct serve_peer){.kind = SERVE_STRANGER, .id = session->peer, .slot = UINT32_MAX};
    memcpy(out->key, session->peer_key, sizeof(out->key));
    memcpy(out->address, session->address, sizeof(out->address));
}

static void session_free(void *user)
{
    struct serve_peer *peer = user;
    list_remove(&peer->link);
    free(peer);
}

/* What the hello found is what the connection is from now on. */
static void take_hello(struct serve *serve, const struct serve_request *request)
{
    struct serve_peer *peer = request->session->user;
    if (!peer) {
        peer = calloc(1, sizeof(*peer));
        if (!peer)
            return; /* it stays a stranger, and is told so by its next request */
        list_append(&serve->sessions, &peer->link);
        request->session->user = peer;
        request->session->user_free = session_free;
    }
    const struct list link = peer->link;
    *peer = request->peer;
    peer->link = link;
}

static void take_manifest(struct serve *serve, const struct manifest *m)
{
    list_for_each(node, &serve->sessions)
    {
        struct serve_peer *peer = container_of(node, struct serve_peer, link);
        if (peer->kind == SERVE_DEVICE && id_equal(&peer->account, &m->account))
            serve_set_rights(peer, m);
    }
}

/* --- small requests --- */

static void handle(void *user, struct net_answer *answer)
{
    const struct serve_route *route = user;
    struct serve_request *request = (struct serve_request *)answer->context;
    const bool stranger = request->peer.kind == SERVE_STRANGER;
    struct errmsg msg = {{0}};
    struct buf newer = BUF_INIT(LIMIT_MANIFEST_BYTES);
    request->newer = &newer;
    const enum err e = route->handle(request->serve->options.owner, request,
                                     buf_slice(&answer->body), &answer->reply, &msg);
    answer->status = wire_status(e);
    if (e != ERR_OK) {
        buf_clear(&answer->reply);
        if (stranger && e == ERR_DENIED)
            answer->status = WIRE_STATUS_UNKNOWN_PEER;
        if (wire_error_encode(e, msg.text[0] ? msg.text : err_words(e), buf_slice(&newer),
                              &answer->reply) != ERR_OK)
            buf_clear(&answer->reply);
    }
    request->newer = NULL;
    buf_free(&newer);
}

/* Asking for what is not here is no offence, nor to come with an old manifest or list when there
   are newer ones; to show an old head or a ticket that is over may be one. */
static bool is_usual(const struct wire_path *path, unsigned status)
{
    return status == wire_status(ERR_NOT_FOUND) ||
           (status == wire_status(ERR_STALE) && path &&
            (path->route == WIRE_HELLO || path->route == WIRE_PLACE ||
             path->route == WIRE_MEMBERS));
}

/* Who was refused what stands in the log. `path` NULL: none that there is. */
static void count_refusal(struct serve *serve, const struct serve_peer *peer,
                          const struct wire_path *path, unsigned status, struct slice body)
{
    char what[WIRE_PATH_SIZE];
    struct errmsg msg = {.text = ""};
    serve->refused_count++;
    if (body.size)
        err_ignore(wire_error_take(status, body, NULL, &msg));
    log_say(serve->options.log, is_usual(path, status) ? LOG_DEBUG : LOG_INFO,
            "%s was refused %s (%u)%s%s", serve_peer_text(peer).text,
            path ? wire_path_format(path, what) : "an unknown path", status,
            msg.text[0] ? ": " : "", msg.text);
}

static void after(void *user, struct net_answer *answer)
{
    (void)user;
    struct serve_request *request = (struct serve_request *)answer->context;
    struct serve *serve = request->serve;
    if (request->manifest)
        take_manifest(serve, request->manifest);
    if (request->is_hello && answer->exchange)
        take_hello(serve, request);
    if (request->effect)
        request->effect->apply(serve->options.owner, request->effect);
    manifest_free(request->manifest);
    request->manifest = NULL;
    request->effect = NULL;
    if (answer->status >= 400 && answer->status < 500)
        count_refusal(serve, &request->peer, &request->path, answer->status,
                      buf_slice(&answer->reply));
    if (answer->status >= 500)
        log_say(serve->options.log, LOG_WARN, "a request from %s was answered %u",
                serve_peer_text(&request->peer).text, answer->status);
}

static void gone(void *user)
{
    struct serve *serve = user;
    serve->under_way--;
    if (serve->under_way == 0 && serve->idle)
        serve->idle(serve->options.owner);
}

static void answer_body(void *user, struct slice bytes)
{
    net_answer_on_body(user, bytes);
}

static void answer_body_end(void *user)
{
    net_answer_on_body_end(user);
}

static void answer_writable(void *user)
{
    net_answer_on_writable(user);
}

static void answer_closed(void *user, enum err e)
{
    (void)e;
    net_answer_on_closed(user);
}

static const struct serve_events answer_events = {
    .on_body = answer_body,
    .on_body_end = answer_body_end,
    .on_writable = answer_writable,
    .on_closed = answer_closed,
};

static enum err start_answer(struct serve *serve, const struct serve_peer *peer,
                             const struct serve_route *route, const struct wire_path *path,
                             struct net_exchange *x, const struct net_incoming *incoming,
                             void **out)
{
    static_assert(sizeof(struct serve_request) <= NET_ANSWER_CONTEXT_SIZE, "no room for a request");
    const struct net_answer_how how = {
        .handle = handle,
        .after = after,
        .gone = gone,
        .user = (void *)(uintptr_t)route,
        .gone_user = serve,
        .work = serve->options.work,
        .lane = serve->options.lane,
        .body_max = route->body_max,
        .reply_max = route->reply_max > WIRE_SENTENCE_BYTES + 64 ? route->reply_max
                                                                 : WIRE_SENTENCE_BYTES + 64,
    };
    struct net_answer *answer;
    const enum err e = net_answer_start(x, incoming, &how, &answer);
    if (e != ERR_OK)
        return e;
    serve->under_way++;
    struct serve_request *request = (struct serve_request *)answer->context;
    *request = (struct serve_request){
        .peer = *peer,
        .path = *path,
        .serve = serve,
        .session = incoming->session,
    };
    if (serve->options.prepare)
        serve->options.prepare(serve->options.owner, request);
    *out = answer;
    return ERR_OK;
}

/* --- dispatch --- */

static const struct serve_route *find_route(const struct serve *serve, const struct wire_path *path,
                                            enum net_method method)
{
    if (path->route == WIRE_HELLO && method == NET_POST)
        return &hello_route;
    for (size_t i = 0; i < serve->options.route_count; i++) {
        const struct serve_route *route = &serve->options.routes[i];
        if (route->route == path->route && route->method == method)
            return route;
    }
    return NULL;
}

static enum err start(struct serve *serve, struct exchange *exchange, struct net_exchange *x,
                      const struct net_incoming *incoming)
{
    struct serve_peer peer;
    struct wire_path path;
    enum err e = wire_path_parse(incoming->path, &path);
    if (e != ERR_OK)
        return e;
    if (serve->stopping)
        return ERR_BUSY;
    peer_of(incoming->session, &peer);
    if (serve->options.stream) {
        e = serve->options.stream(serve->options.owner, &peer, x, incoming, &path,
                                  &exchange->events, &exchange->user);
        if (e != ERR_UNSUPPORTED)
            return e;
    }
    const struct serve_route *route = find_route(serve, &path, incoming->method);
    if (!route)
        return ERR_NOT_FOUND;
    if (!route->for_strangers && peer.kind == SERVE_STRANGER)
        return ERR_DENIED;
    exchange->events = &answer_events;
    return start_answer(serve, &peer, route, &path, x, incoming, &exchange->user);
}

/* A short reply without a body. */
static void refuse(struct serve *serve, struct net_exchange *x, const struct net_incoming *incoming,
                   enum err e)
{
    const unsigned status = e == ERR_DENIED ? (unsigned)WIRE_STATUS_UNKNOWN_PEER : wire_status(e);
    struct serve_peer peer;
    struct wire_path path;
    peer_of(incoming->session, &peer);
    const bool known = wire_path_parse(incoming->path, &path) == ERR_OK;
    count_refusal(serve, &peer, known ? &path : NULL, status, slice_of(NULL, 0));
    if (net_reply_start(x, status, 0) != ERR_OK)
        net_exchange_abort(x);
}

static void on_request(void *user, struct net_exchange *x, const struct net_incoming *incoming)
{
    struct serve *serve = user;
    struct exchange *exchange = calloc(1, sizeof(*exchange));
    x->user = exchange;
    if (!exchange) {
        net_exchange_abort(x);
        return;
    }
    exchange->serve = serve;
    const enum err e = start(serve, exchange, x, incoming);
    if (e != ERR_OK) {
        exchange->events = NULL;
        refuse(serve, x, incoming, e);
    }
}

static void on_body(void *user, struct net_exchange *x, struct slice bytes)
{
    (void)user;
    const struct exchange *exchange = x->user;
    if (exchange && exchange->events)
        exchange->events->on_body(exchange->user, bytes);
    else
        net_exchange_credit(x, bytes.size);
}

static void on_body_end(void *user, struct net_exchange *x)
{
    (void)user;
    const struct exchange *exchange = x->user;
    if (exchange && exchange->events)
        exchange->events->on_body_end(exchange->user);
}

static void on_writable(void *user, struct net_exchange *x)
{
    (void)user;
    const struct exchange *exchange = x->user;
    if (exchange && exchange->events)
        exchange->events->on_writable(exchange->user);
}

static void on_closed(void *user, struct net_exchange *x, enum err e)
{
    (void)user;
    struct exchange *exchange = x->user;
    if (exchange && exchange->events)
        exchange->events->on_closed(exchange->user, e);
    free(exchange);
}

static const struct net_service service = {
    .on_request = on_request,
    .on_body = on_body,
    .on_body_end = on_body_end,
    .on_writable = on_writable,
    .on_closed = on_closed,
};

enum err serve_open(const struct serve_options *options, struct serve **out, struct errmsg *msg)
{
    struct serve *serve = calloc(1, sizeof(*serve));
    *out = serve;
    if (!serve)
        return err_say(msg, ERR_NOMEM, "out of memory for a server");
    serve->options = *options;
    list_init(&serve->sessions);
    net_serve(options->net, &service, serve);
    return ERR_OK;
}

void serve_stop(struct serve *serve)
{
    serve->stopping = true;
}

unsigned serve_under_way(const struct serve *serve)
{
    return serve->under_way;
}

void serve_on_idle(struct serve *serve, void (*idle)(void *owner))
{
    serve->idle = idle;
}

uint64_t serve_refused_count(const struct serve *serve)
{
    return serve->refused_count;
}

void serve_close(struct serve *serve)
{
    if (!serve)
        return;
    while (!list_empty(&serve->sessions))
        list_pop(&serve->sessions); /* their connections free them */
    free(serve);
}
