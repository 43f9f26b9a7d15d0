/*
 * Heads and manifest of an account: with the coordinator and with the first SWARM_HEADS_CELLS cells
 * in the account's rendezvous order outside its own domains.
 *
 * This room carries the documents; whoever asks verifies them and takes the highest.
 */
#pragma once

#include "swarm/swarm.h"
#include "wire/wire_heads.h"

/* What one peer holds; borrowed during the call. */
typedef void swarm_heads_fn(void *user, const struct id *peer, struct wire_heads *heads);

struct swarm_heads_result {
    uint32_t asked;    /* peers, the coordinator included */
    uint32_t answered; /* get: said something or that they have nothing; put: stored it durably */
    uint32_t domains;  /* put: failure domains among those that stored it */
    uint32_t needed;   /* put: domains that make a commitment */
    uint32_t stale;    /* put: peers that hold something newer (told by `newer`) */
};

typedef void swarm_heads_done_fn(void *user, enum err e, const struct swarm_heads_result *result,
                                 const struct errmsg *msg);

struct swarm_heads;

/* Asks all of them; ends when all have answered or failed, or SWARM_HEADS_PATIENCE_MS after most
   have. ERR_UNREACHABLE when nobody answered; ERR_DENIED, ERR_STALE when all that were reached
   refused us. */
enum { SWARM_HEADS_PATIENCE_MS = 10000 };
MUST_CHECK enum err swarm_heads_get(struct swarm *swarm, const struct id *account,
                                    swarm_heads_fn *each, swarm_heads_done_fn *done, void *user,
                                    struct swarm_heads **out, struct errmsg *msg);

/* A newer manifest or head that a peer holds; borrowed during the call. */
typedef void swarm_newer_fn(void *user, const struct id *peer, struct slice document);

struct swarm_heads_put {
    struct id account;
    struct slice manifest;     /* document; may be empty. These are copied */
    const struct slice *heads; /* documents */
    size_t head_count;
    unsigned losses; /* m: commitment takes acknowledgements from m + 1 domains, or from all, when
                        there are fewer */
    bool coordinator_first; /* the others get it only when the coordinator took it, or cannot be
                               had: of two that change one thing at once, one comes too late */
    swarm_newer_fn *newer;  /* may be NULL */
    swarm_heads_done_fn *done;
    void *user;
};

/* The coordinator counts as a domain. ERR_OK: committed. ERR_STALE: somebody holds something newer,
   or nobody took it because another one of that number is there.
   ERR_NOT_ENOUGH: too few stored it (again later, or with other cells awake). */
MUST_CHECK enum err swarm_heads_put(struct swarm *swarm, const struct swarm_heads_put *put,
                                    struct swarm_heads **out, struct errmsg *msg);
void swarm_heads_cancel(struct swarm_heads *heads);
