#include "wire/wire_directory.h"

#include "wire/wire_fields.h"

enum { DOCUMENT_BYTES = 4096 };

/* k and m of a segment: k >= 1, k + m <= LIMIT_SHARDS. */
static void take_code(struct cbor_reader *r, uint64_t key, uint8_t *k, uint8_t *m)
{
    *k = (uint8_t)wire_take_u32(r, key, LIMIT_SHARDS);
    *m = (uint8_t)wire_take_u32(r, key + 1, LIMIT_SHARDS);
    if (r->e == ERR_OK && (*k == 0 || *k + *m > (int)LIMIT_SHARDS))
        cbor_read_refuse(r, ERR_FORMAT);
}

/* ---- register ---- */

enum err wire_register_encode(const struct wire_registration *segments, size_t count,
                              struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    cbor_write_key(&w, 0);
    cbor_write_array(&w);
    for (size_t i = 0; i < count; i++) {
        cbor_write_map(&w);
        wire_put_bytes(&w, 0, segments[i].record);
        wire_put_number(&w, 1, segments[i].k);
        wire_put_number(&w, 2, segments[i].m);
        wire_put_number(&w, 3, segments[i].shard_bytes);
        wire_put_documents(&w, 4, segments[i].receipts, segments[i].receipt_count);
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

static void read_registration(struct cbor_reader *r, void *out)
{
    struct wire_registration one = {0};
    cbor_read_map(r);
    one.record = wire_take_bytes(r, 0, DOCUMENT_BYTES);
    take_code(r, 1, &one.k, &one.m);
    one.shard_bytes = wire_take_u32(r, 3, LIMIT_SHARD_BYTES);
    cbor_read_key(r, 4);
    wire_list_read(r, (size_t)one.k + one.m, read_receipt, &one.receipt_list);
    cbor_read_end(r);
    if (out)
        *(struct wire_registration *)out = one;
}

enum err wire_register_decode(struct slice in, struct wire_list *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    cbor_read_key(&r, 0);
    wire_list_read(&r, WIRE_REGISTER_SEGMENTS, read_registration, out);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "segments for the directory");
}

bool wire_register_next(struct wire_list *list, struct wire_registration *out)
{
    return wire_list_next(list, read_registration, out);
}

bool wire_receipts_next(struct wire_list *list, struct slice *out)
{
    return wire_list_next(list, read_receipt, out);
}

enum err wire_register_reply_encode(uint32_t count, struct buf *out)
{
    return wire_put_lone(count, out);
}

enum err wire_register_reply_decode(struct slice in, uint32_t *count)
{
    return wire_take_lone(in, WIRE_REGISTER_SEGMENTS, "the directory's answer", count);
}

/* ---- find ---- */

enum err wire_found_encode(const struct wire_found *found, size_t count, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    cbor_write_key(&w, 0);
    cbor_write_array(&w);
    for (size_t i = 0; i < count; i++) {
        cbor_write_map(&w);
        wire_put_number(&w, 0, found[i].position);
        wire_put_number(&w, 1, found[i].k);
        wire_put_number(&w, 2, found[i].m);
        wire_put_number(&w, 3, found[i].shard_bytes);
        cbor_write_key(&w, 4);
        cbor_write_array(&w);
        for (size_t j = 0; j < found[i].shard_count; j++) {
            cbor_write_map(&w);
            wire_put_number(&w, 0, found[i].shards[j].index);
            cbor_write_key(&w, 1);
            cbor_write_id(&w, &found[i].shards[j].cell);
            cbor_write_end(&w);
        }
        cbor_write_end(&w);
        cbor_write_end(&w);
    }
    cbor_write_end(&w);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

static void read_shard_at(struct cbor_reader *r, void *out)
{
    struct wire_shard_at at;
    cbor_read_map(r);
    at.index = (uint8_t)wire_take_u32(r, 0, LIMIT_SHARDS - 1);
    cbor_read_key(r, 1);
    cbor_read_id(r, &at.cell);
    cbor_read_end(r);
    if (out)
        *(struct wire_shard_at *)out = at;
}

static void read_found(struct cbor_reader *r, void *out)
{
    struct wire_found found = {0};
    cbor_read_map(r);
    found.position = wire_take_u32(r, 0, WIRE_FIND_IDS - 1);
    take_code(r, 1, &found.k, &found.m);
    found.shard_bytes = wire_take_u32(r, 3, LIMIT_SHARD_BYTES);
    cbor_read_key(r, 4);
    wire_list_read(r, WIRE_FOUND_SHARDS, read_shard_at, &found.shard_list);
    cbor_read_end(r);
    if (out)
        *(struct wire_found *)out = found;
}

enum err wire_found_decode(struct slice in, struct wire_list *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    cbor_read_key(&r, 0);
    wire_list_read(&r, WIRE_FIND_IDS, read_found, out);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "what the directory found");
}

bool wire_found_next(struct wire_list *list, struct wire_found *out)
{
    return wire_list_next(list, read_found, out);
}

bool wire_shards_next(struct wire_list *list, struct wire_shard_at *out)
{
    return wire_list_next(list, read_shard_at, out);
}
