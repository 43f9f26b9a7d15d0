/* What the sim_*.c files share; for the harness only. */
#pragma once

#include "harness/sim_node.h"

#include "base/list.h"

#include <assert.h>

enum { SIM_NODES_MAX = 1024, SIM_TIE_FIRST = 0 };

/* Something that will happen. Embedded in whatever it belongs to; zero it before first use. */
struct sim_event {
    void (*run)(struct sim_event *event);
    const char *kind;      /* for the trace */
    struct sim_node *node; /* whose code it runs; NULL: nobody's */
    uint64_t at_ns;
    uint64_t tie;    /* order among those of one time: drawn from the seed */
    uint64_t number; /* order among those of one tie */
    size_t place;    /* in the heap, plus 1; 0: not scheduled */
};

/* Sets the event to run `delay_ns` from now; a scheduled one is moved. */
void sim_world_schedule(struct sim_world *world, struct sim_event *event, uint64_t delay_ns);
void sim_world_schedule_at(struct sim_world *world, struct sim_event *event, uint64_t at_ns);
/* Does nothing when it is not scheduled. */
void sim_world_unschedule(struct sim_world *world, struct sim_event *event);
static inline bool sim_event_is_scheduled(const struct sim_event *event)
{
    return event->place != 0;
}

/* Runs a scheduled event now, out of turn (a dying node). */
void sim_world_run_now(struct sim_world *world, struct sim_event *event);

/* Takes in a new node and returns its index. */
unsigned sim_world_add_node(struct sim_world *world, struct sim_node *node);

/* Zeroed memory that alloc_fault.h does not fail; aborts when there is none. free() frees it. */
void *sim_world_alloc(size_t size);
/* Like realloc, with the old size; the new part is zeroed. */
void *sim_world_grow(void *old, size_t old_size, size_t size);
char *sim_world_copy_text(const char *text);

/* xoshiro256**, public domain method of Blackman and Vigna; state from splitmix64. */
void sim_world_seed_stream(uint64_t state[4], uint64_t seed);
uint64_t sim_world_next(uint64_t state[4]);

struct sim_work *sim_work_new(struct sim_node *node);
void sim_work_free(struct sim_work *work);
/* Runs one thing that is left; false when there is none. */
bool sim_work_drain_one(struct sim_work *work);

struct sim_net *sim_net_new(struct sim_node *node);
void sim_net_free(struct sim_net *net);
/* The process is gone: breaks everything, with a word to the peers or without. */
void sim_net_down(struct sim_net *net, bool silent);
void sim_net_up(struct sim_net *net);
/* Delivers one end that a dead node's code is still owed; false when there is none. */
bool sim_net_drain_one(struct sim_net *net);
/* The world ends: forgets connections. */
void sim_net_forget(struct sim_net *net);

struct sim_disk *sim_disk_new(struct sim_node *node);
void sim_disk_free(struct sim_disk *disk);
void sim_disk_down(struct sim_disk *disk);
void sim_disk_up(struct sim_disk *disk);
struct sim_disk *sim_disk_of(const struct sim_node *node);

struct sim_vfs *sim_vfs_new(struct sim_node *node);
void sim_vfs_free(struct sim_vfs *vfs);
