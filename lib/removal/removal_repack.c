#include "removal/removal_repack.h"

#include "index/index_removal.h"
#include "transfer/transfer_chunks.h"
#include "transfer/transfer_reader.h"

#include <stdlib.h>

#define REPACK_CACHE_BYTES MIB(24)
enum { BATCH_BYTES = 4 << 20, BATCH_CHUNKS = 1024 };

struct removal_repack {
    struct vault *vault;
    struct transfer_writer *writer;
    const uint64_t *numbers;
    size_t count, at; /* segments */
    vault_done_fn *done;
    void *user;
    struct transfer_reader *reader;
    /* of segment `at`, once it is listed */
    struct index_chunk *chunks; /* owned: marked ones */
    size_t chunk_count, chunk_at;
    bool listed;
    struct transfer_chunks batch;
    bool stopped;
};

static void repack_end(struct removal_repack *r, enum err e, const struct errmsg *why)
{
    const struct errmsg msg = *why;
    vault_done_fn *done = r->done;
    void *user = r->user;
    transfer_chunks_clear(&r->batch);
    transfer_reader_free(r->reader);
    free(r->chunks);
    free(r);
    done(user, e, &msg);
}

/* --- on the lane --- */

/* The segment's chunks; those that have moved are not among them. */
static enum err list_all(struct removal_repack *r, struct errmsg *msg)
{
    struct index *index = r->vault->index;
    size_t room = 0;
    enum err e = ERR_TOO_LARGE;
    while (e == ERR_TOO_LARGE) {
        free(r->chunks);
        r->chunks = calloc(room + 1, sizeof(*r->chunks));
        if (!r->chunks)
            return err_say(msg, ERR_NOMEM, "out of memory for a segment's chunks");
        e = index_segment_chunks(index, r->numbers[r->at], r->chunks, room, &r->chunk_count, msg);
        room = r->chunk_count;
    }
    return e;
}

static enum err list_marked(struct removal_repack *r, struct errmsg *msg)
{
    struct index_segment row;
    size_t kept = 0;
    enum err e = list_all(r, msg);
    struct id *ids = calloc(r->chunk_count + 1, sizeof(*ids));
    bool *marked = calloc(r->chunk_count + 1, sizeof(*marked));
    if (e == ERR_OK && (!ids || !marked))
        e = err_say(msg, ERR_NOMEM, "out of memory for a segment's chunks");
    for (size_t i = 0; e == ERR_OK && i < r->chunk_count; i++)
        ids[i] = r->chunks[i].id;
    if (e == ERR_OK)
        e = index_marks_has(r->vault->index, ids, r->chunk_count, marked, msg);
    for (size_t i = 0; e == ERR_OK && i < r->chunk_count; i++)
        if (marked[i])
            r->chunks[kept++] = r->chunks[i];
    free(ids);
    free(marked);
    if (e == ERR_OK)
        e = index_segment_by_number(r->vault->index, r->numbers[r->at], &row, msg);
    r->chunk_count = kept;
    r->chunk_at = 0;
    r->batch.batch.kind = row.kind;
    r->listed = e == ERR_OK;
    return e;
}

/* Fills the batch with chunks of one segment; ERR_END: there are no more. */
static enum err fill(void *user, struct errmsg *msg)
{
    struct removal_repack *r = user;
    enum err e = ERR_OK;
    while (e == ERR_OK && r->at < r->count) {
        if (!r->listed) {
            e = list_marked(r, msg);
            continue;
        }
        if (r->chunk_at == r->chunk_count) {
            if (r->batch.batch.count > 0)
                return ERR_OK;
            r->at++;
            r->listed = false;
            continue;
        }
        if (r->batch.bytes.size >= BATCH_BYTES || r->batch.batch.count >= BATCH_CHUNKS)
            return ERR_OK;
        const struct index_chunk *chunk = &r->chunks[r->chunk_at];
        struct slice bytes;
        e = transfer_reader_chunk(r->reader, &chunk->id, &bytes, msg);
        if (e == ERR_OK)
            e = transfer_chunks_add_named(&r->batch, &chunk->id, vault_type_of(chunk->type), bytes);
        r->chunk_at += e == ERR_OK;
    }
    return e == ERR_OK ? ERR_END : e;
}

/* --- on the loop --- */

static void filled(void *user, enum err e, const struct errmsg *msg);

static void next_batch(struct removal_repack *r)
{
    struct errmsg msg;
    const enum err e = transfer_reader_run(r->reader, fill, filled, r, &msg);
    if (e != ERR_OK)
        repack_end(r, e, &msg);
}

static void batch_back(struct transfer_batch *batch)
{
    struct removal_repack *r = batch->user;
    const enum index_kind kind = batch->kind;
    const bool failed = batch->e != ERR_OK;
    struct errmsg msg = batch->msg;
    transfer_chunks_clear(&r->batch);
    transfer_chunks_init(&r->batch, r->writer, kind);
    if (r->stopped || failed)
        repack_end(r, r->stopped ? err_say(&msg, ERR_CANCELLED, "interrupted") : ERR_STATE, &msg);
    else
        next_batch(r);
}

static void filled(void *user, enum err e, const struct errmsg *msg)
{
    struct removal_repack *r = user;
    if (e != ERR_OK) {
        struct errmsg why = *msg;
        if (e != ERR_END)
            e = err_wrap(&why, e, "cannot repack a segment");
        repack_end(r, e == ERR_END ? ERR_OK : e, &why);
        return;
    }
    transfer_chunks_ready(&r->batch);
    r->batch.batch.done = batch_back;
    r->batch.batch.user = r;
    transfer_writer_put(r->writer, &r->batch.batch);
}

enum err removal_repack_start(struct vault *vault, struct transfer_writer *writer,
                              const uint64_t *numbers, size_t count, vault_done_fn *done,
                              void *user, struct removal_repack **out, struct errmsg *msg)
{
    struct removal_repack *r = calloc(1, sizeof(*r));
    if (!r)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *r = (struct removal_repack){.vault = vault,
                                 .writer = writer,
                                 .numbers = numbers,
                                 .count = count,
                                 .done = done,
                                 .user = user};
    transfer_chunks_init(&r->batch, writer, INDEX_DATA);
    enum err e = transfer_reader_new(vault, REPACK_CACHE_BYTES, &r->reader, msg);
    if (e == ERR_OK)
        e = transfer_reader_run(r->reader, fill, filled, r, msg);
    if (e != ERR_OK) {
        transfer_reader_free(r->reader);
        free(r);
        return e;
    }
    *out = r;
    return ERR_OK;
}

void removal_repack_cancel(struct removal_repack *r)
{
    r->stopped = true;
    transfer_reader_cancel(r->reader);
}
