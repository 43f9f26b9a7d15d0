/*
 * One segment's shards to the cells that the placement names, in parallel.
 *
 *     shard ──▶ its cell ──▶ receipt                      most of them
 *        │ refused, full, unreachable ──▶ next spare that shares no domain with the others
 *        └ much slower than the others ──▶ the same, beside it: whoever is first counts
 *
 * Ends when every shard is receipted, or when those that are not have no cell left. Below
 * k + ceil(m/2) receipts (or `enough`) the segment does not count and the end is ERR_NOT_ENOUGH;
 * the receipts that came are told all the same. A receipt is believed when its signature is the
 * cell's and it names this segment, shard, size and account.
 *
 * Bytes are sent from where they are, nothing is copied. Several uploads at once share the limits
 * a cell (SWARM_CELL_UPLOADS).
 */
#pragma once

#include "swarm/swarm.h"

struct swarm_upload_request {
    struct id segment;
    struct slice header; /* these and the shards: borrowed until done */
    struct slice record; /* the device's segment record, document */
    unsigned k, m;
    unsigned enough; /* receipts with which it counts; 0: k + ceil(m/2). Not below k */
    uint32_t shard_bytes;
    uint32_t device_slot;
    const struct slice *shards; /* k + m; an empty one is not sent: it is stored already, or lost */
    const struct id *stored; /* k + m: the cells that hold those already, zero for the others; NULL:
                                nothing is stored yet */
    enum net_class net_class;
};

/* A shard is durable at `cell`: its bytes are not needed any more. `receipt` is borrowed. */
typedef void swarm_receipt_fn(void *user, unsigned index, const struct id *cell,
                              struct slice receipt);

struct swarm_upload_result {
    unsigned receipted; /* shards stored, those of `stored` included */
    unsigned owed;      /* shards that were to be sent and are not stored */
    uint64_t sent_bytes;
    unsigned retries; /* cells tried beyond the first of each shard */
};

/* ERR_OK: at least k + ceil(m/2), or `enough`, are stored; `result->owed` may still be above 0
 * (debts). */
typedef void swarm_upload_fn(void *user, enum err e, const struct swarm_upload_result *result,
                             const struct errmsg *msg);

struct swarm_upload;

/* ERR_STATE without a member list; ERR_NOMEM. */
MUST_CHECK enum err swarm_upload_start(struct swarm *swarm,
                                       const struct swarm_upload_request *request,
                                       swarm_receipt_fn *receipted, swarm_upload_fn *done,
                                       void *user, struct swarm_upload **out, struct errmsg *msg);
void swarm_upload_cancel(struct swarm_upload *upload);
