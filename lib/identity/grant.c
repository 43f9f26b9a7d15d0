#include "identity/grant.h"

enum err grant_make(const struct grant *grant, const struct swarm_root *swarm,
                    const struct sign_key *coordinator, struct buf *out)
{
    struct document_writer d;
    struct cbor_writer *w = document_begin(&d, GRANT_BYTES_MAX);
    cbor_write_key(w, 0), cbor_write_bytes(w, slice_of(grant->id, GRANT_ID_SIZE));
    cbor_write_key(w, 1), cbor_write_u64(w, grant->incarnation);
    cbor_write_key(w, 2), cbor_write_id(w, &grant->account);
    cbor_write_key(w, 3), cbor_write_id(w, &grant->device);
    cbor_write_key(w, 4), cbor_write_id(w, &grant->cell);
    cbor_write_key(w, 5), cbor_write_u64(w, grant->list_number);
    cbor_write_key(w, 6), cbor_write_i64(w, grant->expires_s);
    cbor_write_key(w, 7), cbor_write_u64(w, grant->budget_bytes);
    return document_end(&d, "grant", swarm, coordinator, out);
}

enum err grant_open(struct slice bytes, const struct swarm_root *swarm,
                    const struct id *coordinator, struct grant *out, struct errmsg *msg)
{
    struct document_reader d;
    struct cbor_reader *r = document_read(&d, "grant", swarm, coordinator, bytes, GRANT_BYTES_MAX);
    cbor_read_key(r, 0), cbor_read_fixed(r, out->id, GRANT_ID_SIZE);
    cbor_read_key(r, 1), out->incarnation = cbor_read_u32(r, UINT32_MAX);
    cbor_read_key(r, 2), cbor_read_id(r, &out->account);
    cbor_read_key(r, 3), cbor_read_id(r, &out->device);
    cbor_read_key(r, 4), cbor_read_id(r, &out->cell);
    cbor_read_key(r, 5), out->list_number = cbor_read_u64(r, UINT64_MAX);
    cbor_read_key(r, 6), out->expires_s = cbor_read_i64(r);
    cbor_read_key(r, 7), out->budget_bytes = cbor_read_u64(r, UINT64_MAX);
    return document_read_end(&d, msg, "the grant");
}
