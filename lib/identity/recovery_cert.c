#include "identity/recovery_cert.h"

#include "identity/account.h"
#include "identity/manifest.h"

enum err recovery_cert_make(const struct recovery_cert *cert, const struct swarm_root *swarm,
                            const struct sign_key *root, struct buf *out)
{
    struct document_writer d;
    struct cbor_writer *w = document_begin(&d, RECOVERY_CERT_BYTES_MAX);
    cbor_write_key(w, 0), cbor_write_bytes(w, slice_of(cert->device_key, SIGN_PUBLIC_SIZE));
    cbor_write_key(w, 1), cbor_write_u64(w, cert->capabilities);
    cbor_write_key(w, 2), cbor_write_i64(w, cert->time_s);
    return document_end(&d, "recovery", swarm, root, out);
}

enum err recovery_cert_open(struct slice bytes, const struct swarm_root *swarm,
                            struct recovery_cert *out, struct errmsg *msg)
{
    struct document_reader d;
    struct cbor_reader *r =
        document_read(&d, "recovery", swarm, NULL, bytes, RECOVERY_CERT_BYTES_MAX);
    cbor_read_key(r, 0), cbor_read_fixed(r, out->device_key, SIGN_PUBLIC_SIZE);
    cbor_read_key(r, 1), out->capabilities = cbor_read_u32(r, MANIFEST_CAPABILITIES);
    cbor_read_key(r, 2), out->time_s = cbor_read_i64(r);
    memcpy(out->root, d.signer_key, SIGN_PUBLIC_SIZE);
    account_id(swarm, d.signer_key, &out->account);
    sign_id(out->device_key, &out->device);
    return document_read_end(&d, msg, "the certificate from the recovery phrase");
}
