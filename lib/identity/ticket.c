#include "identity/ticket.h"

#include <assert.h>

static void write_places(struct cbor_writer *w, const struct ticket_place *places, size_t count)
{
    cbor_write_array(w);
    for (size_t i = 0; i < count; i++) {
        assert(i == 0 || places[i].index > places[i - 1].index);
        cbor_write_map(w);
        cbor_write_key(w, 0), cbor_write_u64(w, places[i].index);
        cbor_write_key(w, 1), cbor_write_id(w, &places[i].cell);
        cbor_write_end(w);
    }
    cbor_write_end(w);
}

static size_t read_places(struct cbor_reader *r, struct ticket_place places[LIMIT_SHARDS])
{
    size_t count = cbor_read_array(r, LIMIT_SHARDS);
    for (size_t i = 0; i < count; i++) {
        cbor_read_map(r);
        cbor_read_key(r, 0), places[i].index = (uint8_t)cbor_read_u32(r, LIMIT_SHARDS - 1);
        cbor_read_key(r, 1), cbor_read_id(r, &places[i].cell);
        cbor_read_end(r);
        if (i > 0 && places[i].index <= places[i - 1].index)
            cbor_read_refuse(r, ERR_FORMAT);
    }
    cbor_read_end(r);
    return count;
}

enum err ticket_make(const struct ticket *ticket, const struct swarm_root *swarm,
                     const struct sign_key *coordinator, struct buf *out)
{
    struct document_writer d;
    struct cbor_writer *w = document_begin(&d, TICKET_BYTES_MAX);
    cbor_write_key(w, 0), cbor_write_bytes(w, slice_of(ticket->id, TICKET_ID_SIZE));
    cbor_write_key(w, 1), cbor_write_u64(w, ticket->incarnation);
    cbor_write_key(w, 2), cbor_write_id(w, &ticket->repairer);
    cbor_write_key(w, 3), cbor_write_id(w, &ticket->segment);
    cbor_write_key(w, 4), cbor_write_id(w, &ticket->account);
    cbor_write_key(w, 5), cbor_write_u64(w, ticket->list_number);
    cbor_write_key(w, 6), cbor_write_u64(w, ticket->bytes_max);
    cbor_write_key(w, 7), cbor_write_i64(w, ticket->expires_s);
    cbor_write_key(w, 8), write_places(w, ticket->sources, ticket->source_count);
    cbor_write_key(w, 9), write_places(w, ticket->targets, ticket->target_count);
    return document_end(&d, "ticket", swarm, coordinator, out);
}

enum err ticket_open(struct slice bytes, const struct swarm_root *swarm,
                     const struct id *coordinator, struct ticket *out, struct errmsg *msg)
{
    struct document_reader d;
    struct cbor_reader *r =
        document_read(&d, "ticket", swarm, coordinator, bytes, TICKET_BYTES_MAX);
    cbor_read_key(r, 0), cbor_read_fixed(r, out->id, TICKET_ID_SIZE);
    cbor_read_key(r, 1), out->incarnation = cbor_read_u32(r, UINT32_MAX);
    cbor_read_key(r, 2), cbor_read_id(r, &out->repairer);
    cbor_read_key(r, 3), cbor_read_id(r, &out->segment);
    cbor_read_key(r, 4), cbor_read_id(r, &out->account);
    cbor_read_key(r, 5), out->list_number = cbor_read_u64(r, UINT64_MAX);
    cbor_read_key(r, 6), out->bytes_max = cbor_read_u64(r, UINT64_MAX);
    cbor_read_key(r, 7), out->expires_s = cbor_read_i64(r);
    cbor_read_key(r, 8), out->source_count = read_places(r, out->sources);
    cbor_read_key(r, 9), out->target_count = read_places(r, out->targets);
    return document_read_end(&d, msg, "the repair ticket");
}
