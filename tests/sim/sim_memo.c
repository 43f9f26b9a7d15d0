#include "sim_memo.h"

#include "crypto/sha256.h"
#include "crypto/sign.h"

#include <string.h>

enum { SLOTS = 1 << 14 };

/* What the linker has put in the place of sign_verify() and sign(), and the real ones (-Wl,--wrap).
 */
enum err __wrap_sign_verify(const uint8_t public[SIGN_PUBLIC_SIZE], struct slice message,
                            const uint8_t signature[SIGN_SIZE]);
enum err __real_sign_verify(const uint8_t public[SIGN_PUBLIC_SIZE], struct slice message,
                            const uint8_t signature[SIGN_SIZE]);

void __wrap_sign(const struct sign_key *key, struct slice message, uint8_t out[SIGN_SIZE]);
void __real_sign(const struct sign_key *key, struct slice message, uint8_t out[SIGN_SIZE]);

struct slot {
    uint8_t question[32];
    enum err answer;
    bool taken;
};

/* One for the process: it stands where a function without context stood. */
static struct slot slots[SLOTS];
static struct sim_memo_counters counters;

static enum err hash_question(const uint8_t *public, struct slice message, const uint8_t *signature,
                              uint8_t out[32])
{
    struct sha256 *hash;
    const enum err e = sha256_new(&hash);
    if (e != ERR_OK)
        return e;
    sha256_start(hash);
    sha256_add(hash, slice_of(public, SIGN_PUBLIC_SIZE));
    sha256_add(hash, slice_of(signature, SIGN_SIZE));
    sha256_add(hash, message);
    sha256_finish(hash, out);
    sha256_free(hash);
    return ERR_OK;
}

enum err __wrap_sign_verify(const uint8_t public[SIGN_PUBLIC_SIZE], struct slice message,
                            const uint8_t signature[SIGN_SIZE])
{
    uint8_t question[32];
    counters.asked++;
    if (hash_question(public, message, signature, question) != ERR_OK)
        return __real_sign_verify(public, message, signature);
    struct slot *slot = &slots[get_le32(question) % SLOTS];
    if (slot->taken && memcmp(slot->question, question, sizeof(question)) == 0) {
        counters.remembered++;
        return slot->answer;
    }
    slot->answer = __real_sign_verify(public, message, signature);
    memcpy(slot->question, question, sizeof(question));
    slot->taken = true;
    return slot->answer;
}

void __wrap_sign(const struct sign_key *key, struct slice message, uint8_t out[SIGN_SIZE])
{
    uint8_t question[32];
    __real_sign(key, message, out);
    if (hash_question(sign_key_public(key), message, out, question) != ERR_OK)
        return;
    struct slot *slot = &slots[get_le32(question) % SLOTS];
    memcpy(slot->question, question, sizeof(question));
    slot->answer = ERR_OK;
    slot->taken = true;
}

void sim_memo_counters(struct sim_memo_counters *out)
{
    *out = counters;
}
