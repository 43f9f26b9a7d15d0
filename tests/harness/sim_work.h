/*
 * Worker threads of a simulated node (port/work.h).
 *
 * A job's run() is an event: it happens inline, some virtual time after it was submitted; its
 * done() is another. Within a lane both keep their order, but the next job may run before the
 * previous one's done(); between lanes, and in the pool, the order is drawn from the seed.
 */
#pragma once

#include "harness/sim_node.h"

enum { SIM_WORK_DELAY_DEFAULT_US = 200 };

/* Each job starts a random time up to `max_us` after it could have (a slow disk, a busy CPU). */
void sim_work_set_delay(struct sim_node *node, uint64_t max_us);

/* Jobs submitted or posted whose done() has not been called. */
size_t sim_work_pending(const struct sim_node *node);
