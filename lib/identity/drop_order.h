/* A drop order, document "drop", signed by a device with `put`: one cell may free one shard that
 * has moved. Unlike a delete order it touches no other holder, and the segment lives on; the
 * generation is that of the shard's new place, so that an old order does not free a shard that has
 * come back: seconds since 1970, when the new place was known. */
#pragma once

#include "identity/deed.h"
#include "identity/manifest.h"

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
/* May its signer give this order, by the newest manifest known here? ERR_DENIED; ERR_STALE as
   delete_order_allowed(). */
MUST_CHECK enum err drop_order_allowed(const struct drop_order *order, const struct manifest *m,
                                       struct errmsg *msg);
