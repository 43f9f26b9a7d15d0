/* identity/'s texts: recovery phrase, invite string, address. The first byte chooses. */
#include "fuzz.h"

#include "crypto/crypto.h"
#include "identity/invite_text.h"
#include "identity/phrase.h"

static void try_phrase(const char *text)
{
    uint8_t entropy[PHRASE_ENTROPY_SIZE], twice[PHRASE_ENTROPY_SIZE];
    char again[PHRASE_TEXT_SIZE];
    struct errmsg msg = {.text = ""};
    enum err e = phrase_decode(text, entropy, &msg);
    FUZZ_CHECK(e == ERR_OK || (e == ERR_SECRET && msg.text[0] != 0));
    if (e != ERR_OK)
        return;
    phrase_encode(entropy, again);
    FUZZ_CHECK(phrase_decode(again, twice, &msg) == ERR_OK);
    FUZZ_CHECK(memcmp(entropy, twice, sizeof(entropy)) == 0);
}

static void try_invite(const char *text)
{
    static struct invite_text invite;
    struct errmsg msg;
    struct buf again = BUF_INIT(INVITE_TEXT_MAX);
    memset(&invite, 0, sizeof(invite));
    if (invite_text_open(text, &invite, &msg) == ERR_OK) {
        static struct invite_text twice;
        memset(&twice, 0, sizeof(twice));
        FUZZ_CHECK(invite_text_make(&invite, &again) == ERR_OK);
        FUZZ_CHECK(buf_append_u8(&again, 0) == ERR_OK);
        FUZZ_CHECK(invite_text_open((const char *)again.data, &twice, &msg) == ERR_OK);
        FUZZ_CHECK(twice.kind == invite.kind && slice_equal(twice.invite, invite.invite));
        invite_text_free(&twice);
        invite_text_free(&invite);
    }
    buf_free(&again);
}

static void try_address(const char *text)
{
    struct address_list list = {.count = 0};
    if (address_valid(text))
        FUZZ_CHECK(address_list_add(&list, text) == ERR_OK && list.count == 1);
    else
        FUZZ_CHECK(address_list_add(&list, text) != ERR_OK && list.count == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FUZZ_CHECK(crypto_init(NULL) == ERR_OK);
    if (size == 0)
        return 0;
    char *text = malloc(size);
    if (!text)
        return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = 0;
    switch (data[0] % 3) {
    case 0:
        try_phrase(text);
        break;
    case 1:
        try_invite(text);
        break;
    default:
        try_address(text);
    }
    free(text);
    return 0;
}

static void put_text(fuzz_seed_fn *put, void *user, const char *name, char kind, const char *text)
{
    struct buf seed = BUF_INIT(INVITE_TEXT_MAX + 64);
    if (buf_append_u8(&seed, (uint8_t)kind) == ERR_OK && buf_append_text(&seed, text) == ERR_OK)
        put(user, name, buf_slice(&seed));
    buf_free(&seed);
}

static void put_invite(fuzz_seed_fn *put, void *user)
{
    static const uint8_t seed[SIGN_SEED_SIZE] = "the only key of the fuzz targets";
    struct sign_key *key;
    FUZZ_CHECK(sign_key_new(seed, &key) == ERR_OK);
    static struct invite_text text;
    struct buf cert_bytes = BUF_INIT(4096), invite_bytes = BUF_INIT(4096);
    struct buf out = BUF_INIT(INVITE_TEXT_MAX + 1);
    swarm_root_of(sign_key_public(key), &text.swarm);
    FUZZ_CHECK(address_list_add(&text.addresses, "192.0.2.7:7400") == ERR_OK);
    struct coordinator_cert cert = {
        .incarnation = 1, .time_s = 1700000000, .addresses = text.addresses};
    memcpy(cert.key, sign_key_public(key), sizeof(cert.key));
    struct invite invite = {
        .kind = INVITE_ACCOUNT, .uses = 2, .expires_s = 1700000000, .incarnation = 1};
    FUZZ_CHECK(coordinator_cert_make(&cert, &text.swarm, key, &cert_bytes) == ERR_OK);
    FUZZ_CHECK(invite_make(&invite, &text.swarm, key, &invite_bytes) == ERR_OK);
    text.coordinator = buf_slice(&cert_bytes);
    text.invite = buf_slice(&invite_bytes);
    FUZZ_CHECK(invite_text_make(&text, &out) == ERR_OK && buf_append_u8(&out, 0) == ERR_OK);
    put_text(put, user, "invite", '1', (const char *)out.data);
    buf_free(&out);
    buf_free(&invite_bytes);
    buf_free(&cert_bytes);
    sign_key_free(key);
}

void fuzz_seeds(fuzz_seed_fn *put, void *user)
{
    uint8_t entropy[PHRASE_ENTROPY_SIZE];
    char phrase[PHRASE_TEXT_SIZE];
    FUZZ_CHECK(crypto_init(NULL) == ERR_OK);
    for (size_t i = 0; i < sizeof(entropy); i++)
        entropy[i] = (uint8_t)(i * 37);
    phrase_encode(entropy, phrase);
    put_text(put, user, "phrase", '0', phrase);
    put_text(put, user, "address-name", '2', "cell.example:7400");
    put_text(put, user, "address-six", '2', "[2001:db8::1]:65535");
    put_invite(put, user);
}
