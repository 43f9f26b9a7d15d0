#include "identity/delete_order.h"

#include <assert.h>

enum err delete_order_make(const struct deed *deed, bool at_once, const struct id *segments,
                           size_t count, const struct swarm_root *swarm, const struct sign_key *key,
                           struct buf *out)
{
    struct document_writer d;
    assert(count > 0);
    struct cbor_writer *w = document_begin(&d, DELETE_ORDER_BYTES_MAX);
    deed_write(w, deed);
    cbor_write_key(w, 5), id_list_write(w, segments, count);
    cbor_write_key(w, 6), cbor_write_bool(w, at_once);
    return document_end(&d, "delete", swarm, key, out);
}

enum err delete_order_open(struct slice bytes, const struct swarm_root *swarm,
                           const struct id *signer, struct delete_order *out, struct errmsg *msg)
{
    struct document_reader d;
    struct cbor_reader *r =
        document_read(&d, "delete", swarm, signer, bytes, DELETE_ORDER_BYTES_MAX);
    deed_read(&d, swarm, &out->deed);
    cbor_read_key(r, 5), id_list_read(r, DELETE_ORDER_SEGMENTS_MAX, &out->segments);
    if (out->segments.count == 0)
        cbor_read_refuse(r, ERR_FORMAT);
    cbor_read_key(r, 6), out->at_once = cbor_read_bool(r);
    enum err e = document_read_end(&d, msg, "the delete order");
    if (e == ERR_OK && out->at_once && !out->deed.by_root)
        e = err_say(msg, ERR_DENIED,
                    "the delete order is refused: only the recovery phrase deletes "
                    "at once");
    return e;
}

enum err delete_order_make_undo(const struct deed *deed, const struct id *segments, size_t count,
                                const struct swarm_root *swarm, const struct sign_key *root,
                                struct buf *out)
{
    struct document_writer d;
    struct cbor_writer *w = document_begin(&d, DELETE_ORDER_BYTES_MAX);
    deed_write(w, deed);
    cbor_write_key(w, 5), id_list_write(w, segments, count);
    return document_end(&d, "undelete", swarm, root, out);
}

enum err delete_order_open_undo(struct slice bytes, const struct swarm_root *swarm,
                                struct delete_order *out, struct errmsg *msg)
{
    struct document_reader d;
    struct cbor_reader *r =
        document_read(&d, "undelete", swarm, NULL, bytes, DELETE_ORDER_BYTES_MAX);
    deed_read(&d, swarm, &out->deed);
    cbor_read_key(r, 5), id_list_read(r, DELETE_ORDER_SEGMENTS_MAX, &out->segments);
    out->at_once = false;
    enum err e = document_read_end(&d, msg, "the undelete order");
    if (e == ERR_OK && !out->deed.by_root)
        e = err_say(msg, ERR_DENIED,
                    "the undelete order is refused: only the recovery phrase takes "
                    "deletions back");
    return e;
}

enum err delete_order_allowed(const struct delete_order *order, const struct manifest *m,
                              struct errmsg *msg)
{
    return deed_allowed(&order->deed, m, MANIFEST_DELETE, msg);
}
