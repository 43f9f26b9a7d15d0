/*
 * Requests come in here: who asks, for what, and which file answers.
 *
 * Every path and method stands in the table below with what a peer must have shown first. Shards go
 * to cell_put.c and cell_get.c, everything else is a small request that a handler answers on the
 * store's lane (port/net_answer.h).
 */
#include "cell_internal.h"

#include "wire/wire_cell.h"
#include "wire/wire_error.h"
#include "wire/wire_heads.h"
#include "wire/wire_hello.h"
#include "wire/wire_ids.h"
#include "wire/wire_shard.h"

#include <assert.h>
#include <stdlib.h>

/* net_exchange.user of every exchange. */
struct exchange {
    struct cell *cell;
    const struct cell_exchange_events *events;
    void *user;
};

static const struct route {
    enum wire_route route;
    enum net_method method;
    bool for_strangers; /* answered before any hello */
    size_t body_max, reply_max;
    cell_query_fn *handle;
} routes[] = {
    {WIRE_HELLO, NET_POST, true, WIRE_HELLO_BYTES, WIRE_ERROR_BYTES, cell_hello},
    {WIRE_INFO, NET_GET, true, 0, WIRE_INFO_BYTES, cell_info},
    {WIRE_MEMBERS, NET_GET, true, 0, LIMIT_MEMBER_LIST_BYTES, cell_members},
    {WIRE_HEADS, NET_GET, false, 0, WIRE_HEADS_BYTES, cell_heads_get},
    {WIRE_HEADS, NET_PUT, false, WIRE_HEADS_BYTES, WIRE_ERROR_BYTES, cell_heads_put},
    {WIRE_SEGMENT, NET_GET, false, 0, WIRE_SEGMENT_REPLY_BYTES, cell_segment},
    {WIRE_HAVE, NET_POST, false, WIRE_HAVE_BYTES, WIRE_HAVE_REPLY_BYTES, cell_have},
    {WIRE_ACCOUNT_SHARDS, NET_GET, false, 0, WIRE_NAMES_BYTES, cell_account_shards},
    {WIRE_CLAIM, NET_POST, false, WIRE_CLAIM_BYTES, WIRE_CLAIM_BYTES, cell_claim},
    {WIRE_STATE, NET_GET, false, 0, WIRE_STATE_BYTES, cell_state},
};

static const struct cell_peer *peer_of(struct cell *cell, struct net_session *session,
                                       struct cell_peer *stranger)
{
    if (session->user)
        return session->user;
    (void)cell;
    *stranger = (struct cell_peer){.kind = CELL_PEER_UNKNOWN, .id = session->peer};
    memcpy(stranger->key, session->peer_key, sizeof(stranger->key));
    stranger->near_us = cell_address_is_near(session->address);
    memcpy(stranger->address, session->address, sizeof(stranger->address));
    return stranger;
}

/* A short reply without a handler. */
static void refuse(struct cell *cell, struct net_exchange *x, unsigned status)
{
    cell->counters.refused_count++;
    if (net_reply_start(x, status, 0) != ERR_OK)
        net_exchange_abort(x);
}

/* --- small requests --- */

static void handle(void *user, struct net_answer *answer)
{
    struct cell_query *query = (struct cell_query *)answer->context;
    const struct route *route = user;
    struct errmsg msg = {{0}};
    struct buf newer = BUF_INIT(LIMIT_MANIFEST_BYTES);
    query->newer = &newer;
    const enum err e = route->handle(query, buf_slice(&answer->body), &answer->reply, &msg);
    answer->status = wire_status(e);
    if (e != ERR_OK) {
        buf_clear(&answer->reply);
        if (query->peer.kind == CELL_PEER_UNKNOWN && e == ERR_DENIED)
            answer->status = WIRE_STATUS_UNKNOWN_PEER;
        if (wire_error_encode(e, msg.text[0] ? msg.text : err_words(e), buf_slice(&newer),
                              &answer->reply) != ERR_OK)
            buf_clear(&answer->reply);
    }
    buf_free(&newer);
}

static void after(void *user, struct net_answer *answer)
{
    (void)user;
    struct cell_query *query = (struct cell_query *)answer->context;
    struct cell *cell = query->cell;
    if (query->effect)
        query->effect->apply(cell, query, query->effect, answer->exchange != NULL);
    query->effect = NULL;
    if (answer->status >= 400 && answer->status < 500)
        cell->counters.refused_count++;
    if (answer->status == 500 || answer->status == 507)
        log_say(cell->options.log, LOG_WARN, "a request from %s was answered %u",
                cell_peer_text(&query->peer).text, answer->status);
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

static const struct cell_exchange_events answer_events = {
    .on_body = answer_body,
    .on_body_end = answer_body_end,
    .on_writable = answer_writable,
    .on_closed = answer_closed,
};

static void answer_gone(void *user)
{
    cell_work_ended(user);
}

static enum err start_answer(struct cell *cell, const struct cell_peer *peer,
                             const struct route *route, const struct wire_path *path,
                             struct net_exchange *x, const struct net_incoming *request, void **out)
{
    static_assert(sizeof(struct cell_query) <= NET_ANSWER_CONTEXT_SIZE, "no room for a query");
    const struct net_answer_how how = {
        .handle = handle,
        .after = after,
        .gone = answer_gone,
        .user = (void *)(uintptr_t)route,
        .gone_user = cell,
        .work = cell->options.work,
        .lane = cell->options.lane,
        .body_max = route->body_max,
        .reply_max = route->reply_max,
    };
    struct net_answer *answer;
    const enum err e = net_answer_start(x, request, &how, &answer);
    if (e != ERR_OK)
        return e;
    cell_work_began(cell);
    struct cell_query *query = (struct cell_query *)answer->context;
    *query = (struct cell_query){
        .cell = cell,
        .peer = *peer,
        .view = cell_view_now(cell),
        .path = *path,
        .session = request->session,
    };
    *out = answer;
    return ERR_OK;
}

/* --- dispatch --- */

static enum err start(struct cell *cell, struct exchange *exchange, struct net_exchange *x,
                      const struct net_incoming *request, const struct wire_path *path)
{
    struct cell_peer stranger;
    const struct cell_peer *peer = peer_of(cell, request->session, &stranger);
    if (path->route == WIRE_SHARD && request->method == NET_PUT) {
        exchange->events = &cell_put_events;
        return cell_put_start(cell, peer, x, request, &path->id, path->index, &exchange->user);
    }
    if (path->route == WIRE_SHARD && (request->method == NET_GET || request->method == NET_HEAD)) {
        exchange->events = &cell_get_events;
        return cell_get_start(cell, peer, x, request, &path->id, path->index, &exchange->user);
    }
    for (size_t i = 0; i < ARRAY_COUNT(routes); i++) {
        if (routes[i].route != path->route || routes[i].method != request->method)
            continue;
        if (!routes[i].for_strangers && peer->kind == CELL_PEER_UNKNOWN)
            return ERR_DENIED;
        exchange->events = &answer_events;
        return start_answer(cell, peer, &routes[i], path, x, request, &exchange->user);
    }
    return ERR_NOT_FOUND;
}

static void on_request(void *user, struct net_exchange *x, const struct net_incoming *request)
{
    struct cell *cell = user;
    struct wire_path path;
    enum err e = wire_path_parse(request->path, &path);
    struct exchange *exchange = calloc(1, sizeof(*exchange));
    if (!exchange) {
        net_exchange_abort(x);
        return;
    }
    exchange->cell = cell;
    x->user = exchange;
    if (e == ERR_OK)
        e = cell->stopping ? ERR_BUSY : start(cell, exchange, x, request, &path);
    if (e != ERR_OK) {
        exchange->events = NULL;
        refuse(cell, x, e == ERR_DENIED ? WIRE_STATUS_UNKNOWN_PEER : wire_status(e));
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

const struct net_service cell_service = {
    .on_request = on_request,
    .on_body = on_body,
    .on_body_end = on_body_end,
    .on_writable = on_writable,
    .on_closed = on_closed,
};
