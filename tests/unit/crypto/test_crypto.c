/* crypto/: published vectors and those of other implementations (hashlib, libsodium through
 * ctypes), and that whatever is changed is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "crypto/aead.h"
#include "crypto/box.h"
#include "crypto/crypto.h"
#include "crypto/kdf.h"
#include "crypto/keyed_hash.h"
#include "crypto/password.h"
#include "crypto/seal.h"
#include "crypto/secret.h"
#include "crypto/sha256.h"
#include "crypto/sign.h"

#include <pthread.h>
#include <stdlib.h>

static void expect_hex(const void *data, size_t size, const char *hex)
{
    char text[512];
    assert_true(2 * size < sizeof(text));
    text_hex(slice_of(data, size), text);
    assert_string_equal(text, hex);
}

static void from_hex(const char *hex, uint8_t *out, size_t size)
{
    size_t got;
    assert_int_equal(text_from_hex(hex, strlen(hex), out, size, &got), ERR_OK);
    assert_int_equal(got, size);
}

/* 00 01 02 ... 1f */
static void count_up(uint8_t key[32])
{
    for (unsigned i = 0; i < 32; i++)
        key[i] = (uint8_t)i;
}

static void test_sha256_known(void **state)
{
    (void)state;
    struct sha256 *h;
    uint8_t out[32], left[32] = {0}, right[32];
    static const char abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    sha256(slice_text("abc"), out);
    expect_hex(out, 32, abc);
    assert_int_equal(sha256_new(&h), ERR_OK);
    for (int again = 0; again < 3; again++) {
        sha256_once(h, slice_text("abc"), out);
        expect_hex(out, 32, abc);
        sha256_start(h);
        sha256_add(h, slice_text("lost"));
        sha256_start(h); /* forgets */
        sha256_add(h, slice_text("a"));
        sha256_add(h, (struct slice){0});
        sha256_add(h, slice_text("bc"));
        sha256_finish(h, out);
        expect_hex(out, 32, abc);
        sha256_leaf(h, slice_text("abc"), out);
        expect_hex(out, 32, "609f6e36d2405585188d5cfd761f407c7cc46a7d3f314c88270469dde315fcd1");
        memset(right, 0xff, sizeof(right));
        sha256_node(h, left, right, right);
        expect_hex(right, 32, "bc6b943b820c449acf880d293c216a24a8066b153f87f2361fae2beda3a72641");
    }
    sha256_once(h, (struct slice){0}, out);
    expect_hex(out, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256_free(h);
    sha256_free(NULL);
}

/* The two implementations and any way of cutting the bytes agree. */
static void test_sha256_agrees_at_every_length(void **state)
{
    (void)state;
    struct sha256 *h;
    uint8_t bytes[300], one[32], other[32];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7);
    assert_int_equal(sha256_new(&h), ERR_OK);
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        sha256(slice_of(bytes, size), one);
        sha256_start(h);
        sha256_add(h, slice_of(bytes, size / 3));
        sha256_add(h, slice_of(bytes + size / 3, size - size / 3));
        sha256_finish(h, other);
        assert_memory_equal(one, other, 32);
    }
    sha256_free(h);
}

/* RFC 4231 cases 1 and 2: shorter keys are padded with zeros, so ours may be too. */
static void test_keyed_hash_is_hmac(void **state)
{
    (void)state;
    struct keyed_hash *h;
    uint8_t key[32] = {0}, out[32];
    memset(key, 0x0b, 20);
    assert_int_equal(keyed_hash_new(key, &h), ERR_OK);
    for (int again = 0; again < 2; again++) {
        keyed_hash(h, slice_text("Hi There"), out);
        expect_hex(out, 32, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    }
    keyed_hash_free(h);
    memset(key, 0, sizeof(key));
    memcpy(key, "Jefe", 4);
    assert_int_equal(keyed_hash_new(key, &h), ERR_OK);
    keyed_hash(h, slice_text("what do ya want for nothing?"), out);
    expect_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    keyed_hash_free(h);
    keyed_hash_free(NULL);
}

static void test_aead_known(void **state)
{
    (void)state;
    static const char *const expected[] = {
        [AEAD_AES_256_GCM] = "d4da1d09f334d3c49769da04ae7fea4b0f5b95357d2b",
        [AEAD_CHACHA20_POLY1305] = "46ea514451050bcbad2d57cfe1ad73ccd6918bffe53f",
    };
    struct aead *a;
    uint8_t key[32], out[6 + AEAD_TAG_SIZE];
    count_up(key);
    assert_int_equal(aead_new(&a), ERR_OK);
    for (unsigned suite = 1; suite <= 2; suite++) {
        assert_int_equal(aead_set_key(a, suite, key), ERR_OK);
        assert_int_equal(
            aead_seal(a, 0x0102030405060708, slice_text("ad"), slice_text("cellar"), out), ERR_OK);
        expect_hex(out, sizeof(out), expected[suite]);
    }
    aead_free(a);
    aead_free(NULL);
}

/* Sizes around the cipher's blocks, in place, many records under one key; every changed bit,
   number, AAD and cut is refused and the output wiped. */
static void test_aead_refuses_every_change(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 15, 16, 17, 63, 64, 65, 255, 1000};
    struct aead *a;
    uint8_t key[32], sealed[1000 + AEAD_TAG_SIZE], bad[sizeof(sealed)], plain[1000], zeros[1000];
    count_up(key);
    memset(plain, 'p', sizeof(plain));
    memset(zeros, 0, sizeof(zeros));
    assert_int_equal(aead_new(&a), ERR_OK);
    assert_int_equal(aead_seal(a, 0, (struct slice){0}, (struct slice){0}, sealed), ERR_STATE);
    for (unsigned suite = 1; suite <= 2; suite++) {
        assert_int_equal(aead_set_key(a, suite, key), ERR_OK);
        for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
            size_t size = sizes[i], all = size + AEAD_TAG_SIZE;
            struct slice aad = slice_text(i % 2 ? "aad" : "");
            memcpy(sealed, plain, size);
            assert_int_equal(aead_seal(a, i, aad, slice_of(sealed, size), sealed), ERR_OK);
            for (size_t bit = 0; bit < 8 * all; bit++) {
                memcpy(bad, sealed, all);
                bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
                assert_int_equal(aead_open(a, i, aad, slice_of(bad, all), bad), ERR_AUTH);
                assert_memory_equal(bad, zeros, size);
            }
            memcpy(bad, sealed, all);
            assert_int_equal(aead_open(a, i + 1, aad, slice_of(sealed, all), bad), ERR_AUTH);
            assert_int_equal(aead_open(a, i, slice_text("x"), slice_of(sealed, all), bad),
                             ERR_AUTH);
            assert_int_equal(aead_open(a, i, aad, slice_of(sealed, AEAD_TAG_SIZE - 1), bad),
                             ERR_FORMAT);
            memcpy(bad, sealed, all);
            assert_int_equal(aead_open(a, i, aad, slice_of(bad, all), bad), ERR_OK);
            assert_memory_equal(bad, plain, size);
        }
    }
    for (unsigned suite = 0; suite < 5; suite++)
        if (suite != 1 && suite != 2)
            assert_int_equal(aead_set_key(a, suite, key), ERR_VERSION);
    aead_free(a);
    assert_true(aead_best_suite() == AEAD_AES_256_GCM ||
                aead_best_suite() == AEAD_CHACHA20_POLY1305);
}

static void test_kdf_known(void **state)
{
    (void)state;
    uint8_t key[32], out[64];
    count_up(key);
    kdf_32(key, "cellar/test", slice_text("\x01\x02"), out);
    expect_hex(out, 32, "73cbc45861f175385798ff91579dca9a097863a48b15afc6258c8d2f0d6e8c7e");
    kdf_64(key, "cellar/test", slice_text("\x01\x02"), out);
    expect_hex(out, 64,
               "8c0cfe1c2164d6ad98871ca69a0d67921e624ebe21f60af2ca96dce5a6772d3f"
               "c94002437a05bf7cde4b13f79d1364919803c8558c1a8c65038eee127e812062");
    kdf_stream(key, "cellar/test", out, 40);
    expect_hex(out, 40,
               "e45cf36d8066a2e961b6733f9487e9c1cd45ed36bbbfd35b07654f452f341c071860fae10612f897");
}

/* RFC 8032, section 7.1, test 1; the ID by hashlib over the SPKI. */
static void test_sign_known(void **state)
{
    (void)state;
    struct sign_key *key;
    uint8_t seed[32], signature[64];
    from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", seed, 32);
    assert_int_equal(sign_key_new(seed, &key), ERR_OK);
    expect_hex(sign_key_public(key), 32,
               "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    expect_hex(sign_key_id(key)->bytes, 32,
               "06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9");
    assert_memory_equal(sign_key_seed(key), seed, 32);
    sign(key, (struct slice){0}, signature);
    expect_hex(signature, 64,
               "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
               "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b");
    sign_key_free(key);
    sign_key_free(NULL);
}

static void test_sign_refuses_every_change(void **state)
{
    (void)state;
    struct sign_key *key;
    uint8_t seed[32], signature[64], public[32], message[] = "message";
    count_up(seed);
    assert_int_equal(sign_key_new(seed, &key), ERR_OK);
    struct slice bytes = slice_of(message, sizeof(message));
    sign(key, bytes, signature);
    memcpy(public, sign_key_public(key), 32);
    assert_int_equal(sign_verify(public, bytes, signature), ERR_OK);
    for (size_t bit = 0; bit < 8 * sizeof(signature); bit++) {
        signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(sign_verify(public, bytes, signature), ERR_AUTH);
        signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * sizeof(message); bit++) {
        message[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(sign_verify(public, bytes, signature), ERR_AUTH);
        message[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * sizeof(public); bit++) {
        public[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(sign_verify(public, bytes, signature), ERR_AUTH);
        public[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    sign_key_free(key);
}

/* A key of small order verifies anything with an all-zero signature where nobody looks. */
static void test_sign_refuses_small_order(void **state)
{
    (void)state;
    uint8_t public[32] = {1}, signature[64] = {1};
    assert_int_equal(sign_verify(public, slice_text("x"), signature), ERR_AUTH);
    memset(public, 0, 32);
    assert_int_equal(sign_verify(public, slice_text("x"), signature), ERR_AUTH);
}

static void test_seal_opens_for_its_holder_only(void **state)
{
    (void)state;
    uint8_t seed[32], public[32], secret[32], other_public[32], other_secret[32];
    uint8_t sealed[5 + SEAL_OVERHEAD], bad[sizeof(sealed)], again[sizeof(sealed)], out[5];
    count_up(seed);
    seal_pair(seed, public, secret);
    seed[0] = 99;
    seal_pair(seed, other_public, other_secret);
    assert_int_equal(seal(public, seed, slice_text("hello"), sealed), ERR_OK);
    assert_int_equal(seal(public, seed, slice_text("hello"), again), ERR_OK);
    assert_memory_equal(sealed, again, sizeof(sealed)); /* nothing random inside */
    assert_int_equal(seal_open(public, secret, slice_of(sealed, sizeof(sealed)), out), ERR_OK);
    assert_memory_equal(out, "hello", 5);
    assert_int_equal(seal_open(other_public, other_secret, slice_of(sealed, sizeof(sealed)), out),
                     ERR_AUTH);
    for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
        memcpy(bad, sealed, sizeof(bad));
        bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(seal_open(public, secret, slice_of(bad, sizeof(bad)), out), ERR_AUTH);
    }
    for (size_t size = 0; size < SEAL_OVERHEAD; size++)
        assert_int_equal(seal_open(public, secret, slice_of(sealed, size), out), ERR_FORMAT);
    memset(public, 0, sizeof(public));
    assert_int_equal(seal(public, seed, slice_text("hello"), sealed), ERR_FORMAT);
}

static void test_box_known_and_committed(void **state)
{
    (void)state;
    uint8_t key[32], nonce[BOX_NONCE_SIZE], box[6 + BOX_OVERHEAD], bad[sizeof(box)], out[6];
    count_up(key);
    for (unsigned i = 0; i < BOX_NONCE_SIZE; i++)
        nonce[i] = (uint8_t)(100 + i);
    box_seal(key, nonce, slice_text("ad"), slice_text("cellar"), box);
    expect_hex(box, sizeof(box),
               "6465666768696a6b6c6d6e6f707172737475767778797a7bd9ac907aa0e31b50ff62749db79ab0d4"
               "ef4638e4486e03a2b42872049a0a74859ce71d6e76262fbe037f63af92a5528033967cf68ff5");
    assert_int_equal(box_open(key, slice_text("ad"), slice_of(box, sizeof(box)), out), ERR_OK);
    assert_memory_equal(out, "cellar", 6);
    assert_int_equal(box_open(key, slice_text("da"), slice_of(box, sizeof(box)), out), ERR_AUTH);
    for (size_t bit = 0; bit < 8 * sizeof(box); bit++) {
        memcpy(bad, box, sizeof(bad));
        bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum err e = box_open(key, slice_text("ad"), slice_of(bad, sizeof(bad)), out);
        assert_int_equal(e, bit / 8 < BOX_NONCE_SIZE + 32 ? ERR_SECRET : ERR_AUTH);
    }
    for (size_t size = 0; size < BOX_OVERHEAD; size++)
        assert_int_equal(box_open(key, slice_text("ad"), slice_of(box, size), out), ERR_FORMAT);
    key[31] ^= 1;
    assert_int_equal(box_open(key, slice_text("ad"), slice_of(box, sizeof(box)), out), ERR_SECRET);
}

static void test_password_known_and_bounded(void **state)
{
    (void)state;
    uint8_t salt[32], out[32];
    count_up(salt);
    struct password_cost cost = {.passes = 2, .memory_kib = 1024};
    assert_int_equal(password_key(slice_text("correct horse"), salt, cost, out), ERR_OK);
    expect_hex(out, 32, "77237b8a217dfd77699617e3893817f9fa215bff881849f3c007154da0b4788d");
    static const struct password_cost bad[] = {
        {0, 1024}, {17, 1024}, {1, 1023}, {1, 65537}, {UINT32_MAX, UINT32_MAX}, {1, UINT32_MAX}};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_int_equal(password_key(slice_text("x"), salt, bad[i], out), ERR_TOO_LARGE);
}

static void test_secret_memory(void **state)
{
    (void)state;
    uint8_t *secret = secret_new(100);
    assert_non_null(secret);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(secret[i], 0);
    memset(secret, 1, 100);
    secret_wipe(secret, 100);
    assert_int_equal(secret[99], 0);
    assert_true(secret_equal("abc", "abc", 3));
    assert_false(secret_equal("abc", "abd", 3));
    secret_free(secret);
    secret_free(NULL);
}

/* Objects of several threads share nothing but what crypto_init() fetched. */
static void *hash_and_seal(void *result)
{
    struct sha256 *h;
    struct aead *a;
    uint8_t key[32], plain[4096] = {0}, sealed[4096 + AEAD_TAG_SIZE], out[32];
    count_up(key);
    bool good = sha256_new(&h) == ERR_OK && aead_new(&a) == ERR_OK &&
                aead_set_key(a, aead_best_suite(), key) == ERR_OK;
    for (unsigned i = 0; good && i < 200; i++) {
        good =
            aead_seal(a, i, (struct slice){0}, slice_of(plain, sizeof(plain)), sealed) == ERR_OK &&
            aead_open(a, i, (struct slice){0}, slice_of(sealed, sizeof(sealed)), sealed) ==
                ERR_OK &&
            memcmp(sealed, plain, sizeof(plain)) == 0;
        sha256_once(h, slice_text("abc"), out);
        good = good && out[0] == 0xba && out[31] == 0xad;
    }
    aead_free(a);
    sha256_free(h);
    *(bool *)result = good;
    return NULL;
}

static void test_crypto_in_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    bool good[4] = {false};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hash_and_seal, &good[i]), 0);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_true(good[i]);
    }
}

static int setup(void **state)
{
    (void)state;
    return crypto_init(NULL) == ERR_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256_known),
        cmocka_unit_test(test_sha256_agrees_at_every_length),
        cmocka_unit_test(test_keyed_hash_is_hmac),
        cmocka_unit_test(test_aead_known),
        cmocka_unit_test(test_aead_refuses_every_change),
        cmocka_unit_test(test_kdf_known),
        cmocka_unit_test(test_sign_known),
        cmocka_unit_test(test_sign_refuses_every_change),
        cmocka_unit_test(test_sign_refuses_small_order),
        cmocka_unit_test(test_seal_opens_for_its_holder_only),
        cmocka_unit_test(test_box_known_and_committed),
        cmocka_unit_test(test_password_known_and_bounded),
        cmocka_unit_test(test_secret_memory),
        cmocka_unit_test(test_crypto_in_threads),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
