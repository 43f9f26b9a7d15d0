/* Of this room only. */
#pragma once

#include "base/idmap.h"
#include "transfer/transfer_cache.h"
#include "transfer/transfer_segment.h"

/* One chunk that is kept, or asked for. In the map by its ID. */
struct chunk {
    struct id id;
    enum { CHUNK_QUEUED, CHUNK_ASKED, CHUNK_HERE, CHUNK_FAILED } state;
    uint8_t *plain; /* owned; HERE */
    size_t size;
    struct buf note;
    unsigned pins;
    struct list link;    /* QUEUED: in queue; HERE and not pinned: in kept, newest first */
    struct list waiters; /* struct pin, while it is not here */
    enum err e;          /* FAILED */
    struct errmsg *msg;  /* owned; FAILED; NULL when out of memory */
};

/* What an operation holds or waits for. */
struct pin {
    struct list of_op, of_chunk;
    struct chunk *chunk;
    struct transfer_cache_op *op;
};

struct transfer_cache {
    struct vault *vault;
    struct transfer_cache_options options;
    struct idmap map;  /* struct chunk */
    struct list kept;  /* not pinned */
    struct list queue; /* asked for, no flight free */
    struct list flights;
    struct list ready; /* operations that are to be told */
    struct transfer_cache_counts counts;
    size_t flight_count;
    bool stopping, telling;
    void (*stopped)(void *user);
    void *stopped_user;
    struct work_job stop_job;
};

/* --- transfer_cache.c --- */

/* A flight brings a chunk: `plain` is taken over (malloc), NULL with an error. Chunks that nobody
   asked for are kept when the cache has room for them. */
void transfer_cache_take(struct transfer_cache *chunks, const struct id *id, uint8_t *plain,
                         size_t size, enum err e, const struct errmsg *msg);
/* After a flight: tells operations, starts what waits. */
void transfer_cache_go_on(struct transfer_cache *chunks);

/* --- transfer_cache_fetch.c --- */

MUST_CHECK enum err transfer_cache_fetch(struct transfer_cache *chunks, const struct id *id);
void transfer_cache_fetch_cancel(struct transfer_cache *chunks);
