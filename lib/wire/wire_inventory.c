#include "wire/wire_inventory.h"

#include "wire/wire_fields.h"

enum { CLAIM_BYTES = 1024, HEADER_BYTES = 8448, RECORD_BYTES = 512 };

/* ---- inventory ---- */

enum err wire_inventory_encode(const struct wire_inventory *question, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_flag(&w, 0, question->dead);
    if (question->has_after) {
        cbor_write_key(&w, 1);
        cbor_write_id(&w, &question->after_segment);
        wire_put_number(&w, 2, question->after_index);
    }
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

enum err wire_inventory_decode(struct slice in, struct wire_inventory *out)
{
    struct cbor_reader r = cbor_read_over(in);
    *out = (struct wire_inventory){0};
    cbor_read_map(&r);
    out->dead = wire_take_flag(&r, 0);
    out->has_after = cbor_read_key_optional(&r, 1);
    if (out->has_after) {
        cbor_read_id(&r, &out->after_segment);
        out->after_index = (uint8_t)wire_take_u32(&r, 2, LIMIT_SHARDS - 1);
    }
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "a question for an inventory");
}

enum err wire_inventory_reply_encode(const struct wire_inventory_item *items, size_t count,
                                     bool more, struct slice claim, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    cbor_write_key(&w, 0);
    cbor_write_array(&w);
    for (size_t i = 0; i < count; i++) {
        cbor_write_array(&w);
        cbor_write_id(&w, &items[i].segment);
        cbor_write_u64(&w, items[i].index);
        cbor_write_u64(&w, (uint64_t)items[i].state);
        cbor_write_id(&w, &items[i].account);
        cbor_write_end(&w);
    }
    cbor_write_end(&w);
    wire_put_flag(&w, 1, more);
    wire_put_optional(&w, 2, claim);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

static void read_item(struct cbor_reader *r, void *out)
{
    struct wire_inventory_item item;
    if (cbor_read_array(r, 4) != 4)
        cbor_read_refuse(r, ERR_FORMAT);
    cbor_read_id(r, &item.segment);
    item.index = (uint8_t)cbor_read_u32(r, LIMIT_SHARDS - 1);
    item.state = (enum wire_shard_state)cbor_read_u32(r, WIRE_SHARD_DEAD);
    cbor_read_id(r, &item.account);
    cbor_read_end(r);
    if (r->e == ERR_OK && item.state < WIRE_SHARD_STORED)
        cbor_read_refuse(r, ERR_FORMAT);
    if (out)
        *(struct wire_inventory_item *)out = item;
}

enum err wire_inventory_reply_decode(struct slice in, struct wire_list *items, bool *more,
                                     struct slice *claim)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    cbor_read_key(&r, 0);
    wire_list_read(&r, WIRE_INVENTORY_ITEMS, read_item, items);
    *more = wire_take_flag(&r, 1);
    *claim = wire_take_optional(&r, 2, CLAIM_BYTES);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "an inventory");
}

bool wire_inventory_next(struct wire_list *list, struct wire_inventory_item *out)
{
    return wire_list_next(list, read_item, out);
}

/* ---- describe ---- */

enum err wire_described_encode(const struct wire_described *segments, size_t count, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    cbor_write_key(&w, 0);
    cbor_write_array(&w);
    for (size_t i = 0; i < count; i++) {
        cbor_write_array(&w);
        cbor_write_u64(&w, segments[i].position);
        cbor_write_bytes(&w, segments[i].header);
        cbor_write_bytes(&w, segments[i].record);
        cbor_write_end(&w);
    }
    cbor_write_end(&w);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

static void read_described(struct cbor_reader *r, void *out)
{
    struct wire_described segment;
    if (cbor_read_array(r, 3) != 3)
        cbor_read_refuse(r, ERR_FORMAT);
    segment.position = cbor_read_u32(r, WIRE_DESCRIBE_IDS - 1);
    segment.header = wire_some_bytes(r, HEADER_BYTES);
    segment.record = wire_some_bytes(r, RECORD_BYTES);
    cbor_read_end(r);
    if (out)
        *(struct wire_described *)out = segment;
}

enum err wire_described_decode(struct slice in, struct wire_list *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    cbor_read_key(&r, 0);
    wire_list_read(&r, WIRE_DESCRIBE_IDS, read_described, out);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "descriptions of segments");
}

bool wire_described_next(struct wire_list *list, struct wire_described *out)
{
    return wire_list_next(list, read_described, out);
}
