#include "crypto/keyed_hash.h"
#include "crypto/secret.h"
#include "crypto/sha256.h"

enum { BLOCK_SIZE = 64 };

/* The padded keys are hashed again for every chunk: two blocks of 64 bytes, some 90 ns, against
   EVP_MD_CTX_copy_ex(), which allocates a state for each copy and costs more. */
struct keyed_hash {
    uint8_t inner[BLOCK_SIZE]; /* key ^ ipad */
    uint8_t outer[BLOCK_SIZE]; /* key ^ opad */
    struct sha256 *hash;       /* owned */
};

enum err keyed_hash_new(const uint8_t key[KEYED_HASH_KEY_SIZE], struct keyed_hash **out)
{
    struct keyed_hash *h = secret_new(sizeof(*h));
    if (h == NULL)
        return ERR_NOMEM;
    memset(h->inner, 0x36, BLOCK_SIZE);
    memset(h->outer, 0x5c, BLOCK_SIZE);
    for (size_t i = 0; i < KEYED_HASH_KEY_SIZE; i++) {
        h->inner[i] ^= key[i];
        h->outer[i] ^= key[i];
    }
    enum err e = sha256_new(&h->hash);
    if (e != ERR_OK) {
        secret_free(h);
        return e;
    }
    *out = h;
    return ERR_OK;
}

void keyed_hash_free(struct keyed_hash *h)
{
    if (h == NULL)
        return;
    sha256_free(h->hash);
    secret_free(h);
}

void keyed_hash(struct keyed_hash *h, struct slice bytes, uint8_t out[KEYED_HASH_SIZE])
{
    uint8_t digest[SHA256_SIZE];
    sha256_start(h->hash);
    sha256_add(h->hash, slice_of(h->inner, BLOCK_SIZE));
    sha256_add(h->hash, bytes);
    sha256_finish(h->hash, digest);
    sha256_start(h->hash);
    sha256_add(h->hash, slice_of(h->outer, BLOCK_SIZE));
    sha256_add(h->hash, slice_of(digest, SHA256_SIZE));
    sha256_finish(h->hash, out);
}
