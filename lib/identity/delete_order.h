/*
 * A delete order, document "delete": the holder forgets these segments after the manifest's hold;
 * signed by a `delete` device, or by the account's root, which alone may say `at_once`. An undelete
 * order, document "undelete", takes such orders back during the hold; only the root's counts.
 */
#pragma once

#include "identity/deed.h"
#include "identity/id_list.h"
#include "identity/manifest.h"

enum { DELETE_ORDER_SEGMENTS_MAX = 4096, DELETE_ORDER_BYTES_MAX = 4096 * ID_SIZE + 512 };

struct delete_order {
    struct deed deed;
    struct id_list segments; /* filled in by _open; undelete: empty means all that wait */
    bool at_once;            /* delete only */
};

/* `segments` ascending, at least one. */
MUST_CHECK enum err delete_order_make(const struct deed *deed, bool at_once,
                                      const struct id *segments, size_t count,
                                      const struct swarm_root *swarm, const struct sign_key *key,
                                      struct buf *out);
/* Also ERR_DENIED when a device says `at_once`. */
MUST_CHECK enum err delete_order_open(struct slice bytes, const struct swarm_root *swarm,
                                      const struct id *signer, struct delete_order *out,
                                      struct errmsg *msg);

MUST_CHECK enum err delete_order_make_undo(const struct deed *deed, const struct id *segments,
                                           size_t count, const struct swarm_root *swarm,
                                           const struct sign_key *root, struct buf *out);
/* Also ERR_DENIED when anybody but the account's root signed. */
MUST_CHECK enum err delete_order_open_undo(struct slice bytes, const struct swarm_root *swarm,
                                           struct delete_order *out, struct errmsg *msg);

/* May its signer give this order, by the newest manifest of the account that is known here? The
   root may; a device may when it is in it, unrevoked, with `delete`. ERR_DENIED; ERR_STALE when the
   order was signed under a newer manifest, which has to be shown first. */
MUST_CHECK enum err delete_order_allowed(const struct delete_order *order, const struct manifest *m,
                                         struct errmsg *msg);
