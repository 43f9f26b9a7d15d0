#include "identity/coordinator_cert.h"

enum err coordinator_cert_make(const struct coordinator_cert *cert, const struct swarm_root *swarm,
                               const struct sign_key *root, struct buf *out)
{
    struct document_writer d;
    struct cbor_writer *w = document_begin(&d, COORDINATOR_CERT_BYTES_MAX);
    cbor_write_key(w, 0), cbor_write_bytes(w, slice_of(cert->key, SIGN_PUBLIC_SIZE));
    cbor_write_key(w, 1), cbor_write_u64(w, cert->incarnation);
    cbor_write_key(w, 2), cbor_write_i64(w, cert->time_s);
    cbor_write_key(w, 3), address_list_write(w, &cert->addresses);
    return document_end(&d, "coordinator", swarm, root, out);
}

enum err coordinator_cert_open(struct slice bytes, const struct swarm_root *swarm,
                               struct coordinator_cert *out, struct errmsg *msg)
{
    struct document_reader d;
    struct id root;
    sign_id(swarm->key, &root);
    struct cbor_reader *r =
        document_read(&d, "coordinator", swarm, &root, bytes, COORDINATOR_CERT_BYTES_MAX);
    cbor_read_key(r, 0), cbor_read_fixed(r, out->key, SIGN_PUBLIC_SIZE);
    cbor_read_key(r, 1), out->incarnation = cbor_read_u32(r, UINT32_MAX);
    cbor_read_key(r, 2), out->time_s = cbor_read_i64(r);
    cbor_read_key(r, 3), address_list_read(r, &out->addresses);
    sign_id(out->key, &out->id);
    return document_read_end(&d, msg, "the coordinator's certificate");
}
