/*
 * Of this room only. One try to store one shard at one cell: waits for its turn at the cell, sends,
 * checks the receipt.
 *
 *     WAITING ──▶ MOVING ──▶ ended() once
 */
#pragma once

#include "swarm/swarm_internal.h"
#include "swarm/swarm_upload.h"
#include "wire/wire_shard.h"

enum swarm_attempt_state {
    SWARM_ATTEMPT_WAITING = 1,
    SWARM_ATTEMPT_MOVING,
    SWARM_ATTEMPT_ENDED,
};

struct swarm_attempt {
    /* given */
    struct swarm *swarm;
    struct swarm_peer *peer;
    const struct swarm_upload_request *request; /* borrowed */
    unsigned shard;
    struct slice
        ticket; /* document: stored under it instead of a grant; size 0: a grant. Borrowed */
    const struct id *ticket_account;              /* with a ticket: whose segment it is */
    void (*ended)(struct swarm_attempt *attempt); /* notes and wakes, no more */
    /* read-only */
    enum swarm_attempt_state state;
    enum err e; /* when it has ended; ERR_OK: `answer` is a good receipt */
    struct errmsg msg;
    bool moved;     /* it came to be sent */
    bool cancelled; /* by us */
    uint64_t moving_since_ms;
    uint8_t answer[WIRE_RECEIPT_BYTES];
    uint32_t answer_size;
    /* private */
    struct swarm_slot slot;
    struct swarm_addresses *addresses;
    struct buf prelude; /* owned */
    struct slice body[2];
    struct net_call *call;
    unsigned status;
};

/* The given fields are set, all others zero. Without a ticket the peer's grant must cover the
   shard: it is spent when the sending begins, and given back when nothing was stored. */
void swarm_attempt_start(struct swarm_attempt *attempt);
/* ended() with ERR_CANCELLED, or with what it came to; perhaps from inside. */
void swarm_attempt_cancel(struct swarm_attempt *attempt);
