/* A renewal, document "renewal", signed by any device of the account: the account lives, so its
 * leases begin anew. The deed's sequence is the counter; the highest counts, and anyone may carry
 * it. */
#pragma once

#include "identity/deed.h"

enum { RENEWAL_BYTES_MAX = 512 };

MUST_CHECK enum err renewal_make(const struct deed *deed, const struct swarm_root *swarm,
                                 const struct sign_key *device, struct buf *out);
MUST_CHECK enum err renewal_open(struct slice bytes, const struct swarm_root *swarm,
                                 const struct id *device, struct deed *out, struct errmsg *msg);
