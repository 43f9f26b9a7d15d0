/*
 * A call whose request and response are small: collects the whole body (up to a limit) and gives it
 * in one piece. Every CBOR message goes this way; shards do not.
 */
#pragma once

#include "base/buf.h"
#include "port/net.h"

struct net_message;

/* Exactly once after net_message_start returned ERR_OK. `body` is borrowed during the call. With an
   error status is 0 and `msg` says why. A response over `body_max` ends with ERR_TOO_LARGE. */
typedef void net_message_fn(void *user, enum err e, unsigned status, struct slice body,
                            const struct errmsg *msg);

/* `request->body` slices must stay valid until `done`. */
MUST_CHECK enum err net_message_start(struct net *net, const struct net_request *request,
                                      size_t body_max, net_message_fn *done, void *user,
                                      struct net_message **out, struct errmsg *msg);

/* `done(ERR_CANCELLED)` follows, not from inside this call. */
void net_message_cancel(struct net_message *message);
