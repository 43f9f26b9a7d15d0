/*
 * Sealing to a public key: what is sealed to an X25519 key only its holder opens, and the sender
 * stays unnamed. The bytes are libsodium's crypto_box_curve25519xchacha20poly1305_seal: ephemeral
 * public key (32) ‖ tag (16) ‖ ciphertext, nonce = BLAKE2b-192(ephemeral key ‖ public key).
 *
 * It says nothing of who sealed: sign what must have an author.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

enum {
    SEAL_SEED_SIZE = 32,
    SEAL_PUBLIC_SIZE = 32,
    SEAL_SECRET_SIZE = 32,
    SEAL_OVERHEAD = 48, /* sealed size - plain size */
};

/* The key pair of a seed (secret = first half of SHA-512(seed), clamped). */
void seal_pair(const uint8_t seed[SEAL_SEED_SIZE], uint8_t public[SEAL_PUBLIC_SIZE],
               uint8_t secret[SEAL_SECRET_SIZE]);

/* `ephemeral` are 32 fresh random bytes, for this call only. `out` holds plain.size + SEAL_OVERHEAD
   bytes and does not overlap `plain`. ERR_FORMAT when `public` is a point of small order;
   ERR_NOMEM. */
MUST_CHECK enum err seal(const uint8_t public[SEAL_PUBLIC_SIZE],
                         const uint8_t ephemeral[SEAL_SEED_SIZE], struct slice plain, uint8_t *out);

/* `out` holds sealed.size - SEAL_OVERHEAD bytes and does not overlap `sealed`. ERR_FORMAT when too
   short; ERR_AUTH when it was not sealed to this pair or was changed. */
MUST_CHECK enum err seal_open(const uint8_t public[SEAL_PUBLIC_SIZE],
                              const uint8_t secret[SEAL_SECRET_SIZE], struct slice sealed,
                              uint8_t *out);
