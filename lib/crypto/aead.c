#include "crypto/aead.h"
#include "crypto/crypto_internal.h"

#include <stdlib.h>
#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

enum { NONCE_SIZE = 12, SIZE_MAX_BYTES = 1 << 30 };

struct aead {
    EVP_CIPHER_CTX *context; /* owned; serves both directions, neither suite has a decryption key */
    bool keyed;
};

enum aead_suite aead_best_suite(void)
{
#if defined(__x86_64__) || defined(__i386__)
    if (__builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul"))
        return AEAD_AES_256_GCM;
#elif defined(__aarch64__)
    unsigned long has = getauxval(AT_HWCAP);
    if ((has & HWCAP_AES) != 0 && (has & HWCAP_PMULL) != 0)
        return AEAD_AES_256_GCM;
#endif
    return AEAD_CHACHA20_POLY1305;
}

enum err aead_new(struct aead **out)
{
    struct aead *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return ERR_NOMEM;
    a->context = EVP_CIPHER_CTX_new();
    if (a->context == NULL) {
        free(a);
        return ERR_NOMEM;
    }
    *out = a;
    return ERR_OK;
}

void aead_free(struct aead *a)
{
    if (a == NULL)
        return;
    EVP_CIPHER_CTX_free(a->context);
    free(a);
}

enum err aead_set_key(struct aead *a, unsigned suite, const uint8_t key[AEAD_KEY_SIZE])
{
    const EVP_CIPHER *cipher;
    switch (suite) {
    case AEAD_AES_256_GCM:
        cipher = crypto_objects()->aes_256_gcm;
        break;
    case AEAD_CHACHA20_POLY1305:
        cipher = crypto_objects()->chacha20_poly1305;
        break;
    default:
        return ERR_VERSION;
    }
    a->keyed = EVP_EncryptInit_ex2(a->context, cipher, key, NULL, NULL) == 1;
    return a->keyed ? ERR_OK : ERR_NOMEM;
}

/* Nonce and AAD of the next record, in one of the two directions. */
static void begin(struct aead *a, int encrypt, uint64_t number, struct slice aad)
{
    uint8_t nonce[NONCE_SIZE] = {0};
    int size;
    put_le64(nonce, number);
    crypto_must(EVP_CipherInit_ex2(a->context, NULL, NULL, nonce, encrypt, NULL));
    if (aad.size != 0)
        crypto_must(EVP_CipherUpdate(a->context, NULL, &size, aad.data, (int)aad.size));
}

enum err aead_seal(struct aead *a, uint64_t number, struct slice aad, struct slice plain,
                   uint8_t *out)
{
    int size = 0, last = 0;
    if (!a->keyed)
        return ERR_STATE;
    if (plain.size > SIZE_MAX_BYTES || aad.size > SIZE_MAX_BYTES)
        return ERR_TOO_LARGE;
    begin(a, 1, number, aad);
    if (plain.size != 0)
        crypto_must(EVP_EncryptUpdate(a->context, out, &size, plain.data, (int)plain.size));
    crypto_must(EVP_EncryptFinal_ex(a->context, out + size, &last));
    crypto_must(
        EVP_CIPHER_CTX_ctrl(a->context, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_SIZE, out + plain.size));
    return ERR_OK;
}

enum err aead_open(struct aead *a, uint64_t number, struct slice aad, struct slice sealed,
                   uint8_t *out)
{
    int size = 0, last = 0;
    uint8_t tag[AEAD_TAG_SIZE];
    if (!a->keyed)
        return ERR_STATE;
    if (sealed.size < AEAD_TAG_SIZE)
        return ERR_FORMAT;
    if (sealed.size > SIZE_MAX_BYTES || aad.size > SIZE_MAX_BYTES)
        return ERR_TOO_LARGE;
    size_t plain_size = sealed.size - AEAD_TAG_SIZE;
    memcpy(tag, sealed.data + plain_size, AEAD_TAG_SIZE);
    begin(a, 0, number, aad);
    if (plain_size != 0)
        crypto_must(EVP_DecryptUpdate(a->context, out, &size, sealed.data, (int)plain_size));
    crypto_must(EVP_CIPHER_CTX_ctrl(a->context, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_SIZE, tag));
    if (EVP_DecryptFinal_ex(a->context, out + size, &last) == 1)
        return ERR_OK;
    if (plain_size != 0)
        memset(out, 0, plain_size);
    return ERR_AUTH;
}
