#include "transfer/transfer_chunks.h"

#include "index/index_cache.h"

#include <stdlib.h>

void transfer_chunks_init(struct transfer_chunks *chunks, struct transfer_writer *writer,
                          enum index_kind kind)
{
    *chunks = (struct transfer_chunks){
        .batch = {.kind = kind},
        .bytes = BUF_INIT(INDEX_DIR_BYTES_MAX),
        .bytes_max = transfer_writer_chunk_max(writer),
    };
}

void transfer_chunks_clear(struct transfer_chunks *chunks)
{
    buf_free(&chunks->bytes);
    free(chunks->chunks);
    chunks->chunks = NULL;
    chunks->capacity = chunks->batch.count = 0;
}

enum err transfer_chunks_add_named(struct transfer_chunks *chunks, const struct id *id,
                                   uint8_t type, struct slice plain)
{
    const size_t count = chunks->batch.count;
    if (plain.size > chunks->bytes_max)
        return ERR_TOO_LARGE;
    if (count == chunks->capacity) {
        const size_t capacity = count ? 2 * count : 2;
        void *grown = realloc(chunks->chunks, capacity * sizeof(*chunks->chunks));
        if (!grown)
            return ERR_NOMEM;
        chunks->chunks = grown;
        chunks->capacity = capacity;
    }
    chunks->chunks[count] = (struct transfer_chunk){
        .id = *id,
        .type = type,
        .offset = (uint32_t)chunks->bytes.size,
        .plain_bytes = (uint32_t)plain.size,
    };
    enum err e = buf_append(&chunks->bytes, plain.data, plain.size);
    chunks->batch.count += e == ERR_OK;
    return e;
}

enum err transfer_chunks_add(struct transfer_chunks *chunks, struct keyed_hash *hash, uint8_t type,
                             struct slice plain, struct id *out_id)
{
    keyed_hash(hash, plain, out_id->bytes);
    return transfer_chunks_add_named(chunks, out_id, type, plain);
}

void transfer_chunks_ready(struct transfer_chunks *chunks)
{
    chunks->batch.bytes = chunks->bytes.data;
    chunks->batch.chunks = chunks->chunks;
}
