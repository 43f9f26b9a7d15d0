/*
 * Of this room only. One small question to one peer, and what its answer means.
 */
#pragma once

#include "base/buf.h"
#include "swarm/swarm_peer.h"
#include "wire/wire_path.h"

/* ERR_OK: a 2xx, `body` is the answer. Else the peer's error or the connection's; `body` is then
   the newer document of a STALE, or empty. Borrowed. Never called from inside swarm_ask_start(). */
typedef void swarm_ask_fn(void *user, enum err e, struct slice body, const struct errmsg *msg);

struct swarm_ask;

/* `body` (may be NULL) is moved from, also with an error. `reply_max`: of a good answer. */
MUST_CHECK enum err swarm_ask_start(struct swarm *swarm, struct swarm_peer *peer,
                                    enum net_method method, const char *path, struct buf *body,
                                    size_t reply_max, swarm_ask_fn *done, void *user,
                                    struct swarm_ask **out, struct errmsg *msg);
void swarm_ask_cancel(struct swarm_ask *ask);
