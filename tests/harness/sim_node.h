/*
 * A machine of the simulated world: an identity, and every port that the code on it may use.
 *
 * Clock. The wall clock starts at SIM_WALL_START_NS, may jump and drift; the monotonic one starts
 * at 0 and starts again after a power cut.
 *
 * Dying. sim_node_stop() and sim_node_crash() end the process that runs on the node: its calls end
 * with on_done(ERR_UNREACHABLE), its exchanges with on_closed(ERR_UNREACHABLE), its jobs still run
 * and complete, its timers never fire again. All of that has happened when they return, so the
 * code's memory can then be freed as after a quiet shutdown; nothing that it still does reaches
 * network or disk (the disk answers ERR_IO, the network ERR_UNREACHABLE). They must be called from
 * outside the code (a test, sim_world_plan), never from inside a callback of the node.
 *     SIM_STOP   the process ends by itself: what it wrote stays; peers see closed connections
 *     SIM_KILL   kill -9: as SIM_STOP, at any moment
 *     SIM_POWER  power cut: unsynced writes are lost as sim_disk.h says; peers see silence until
 *                the node is started again, or their timeouts
 * sim_node_start() lets a new process begin: disk and network work again, under the same addresses
 * (net_serve and net_introduce must be called anew).
 */
#pragma once

#include "harness/sim_world.h"
#include "port/clock.h"
#include "port/disk.h"
#include "port/net.h"
#include "port/random.h"
#include "port/work.h"

struct sim_identity {
    const char *name;    /* for traces; copied */
    struct id id;        /* zero: made from the seed and the node's number */
    uint8_t key[32];     /* zero: likewise */
    const char *address; /* one to begin with, may be NULL; "sim:7", "host:7400" */
};

struct sim_node {
    /* public: the ports */
    struct clock clock;
    struct random random; /* a stream of its own, from the world's seed */
    struct work work;
    struct disk disk;
    struct net *net;
    char vfs[64]; /* name of the SQLite VFS over `disk` (sim_vfs.h) */
    /* read-only */
    char name[32];
    unsigned index;
    bool alive;
    struct id id;
    uint8_t key[32];
    struct sim_world *world;
    /* private to the harness */
    struct sim_clock *sim_clock;
    struct sim_work *sim_work;
    struct sim_disk *sim_disk;
    struct sim_net *sim_net;
    struct sim_vfs *sim_vfs;
    uint64_t random_state[4];
};

enum sim_death { SIM_STOP, SIM_KILL, SIM_POWER };

/* Alive at once. Owned by the world. */
struct sim_node *sim_node_new(struct sim_world *world, const struct sim_identity *identity);

/* Nothing when it is dead already (but SIM_POWER still loses what a stopped process left unsynced).
 */
void sim_node_crash(struct sim_node *node, enum sim_death how);
/* sim_node_crash(node, SIM_STOP). */
void sim_node_stop(struct sim_node *node);
void sim_node_start(struct sim_node *node);

/* The wall clock jumps by `delta_ms` (may be negative). */
void sim_node_clock_jump(struct sim_node *node, int64_t delta_ms);
/* From now on the wall clock gains this many millionths. */
void sim_node_clock_drift(struct sim_node *node, int64_t per_million);

/* Number of timers that are running. */
unsigned sim_node_timers(const struct sim_node *node);
