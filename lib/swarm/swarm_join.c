#include "swarm/swarm_join.h"

#include "port/net_body.h"
#include "swarm/swarm_ask.h"
#include "swarm/swarm_internal.h"
#include "wire/wire_cell.h"
#include "wire/wire_error.h"
#include "wire/wire_repair.h"

#include <stdlib.h>

/* ---- join ---- */

struct join {
    struct buf body;
    struct slice sent;
    swarm_join_fn *done;
    void *user;
};

static void join_answered(void *user, enum err e, unsigned status, struct slice body,
                          const struct errmsg *why)
{
    struct join *join = user;
    struct wire_join_reply reply;
    struct errmsg msg = *why;
    if (e == ERR_OK && wire_status_failed(status))
        e = wire_error_take(status, body, NULL, &msg);
    else if (e == ERR_OK && (e = wire_join_reply_decode(body, &reply)) != ERR_OK)
        (void)err_say(&msg, e, "its answer makes no sense: %s", err_words(e));
    if (e != ERR_OK)
        err_wrap(&msg, e, "the coordinator does not let us join");
    join->done(join->user, e, e == ERR_OK ? &reply : NULL, &msg);
    buf_free(&join->body);
    free(join);
}

enum err swarm_join(const struct swarm_join_request *request, swarm_join_fn *done, void *user,
                    struct errmsg *msg)
{
    struct join *join = calloc(1, sizeof(*join));
    if (!join)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *join = (struct join){.body = BUF_INIT(WIRE_JOIN_BYTES), .done = done, .user = user};
    enum err e = wire_join_encode(&request->join, &join->body);
    if (e != ERR_OK) {
        (void)err_say(msg, e, "the request to join cannot be written: %s", err_words(e));
        goto free_join;
    }
    join->sent = buf_slice(&join->body);
    const struct net_request call = {
        .target = {.id = request->coordinator,
                   .addresses = request->addresses,
                   .address_count = request->address_count},
        .method = NET_POST,
        .path = wire_path_plain(WIRE_JOIN),
        .net_class = NET_OTHER,
        .body = &join->sent,
        .body_count = 1,
    };
    e = net_message_start(request->net, &call, WIRE_JOIN_REPLY_BYTES, join_answered, join, NULL,
                          msg);
    if (e == ERR_OK)
        return ERR_OK;
free_join:
    buf_free(&join->body);
    free(join);
    return e;
}

/* ---- claim: the cell signs, the coordinator hears of it ---- */

struct claiming {
    struct swarm *swarm;
    struct buf claim; /* signed by both */
    swarm_claim_fn *done;
    void *user;
};

static void claiming_end(struct claiming *claiming, enum err e, const struct errmsg *msg)
{
    claiming->done(claiming->user, e, buf_slice(&claiming->claim), msg);
    buf_free(&claiming->claim);
    free(claiming);
}

static void coordinator_told(void *user, enum err e, struct slice body, const struct errmsg *why)
{
    (void)body;
    struct errmsg msg = *why;
    if (e != ERR_OK)
        err_wrap(&msg, e, "the cell has signed, and the coordinator could not be told");
    claiming_end(user, e, &msg);
}

static void cell_signed(void *user, enum err e, struct slice body, const struct errmsg *why)
{
    struct claiming *claiming = user;
    struct swarm *swarm = claiming->swarm;
    struct errmsg msg = *why;
    struct buf copy = BUF_INIT(WIRE_CLAIM_BYTES);
    if (e == ERR_OK)
        e = buf_append(&claiming->claim, body.data, body.size);
    if (e == ERR_OK)
        e = buf_append(&copy, body.data, body.size);
    if (e == ERR_OK && !swarm->coordinator)
        e = err_say(&msg, ERR_UNREACHABLE, "the cell has signed, and no coordinator is known");
    if (e == ERR_OK)
        e = swarm_ask_start(swarm, swarm->coordinator, NET_POST, wire_path_plain(WIRE_CLAIMS),
                            &copy, WIRE_CLAIM_BYTES, coordinator_told, claiming, NULL, &msg);
    if (e != ERR_OK) {
        buf_free(&copy);
        claiming_end(claiming, e, &msg);
    }
}

enum err swarm_claim(struct swarm *swarm, const struct id *cell, struct slice claim,
                     struct slice code, swarm_claim_fn *done, void *user, struct errmsg *msg)
{
    struct buf body = BUF_INIT(WIRE_CLAIM_BYTES);
    struct swarm_peer *peer = swarm_peer_get(swarm, cell);
    struct claiming *claiming = calloc(1, sizeof(*claiming));
    enum err e = peer && claiming ? ERR_OK : err_say(msg, ERR_NOMEM, "out of memory");
    if (e == ERR_OK) {
        *claiming = (struct claiming){
            .swarm = swarm, .claim = BUF_INIT(WIRE_CLAIM_BYTES), .done = done, .user = user};
        e = wire_claim_encode(&(struct wire_claim){.claim = claim, .code = code}, &body);
        if (e != ERR_OK)
            (void)err_say(msg, e, "the claim cannot be sent: %s",
                          e == ERR_FORMAT ? "the code is not text" : err_words(e));
    }
    if (e == ERR_OK)
        e = swarm_ask_start(swarm, peer, NET_POST, wire_path_plain(WIRE_CLAIM), &body,
                            WIRE_CLAIM_BYTES, cell_signed, claiming, NULL, msg);
    if (e != ERR_OK) {
        buf_free(&body);
        free(claiming);
    }
    return e;
}

/* ---- away ---- */

struct away {
    swarm_done_fn *done;
    void *user;
};

static void away_answered(void *user, enum err e, struct slice body, const struct errmsg *msg)
{
    struct away *away = user;
    (void)body;
    away->done(away->user, e, msg);
    free(away);
}

enum err swarm_away(struct swarm *swarm, const struct id *cell, int64_t until_s,
                    swarm_done_fn *done, void *user, struct errmsg *msg)
{
    struct buf body = BUF_INIT(WIRE_AWAY_BYTES);
    struct away *away = calloc(1, sizeof(*away));
    if (!away)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *away = (struct away){.done = done, .user = user};
    enum err e = wire_away_encode(cell, until_s, &body);
    if (e != ERR_OK)
        (void)err_say(msg, e, "the absence cannot be written: %s", err_words(e));
    else if (!swarm->coordinator)
        e = err_say(msg, ERR_UNREACHABLE, "no coordinator is known, which is who has to know");
    if (e == ERR_OK)
        e = swarm_ask_start(swarm, swarm->coordinator, NET_POST, wire_path_plain(WIRE_AWAY), &body,
                            4096, away_answered, away, NULL, msg);
    if (e != ERR_OK) {
        buf_free(&body);
        free(away);
    }
    return e;
}
