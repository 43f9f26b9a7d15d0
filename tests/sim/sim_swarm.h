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
    uint64_t lease_s;                        /* of a ticket */
    uint64_t account_lease_s;                /* 0: a year */
    uint64_t hold_s;                         /* of accounts that join; 0: 30 d */
    uint64_t proof_period_ms;                /* 0: no proofs */
    uint64_t audit_period_ms;                /* by lot, without a coordinator; 0: none */
    unsigned joined;   /* so many cells join at once, the others when they are started; 0: all */
    uint64_t flush_ms; /* of the coordinator; 0: its default */
    const struct sim_cell_shape *shapes; /* of each cell; NULL: all alike. Borrowed until _new() */
    const struct log *log;               /* of cells and coordinator; may be NULL */
};

/* What tells one cell from another. */
struct sim_cell_shape {
    char site[16]; /* "": none is given */
    uint64_t give_bytes;
};

struct sim_cell {
    struct sim_swarm *swarm;
    struct sim_node *node;
    struct sign_key *key;
    struct store *store; /* NULL: not running */
    struct cell *cell;
    struct work_lane *lane;
    char address[32];
    const char *addresses[1];
    struct sim_cell_shape shape;
    struct buf invite; /* of a cell that is no member yet */
    bool joined, was_member;
    struct cell_counters past; /* of the lives that are over */
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

/* A device: the first one of an account, or another one of the same. */
struct sim_device {
    struct sim_swarm *swarm;
    struct sim_node *node;
    struct sign_key *key;
    struct account_keys account;
    struct buf manifest; /* document: the newest that it knows */
    uint64_t manifest_number;
    uint32_t slot;
    bool is_second; /* the account's keys belong to the first one */
};

/* Keys are made from small numbers, the same in every run. */
struct sign_key *sim_swarm_key(uint64_t number);
struct sim_node *sim_swarm_node(struct sim_swarm *swarm, const char *name,
                                const struct sign_key *key, const char *address);

struct sim_swarm *sim_swarm_new(struct sim_world *world, const struct sim_swarm_options *options);
void sim_swarm_free(struct sim_swarm *swarm);

/* The n-th invite of this swarm, signed by its coordinator: a document. */
void sim_swarm_invite(struct sim_swarm *swarm, enum invite_kind kind, uint32_t uses,
                      struct buf *out);

void sim_swarm_stop_cell(struct sim_swarm *swarm, unsigned number, enum sim_death how);
void sim_swarm_start_cell(struct sim_swarm *swarm, unsigned number);
/* The same without waiting for anything, and what the weather can prevent is an error: a disk that
   is not mounted, full, or broken. The cell is not running then. */
MUST_CHECK enum err sim_swarm_launch_cell(struct sim_swarm *swarm, unsigned number,
                                          struct errmsg *msg);
/* Of all lives of the cell. */
void sim_swarm_cell_counters(const struct sim_swarm *swarm, unsigned number,
                             struct cell_counters *out);
void sim_swarm_stop_coordinator(struct sim_swarm *swarm, enum sim_death how);
void sim_swarm_start_coordinator(struct sim_swarm *swarm);

/* `number` makes its keys and its node's name. Joined, and its hello is what its net shows. */
struct sim_device *sim_device_new(struct sim_swarm *swarm, unsigned number);
void sim_device_free(struct sim_device *device);

/* Another device of the account, which `owner` puts into its manifest with these capabilities. Both
   show the new manifest from now on; nobody else has it yet. */
struct sim_device *sim_device_add(struct sim_device *owner, unsigned number, unsigned capabilities);
/* The root takes the device's rights back, in a manifest that `owner` shows from now on; the device
   itself goes on with the old one. */
void sim_device_revoke(struct sim_device *owner, const struct sim_device *device);
/* A head of the device (sim_backup.c). */
void sim_device_head(const struct sim_device *device, uint64_t sequence, struct buf *out);

/* The device's account and the cell agree that it is the account's, and the coordinator is told. */
enum err sim_device_claim(struct sim_device *device, unsigned cell, const char *code);

/* One small request from a device (or any node); waits for its end. The reply goes to `reply`
   (emptied first). The error is that of the exchange, or what a failed status stands for. */
enum err sim_ask(struct sim_swarm *swarm, struct sim_node *from, const struct id *to,
                 const char *address, enum net_method method, const char *path, struct slice body,
                 unsigned *status, struct buf *reply);
