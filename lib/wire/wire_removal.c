#include "wire/wire_removal.h"

#include "wire/wire_fields.h"
#include "wire/wire_repair.h"

static void write_order(struct cbor_writer *w, const struct wire_order *order, bool numbered)
{
    cbor_write_map(w);
    wire_put_number(w, 0, (uint64_t)order->kind);
    wire_put_bytes(w, 1, order->doc);
    if (numbered)
        wire_put_number(w, 2, order->number);
    cbor_write_end(w);
}

static void take_order(struct cbor_reader *r, struct wire_order *out, bool numbered)
{
    cbor_read_map(r);
    out->kind = (enum wire_order_kind)wire_take_u32(r, 0, WIRE_ORDER_RENEW);
    out->doc = wire_take_bytes(r, 1, WIRE_ORDER_BYTES);
    out->number = numbered ? wire_take_number(r, 2) : 0;
    cbor_read_end(r);
    if (r->e == ERR_OK && out->kind < WIRE_ORDER_DELETE)
        cbor_read_refuse(r, ERR_FORMAT);
}

/* ---- delete ---- */

enum err wire_delete_encode(const struct wire_order *orders, size_t count, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    cbor_write_key(&w, 0);
    cbor_write_array(&w);
    for (size_t i = 0; i < count; i++)
        write_order(&w, &orders[i], false);
    cbor_write_end(&w);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

static void read_order(struct cbor_reader *r, void *out)
{
    struct wire_order order;
    take_order(r, out ? out : &order, false);
}

enum err wire_delete_decode(struct slice in, struct wire_list *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    cbor_read_key(&r, 0);
    wire_list_read(&r, WIRE_ORDERS_MAX, read_order, out);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "the delete orders");
}

bool wire_delete_next(struct wire_list *list, struct wire_order *out)
{
    return wire_list_next(list, read_order, out);
}

enum err wire_delete_reply_encode(const uint32_t *counts, size_t count, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    cbor_write_key(&w, 0);
    cbor_write_array(&w);
    for (size_t i = 0; i < count; i++)
        cbor_write_u64(&w, counts[i]);
    cbor_write_end(&w);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

static void read_count(struct cbor_reader *r, void *out)
{
    const uint32_t count = cbor_read_u32(r, UINT32_MAX);
    if (out)
        *(uint32_t *)out = count;
}

enum err wire_delete_reply_decode(struct slice in, struct wire_list *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    cbor_read_key(&r, 0);
    wire_list_read(&r, WIRE_ORDERS_MAX, read_count, out);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "the answer to delete orders");
}

bool wire_delete_reply_next(struct wire_list *list, uint32_t *out)
{
    return wire_list_next(list, read_count, out);
}

/* ---- orders ---- */

enum err wire_orders_encode(const uint64_t *numbers, size_t count, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    cbor_write_key(&w, 0);
    cbor_write_array(&w);
    for (size_t i = 0; i < count; i++)
        cbor_write_u64(&w, numbers[i]);
    cbor_write_end(&w);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

static void read_number(struct cbor_reader *r, void *out)
{
    const uint64_t number = cbor_read_u64(r, UINT64_MAX);
    if (out)
        *(uint64_t *)out = number;
}

enum err wire_orders_decode(struct slice in, struct wire_list *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    cbor_read_key(&r, 0);
    wire_list_read(&r, WIRE_ACKS_MAX, read_number, out);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "a question for delete orders");
}

bool wire_orders_next(struct wire_list *list, uint64_t *out)
{
    return wire_list_next(list, read_number, out);
}

enum err wire_orders_reply_encode(const struct wire_orders_reply *reply, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_optional(&w, 0, reply->manifest);
    cbor_write_key(&w, 1);
    cbor_write_array(&w);
    for (size_t i = 0; i < reply->order_count; i++)
        write_order(&w, &reply->orders[i], true);
    cbor_write_end(&w);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

static void read_numbered(struct cbor_reader *r, void *out)
{
    struct wire_order order;
    take_order(r, out ? out : &order, true);
}

enum err wire_orders_reply_decode(struct slice in, struct wire_orders_reply *out)
{
    struct cbor_reader r = cbor_read_over(in);
    *out = (struct wire_orders_reply){0};
    cbor_read_map(&r);
    out->manifest = wire_take_optional(&r, 0, LIMIT_MANIFEST_BYTES);
    cbor_read_key(&r, 1);
    wire_list_read(&r, WIRE_ORDERS_MAX, read_numbered, &out->order_list);
    cbor_read_end(&r);
    if (r.e == ERR_OK && (out->order_list.count == 0) != (out->manifest.size == 0))
        cbor_read_refuse(&r, ERR_FORMAT);
    return cbor_read_finish(&r, NULL, "the coordinator's delete orders");
}

bool wire_orders_reply_next(struct wire_list *list, struct wire_order *out)
{
    return wire_list_next(list, read_numbered, out);
}

/* ---- moved ---- */

enum err wire_moved_encode(const struct wire_moved *moved, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_bytes(&w, 0, moved->ticket);
    wire_put_bytes(&w, 1, moved->receipt);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

enum err wire_moved_decode(struct slice in, struct wire_moved *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    out->ticket = wire_take_bytes(&r, 0, WIRE_TICKET_BYTES);
    out->receipt = wire_take_bytes(&r, 1, WIRE_MOVED_RECEIPT);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "the proof that a shard has moved");
}
