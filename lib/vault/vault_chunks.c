#include "vault/vault_chunks.h"

#include "index/index_cache.h"

#include <stdlib.h>

void vault_chunks_init(struct vault_chunks *chunks, struct vault_writer *writer,
                       enum index_kind kind)
{
    *chunks = (struct vault_chunks){
        .batch = {.kind = kind},
        .bytes = BUF_INIT(INDEX_DIR_BYTES_MAX),
        .bytes_max = vault_writer_chunk_max(writer),
    };
}

void vault_chunks_clear(struct vault_chunks *chunks)
{
    buf_free(&chunks->bytes);
    free(chunks->chunks);
    chunks->chunks = NULL;
    chunks->capacity = chunks->batch.count = 0;
}

enum err vault_chunks_add_named(struct vault_chunks *chunks, const struct id *id, uint8_t type,
                                struct slice plain)
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
    chunks->chunks[count] = (struct vault_chunk){
        .id = *id,
        .type = type,
        .offset = (uint32_t)chunks->bytes.size,
        .plain_bytes = (uint32_t)plain.size,
    };
    enum err e = buf_append(&chunks->bytes, plain.data, plain.size);
    chunks->batch.count += e == ERR_OK;
    return e;
}

enum err vault_chunks_add(struct vault_chunks *chunks, struct keyed_hash *hash, uint8_t type,
                          struct slice plain, struct id *out_id)
{
    keyed_hash(hash, plain, out_id->bytes);
    return vault_chunks_add_named(chunks, out_id, type, plain);
}

void vault_chunks_ready(struct vault_chunks *chunks)
{
    chunks->batch.bytes = chunks->bytes.data;
    chunks->batch.chunks = chunks->chunks;
}
