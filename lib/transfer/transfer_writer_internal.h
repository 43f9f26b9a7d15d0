/*
 * The writer's parts.
 *
 *     transfer_writer.c          batches: known? packed, placed in an open segment, sealed
 *     transfer_writer_segment.c  a full segment: finished, added, uploaded, committed
 */
#pragma once

#include "base/idmap.h"
#include "segment/segment_builder.h"
#include "swarm/swarm_upload.h"
#include "transfer/transfer_writer.h"

enum {
    DATA_BUDGET_BYTES = 64 << 20, /* of segment buffers, but at least two of them */
    DATA_SEGMENTS_MAX = 4,
    METADATA_SEGMENTS = 2,
    METADATA_PAYLOAD_BYTES = 2 << 20,
    SEGMENTS_MAX = DATA_SEGMENTS_MAX + METADATA_SEGMENTS,
    NO_HOPE_BYTES = 4096, /* less room than for that: nothing more is waited for */
};

/* The open segments of a kind. */
enum { NEARLY_FULL, FILLING, OPEN_SEGMENTS };

/* Of one job that packs or seals. */
struct transfer_writer_tools {
    struct list link;
    struct compressor *compressor;
    struct aead *aead;
    uint8_t *scratch; /* LIMIT_CHUNK_BYTES */
};

struct transfer_writer_ticket {
    struct list link;
    uint64_t number;
    size_t unsafe; /* segments with its chunks that are not committed, and 1 until all are placed */
};

enum segment_state { SEGMENT_FREE, SEGMENT_OPEN, SEGMENT_CLOSED, SEGMENT_SENT };

struct transfer_writer_segment {
    struct work_job job;
    struct transfer_writer *writer;
    struct segment_builder *builder; /* owned; made when first used */
    enum index_kind kind;
    enum segment_state state;
    size_t sealing;             /* records that are being filled */
    struct index_chunk *chunks; /* owned; in the order of their records */
    size_t chunk_count, chunk_capacity;
    struct transfer_writer_ticket **tickets;
    size_t ticket_count, ticket_capacity;
    uint64_t list_number; /* of the member list that it is placed by */
    struct index_segment row;
    struct index_shard shards[LIMIT_SHARDS];
    struct slice parts[LIMIT_SHARDS];
    struct buf record; /* the signed one */
    struct buf receipts;
    struct slice receipt_at[LIMIT_SHARDS]; /* offset and size in `receipts` until registered */
    unsigned receipt_count;
    struct swarm_upload *upload;
    enum err e;
    struct errmsg msg;
};

struct transfer_writer {
    struct vault *vault;
    struct transfer_writer_options options;
    struct segment_identity identity;
    uint8_t *data_key; /* owned, locked */
    struct transfer_writer_segment segments[SEGMENTS_MAX];
    size_t segment_count;
    struct transfer_writer_segment *open[2][OPEN_SEGMENTS]; /* by kind - 1 */
    struct list waiting[2];           /* batches without a place, by kind - 1 */
    struct list tools, waiting_tools; /* free ones; batches without */
    size_t tools_made, tools_max;
    struct list tickets; /* oldest first */
    uint64_t last, safe;
    struct idmap flying; /* chunk -> its ticket, until committed */
    struct idmap cells;  /* that hold something */
    struct transfer_writer_totals totals;
    size_t batches_out, segments_out, registering;
    void (*flushed)(void *user);
    void *flushed_user;
    enum err e; /* the first error */
};

/* --- transfer_writer.c --- */

/* The first error: batches that wait come back as they are, nothing more is sent. */
void transfer_writer_fail(struct transfer_writer *w, enum err e, const struct errmsg *msg);
/* Finds room for what is left of the batch; or it waits for a segment. */
void transfer_writer_place(struct transfer_batch *batch);
void transfer_writer_count_safe(struct transfer_writer *w);
void transfer_writer_check_flushed(struct transfer_writer *w);

/* --- transfer_writer_segment.c --- */

/* Closed, and everything in it is sealed. */
void transfer_writer_segment_finish(struct transfer_writer_segment *segment);
