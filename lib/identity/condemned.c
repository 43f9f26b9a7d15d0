#include "identity/condemned.h"

#include <assert.h>

enum err condemned_make(const struct condemned *condemned, const struct id *segments, size_t count,
                        const struct swarm_root *swarm, const struct sign_key *key, struct buf *out)
{
    struct document_writer d;
    struct cbor_writer *w = document_begin(&d, CONDEMNED_BYTES_MAX);
    deed_write(w, &condemned->deed);
    cbor_write_key(w, 5), id_list_write(w, segments, count);
    cbor_write_key(w, 6), cbor_write_array(w);
    for (size_t i = 0; i < condemned->excluded_count; i++) {
        assert(i == 0 || condemned->excluded[i] > condemned->excluded[i - 1]);
        cbor_write_u64(w, condemned->excluded[i]);
    }
    cbor_write_end(w);
    return document_end(&d, "condemned", swarm, key, out);
}

enum err condemned_open(struct slice bytes, const struct swarm_root *swarm, const struct id *signer,
                        struct condemned *out, struct errmsg *msg)
{
    struct document_reader d;
    struct cbor_reader *r =
        document_read(&d, "condemned", swarm, signer, bytes, CONDEMNED_BYTES_MAX);
    deed_read(&d, swarm, &out->deed);
    cbor_read_key(r, 5), id_list_read(r, CONDEMNED_SEGMENTS_MAX, &out->segments);
    cbor_read_key(r, 6), out->excluded_count = cbor_read_array(r, MANIFEST_DEVICES_MAX);
    for (size_t i = 0; i < out->excluded_count; i++) {
        out->excluded[i] = cbor_read_u32(r, UINT32_MAX);
        if (i > 0 && out->excluded[i] <= out->excluded[i - 1])
            cbor_read_refuse(r, ERR_FORMAT);
    }
    cbor_read_end(r);
    return document_read_end(&d, msg, "the condemned list");
}
