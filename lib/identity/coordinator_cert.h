/* A coordinator's certificate, document "coordinator", signed by the swarm root. A new coordinator
 * of the same swarm has a higher incarnation, which voids the older one's invites, grants and
 * tickets. */
#pragma once

#include "identity/address.h"
#include "identity/document.h"

enum { COORDINATOR_CERT_BYTES_MAX = 4096 };

struct coordinator_cert {
    uint8_t key[SIGN_PUBLIC_SIZE];
    uint32_t incarnation;
    int64_t time_s;
    struct address_list addresses; /* when it was certified */
    struct id id;                  /* of `key`; filled in by _open, ignored by _make */
};

/* `root` is the swarm root's key. */
MUST_CHECK enum err coordinator_cert_make(const struct coordinator_cert *cert,
                                          const struct swarm_root *swarm,
                                          const struct sign_key *root, struct buf *out);
MUST_CHECK enum err coordinator_cert_open(struct slice bytes, const struct swarm_root *swarm,
                                          struct coordinator_cert *out, struct errmsg *msg);
