/*
 * Becoming a device of an account, and taking devices in: requests that rest with those who keep
 * the account's heads (swarm_heads.h). This room carries them; whoever gets them verifies them.
 */
#pragma once

#include "swarm/swarm.h"
#include "wire/wire_device.h"

/* What one peer answered; borrowed during the call. */
typedef void swarm_devices_reply_fn(void *user, const struct id *peer,
                                    const struct wire_device_reply *reply);

/* Brings an invite, a request, or both (wire_device.h) to the coordinator, and to the others unless
   that refuses it; may be asked before any hello (swarm_introduce). ERR_OK when somebody took it;
   else the error of those who refused it, or ERR_UNREACHABLE. `ask` is copied. */
MUST_CHECK enum err swarm_devices_ask(struct swarm *swarm, const struct id *account,
                                      const struct wire_device_ask *ask,
                                      swarm_devices_reply_fn *each, swarm_done_fn *done, void *user,
                                      struct errmsg *msg);

/* A request that one peer keeps; the same one comes from several. Borrowed during the call. */
typedef void swarm_devices_waiting_fn(void *user, const struct id *peer,
                                      const struct wire_device_ask *ask);

/* What waits, from all of them: for an admin device. Errors as above. */
MUST_CHECK enum err swarm_devices_waiting(struct swarm *swarm, const struct id *account,
                                          swarm_devices_waiting_fn *each, swarm_done_fn *done,
                                          void *user, struct errmsg *msg);
