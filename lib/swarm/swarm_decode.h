/*
 * Of this room only. Making leaves of a segment from the same leaves of k other shards: one pool
 * job.
 */
#pragma once

#include "segment/segment_header.h"
#include "swarm/swarm_internal.h"

enum { SWARM_LEAVES_MAX = LIMIT_SHARD_BYTES / LIMIT_LEAF_BYTES };
_Static_assert(SWARM_LEAVES_MAX <= 64, "a shard's leaves fit a mask of 64 bits");

/* Bit i: leaf i of the shard. */
typedef uint64_t swarm_leaves;

static inline swarm_leaves swarm_leaves_run(uint32_t first, uint32_t count)
{
    return (count >= 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1) << first;
}

struct swarm_decode {
    /* given */
    struct erasure *code;
    const struct segment_header *header;
    uint8_t *shards[LIMIT_SHARDS];      /* where each shard's bytes are or go */
    swarm_leaves have[LIMIT_SHARDS];    /* verified */
    swarm_leaves missing[LIMIT_SHARDS]; /* to be made; each has k others that have the leaf */
    bool check;                         /* whole shards against their roots */
    void (*done)(struct swarm_decode *decode);
    /* result */
    enum err e;
    unsigned made; /* leaves */
    struct work_job job;
};

void swarm_decode_start(struct swarm_decode *decode, const struct work *work);
