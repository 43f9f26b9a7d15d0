/*
 * The coordinator's directory: registering segments, and finding them again.
 */
#pragma once

#include "swarm/swarm.h"
#include "wire/wire_directory.h"

/* At most WIRE_REGISTER_SEGMENTS; encoded at once, nothing is borrowed. `taken`: how many the
   directory has now; 0 with an error. */
typedef void swarm_register_fn(void *user, enum err e, uint32_t taken, const struct errmsg *msg);
MUST_CHECK enum err swarm_register(struct swarm *swarm, const struct wire_registration *segments,
                                   size_t count, swarm_register_fn *done, void *user,
                                   struct errmsg *msg);

/* At most WIRE_FIND_IDS. `found` (NULL with an error) is walked with wire_found_next(); borrowed
   during the call. */
typedef void swarm_find_fn(void *user, enum err e, struct wire_list *found,
                           const struct errmsg *msg);
MUST_CHECK enum err swarm_find(struct swarm *swarm, const struct id *segments, size_t count,
                               swarm_find_fn *done, void *user, struct errmsg *msg);
