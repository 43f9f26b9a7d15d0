/*
 * An account: its ID and the keys that come from its recovery phrase.
 *
 *     phrase (32 bytes) + swarm hash
 *      ├ "cellar/account/root"       Ed25519 seed: certifies admins, outranks them, undeletes
 *      ├ "cellar/account/reading"    X25519 seed: data keys are sealed to it
 *      ├ "cellar/account/chunk-id"   keyed_hash.h
 *      └ "cellar/account/cut-point"  the chunker's table
 *
 * each kdf_32(phrase, label, swarm hash), so that one phrase used in two swarms cannot be linked.
 */
#pragma once

#include "base/id.h"
#include "crypto/keyed_hash.h"
#include "crypto/seal.h"
#include "crypto/sign.h"
#include "identity/swarm_root.h"

/* What a `read` device of the account holds. Keep it in secret_new() memory. */
struct account_secrets {
    uint8_t reading_secret[SEAL_SECRET_SIZE];
    uint8_t chunk_id_key[KEYED_HASH_KEY_SIZE];
    uint8_t cut_point_key[32];
};

/* What the phrase gives. Keep it in secret_new() memory; account_keys_clear() frees the root. */
struct account_keys {
    struct sign_key *root; /* owned */
    struct id account;
    uint8_t reading_public[SEAL_PUBLIC_SIZE];
    struct account_secrets secrets;
};

enum { ACCOUNT_SECRETS_SIZE = 96, ACCOUNT_SECRETS_SEALED_SIZE = 96 + SEAL_OVERHEAD };

/* SHA-256("cellar/account/v1\0" ‖ swarm root's key ‖ account root's key). */
void account_id(const struct swarm_root *swarm, const uint8_t root[SIGN_PUBLIC_SIZE],
                struct id *out);

/* ERR_NOMEM. */
MUST_CHECK enum err account_keys_derive(const uint8_t entropy[32], const struct swarm_root *swarm,
                                        struct account_keys *out);

/* Frees the root's key and wipes the struct; nothing for a zeroed one. */
void account_keys_clear(struct account_keys *keys);

/* The secrets (96 bytes in the order of the struct), sealed to a read device's own key. `ephemeral`
   are fresh random bytes. Errors of seal() and seal_open(). */
MUST_CHECK enum err account_secrets_seal(const struct account_secrets *secrets,
                                         const uint8_t device[SEAL_PUBLIC_SIZE],
                                         const uint8_t ephemeral[SEAL_SEED_SIZE],
                                         uint8_t out[ACCOUNT_SECRETS_SEALED_SIZE]);
MUST_CHECK enum err account_secrets_open(const uint8_t sealed[ACCOUNT_SECRETS_SEALED_SIZE],
                                         const uint8_t device_public[SEAL_PUBLIC_SIZE],
                                         const uint8_t device_secret[SEAL_SECRET_SIZE],
                                         struct account_secrets *out);
