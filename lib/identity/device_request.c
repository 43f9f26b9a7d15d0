#include "identity/device_request.h"

enum err device_request_make(const struct device_request *request, const struct swarm_root *swarm,
                             const struct sign_key *device, struct buf *out)
{
    struct document_writer d;
    struct cbor_writer *w = document_begin(&d, DEVICE_REQUEST_BYTES_MAX);
    cbor_write_key(w, 0), cbor_write_id(w, &request->account);
    cbor_write_key(w, 1), cbor_write_bytes(w, slice_of(request->seal_key, SEAL_PUBLIC_SIZE));
    cbor_write_key(w, 2), cbor_write_string(w, request->name);
    cbor_write_key(w, 3), cbor_write_u64(w, request->epoch.epoch);
    cbor_write_key(w, 4);
    cbor_write_bytes(w, slice_of(request->epoch.sealed, MANIFEST_DATA_KEY_SEALED_SIZE));
    cbor_write_key(w, 5), cbor_write_i64(w, request->time_s);
    if (request->invited)
        cbor_write_key(w, 6), cbor_write_bytes(w, slice_of(request->invite, INVITE_ID_SIZE));
    return document_end(&d, "device-request", swarm, device, out);
}

enum err device_request_open(struct slice bytes, const struct swarm_root *swarm,
                             const struct id *device, struct device_request *out,
                             struct errmsg *msg)
{
    struct document_reader d;
    struct cbor_reader *r =
        document_read(&d, "device-request", swarm, device, bytes, DEVICE_REQUEST_BYTES_MAX);
    cbor_read_key(r, 0), cbor_read_id(r, &out->account);
    cbor_read_key(r, 1), cbor_read_fixed(r, out->seal_key, sizeof(out->seal_key));
    cbor_read_key(r, 2), cbor_read_string(r, out->name, sizeof(out->name));
    cbor_read_key(r, 3), out->epoch.epoch = cbor_read_u32(r, UINT32_MAX);
    cbor_read_key(r, 4), cbor_read_fixed(r, out->epoch.sealed, sizeof(out->epoch.sealed));
    cbor_read_key(r, 5), out->time_s = cbor_read_i64(r);
    out->invited = cbor_read_key_optional(r, 6);
    if (out->invited)
        cbor_read_fixed(r, out->invite, sizeof(out->invite));
    if (out->epoch.epoch == 0)
        cbor_read_refuse(r, ERR_FORMAT);
    memcpy(out->key, d.signer_key, SIGN_PUBLIC_SIZE);
    out->device = d.signer;
    return document_read_end(&d, msg, "the device's request");
}
