/*
 * Chunks by their names, in any order: what reading at random stands on (a mounted snapshot, a file
 * that is dumped). Only the leaves that hold a chunk are fetched, from the cells that answer first,
 * and what was opened is kept as far as `cache_bytes` go.
 *
 *     get ─▶ kept? ─▶ pinned
 *             └▶ index (lane) ─▶ gather its leaves (loop) ─▶ open what lies in them (pool) ─▶ ready
 *
 * Small chunks lie side by side: a directory's nodes, small files. So a *window* around a wanted
 * record is fetched, and all small records in it are opened and kept: a walk over many small things
 * costs one request a window, not one each.
 *
 * An operation is straight code without callbacks that runs again from its start when what it
 * lacked is there:
 *
 *     e = transfer_cache_get(chunks, &my->op, &id, &bytes, &msg);
 *     if (e == ERR_BUSY)  return;              // my->op.ready() runs when all that it lacks is
 * here
 *     ...
 *     transfer_cache_release(chunks, &my->op);   // always, at the end: `bytes` are borrowed until
 * then
 *
 * What an operation has got stays until it lets go, so a small cache cannot starve it. Asking for
 * several chunks before handing ERR_BUSY on fetches them side by side. At most FLIGHTS fetches are
 * under way; whatever is asked beyond that waits its turn.
 *
 * Loop thread only.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "base/list.h"
#include "vault/vault.h"

enum { TRANSFER_CACHE_FLIGHTS = 16 };

struct transfer_cache;

struct transfer_cache_options {
    size_t cache_bytes;   /* of opened chunks that no operation holds */
    uint32_t data_window; /* bytes of a segment that are fetched around a small record; powers of */
    uint32_t metadata_window; /* two */
};

/* After vault_connect(). */
MUST_CHECK enum err transfer_cache_new(struct vault *vault,
                                       const struct transfer_cache_options *options,
                                       struct transfer_cache **out, struct errmsg *msg);

/* Breaks off what is under way; `done` runs when nothing is any more, and then it may be freed.
   Operations get no ready() from now on. Once. */
void transfer_cache_stop(struct transfer_cache *chunks, void (*done)(void *user), void *user);
/* After its stop, and when every operation was released. NULL does nothing. */
void transfer_cache_free(struct transfer_cache *chunks);

/* In the caller's struct; zero it, set ready, transfer_cache_op_init(). */
struct transfer_cache_op {
    void (*ready)(struct transfer_cache_op *op); /* public */
    struct list pins;                            /* private, like what follows */
    struct list link;
    unsigned waiting;
};
void transfer_cache_op_init(struct transfer_cache_op *op);

/* ERR_BUSY: it is on its way. NOT_FOUND: the index does not know it. Otherwise why it cannot be
   had; the next operation tries again. */
MUST_CHECK enum err transfer_cache_get(struct transfer_cache *chunks, struct transfer_cache_op *op,
                                       const struct id *id, struct slice *out, struct errmsg *msg);
/* The same bytes when they are kept: never fetches, never pins. False when they are not there. */
bool transfer_cache_have(const struct transfer_cache *chunks, const struct id *id,
                         struct slice *out);
/* A buffer beside a chunk that is kept, empty at first, gone with it: for what was worked out from
   its bytes. NULL when the chunk is not here. */
struct buf *transfer_cache_note(struct transfer_cache *chunks, const struct id *id);
/* It will be asked for soon. Does nothing while enough is under way. */
void transfer_cache_expect(struct transfer_cache *chunks, const struct id *id);

/* Lets go of all that it holds and waits for; it may be used again. */
void transfer_cache_release(struct transfer_cache *chunks, struct transfer_cache_op *op);

struct transfer_cache_counts {
    uint64_t fetches, fetched_bytes; /* from cells */
    uint64_t hedged;                 /* answers that were called slow */
    size_t kept_bytes;
};
void transfer_cache_counts(const struct transfer_cache *chunks, struct transfer_cache_counts *out);
