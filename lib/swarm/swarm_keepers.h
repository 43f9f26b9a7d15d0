/*
 * Of this room only. One question to all who keep an account's documents: the coordinator, and the
 * first SWARM_HEADS_CELLS cells in the account's rendezvous order outside its own domains.
 *
 * Ends when all have answered or failed, or SWARM_HEADS_PATIENCE_MS after most have.
 */
#pragma once

#include "swarm/swarm_ask.h"
#include "swarm/swarm_heads.h"
#include "swarm/swarm_internal.h"

enum { SWARM_KEEPERS_MAX = SWARM_HEADS_CELLS + 1 };

struct swarm_keepers;

struct swarm_keeper {
    struct swarm_keepers *keepers;
    struct swarm_peer *peer;
    struct swarm_ask *ask; /* under way, or NULL */
    uint16_t cell;         /* number in the group; PLACEMENT_NONE: the coordinator */
    bool good;             /* when it was asked */
};

/* The first member of the operation's own struct. */
struct swarm_keepers {
    struct swarm_task task;
    struct swarm *swarm;
    struct placement_group group; /* of the account */
    struct swarm_keeper peers[SWARM_KEEPERS_MAX];
    unsigned count, asking;
    struct wire_path path;
    enum net_method method;
    size_t reply_max;
    struct buf body; /* what is sent; owned */
    bool cancelled, late;
    bool first_alone; /* the coordinator is asked before the others; they are only when it said yes
                         or cannot be had */
    bool go_on;       /* it is the others' turn */
    uint64_t ends_at_ms; /* 0: not yet known */
    enum err failed;     /* of the newest peer that did; DENIED stays */
    struct errmsg why;
    uint32_t asked, answered;
    /* What a peer said. True: a good answer. */
    bool (*answer)(struct swarm_keepers *keepers, const struct swarm_keeper *from, enum err e,
                   struct slice body);
    /* Once, from the loop: tells the user and frees (swarm_keepers_free, then the struct). */
    void (*end)(struct swarm_keepers *keepers);
};

/* `keepers` zeroed but for method, reply_max, body, first_alone, answer and end. An error: nothing
   follows, nothing is freed. */
MUST_CHECK enum err swarm_keepers_find(struct swarm_keepers *keepers, struct swarm *swarm,
                                       const struct id *account, enum wire_route route,
                                       struct errmsg *msg);
/* After swarm_keepers_find(): asks them. end() follows. */
void swarm_keepers_go(struct swarm_keepers *keepers);
void swarm_keepers_cancel(struct swarm_keepers *keepers);
void swarm_keepers_free(struct swarm_keepers *keepers); /* what is in it */
