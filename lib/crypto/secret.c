#include "crypto/secret.h"

#include <sodium.h>
#include <string.h>

void *secret_new(size_t size)
{
    void *secret = sodium_malloc(size);
    if (secret != NULL)
        memset(secret, 0, size);
    return secret;
}

void secret_free(void *secret)
{
    sodium_free(secret);
}

void secret_wipe(void *data, size_t size)
{
    sodium_memzero(data, size);
}

bool secret_equal(const void *a, const void *b, size_t size)
{
    return sodium_memcmp(a, b, size) == 0;
}
