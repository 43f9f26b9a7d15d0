#include "snapshot/snapshot_index.h"

#include "cbor/cbor_read.h"
#include "cbor/cbor_write.h"

enum { VERSION = 1 };

enum err snapshot_chunk_append(struct buf *chunks, const struct snapshot_chunk *chunk)
{
    uint8_t line[SNAPSHOT_CHUNK_SIZE];
    memcpy(line, chunk->id.bytes, ID_SIZE);
    line[32] = chunk->type;
    line[33] = chunk->flags;
    put_le32(line + 34, chunk->offset);
    put_le32(line + 38, chunk->sealed_bytes);
    put_le32(line + 42, chunk->plain_bytes);
    put_le32(line + 46, chunk->record);
    return buf_append(chunks, line, sizeof(line));
}

void snapshot_chunk_at(struct slice chunks, size_t index, struct snapshot_chunk *out)
{
    const uint8_t *line = chunks.data + index * SNAPSHOT_CHUNK_SIZE;
    memcpy(out->id.bytes, line, ID_SIZE);
    out->type = line[32];
    out->flags = line[33];
    out->offset = get_le32(line + 34);
    out->sealed_bytes = get_le32(line + 38);
    out->plain_bytes = get_le32(line + 42);
    out->record = get_le32(line + 46);
}

void snapshot_index_init(struct snapshot_index *index)
{
    *index = (struct snapshot_index){.segments = BUF_INIT(SNAPSHOT_INDEX_BYTES_MAX)};
    snapshot_cells_init(&index->cells);
}

void snapshot_index_free(struct snapshot_index *index)
{
    snapshot_cells_free(&index->cells);
    buf_free(&index->segments);
}

size_t snapshot_index_size(const struct snapshot_index *index)
{
    return index->segments.size + index->cells.table.size + 64;
}

enum err snapshot_index_add(struct snapshot_index *index, const struct snapshot_segment *segment,
                            const struct id *shards, size_t shard_count)
{
    const size_t before = index->segments.size;
    struct buf holders = BUF_INIT(2 * LIMIT_SHARDS);
    enum err e = snapshot_cells_add(&index->cells, shards, shard_count, &holders);
    if (e != ERR_OK)
        goto end;
    struct cbor_writer w = cbor_write_into(&index->segments);
    cbor_write_map(&w);
    cbor_write_key(&w, 0), cbor_write_u64(&w, segment->kind);
    cbor_write_key(&w, 1), cbor_write_bytes(&w, segment->header);
    cbor_write_key(&w, 2), cbor_write_bytes(&w, segment->record);
    cbor_write_key(&w, 3), cbor_write_bytes(&w, buf_slice(&holders));
    cbor_write_key(&w, 4), cbor_write_bytes(&w, segment->chunks);
    cbor_write_end(&w);
    e = cbor_write_finish(&w);
    if (e == ERR_OK && snapshot_index_size(index) > SNAPSHOT_INDEX_BYTES_MAX)
        e = ERR_TOO_LARGE;
    if (e == ERR_OK)
        index->count++;
    else
        index->segments.size = before;
end:
    buf_free(&holders);
    return e;
}

/* The segments' array is a byte string of items, so that it is copied and not moved. */
enum err snapshot_index_finish(struct snapshot_index *index, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    cbor_write_key(&w, 0), cbor_write_u64(&w, VERSION);
    cbor_write_key(&w, 1), cbor_write_bytes(&w, buf_slice(&index->cells.table));
    cbor_write_key(&w, 2), cbor_write_u64(&w, index->count);
    cbor_write_key(&w, 3), cbor_write_bytes(&w, buf_slice(&index->segments));
    cbor_write_end(&w);
    enum err e = cbor_write_finish(&w);
    snapshot_index_free(index);
    snapshot_index_init(index);
    return e;
}

enum err snapshot_index_open(struct snapshot_index_reader *reader, struct slice bytes,
                             struct errmsg *msg)
{
    struct cbor_reader r = cbor_read_over(bytes);
    *reader = (struct snapshot_index_reader){0};
    cbor_read_map(&r);
    cbor_read_key(&r, 0);
    const uint64_t version = cbor_read_u64(&r, UINT64_MAX);
    if (r.e == ERR_OK && version != VERSION)
        return err_say(msg, ERR_VERSION, "an index object of an unknown version");
    cbor_read_key(&r, 1);
    reader->table = cbor_read_bytes(&r, (size_t)SNAPSHOT_CELLS_MAX * ID_SIZE);
    cbor_read_key(&r, 2), reader->left = (size_t)cbor_read_u64(&r, SNAPSHOT_INDEX_BYTES_MAX);
    cbor_read_key(&r, 3), reader->segments = cbor_read_bytes(&r, SNAPSHOT_INDEX_BYTES_MAX);
    cbor_read_end(&r);
    if (r.e == ERR_OK && reader->table.size % ID_SIZE != 0)
        cbor_read_refuse(&r, ERR_FORMAT);
    return cbor_read_finish(&r, msg, "an index object");
}

enum err snapshot_index_next(struct snapshot_index_reader *reader, struct snapshot_segment *out,
                             struct errmsg *msg)
{
    if (reader->left == 0)
        return reader->at == reader->segments.size
                   ? ERR_END
                   : err_say(msg, ERR_FORMAT, "an index object has bytes left over");
    struct cbor_reader r = cbor_read_over(
        slice_of(reader->segments.data + reader->at, reader->segments.size - reader->at));
    cbor_read_map(&r);
    cbor_read_key(&r, 0), out->kind = (uint8_t)cbor_read_u64(&r, 2);
    cbor_read_key(&r, 1), out->header = cbor_read_bytes(&r, SNAPSHOT_HEADER_BYTES_MAX);
    cbor_read_key(&r, 2), out->record = cbor_read_bytes(&r, SNAPSHOT_RECORD_BYTES_MAX);
    cbor_read_key(&r, 3), out->holders = cbor_read_bytes(&r, 2 * LIMIT_SHARDS);
    cbor_read_key(&r, 4), out->chunks = cbor_read_bytes(&r, SNAPSHOT_INDEX_BYTES_MAX);
    cbor_read_end(&r);
    if (r.e == ERR_OK && (out->kind == 0 || !snapshot_cells_valid(reader->table, out->holders) ||
                          out->chunks.size % SNAPSHOT_CHUNK_SIZE != 0))
        cbor_read_refuse(&r, ERR_FORMAT);
    if (r.e != ERR_OK)
        return err_say(msg, r.e, "a segment in an index object is %s", err_words(r.e));
    reader->at += r.c.at;
    reader->left--;
    return ERR_OK;
}
