/*
 * Invites. Document "invite", signed by a coordinator: somebody may join the swarm. Document
 * "device-invite", signed by an admin device or the account's root: a device may join the account.
 *
 * Whoever issued an invite counts its uses and looks at its expiry: the invited machine's clock may
 * be wrong, so nothing is refused there. How an invite is printed: invite_text.h.
 */
#pragma once

#include "identity/document.h"

enum { INVITE_ID_SIZE = 16, INVITE_BYTES_MAX = 512 };

/* The numbers stand in documents. */
enum invite_kind { INVITE_CELL = 1, INVITE_ACCOUNT = 2, INVITE_DEVICE = 3 };

struct invite {
    enum invite_kind kind; /* CELL or ACCOUNT */
    uint8_t id[INVITE_ID_SIZE];
    uint32_t uses; /* how often it may be redeemed, at least 1 */
    int64_t expires_s;
    uint32_t incarnation; /* of the coordinator that issued it */
    bool stranger;        /* a cell whose owner nobody knows: it is on trial first */
};

MUST_CHECK enum err invite_make(const struct invite *invite, const struct swarm_root *swarm,
                                const struct sign_key *coordinator, struct buf *out);
MUST_CHECK enum err invite_open(struct slice bytes, const struct swarm_root *swarm,
                                const struct id *coordinator, struct invite *out,
                                struct errmsg *msg);

struct invite_device {
    struct id account;
    unsigned capabilities; /* manifest.h's bits; admin counts only when the root signed */
    uint8_t id[INVITE_ID_SIZE];
    int64_t expires_s;
    struct id
        signer; /* filled in by _open: an admin of the account, or its root; the caller checks */
};

MUST_CHECK enum err invite_device_make(const struct invite_device *invite,
                                       const struct swarm_root *swarm, const struct sign_key *key,
                                       struct buf *out);
MUST_CHECK enum err invite_device_open(struct slice bytes, const struct swarm_root *swarm,
                                       const struct id *signer, struct invite_device *out,
                                       struct errmsg *msg);
