#include "transfer/transfer_record.h"

#include "compress/compress.h"

#include <stdlib.h>

struct transfer_record {
    struct segment_opener *opener; /* owned */
    struct compressor *compressor; /* owned */
    uint8_t *stored;               /* owned; what an opened record holds; NULL: in its place */
    uint8_t *plain;                /* owned; what was unpacked */
    bool grouped;                  /* the last record was a group, of which is kept: */
    uint32_t number;
    struct segment_group group;
    struct slice members; /* its body, unpacked */
};

enum err transfer_record_new(bool apart, struct transfer_record **out)
{
    struct transfer_record *r = calloc(1, sizeof(*r));
    if (!r)
        return ERR_NOMEM;
    r->plain = malloc(LIMIT_CHUNK_BYTES);
    r->stored = apart ? malloc(LIMIT_CHUNK_BYTES) : NULL;
    enum err e = r->plain && (r->stored || !apart) ? ERR_OK : ERR_NOMEM;
    if (e == ERR_OK)
        e = segment_opener_new(&r->opener);
    if (e == ERR_OK)
        e = compress_new(COMPRESS_LEVEL_OFF, &r->compressor, NULL);
    if (e != ERR_OK) {
        transfer_record_free(r);
        return e;
    }
    *out = r;
    return ERR_OK;
}

void transfer_record_free(struct transfer_record *r)
{
    if (!r)
        return;
    segment_opener_free(r->opener);
    compress_free(r->compressor);
    free(r->stored);
    free(r->plain);
    free(r);
}

enum err transfer_record_set(struct transfer_record *r, const struct segment_header *header,
                             const uint8_t data_key[SEGMENT_DATA_KEY_SIZE])
{
    r->grouped = false;
    return segment_opener_set(r->opener, header, data_key);
}

static struct segment_entry entry_of(const struct index_chunk *chunk)
{
    struct segment_entry entry = {
        .id = chunk->id,
        .offset = chunk->offset,
        .sealed_bytes = index_chunk_record_bytes(chunk),
        .plain_bytes = chunk->plain_bytes,
        .type = vault_type_of(chunk->type),
        .flags = vault_flags_of(chunk->type),
    };
    if (chunk->group_bytes > 0) {
        entry.id = (struct id){{0}};
        entry.plain_bytes = 0;
        entry.flags |= SEGMENT_GROUP;
    }
    return entry;
}

static enum err unpack(struct transfer_record *r, unsigned flags, struct slice stored,
                       uint32_t plain_bytes, struct slice *out, struct errmsg *msg)
{
    *out = stored;
    if (!(flags & SEGMENT_ZSTD))
        return stored.size == plain_bytes ? ERR_OK : ERR_CORRUPT;
    *out = slice_of(r->plain, plain_bytes);
    return compress_unpack(r->compressor, COMPRESS_ZSTD, stored, r->plain, plain_bytes, msg);
}

/* Opens the record; of a group what is kept, of a chunk `out`. */
static enum err open_record(struct transfer_record *r, const struct index_chunk *chunk,
                            uint8_t *payload, struct slice *out, struct errmsg *msg)
{
    const struct segment_entry entry = entry_of(chunk);
    const struct slice sealed = slice_of(payload + entry.offset, entry.sealed_bytes);
    uint8_t *at = r->stored ? r->stored : payload + entry.offset;
    const struct slice stored = slice_of(at, entry.sealed_bytes - SEGMENT_RECORD_OVERHEAD);
    r->grouped = false;
    enum err e = segment_open_record(r->opener, chunk->record, &entry, sealed, at);
    if (e != ERR_OK || chunk->group_bytes == 0)
        return e == ERR_OK ? unpack(r, entry.flags, stored, entry.plain_bytes, out, msg) : e;
    e = segment_group_open(stored, entry.flags, &r->group);
    if (e == ERR_OK)
        e = unpack(r, entry.flags, r->group.body, r->group.plain_bytes, &r->members, msg);
    r->grouped = e == ERR_OK;
    r->number = chunk->record;
    return e;
}

static enum err check_place(const struct index_chunk *chunk, size_t payload_bytes)
{
    const uint32_t sealed = index_chunk_record_bytes(chunk);
    const bool inside = chunk->offset <= payload_bytes && sealed <= payload_bytes - chunk->offset;
    return inside && sealed >= SEGMENT_RECORD_OVERHEAD &&
                   sealed - SEGMENT_RECORD_OVERHEAD <= LIMIT_CHUNK_BYTES &&
                   chunk->plain_bytes <= LIMIT_CHUNK_BYTES
               ? ERR_OK
               : ERR_CORRUPT;
}

enum err transfer_record_open(struct transfer_record *r, const struct index_chunk *chunk,
                              uint8_t *payload, size_t payload_bytes, struct slice *out,
                              struct errmsg *msg)
{
    uint32_t offset = 0;
    const bool again = r->grouped && chunk->group_bytes > 0 && r->number == chunk->record;
    enum err e = again ? ERR_OK : check_place(chunk, payload_bytes);
    if (e == ERR_OK && !again)
        e = open_record(r, chunk, payload, out, msg);
    if (e == ERR_OK && chunk->group_bytes > 0) {
        e = segment_group_find(&r->group, &chunk->id, chunk->plain_bytes, &offset);
        if (e == ERR_OK)
            *out = slice_of(r->members.data + offset, chunk->plain_bytes);
    }
    if (e != ERR_OK)
        return err_say(msg, e, "record %u of a segment cannot be opened: %s", chunk->record,
                       err_words(e));
    return ERR_OK;
}
