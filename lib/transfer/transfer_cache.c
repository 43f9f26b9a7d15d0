#include "transfer/transfer_cache_internal.h"

#include <stdlib.h>

enum { EXPECTED_FLIGHTS = TRANSFER_CACHE_FLIGHTS / 2 };

enum err transfer_cache_new(struct vault *vault, const struct transfer_cache_options *options,
                            struct transfer_cache **out, struct errmsg *msg)
{
    struct transfer_cache *chunks = calloc(1, sizeof(*chunks));
    if (!chunks)
        return err_say(msg, ERR_NOMEM, "out of memory");
    chunks->vault = vault;
    chunks->options = *options;
    list_init(&chunks->kept);
    list_init(&chunks->queue);
    list_init(&chunks->flights);
    list_init(&chunks->ready);
    *out = chunks;
    return ERR_OK;
}

static void chunk_free(struct transfer_cache *chunks, struct chunk *chunk)
{
    if (chunk->state == CHUNK_HERE)
        chunks->counts.kept_bytes -= chunk->size;
    (void)idmap_remove(&chunks->map, &chunk->id);
    list_remove(&chunk->link);
    free(chunk->plain);
    buf_free(&chunk->note);
    free(chunk->msg);
    free(chunk);
}

void transfer_cache_free(struct transfer_cache *chunks)
{
    if (!chunks)
        return;
    size_t at = 0;
    struct chunk *chunk;
    while ((chunk = idmap_next(&chunks->map, &at, NULL)) != NULL) {
        free(chunk->plain);
        buf_free(&chunk->note);
        free(chunk->msg);
        free(chunk);
    }
    idmap_free(&chunks->map);
    free(chunks);
}

void transfer_cache_op_init(struct transfer_cache_op *op)
{
    list_init(&op->pins);
    list_init(&op->link);
    op->waiting = 0;
}

static void evict(struct transfer_cache *chunks)
{
    while (chunks->counts.kept_bytes > chunks->options.cache_bytes && !list_empty(&chunks->kept))
        chunk_free(chunks, container_of(chunks->kept.previous, struct chunk, link));
}

/* What nobody holds: kept, or forgotten when it could not be had. */
static void let_go(struct transfer_cache *chunks, struct chunk *chunk)
{
    if (chunk->pins > 0)
        return;
    if (chunk->state == CHUNK_HERE)
        list_prepend(&chunks->kept, &chunk->link);
    else if (chunk->state != CHUNK_ASKED) /* its flight finds nobody */
        chunk_free(chunks, chunk);
}

static struct chunk *chunk_new(struct transfer_cache *chunks, const struct id *id)
{
    struct chunk *chunk = calloc(1, sizeof(*chunk));
    if (!chunk)
        return NULL;
    chunk->id = *id;
    chunk->note = BUF_INIT(LIMIT_CHUNK_BYTES);
    list_init(&chunk->link);
    list_init(&chunk->waiters);
    if (idmap_set(&chunks->map, id, chunk) != ERR_OK) {
        free(chunk);
        return NULL;
    }
    return chunk;
}

static enum err pin(struct transfer_cache_op *op, struct chunk *chunk)
{
    struct pin *new = malloc(sizeof(*new));
    if (!new)
        return ERR_NOMEM;
    new->chunk = chunk;
    new->op = op;
    list_init(&new->of_chunk);
    list_append(&op->pins, &new->of_op);
    if (chunk->pins++ == 0 && chunk->state == CHUNK_HERE)
        list_remove(&chunk->link);
    if (chunk->state == CHUNK_QUEUED || chunk->state == CHUNK_ASKED) {
        list_append(&chunk->waiters, &new->of_chunk);
        op->waiting++;
    }
    return ERR_OK;
}

static bool holds(const struct transfer_cache_op *op, const struct chunk *chunk)
{
    list_for_each(link, &op->pins)
    {
        if (container_of(link, struct pin, of_op)->chunk == chunk)
            return true;
    }
    return false;
}

static enum err ask(struct transfer_cache *chunks, struct chunk *chunk)
{
    if (chunks->flight_count >= TRANSFER_CACHE_FLIGHTS) {
        chunk->state = CHUNK_QUEUED;
        list_append(&chunks->queue, &chunk->link);
        return ERR_OK;
    }
    chunk->state = CHUNK_ASKED;
    return transfer_cache_fetch(chunks, &chunk->id);
}

enum err transfer_cache_get(struct transfer_cache *chunks, struct transfer_cache_op *op,
                            const struct id *id, struct slice *out, struct errmsg *msg)
{
    enum err e = ERR_OK;
    if (chunks->stopping)
        return err_say(msg, ERR_CANCELLED, "interrupted");
    struct chunk *chunk = idmap_get(&chunks->map, id);
    if (!chunk) {
        chunk = chunk_new(chunks, id);
        if (!chunk || ask(chunks, chunk) != ERR_OK) {
            if (chunk)
                chunk_free(chunks, chunk);
            return err_say(msg, ERR_NOMEM, "out of memory");
        }
    }
    if (!holds(op, chunk))
        e = pin(op, chunk);
    if (e != ERR_OK)
        return err_say(msg, e, "out of memory");
    *out = slice_of(chunk->plain, chunk->size);
    if (chunk->state == CHUNK_FAILED) {
        if (msg && chunk->msg)
            *msg = *chunk->msg;
        return chunk->e;
    }
    return chunk->state == CHUNK_HERE ? ERR_OK : ERR_BUSY;
}

bool transfer_cache_have(const struct transfer_cache *chunks, const struct id *id,
                         struct slice *out)
{
    const struct chunk *chunk = idmap_get(&chunks->map, id);
    if (!chunk || chunk->state != CHUNK_HERE)
        return false;
    *out = slice_of(chunk->plain, chunk->size);
    return true;
}

struct buf *transfer_cache_note(struct transfer_cache *chunks, const struct id *id)
{
    struct chunk *chunk = idmap_get(&chunks->map, id);
    return chunk && chunk->state == CHUNK_HERE ? &chunk->note : NULL;
}

void transfer_cache_expect(struct transfer_cache *chunks, const struct id *id)
{
    if (chunks->stopping || chunks->flight_count >= EXPECTED_FLIGHTS || idmap_get(&chunks->map, id))
        return;
    struct chunk *chunk = chunk_new(chunks, id);
    if (chunk && ask(chunks, chunk) != ERR_OK)
        chunk_free(chunks, chunk);
}

void transfer_cache_release(struct transfer_cache *chunks, struct transfer_cache_op *op)
{
    struct list *link;
    while ((link = list_pop(&op->pins)) != NULL) {
        struct pin *old = container_of(link, struct pin, of_op);
        struct chunk *chunk = old->chunk;
        list_remove(&old->of_chunk);
        free(old);
        chunk->pins--;
        let_go(chunks, chunk);
    }
    list_remove(&op->link);
    op->waiting = 0;
    evict(chunks);
}

void transfer_cache_counts(const struct transfer_cache *chunks, struct transfer_cache_counts *out)
{
    *out = chunks->counts;
}

/* --- what flights bring --- */

static void wake(struct transfer_cache *chunks, struct chunk *chunk)
{
    struct list *link;
    while ((link = list_pop(&chunk->waiters)) != NULL) {
        struct transfer_cache_op *op = container_of(link, struct pin, of_chunk)->op;
        if (--op->waiting == 0)
            list_append(&chunks->ready, &op->link);
    }
}

void transfer_cache_take(struct transfer_cache *chunks, const struct id *id, uint8_t *plain,
                         size_t size, enum err e, const struct errmsg *msg)
{
    struct chunk *chunk = idmap_get(&chunks->map, id);
    if (chunk && (chunk->state == CHUNK_HERE || chunk->state == CHUNK_FAILED)) {
        free(plain);
        return;
    }
    if (!chunk && e == ERR_OK)
        chunk = chunk_new(chunks, id);
    if (!chunk) {
        free(plain);
        return;
    }
    list_remove(&chunk->link);
    chunk->e = e;
    chunk->state = e == ERR_OK ? CHUNK_HERE : CHUNK_FAILED;
    if (e == ERR_OK) {
        chunk->plain = plain;
        chunk->size = size;
        chunks->counts.kept_bytes += size;
    } else if ((chunk->msg = malloc(sizeof(*chunk->msg))) != NULL) {
        *chunk->msg = *msg;
    }
    wake(chunks, chunk);
    let_go(chunks, chunk);
}

static void tell_ready(struct transfer_cache *chunks)
{
    struct list *link;
    if (chunks->telling)
        return;
    chunks->telling = true;
    while (!chunks->stopping && (link = list_pop(&chunks->ready)) != NULL) {
        struct transfer_cache_op *op = container_of(link, struct transfer_cache_op, link);
        op->ready(op);
    }
    chunks->telling = false;
}

static void start_queued(struct transfer_cache *chunks)
{
    while (chunks->flight_count < TRANSFER_CACHE_FLIGHTS && !list_empty(&chunks->queue)) {
        const struct errmsg msg = {.text = "out of memory"};
        struct chunk *chunk = container_of(list_pop(&chunks->queue), struct chunk, link);
        chunk->state = CHUNK_ASKED;
        if (transfer_cache_fetch(chunks, &chunk->id) != ERR_OK)
            transfer_cache_take(chunks, &chunk->id, NULL, 0, ERR_NOMEM, &msg);
    }
}

static void stop_done(struct work_job *job)
{
    struct transfer_cache *chunks = container_of(job, struct transfer_cache, stop_job);
    chunks->stopped(chunks->stopped_user);
}

void transfer_cache_go_on(struct transfer_cache *chunks)
{
    if (chunks->stopping) {
        if (chunks->flight_count == 0 && chunks->stop_job.done == NULL) {
            chunks->stop_job = (struct work_job){.done = stop_done};
            work_post(chunks->vault->ports.work, &chunks->stop_job);
        }
        return;
    }
    start_queued(chunks);
    tell_ready(chunks);
    evict(chunks);
}

void transfer_cache_stop(struct transfer_cache *chunks, void (*done)(void *user), void *user)
{
    chunks->stopping = true;
    chunks->stopped = done;
    chunks->stopped_user = user;
    transfer_cache_fetch_cancel(chunks);
    transfer_cache_go_on(chunks);
}
