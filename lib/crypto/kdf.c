#include "crypto/kdf.h"
#include "crypto/crypto_internal.h"
#include "crypto/secret.h"

#include <sodium.h>

static void derive(const uint8_t key[KDF_KEY_SIZE], const char *label, struct slice extra,
                   uint8_t *out, size_t size)
{
    crypto_generichash_state state;
    struct slice words = slice_text(label);
    crypto_must(crypto_generichash_init(&state, key, KDF_KEY_SIZE, size) == 0);
    crypto_must(crypto_generichash_update(&state, words.data, words.size) == 0);
    crypto_must(crypto_generichash_update(&state, extra.data, extra.size) == 0);
    crypto_must(crypto_generichash_final(&state, out, size) == 0);
    secret_wipe(&state, sizeof(state));
}

void kdf_32(const uint8_t key[KDF_KEY_SIZE], const char *label, struct slice extra, uint8_t out[32])
{
    derive(key, label, extra, out, 32);
}

void kdf_64(const uint8_t key[KDF_KEY_SIZE], const char *label, struct slice extra, uint8_t out[64])
{
    derive(key, label, extra, out, 64);
}

void kdf_stream(const uint8_t key[KDF_KEY_SIZE], const char *label, uint8_t *out, size_t size)
{
    uint8_t subkey[KDF_KEY_SIZE];
    static const uint8_t nonce[crypto_stream_chacha20_ietf_NONCEBYTES];
    kdf_32(key, label, (struct slice){0}, subkey);
    crypto_must(crypto_stream_chacha20_ietf(out, size, nonce, subkey) == 0);
    secret_wipe(subkey, sizeof(subkey));
}
