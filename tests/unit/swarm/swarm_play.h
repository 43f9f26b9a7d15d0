/*
 * A small swarm for the tests of lib/swarm: one device with the code under test, a coordinator and
 * cells that keep what the protocol promises, and can be told to fail in many ways. They run in the
 * simulated world (harness/sim_world.h); documents and signatures are real.
 */
#pragma once

#include "harness/sim_net.h"
#include "identity/grant.h"
#include "identity/member_list.h"
#include "segment/segment_header.h"
#include "swarm/swarm_gather.h"
#include "swarm/swarm_upload.h"
#include "wire/wire_directory.h"

enum { PLAY_CELLS_MAX = 32, PLAY_STORED_MAX = 256 };

struct play;

struct play_stored {
    struct id segment;
    uint8_t index;
    struct buf header, bytes;
    struct merkle_hash *leaves;
    bool damaged; /* in quarantine */
};

struct play_cell {
    struct play *play;
    struct sim_node *node;
    struct sign_key *key;
    struct id id;
    struct id household;
    bool claimed;
    uint32_t site;
    bool ineligible;
    struct play_stored stored[PLAY_STORED_MAX];
    unsigned stored_count;
    struct buf heads; /* the newest PUT */
    /* how it behaves */
    bool full, forges_receipts, lies, silent, holds_newer;
    unsigned busy;              /* so many PUTs are answered 503 */
    unsigned refuses;           /* so many PUTs are refused: the grant */
    enum wire_cell_state state; /* what the coordinator says */
    unsigned puts, gets, haves; /* requests seen */
};

struct play {
    struct sim_world *world;
    struct sign_key *root_key, *coordinator_key, *device_key;
    struct swarm_root root;
    struct sim_node *coordinator, *device;
    struct id account;
    struct play_cell cells[PLAY_CELLS_MAX];
    unsigned cell_count;
    struct buf certificate, members, heads;
    uint64_t list_number;
    /* the coordinator */
    uint64_t grant_bytes;  /* the most it grants at once; 0: what is asked */
    int64_t grant_lasts_s; /* 0: a week */
    unsigned places, finds, lists, registered, hellos;
    struct id refuses_cell; /* no grant for it */
    bool coordinator_silent;
    struct wire_shard_at directory[LIMIT_SHARDS];
    unsigned directory_count;
    struct swarm *swarm;
};

/* Called (when set) as the simulated servers begin (true) and end (false) to work: what they
   allocate is not the code under test. */
extern void (*play_aside)(bool aside);

/* What cells (user: struct play_cell) and the coordinator (struct play) serve:
 * swarm_play_servers.c.
 */
extern const struct net_service play_cell_service, play_coordinator_service;

/* `cells` cells, each a household of its own. */
void play_new(struct play *play, uint64_t seed, unsigned cells);
void play_free(struct play *play);

/* Signs a new member list from the cells as they are now. */
void play_sign_list(struct play *play);

/* Opens the swarm on the device: with the list (as cached), and refreshed when `refresh`. */
void play_open(struct play *play, bool cached, bool refresh);
void play_close(struct play *play);

/* The end of an operation. */
struct play_end {
    bool done;
    unsigned times;
    enum err e;
    struct errmsg msg;
};
void play_done(void *user, enum err e, const struct errmsg *msg); /* a swarm_done_fn */
/* Runs the world until it has ended (fails the test after `max_ms`). */
void play_wait(struct play *play, struct play_end *end, uint64_t max_ms);

/* --- a segment --- */

struct play_segment {
    unsigned k, m, n;
    uint32_t shard_bytes;
    uint8_t *bytes; /* n shards, one after the other */
    struct slice shards[LIMIT_SHARDS];
    struct segment_header header;
    uint8_t header_bytes[SEGMENT_HEADER_SIZE_MAX];
    size_t header_size;
    struct id id;
    struct buf record;
};

void play_segment_new(struct play *play, struct play_segment *segment, unsigned k, unsigned m,
                      uint32_t shard_bytes);
void play_segment_free(struct play_segment *segment);

/* Puts shard i on cell i (without the network), fills holders. Returns their count, n. */
size_t play_store(struct play *play, const struct play_segment *segment,
                  struct swarm_holder *holders);
/* One shard, as if it had been PUT. */
void play_keep(struct play_cell *cell, const struct id *segment, unsigned index,
               struct slice header, struct slice bytes);
struct play_stored *play_find(struct play_cell *cell, const struct id *segment, unsigned index);

/* --- uploads and gathers, run to their end --- */

struct play_upload {
    struct play_end end;
    struct swarm_upload_result result;
    struct swarm_upload *upload;
    struct id cells[LIMIT_SHARDS]; /* where each shard was receipted, zero: it was not */
    unsigned receipts;
};

void play_upload_start(struct play *play, const struct play_segment *segment,
                       const struct swarm_upload_request *changes, struct play_upload *out);
void play_upload(struct play *play, const struct play_segment *segment, struct play_upload *out);

struct play_gather {
    struct play_end end;
    struct swarm_gather_result result; /* faults and found are copied below */
    struct swarm_fault faults[64];
    struct swarm_holder found[64];
    struct swarm_gather *gather;
    uint8_t *payload, *parity;
};

/* `request`: ranges, shards, holders, flags; the rest is filled in. */
void play_gather_start(struct play *play, const struct play_segment *segment,
                       const struct swarm_gather_request *request, struct play_gather *out);
void play_gather_free(struct play_gather *gather);
