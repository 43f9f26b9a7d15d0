/*
 * Delete and undelete orders, to one cell or to the coordinator (docs/protocol.md, POST
 * /v1/delete).
 */
#pragma once

#include "swarm/swarm.h"
#include "wire/wire_removal.h"

/* `counts`: of each order, how many of its segments were known there and marked or taken back; NULL
   with an error. Borrowed during the call. */
typedef void swarm_orders_fn(void *user, enum err e, const uint32_t *counts, size_t count,
                             const struct errmsg *msg);

/* `peer` zero: the coordinator. At most WIRE_ORDERS_MAX, encoded at once. `done` gets ERR_STALE
   when the orders were signed under a manifest that the peer does not know yet. */
MUST_CHECK enum err swarm_orders_send(struct swarm *swarm, const struct id *peer,
                                      const struct wire_order *orders, size_t count,
                                      swarm_orders_fn *done, void *user, struct errmsg *msg);
