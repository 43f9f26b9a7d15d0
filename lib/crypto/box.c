#include "crypto/box.h"
#include "crypto/crypto_internal.h"
#include "crypto/kdf.h"
#include "crypto/secret.h"

#include <sodium.h>

enum { COMMITMENT_SIZE = 32, TEXT_AT = BOX_NONCE_SIZE + COMMITMENT_SIZE };

void box_seal(const uint8_t key[BOX_KEY_SIZE], const uint8_t nonce[BOX_NONCE_SIZE],
              struct slice aad, struct slice plain, uint8_t *out)
{
    uint8_t derived[64];
    kdf_64(key, "cellar/box", slice_of(nonce, BOX_NONCE_SIZE), derived);
    memcpy(out, nonce, BOX_NONCE_SIZE);
    memcpy(out + BOX_NONCE_SIZE, derived + 32, COMMITMENT_SIZE);
    crypto_must(crypto_aead_xchacha20poly1305_ietf_encrypt(out + TEXT_AT, NULL, plain.data,
                                                           plain.size, aad.data, aad.size, NULL,
                                                           nonce, derived) == 0);
    secret_wipe(derived, sizeof(derived));
}

enum err box_open(const uint8_t key[BOX_KEY_SIZE], struct slice aad, struct slice box, uint8_t *out)
{
    uint8_t derived[64];
    enum err e = ERR_OK;
    if (box.size < BOX_OVERHEAD)
        return ERR_FORMAT;
    kdf_64(key, "cellar/box", slice_of(box.data, BOX_NONCE_SIZE), derived);
    if (!secret_equal(derived + 32, box.data + BOX_NONCE_SIZE, COMMITMENT_SIZE))
        e = ERR_SECRET;
    else if (crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, box.data + TEXT_AT,
                                                        box.size - TEXT_AT, aad.data, aad.size,
                                                        box.data, derived) != 0)
        e = ERR_AUTH;
    secret_wipe(derived, sizeof(derived));
    return e;
}
