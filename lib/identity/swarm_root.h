/*
 * The swarm's root: the key that its first coordinator made, printed on its sheet. Invites pin it,
 * it certifies coordinators, and every signature of the swarm covers its hash, so that nothing
 * signed in one swarm means anything in another.
 */
#pragma once

#include "base/id.h"
#include "crypto/sign.h"

struct swarm_root {
    uint8_t key[SIGN_PUBLIC_SIZE];
    struct id hash; /* SHA-256(key) */
};

void swarm_root_of(const uint8_t key[SIGN_PUBLIC_SIZE], struct swarm_root *out);

/* The root's secret key, from the 32 bytes of the sheet's phrase: the seed is
   kdf_32(entropy, "cellar/swarm/root"). ERR_NOMEM. */
MUST_CHECK enum err swarm_root_key(const uint8_t entropy[32], struct sign_key **out);
