/* A condemned list, document "condemned", signed by a `delete` device: these segments will be
 * deleted. The deletion waits until a later head of every unrevoked device was seen, or that device
 * is excluded here by name, or 60 days passed; a backup stores again what it refers to and finds
 * condemned. */
#pragma once

#include "identity/deed.h"
#include "identity/id_list.h"
#include "identity/manifest.h"

enum { CONDEMNED_SEGMENTS_MAX = 65536, CONDEMNED_BYTES_MAX = 65536 * ID_SIZE + 4096 };

struct condemned {
    struct deed deed;
    struct id_list segments;                 /* filled in by _open; to _make they are an argument */
    uint32_t excluded[MANIFEST_DEVICES_MAX]; /* slots, ascending */
    size_t excluded_count;
};

/* `segments` ascending. */
MUST_CHECK enum err condemned_make(const struct condemned *condemned, const struct id *segments,
                                   size_t count, const struct swarm_root *swarm,
                                   const struct sign_key *key, struct buf *out);
MUST_CHECK enum err condemned_open(struct slice bytes, const struct swarm_root *swarm,
                                   const struct id *signer, struct condemned *out,
                                   struct errmsg *msg);
