#include "identity/drop_order.h"

#include "base/limits.h"

enum err drop_order_make(const struct drop_order *order, const struct swarm_root *swarm,
                         const struct sign_key *key, struct buf *out)
{
    struct document_writer d;
    struct cbor_writer *w = document_begin(&d, DROP_ORDER_BYTES_MAX);
    deed_write(w, &order->deed);
    cbor_write_key(w, 5), cbor_write_id(w, &order->cell);
    cbor_write_key(w, 6), cbor_write_id(w, &order->segment);
    cbor_write_key(w, 7), cbor_write_u64(w, order->index);
    cbor_write_key(w, 8), cbor_write_u64(w, order->generation);
    return document_end(&d, "drop", swarm, key, out);
}

enum err drop_order_open(struct slice bytes, const struct swarm_root *swarm,
                         const struct id *signer, struct drop_order *out, struct errmsg *msg)
{
    struct document_reader d;
    struct cbor_reader *r = document_read(&d, "drop", swarm, signer, bytes, DROP_ORDER_BYTES_MAX);
    deed_read(&d, swarm, &out->deed);
    cbor_read_key(r, 5), cbor_read_id(r, &out->cell);
    cbor_read_key(r, 6), cbor_read_id(r, &out->segment);
    cbor_read_key(r, 7), out->index = (uint8_t)cbor_read_u32(r, LIMIT_SHARDS - 1);
    cbor_read_key(r, 8), out->generation = cbor_read_u32(r, UINT32_MAX);
    return document_read_end(&d, msg, "the drop order");
}

enum err drop_order_allowed(const struct drop_order *order, const struct manifest *m,
                            struct errmsg *msg)
{
    return deed_allowed(&order->deed, m, MANIFEST_PUT, msg);
}
