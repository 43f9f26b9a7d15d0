#include "identity/invite.h"

#include "identity/manifest.h"

enum err invite_make(const struct invite *invite, const struct swarm_root *swarm,
                     const struct sign_key *coordinator, struct buf *out)
{
    struct document_writer d;
    struct cbor_writer *w = document_begin(&d, INVITE_BYTES_MAX);
    cbor_write_key(w, 0), cbor_write_u64(w, invite->kind);
    cbor_write_key(w, 1), cbor_write_bytes(w, slice_of(invite->id, INVITE_ID_SIZE));
    cbor_write_key(w, 2), cbor_write_u64(w, invite->uses);
    cbor_write_key(w, 3), cbor_write_i64(w, invite->expires_s);
    cbor_write_key(w, 4), cbor_write_u64(w, invite->incarnation);
    if (invite->stranger)
        cbor_write_key(w, 5), cbor_write_bool(w, true);
    return document_end(&d, "invite", swarm, coordinator, out);
}

enum err invite_open(struct slice bytes, const struct swarm_root *swarm,
                     const struct id *coordinator, struct invite *out, struct errmsg *msg)
{
    struct document_reader d;
    struct cbor_reader *r =
        document_read(&d, "invite", swarm, coordinator, bytes, INVITE_BYTES_MAX);
    cbor_read_key(r, 0), out->kind = (enum invite_kind)cbor_read_u32(r, INVITE_ACCOUNT);
    cbor_read_key(r, 1), cbor_read_fixed(r, out->id, INVITE_ID_SIZE);
    cbor_read_key(r, 2), out->uses = cbor_read_u32(r, UINT32_MAX);
    cbor_read_key(r, 3), out->expires_s = cbor_read_i64(r);
    cbor_read_key(r, 4), out->incarnation = cbor_read_u32(r, UINT32_MAX);
    const bool says = cbor_read_key_optional(r, 5);
    out->stranger = says && cbor_read_bool(r);
    if (out->kind == 0 || out->uses == 0 || says != out->stranger)
        cbor_read_refuse(r, ERR_FORMAT);
    return document_read_end(&d, msg, "the invite");
}

enum err invite_device_make(const struct invite_device *invite, const struct swarm_root *swarm,
                            const struct sign_key *key, struct buf *out)
{
    struct document_writer d;
    struct cbor_writer *w = document_begin(&d, INVITE_BYTES_MAX);
    cbor_write_key(w, 0), cbor_write_id(w, &invite->account);
    cbor_write_key(w, 1), cbor_write_u64(w, invite->capabilities);
    cbor_write_key(w, 2), cbor_write_bytes(w, slice_of(invite->id, INVITE_ID_SIZE));
    cbor_write_key(w, 3), cbor_write_i64(w, invite->expires_s);
    return document_end(&d, "device-invite", swarm, key, out);
}

enum err invite_device_open(struct slice bytes, const struct swarm_root *swarm,
                            const struct id *signer, struct invite_device *out, struct errmsg *msg)
{
    struct document_reader d;
    struct cbor_reader *r =
        document_read(&d, "device-invite", swarm, signer, bytes, INVITE_BYTES_MAX);
    cbor_read_key(r, 0), cbor_read_id(r, &out->account);
    cbor_read_key(r, 1), out->capabilities = cbor_read_u32(r, MANIFEST_CAPABILITIES);
    cbor_read_key(r, 2), cbor_read_fixed(r, out->id, INVITE_ID_SIZE);
    cbor_read_key(r, 3), out->expires_s = cbor_read_i64(r);
    out->signer = d.signer;
    return document_read_end(&d, msg, "the device's invite");
}
