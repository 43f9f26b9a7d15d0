#include "swarm/swarm_ask.h"

#include "port/net_body.h"
#include "swarm/swarm_internal.h"
#include "wire/wire_error.h"

#include <stdlib.h>

struct swarm_ask {
    struct swarm *swarm;
    struct swarm_peer *peer;
    struct swarm_addresses *addresses; /* held */
    struct buf body;                   /* owned */
    struct slice sent;
    size_t reply_max;
    struct net_message *message;
    swarm_ask_fn *done;
    void *user;
};

static void ask_free(struct swarm_ask *ask)
{
    swarm_peer_release(ask->addresses);
    buf_free(&ask->body);
    free(ask);
}

static void answered(void *user, enum err e, unsigned status, struct slice body,
                     const struct errmsg *why)
{
    struct swarm_ask *ask = user;
    struct errmsg msg = *why;
    struct slice answer = body;
    char name[SWARM_PEER_NAME_SIZE];
    if (e == ERR_OK && wire_status_failed(status))
        e = wire_error_take(status, body, &answer, &msg);
    else if (e == ERR_OK && body.size > ask->reply_max)
        e = err_say(&msg, ERR_TOO_LARGE, "its answer of %zu bytes is over the limit", body.size);
    swarm_peer_went(ask->swarm, ask->peer, e);
    if (ask->peer->is_coordinator)
        ask->swarm->coordinator_up = ask->peer->failures == 0;
    if (e != ERR_OK)
        err_wrap(&msg, e, "%s", swarm_peer_name(ask->peer, name));
    ask->swarm->operations--;
    ask->done(ask->user, e, answer, &msg);
    ask_free(ask);
}

enum err swarm_ask_start(struct swarm *swarm, struct swarm_peer *peer, enum net_method method,
                         const char *path, struct buf *body, size_t reply_max, swarm_ask_fn *done,
                         void *user, struct swarm_ask **out, struct errmsg *msg)
{
    struct swarm_ask *ask = calloc(1, sizeof(*ask));
    if (!ask) {
        if (body)
            buf_free(body);
        return err_say(msg, ERR_NOMEM, "out of memory");
    }
    *ask = (struct swarm_ask){
        .swarm = swarm, .peer = peer, .reply_max = reply_max, .done = done, .user = user};
    struct net_request request = {.method = method, .path = path, .net_class = NET_OTHER};
    if (body) {
        ask->body = *body;
        *body = BUF_INIT(body->size_max);
        ask->sent = buf_slice(&ask->body);
        request.body = &ask->sent;
        request.body_count = 1;
    }
    ask->addresses = swarm_peer_target(peer, &request.target);
    const size_t body_max = reply_max > WIRE_ERROR_BYTES ? reply_max : WIRE_ERROR_BYTES;
    enum err e =
        net_message_start(swarm->net, &request, body_max, answered, ask, &ask->message, msg);
    if (e != ERR_OK) {
        ask_free(ask);
        return e;
    }
    swarm->operations++;
    if (out)
        *out = ask;
    return ERR_OK;
}

void swarm_ask_cancel(struct swarm_ask *ask)
{
    net_message_cancel(ask->message);
}
