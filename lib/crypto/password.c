#include "crypto/password.h"

#include <sodium.h>

enum err password_key(struct slice passphrase, const uint8_t salt[PASSWORD_SALT_SIZE],
                      struct password_cost cost, uint8_t out[PASSWORD_KEY_SIZE])
{
    if (cost.passes < PASSWORD_PASSES_MIN || cost.passes > PASSWORD_PASSES_MAX ||
        cost.memory_kib < PASSWORD_MEMORY_MIN_KIB || cost.memory_kib > PASSWORD_MEMORY_MAX_KIB)
        return ERR_TOO_LARGE;
    if (crypto_pwhash(out, PASSWORD_KEY_SIZE, (const char *)passphrase.data, passphrase.size, salt,
                      cost.passes, (size_t)cost.memory_kib << 10,
                      crypto_pwhash_ALG_ARGON2ID13) != 0)
        return ERR_NOMEM;
    return ERR_OK;
}
