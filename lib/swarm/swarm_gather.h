/*
 * Parts of one segment, from whichever cells have them.
 *
 *     wanted ranges ─▶ whole leaves of the data shards, from their cells, at once
 *                         │ cell gone, shard missing or damaged, leaves that do not verify, slow
 *                         ▼
 *                      the same leaves of enough other shards ─▶ decoded, column by column
 *                         │ fewer than k to be had
 *                         ▼
 *                      the coordinator's directory, then every cell is asked: who has any of it?
 *
 * Reed-Solomon works column by column: to make leaf 5 of a lost data shard, leaf 5 of any k others
 * is enough. Every leaf is verified against the header's Merkle roots before it counts; a cell
 * whose leaves do not verify is named in the result.
 *
 * Result: payload[offset] for every wanted range, in the caller's buffer, which is laid out as the
 * segment's payload is (data shard i at i * shard_bytes), so that a record that crosses from one
 * shard to the next is in one piece. Only the wanted leaves of it are written to. Bytes are copied
 * once, from the network into it.
 */
#pragma once

#include "segment/segment_header.h"
#include "swarm/swarm.h"

struct swarm_holder {
    struct id cell;
    uint8_t index; /* of the shard that it should have */
};

struct swarm_range {
    uint32_t offset, size; /* in the payload; size > 0 */
};

struct swarm_gather_request {
    struct id segment;
    const struct segment_header *header; /* copied */
    const struct swarm_holder *holders;  /* as far as known; may be none. Copied */
    size_t holder_count;
    const struct swarm_range *ranges; /* copied */
    size_t range_count;
    const uint8_t *shards; /* whole shards that are wanted (to repair, to pay debts). Copied */
    size_t shard_count;
    uint8_t *payload; /* k * shard_bytes, the caller's until done */
    uint8_t *parity;  /* m * shard_bytes; NULL when no parity shard is wanted */
    enum net_class net_class;
    bool check_decoded; /* whole shards that were decoded are checked against their roots too
                           (records have tags of their own): ERR_INCONSISTENT */
    bool known_only;    /* no directory, no asking around */
    bool every; /* to check them: each wanted leaf is fetched, however slow its cell is; only
                   what cannot be had is decoded */
};

enum swarm_fault_kind {
    SWARM_FAULT_UNREACHABLE = 1, /* or too slow, or busy */
    SWARM_FAULT_MISSING = 2,     /* the cell says that it does not have the shard */
    SWARM_FAULT_DAMAGED = 3,     /* the cell says that its copy is damaged */
    SWARM_FAULT_LIED = 4,        /* what it sent is not what the segment's name says */
    SWARM_FAULT_REFUSED = 5,     /* it would not give it to us */
};

struct swarm_fault {
    struct id cell;
    uint8_t index;
    enum swarm_fault_kind kind;
};

enum { SWARM_GATHER_FAULTS = 512 };

struct swarm_gather_result {
    uint64_t fetched_bytes;
    unsigned fetches;
    unsigned hedged;         /* fetches that were called slow */
    unsigned decoded_leaves; /* made from others */
    const struct swarm_fault *faults;
    size_t fault_count;               /* at most SWARM_GATHER_FAULTS */
    const struct swarm_holder *found; /* holders that the directory or the cells named and that
                                         delivered: for the caller's index */
    size_t found_count;
};

/* ERR_NOT_ENOUGH: fewer than k shards of some leaf could be had; the sentence says how many, and
   which cells failed how. `result` is borrowed during the call, and there with errors too. */
typedef void swarm_gather_fn(void *user, enum err e, const struct swarm_gather_result *result,
                             const struct errmsg *msg);

struct swarm_gather;

/* ERR_USAGE for a range outside of the payload; ERR_NOMEM. */
MUST_CHECK enum err swarm_gather_start(struct swarm *swarm,
                                       const struct swarm_gather_request *request,
                                       swarm_gather_fn *done, void *user, struct swarm_gather **out,
                                       struct errmsg *msg);
void swarm_gather_cancel(struct swarm_gather *gather);
