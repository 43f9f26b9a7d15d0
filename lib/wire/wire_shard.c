#include "wire/wire_shard.h"

#include "wire/wire_fields.h"

enum { HASH_BYTES = 32, DOCUMENT_BYTES = 8192, HEADER_BYTES = 16384 };

enum err wire_prelude_encode(const struct wire_prelude *prelude, struct buf *out)
{
    const size_t head = out->size;
    enum err e = buf_append_le32(out, 0);
    if (e != ERR_OK)
        return e;
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_bytes(&w, 0, prelude->grant);
    wire_put_bytes(&w, 1, prelude->record);
    wire_put_bytes(&w, 2, prelude->header);
    cbor_write_end(&w);
    e = cbor_write_finish(&w);
    if (e != ERR_OK)
        return e;
    const size_t size = out->size - head - WIRE_SHARD_HEAD_SIZE;
    if (size > WIRE_PRELUDE_BYTES)
        return ERR_TOO_LARGE;
    put_le32(out->data + head, (uint32_t)size);
    return ERR_OK;
}

enum err wire_prelude_size(const uint8_t head[WIRE_SHARD_HEAD_SIZE], uint32_t *out)
{
    *out = get_le32(head);
    if (*out == 0)
        return ERR_FORMAT;
    return *out > WIRE_PRELUDE_BYTES ? ERR_TOO_LARGE : ERR_OK;
}

enum err wire_prelude_decode(struct slice in, struct wire_prelude *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    out->grant = wire_take_bytes(&r, 0, WIRE_PRELUDE_BYTES);
    out->record = wire_take_bytes(&r, 1, DOCUMENT_BYTES);
    out->header = wire_take_bytes(&r, 2, HEADER_BYTES);
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "what stands in front of a shard");
}

enum err wire_leaf_path_encode(struct slice path, struct buf *out)
{
    if (path.size > WIRE_LEAF_PATH_BYTES)
        return ERR_TOO_LARGE;
    if (path.size % HASH_BYTES != 0)
        return ERR_FORMAT;
    enum err e = buf_append_le32(out, (uint32_t)path.size);
    return e != ERR_OK ? e : buf_append(out, path.data, path.size);
}

enum err wire_leaf_path_size(const uint8_t head[WIRE_SHARD_HEAD_SIZE], uint32_t *out)
{
    *out = get_le32(head);
    if (*out > WIRE_LEAF_PATH_BYTES)
        return ERR_TOO_LARGE;
    return *out % HASH_BYTES != 0 ? ERR_FORMAT : ERR_OK;
}

static void put_indexes(struct cbor_writer *w, uint64_t key, const uint8_t *indexes, size_t count)
{
    cbor_write_key(w, key);
    cbor_write_array(w);
    for (size_t i = 0; i < count; i++)
        cbor_write_u64(w, indexes[i]);
    cbor_write_end(w);
}

static uint32_t take_indexes(struct cbor_reader *r, uint64_t key, uint8_t out[LIMIT_SHARDS])
{
    cbor_read_key(r, key);
    const size_t count = cbor_read_array(r, LIMIT_SHARDS);
    for (size_t i = 0; i < count; i++) {
        out[i] = (uint8_t)cbor_read_u32(r, LIMIT_SHARDS - 1);
        if (r->e == ERR_OK && i > 0 && out[i] <= out[i - 1])
            cbor_read_refuse(r, ERR_FORMAT);
    }
    cbor_read_end(r);
    return r->e == ERR_OK ? (uint32_t)count : 0;
}

enum err wire_segment_encode(const struct wire_segment *segment, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    wire_put_bytes(&w, 0, segment->header);
    wire_put_bytes(&w, 1, segment->record);
    put_indexes(&w, 2, segment->held, segment->held_count);
    put_indexes(&w, 3, segment->damaged, segment->damaged_count);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

static bool share_one(const struct wire_segment *segment)
{
    uint32_t h = 0, d = 0;
    while (h < segment->held_count && d < segment->damaged_count) {
        if (segment->held[h] == segment->damaged[d])
            return true;
        if (segment->held[h] < segment->damaged[d])
            h++;
        else
            d++;
    }
    return false;
}

enum err wire_segment_decode(struct slice in, struct wire_segment *out)
{
    struct cbor_reader r = cbor_read_over(in);
    cbor_read_map(&r);
    out->header = wire_take_bytes(&r, 0, HEADER_BYTES);
    out->record = wire_take_bytes(&r, 1, DOCUMENT_BYTES);
    out->held_count = take_indexes(&r, 2, out->held);
    out->damaged_count = take_indexes(&r, 3, out->damaged);
    cbor_read_end(&r);
    if (r.e == ERR_OK && share_one(out))
        cbor_read_refuse(&r, ERR_FORMAT);
    return cbor_read_finish(&r, NULL, "what a cell holds of a segment");
}
