#include "identity/tombstone.h"

enum err tombstone_make(const struct deed *deed, const struct id *snapshots, size_t count,
                        const struct swarm_root *swarm, const struct sign_key *key, struct buf *out)
{
    struct document_writer d;
    struct cbor_writer *w = document_begin(&d, TOMBSTONE_BYTES_MAX);
    deed_write(w, deed);
    cbor_write_key(w, 5), id_list_write(w, snapshots, count);
    return document_end(&d, "tombstone", swarm, key, out);
}

enum err tombstone_open(struct slice bytes, const struct swarm_root *swarm, const struct id *signer,
                        struct tombstone *out, struct errmsg *msg)
{
    struct document_reader d;
    struct cbor_reader *r =
        document_read(&d, "tombstone", swarm, signer, bytes, TOMBSTONE_BYTES_MAX);
    deed_read(&d, swarm, &out->deed);
    cbor_read_key(r, 5), id_list_read(r, TOMBSTONE_SNAPSHOTS_MAX, &out->snapshots);
    return document_read_end(&d, msg, "the tombstone");
}
