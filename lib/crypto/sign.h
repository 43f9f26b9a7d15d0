/*
 * Ed25519 (RFC 8032) signatures, detached, and the IDs of their keys.
 *
 * What is signed always begins with its own type (identity/document.h); these functions sign what
 * they are given. Verification is libsodium's: s must be below the group order, keys and R of small
 * order and keys off the curve are refused.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"
#include "base/id.h"

enum { SIGN_SEED_SIZE = 32, SIGN_PUBLIC_SIZE = 32, SIGN_SIZE = 64, SIGN_SPKI_SIZE = 44 };

/* A secret key in locked memory, with its public half and ID. May be used by several threads. */
struct sign_key;

/* The key of a 32-byte seed. ERR_NOMEM. */
MUST_CHECK enum err sign_key_new(const uint8_t seed[SIGN_SEED_SIZE], struct sign_key **out);
void sign_key_free(struct sign_key *key);

/* Borrowed from `key`. */
const uint8_t *sign_key_public(const struct sign_key *key);
const struct id *sign_key_id(const struct sign_key *key);
const uint8_t *sign_key_seed(const struct sign_key *key); /* for the TLS certificate */

/* Signing cannot fail; about 25 us. */
void sign(const struct sign_key *key, struct slice message, uint8_t out[SIGN_SIZE]);

/* ERR_AUTH when the signature is not `public`'s of `message`; about 60 us. */
MUST_CHECK enum err sign_verify(const uint8_t public[SIGN_PUBLIC_SIZE], struct slice message,
                                const uint8_t signature[SIGN_SIZE]);

/* The key's SubjectPublicKeyInfo (RFC 8410) in DER, as in its certificate. */
void sign_spki(const uint8_t public[SIGN_PUBLIC_SIZE], uint8_t out[SIGN_SPKI_SIZE]);

/* SHA-256 of the SPKI: a cell's, device's or coordinator's ID. */
void sign_id(const uint8_t public[SIGN_PUBLIC_SIZE], struct id *out);
