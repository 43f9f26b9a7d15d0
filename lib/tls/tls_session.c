/*
 * A session moves forward when it is given bytes: handshake first, then payload. Happy path: new ->
 * input, step (several) -> TLS_OPENED -> plain both ways -> TLS_ENDED. It dies at the first error,
 * and whoever owns the socket closes it.
 */
#include "tls/tls_internal.h"

#include <stdlib.h>

/* --- the BIO: reads what was put in, writes to the caller's buffer */

int tls_session_bio_read(BIO *bio, char *out, size_t size, size_t *got)
{
    struct tls_session *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (s->input.size == 0) {
        BIO_set_retry_read(bio);
        *got = 0;
        return 0;
    }
    *got = size < s->input.size ? size : s->input.size;
    memcpy(out, s->input.data, *got);
    s->input = slice_of(s->input.data + *got, s->input.size - *got);
    return 1;
}

int tls_session_bio_write(BIO *bio, const char *bytes, size_t size, size_t *written)
{
    struct tls_session *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    enum err e = buf_append(s->output, bytes, size);
    if (e != ERR_OK) {
        s->output_failed = e;
        *written = 0;
        return 0;
    }
    *written = size;
    return 1;
}

long tls_session_bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

/* --- who is there */

static int refuse(struct tls_session *s, X509_STORE_CTX *store, enum err e, const char *why)
{
    s->refused = e;
    s->refused_why = why;
    X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
}

int tls_session_verify(X509_STORE_CTX *store, void *unused)
{
    (void)unused;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_session *s = SSL_get_app_data(ssl);
    X509 *certificate = X509_STORE_CTX_get0_cert(store);
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(store);
    EVP_PKEY *pkey = certificate ? X509_get0_pubkey(certificate) : NULL;
    size_t key_size = sizeof(s->peer_key);

    if (sk_X509_num(chain) != 1)
        return refuse(s, store, ERR_AUTH, "it does not show exactly one certificate");
    if (!pkey || EVP_PKEY_get_id(pkey) != EVP_PKEY_ED25519 ||
        EVP_PKEY_get_raw_public_key(pkey, s->peer_key, &key_size) != 1 || key_size != TLS_KEY_SIZE)
        return refuse(s, store, ERR_AUTH, "its key is not an Ed25519 key");
    tls_key_id(s->peer_key, &s->peer);
    if (s->role == TLS_CLIENT && CRYPTO_memcmp(s->peer.bytes, s->expected.bytes, ID_SIZE) != 0)
        return refuse(s, store, ERR_WRONG_PEER, "it has another key");
    s->peer_known = true;
    return 1;
}

void tls_session_message(int write, int version, int content_type, const void *bytes, size_t size,
                         SSL *ssl, void *unused)
{
    (void)version;
    (void)unused;
    struct tls_session *s = SSL_get_app_data(ssl);
    if (write || content_type != SSL3_RT_HANDSHAKE || size == 0)
        return;
    s->handshake_bytes += size;
    if (((const uint8_t *)bytes)[0] == SSL3_MT_KEY_UPDATE)
        s->key_updates++;
}

/* --- making and freeing */

enum err tls_session_new(struct tls_context *context, enum tls_role role, const struct id *expected,
                         struct buf *output, struct tls_session **out, struct errmsg *msg)
{
    struct tls_session *s = calloc(1, sizeof(*s));
    if (!s)
        return err_say(msg, ERR_NOMEM, "out of memory");
    s->context = context;
    s->role = role;
    s->output = output;
    if (expected)
        s->expected = *expected;
    s->ssl = SSL_new(context->ssl_context);
    BIO *bio = s->ssl ? BIO_new(context->bio_method) : NULL;
    if (!bio) {
        ERR_clear_error();
        tls_session_free(s);
        return err_say(msg, ERR_NOMEM, "out of memory");
    }
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    SSL_set_bio(s->ssl, bio, bio);
    SSL_set_app_data(s->ssl, s);
    if (role == TLS_SERVER) {
        SSL_set_accept_state(s->ssl);
    } else {
        SSL_set_connect_state(s->ssl);
        ERR_clear_error();
        (void)SSL_do_handshake(s->ssl); /* writes the first message, then wants input */
        if (s->output_failed != ERR_OK || output->size == 0) {
            ERR_clear_error();
            tls_session_free(s);
            return err_say(msg, ERR_NOMEM, "out of memory");
        }
    }
    *out = s;
    return ERR_OK;
}

void tls_session_free(struct tls_session *s)
{
    if (!s)
        return;
    SSL_free(s->ssl);
    free(s->record);
    free(s);
}

void tls_session_output(struct tls_session *s, struct buf *output)
{
    s->output = output;
}

void tls_session_input(struct tls_session *s, struct slice wire)
{
    s->input = wire;
}

/* --- steps */

static bool is_refusal_of_us(int reason)
{
    switch (reason) {
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        return true;
    default:
        return false;
    }
}

/* Translates what OpenSSL has on its queue. */
static enum err say_failed(struct tls_session *s, struct errmsg *msg)
{
    unsigned long number = ERR_peek_error();
    int reason = ERR_GET_REASON(number);
    const char *words = number ? ERR_reason_error_string(number) : NULL;
    ERR_clear_error();
    if (s->refused != ERR_OK)
        return err_say(msg, s->refused, "%s", s->refused_why);
    if (s->output_failed != ERR_OK)
        return err_say(msg, s->output_failed, "%s", err_words(s->output_failed));
    if (reason == ERR_R_MALLOC_FAILURE)
        return err_say(msg, ERR_NOMEM, "out of memory");
    if (is_refusal_of_us(reason))
        return err_say(msg, ERR_DENIED, "it refused our certificate (%s)", words);
    enum err e = ERR_PEER;
    if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE || reason == SSL_R_BAD_SIGNATURE ||
        reason == SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC)
        e = ERR_AUTH;
    return err_say(msg, e, "TLS failed: %s", words ? words : "the peer broke the protocol");
}

static bool alpn_is_h2(const struct tls_session *s)
{
    const unsigned char *name = NULL;
    unsigned size = 0;
    SSL_get0_alpn_selected(s->ssl, &name, &size);
    return size == 2 && memcmp(name, "h2", 2) == 0;
}

static enum err handshake(struct tls_session *s, struct tls_event *event, struct errmsg *msg)
{
    ERR_clear_error();
    int done = SSL_do_handshake(s->ssl);
    if (s->handshake_bytes > TLS_HANDSHAKE_BYTES)
        return err_say(msg, ERR_PEER, "its handshake is larger than %d bytes", TLS_HANDSHAKE_BYTES);
    if (done != 1) {
        if (SSL_get_error(s->ssl, done) != SSL_ERROR_WANT_READ)
            return say_failed(s, msg);
        event->kind = TLS_WANT_INPUT;
        return ERR_OK;
    }
    if (!s->peer_known)
        return err_say(msg, ERR_AUTH, "it showed no certificate");
    if (!alpn_is_h2(s))
        return err_say(msg, ERR_PEER, "it does not speak HTTP/2 (no ALPN \"h2\")");
    s->open = true;
    event->kind = TLS_OPENED;
    return ERR_OK;
}

enum err tls_session_step(struct tls_session *s, uint8_t *scratch, size_t scratch_size,
                          struct tls_event *event, struct errmsg *msg)
{
    if (s->ended) {
        event->kind = TLS_ENDED;
        return ERR_OK;
    }
    if (!s->open)
        return handshake(s, event, msg);

    size_t size = 0;
    int failure = SSL_ERROR_NONE;
    ERR_clear_error();
    while (size < scratch_size && failure == SSL_ERROR_NONE) {
        size_t got = 0;
        int done = SSL_read_ex(s->ssl, scratch + size, scratch_size - size, &got);
        size += got;
        if (done != 1)
            failure = SSL_get_error(s->ssl, done);
    }
    s->received_bytes += size;
    if (s->key_updates > TLS_KEY_UPDATES_FREE + (s->received_bytes >> 20))
        return err_say(msg, ERR_PEER, "it asks for new keys too often");
    if (failure != SSL_ERROR_NONE && failure != SSL_ERROR_WANT_READ &&
        failure != SSL_ERROR_ZERO_RETURN)
        return say_failed(s, msg);
    s->ended = failure == SSL_ERROR_ZERO_RETURN;
    event->kind = TLS_PLAIN;
    event->plain = slice_of(scratch, size);
    if (size == 0)
        event->kind = s->ended ? TLS_ENDED : TLS_WANT_INPUT;
    return ERR_OK;
}

bool tls_session_is_open(const struct tls_session *s)
{
    return s->open;
}

void tls_session_peer(const struct tls_session *s, struct id *id, uint8_t key[TLS_KEY_SIZE])
{
    *id = s->peer;
    memcpy(key, s->peer_key, TLS_KEY_SIZE);
}

const char *tls_session_suite(const struct tls_session *s)
{
    return s->open ? SSL_get_cipher_name(s->ssl) : "";
}

/* --- sending */

static enum err encrypt(struct tls_session *s, const uint8_t *bytes, size_t size,
                        struct errmsg *msg)
{
    if (s->sent_bytes - s->rekeyed_at >= TLS_REKEY_BYTES) {
        if (SSL_key_update(s->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1)
            return say_failed(s, msg);
        s->rekeyed_at = s->sent_bytes;
    }
    size_t written = 0;
    ERR_clear_error();
    if (SSL_write_ex(s->ssl, bytes, size, &written) != 1 || written != size)
        return say_failed(s, msg);
    s->sent_bytes += size;
    return ERR_OK;
}

enum err tls_session_write(struct tls_session *s, struct slice plain, struct errmsg *msg)
{
    while (plain.size > 0) {
        size_t take = TLS_RECORD_BYTES - s->record_size;
        if (take > plain.size)
            take = plain.size;
        if (take == TLS_RECORD_BYTES) { /* full records straight from the caller's memory */
            take = plain.size - plain.size % TLS_RECORD_BYTES;
            enum err e = encrypt(s, plain.data, take, msg);
            if (e != ERR_OK)
                return e;
        } else {
            if (!s->record && !(s->record = malloc(TLS_RECORD_BYTES)))
                return err_say(msg, ERR_NOMEM, "out of memory");
            memcpy(s->record + s->record_size, plain.data, take);
            s->record_size += take;
            if (s->record_size == TLS_RECORD_BYTES) {
                enum err e = encrypt(s, s->record, s->record_size, msg);
                if (e != ERR_OK)
                    return e;
                s->record_size = 0;
            }
        }
        plain = slice_of(plain.data + take, plain.size - take);
    }
    return ERR_OK;
}

enum err tls_session_flush(struct tls_session *s, struct errmsg *msg)
{
    enum err e = ERR_OK;
    if (s->record_size > 0)
        e = encrypt(s, s->record, s->record_size, msg);
    s->record_size = 0;
    free(s->record); /* an idle connection holds no buffer */
    s->record = NULL;
    return e;
}

void tls_session_end(struct tls_session *s)
{
    ERR_clear_error();
    if (s->open)
        (void)SSL_shutdown(s->ssl);
    ERR_clear_error();
}
