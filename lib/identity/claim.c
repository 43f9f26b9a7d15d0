#include "identity/claim.h"

#include "identity/account.h"

/* The parts of the envelope, exactly as they stand. */
struct envelope {
    struct slice payload;
    uint8_t account_key[SIGN_PUBLIC_SIZE], account_signature[SIGN_SIZE];
    uint8_t cell_key[SIGN_PUBLIC_SIZE], cell_signature[SIGN_SIZE];
    bool whole;
};

enum err claim_make(const struct claim *claim, const struct swarm_root *swarm,
                    const struct sign_key *account_key, struct buf *out)
{
    struct document_writer d;
    struct cbor_writer *w = document_begin(&d, CLAIM_BYTES_MAX);
    cbor_write_key(w, 0), cbor_write_id(w, &claim->account);
    cbor_write_key(w, 1), cbor_write_u64(w, claim->manifest_number);
    cbor_write_key(w, 2), cbor_write_id(w, &claim->cell);
    cbor_write_key(w, 3), cbor_write_i64(w, claim->time_s);
    cbor_write_key(w, 4), cbor_write_bool(w, claim->released);
    return document_end(&d, "claim", swarm, account_key, out);
}

static enum err read_envelope(struct slice bytes, struct envelope *out, struct errmsg *msg)
{
    struct cbor_reader r = cbor_read_over(bytes);
    if (bytes.size > CLAIM_BYTES_MAX)
        cbor_read_refuse(&r, ERR_TOO_LARGE);
    size_t count = cbor_read_array(&r, 5);
    out->payload = cbor_read_bytes(&r, CLAIM_BYTES_MAX);
    cbor_read_fixed(&r, out->account_key, SIGN_PUBLIC_SIZE);
    cbor_read_fixed(&r, out->account_signature, SIGN_SIZE);
    out->whole = count == 5;
    if (out->whole) {
        cbor_read_fixed(&r, out->cell_key, SIGN_PUBLIC_SIZE);
        cbor_read_fixed(&r, out->cell_signature, SIGN_SIZE);
    }
    cbor_read_end(&r);
    return cbor_read_finish(&r, msg, "the claim");
}

static enum err read_payload(struct slice payload, struct claim *out, struct errmsg *msg)
{
    struct cbor_reader r = cbor_read_over(payload);
    cbor_read_map(&r);
    cbor_read_key(&r, 0), cbor_read_id(&r, &out->account);
    cbor_read_key(&r, 1), out->manifest_number = cbor_read_u64(&r, UINT64_MAX);
    cbor_read_key(&r, 2), cbor_read_id(&r, &out->cell);
    cbor_read_key(&r, 3), out->time_s = cbor_read_i64(&r);
    cbor_read_key(&r, 4), out->released = cbor_read_bool(&r);
    cbor_read_end(&r);
    return cbor_read_finish(&r, msg, "the claim");
}

enum err claim_open(struct slice bytes, const struct swarm_root *swarm, struct claim *out,
                    struct errmsg *msg)
{
    struct envelope v;
    struct id id;
    enum err e = read_envelope(bytes, &v, msg);
    if (e != ERR_OK || (e = read_payload(v.payload, out, msg)) != ERR_OK)
        return e;
    e = document_verify_say("claim", swarm, v.account_key, v.payload, v.account_signature, msg,
                            "the claim is refused: the account's signature does not verify");
    if (e != ERR_OK)
        return e;
    if (v.whole) {
        sign_id(v.cell_key, &id);
        if (!id_equal(&id, &out->cell))
            return err_say(msg, ERR_AUTH,
                           "the claim is refused: another cell than the claimed one "
                           "has signed it");
        e = document_verify_say("claim-cell", swarm, v.cell_key, v.payload, v.cell_signature, msg,
                                "the claim is refused: the cell's signature does not verify");
        if (e != ERR_OK)
            return e;
    }
    memcpy(out->account_key, v.account_key, SIGN_PUBLIC_SIZE);
    sign_id(v.account_key, &out->signer);
    account_id(swarm, v.account_key, &id);
    out->by_root = id_equal(&id, &out->account);
    out->whole = v.whole;
    return ERR_OK;
}

enum err claim_countersign(struct slice half, const struct swarm_root *swarm,
                           const struct sign_key *cell, struct buf *out)
{
    struct envelope v;
    struct claim claim;
    uint8_t signature[SIGN_SIZE];
    enum err e;
    if ((e = read_envelope(half, &v, NULL)) != ERR_OK ||
        (e = read_payload(v.payload, &claim, NULL)) != ERR_OK)
        return e;
    if (v.whole)
        return ERR_STATE;
    if (!id_equal(&claim.cell, sign_key_id(cell)))
        return ERR_AUTH;
    if ((e = document_sign("claim-cell", swarm, cell, v.payload, signature)) != ERR_OK)
        return e;
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_array(&w);
    cbor_write_bytes(&w, v.payload);
    cbor_write_bytes(&w, slice_of(v.account_key, SIGN_PUBLIC_SIZE));
    cbor_write_bytes(&w, slice_of(v.account_signature, SIGN_SIZE));
    cbor_write_bytes(&w, slice_of(sign_key_public(cell), SIGN_PUBLIC_SIZE));
    cbor_write_bytes(&w, slice_of(signature, SIGN_SIZE));
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}
