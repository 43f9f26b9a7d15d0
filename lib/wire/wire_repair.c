#include "wire/wire_repair.h"

#include "wire/wire_fields.h"

enum { DOCUMENT_BYTES = 1024, WORK_ALL = WIRE_WORK_REPAIR | WIRE_WORK_PROOF };

/* ---- work ---- */

enum err wire_work_encode(unsigned wanted, struct buf *out)
{
    return wire_put_lone(wanted, out);
}

enum err wire_work_decode(struct slice in, unsigned *wanted)
{
    return wire_take_lone(in, WORK_ALL, "a request for work", wanted);
}

enum err wire_work_reply_encode(const struct wire_work_reply *reply, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_number(&w, 0, reply->kind);
    wire_put_optional(&w, 1, reply->ticket);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

enum err wire_work_reply_decode(struct slice in, struct wire_work_reply *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    out->kind = wire_take_u32(&r, 0, WIRE_WORK_PROOF);
    out->ticket = wire_take_optional(&r, 1, WIRE_TICKET_BYTES);
    cbor_read_end(&r);
    if (r.e == ERR_OK && (out->kind == 0) != (out->ticket.size == 0))
        cbor_read_refuse(&r, ERR_FORMAT);
    return cbor_read_finish(&r, NULL, "the answer to a request for work");
}

/* ---- report ---- */

enum err wire_report_encode(const struct wire_report *report, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_bytes(&w, 0, slice_of(report->ticket, sizeof(report->ticket)));
    cbor_write_key(&w, 1);
    cbor_write_id(&w, &report->segment);
    wire_put_number(&w, 2, (uint64_t)report->outcome);
    wire_put_documents(&w, 3, report->receipts, report->receipt_count);
    cbor_write_key(&w, 4);
    cbor_write_array(&w);
    for (size_t i = 0; i < report->fault_count; i++) {
        cbor_write_map(&w);
        wire_put_number(&w, 0, report->faults[i].index);
        cbor_write_key(&w, 1);
        cbor_write_id(&w, &report->faults[i].cell);
        wire_put_number(&w, 2, (uint64_t)report->faults[i].kind);
        cbor_write_end(&w);
    }
    cbor_write_end(&w);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

static void read_receipt(struct cbor_reader *r, void *out)
{
    wire_some_document(r, DOCUMENT_BYTES, out);
}

static void read_fault(struct cbor_reader *r, void *out)
{
    struct wire_fault fault;
    cbor_read_map(r);
    fault.index = (uint8_t)wire_take_u32(r, 0, LIMIT_SHARDS - 1);
    cbor_read_key(r, 1);
    cbor_read_id(r, &fault.cell);
    fault.kind = (enum wire_fault_kind)wire_take_u32(r, 2, WIRE_FAULT_LIED);
    cbor_read_end(r);
    if (r->e == ERR_OK && fault.kind < WIRE_FAULT_MISSING)
        cbor_read_refuse(r, ERR_FORMAT);
    if (out)
        *(struct wire_fault *)out = fault;
}

enum err wire_report_decode(struct slice in, struct wire_report *out)
{
    struct cbor_reader r = cbor_read_over(in);
    *out = (struct wire_report){0};
    cbor_read_map(&r);
    cbor_read_key(&r, 0);
    cbor_read_fixed(&r, out->ticket, sizeof(out->ticket));
    cbor_read_key(&r, 1);
    cbor_read_id(&r, &out->segment);
    out->outcome = (enum wire_outcome)wire_take_u32(&r, 2, WIRE_OUTCOME_DISPROVED);
    cbor_read_key(&r, 3);
    wire_list_read(&r, LIMIT_SHARDS, read_receipt, &out->receipt_list);
    cbor_read_key(&r, 4);
    wire_list_read(&r, WIRE_REPORT_FAULTS, read_fault, &out->fault_list);
    cbor_read_end(&r);
    if (r.e == ERR_OK && out->outcome < WIRE_OUTCOME_DONE)
        cbor_read_refuse(&r, ERR_FORMAT);
    return cbor_read_finish(&r, NULL, "the report on a ticket");
}

bool wire_report_receipts_next(struct wire_list *list, struct slice *out)
{
    return wire_list_next(list, read_receipt, out);
}

bool wire_report_faults_next(struct wire_list *list, struct wire_fault *out)
{
    return wire_list_next(list, read_fault, out);
}

/* ---- damage ---- */

enum err wire_damage_encode(const struct wire_damaged *shards, size_t count, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    cbor_write_key(&w, 0);
    cbor_write_array(&w);
    for (size_t i = 0; i < count; i++) {
        cbor_write_map(&w);
        cbor_write_key(&w, 0);
        cbor_write_id(&w, &shards[i].segment);
        wire_put_number(&w, 1, shards[i].index);
        cbor_write_end(&w);
    }
    cbor_write_end(&w);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

static void read_damaged(struct cbor_reader *r, void *out)
{
    struct wire_damaged damaged;
    cbor_read_map(r);
    cbor_read_key(r, 0);
    cbor_read_id(r, &damaged.segment);
    damaged.index = (uint8_t)wire_take_u32(r, 1, LIMIT_SHARDS - 1);
    cbor_read_end(r);
    if (out)
        *(struct wire_damaged *)out = damaged;
}

enum err wire_damage_decode(struct slice in, struct wire_list *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    cbor_read_key(&r, 0);
    wire_list_read(&r, WIRE_DAMAGED, read_damaged, out);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "a report of damage");
}

bool wire_damage_next(struct wire_list *list, struct wire_damaged *out)
{
    return wire_list_next(list, read_damaged, out);
}

/* ---- away ---- */

enum err wire_away_encode(const struct id *cell, int64_t until_s, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    cbor_write_key(&w, 0);
    cbor_write_id(&w, cell);
    wire_put_time(&w, 1, until_s);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

enum err wire_away_decode(struct slice in, struct id *cell, int64_t *until_s)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    cbor_read_key(&r, 0);
    cbor_read_id(&r, cell);
    *until_s = wire_take_time(&r, 1);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "an absence");
}
