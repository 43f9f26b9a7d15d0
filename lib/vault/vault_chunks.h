/*
 * Some chunks in memory of their own, as a batch for the writer.
 */
#pragma once

#include "crypto/keyed_hash.h"
#include "vault/vault_writer.h"

struct vault_chunks {
    struct vault_batch batch;   /* its bytes and chunks are set by vault_chunks_ready() */
    struct buf bytes;           /* owned */
    struct vault_chunk *chunks; /* owned */
    size_t capacity;
    uint32_t bytes_max; /* of one chunk */
};

void vault_chunks_init(struct vault_chunks *chunks, struct vault_writer *writer,
                       enum index_kind kind);
void vault_chunks_clear(struct vault_chunks *chunks); /* frees what it owns */

/* A copy of `plain` becomes a chunk of it. TOO_LARGE above what the writer takes. */
MUST_CHECK enum err vault_chunks_add(struct vault_chunks *chunks, struct keyed_hash *hash,
                                     uint8_t type, struct slice plain, struct id *out_id);
/* The same for a chunk whose name is known. */
MUST_CHECK enum err vault_chunks_add_named(struct vault_chunks *chunks, const struct id *id,
                                           uint8_t type, struct slice plain);
/* No chunk is added any more: the batch can be put. */
void vault_chunks_ready(struct vault_chunks *chunks);
