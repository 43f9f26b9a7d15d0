/*
 * A whole swarm of the real code in the simulated world: libcoordinator and libcells with their
 * stores and registry on simulated disks, devices with real keys and manifests.
 *
 *     struct sim_swarm *s = sim_swarm_new(world, &(struct sim_swarm_options){.cells = 9});
 *     struct sim_device *d = sim_device_new(s);     // an account of its own, joined by an invite
 *     ... d->node->net is a net that has said hello ...
 *     sim_swarm_stop_cell(s, 3, SIM_POWER); sim_swarm_start_cell(s, 3);
 *     sim_swarm_free(s);
 *
 * Everything aborts with a sentence when it does not come about: these are fixtures.
 */
#pragma once

#include "cell.h"
#include "coordinator.h"
#include "harness/sim_disk.h"
#include "harness/sim_net.h"
#include "identity/manifest.h"

enum { SIM_SWARM_CELLS_MAX = 64 };

struct sim_swarm_options {
    unsigned cells;
    uint64_t give_bytes;                     /* of each cell; 0: 1 GiB */
    uint64_t heartbeat_ms;                   /* 0: 15 min */
    uint64_t asleep_after_ms, gone_after_ms; /* 0: 4 h, 14 d */
    uint64_t scrub_period_ms;                /* 0: no scrub */
    unsigned repair_percent;                 /* as in registry.h; 0: its default */
    uint64_t lease_s;
    uint64_t proof_period_ms; /* 0: no proofs */
    unsigned joined; /* so many cells join at once, the others when they are started; 0: all */
};

struct sim_cell {
    struct sim_swarm *swarm;
    struct sim_node *node;
    struct sign_key *key;
    struct store *store; /* NULL: not running */
    struct cell *cell;
    struct work_lane *lane;
    char address[32];
    bool joined, was_member;
};

struct sim_swarm {
    struct sim_world *world;
    struct sim_swarm_options options;
    struct swarm_root root;
    struct sign_key *root_key;
    struct sim_node *coordinator_node;
    struct sign_key *coordinator_key;
    struct buf certificate;
    struct work_lane *lane;
    struct registry *registry; /* NULL: not running */
    struct coordinator *coordinator;
    struct sim_cell cells[SIM_SWARM_CELLS_MAX];
    unsigned invites; /* issued so far: their IDs */
};

/* A device with an account of its own. */
struct sim_device {
    struct sim_swarm *swarm;
    struct sim_node *node;
    struct sign_key *key;
    struct account_keys account;
    struct buf manifest; /* document */
    uint32_t slot;
};

struct sim_swarm *sim_swarm_new(struct sim_world *world, const struct sim_swarm_options *options);
void sim_swarm_free(struct sim_swarm *swarm);

/* The n-th invite of this swarm, signed by its coordinator: a document. */
void sim_swarm_invite(struct sim_swarm *swarm, enum invite_kind kind, uint32_t uses,
                      struct buf *out);

void sim_swarm_stop_cell(struct sim_swarm *swarm, unsigned number, enum sim_death how);
void sim_swarm_start_cell(struct sim_swarm *swarm, unsigned number);
void sim_swarm_stop_coordinator(struct sim_swarm *swarm, enum sim_death how);
void sim_swarm_start_coordinator(struct sim_swarm *swarm);

/* `number` makes its keys and its node's name. Joined, and its hello is what its net shows. */
struct sim_device *sim_device_new(struct sim_swarm *swarm, unsigned number);
void sim_device_free(struct sim_device *device);

/* One small request from a device (or any node); waits for its end. The reply goes to `reply`
   (emptied first). The error is that of the exchange, or what a failed status stands for. */
enum err sim_ask(struct sim_swarm *swarm, struct sim_node *from, const struct id *to,
                 const char *address, enum net_method method, const char *path, struct slice body,
                 unsigned *status, struct buf *reply);
