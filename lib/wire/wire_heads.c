#include "wire/wire_heads.h"

#include "wire/wire_fields.h"

enum { HEAD_BYTES = 256 << 10 };

enum err wire_heads_encode(struct slice manifest, const struct slice *heads, size_t count,
                           struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_optional(&w, 0, manifest);
    wire_put_documents(&w, 1, heads, count);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

static void read_head(struct cbor_reader *r, void *out)
{
    wire_some_document(r, HEAD_BYTES, out);
}

enum err wire_heads_decode(struct slice in, struct wire_heads *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    out->manifest = wire_take_optional(&r, 0, LIMIT_MANIFEST_BYTES);
    cbor_read_key(&r, 1);
    wire_list_read(&r, WIRE_HEADS_MAX, read_head, &out->list);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "the heads of an account");
}

bool wire_heads_next(struct wire_list *list, struct slice *out)
{
    return wire_list_next(list, read_head, out);
}

enum err wire_heads_reply_encode(uint64_t manifest_number, const struct wire_head_held *held,
                                 size_t count, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_number(&w, 0, manifest_number);
    cbor_write_key(&w, 1);
    cbor_write_array(&w);
    for (size_t i = 0; i < count; i++) {
        cbor_write_map(&w);
        wire_put_number(&w, 0, held[i].slot);
        wire_put_number(&w, 1, held[i].sequence);
        cbor_write_end(&w);
    }
    cbor_write_end(&w);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

static void read_head_held(struct cbor_reader *r, void *out)
{
    struct wire_head_held held;
    cbor_read_map(r);
    held.slot = wire_take_u32(r, 0, UINT32_MAX);
    held.sequence = wire_take_number(r, 1);
    cbor_read_end(r);
    if (out)
        *(struct wire_head_held *)out = held;
}

enum err wire_heads_reply_decode(struct slice in, uint64_t *manifest_number, struct wire_list *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    *manifest_number = wire_take_number(&r, 0);
    cbor_read_key(&r, 1);
    wire_list_read(&r, WIRE_HEADS_MAX, read_head_held, out);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "the answer to heads");
}

bool wire_heads_reply_next(struct wire_list *list, struct wire_head_held *out)
{
    return wire_list_next(list, read_head_held, out);
}
