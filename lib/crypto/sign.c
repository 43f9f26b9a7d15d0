#include "crypto/sign.h"
#include "crypto/crypto_internal.h"
#include "crypto/secret.h"
#include "crypto/sha256.h"

#include <sodium.h>

struct sign_key {
    uint8_t secret[crypto_sign_SECRETKEYBYTES]; /* seed, then the public key */
    uint8_t public[SIGN_PUBLIC_SIZE];
    struct id id;
};

enum err sign_key_new(const uint8_t seed[SIGN_SEED_SIZE], struct sign_key **out)
{
    struct sign_key *key = secret_new(sizeof(*key));
    if (key == NULL)
        return ERR_NOMEM;
    crypto_must(crypto_sign_seed_keypair(key->public, key->secret, seed) == 0);
    sign_id(key->public, &key->id);
    *out = key;
    return ERR_OK;
}

void sign_key_free(struct sign_key *key)
{
    secret_free(key);
}

const uint8_t *sign_key_public(const struct sign_key *key)
{
    return key->public;
}

const struct id *sign_key_id(const struct sign_key *key)
{
    return &key->id;
}

const uint8_t *sign_key_seed(const struct sign_key *key)
{
    return key->secret;
}

void sign(const struct sign_key *key, struct slice message, uint8_t out[SIGN_SIZE])
{
    crypto_must(crypto_sign_detached(out, NULL, message.data, message.size, key->secret) == 0);
}

enum err sign_verify(const uint8_t public[SIGN_PUBLIC_SIZE], struct slice message,
                     const uint8_t signature[SIGN_SIZE])
{
    if (crypto_sign_verify_detached(signature, message.data, message.size, public) != 0)
        return ERR_AUTH;
    return ERR_OK;
}

void sign_spki(const uint8_t public[SIGN_PUBLIC_SIZE], uint8_t out[SIGN_SPKI_SIZE])
{
    /* SEQUENCE { SEQUENCE { OID 1.3.101.112 } BIT STRING (33 bytes, no unused bits) */
    static const uint8_t prefix[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                     0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
    memcpy(out, prefix, sizeof(prefix));
    memcpy(out + sizeof(prefix), public, SIGN_PUBLIC_SIZE);
}

void sign_id(const uint8_t public[SIGN_PUBLIC_SIZE], struct id *out)
{
    uint8_t spki[SIGN_SPKI_SIZE];
    sign_spki(public, spki);
    sha256(slice_of(spki, sizeof(spki)), out->bytes);
}
