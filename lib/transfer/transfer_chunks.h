/*
 * Some chunks in memory of their own, as a batch for the writer.
 */
#pragma once

#include "crypto/keyed_hash.h"
#include "transfer/transfer_writer.h"

struct transfer_chunks {
    struct transfer_batch batch;   /* its bytes and chunks are set by transfer_chunks_ready() */
    struct buf bytes;              /* owned */
    struct transfer_chunk *chunks; /* owned */
    size_t capacity;
    uint32_t bytes_max; /* of one chunk */
};

void transfer_chunks_init(struct transfer_chunks *chunks, struct transfer_writer *writer,
                          enum index_kind kind);
void transfer_chunks_clear(struct transfer_chunks *chunks); /* frees what it owns */

/* A copy of `plain` becomes a chunk of it. TOO_LARGE above what the writer takes. */
MUST_CHECK enum err transfer_chunks_add(struct transfer_chunks *chunks, struct keyed_hash *hash,
                                        uint8_t type, struct slice plain, struct id *out_id);
/* The same for a chunk whose name is known. */
MUST_CHECK enum err transfer_chunks_add_named(struct transfer_chunks *chunks, const struct id *id,
                                              uint8_t type, struct slice plain);
/* No chunk is added any more: the batch can be put. */
void transfer_chunks_ready(struct transfer_chunks *chunks);
