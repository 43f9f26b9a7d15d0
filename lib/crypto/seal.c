#include "crypto/seal.h"
#include "crypto/crypto_internal.h"
#include "crypto/secret.h"

#include <sodium.h>

enum { NONCE_SIZE = crypto_box_curve25519xchacha20poly1305_NONCEBYTES };

void seal_pair(const uint8_t seed[SEAL_SEED_SIZE], uint8_t public[SEAL_PUBLIC_SIZE],
               uint8_t secret[SEAL_SECRET_SIZE])
{
    crypto_must(crypto_box_curve25519xchacha20poly1305_seed_keypair(public, secret, seed) == 0);
}

/* As libsodium's own _seal(), whose ephemeral key comes from the system instead of an argument. */
enum err seal(const uint8_t public[SEAL_PUBLIC_SIZE], const uint8_t ephemeral[SEAL_SEED_SIZE],
              struct slice plain, uint8_t *out)
{
    uint8_t secret[SEAL_SECRET_SIZE], nonce[NONCE_SIZE];
    uint8_t keys[2 * SEAL_PUBLIC_SIZE];
    seal_pair(ephemeral, keys, secret);
    memcpy(keys + SEAL_PUBLIC_SIZE, public, SEAL_PUBLIC_SIZE);
    crypto_must(crypto_generichash(nonce, sizeof(nonce), keys, sizeof(keys), NULL, 0) == 0);
    memcpy(out, keys, SEAL_PUBLIC_SIZE);
    int bad = crypto_box_curve25519xchacha20poly1305_easy(out + SEAL_PUBLIC_SIZE, plain.data,
                                                          plain.size, nonce, public, secret);
    secret_wipe(secret, sizeof(secret));
    return bad != 0 ? ERR_FORMAT : ERR_OK;
}

enum err seal_open(const uint8_t public[SEAL_PUBLIC_SIZE], const uint8_t secret[SEAL_SECRET_SIZE],
                   struct slice sealed, uint8_t *out)
{
    if (sealed.size < SEAL_OVERHEAD)
        return ERR_FORMAT;
    if (crypto_box_curve25519xchacha20poly1305_seal_open(out, sealed.data, sealed.size, public,
                                                         secret) != 0)
        return ERR_AUTH;
    return ERR_OK;
}
