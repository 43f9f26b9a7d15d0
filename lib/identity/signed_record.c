#include "identity/signed_record.h"

enum err signed_record_make(const struct signed_record *record, const struct swarm_root *swarm,
                            const struct sign_key *device, struct buf *out)
{
    struct document_writer d;
    struct cbor_writer *w = document_begin(&d, SIGNED_RECORD_BYTES_MAX);
    cbor_write_key(w, 0), cbor_write_id(w, &record->segment);
    cbor_write_key(w, 1), cbor_write_id(w, &record->account);
    cbor_write_key(w, 2), cbor_write_u64(w, record->slot);
    cbor_write_key(w, 3), cbor_write_u64(w, record->list_number);
    cbor_write_key(w, 4), cbor_write_u64(w, record->sequence);
    return document_end(&d, "segment", swarm, device, out);
}

enum err signed_record_open(struct slice bytes, const struct swarm_root *swarm,
                            const struct id *device, struct signed_record *out, struct errmsg *msg)
{
    struct document_reader d;
    struct cbor_reader *r =
        document_read(&d, "segment", swarm, device, bytes, SIGNED_RECORD_BYTES_MAX);
    cbor_read_key(r, 0), cbor_read_id(r, &out->segment);
    cbor_read_key(r, 1), cbor_read_id(r, &out->account);
    cbor_read_key(r, 2), out->slot = cbor_read_u32(r, UINT32_MAX);
    cbor_read_key(r, 3), out->list_number = cbor_read_u64(r, UINT64_MAX);
    cbor_read_key(r, 4), out->sequence = cbor_read_u64(r, UINT64_MAX);
    out->device = d.signer;
    return document_read_end(&d, msg, "the segment's record");
}
