/*
 * Repairing one segment under a ticket, without a key; and proving one shard.
 *
 *     repair   show the ticket to the sources ─▶ header, record, who has what
 *              ─▶ k shards once, whole, each checked against the segment's name
 *              ─▶ all that the ticket wants is made from them, and checked against its name too
 *              ─▶ to the targets, in parallel ─▶ receipts
 *     proof    the same first step with the one source, then one leaf with its Merkle path
 *
 * Memory: (k + m) * shard_bytes while a repair runs.
 */
#pragma once

#include "identity/ticket.h"
#include "swarm/swarm.h"
#include "swarm/swarm_gather.h"

struct swarm_repair_result {
    const struct slice *receipts; /* documents, of the targets that have their shard now */
    size_t receipt_count;
    const struct swarm_fault *faults; /* of sources: MISSING, DAMAGED, LIED and others */
    size_t fault_count;
    uint64_t fetched_bytes, sent_bytes;
};

/* ERR_OK: every target has its shard. With other errors some may have it: the receipts count all
   the same. INCONSISTENT: k verified shards do not make the others. `result` is borrowed. */
typedef void swarm_repair_fn(void *user, enum err e, const struct swarm_repair_result *result,
                             const struct errmsg *msg);

struct swarm_repair;

/* `document` is the opened ticket's bytes; both are copied. ERR_USAGE for a ticket without targets;
   ERR_NOMEM. */
MUST_CHECK enum err swarm_repair_start(struct swarm *swarm, const struct ticket *ticket,
                                       struct slice document, swarm_repair_fn *done, void *user,
                                       struct swarm_repair **out, struct errmsg *msg);
void swarm_repair_cancel(struct swarm_repair *repair);

/* --- proof --- */

/* ERR_OK: the cell has shown the leaf. `disproved`: it answered, and has not what it should (then
   `e` says how); else nothing is known. */
typedef void swarm_prove_fn(void *user, enum err e, bool disproved, const struct errmsg *msg);

struct swarm_prove;

/* The ticket names one source. Which leaf is the swarm's random's choice. */
MUST_CHECK enum err swarm_prove_start(struct swarm *swarm, const struct ticket *ticket,
                                      struct slice document, swarm_prove_fn *done, void *user,
                                      struct swarm_prove **out, struct errmsg *msg);
void swarm_prove_cancel(struct swarm_prove *prove);
