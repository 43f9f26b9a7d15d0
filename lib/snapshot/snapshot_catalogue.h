/*
 * The catalogue of a device: where each of its live index objects and snapshots lies. Written anew
 * by every backup; the head says where it is.
 */
#pragma once

#include "snapshot/snapshot_cells.h"

enum { SNAPSHOT_OBJECT_SIZE = 62, SNAPSHOT_CATALOGUE_BYTES_MAX = 3 << 20 };

/* A record of a metadata segment. */
struct snapshot_object {
    struct id chunk;
    uint32_t segment; /* number in the catalogue's own list */
    uint32_t record, offset, sealed_bytes, plain_bytes;
    uint8_t type, flags; /* segment/'s: 4 snapshot, 5 index object */
    int64_t time_ns;     /* of a snapshot; 0 */
};

/* Making one: add a segment, then its objects. */
struct snapshot_catalogue {
    struct snapshot_cells cells;
    struct buf segments; /* encoded: ID and holders */
    size_t segment_count;
    struct buf objects;
};

void snapshot_catalogue_init(struct snapshot_catalogue *catalogue);
void snapshot_catalogue_free(struct snapshot_catalogue *catalogue);
/* The cells of the segment's shards, zero where there is none. *out: its number. TOO_LARGE. */
MUST_CHECK enum err snapshot_catalogue_segment(struct snapshot_catalogue *catalogue,
                                               const struct id *segment, const struct id *shards,
                                               size_t shard_count, uint32_t *out);
MUST_CHECK enum err snapshot_catalogue_object(struct snapshot_catalogue *catalogue,
                                              const struct snapshot_object *object);
/* Appends it. TOO_LARGE. */
MUST_CHECK enum err snapshot_catalogue_finish(struct snapshot_catalogue *catalogue,
                                              struct buf *out);

/* Reading. */
struct snapshot_catalogue_reader {
    struct slice table;    /* of cells */
    struct slice segments; /* walked by snapshot_catalogue_next_segment() */
    size_t segment_count, segments_left, at;
    struct slice objects;
};

MUST_CHECK enum err snapshot_catalogue_open(struct snapshot_catalogue_reader *reader,
                                            struct slice bytes, struct errmsg *msg);
/* In the order of their numbers. ERR_END; ERR_FORMAT. */
MUST_CHECK enum err snapshot_catalogue_next_segment(struct snapshot_catalogue_reader *reader,
                                                    struct id *out_segment,
                                                    struct slice *out_holders);
static inline size_t snapshot_catalogue_count(const struct snapshot_catalogue_reader *reader)
{
    return reader->objects.size / SNAPSHOT_OBJECT_SIZE;
}
void snapshot_catalogue_at(const struct snapshot_catalogue_reader *reader, size_t index,
                           struct snapshot_object *out);
