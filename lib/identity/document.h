/*
 * The envelope of every signed document, and the two halves of every document's codec.
 *
 *     document  = CBOR array [payload: bytes, signer's public key: bytes(32), signature: bytes(64)]
 *     signature = Ed25519 over "cellar/<type>/v1\0" ‖ swarm hash (32) ‖ payload
 *     payload   = CBOR map, keys 0, 1, 2 ...
 *
 * A document is stored, hashed and forwarded as the exact bytes that were received, never
 * re-encoded; CBOR that is not canonical is refused. Each document has a file of its own with two
 * functions:
 *
 *     x_make(&x, swarm, key, &buf, …)            appends the signed document to `buf`
 *     x_open(bytes, swarm, signer, &x, msg)      parses and verifies in one call
 *
 * `signer` is the ID whose signature is wanted (a cell's, device's or coordinator's); NULL leaves
 * that question to the caller, who then looks at the struct's `signer`. Slices in an opened struct
 * point into the bytes given. Errors of x_open: ERR_FORMAT (not canonical, a field missing, unknown
 * or out of bounds), ERR_TOO_LARGE (the document's limit), ERR_AUTH (signature, or another signer).
 * After an error the struct's contents are meaningless. Errors of x_make: ERR_NOMEM, ERR_TOO_LARGE.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "cbor/cbor_read.h"
#include "cbor/cbor_write.h"
#include "crypto/sign.h"
#include "identity/swarm_root.h"

/* Bytes of the envelope around a payload of at most 4 GiB. */
enum { DOCUMENT_OVERHEAD = 1 + 5 + 34 + 66 };

/* The name under which other documents speak of one: SHA-256 of its exact bytes. */
void document_hash(struct slice bytes, struct id *out);

/* A bare signature of `type` over `payload`, where a field of another document holds it. ERR_NOMEM.
 */
MUST_CHECK enum err document_sign(const char *type, const struct swarm_root *swarm,
                                  const struct sign_key *key, struct slice payload,
                                  uint8_t out[SIGN_SIZE]);
/* ERR_AUTH, and the sentence `problem`; ERR_NOMEM. */
MUST_CHECK enum err document_verify_say(const char *type, const struct swarm_root *swarm,
                                        const uint8_t key[SIGN_PUBLIC_SIZE], struct slice payload,
                                        const uint8_t signature[SIGN_SIZE], struct errmsg *msg,
                                        const char *problem);

/* ERR_AUTH, ERR_NOMEM. */
MUST_CHECK enum err document_verify(const char *type, const struct swarm_root *swarm,
                                    const uint8_t key[SIGN_PUBLIC_SIZE], struct slice payload,
                                    const uint8_t signature[SIGN_SIZE]);

/* For the documents' own files. Writing: begin opens the payload's map, end closes it, signs and
   appends; it frees everything, whatever happened. */
struct document_writer {
    struct buf payload;
    struct cbor_writer w;
};

struct cbor_writer *document_begin(struct document_writer *d, size_t size_max);
MUST_CHECK enum err document_end(struct document_writer *d, const char *type,
                                 const struct swarm_root *swarm, const struct sign_key *key,
                                 struct buf *out);

/* Reading: document_read verifies and opens the payload's map; document_read_end closes it and
   gives the first error of all. The reader gives zeros after an error. `size_max` bounds the
   document. */
struct document_reader {
    struct cbor_reader r;
    const char *problem; /* for the sentence; NULL: what the reader says */
    struct slice payload;
    uint8_t signer_key[SIGN_PUBLIC_SIZE];
    struct id signer;
};

struct cbor_reader *document_read(struct document_reader *d, const char *type,
                                  const struct swarm_root *swarm, const struct id *signer,
                                  struct slice bytes, size_t size_max);
MUST_CHECK enum err document_read_end(struct document_reader *d, struct errmsg *msg,
                                      const char *what);
