#include "identity/account.h"

#include "crypto/kdf.h"
#include "crypto/secret.h"
#include "crypto/sha256.h"

_Static_assert(sizeof(struct account_secrets) == ACCOUNT_SECRETS_SIZE, "three keys and no padding");

void account_id(const struct swarm_root *swarm, const uint8_t root[SIGN_PUBLIC_SIZE],
                struct id *out)
{
    static const char type[] = "cellar/account/v1"; /* its NUL is part of what is hashed */
    uint8_t bytes[sizeof(type) + 2 * SIGN_PUBLIC_SIZE];
    memcpy(bytes, type, sizeof(type));
    memcpy(bytes + sizeof(type), swarm->key, SIGN_PUBLIC_SIZE);
    memcpy(bytes + sizeof(type) + SIGN_PUBLIC_SIZE, root, SIGN_PUBLIC_SIZE);
    sha256(slice_of(bytes, sizeof(bytes)), out->bytes);
}

enum err account_keys_derive(const uint8_t entropy[32], const struct swarm_root *swarm,
                             struct account_keys *out)
{
    uint8_t seed[32];
    struct slice hash = slice_of(swarm->hash.bytes, ID_SIZE);
    kdf_32(entropy, "cellar/account/reading", hash, seed);
    seal_pair(seed, out->reading_public, out->secrets.reading_secret);
    kdf_32(entropy, "cellar/account/chunk-id", hash, out->secrets.chunk_id_key);
    kdf_32(entropy, "cellar/account/cut-point", hash, out->secrets.cut_point_key);
    kdf_32(entropy, "cellar/account/root", hash, seed);
    enum err e = sign_key_new(seed, &out->root);
    secret_wipe(seed, sizeof(seed));
    if (e != ERR_OK) {
        secret_wipe(out, sizeof(*out));
        return e;
    }
    account_id(swarm, sign_key_public(out->root), &out->account);
    return ERR_OK;
}

void account_keys_clear(struct account_keys *keys)
{
    sign_key_free(keys->root);
    secret_wipe(keys, sizeof(*keys));
}

enum err account_secrets_seal(const struct account_secrets *secrets,
                              const uint8_t device[SEAL_PUBLIC_SIZE],
                              const uint8_t ephemeral[SEAL_SEED_SIZE],
                              uint8_t out[ACCOUNT_SECRETS_SEALED_SIZE])
{
    return seal(device, ephemeral, slice_of(secrets, ACCOUNT_SECRETS_SIZE), out);
}

enum err account_secrets_open(const uint8_t sealed[ACCOUNT_SECRETS_SEALED_SIZE],
                              const uint8_t device_public[SEAL_PUBLIC_SIZE],
                              const uint8_t device_secret[SEAL_SECRET_SIZE],
                              struct account_secrets *out)
{
    return seal_open(device_public, device_secret, slice_of(sealed, ACCOUNT_SECRETS_SEALED_SIZE),
                     (uint8_t *)out);
}
