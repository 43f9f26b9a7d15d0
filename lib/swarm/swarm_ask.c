#include "swarm/swarm_ask.h"

#include "port/net_body.h"
#include "swarm/swarm_internal.h"
#include "wire/wire_error.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    AGAIN_TRIES = 4,
    AGAIN_MS = 100, /* then twice as long each time */
};

struct swarm_ask {
    struct swarm *swarm;
    struct swarm_peer *peer;
    struct swarm_addresses *addresses; /* held */
    enum net_method method;
    char path[WIRE_PATH_SIZE];
    struct buf body; /* owned */
    struct slice sent;
    bool has_body;
    size_t reply_max;
    struct net_message *message; /* under way; NULL: waiting to ask again */
    struct timer again;
    unsigned tries;
    bool cancelled;
    swarm_ask_fn *done;
    void *user;
};

static void ask_free(struct swarm_ask *ask)
{
    swarm_peer_release(ask->addresses);
    buf_free(&ask->body);
    free(ask);
}

static void ask_end(struct swarm_ask *ask, enum err e, struct slice answer, struct errmsg *msg)
{
    char name[SWARM_PEER_NAME_SIZE];
    swarm_peer_went(ask->swarm, ask->peer, e);
    if (ask->peer->is_coordinator)
        ask->swarm->coordinator_up = ask->peer->failures == 0;
    if (e != ERR_OK)
        err_wrap(msg, e, "%s", swarm_peer_name(ask->peer, name));
    ask->swarm->operations--;
    ask->done(ask->user, e, answer, msg);
    ask_free(ask);
}

/* On a connection that was there before we introduced ourselves (we joined over it) a question can
   overtake the hello that the port sent: the peer does not know us yet. */
static bool ask_again(struct swarm_ask *ask, unsigned status)
{
    if (status != WIRE_STATUS_UNKNOWN_PEER || !ask->swarm->introduced || ask->tries >= AGAIN_TRIES)
        return false;
    ask->message = NULL;
    return timer_start(ask->swarm->clock, &ask->again, (uint64_t)AGAIN_MS << ask->tries++) ==
           ERR_OK;
}

static void answered(void *user, enum err e, unsigned status, struct slice body,
                     const struct errmsg *why)
{
    struct swarm_ask *ask = user;
    struct errmsg msg = *why;
    struct slice answer = body;
    if (e == ERR_OK && ask_again(ask, status))
        return;
    if (e == ERR_OK && wire_status_failed(status))
        e = wire_error_take(status, body, &answer, &msg);
    else if (e == ERR_OK && body.size > ask->reply_max)
        e = err_say(&msg, ERR_TOO_LARGE, "its answer of %zu bytes is over the limit", body.size);
    ask_end(ask, e, answer, &msg);
}

static enum err ask_send(struct swarm_ask *ask, struct errmsg *msg)
{
    const size_t body_max = ask->reply_max > WIRE_ERROR_BYTES ? ask->reply_max : WIRE_ERROR_BYTES;
    struct net_request request = {.method = ask->method,
                                  .path = ask->path,
                                  .net_class = NET_OTHER,
                                  .body = &ask->sent,
                                  .body_count = ask->has_body};
    swarm_peer_release(ask->addresses);
    ask->addresses = swarm_peer_target(ask->peer, &request.target);
    return net_message_start(ask->swarm->net, &request, body_max, answered, ask, &ask->message,
                             msg);
}

static void send_again(struct timer *timer)
{
    struct swarm_ask *ask = container_of(timer, struct swarm_ask, again);
    struct errmsg msg;
    const enum err e =
        ask->cancelled ? err_say(&msg, ERR_CANCELLED, "cancelled") : ask_send(ask, &msg);
    if (e != ERR_OK)
        ask_end(ask, e, slice_of(NULL, 0), &msg);
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
    *ask = (struct swarm_ask){.swarm = swarm,
                              .peer = peer,
                              .method = method,
                              .has_body = body != NULL,
                              .reply_max = reply_max,
                              .again = {.fire = send_again},
                              .done = done,
                              .user = user};
    snprintf(ask->path, sizeof(ask->path), "%s", path);
    if (body) {
        ask->body = *body;
        *body = BUF_INIT(body->size_max);
        ask->sent = buf_slice(&ask->body);
    }
    const enum err e = ask_send(ask, msg);
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
    ask->cancelled = true;
    if (ask->message)
        net_message_cancel(ask->message);
    else
        (void)!timer_start(ask->swarm->clock, &ask->again, 0);
}
