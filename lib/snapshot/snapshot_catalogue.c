#include "snapshot/snapshot_catalogue.h"

#include "cbor/cbor_read.h"
#include "cbor/cbor_write.h"

enum { VERSION = 1 };

void snapshot_catalogue_init(struct snapshot_catalogue *catalogue)
{
    *catalogue = (struct snapshot_catalogue){.segments = BUF_INIT(SNAPSHOT_CATALOGUE_BYTES_MAX),
                                             .objects = BUF_INIT(SNAPSHOT_CATALOGUE_BYTES_MAX)};
    snapshot_cells_init(&catalogue->cells);
}

void snapshot_catalogue_free(struct snapshot_catalogue *catalogue)
{
    snapshot_cells_free(&catalogue->cells);
    buf_free(&catalogue->segments);
    buf_free(&catalogue->objects);
}

enum err snapshot_catalogue_segment(struct snapshot_catalogue *catalogue, const struct id *segment,
                                    const struct id *shards, size_t shard_count, uint32_t *out)
{
    struct buf holders = BUF_INIT(2 * LIMIT_SHARDS);
    enum err e = snapshot_cells_add(&catalogue->cells, shards, shard_count, &holders);
    if (e == ERR_OK) {
        struct cbor_writer w = cbor_write_into(&catalogue->segments);
        cbor_write_map(&w);
        cbor_write_key(&w, 0), cbor_write_id(&w, segment);
        cbor_write_key(&w, 1), cbor_write_bytes(&w, buf_slice(&holders));
        cbor_write_end(&w);
        e = cbor_write_finish(&w);
    }
    if (e == ERR_OK)
        *out = (uint32_t)catalogue->segment_count++;
    buf_free(&holders);
    return e;
}

enum err snapshot_catalogue_object(struct snapshot_catalogue *catalogue,
                                   const struct snapshot_object *object)
{
    uint8_t row[SNAPSHOT_OBJECT_SIZE];
    memcpy(row, object->chunk.bytes, ID_SIZE);
    put_le32(row + 32, object->segment);
    put_le32(row + 36, object->record);
    put_le32(row + 40, object->offset);
    put_le32(row + 44, object->sealed_bytes);
    put_le32(row + 48, object->plain_bytes);
    row[52] = object->type;
    row[53] = object->flags;
    put_le64(row + 54, (uint64_t)object->time_ns);
    return buf_append(&catalogue->objects, row, sizeof(row));
}

enum err snapshot_catalogue_finish(struct snapshot_catalogue *catalogue, struct buf *out)
{
    const size_t before = out->size;
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    cbor_write_key(&w, 0), cbor_write_u64(&w, VERSION);
    cbor_write_key(&w, 1), cbor_write_bytes(&w, buf_slice(&catalogue->cells.table));
    cbor_write_key(&w, 2), cbor_write_u64(&w, catalogue->segment_count);
    cbor_write_key(&w, 3), cbor_write_bytes(&w, buf_slice(&catalogue->segments));
    cbor_write_key(&w, 4), cbor_write_bytes(&w, buf_slice(&catalogue->objects));
    cbor_write_end(&w);
    enum err e = cbor_write_finish(&w);
    return e == ERR_OK && out->size - before > SNAPSHOT_CATALOGUE_BYTES_MAX ? ERR_TOO_LARGE : e;
}

static bool objects_valid(const struct snapshot_catalogue_reader *reader)
{
    if (reader->objects.size % SNAPSHOT_OBJECT_SIZE != 0)
        return false;
    for (size_t i = 0; i < snapshot_catalogue_count(reader); i++) {
        struct snapshot_object object;
        snapshot_catalogue_at(reader, i, &object);
        if (object.segment >= reader->segment_count)
            return false;
    }
    return true;
}

enum err snapshot_catalogue_open(struct snapshot_catalogue_reader *reader, struct slice bytes,
                                 struct errmsg *msg)
{
    struct cbor_reader r = cbor_read_over(bytes);
    *reader = (struct snapshot_catalogue_reader){0};
    cbor_read_map(&r);
    cbor_read_key(&r, 0);
    const uint64_t version = cbor_read_u64(&r, UINT64_MAX);
    if (r.e == ERR_OK && version != VERSION)
        return err_say(msg, ERR_VERSION, "a catalogue of an unknown version");
    cbor_read_key(&r, 1);
    reader->table = cbor_read_bytes(&r, (size_t)SNAPSHOT_CELLS_MAX * ID_SIZE);
    cbor_read_key(&r, 2);
    reader->segment_count = (size_t)cbor_read_u64(&r, SNAPSHOT_CATALOGUE_BYTES_MAX);
    cbor_read_key(&r, 3), reader->segments = cbor_read_bytes(&r, SNAPSHOT_CATALOGUE_BYTES_MAX);
    cbor_read_key(&r, 4), reader->objects = cbor_read_bytes(&r, SNAPSHOT_CATALOGUE_BYTES_MAX);
    cbor_read_end(&r);
    reader->segments_left = reader->segment_count;
    if (r.e == ERR_OK && (reader->table.size % ID_SIZE != 0 || !objects_valid(reader)))
        cbor_read_refuse(&r, ERR_FORMAT);
    return cbor_read_finish(&r, msg, "a catalogue");
}

enum err snapshot_catalogue_next_segment(struct snapshot_catalogue_reader *reader,
                                         struct id *out_segment, struct slice *out_holders)
{
    if (reader->segments_left == 0)
        return reader->at == reader->segments.size ? ERR_END : ERR_FORMAT;
    struct cbor_reader r = cbor_read_over(
        slice_of(reader->segments.data + reader->at, reader->segments.size - reader->at));
    cbor_read_map(&r);
    cbor_read_key(&r, 0), cbor_read_id(&r, out_segment);
    cbor_read_key(&r, 1), *out_holders = cbor_read_bytes(&r, 2 * LIMIT_SHARDS);
    cbor_read_end(&r);
    if (r.e == ERR_OK && !snapshot_cells_valid(reader->table, *out_holders))
        cbor_read_refuse(&r, ERR_FORMAT);
    reader->at += r.c.at;
    reader->segments_left--;
    return r.e;
}

void snapshot_catalogue_at(const struct snapshot_catalogue_reader *reader, size_t index,
                           struct snapshot_object *out)
{
    const uint8_t *row = reader->objects.data + index * SNAPSHOT_OBJECT_SIZE;
    memcpy(out->chunk.bytes, row, ID_SIZE);
    out->segment = get_le32(row + 32);
    out->record = get_le32(row + 36);
    out->offset = get_le32(row + 40);
    out->sealed_bytes = get_le32(row + 44);
    out->plain_bytes = get_le32(row + 48);
    out->type = row[52];
    out->flags = row[53];
    out->time_ns = (int64_t)get_le64(row + 54);
}
