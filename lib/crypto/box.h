/*
 * Small sealed things under a shared 32-byte key (wrapped keys, a head's contents):
 * XChaCha20-Poly1305 with a random 192-bit nonce, and a commitment to the key, so that one box
 * cannot open under two keys (which matters where the key comes from a passphrase).
 *
 *     nonce (24) ‖ commitment (32) ‖ ciphertext ‖ tag (16)
 *
 * BLAKE2b-512(key, "cellar/box" ‖ nonce) = cipher key ‖ commitment. The AEAD's own nonce is
 * `nonce`.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

enum { BOX_KEY_SIZE = 32, BOX_NONCE_SIZE = 24, BOX_OVERHEAD = 24 + 32 + 16 };

/* `nonce` are 24 fresh random bytes. `out` holds plain.size + BOX_OVERHEAD bytes and does not
   overlap `plain`. `aad` is not stored: the opener must know it. */
void box_seal(const uint8_t key[BOX_KEY_SIZE], const uint8_t nonce[BOX_NONCE_SIZE],
              struct slice aad, struct slice plain, uint8_t *out);

/* `out` holds box.size - BOX_OVERHEAD bytes and does not overlap `box`. ERR_FORMAT when too short;
   ERR_SECRET when the key is another one; ERR_AUTH when the key is right and bytes or `aad` differ.
 */
MUST_CHECK enum err box_open(const uint8_t key[BOX_KEY_SIZE], struct slice aad, struct slice box,
                             uint8_t *out);
