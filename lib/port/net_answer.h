/*
 * The server's side of a small request: collects the body (up to a limit), has it answered on a
 * lane, sends the reply. The twin of net_body.h; every CBOR message goes this way, shards do not.
 *
 *     on_request    e = net_answer_start(x, &how, &answer);   x->user = answer
 *     on_body ...   net_answer_on_body(answer, bytes), and so on for the other events
 *
 * `how.handle` runs in a job of `how.lane` once the body is whole: it reads answer->body, sets
 * answer->status and fills answer->reply. It may touch nothing that belongs to the loop; what it
 * needs of the session must have been copied into answer->context before.
 * Then `how.after` (may be NULL) runs on the loop before the reply leaves, also when the peer has
 * gone meanwhile: there the program takes up what the handler found. The exchange must not be used
 * for anything else.
 */
#pragma once

#include "base/buf.h"
#include "port/net.h"
#include "port/work.h"

enum { NET_ANSWER_CONTEXT_SIZE = 1024 };

struct net_answer;

struct net_answer_how {
    void (*handle)(void *user, struct net_answer *answer); /* on the lane */
    void (*after)(void *user, struct net_answer *answer);  /* on the loop; may be NULL */
    void (*gone)(void *gone_user); /* on the loop, the last thing that happens; may be NULL */
    void *user, *gone_user;
    const struct work *work;
    struct work_lane *lane;
    size_t body_max;  /* a longer body is refused with 413 before it is read */
    size_t reply_max; /* limit of answer->reply */
};

struct net_answer {
    struct buf body;  /* public: the request's */
    struct buf reply; /* public */
    unsigned status;  /* public: 500 when the handler leaves it */
    _Alignas(16) unsigned char context[NET_ANSWER_CONTEXT_SIZE]; /* public: the caller's */
    struct net_answer_how how;                                   /* private from here on */
    struct net_exchange *exchange;                               /* NULL once it has closed */
    struct work_job job;
    bool submitted, finished, refused;
};

/* Owned by itself: it is gone once the exchange has closed and the job has ended. ERR_NOMEM:
   nothing was started, the caller aborts the exchange. */
MUST_CHECK enum err net_answer_start(struct net_exchange *x, const struct net_incoming *request,
                                     const struct net_answer_how *how, struct net_answer **out);

void net_answer_on_body(struct net_answer *answer, struct slice bytes);
void net_answer_on_body_end(struct net_answer *answer);
void net_answer_on_writable(struct net_answer *answer);
void net_answer_on_closed(struct net_answer *answer);
