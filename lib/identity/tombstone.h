/* A tombstone, document "tombstone", signed by a `delete` device: these snapshots are forgotten.
 * Heads only add; this is how an account's view loses a snapshot. Their data is not touched by it.
 */
#pragma once

#include "identity/deed.h"
#include "identity/id_list.h"

enum { TOMBSTONE_SNAPSHOTS_MAX = 4096, TOMBSTONE_BYTES_MAX = 4096 * ID_SIZE + 512 };

struct tombstone {
    struct deed deed;
    struct id_list snapshots; /* filled in by _open */
};

/* `snapshots` ascending. */
MUST_CHECK enum err tombstone_make(const struct deed *deed, const struct id *snapshots,
                                   size_t count, const struct swarm_root *swarm,
                                   const struct sign_key *key, struct buf *out);
MUST_CHECK enum err tombstone_open(struct slice bytes, const struct swarm_root *swarm,
                                   const struct id *signer, struct tombstone *out,
                                   struct errmsg *msg);
