/*
 * Of this room only. Grants: one at hand for each cell, asked for in bulk and ahead.
 */
#pragma once

#include "base/buf.h"
#include "swarm/swarm_peer.h"

struct swarm_grant {
    int64_t expires_s;
    uint64_t bytes, spent;
    size_t size;
    uint8_t document[];
};

void swarm_grant_free(struct swarm_grant *grant); /* NULL does nothing */

/* Takes `bytes` of the peer's grant; false when there is none for so much. What was not stored in
   the end is given back with swarm_grant_return(). */
bool swarm_grant_spend(struct swarm *swarm, struct swarm_peer *peer, uint64_t bytes);
void swarm_grant_return(struct swarm_peer *peer, uint64_t bytes);
/* The peer would not have it. */
void swarm_grant_drop(struct swarm_peer *peer);

/* Asks for grants for all cells of the group that need one, when nobody is asking just now; every
   ticking task is woken when the answer is here. ERR_OK: wait for it. Else none can be had now, and
   `msg` says why. */
MUST_CHECK enum err swarm_grant_need(struct swarm *swarm, uint64_t bytes, struct errmsg *msg);

/* Before the last operation ends: a question that nobody waits for any more is broken off. False:
   wait until it is gone (the task is woken). */
struct swarm_task;
MUST_CHECK bool swarm_grant_settle(struct swarm *swarm, const struct swarm_task *last);
