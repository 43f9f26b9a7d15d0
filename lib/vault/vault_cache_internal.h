/* Of this room only. */
#pragma once

#include "base/idmap.h"
#include "vault/vault_cache.h"
#include "vault/vault_segment.h"

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
    struct vault_cache_op *op;
};

struct vault_cache {
    struct vault *vault;
    struct vault_cache_options options;
    struct idmap map;  /* struct chunk */
    struct list kept;  /* not pinned */
    struct list queue; /* asked for, no flight free */
    struct list flights;
    struct list ready; /* operations that are to be told */
    struct vault_cache_counts counts;
    size_t flight_count;
    bool stopping, telling;
    void (*stopped)(void *user);
    void *stopped_user;
    struct work_job stop_job;
};

/* --- vault_cache.c --- */

/* A flight brings a chunk: `plain` is taken over (malloc), NULL with an error. Chunks that nobody
   asked for are kept when the cache has room for them. */
void vault_cache_take(struct vault_cache *chunks, const struct id *id, uint8_t *plain, size_t size,
                      enum err e, const struct errmsg *msg);
/* After a flight: tells operations, starts what waits. */
void vault_cache_go_on(struct vault_cache *chunks);

/* --- vault_cache_fetch.c --- */

MUST_CHECK enum err vault_cache_fetch(struct vault_cache *chunks, const struct id *id);
void vault_cache_fetch_cancel(struct vault_cache *chunks);
