/*
 * Devices that want to become one of an account: the requests rest with the coordinator and the
 * cells that keep the account's heads, until an admin device asks for them.
 *
 *     POST /v1/devices/{account} wire_device_ask -> 200 wire_device_reply
 *     GET  /v1/devices/{account}                 -> 200 wire_device_requests
 */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "wire/wire_list.h"

enum {
    WIRE_DEVICE_REQUESTS_MAX = 16, /* that wait for one account at a time */
    WIRE_DEVICE_REDUNDANCY_BYTES = 16,
};

#define WIRE_DEVICE_ASK_BYTES      4096u
#define WIRE_DEVICE_REPLY_BYTES    (LIMIT_MANIFEST_BYTES + 256u)
#define WIRE_DEVICE_REQUESTS_BYTES 65536u

/* By a stranger with an invite; without a request it only asks how things are. By a device of the
   account without an invite. */
struct wire_device_ask {
    struct slice invite;  /* document "device-invite"; size 0: none */
    struct slice request; /* document "device-request"; size 0: none */
};

MUST_CHECK enum err wire_device_ask_encode(const struct wire_device_ask *ask, struct buf *out);
MUST_CHECK enum err wire_device_ask_decode(struct slice in, struct wire_device_ask *out);

struct wire_device_reply {
    struct slice manifest;   /* document: the newest here; who is in it has been taken in */
    struct slice redundancy; /* text, what this swarm uses; size 0: not known here */
    bool waiting;            /* a request of the asking device rests here */
};

MUST_CHECK enum err wire_device_reply_encode(const struct wire_device_reply *reply,
                                             struct buf *out);
MUST_CHECK enum err wire_device_reply_decode(struct slice in, struct wire_device_reply *out);

/* --- what waits, for an admin; each as it was brought --- */

MUST_CHECK enum err wire_device_requests_encode(const struct wire_device_ask *asks, size_t count,
                                                struct buf *out);
MUST_CHECK enum err wire_device_requests_decode(struct slice in, struct wire_list *out);
bool wire_device_requests_next(struct wire_list *list, struct wire_device_ask *out);
