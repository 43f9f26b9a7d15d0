/*
 * A device that keeps segments in a simulated swarm, through lib/swarm as cellctl does, and knows
 * what it put in: so that a test can say whether everything is still there.
 *
 *     struct sim_backup *b = sim_backup_new(device);
 *     sim_backup_add(b, 2, 2, 1)              // a segment of 2+2, shards of one size class
 *     sim_backup_read(b, i)                   // all of it, compared
 *     sim_backup_count(b, i, &truth)          // what is really on which disk
 *
 * Fixtures: what must not fail aborts with a sentence; what the weather can prevent is an error.
 */
#pragma once

#include "segment/segment_header.h"
#include "sim_swarm.h"
#include "swarm/swarm.h"

enum { SIM_BACKUP_SEGMENTS_MAX = 256, SIM_BACKUP_SHARDS_MAX = 32 };

struct sim_segment {
    struct id id;
    unsigned k, m;
    struct segment_header header;
    struct id holders[SIM_BACKUP_SHARDS_MAX]; /* at upload; zero: not stored */
    struct id digest;                         /* of the whole payload */
    bool registered;
};

/* A receipt has come; the segment counts later, or never. */
typedef void sim_receipt_fn(void *user, unsigned segment, unsigned index, const struct id *cell);

struct sim_backup {
    sim_receipt_fn *receipted; /* may be NULL; set it after _new() */
    void *user;
    struct sim_device *device;
    struct sim_world *world;
    struct swarm *swarm;
    struct sim_segment segments[SIM_BACKUP_SEGMENTS_MAX];
    unsigned count;
    uint64_t salts;
};

struct sim_backup *sim_backup_new(struct sim_device *device);
void sim_backup_free(struct sim_backup *backup); /* NULL does nothing; before the swarm's end */

/* The device asks who is there, as it does before each of what follows. */
enum err sim_backup_refresh(struct sim_backup *backup);

/* Builds, uploads and registers one segment of k + m shards of `shard_bytes` (a multiple of 4096).
   ERR_OK: committed and in the directory; it counts from then on. Else nothing counts. */
enum err sim_backup_add(struct sim_backup *backup, unsigned k, unsigned m, uint32_t shard_bytes);

/* Brings a delete order for the segment, signed by the device, to the coordinator. */
enum err sim_backup_delete(struct sim_backup *backup, unsigned number, uint64_t sequence);

/* Signs and publishes the device's head number `sequence` together with its manifest. *acks: peers
   that stored it durably. */
enum err sim_backup_publish(struct sim_backup *backup, uint64_t sequence, unsigned *acks);

/* Gathers the segment's data from the cells, decodes what is missing, compares. ERR_CORRUPT: it is
   not what was put in. */
enum err sim_backup_read(struct sim_backup *backup, unsigned number);

/* What is really there, whoever is awake: whole shards in the stores of cells that are running, and
   of those that are not (then by what the last look saw). */
struct sim_truth {
    unsigned whole; /* indexes that some running cell's store has whole */
    bool at[SIM_BACKUP_SHARDS_MAX][SIM_SWARM_CELLS_MAX];
};
void sim_backup_truth(struct sim_backup *backup, unsigned number, struct sim_truth *out);

/* The cell's number in the swarm; -1: none of it. */
int sim_swarm_number(const struct sim_swarm *swarm, const struct id *cell);
