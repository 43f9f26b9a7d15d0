/*
 * The owner's index: which chunk lies in which segment, which cell holds which shard, which
 * snapshots there are, and what every directory looked like last time. One SQLite file in the vault
 * (docs/index.md has its schema); all of it can be had again from the swarm.
 *
 * One thread at a time (a serial lane of port/work.h). Calls that change something belong between
 * index_begin() and index_commit(): one transaction a segment or a batch of directories, never one
 * a file (a call outside is a transaction by itself, and costs an fsync). After an error inside,
 * roll back: part of what the call does may be done. Memory is bounded by the page cache (8 MiB by
 * default) and what one call is given, whatever the number of chunks.
 *
 * Errors: those of db/db.h; NOT_FOUND; CORRUPT when a row is not what this room wrote; USAGE for
 * values that cannot be (a shard that is not there, a state that does not exist).
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"
#include "base/id.h"
#include "base/limits.h"

struct index;

#define INDEX_FILE "index.db" /* in the vault's directory */

struct index_options {
    const char *path; /* of the file */
    const char *vfs;  /* NULL: the system's */
    bool create, read_only;
    bool exclusive;     /* no readers beside: needs no shared memory file (db/db.h) */
    size_t cache_bytes; /* 0: 3 MiB */
};

MUST_CHECK enum err index_open(const struct index_options *options, struct index **out,
                               struct errmsg *msg);
void index_close(struct index *index); /* NULL does nothing; rolls back what was not committed */

MUST_CHECK enum err index_begin(struct index *index, struct errmsg *msg);
/* For many look-ups one after the other: the file's lock is taken once for all of them. What is
   written in it all the same takes the writer's lock then. Ends like any other. */
MUST_CHECK enum err index_begin_reading(struct index *index, struct errmsg *msg);
MUST_CHECK enum err index_commit(struct index *index, struct errmsg *msg);
void index_rollback(struct index *index);

/* SQLite's own check of the file, then that every chunk's segment exists and every segment is
 * whole. Reads everything. */
MUST_CHECK enum err index_check(struct index *index, struct errmsg *msg);

/* --- segments, and the shards of each on the cells --- */

enum index_segment_state {
    INDEX_BUILDING =
        1, /* its header is made, its shards are on their way; its chunks do not count yet */
    INDEX_COMMITTED = 2, /* k + ceil(m/2) receipts: its chunks count */
    INDEX_CONDEMNED = 3, /* on a condemned list; its chunks are not used by new backups */
    INDEX_LOST = 4,    /* fewer than k shards could be had; its chunks are stored again when met */
    INDEX_DELETED = 5, /* cells were told; the ID is never used again */
};

enum index_shard_state {
    INDEX_SHARD_NONE = 0,    /* no cell yet */
    INDEX_SHARD_SENT = 1,    /* on its way, or its answer was not heard */
    INDEX_SHARD_STORED = 2,  /* receipted */
    INDEX_SHARD_DEBT = 3,    /* owed: to be stored by a later run */
    INDEX_SHARD_MISSING = 4, /* was receipted, and found missing or damaged since */
};

struct index_shard {
    struct id cell; /* zero when there is none */
    enum index_shard_state state;
};

enum index_kind { INDEX_DATA = 1, INDEX_METADATA = 2 };

struct index_segment {
    struct id id;
    struct id device; /* whose data key it is under; zero: ours */
    enum index_kind kind;
    enum index_segment_state state;
    unsigned k, m;
    uint32_t shard_bytes;
    uint32_t epoch;        /* of the data key */
    uint64_t plain_bytes;  /* of all its chunks */
    uint64_t sealed_bytes; /* of its records */
    uint32_t chunk_count;
    int64_t created_s;
    bool published;      /* an index object that a snapshot names lists its chunks */
    unsigned debt_count; /* shards that are not STORED; kept by this room */
    uint64_t number;     /* of the row; given by index_segment_add() */
};

/* state BUILDING, before its first shard leaves; a rebuild adds it in the state that it finds.
   `header` and `record` (the device-signed segment
   record) are kept as they are. EXISTS when the ID is known. Sets segment->number. */
MUST_CHECK enum err index_segment_add(struct index *index, struct index_segment *segment,
                                      struct slice header, struct slice record,
                                      const struct index_shard *shards, struct errmsg *msg);

MUST_CHECK enum err index_segment_get(struct index *index, const struct id *id,
                                      struct index_segment *out, struct errmsg *msg);
MUST_CHECK enum err index_segment_by_number(struct index *index, uint64_t number,
                                            struct index_segment *out, struct errmsg *msg);

/* `out` has room for LIMIT_SHARDS; *count is k + m. */
MUST_CHECK enum err index_segment_shards(struct index *index, uint64_t number,
                                         struct index_shard *out, size_t *count,
                                         struct errmsg *msg);
/* Borrowed until the next call to this room. */
MUST_CHECK enum err index_segment_header(struct index *index, uint64_t number,
                                         struct slice *out_header, struct slice *out_record,
                                         struct errmsg *msg);

MUST_CHECK enum err index_segment_set_shards(struct index *index, uint64_t number,
                                             const struct index_shard *shards, size_t count,
                                             struct errmsg *msg);
MUST_CHECK enum err index_segment_set_shard(struct index *index, uint64_t number, unsigned shard,
                                            const struct index_shard *value, struct errmsg *msg);
/* Leaving COMMITTED makes every cached directory doubtful (see index_dir_get) and forgets what was
   known of files on their way. DELETED is for good: ERR_STATE. */
MUST_CHECK enum err index_segment_set_state(struct index *index, uint64_t number,
                                            enum index_segment_state state, struct errmsg *msg);
MUST_CHECK enum err index_segment_set_published(struct index *index, uint64_t number,
                                                struct errmsg *msg);
/* The row, its shards and its chunks; its number is not given again. */
MUST_CHECK enum err index_segment_remove(struct index *index, uint64_t number, struct errmsg *msg);

struct index_segment_filter {
    unsigned states;       /* bits 1 << state; 0: every one */
    enum index_kind kind;  /* 0: both */
    bool with_debts;       /* only those with debt_count > 0 */
    bool unpublished;      /* only those that are not published */
    uint64_t after_number; /* go on behind this one */
};

/* Fills up to `max`, in the order of their numbers; *count < max: no more. */
MUST_CHECK enum err index_segments(struct index *index, const struct index_segment_filter *filter,
                                   struct index_segment *out, size_t max, size_t *count,
                                   struct errmsg *msg);

/* What lies on each cell that has, or had, a shard of a committed segment; in the order of their
   IDs, up to `max`. */
struct index_cell_use {
    struct id cell;
    uint64_t shards, missing, bytes; /* STORED ones and their bytes; MISSING ones */
};
MUST_CHECK enum err index_cells(struct index *index, struct index_cell_use *out, size_t max,
                                size_t *count, struct errmsg *msg);

/* Of committed segments; shard_bytes: of the shards that are STORED. */
struct index_totals {
    uint64_t segments, segments_with_debts, chunks, plain_bytes, sealed_bytes, shard_bytes;
    int margin_min; /* stored shards - k of the worst committed segment; INT_MAX when there is none
                     */
};
MUST_CHECK enum err index_totals(struct index *index, struct index_totals *out, struct errmsg *msg);

/* --- chunks --- */

struct index_chunk {
    struct id id;
    uint64_t segment;      /* number of its row; 0: not found */
    uint32_t record;       /* in the segment */
    uint32_t offset;       /* of the sealed record in the segment's payload */
    uint32_t sealed_bytes; /* of the record, with its tag; in a group its share of it */
    uint32_t
        group_bytes; /* sealed bytes of the record that it shares with others; 0: it is alone */
    uint32_t plain_bytes;
    uint8_t type; /* snapshot's and segment's word for it */
};

/* Sealed bytes of the record in which a chunk lies. */
static inline uint32_t index_chunk_record_bytes(const struct index_chunk *chunk)
{
    return chunk->group_bytes ? chunk->group_bytes : chunk->sealed_bytes;
}

/* For each of `ids` (any order, repeats allowed) what is known, in the same order; segment = 0 when
   nothing. Only chunks in COMMITTED segments are told, unless `any_state`. One pass in key order.
 */
MUST_CHECK enum err index_chunks_find(struct index *index, const struct id *ids, size_t count,
                                      bool any_state, struct index_chunk *out, struct errmsg *msg);

/* Adds (or moves to this segment, when the old one is not committed any more) in key order. Usually
   in the transaction that commits the segment. NOT_FOUND when a segment is not there. */
MUST_CHECK enum err index_chunks_add(struct index *index, const struct index_chunk *chunks,
                                     size_t count, struct errmsg *msg);

/* All chunks in the order of their ids, from after `*after` (zero id: the first); updates it. */
MUST_CHECK enum err index_chunks(struct index *index, struct id *after, struct index_chunk *out,
                                 size_t max, size_t *count, struct errmsg *msg);

/* All chunks of one segment, in the order of their records; of one record, by id. ERR_TOO_LARGE
   when there are more than `max`; *count is then how many there are. */
MUST_CHECK enum err index_segment_chunks(struct index *index, uint64_t number,
                                         struct index_chunk *out, size_t max, size_t *count,
                                         struct errmsg *msg);

/* --- marks: which chunks are still reached, for prune. Kept on disk, so that memory stays flat.
 * --- */

MUST_CHECK enum err index_marks_clear(struct index *index, struct errmsg *msg);
/* *new_count: how many were not marked before (a tree that was marked need not be entered again);
   `is_new[i]` for each when not NULL. */
MUST_CHECK enum err index_marks_add(struct index *index, const struct id *ids, size_t count,
                                    bool *is_new, size_t *new_count, struct errmsg *msg);
struct index_segment_live {
    uint64_t number;
    uint64_t live_bytes, live_chunks; /* sealed bytes of marked chunks */
};
/* Of every committed segment, in the order of numbers, after `after_number`. One pass over the
   chunks the first time after marks or chunks were added (a change: it writes), then from its
   result. */
MUST_CHECK enum err index_marks_live(struct index *index, uint64_t after_number,
                                     struct index_segment_live *out, size_t max, size_t *count,
                                     struct errmsg *msg);

/* --- snapshots and heads: kept as the bytes that others signed or sealed, at most 4 MiB each. ---
 */

struct index_snapshot {
    struct id id;
    struct id device;
    int64_t time_ns;
    bool forgotten; /* a tombstone exists */
};
/* Replaces. It is forgotten as well when a tombstone names it (index_removal.h). */
MUST_CHECK enum err index_snapshot_put(struct index *index, const struct index_snapshot *snapshot,
                                       struct slice body, struct errmsg *msg);
/* `body` is borrowed until the next call to this room. */
MUST_CHECK enum err index_snapshot_get(struct index *index, const struct id *id,
                                       struct index_snapshot *out, struct slice *body,
                                       struct errmsg *msg);
/* By time, oldest first, from position `skip`; forgotten ones only when asked for. */
MUST_CHECK enum err index_snapshots(struct index *index, bool with_forgotten, size_t skip,
                                    struct index_snapshot *out, size_t max, size_t *count,
                                    struct errmsg *msg);
MUST_CHECK enum err index_snapshot_set_forgotten(struct index *index, const struct id *id,
                                                 struct errmsg *msg);
MUST_CHECK enum err index_snapshot_remove(struct index *index, const struct id *id,
                                          struct errmsg *msg);

/* The newest head of a device; a lower sequence than the one that is there is ERR_STALE. */
MUST_CHECK enum err index_head_put(struct index *index, const struct id *device, uint64_t sequence,
                                   struct slice body, struct errmsg *msg);
MUST_CHECK enum err index_head_get(struct index *index, const struct id *device, uint64_t *sequence,
                                   struct slice *body, struct errmsg *msg);
MUST_CHECK enum err index_heads(struct index *index, struct id *devices, size_t max, size_t *count,
                                struct errmsg *msg);

/* --- small facts by name: last backup, list number, manifest, ... at most 1 MiB each. A number is
 * not read as bytes, nor the other way round: CORRUPT. --- */

MUST_CHECK enum err index_fact_put(struct index *index, const char *name, struct slice value,
                                   struct errmsg *msg);
MUST_CHECK enum err index_fact_get(struct index *index, const char *name, struct slice *out,
                                   struct errmsg *msg); /* borrowed; NOT_FOUND */
MUST_CHECK enum err index_fact_put_number(struct index *index, const char *name, int64_t value,
                                          struct errmsg *msg);
MUST_CHECK enum err index_fact_get_number(struct index *index, const char *name, int64_t *out,
                                          struct errmsg *msg);
