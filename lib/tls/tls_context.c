#include "tls/tls_internal.h"

#include <stdlib.h>
#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

static const unsigned char alpn_h2[] = {2, 'h', '2'};

static enum err say_openssl(struct errmsg *msg, const char *what)
{
    unsigned long number = ERR_get_error();
    const char *reason = number ? ERR_reason_error_string(number) : NULL;
    ERR_clear_error();
    return err_say(msg, ERR_IO, "%s: OpenSSL says %s", what, reason ? reason : "nothing");
}

void tls_key_id(const uint8_t key[TLS_KEY_SIZE], struct id *out)
{
    /* SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING of 32 bytes }, RFC 8410 section 4 */
    uint8_t spki[12 + TLS_KEY_SIZE] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                       0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
    memcpy(spki + 12, key, TLS_KEY_SIZE);
    unsigned size = ID_SIZE;
    if (EVP_Digest(spki, sizeof(spki), out->bytes, &size, EVP_sha256(), NULL) != 1)
        abort(); /* SHA-256 of 44 bytes fails only when OpenSSL itself is broken */
}

/* Names and dates mean nothing to us; they are there because X.509 wants them. */
static X509 *make_certificate(EVP_PKEY *pkey)
{
    X509 *x = X509_new();
    if (!x)
        return NULL;
    X509_NAME *name = X509_get_subject_name(x);
    if (X509_set_version(x, X509_VERSION_3) != 1 ||
        ASN1_INTEGER_set(X509_get_serialNumber(x), 1) != 1 ||
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"cellar", -1,
                                   -1, 0) != 1 ||
        X509_set_issuer_name(x, name) != 1 ||
        ASN1_TIME_set_string(X509_getm_notBefore(x), "19700101000000Z") != 1 ||
        ASN1_TIME_set_string(X509_getm_notAfter(x), "99991231235959Z") != 1 ||
        X509_set_pubkey(x, pkey) != 1 || X509_sign(x, pkey, NULL) == 0) {
        X509_free(x);
        return NULL;
    }
    return x;
}

/* The server's side of ALPN: "h2" or nothing. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                       const unsigned char *in, unsigned in_size, void *unused)
{
    (void)ssl;
    (void)unused;
    for (unsigned at = 0; at < in_size && in[at] < in_size - at; at += in[at] + 1u) {
        if (in[at] == alpn_h2[0] && memcmp(in + at, alpn_h2, sizeof(alpn_h2)) == 0) {
            *out = in + at + 1;
            *out_size = in[at];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool cpu_has_aes(void)
{
#if defined(__x86_64__) || defined(__i386__)
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#elif defined(__aarch64__)
    return (getauxval(AT_HWCAP) & HWCAP_AES) != 0;
#else
    return false;
#endif
}

/* AES first where it is fast; an OpenSSL server with PRIORITIZE_CHACHA follows a client that puts
 * ChaCha20 first. 128 bits are plenty for what is sealed already. */
static const char *suites(void)
{
    return cpu_has_aes()
               ? "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
               : "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384";
}

static bool set_options(SSL_CTX *ctx)
{
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, tls_session_verify, NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_max_cert_list(ctx, TLS_HANDSHAKE_BYTES / 2);
    SSL_CTX_set_max_early_data(ctx, 0);
    SSL_CTX_set_msg_callback(ctx, tls_session_message);
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ctx, (size_t)TLS_RECORD_BYTES * 2);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_ciphersuites(ctx, suites()) == 1 &&
           SSL_CTX_set1_groups_list(ctx, "X25519") == 1 &&
           SSL_CTX_set1_sigalgs_list(ctx, "ed25519") == 1 &&
           SSL_CTX_set1_client_sigalgs_list(ctx, "ed25519") == 1 &&
           SSL_CTX_set_num_tickets(ctx, 0) == 1 &&
           SSL_CTX_set_alpn_protos(ctx, alpn_h2, sizeof(alpn_h2)) == 0;
}

static BIO_METHOD *make_bio_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "cellar session");
    if (method && BIO_meth_set_read_ex(method, tls_session_bio_read) == 1 &&
        BIO_meth_set_write_ex(method, tls_session_bio_write) == 1 &&
        BIO_meth_set_ctrl(method, tls_session_bio_ctrl) == 1)
        return method;
    BIO_meth_free(method);
    return NULL;
}

enum err tls_context_new(const uint8_t seed[TLS_SEED_SIZE], struct tls_context **out,
                         struct errmsg *msg)
{
    enum err e = ERR_OK;
    X509 *certificate = NULL;
    struct tls_context *context = calloc(1, sizeof(*context));
    if (!context)
        return err_say(msg, ERR_NOMEM, "out of memory");
    EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, TLS_SEED_SIZE);
    size_t key_size = sizeof(context->key);
    if (!pkey || EVP_PKEY_get_raw_public_key(pkey, context->key, &key_size) != 1) {
        e = say_openssl(msg, "cannot make the TLS key");
        goto free_pkey;
    }
    tls_key_id(context->key, &context->id);
    certificate = make_certificate(pkey);
    context->bio_method = make_bio_method();
    context->ssl_context = SSL_CTX_new(TLS_method());
    if (!certificate || !context->bio_method || !context->ssl_context ||
        !set_options(context->ssl_context) ||
        SSL_CTX_use_certificate(context->ssl_context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey(context->ssl_context, pkey) != 1)
        e = say_openssl(msg, "cannot set TLS up");
free_pkey:
    X509_free(certificate);
    EVP_PKEY_free(pkey);
    if (e != ERR_OK) {
        tls_context_free(context);
        return e;
    }
    *out = context;
    return ERR_OK;
}

void tls_context_free(struct tls_context *context)
{
    if (!context)
        return;
    SSL_CTX_free(context->ssl_context);
    BIO_meth_free(context->bio_method);
    free(context);
}

void tls_context_identity(const struct tls_context *context, struct id *id,
                          uint8_t key[TLS_KEY_SIZE])
{
    *id = context->id;
    memcpy(key, context->key, TLS_KEY_SIZE);
}
