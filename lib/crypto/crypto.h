/*
 * The room of the outside cryptography: the only one with <sodium.h> and <openssl/evp.h>.
 *
 * Everything here is a pure function of its arguments (keys, nonces and seeds are arguments),
 * except crypto_random(). crypto_init() comes before all else. Functions without an object may run
 * in any thread; an object (struct sha256, keyed_hash, aead) belongs to one thread at a time.
 */
#pragma once

#include "base/err.h"

#include <stddef.h>

/* Starts libsodium and fetches OpenSSL's objects (the only globals of the room, constant from here
   on). Once a process or more often, any thread. ERR_UNSUPPORTED when a library lacks what we need.
 */
MUST_CHECK enum err crypto_init(struct errmsg *msg);

/* The kernel's random bytes; what the real random port (port/random.h) hands out. Cannot fail. */
void crypto_random(void *out, size_t size);
