#include "identity/document.h"

#include "crypto/sha256.h"

void document_hash(struct slice bytes, struct id *out)
{
    sha256(bytes, out->bytes);
}

/* The bytes that a signature covers. */
static enum err message(const char *type, const struct swarm_root *swarm, struct slice payload,
                        struct buf *out)
{
    enum err e;
    if ((e = buf_reserve(out, 64 + ID_SIZE + payload.size)) != ERR_OK ||
        (e = buf_append_format(out, "cellar/%s/v1", type)) != ERR_OK ||
        (e = buf_append_u8(out, 0)) != ERR_OK ||
        (e = buf_append(out, swarm->hash.bytes, ID_SIZE)) != ERR_OK)
        return e;
    return buf_append(out, payload.data, payload.size);
}

enum err document_sign(const char *type, const struct swarm_root *swarm, const struct sign_key *key,
                       struct slice payload, uint8_t out[SIGN_SIZE])
{
    struct buf bytes = BUF_INIT(SIZE_MAX);
    enum err e = message(type, swarm, payload, &bytes);
    if (e == ERR_OK)
        sign(key, buf_slice(&bytes), out);
    buf_free(&bytes);
    return e;
}

enum err document_verify(const char *type, const struct swarm_root *swarm,
                         const uint8_t key[SIGN_PUBLIC_SIZE], struct slice payload,
                         const uint8_t signature[SIGN_SIZE])
{
    struct buf bytes = BUF_INIT(SIZE_MAX);
    enum err e = message(type, swarm, payload, &bytes);
    if (e == ERR_OK)
        e = sign_verify(key, buf_slice(&bytes), signature);
    buf_free(&bytes);
    return e;
}

enum err document_verify_say(const char *type, const struct swarm_root *swarm,
                             const uint8_t key[SIGN_PUBLIC_SIZE], struct slice payload,
                             const uint8_t signature[SIGN_SIZE], struct errmsg *msg,
                             const char *problem)
{
    enum err e = document_verify(type, swarm, key, payload, signature);
    if (e == ERR_OK)
        return ERR_OK;
    return err_say(msg, e, "%s", e == ERR_AUTH ? problem : "no memory to verify a signature");
}

struct cbor_writer *document_begin(struct document_writer *d, size_t size_max)
{
    d->payload = BUF_INIT(size_max - DOCUMENT_OVERHEAD);
    d->w = cbor_write_into(&d->payload);
    cbor_write_map(&d->w);
    return &d->w;
}

enum err document_end(struct document_writer *d, const char *type, const struct swarm_root *swarm,
                      const struct sign_key *key, struct buf *out)
{
    uint8_t signature[SIGN_SIZE];
    cbor_write_end(&d->w);
    enum err e = cbor_write_finish(&d->w);
    if (e == ERR_OK)
        e = document_sign(type, swarm, key, buf_slice(&d->payload), signature);
    if (e == ERR_OK) {
        struct cbor_writer w = cbor_write_into(out);
        cbor_write_array(&w);
        cbor_write_bytes(&w, buf_slice(&d->payload));
        cbor_write_bytes(&w, slice_of(sign_key_public(key), SIGN_PUBLIC_SIZE));
        cbor_write_bytes(&w, slice_of(signature, SIGN_SIZE));
        cbor_write_end(&w);
        e = cbor_write_finish(&w);
    }
    buf_free(&d->payload);
    return e;
}

/* The envelope; what is wrong with it goes into d->r.e and d->problem. */
static void read_envelope(struct document_reader *d, const char *type,
                          const struct swarm_root *swarm, const struct id *signer,
                          struct slice bytes)
{
    uint8_t signature[SIGN_SIZE];
    d->r = cbor_read_over(bytes);
    if (cbor_read_array(&d->r, 3) != 3)
        cbor_read_refuse(&d->r, ERR_FORMAT);
    d->payload = cbor_read_bytes(&d->r, bytes.size);
    cbor_read_fixed(&d->r, d->signer_key, SIGN_PUBLIC_SIZE);
    cbor_read_fixed(&d->r, signature, SIGN_SIZE);
    cbor_read_end(&d->r);
    if (cbor_read_finish(&d->r, NULL, type) != ERR_OK) {
        d->problem = "the envelope (payload, signer, signature) is broken";
        return;
    }
    sign_id(d->signer_key, &d->signer);
    if (signer != NULL && !id_equal(signer, &d->signer)) {
        d->problem = "it is signed by another key than the one that may";
        cbor_read_refuse(&d->r, ERR_AUTH);
        return;
    }
    enum err e = document_verify(type, swarm, d->signer_key, d->payload, signature);
    if (e == ERR_AUTH)
        d->problem = "its signature does not verify in this swarm";
    if (e != ERR_OK)
        cbor_read_refuse(&d->r, e);
}

struct cbor_reader *document_read(struct document_reader *d, const char *type,
                                  const struct swarm_root *swarm, const struct id *signer,
                                  struct slice bytes, size_t size_max)
{
    *d = (struct document_reader){0};
    if (bytes.size > size_max) {
        d->problem = "it is larger than such a document may be";
        cbor_read_refuse(&d->r, ERR_TOO_LARGE);
    } else
        read_envelope(d, type, swarm, signer, bytes);
    if (d->r.e == ERR_OK)
        d->r = cbor_read_over(d->payload);
    cbor_read_map(&d->r);
    return &d->r;
}

enum err document_read_end(struct document_reader *d, struct errmsg *msg, const char *what)
{
    cbor_read_end(&d->r);
    if (d->problem != NULL)
        return err_say(msg, d->r.e, "%s is refused: %s", what, d->problem);
    return cbor_read_finish(&d->r, msg, what);
}
