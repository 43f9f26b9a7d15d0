/* Peers that are not ours, made with OpenSSL itself: old versions, no ALPN, no certificate, two
 * certificates, another kind of key. Each is refused by our server and our client. */
#define ERR_STATE openssl_err_state
#include <openssl/ssl.h>
#undef ERR_STATE

#include "tls/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

struct foreign { /* what is odd about it */
    bool no_alpn, other_alpn, no_certificate, two_certificates, p256, old_version, key_updates;
};

static X509 *certificate_for(EVP_PKEY *pkey, const EVP_MD *digest)
{
    X509 *x = X509_new();
    assert_non_null(x);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), -1000); /* expired: nobody asks */
    assert_int_equal(X509_set_pubkey(x, pkey), 1);
    assert_true(X509_sign(x, pkey, digest) > 0);
    return x;
}

static int accept_all(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    (void)store;
    return 1;
}

static int pick_h2(SSL *ssl, const unsigned char **out, unsigned char *size,
                   const unsigned char *in, unsigned in_size, void *user)
{
    (void)ssl;
    (void)in;
    (void)in_size;
    (void)user;
    *out = (const unsigned char *)"h2";
    *size = 2;
    return SSL_TLSEXT_ERR_OK;
}

static SSL *foreign_new(const struct foreign *odd, bool server)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    EVP_PKEY *pkey = odd->p256 ? EVP_EC_gen("P-256") : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    X509 *x = certificate_for(pkey, odd->p256 ? EVP_sha256() : NULL);
    const unsigned char *alpn = (const unsigned char *)(odd->other_alpn ? "\x02h3" : "\x02h2");
    assert_non_null(ctx);
    if (!odd->no_alpn) {
        assert_int_equal(SSL_CTX_set_alpn_protos(ctx, alpn, 3), 0);
        if (!odd->other_alpn)
            SSL_CTX_set_alpn_select_cb(ctx, pick_h2, NULL);
    }
    if (!odd->no_certificate) {
        assert_int_equal(SSL_CTX_use_certificate(ctx, x), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(ctx, pkey), 1);
    }
    if (odd->two_certificates)
        assert_int_equal(SSL_CTX_add1_chain_cert(ctx, x), 1);
    if (odd->old_version)
        assert_int_equal(SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION), 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, accept_all);
    SSL *ssl = SSL_new(ctx);
    assert_non_null(ssl);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    if (server)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    X509_free(x);
    EVP_PKEY_free(pkey);
    SSL_CTX_free(ctx);
    return ssl;
}

/* The ID of the foreigner's key; some other one when it has none of Ed25519. */
static struct id id_of(SSL *ssl)
{
    uint8_t key[TLS_KEY_SIZE] = {0};
    size_t size = sizeof(key);
    struct id id;
    EVP_PKEY *pkey = SSL_get_privatekey(ssl);
    if (pkey)
        (void)EVP_PKEY_get_raw_public_key(pkey, key, &size);
    tls_key_id(key, &id);
    return id;
}

/* Runs a handshake between us and the foreigner; returns our end's error. */
static enum err meet(const struct foreign *odd, bool we_serve, bool *opened)
{
    uint8_t seed[TLS_SEED_SIZE] = {7}, scratch[4096];
    struct tls_context *context;
    struct tls_session *us;
    struct buf out = BUF_INIT(1 << 20);
    enum err e = ERR_OK;
    SSL *them = foreign_new(odd, !we_serve);
    struct id id = id_of(them);
    assert_int_equal(tls_context_new(seed, &context, NULL), ERR_OK);
    assert_int_equal(tls_session_new(context, we_serve ? TLS_SERVER : TLS_CLIENT,
                                     we_serve ? NULL : &id, &out, &us, NULL),
                     ERR_OK);
    for (int turn = 0; turn < 20 && e == ERR_OK; turn++) {
        uint8_t wire[20000];
        struct tls_event event;
        if (out.size > 0)
            assert_int_equal(BIO_write(SSL_get_rbio(them), out.data, (int)out.size), out.size);
        buf_clear(&out);
        if (SSL_do_handshake(them) == 1 && odd->key_updates) {
            (void)SSL_key_update(them, SSL_KEY_UPDATE_REQUESTED);
            (void)SSL_do_handshake(them);
        }
        int size = BIO_read(SSL_get_wbio(them), wire, sizeof(wire));
        if (size <= 0)
            continue;
        tls_session_input(us, slice_of(wire, (size_t)size));
        do {
            event = (struct tls_event){0};
            e = tls_session_step(us, scratch, sizeof(scratch), &event, NULL);
        } while (e == ERR_OK && (event.kind == TLS_OPENED || event.kind == TLS_PLAIN));
    }
    *opened = tls_session_is_open(us);
    tls_session_free(us);
    tls_context_free(context);
    SSL_free(them);
    buf_free(&out);
    return e;
}

static void both_refuse(struct foreign odd, enum err as_server, enum err as_client)
{
    bool opened;
    assert_int_equal(meet(&odd, true, &opened), as_server);
    assert_false(opened);
    assert_int_equal(meet(&odd, false, &opened), as_client);
    assert_false(opened);
}

static void test_tls_a_foreigner_that_keeps_the_rules_is_let_in(void **state)
{
    (void)state;
    bool opened;
    const struct foreign good = {0};
    assert_int_equal(meet(&good, true, &opened), ERR_OK);
    assert_true(opened);
    assert_int_equal(meet(&good, false, &opened), ERR_OK);
    assert_true(opened);
}

static void test_tls_without_alpn_nobody_gets_in(void **state)
{
    (void)state;
    both_refuse((struct foreign){.no_alpn = true}, ERR_PEER, ERR_PEER);
    both_refuse((struct foreign){.other_alpn = true}, ERR_PEER, ERR_PEER);
}

static void test_tls_other_certificates_are_refused(void **state)
{
    (void)state;
    both_refuse((struct foreign){.two_certificates = true}, ERR_AUTH, ERR_AUTH);
    bool opened;
    const struct foreign none = {.no_certificate = true};
    assert_int_equal(meet(&none, true, &opened), ERR_AUTH);
    assert_false(opened);
    /* OpenSSL does not even sign with what we do not offer to verify */
    const struct foreign p256 = {.p256 = true};
    assert_int_not_equal(meet(&p256, true, &opened), ERR_OK);
    assert_false(opened);
    (void)meet(&p256, false, &opened);
    assert_false(opened);
}

static void test_tls_1_2_is_refused(void **state)
{
    (void)state;
    both_refuse((struct foreign){.old_version = true}, ERR_PEER, ERR_PEER);
}

static void test_tls_endless_key_updates_are_refused(void **state)
{
    (void)state;
    bool opened;
    const struct foreign restless = {.key_updates = true};
    assert_int_equal(meet(&restless, true, &opened), ERR_PEER);
    assert_true(opened); /* it was let in, and thrown out */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tls_a_foreigner_that_keeps_the_rules_is_let_in),
        cmocka_unit_test(test_tls_without_alpn_nobody_gets_in),
        cmocka_unit_test(test_tls_other_certificates_are_refused),
        cmocka_unit_test(test_tls_1_2_is_refused),
        cmocka_unit_test(test_tls_endless_key_updates_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
