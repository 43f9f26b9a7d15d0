#include "crypto/crypto_internal.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

static struct crypto_objects objects;
static enum err init_result = ERR_STATE;
static pthread_once_t init_once = PTHREAD_ONCE_INIT;

static void init(void)
{
    init_result = ERR_UNSUPPORTED;
    if (sodium_init() < 0)
        return;
    objects.sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
    objects.aes_256_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    objects.chacha20_poly1305 = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
    if (objects.sha256 != NULL && objects.aes_256_gcm != NULL && objects.chacha20_poly1305 != NULL)
        init_result = ERR_OK;
}

enum err crypto_init(struct errmsg *msg)
{
    pthread_once(&init_once, init);
    if (init_result != ERR_OK)
        return err_say(msg, init_result,
                       "cannot start the cryptographic libraries: libsodium or OpenSSL lacks an "
                       "algorithm that every cell needs");
    return ERR_OK;
}

void crypto_random(void *out, size_t size)
{
    randombytes_buf(out, size);
}

const struct crypto_objects *crypto_objects(void)
{
    if (init_result != ERR_OK)
        abort();
    return &objects;
}

void crypto_must(int ok)
{
    if (ok != 1)
        abort();
}
