/*
 * Index objects: what is in which segment, and where its shards are. They rest in metadata
 * segments, so the whole index of a device can be had again from the swarm
 * (docs/format-snapshot.md).
 *
 * A segment may be listed by several objects: the newest that names it is right about its cells.
 */
#pragma once

#include "snapshot/snapshot_cells.h"

enum {
    SNAPSHOT_CHUNK_SIZE = 50,           /* of a chunk's line */
    SNAPSHOT_INDEX_BYTES = 3 << 18,     /* an object is ended when it has got so large */
    SNAPSHOT_INDEX_BYTES_MAX = 4 << 20, /* a chunk's limit: one segment of 65536 chunks fits */
    SNAPSHOT_HEADER_BYTES_MAX = 16384,
    SNAPSHOT_RECORD_BYTES_MAX = 4096,
};

struct snapshot_chunk {
    struct id id;
    uint8_t type, flags; /* segment/'s */
    uint32_t offset, sealed_bytes, plain_bytes;
    uint32_t record; /* its number in the segment: of the nonce */
};

struct snapshot_segment {
    uint8_t kind;         /* 1 data, 2 metadata */
    struct slice header;  /* the segment's header: its ID, k, m, shard size, device and epoch */
    struct slice record;  /* the device-signed segment record, document */
    struct slice holders; /* k + m numbers (snapshot_cells.h) */
    struct slice
        chunks; /* lines of SNAPSHOT_CHUNK_SIZE, in the order of the records, not always of all */
};

MUST_CHECK enum err snapshot_chunk_append(struct buf *chunks, const struct snapshot_chunk *chunk);
void snapshot_chunk_at(struct slice chunks, size_t index, struct snapshot_chunk *out);

/* Making one: init, add, finish; then it may be used again. */
struct snapshot_index {
    struct snapshot_cells cells;
    struct buf segments; /* encoded ones */
    size_t count;
};

void snapshot_index_init(struct snapshot_index *index);
void snapshot_index_free(struct snapshot_index *index);
/* Bytes that the object has by now, about. */
size_t snapshot_index_size(const struct snapshot_index *index);
/* `shards`: the cell of each of the `shard_count` shards, zero where there is none;
   segment->holders is not looked at. TOO_LARGE: it does not fit beside the others. */
MUST_CHECK enum err snapshot_index_add(struct snapshot_index *index,
                                       const struct snapshot_segment *segment,
                                       const struct id *shards, size_t shard_count);
/* Appends the object and starts a new one. */
MUST_CHECK enum err snapshot_index_finish(struct snapshot_index *index, struct buf *out);

/* Reading. Slices point into the bytes given. */
struct snapshot_index_reader {
    struct slice table; /* of cells */
    struct slice segments;
    size_t left, at;
};

MUST_CHECK enum err snapshot_index_open(struct snapshot_index_reader *reader, struct slice bytes,
                                        struct errmsg *msg);
/* ERR_END; ERR_FORMAT. */
MUST_CHECK enum err snapshot_index_next(struct snapshot_index_reader *reader,
                                        struct snapshot_segment *out, struct errmsg *msg);
