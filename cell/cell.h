/*
 * libcell: a storage node without its process. Everything that it touches comes in by the ports
 * and an open store, so that a simulator runs it as celld does.
 *
 *     cell_new(&options, &cell, msg)       answers requests from now on (net_serve)
 *     cell_start(cell, msg)                membership: joins with an invite or goes on as a member,
 *                                          heartbeats, fetches newer member lists; scrub
 *     cell_stop(cell, stopped, user)       ends what is under way; then cell_free()
 *
 * Who may do what stands in docs/protocol.md and in cell_rights.c. The loop thread calls all of
 * this; the store is used on `lane` only, except for its files.
 */
#pragma once

#include "base/id.h"
#include "base/limits.h"
#include "base/log.h"
#include "crypto/sign.h"
#include "port/clock.h"
#include "port/net.h"
#include "port/random.h"
#include "port/work.h"
#include "store/store.h"

struct cell;

struct cell_options {
    struct net *net; /* all borrowed for the cell's life */
    const struct clock *clock;
    const struct random *random;
    const struct work *work;
    const struct log *log;
    struct store *store;
    struct work_lane *lane;     /* the store's */
    const struct sign_key *key; /* the same as the net's */

    uint8_t swarm_root[32];
    struct id coordinator; /* whom to join and to tell heartbeats */
    const char *const *coordinator_addresses;
    size_t coordinator_address_count;
    struct slice invite; /* document; size 0: a member already */

    const char *const *addresses; /* under which others reach this cell; at least one */
    size_t address_count;
    const char *site; /* "" when none is given */
    uint64_t give_bytes;
    const char *claim_code; /* lets somebody who is not near claim this cell; "" when not */

    uint64_t heartbeat_ms;    /* 0: as the coordinator says */
    uint64_t scrub_period_ms; /* one cycle over all shards; 0: never */
    /* While the coordinator is away another cell is asked for a proof about so often; 0: never. */
    uint64_t audit_period_ms;
    uint64_t lease_ms; /* an account's, from its last renewal on; 0: CELL_LEASE_S */
    /* What has moved by the coordinator's word and another cell's receipt is kept for so long, for
       the case that both are a thief's; 0: it is freed at once. */
    uint64_t moved_hold_ms;
    uint64_t
        repair_bytes_s; /* repairs for others use so much of the line; 0: CELL_REPAIR_BYTES_S */
};

/* What a program should add to the pool's threads: shards are written and synced there, and hashing
   should not wait for that. */
enum { CELL_DISK_THREADS = 2 };

enum { CELL_LEASE_S = 365 * 86400 };

/* A home's line of 100 Mbit/s stays three quarters free. */
enum { CELL_REPAIR_BYTES_S = 3 << 20 };

MUST_CHECK enum err cell_new(const struct cell_options *options, struct cell **out,
                             struct errmsg *msg);
/* After cell_stop() has called back, or when cell_start() was never called. NULL does nothing. */
void cell_free(struct cell *cell);

/* `joined` runs once: when the coordinator has accepted us (or we were a member already and have a
   member list), or with the reason why it never will (a refused invite). */
typedef void cell_joined_fn(void *user, enum err e, const struct errmsg *msg);
MUST_CHECK enum err cell_start(struct cell *cell, cell_joined_fn *joined, void *user,
                               struct errmsg *msg);

typedef void cell_stopped_fn(void *user);
void cell_stop(struct cell *cell, cell_stopped_fn *stopped, void *user);

/* Tells the coordinator of a new gift at the next heartbeat. */
void cell_set_give(struct cell *cell, uint64_t give_bytes);

/* The owner wants this cell to leave (or to stay after all): its shards go to others, new ones do
   not come. The coordinator hears it with the next heartbeat; kept over restarts. */
void cell_set_leaving(struct cell *cell, bool leaving);
/* Leaving, and the coordinator says that its directory names this cell no more. */
bool cell_drained(const struct cell *cell);
/* So long a cell that leaves stays for those who have nowhere else to go with their shards. */
enum { CELL_NOTICE_S = 30 * 86400 };
/* A cell whose trust is below this gets no new shards. */
enum { CELL_TRUST_NEW = 500 };

/* Other limits, from now on (SIGHUP); 0 as in cell_options. */
void cell_set_limits(struct cell *cell, uint64_t scrub_period_ms, uint64_t repair_bytes_s);

struct cell_counters {
    uint64_t repair_count, repair_bytes; /* segments that we have repaired; fetched and sent */
    uint64_t proof_count;                /* proofs that we have asked others for */
    uint64_t put_count, put_bytes, get_count, get_bytes;
    uint64_t refused_count; /* requests that rights, grants or names did not allow */
    unsigned puts_under_way;
};
void cell_counters(const struct cell *cell, struct cell_counters *out);

/* How the cell is, for its owner. */
struct cell_report {
    struct store_usage usage;
    struct store_scrub_state scrub;
    struct store_removal_state removal;
    struct cell_counters counters;
    int64_t now_s;         /* by the wall clock */
    int64_t scrub_next_s;  /* the running cycle's end, or the next one's beginning; 0: none */
    bool coordinator_away; /* since the last message to it */
    uint32_t trust;        /* of 1000, as it last said; 0: it has said nothing yet */
    uint64_t fault_count;  /* shards that were found to be missing or wrong */
    bool leaving, drained;
    bool left_known; /* leaving, and counted: */
    uint64_t left_count, stuck_count;
    int64_t leaving_since_s;
};
/* Asks the store on its lane, then tells. ERR_NOMEM, ERR_STATE while it stops. */
typedef void cell_reported_fn(void *user, enum err e, const struct cell_report *report,
                              const struct errmsg *msg);
MUST_CHECK enum err cell_report(struct cell *cell, cell_reported_fn *reported, void *user,
                                struct errmsg *msg);
