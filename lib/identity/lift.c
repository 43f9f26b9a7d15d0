#include "identity/lift.h"

#include <assert.h>

enum err lift_make(const struct deed *deed, const struct id *documents, size_t count,
                   const struct swarm_root *swarm, const struct sign_key *root, struct buf *out)
{
    struct document_writer d;
    assert(count > 0);
    struct cbor_writer *w = document_begin(&d, LIFT_BYTES_MAX);
    deed_write(w, deed);
    cbor_write_key(w, 5), id_list_write(w, documents, count);
    return document_end(&d, "lift", swarm, root, out);
}

enum err lift_open(struct slice bytes, const struct swarm_root *swarm, struct lift *out,
                   struct errmsg *msg)
{
    struct document_reader d;
    struct cbor_reader *r = document_read(&d, "lift", swarm, NULL, bytes, LIFT_BYTES_MAX);
    deed_read(&d, swarm, &out->deed);
    cbor_read_key(r, 5), id_list_read(r, LIFT_DOCUMENTS_MAX, &out->documents);
    if (out->documents.count == 0)
        cbor_read_refuse(r, ERR_FORMAT);
    const enum err e = document_read_end(&d, msg, "the lift");
    if (e == ERR_OK && !out->deed.by_root)
        return err_say(msg, ERR_DENIED,
                       "the lift is refused: only the recovery phrase takes deletions back");
    return e;
}
