/*
 * Shards that were made anew elsewhere because their holder had lost or damaged
 * them: what it may still have of them is freed. The coordinator keeps the orders for cells that
 * are away.
 */
#pragma once

#include "vault/vault_parts.h"
#include "wire/wire_removal.h"

struct health_drop {
    struct id segment, cell;
    uint8_t index;
};

/* At most WIRE_ORDERS_MAX; copied. A help, no more: `done` gets ERR_OK also when the coordinator
   did not take them. After the shards' new places were registered. */
MUST_CHECK enum err health_drops_send(struct vault *vault, const struct health_drop *drops,
                                      size_t count, vault_done_fn *done, void *user,
                                      struct errmsg *msg);
