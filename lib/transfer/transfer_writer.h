/*
 * Chunks in, committed segments out: what is new among them is packed, sealed, coded, uploaded and
 * put into the index.
 *
 *     batch ─▶ known? ─▶ pack ─▶ place in an open segment ─▶ seal ─▶ done(batch): its bytes are
 * free (lane)   (pool)   (loop)                     (pool) segment full ─▶ finish ─▶ BUILDING ─▶
 * upload ─▶ COMMITTED with its chunks ─▶ used again (pool)    (lane)      (loop)    (lane, one
 * transaction)
 *
 * Each batch gets a ticket, counting up. transfer_writer_safe() is the highest ticket up to which
 * every chunk of every batch lies in a committed segment: whoever wants to write down a reference
 * waits until its ticket is safe.
 *
 * Small chunks that stand side by side in a batch share a record (segment/segment_group.h).
 *
 * A chunk that is known, or on its way already, is not stored again. The first error stops
 * everything: `failed` is called once, batches still come back, nothing more is sent.
 *
 * Memory: two data segments of (k + m) shards (more when they are small), two of metadata with up
 * to 2 MiB of payload, one set of packing tools a thread. Batches are the caller's.
 */
#pragma once

#include "vault/vault_parts.h"

struct transfer_writer;

struct transfer_chunk {
    struct id id;         /* in: keyed hash of its plain bytes */
    uint8_t type;         /* in: enum segment_type */
    uint32_t offset;      /* in: of its bytes in the batch */
    uint32_t plain_bytes; /* in */
    bool fresh;           /* out, with done: it was new */
    /* private to the writer */
    uint8_t flags;
    bool joined;      /* in the record of a chunk before it */
    uint16_t members; /* of its record: it, and so many fresh chunks behind it */
    uint32_t packed_bytes, number;
    struct transfer_writer_segment *segment;
};

/* Prepared by the caller, who gets it back with done(); packing overwrites the bytes. */
struct transfer_batch {
    uint8_t *bytes;                /* owned by the caller */
    struct transfer_chunk *chunks; /* owned by the caller */
    size_t count;
    enum index_kind kind; /* data and metadata never share a segment */
    void (*done)(struct transfer_batch *batch);
    void *user;
    uint64_t ticket; /* out, at once */
    /* private to the writer */
    struct work_job job;
    struct list link;
    struct transfer_writer *writer;
    struct transfer_writer_tools *tools;
    struct transfer_writer_ticket *mark;
    struct index_chunk *found;
    size_t at, from;
    bool packed;
    enum err e;
    struct errmsg msg;
};

/* A segment that has just been committed; borrowed during the call. */
struct transfer_writer_committed {
    const struct index_segment *row;
    struct slice header, record;
    const struct index_shard *shards;
    const struct index_chunk *chunks; /* in the order of their records */
    size_t chunk_count;
};

struct transfer_writer_options {
    unsigned k, m;
    bool accept_risk;  /* a segment counts with k shards already */
    uint64_t sequence; /* of the head that will reach these segments */
    void (*failed)(void *user, enum err e, const struct errmsg *msg);
    void (*committed)(void *user, const struct transfer_writer_committed *segment);
    void (*safe)(void *user); /* transfer_writer_safe() has grown */
    void *user;
};

struct transfer_writer_totals {
    uint64_t data_chunks, tree_chunks, plain_bytes, sealed_bytes; /* new ones */
    uint64_t sent_bytes;                                          /* receipted shards */
    uint64_t segments, debts;
    int32_t margin_min; /* INT32_MAX: no segment */
    uint32_t cells;     /* that hold something of it */
};

MUST_CHECK enum err transfer_writer_new(struct vault *vault,
                                        const struct transfer_writer_options *options,
                                        struct transfer_writer **out, struct errmsg *msg);
/* Only when idle: no batch out, no flush under way. NULL does nothing. */
void transfer_writer_free(struct transfer_writer *writer);

/* Never fails: errors come by `failed`. Keep the number of batches out small. */
void transfer_writer_put(struct transfer_writer *writer, struct transfer_batch *batch);

/* Ends the open segments that hold something. `done` when all have been committed (or nothing more
   will happen after a failure). One at a time; no batch may be out. */
void transfer_writer_flush(struct transfer_writer *writer, void (*done)(void *user), void *user);
/* Ends the open segments without waiting; with `metadata_only` the data's stays open. False: there
   was none with something in it. */
bool transfer_writer_push(struct transfer_writer *writer, bool metadata_only);

/* Nothing new is sent; what is on its way is broken off. */
void transfer_writer_stop(struct transfer_writer *writer);

uint64_t transfer_writer_last(const struct transfer_writer *writer); /* the newest ticket */
uint64_t transfer_writer_safe(const struct transfer_writer *writer);
void transfer_writer_totals(const struct transfer_writer *writer,
                            struct transfer_writer_totals *out);
/* A chunk's bytes may be as many as this. */
uint32_t transfer_writer_chunk_max(const struct transfer_writer *writer);
