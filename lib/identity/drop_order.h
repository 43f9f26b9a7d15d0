/* A drop order, document "drop", signed by a device with `put`: one cell may free one shard that
 * has moved. Unlike a delete order it touches no other holder, and the segment lives on; the
 * generation is that of the shard's new place, so that an old order does not free a shard that has
 * come back. */
#pragma once

#include "identity/deed.h"

enum { DROP_ORDER_BYTES_MAX = 512 };

struct drop_order {
    struct deed deed;
    struct id cell;
    struct id segment;
    uint8_t index;
    uint32_t generation;
};

MUST_CHECK enum err drop_order_make(const struct drop_order *order, const struct swarm_root *swarm,
                                    const struct sign_key *key, struct buf *out);
MUST_CHECK enum err drop_order_open(struct slice bytes, const struct swarm_root *swarm,
                                    const struct id *signer, struct drop_order *out,
                                    struct errmsg *msg);
