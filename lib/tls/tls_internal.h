#pragma once

/* OpenSSL has a type of this name, our errors have a number of it */
#define ERR_STATE openssl_err_state
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#undef ERR_STATE

#include "tls/tls.h"

struct tls_context {
    SSL_CTX *ssl_context;
    BIO_METHOD *bio_method; /* a BIO over tls_session's input and output */
    struct id id;
    uint8_t key[TLS_KEY_SIZE];
};

struct tls_session {
    SSL *ssl;
    struct tls_context *context; /* borrowed */
    enum tls_role role;
    bool open, ended;
    struct id expected; /* of a client */
    struct id peer;
    uint8_t peer_key[TLS_KEY_SIZE];
    bool peer_known;
    enum err refused; /* why the certificate callback said no */
    const char *refused_why;
    struct slice input;              /* borrowed */
    struct buf *output;              /* borrowed */
    enum err output_failed;          /* the output buffer took no more */
    uint64_t received_bytes;         /* payload */
    uint64_t sent_bytes, rekeyed_at; /* payload */
    uint64_t handshake_bytes;        /* messages of the peer, before it is open */
    uint64_t key_updates;            /* that the peer sent */
    uint8_t *record;                 /* a record that is not full yet; NULL when there is none */
    size_t record_size;
};

/* OpenSSL's callbacks, implemented by the session. */
int tls_session_verify(X509_STORE_CTX *store, void *unused);
void tls_session_message(int write, int version, int content_type, const void *bytes, size_t size,
                         SSL *ssl, void *unused);
int tls_session_bio_read(BIO *bio, char *out, size_t size, size_t *got);
int tls_session_bio_write(BIO *bio, const char *bytes, size_t size, size_t *written);
long tls_session_bio_ctrl(BIO *bio, int command, long number, void *pointer);
