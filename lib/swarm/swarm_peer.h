/*
 * Of this room only. What is known of one peer (a cell, or the coordinator): where it is, how it
 * did, and how much is under way to it. Peers live as long as the swarm.
 */
#pragma once

#include "base/id.h"
#include "base/limits.h"
#include "base/list.h"
#include "port/net.h"
#include "wire/wire_coordinator.h"

struct swarm;

/* Addresses of one peer, shared by the calls that borrow them. */
struct swarm_addresses {
    unsigned uses;
    size_t count;
    const char *list[LIMIT_ADDRESSES];
    char text[];
};

/* Lets so many through at once, the others in the order in which they came. */
struct swarm_gate {
    unsigned used, limit;
    struct list waiting;
};

struct swarm_slot {
    struct list link;
    void (*ready)(struct swarm_slot *slot); /* the gate is held; from inside swarm_gate_leave() */
    bool waiting;
};

struct swarm_peer {
    struct id id;
    struct swarm_addresses *addresses; /* NULL: none known */
    bool is_coordinator;
    bool is_member; /* of the newest list */
    uint16_t group; /* number in the swarm's group, or PLACEMENT_NONE */
    /* as the coordinator says */
    enum wire_cell_state state; /* 0: not told */
    int64_t last_seen_s;
    uint64_t free_bytes, used_bytes;
    /* as we found */
    unsigned failures; /* in a row */
    uint64_t avoid_until_ms;
    uint64_t slow_until_ms; /* was hedged: others are asked first */
    uint64_t full_until_ms;
    uint64_t refused_until_ms; /* the coordinator gives no grant for it */
    struct swarm_gate uploads, fetches;
    struct swarm_grant *grant; /* owned; the one in use, or NULL */
};

/* Made when it is not known yet. NULL: out of memory. */
struct swarm_peer *swarm_peer_get(struct swarm *swarm, const struct id *id);
struct swarm_peer *swarm_peer_find(const struct swarm *swarm, const struct id *id);
void swarm_peer_free(struct swarm_peer *peer);

MUST_CHECK enum err swarm_peer_set_addresses(struct swarm_peer *peer, const char *const *addresses,
                                             size_t count);

/* Holds the addresses for a call; give the result back with swarm_peer_release() in its on_done. */
struct swarm_addresses *swarm_peer_target(struct swarm_peer *peer, struct net_target *out);
void swarm_peer_release(struct swarm_addresses *addresses);

/* "cell abcd2345" or "the coordinator": for sentences. */
enum { SWARM_PEER_NAME_SIZE = 24 };
const char *swarm_peer_name(const struct swarm_peer *peer, char out[SWARM_PEER_NAME_SIZE]);

/* How it went: a peer that fails is avoided for a while. Errors that are an answer (not found, …)
   are no failures. */
void swarm_peer_went(struct swarm *swarm, struct swarm_peer *peer, enum err e);

/* Worth trying first: not avoided, not known to be asleep or gone. */
bool swarm_peer_good(const struct swarm *swarm, const struct swarm_peer *peer);

/* Good, and not hedged lately: what is read from first. */
bool swarm_peer_quick(const struct swarm *swarm, const struct swarm_peer *peer);
void swarm_peer_slow(struct swarm *swarm, struct swarm_peer *peer);

/* Can take new shards: good, not full, not refused a grant. */
bool swarm_peer_takes(const struct swarm *swarm, const struct swarm_peer *peer);

/* Counts in, or waits until somebody leaves: then slot->ready() is called. */
bool swarm_gate_enter(struct swarm_gate *gate, struct swarm_slot *slot);
void swarm_gate_leave(struct swarm_gate *gate);
/* Waits no longer. */
void swarm_gate_forget(struct swarm_slot *slot);
