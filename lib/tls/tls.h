/*
 * TLS 1.3 between two identities, without sockets: bytes of the wire in, plain bytes out, and the
 * other way round.
 *
 * Both sides show exactly one self-signed Ed25519 certificate, made in memory from a 32-byte seed.
 * A peer is its key: its ID is the SHA-256 of the SubjectPublicKeyInfo. Names, dates, issuers and
 * chains mean nothing. A client compares the ID with the one that it dialled (in constant time)
 * before it sends any payload; a server takes any key and says whose it is. AEAD suites, X25519,
 * ALPN "h2" required and checked on both sides; no tickets, no resumption, no early data, no
 * renegotiation.
 *
 *     struct tls_event event;
 *     tls_session_input(s, bytes_from_the_socket);
 *     do {
 *         e = tls_session_step(s, scratch, sizeof(scratch), &event, &msg);
 *         switch on event.kind: TLS_OPENED   -> the peer is verified, payload may be written
 *                               TLS_PLAIN    -> event.plain, valid until the next step
 *                               TLS_ENDED    -> the peer said close_notify
 *     } while (e == ERR_OK && event.kind != TLS_WANT_INPUT && event.kind != TLS_ENDED);
 *     ... send what stands in the buffer given to tls_session_output() ...
 *
 * A TLS 1.3 client is open before the server has checked the client's certificate: if that is
 * refused, the client learns it from its first read (ERR_DENIED).
 *
 * A context may be shared by any number of sessions of one thread.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"

enum {
    TLS_SEED_SIZE = 32,
    TLS_KEY_SIZE = 32,
    TLS_RECORD_BYTES = 16384,   /* payload of a full record, RFC 8446 section 5.1 */
    TLS_HANDSHAKE_BYTES = 8192, /* a peer's handshake messages; ours are about 1 KiB */
    /* key updates that a peer may ask for: so many, and one more for each MiB received */
    TLS_KEY_UPDATES_FREE = 8,
};

/* We take new sending keys after so many bytes: far below the 2^24.5 records of RFC 8446
 * section 5.5. */
#define TLS_REKEY_BYTES ((uint64_t)64 << 30)

enum tls_role { TLS_CLIENT, TLS_SERVER };

struct tls_context; /* one identity; owned */
struct tls_session; /* one connection; owned */

/* `seed` is read during the call; the private key then lives inside OpenSSL. Errors: NOMEM, IO. */
MUST_CHECK enum err tls_context_new(const uint8_t seed[TLS_SEED_SIZE], struct tls_context **out,
                                    struct errmsg *msg);
/* Only after its sessions. NULL does nothing. */
void tls_context_free(struct tls_context *context);

/* The ID of our own key, and the key. */
void tls_context_identity(const struct tls_context *context, struct id *id,
                          uint8_t key[TLS_KEY_SIZE]);

/* The ID of an Ed25519 public key: SHA-256 of its 44-byte SubjectPublicKeyInfo (RFC 8410). */
void tls_key_id(const uint8_t key[TLS_KEY_SIZE], struct id *out);

/* `expected`: whom the client dialled; NULL for a server. `output` is borrowed until
 * tls_session_free: all that must be sent is appended to it (it may be changed with
 * tls_session_output). A client's first message stands in it when this returns. */
MUST_CHECK enum err tls_session_new(struct tls_context *context, enum tls_role role,
                                    const struct id *expected, struct buf *output,
                                    struct tls_session **out, struct errmsg *msg);
void tls_session_free(struct tls_session *s); /* NULL does nothing */
void tls_session_output(struct tls_session *s, struct buf *output);

enum tls_event_kind { TLS_WANT_INPUT, TLS_OPENED, TLS_PLAIN, TLS_ENDED };

struct tls_event {
    enum tls_event_kind kind;
    struct slice plain; /* of TLS_PLAIN: points into the caller's scratch */
};

/* Bytes from the wire; borrowed until a step answers TLS_WANT_INPUT, which means that all of them
 * are taken. Only then may more be given. */
void tls_session_input(struct tls_session *s, struct slice wire);

/*
 * One step; TLS_PLAIN fills as much of `scratch` as there is. After an error the session is dead
 * (an alert may stand in the output, worth sending): WRONG_PEER  the server has another key than
 * the dialled one DENIED      the peer does not want our certificate AUTH        no certificate,
 * more than one, not Ed25519, a signature or record that does not verify PEER        anything else
 * that breaks the protocol: other versions, no ALPN, too many key updates NOMEM
 */
MUST_CHECK enum err tls_session_step(struct tls_session *s, uint8_t *scratch, size_t scratch_size,
                                     struct tls_event *event, struct errmsg *msg);

/* True from TLS_OPENED on. */
bool tls_session_is_open(const struct tls_session *s);

/* Whom we speak to; only when open. */
void tls_session_peer(const struct tls_session *s, struct id *id, uint8_t key[TLS_KEY_SIZE]);

/* Encrypts; only when open. Bytes are gathered into full records: the last few may wait inside
 * until tls_session_flush(). Errors: NOMEM, IO, TOO_LARGE (the output buffer's limit). */
MUST_CHECK enum err tls_session_write(struct tls_session *s, struct slice plain,
                                      struct errmsg *msg);
MUST_CHECK enum err tls_session_flush(struct tls_session *s, struct errmsg *msg);

/* Puts a close_notify into the output. */
void tls_session_end(struct tls_session *s);

/* The suite in use, "TLS_AES_128_GCM_SHA256"; "" when not open. */
const char *tls_session_suite(const struct tls_session *s);
