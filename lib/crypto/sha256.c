#include "crypto/sha256.h"
#include "crypto/crypto_internal.h"

#include <sodium.h>
#include <stdlib.h>

struct sha256 {
    EVP_MD_CTX *context; /* owned */
};

void sha256(struct slice bytes, uint8_t out[SHA256_SIZE])
{
    crypto_hash_sha256(out, bytes.data, bytes.size);
}

enum err sha256_new(struct sha256 **out)
{
    struct sha256 *h = calloc(1, sizeof(*h));
    if (h == NULL)
        return ERR_NOMEM;
    h->context = EVP_MD_CTX_new();
    /* the first start allocates the state, which later ones use again */
    if (h->context == NULL || EVP_DigestInit_ex2(h->context, crypto_objects()->sha256, NULL) != 1) {
        sha256_free(h);
        return ERR_NOMEM;
    }
    *out = h;
    return ERR_OK;
}

void sha256_free(struct sha256 *h)
{
    if (h == NULL)
        return;
    EVP_MD_CTX_free(h->context);
    free(h);
}

void sha256_start(struct sha256 *h)
{
    crypto_must(EVP_DigestInit_ex2(h->context, NULL, NULL));
}

void sha256_add(struct sha256 *h, struct slice bytes)
{
    if (bytes.size != 0)
        crypto_must(EVP_DigestUpdate(h->context, bytes.data, bytes.size));
}

void sha256_finish(struct sha256 *h, uint8_t out[SHA256_SIZE])
{
    crypto_must(EVP_DigestFinal_ex(h->context, out, NULL));
}

void sha256_once(struct sha256 *h, struct slice bytes, uint8_t out[SHA256_SIZE])
{
    sha256_start(h);
    sha256_add(h, bytes);
    sha256_finish(h, out);
}

void sha256_start_leaf(struct sha256 *h)
{
    static const uint8_t prefix = 0x00;
    sha256_start(h);
    sha256_add(h, slice_of(&prefix, 1));
}

void sha256_leaf(struct sha256 *h, struct slice data, uint8_t out[SHA256_SIZE])
{
    sha256_start_leaf(h);
    sha256_add(h, data);
    sha256_finish(h, out);
}

void sha256_node(struct sha256 *h, const uint8_t left[SHA256_SIZE],
                 const uint8_t right[SHA256_SIZE], uint8_t out[SHA256_SIZE])
{
    uint8_t block[1 + 2 * SHA256_SIZE] = {0x01};
    memcpy(block + 1, left, SHA256_SIZE);
    memcpy(block + 1 + SHA256_SIZE, right, SHA256_SIZE);
    sha256_once(h, slice_of(block, sizeof(block)), out);
}
