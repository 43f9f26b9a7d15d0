#include "wire/wire_cell.h"

#include "cbor/cbor_utf8.h"
#include "wire/wire_fields.h"

enum { DOCUMENT_BYTES = 4096 };

/* ---- have ---- */

enum err wire_have_reply_encode(const struct wire_held *held, size_t count, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    cbor_write_key(&w, 0);
    cbor_write_array(&w);
    for (size_t i = 0; i < count; i++) {
        cbor_write_map(&w);
        wire_put_number(&w, 0, held[i].position);
        wire_put_number(&w, 1, held[i].index);
        wire_put_number(&w, 2, (uint64_t)held[i].state);
        cbor_write_end(&w);
    }
    cbor_write_end(&w);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

static void read_held(struct cbor_reader *r, void *out)
{
    struct wire_held held;
    cbor_read_map(r);
    held.position = wire_take_u32(r, 0, WIRE_HAVE_IDS - 1);
    held.index = (uint8_t)wire_take_u32(r, 1, LIMIT_SHARDS - 1);
    held.state = (enum wire_shard_state)wire_take_u32(r, 2, WIRE_SHARD_DEAD);
    cbor_read_end(r);
    if (r->e == ERR_OK && held.state < WIRE_SHARD_STORED)
        cbor_read_refuse(r, ERR_FORMAT);
    if (out)
        *(struct wire_held *)out = held;
}

enum err wire_have_reply_decode(struct slice in, struct wire_list *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    cbor_read_key(&r, 0);
    wire_list_read(&r, WIRE_HAVE_ANSWERS, read_held, out);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "the answer to have");
}

bool wire_have_reply_next(struct wire_list *list, struct wire_held *out)
{
    return wire_list_next(list, read_held, out);
}

/* ---- an account's shards ---- */

enum err wire_names_encode(const struct wire_shard_name *names, size_t count, bool more,
                           struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    cbor_write_key(&w, 0);
    cbor_write_array(&w);
    for (size_t i = 0; i < count; i++) {
        cbor_write_array(&w);
        cbor_write_id(&w, &names[i].segment);
        cbor_write_u64(&w, names[i].index);
        cbor_write_end(&w);
    }
    cbor_write_end(&w);
    cbor_write_key(&w, 1);
    cbor_write_bool(&w, more);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

static void read_name(struct cbor_reader *r, void *out)
{
    struct wire_shard_name name;
    if (cbor_read_array(r, 2) != 2)
        cbor_read_refuse(r, ERR_FORMAT);
    cbor_read_id(r, &name.segment);
    name.index = (uint8_t)cbor_read_u32(r, LIMIT_SHARDS - 1);
    cbor_read_end(r);
    if (out)
        *(struct wire_shard_name *)out = name;
}

enum err wire_names_decode(struct slice in, struct wire_list *out, bool *more)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    cbor_read_key(&r, 0);
    wire_list_read(&r, WIRE_SHARD_NAMES, read_name, out);
    cbor_read_key(&r, 1);
    *more = cbor_read_bool(&r);
    cbor_read_end(&r);
    if (r.e == ERR_OK && *more && out->count == 0)
        cbor_read_refuse(&r, ERR_FORMAT); /* nobody could go on behind nothing */
    return cbor_read_finish(&r, NULL, "a list of shards");
}

bool wire_names_next(struct wire_list *list, struct wire_shard_name *out)
{
    return wire_list_next(list, read_name, out);
}

/* ---- claim ---- */

enum err wire_claim_encode(const struct wire_claim *claim, struct buf *out)
{
    if (claim->code.size > WIRE_CODE_BYTES || !cbor_utf8_valid(claim->code))
        return ERR_FORMAT; /* a person typed it */
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_bytes(&w, 0, claim->claim);
    if (claim->code.size > 0) {
        cbor_write_key(&w, 1);
        cbor_write_text(&w, claim->code);
    }
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

enum err wire_claim_decode(struct slice in, struct wire_claim *out)
{
    struct cbor_reader r = cbor_read_over(in);
    *out = (struct wire_claim){0};
    cbor_read_map(&r);
    out->claim = wire_take_bytes(&r, 0, DOCUMENT_BYTES);
    if (cbor_read_key_optional(&r, 1)) {
        out->code = cbor_read_text(&r, WIRE_CODE_BYTES);
        if (r.e == ERR_OK && out->code.size == 0)
            cbor_read_refuse(&r, ERR_FORMAT);
    }
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "a claim's question");
}

/* ---- state ---- */

enum err wire_state_encode(const struct wire_state *state, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_number(&w, 0, state->given_bytes);
    wire_put_number(&w, 1, state->used_bytes);
    wire_put_number(&w, 2, state->free_bytes);
    wire_put_number(&w, 3, state->shard_count);
    wire_put_number(&w, 4, state->damaged_count);
    wire_put_number(&w, 5, state->scrub_checked_count);
    wire_put_time(&w, 6, state->scrub_started_s);
    wire_put_time(&w, 7, state->scrub_finished_s);
    cbor_write_key(&w, 8);
    cbor_write_bool(&w, state->read_only);
    wire_put_flag(&w, 9, state->leaving);
    wire_put_number(&w, 10, state->trust);
    wire_put_number(&w, 11, state->fault_count);
    wire_put_time(&w, 12, state->scrub_next_s);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

enum err wire_state_decode(struct slice in, struct wire_state *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    out->given_bytes = wire_take_number(&r, 0);
    out->used_bytes = wire_take_number(&r, 1);
    out->free_bytes = wire_take_number(&r, 2);
    out->shard_count = wire_take_number(&r, 3);
    out->damaged_count = wire_take_number(&r, 4);
    out->scrub_checked_count = wire_take_number(&r, 5);
    out->scrub_started_s = wire_take_time(&r, 6);
    out->scrub_finished_s = wire_take_time(&r, 7);
    cbor_read_key(&r, 8);
    out->read_only = cbor_read_bool(&r);
    out->leaving = wire_take_flag(&r, 9);
    out->trust = wire_take_u32(&r, 10, 1000);
    out->fault_count = wire_take_number(&r, 11);
    out->scrub_next_s = wire_take_time(&r, 12);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "a cell's state");
}
