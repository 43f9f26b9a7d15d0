/* OpenSSL's objects, fetched once: fetching costs about a microsecond and takes locks. */
#pragma once

#include "crypto/crypto.h"

/* OpenSSL has a type of this name, which is none of ours. */
#define ERR_STATE openssl_err_state
#include <openssl/evp.h>
#undef ERR_STATE

struct crypto_objects {
    EVP_MD *sha256;
    EVP_CIPHER *aes_256_gcm;
    EVP_CIPHER *chacha20_poly1305;
};

/* Aborts before crypto_init(). */
const struct crypto_objects *crypto_objects(void);

/* For calls that cannot fail once their object exists: aborts when one does. */
void crypto_must(int ok);
