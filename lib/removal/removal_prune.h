/*
 * Pruning: what no snapshot needs is condemned, and deleted once no device of the account can need
 * it (docs/retention.md).
 *
 *     heads of the others (heads_sync.h) ─▶ mark ─▶ plan ─▶ repack ─▶ condemned list, head
 *     ─▶ orders of every list that all have acknowledged ─▶ cells and coordinator
 *
 * It may be killed at any instruction. A segment is deleted only by an order, an order is made only
 * of a list that a head published and that every other device's head has acknowledged, and a list
 * names nothing that a marked chunk lies in and nowhere else. What is left undone the next run
 * does.
 */
#pragma once

#include "vault/vault.h"

enum removal_unused { REMOVAL_UNUSED_PERCENT, REMOVAL_UNUSED_BYTES, REMOVAL_UNUSED_UNLIMITED };

struct removal_prune_options {
    /* How much of what stays may be chunks that nobody needs: percent of the size after it (5 by
       default), or bytes. */
    enum removal_unused unused;
    uint64_t unused_max;
    /* Devices by name or slot, whose acknowledgement is not waited for, and what of theirs cannot
       be read is given up. Borrowed until done. */
    const char *const *excluded;
    size_t excluded_count;
    bool dry_run;
    /* This device's segments under an older data key are repacked whole: what is needed of them is
       under the newest key then. */
    bool rewrite;
};

/* The swarm has grown: segments that survive fewer losses than the level in force now are repacked
   as well, the oldest first, so much of them in one run. */
#define REMOVAL_PRUNE_REENCODE_BYTES ((uint64_t)4 << 30)

struct removal_prune_summary {
    uint64_t segments, bytes;             /* that count, before; bytes of sealed records */
    uint64_t chunks_needed, bytes_needed; /* marked */
    uint64_t segments_condemned;          /* nothing in them is needed, or it has moved */
    uint64_t segments_repacked, bytes_repacked;
    uint64_t segments_reencoded;    /* of those repacked: for the sake of a better level */
    uint64_t shard_bytes_condemned; /* on the cells' disks, parity included */
    uint64_t bytes_unused_left;
    uint64_t segments_ordered; /* delete orders were made for, now */
    uint64_t segments_waiting; /* condemned, and not yet acknowledged by all */
    uint64_t orders_answered, orders_waiting;
    uint64_t hold_s;
    uint32_t devices_waited_for;
};

struct removal_prune_events {
    /* "reading what is needed", ... May be NULL. */
    void (*stage)(void *user, const char *words);
    void (*done)(void *user, enum err e, const struct removal_prune_summary *summary,
                 const struct errmsg *msg);
};

struct removal_prune;

/* After vault_refresh(), on a vault opened for writing. UNREACHABLE: nobody says what the others
   have published. DENIED: this device may not. NOT_ENOUGH: too few cells, or metadata that cannot
   be read now, this device's or another's. CORRUPT: chunks that snapshots need are nowhere; nothing
   is deleted then. */
MUST_CHECK enum err removal_prune_start(struct vault *vault,
                                        const struct removal_prune_options *options,
                                        const struct removal_prune_events *events, void *user,
                                        struct removal_prune **out, struct errmsg *msg);
void removal_prune_cancel(struct removal_prune *prune);

/* "5%", "200M", "unlimited". USAGE. */
MUST_CHECK enum err removal_prune_parse_unused(const char *text, struct removal_prune_options *out,
                                               struct errmsg *msg);
