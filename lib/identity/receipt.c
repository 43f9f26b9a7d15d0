#include "identity/receipt.h"

#include "base/limits.h"

enum err receipt_make(const struct receipt *receipt, const struct swarm_root *swarm,
                      const struct sign_key *cell, struct buf *out)
{
    struct document_writer d;
    struct cbor_writer *w = document_begin(&d, RECEIPT_BYTES_MAX);
    cbor_write_key(w, 0), cbor_write_id(w, &receipt->segment);
    cbor_write_key(w, 1), cbor_write_u64(w, receipt->index);
    cbor_write_key(w, 2), cbor_write_u64(w, receipt->shard_bytes);
    cbor_write_key(w, 3), cbor_write_id(w, &receipt->account);
    cbor_write_key(w, 4), cbor_write_u64(w, receipt->slot);
    cbor_write_key(w, 5), cbor_write_bytes(w, slice_of(receipt->grant, GRANT_ID_SIZE));
    cbor_write_key(w, 6), cbor_write_u64(w, receipt->list_number);
    cbor_write_key(w, 7), cbor_write_i64(w, receipt->time_s);
    return document_end(&d, "receipt", swarm, cell, out);
}

enum err receipt_open(struct slice bytes, const struct swarm_root *swarm, const struct id *cell,
                      struct receipt *out, struct errmsg *msg)
{
    struct document_reader d;
    struct cbor_reader *r = document_read(&d, "receipt", swarm, cell, bytes, RECEIPT_BYTES_MAX);
    cbor_read_key(r, 0), cbor_read_id(r, &out->segment);
    cbor_read_key(r, 1), out->index = (uint8_t)cbor_read_u32(r, LIMIT_SHARDS - 1);
    cbor_read_key(r, 2), out->shard_bytes = cbor_read_u32(r, LIMIT_SHARD_BYTES);
    cbor_read_key(r, 3), cbor_read_id(r, &out->account);
    cbor_read_key(r, 4), out->slot = cbor_read_u32(r, UINT32_MAX);
    cbor_read_key(r, 5), cbor_read_fixed(r, out->grant, GRANT_ID_SIZE);
    cbor_read_key(r, 6), out->list_number = cbor_read_u64(r, UINT64_MAX);
    cbor_read_key(r, 7), out->time_s = cbor_read_i64(r);
    out->cell = d.signer;
    return document_read_end(&d, msg, "the receipt");
}
