#include "identity/member_statement.h"

enum err member_statement_make(const struct member_statement *statement,
                               const struct swarm_root *swarm, const struct sign_key *cell,
                               struct buf *out)
{
    struct document_writer d;
    struct cbor_writer *w = document_begin(&d, MEMBER_STATEMENT_BYTES_MAX);
    cbor_write_key(w, 0), address_list_write(w, &statement->addresses);
    cbor_write_key(w, 1), cbor_write_string(w, statement->site);
    cbor_write_key(w, 2), cbor_write_u64(w, statement->give_bytes);
    cbor_write_key(w, 3), cbor_write_u64(w, statement->sequence);
    cbor_write_key(w, 4), cbor_write_i64(w, statement->time_s);
    return document_end(&d, "member", swarm, cell, out);
}

enum err member_statement_open(struct slice bytes, const struct swarm_root *swarm,
                               const struct id *cell, struct member_statement *out,
                               struct errmsg *msg)
{
    struct document_reader d;
    struct cbor_reader *r =
        document_read(&d, "member", swarm, cell, bytes, MEMBER_STATEMENT_BYTES_MAX);
    cbor_read_key(r, 0), address_list_read(r, &out->addresses);
    cbor_read_key(r, 1), cbor_read_string(r, out->site, sizeof(out->site));
    cbor_read_key(r, 2), out->give_bytes = cbor_read_u64(r, UINT64_MAX);
    cbor_read_key(r, 3), out->sequence = cbor_read_u64(r, UINT64_MAX);
    cbor_read_key(r, 4), out->time_s = cbor_read_i64(r);
    memcpy(out->key, d.signer_key, SIGN_PUBLIC_SIZE);
    out->cell = d.signer;
    return document_read_end(&d, msg, "the cell's statement");
}
