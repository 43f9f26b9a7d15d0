#include "identity/swarm_root.h"

#include "crypto/kdf.h"
#include "crypto/secret.h"
#include "crypto/sha256.h"

void swarm_root_of(const uint8_t key[SIGN_PUBLIC_SIZE], struct swarm_root *out)
{
    memmove(out->key, key, SIGN_PUBLIC_SIZE);
    sha256(slice_of(out->key, SIGN_PUBLIC_SIZE), out->hash.bytes);
}

enum err swarm_root_key(const uint8_t entropy[32], struct sign_key **out)
{
    uint8_t seed[SIGN_SEED_SIZE];
    kdf_32(entropy, "cellar/swarm/root", (struct slice){0}, seed);
    enum err e = sign_key_new(seed, out);
    secret_wipe(seed, sizeof(seed));
    return e;
}
