/* How a device shows itself before any manifest names it (recovery by phrase): document "recovery",
 * signed by the account's root. The account follows from the signer. */
#pragma once

#include "identity/document.h"

enum { RECOVERY_CERT_BYTES_MAX = 512 };

struct recovery_cert {
    uint8_t device_key[SIGN_PUBLIC_SIZE];
    unsigned capabilities; /* manifest.h's bits */
    int64_t time_s;
    /* filled in by _open, ignored by _make */
    uint8_t root[SIGN_PUBLIC_SIZE];
    struct id account;
    struct id device;
};

MUST_CHECK enum err recovery_cert_make(const struct recovery_cert *cert,
                                       const struct swarm_root *swarm, const struct sign_key *root,
                                       struct buf *out);
/* Who holds a root may say what he likes about his own account; the caller compares `device` with
   the peer's ID. */
MUST_CHECK enum err recovery_cert_open(struct slice bytes, const struct swarm_root *swarm,
                                       struct recovery_cert *out, struct errmsg *msg);
