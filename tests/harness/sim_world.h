/*
 * The simulated world: real code on virtual clocks, networks, disks and worker threads, in one
 * process and one thread, from one seed.
 *
 *     struct sim_world *world = sim_world_new(seed);
 *     struct sim_node *cell = sim_node_new(world, &(struct sim_identity){...});   // sim_node.h
 *     ... give cell->clock, cell->random, cell->work, cell->disk, cell->net to the code ...
 *     assert_int_equal(sim_world_run_until(world, is_stored, &test, 60000), ERR_OK);
 *     sim_world_free(world);
 *
 * Everything that happens is an event: a timer, a delivered message, a job, a completion. Time
 * moves only when nothing is due; events due at the same time run in an order drawn from the seed,
 * except where a port promises an order (jobs of a lane, messages of a connection). The same seed
 * and the same code give the same sequence, and sim_world_hash() covers all of it, so a run is
 * reproduced by its seed and two runs are compared by one number.
 *
 * The harness's own memory comes from aligned_alloc(), which alloc_fault.h does not touch, and
 * running out of it aborts: what is tested is the code, not the world.
 */
#pragma once

#include "base/err.h"

#include <stdint.h>

struct sim_world;
struct sim_node;

enum {
    SIM_STEP_MAX_DEFAULT = 200 * 1000 * 1000, /* events, before a run is called endless */
};

/* 2026-03-01T00:00:00Z: what a node's wall clock shows when the world begins. */
#define SIM_WALL_START_NS 1772323200000000000

struct sim_world *sim_world_new(uint64_t seed);

/* Frees all nodes as well. The code under test must be gone: no exchange, call, job or running
 * timer may be left (use sim_node_stop). NULL does nothing. */
void sim_world_free(struct sim_world *world);

uint64_t sim_world_seed(const struct sim_world *world);
uint64_t sim_world_now_ns(const struct sim_world *world); /* since the world began */
uint64_t sim_world_now_ms(const struct sim_world *world);

/* From the world's own stream, for decisions of a test. `bound` > 0. */
uint64_t sim_world_random(struct sim_world *world);
uint64_t sim_world_below(struct sim_world *world, uint64_t bound);
/* True in `per_million` of 1,000,000 cases. */
bool sim_world_chance(struct sim_world *world, uint64_t per_million);

/* Runs `act` outside of all nodes, `delay_ms` from now: crashes, partitions, clock jumps. */
void sim_world_plan(struct sim_world *world, uint64_t delay_ms, void (*act)(void *user),
                    void *user);

/* Runs for that much virtual time. ERR_OK; ERR_TOO_LARGE when the step budget is used up. */
MUST_CHECK enum err sim_world_run(struct sim_world *world, uint64_t duration_ms);

typedef bool sim_condition_fn(void *user);

/* Runs until `met` is true (asked after each event). ERR_OK: it is. ERR_TIMEOUT: `max_ms` of
   virtual time passed. ERR_END: nothing is left that could happen. ERR_TOO_LARGE: the step budget
   is used up. */
MUST_CHECK enum err sim_world_run_until(struct sim_world *world, sim_condition_fn *met, void *user,
                                        uint64_t max_ms);

/* One event. ERR_END when there is none. */
MUST_CHECK enum err sim_world_step(struct sim_world *world);

void sim_world_set_step_max(struct sim_world *world, uint64_t step_max); /* from now */
uint64_t sim_world_steps(const struct sim_world *world);

/* A hash over every event so far: time, kind, node, and the notes. */
uint64_t sim_world_hash(const struct sim_world *world);

/* A line of the trace; counts in the hash. `node` may be NULL. With CELLAR_SIM_TRACE=1 in the
   environment the trace is printed to stderr, events and notes. */
void sim_world_note(struct sim_world *world, const struct sim_node *node, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Nodes in the order in which they were made. */
unsigned sim_world_node_count(const struct sim_world *world);
struct sim_node *sim_world_node(const struct sim_world *world, unsigned index);

/* The seed of a test's run: CELLAR_SEED from the environment (decimal or 0x…), else `fallback`.
   Printed, so that a failure can be repeated. */
uint64_t sim_world_test_seed(uint64_t fallback);
