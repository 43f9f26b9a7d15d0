#include "snapshot/snapshot_head.h"

#include "cbor/cbor_read.h"
#include "cbor/cbor_write.h"

enum { VERSION = 1, HEADER_BYTES_MAX = 16384 };

enum err snapshot_head_encode(const struct snapshot_head *head, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    cbor_write_key(&w, 0), cbor_write_u64(&w, VERSION);
    cbor_write_key(&w, 1), cbor_write_id(&w, &head->chunk);
    cbor_write_key(&w, 2), cbor_write_bytes(&w, head->header);
    cbor_write_key(&w, 3), cbor_write_bytes(&w, head->cells);
    cbor_write_key(&w, 4), cbor_write_u64(&w, head->record);
    cbor_write_key(&w, 5), cbor_write_u64(&w, head->offset);
    cbor_write_key(&w, 6), cbor_write_u64(&w, head->sealed_bytes);
    cbor_write_key(&w, 7), cbor_write_u64(&w, head->plain_bytes);
    cbor_write_key(&w, 8), cbor_write_u64(&w, head->flags);
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

enum err snapshot_head_decode(struct slice bytes, struct snapshot_head *out, struct errmsg *msg)
{
    struct cbor_reader r = cbor_read_over(bytes);
    cbor_read_map(&r);
    cbor_read_key(&r, 0);
    const uint64_t version = cbor_read_u64(&r, UINT64_MAX);
    if (r.e == ERR_OK && version != VERSION)
        return err_say(msg, ERR_VERSION, "a head whose contents are of an unknown version");
    cbor_read_key(&r, 1), cbor_read_id(&r, &out->chunk);
    cbor_read_key(&r, 2), out->header = cbor_read_bytes(&r, HEADER_BYTES_MAX);
    cbor_read_key(&r, 3), out->cells = cbor_read_bytes(&r, LIMIT_SHARDS * ID_SIZE);
    cbor_read_key(&r, 4), out->record = cbor_read_u32(&r, LIMIT_SEGMENT_RECORDS);
    cbor_read_key(&r, 5), out->offset = cbor_read_u32(&r, LIMIT_SEGMENT_BYTES);
    cbor_read_key(&r, 6), out->sealed_bytes = cbor_read_u32(&r, LIMIT_SEGMENT_BYTES);
    cbor_read_key(&r, 7), out->plain_bytes = cbor_read_u32(&r, LIMIT_CHUNK_BYTES);
    cbor_read_key(&r, 8), out->flags = (uint8_t)cbor_read_u64(&r, UINT8_MAX);
    cbor_read_end(&r);
    if (r.e == ERR_OK && out->cells.size % ID_SIZE != 0)
        cbor_read_refuse(&r, ERR_FORMAT);
    return cbor_read_finish(&r, msg, "a head's contents");
}
