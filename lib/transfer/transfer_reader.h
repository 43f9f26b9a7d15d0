/*
 * Reading metadata (trees, lists, snapshots, index objects) chunk by chunk, on
 * the vault's lane, where the index is.
 *
 * Code that reads runs as a *step* on the lane, straight on and without callbacks, until a chunk's
 * segment is not at hand: then transfer_reader_chunk() says ERR_BUSY, the step hands that on, the
 * reader fetches the segment over the loop and runs the step again. So a step must be able to go on
 * where it stood.
 *
 *     step (lane) ──ERR_BUSY──▶ gather (loop) ──▶ step again ... ──anything else──▶ done (loop)
 *
 * Whole metadata segments are fetched, and kept as far as `cache_bytes` go (at least one), so that
 * a walk over a tree fetches each segment once. What cannot be had is remembered: its chunks fail
 * with the reason, and the step decides what to do without them.
 */
#pragma once

#include "snapshot/snapshot_list.h"
#include "transfer/transfer_segment.h"

struct transfer_reader;

MUST_CHECK enum err transfer_reader_new(struct vault *vault, size_t cache_bytes,
                                        struct transfer_reader **out, struct errmsg *msg);
void transfer_reader_free(struct transfer_reader *reader); /* when no run is under way */

typedef enum err transfer_reader_step_fn(void *user, struct errmsg *msg);

/* `done` gets what the last step returned; ERR_CANCELLED after transfer_reader_cancel(). */
MUST_CHECK enum err transfer_reader_run(struct transfer_reader *reader,
                                        transfer_reader_step_fn *step, vault_done_fn *done,
                                        void *user, struct errmsg *msg);
void transfer_reader_cancel(struct transfer_reader *reader);

/* --- from inside a step --- */

struct index *transfer_reader_index(const struct transfer_reader *reader);

/* The plain bytes of a chunk; borrowed until the next call. ERR_BUSY: see above. ERR_NOT_FOUND:
   the index does not know it. Else why it cannot be had. */
MUST_CHECK enum err transfer_reader_chunk(struct transfer_reader *reader, const struct id *chunk,
                                          struct slice *out, struct errmsg *msg);

/* A chunk of a segment that is not in the index yet (recovery): `segment` is complete but for its
   key; chunk->segment is not looked at. */
MUST_CHECK enum err transfer_reader_record(struct transfer_reader *reader,
                                           const struct transfer_segment *segment,
                                           const struct index_chunk *chunk, struct slice *out,
                                           struct errmsg *msg);

/* Bytes fetched from cells so far. */
uint64_t transfer_reader_fetched_bytes(const struct transfer_reader *reader);

/* --- content: refs through their lists --- */

struct transfer_content {
    struct {
        struct buf refs;
        size_t at;
    } levels[SNAPSHOT_DEPTH_MAX + 1]; /* [0]: the topmost, as in the entry */
    unsigned depth, level;
};

#define TRANSFER_CONTENT_INIT ((struct transfer_content){0})

/* Copies what it needs of `content`. */
MUST_CHECK enum err transfer_content_start(struct transfer_content *walk,
                                           const struct snapshot_content *content);
/* ERR_OK and the next ref to data (or a node); ERR_END; ERR_BUSY. Any other error is of a list that
   cannot be had: all below it is passed over, the next call goes on behind it. */
MUST_CHECK enum err transfer_content_next(struct transfer_content *walk,
                                          struct transfer_reader *reader, struct snapshot_ref *out,
                                          struct errmsg *msg);
void transfer_content_free(struct transfer_content *walk);
