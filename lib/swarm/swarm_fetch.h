/*
 * Of this room only. One run of leaves of one shard from one cell: waits for its turn at the cell,
 * takes the bytes straight to their place, verifies them in the pool.
 *
 *     WAITING ──▶ MOVING ──▶ CHECKING ──▶ ended() once
 */
#pragma once

#include "segment/segment_header.h"
#include "swarm/swarm_internal.h"
#include "wire/wire_shard.h"

enum swarm_fetch_state {
    SWARM_FETCH_WAITING = 1,
    SWARM_FETCH_MOVING,
    SWARM_FETCH_CHECKING,
    SWARM_FETCH_ENDED,
};

enum { SWARM_FETCH_ERROR_BYTES = 4096 };

struct swarm_fetch {
    /* given */
    struct swarm *swarm;
    struct swarm_peer *peer;
    const struct segment_header *header; /* borrowed */
    struct id segment;
    unsigned shard;
    uint32_t leaf_first, leaf_count;
    uint8_t *out; /* of leaf_first; borrowed */
    enum net_class net_class;
    void (*ended)(struct swarm_fetch *fetch); /* notes and wakes, no more */
    /* read-only */
    enum swarm_fetch_state state;
    enum err e; /* when it has ended */
    struct errmsg msg;
    bool lied;         /* the bytes are not what the header says */
    uint32_t size;     /* bytes of the leaves */
    uint32_t received; /* of them */
    uint64_t moving_since_ms;
    /* private */
    struct swarm_slot slot;
    struct swarm_addresses *addresses;
    struct net_call *call;
    unsigned status;
    bool cancelled;
    enum err broken; /* why we cancelled it ourselves */
    uint8_t head[WIRE_SHARD_HEAD_SIZE];
    uint32_t head_size;
    uint8_t path[WIRE_LEAF_PATH_BYTES];
    uint32_t path_size, path_received;
    uint8_t error[SWARM_FETCH_ERROR_BYTES];
    uint32_t error_size;
    struct work_job check;
};

/* The given fields are set, all others zero. */
void swarm_fetch_start(struct swarm_fetch *fetch);
/* ended() with ERR_CANCELLED, or with what it came to; perhaps from inside. */
void swarm_fetch_cancel(struct swarm_fetch *fetch);
