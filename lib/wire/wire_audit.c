#include "wire/wire_audit.h"

#include "wire/wire_fields.h"

enum err wire_lot_encode(const struct wire_lot *lot, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_number(&w, 0, lot->day);
    cbor_write_key(&w, 1);
    cbor_write_id(&w, &lot->segment);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

enum err wire_lot_decode(struct slice in, struct wire_lot *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    out->day = wire_take_number(&r, 0);
    cbor_read_key(&r, 1);
    cbor_read_id(&r, &out->segment);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "a lot");
}

/* ---- verdicts ---- */

enum err wire_verdicts_encode(const struct wire_verdict *verdicts, size_t count, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    cbor_write_key(&w, 0);
    cbor_write_array(&w);
    for (size_t i = 0; i < count; i++) {
        cbor_write_map(&w);
        wire_put_number(&w, 0, verdicts[i].day);
        cbor_write_key(&w, 1);
        cbor_write_id(&w, &verdicts[i].segment);
        cbor_write_key(&w, 2);
        cbor_write_id(&w, &verdicts[i].cell);
        wire_put_number(&w, 3, verdicts[i].kind);
        if (verdicts[i].kind != WIRE_VERDICT_LACKS)
            wire_put_number(&w, 4, verdicts[i].index);
        cbor_write_end(&w);
    }
    cbor_write_end(&w);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

static void read_verdict(struct cbor_reader *r, void *out)
{
    struct wire_verdict verdict = {0};
    cbor_read_map(r);
    verdict.day = wire_take_number(r, 0);
    cbor_read_key(r, 1);
    cbor_read_id(r, &verdict.segment);
    cbor_read_key(r, 2);
    cbor_read_id(r, &verdict.cell);
    verdict.kind = (enum wire_verdict_kind)wire_take_u32(r, 3, WIRE_VERDICT_LACKS);
    if (r->e == ERR_OK && verdict.kind < WIRE_VERDICT_PROVEN)
        cbor_read_refuse(r, ERR_FORMAT);
    if (verdict.kind != WIRE_VERDICT_LACKS)
        verdict.index = (uint8_t)wire_take_u32(r, 4, LIMIT_SHARDS - 1);
    cbor_read_end(r);
    if (out)
        *(struct wire_verdict *)out = verdict;
}

enum err wire_verdicts_decode(struct slice in, struct wire_list *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    cbor_read_key(&r, 0);
    wire_list_read(&r, WIRE_VERDICTS_MAX, read_verdict, out);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "verdicts of an auditor");
}

bool wire_verdicts_next(struct wire_list *list, struct wire_verdict *out)
{
    return wire_list_next(list, read_verdict, out);
}

enum err wire_verdicts_reply_encode(uint32_t taken, struct buf *out)
{
    return wire_put_lone(taken, out);
}

enum err wire_verdicts_reply_decode(struct slice in, uint32_t *taken)
{
    return wire_take_lone(in, WIRE_VERDICTS_MAX, "the answer to verdicts", taken);
}
