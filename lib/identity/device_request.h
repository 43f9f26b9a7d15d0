/*
 * A device request, document "device-request", signed by the device itself: "take me into this
 * account", with an invite of the account's; or, from a device that the manifest names, "this is my
 * next data key" (a non-admin's key rotation). It rests with the coordinator and the cells that
 * keep the account's heads until an admin device has looked.
 *
 * The data key is the device's own, sealed to the account's reading key: whoever may read opens it,
 * who carries it does not.
 */
#pragma once

#include "identity/invite.h"
#include "identity/manifest.h"

enum { DEVICE_REQUEST_BYTES_MAX = 1024 };

struct device_request {
    struct id account;
    bool invited;                   /* false: of a device that the manifest names already */
    uint8_t invite[INVITE_ID_SIZE]; /* with `invited` */
    uint8_t seal_key[SEAL_PUBLIC_SIZE];
    char name[LIMIT_NAME_BYTES + 1];
    struct manifest_epoch epoch; /* its data key; epoch 1 of a new device */
    int64_t time_s;
    /* filled in by _open, ignored by _make */
    uint8_t key[SIGN_PUBLIC_SIZE];
    struct id device;
};

MUST_CHECK enum err device_request_make(const struct device_request *request,
                                        const struct swarm_root *swarm,
                                        const struct sign_key *device, struct buf *out);
/* `device` may be NULL: then the request says who made it. */
MUST_CHECK enum err device_request_open(struct slice bytes, const struct swarm_root *swarm,
                                        const struct id *device, struct device_request *out,
                                        struct errmsg *msg);
