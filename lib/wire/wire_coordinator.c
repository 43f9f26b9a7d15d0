#include "wire/wire_coordinator.h"

#include "wire/wire_fields.h"

enum { DOCUMENT_BYTES = 8192 };

/* ---- join ---- */

enum err wire_join_encode(const struct wire_join *join, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_number(&w, 0, (uint64_t)join->kind);
    wire_put_bytes(&w, 1, join->invite);
    wire_put_bytes(&w, 2, join->document);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

enum err wire_join_decode(struct slice in, struct wire_join *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    out->kind = (enum wire_join_kind)wire_take_u32(&r, 0, WIRE_JOIN_ACCOUNT);
    out->invite = wire_take_bytes(&r, 1, DOCUMENT_BYTES);
    out->document = wire_take_bytes(&r, 2, LIMIT_MANIFEST_BYTES);
    cbor_read_end(&r);
    if (r.e == ERR_OK && out->kind < WIRE_JOIN_CELL)
        cbor_read_refuse(&r, ERR_FORMAT);
    return cbor_read_finish(&r, NULL, "a request to join");
}

enum err wire_join_reply_encode(const struct wire_join_reply *reply, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_bytes(&w, 0, reply->coordinator);
    wire_put_bytes(&w, 1, reply->members);
    cbor_write_key(&w, 2);
    cbor_write_text(&w, reply->redundancy);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

enum err wire_join_reply_decode(struct slice in, struct wire_join_reply *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    out->coordinator = wire_take_bytes(&r, 0, DOCUMENT_BYTES);
    out->members = wire_take_bytes(&r, 1, LIMIT_MEMBER_LIST_BYTES);
    cbor_read_key(&r, 2);
    out->redundancy = cbor_read_text(&r, WIRE_REDUNDANCY_BYTES);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "the answer to a request to join");
}

/* ---- heartbeat ---- */

enum err wire_heartbeat_encode(const struct wire_heartbeat *beat, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_optional(&w, 0, beat->statement);
    wire_put_number(&w, 1, beat->free_bytes);
    wire_put_number(&w, 2, beat->used_bytes);
    wire_put_number(&w, 3, beat->shard_count);
    wire_put_number(&w, 4, beat->list_number);
    wire_put_number(&w, 5, beat->damaged_count);
    wire_put_flag(&w, 6, beat->leaving);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

enum err wire_heartbeat_decode(struct slice in, struct wire_heartbeat *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    out->statement = wire_take_optional(&r, 0, DOCUMENT_BYTES);
    out->free_bytes = wire_take_number(&r, 1);
    out->used_bytes = wire_take_number(&r, 2);
    out->shard_count = wire_take_number(&r, 3);
    out->list_number = wire_take_number(&r, 4);
    out->damaged_count = wire_take_number(&r, 5);
    out->leaving = wire_take_flag(&r, 6);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "a heartbeat");
}

enum err wire_heartbeat_reply_encode(const struct wire_heartbeat_reply *reply, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_number(&w, 0, reply->list_number);
    wire_put_time(&w, 1, reply->time_s);
    wire_put_number(&w, 2, reply->interval_ms);
    if (reply->work)
        wire_put_number(&w, 3, reply->work);
    wire_put_flag(&w, 4, reply->drained);
    wire_put_number(&w, 5, reply->trust);
    wire_put_number(&w, 6, reply->fault_count);
    if (reply->left_known) {
        wire_put_number(&w, 7, reply->left_count);
        wire_put_number(&w, 8, reply->stuck_count);
    }
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

enum err wire_heartbeat_reply_decode(struct slice in, struct wire_heartbeat_reply *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    out->list_number = wire_take_number(&r, 0);
    out->time_s = wire_take_time(&r, 1);
    out->interval_ms = wire_take_u32(&r, 2, UINT32_MAX);
    out->work = 0;
    if (cbor_read_key_optional(&r, 3)) {
        out->work = cbor_read_u32(&r, UINT32_MAX);
        if (r.e == ERR_OK && out->work == 0)
            cbor_read_refuse(&r, ERR_FORMAT);
    }
    out->drained = wire_take_flag(&r, 4);
    out->trust = wire_take_u32(&r, 5, 1000);
    out->fault_count = wire_take_number(&r, 6);
    out->left_known = cbor_read_key_optional(&r, 7);
    out->left_count = out->left_known ? cbor_read_u64(&r, UINT64_MAX) : 0;
    out->stuck_count = out->left_known ? wire_take_number(&r, 8) : 0;
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "the answer to a heartbeat");
}

/* ---- the member list ---- */

enum err wire_since_encode(uint64_t number, struct buf *out)
{
    return wire_put_lone(number, out);
}

enum err wire_since_decode(struct slice in, uint64_t *number)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    *number = wire_take_number(&r, 0);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "the number of a member list");
}

/* ---- cells ---- */

enum err wire_cells_encode(const struct wire_cells *swarm, const struct wire_cell *cells,
                           size_t count, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_time(&w, 0, swarm->time_s);
    wire_put_number(&w, 1, swarm->list_number);
    cbor_write_key(&w, 2);
    cbor_write_array(&w);
    for (size_t i = 0; i < count; i++) {
        cbor_write_map(&w);
        cbor_write_key(&w, 0);
        cbor_write_id(&w, &cells[i].id);
        wire_put_number(&w, 1, (uint64_t)cells[i].state);
        wire_put_time(&w, 2, cells[i].last_seen_s);
        wire_put_number(&w, 3, cells[i].free_bytes);
        wire_put_number(&w, 4, cells[i].used_bytes);
        wire_put_number(&w, 5, cells[i].observed_s);
        wire_put_number(&w, 6, cells[i].up_s);
        cbor_write_end(&w);
    }
    cbor_write_end(&w);
    wire_put_number(&w, 3, swarm->exposure_s);
    wire_put_number(&w, 4, swarm->loss_count);
    wire_put_number(&w, 5, swarm->gone_after_s);
    wire_put_number(&w, 6, swarm->repair_percent);
    if (swarm->some)
        wire_put_number(&w, 7, swarm->up_count);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

static void read_cell(struct cbor_reader *r, void *out)
{
    struct wire_cell cell;
    cbor_read_map(r);
    cbor_read_key(r, 0);
    cbor_read_id(r, &cell.id);
    cell.state = (enum wire_cell_state)wire_take_u32(r, 1, WIRE_CELL_LEAVING);
    cell.last_seen_s = wire_take_time(r, 2);
    cell.free_bytes = wire_take_number(r, 3);
    cell.used_bytes = wire_take_number(r, 4);
    cell.observed_s = wire_take_number(r, 5);
    cell.up_s = wire_take_number(r, 6);
    cbor_read_end(r);
    if (r->e == ERR_OK && (cell.state < WIRE_CELL_UP || cell.up_s > cell.observed_s))
        cbor_read_refuse(r, ERR_FORMAT);
    if (out)
        *(struct wire_cell *)out = cell;
}

enum err wire_cells_decode(struct slice in, struct wire_cells *swarm, struct wire_list *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    swarm->time_s = wire_take_time(&r, 0);
    swarm->list_number = wire_take_number(&r, 1);
    cbor_read_key(&r, 2);
    wire_list_read(&r, UINT32_MAX, read_cell, out);
    swarm->exposure_s = wire_take_number(&r, 3);
    swarm->loss_count = wire_take_number(&r, 4);
    swarm->gone_after_s = wire_take_number(&r, 5);
    swarm->repair_percent = wire_take_u32(&r, 6, 100);
    swarm->some = cbor_read_key_optional(&r, 7);
    swarm->up_count = swarm->some ? cbor_read_u64(&r, UINT64_MAX) : 0;
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "the state of the cells");
}

bool wire_cells_next(struct wire_list *list, struct wire_cell *out)
{
    return wire_list_next(list, read_cell, out);
}

/* ---- account ---- */

enum err wire_account_encode(const struct wire_account *account, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_number(&w, 0, account->used_bytes);
    wire_put_number(&w, 1, account->given_bytes);
    wire_put_number(&w, 2, account->allowed_bytes);
    wire_put_number(&w, 3, account->promised_bytes);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

enum err wire_account_decode(struct slice in, struct wire_account *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    out->used_bytes = wire_take_number(&r, 0);
    out->given_bytes = wire_take_number(&r, 1);
    out->allowed_bytes = wire_take_number(&r, 2);
    out->promised_bytes = wire_take_number(&r, 3);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "an account's standing");
}

/* ---- place ---- */

enum err wire_place_encode(uint64_t list_number, const struct wire_want *wants, size_t count,
                           struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_number(&w, 0, list_number);
    cbor_write_key(&w, 1);
    cbor_write_array(&w);
    for (size_t i = 0; i < count; i++) {
        cbor_write_map(&w);
        cbor_write_key(&w, 0);
        cbor_write_id(&w, &wants[i].cell);
        wire_put_number(&w, 1, wants[i].bytes);
        cbor_write_end(&w);
    }
    cbor_write_end(&w);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

static void read_want(struct cbor_reader *r, void *out)
{
    struct wire_want want;
    cbor_read_map(r);
    cbor_read_key(r, 0);
    cbor_read_id(r, &want.cell);
    want.bytes = wire_take_number(r, 1);
    cbor_read_end(r);
    if (out)
        *(struct wire_want *)out = want;
}

enum err wire_place_decode(struct slice in, uint64_t *list_number, struct wire_list *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    *list_number = wire_take_number(&r, 0);
    cbor_read_key(&r, 1);
    wire_list_read(&r, WIRE_PLACE_CELLS, read_want, out);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "a request for grants");
}

bool wire_place_next(struct wire_list *list, struct wire_want *out)
{
    return wire_list_next(list, read_want, out);
}

static void read_document(struct cbor_reader *r, void *out)
{
    wire_some_document(r, DOCUMENT_BYTES, out);
}

enum err wire_grants_encode(const struct slice *grants, size_t count, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_documents(&w, 0, grants, count);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

enum err wire_grants_decode(struct slice in, struct wire_list *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    cbor_read_key(&r, 0);
    wire_list_read(&r, WIRE_PLACE_CELLS, read_document, out);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "grants");
}

bool wire_grants_next(struct wire_list *list, struct slice *out)
{
    return wire_list_next(list, read_document, out);
}
