/*
 * GET and HEAD of a shard: a run of whole leaves with the hashes that prove them.
 *
 *     OPENING --pool: file, rights, path--> SENDING --pool: the next piece--> ... all sent
 *
 * The database is not asked: the file speaks for itself, and a damaged one is in quarantine. The
 * bytes are read and sent in pieces, so a slow reader holds one piece of memory, not a shard. What
 * the disk cannot give any more breaks the exchange off, since the status has been sent; the reader
 * turns to another cell.
 */
#include "cell_internal.h"

#include "segment/segment_header.h"
#include "wire/wire_error.h"
#include "wire/wire_shard.h"

#include <stdlib.h>

struct cell_get {
    struct net_exchange *exchange; /* NULL once closed */
    struct cell *cell;
    struct serve_peer peer;
    struct id segment;
    unsigned index;
    uint32_t leaf_first, leaf_count; /* count 0: all of them */
    bool head_only, job_busy, opened;
    bool ticketed; /* allowed by a ticket that the peer has shown */

    struct work_job job;
    struct store_file *file;
    struct buf path;       /* le32 and siblings */
    uint64_t offset, left; /* of the payload */
    uint8_t *piece;        /* owned, a block */
    size_t piece_bytes;    /* read by the last job */
    enum err result;
    struct errmsg msg;
};

static void get_free(struct cell_get *g)
{
    struct cell *cell = g->cell;
    store_file_close(g->file);
    buf_free(&g->path);
    cell_block_give(cell, g->piece);
    free(g);
    cell_work_ended(cell);
}

static void submit_to(struct cell_get *g, struct work_lane *lane, void (*run)(struct work_job *),
                      void (*done)(struct work_job *))
{
    g->job.run = run;
    g->job.done = done;
    g->job_busy = true;
    work_submit(g->cell->options.work, lane, &g->job);
}

static void submit(struct cell_get *g, void (*run)(struct work_job *),
                   void (*done)(struct work_job *))
{
    submit_to(g, NULL, run, done);
}

static void refuse(struct cell_get *g)
{
    struct buf *body = &g->path;
    buf_clear(body);
    if (wire_error_encode(g->result, g->msg.text, slice_of(NULL, 0), body) != ERR_OK)
        buf_clear(body);
    if (err_class(g->result) == ERR_CLASS_USAGE && g->result != ERR_NOT_FOUND) {
        g->cell->counters.refused_count++;
        log_say(g->cell->options.log, LOG_INFO, "%s was refused a shard: %s",
                serve_peer_text(&g->peer).text, g->msg.text);
    }
    const size_t size = g->head_only ? 0 : body->size;
    enum err e = net_reply_start(g->exchange, wire_status(g->result), size);
    if (e == ERR_OK && size)
        e = net_reply_write(g->exchange, buf_slice(body));
    if (e != ERR_OK)
        net_exchange_abort(g->exchange);
}

/* --- pieces --- */

static void run_read(struct work_job *job)
{
    struct cell_get *g = container_of(job, struct cell_get, job);
    const size_t size = g->left < CELL_BLOCK_BYTES ? (size_t)g->left : CELL_BLOCK_BYTES;
    g->result = store_file_read(g->file, g->offset, g->piece, size, &g->msg);
    g->piece_bytes = size;
}

static void read_done(struct work_job *job)
{
    struct cell_get *g = container_of(job, struct cell_get, job);
    g->job_busy = false;
    if (!g->exchange) {
        get_free(g);
        return;
    }
    if (g->result != ERR_OK) {
        log_say(g->cell->options.log, LOG_ERROR, "a shard cannot be read: %s", g->msg.text);
        net_exchange_abort(g->exchange);
        return;
    }
    g->offset += g->piece_bytes;
    g->left -= g->piece_bytes;
    g->cell->counters.get_bytes += g->piece_bytes;
    if (net_reply_write(g->exchange, slice_of(g->piece, g->piece_bytes)) != ERR_OK)
        net_exchange_abort(g->exchange);
}

/* --- opening --- */

/* Bounds of the run asked for, and the hashes that prove it. */
static enum err make_path(struct cell_get *g, uint32_t shard_bytes)
{
    struct merkle_hash siblings[MERKLE_PATH_MAX];
    struct merkle_hash leaves[LIMIT_SHARD_BYTES / LIMIT_LEAF_BYTES];
    const uint32_t count = store_file_leaf_count(g->file);
    if (g->leaf_count == 0) {
        g->leaf_first = 0;
        g->leaf_count = count;
    }
    if (g->leaf_first >= count || g->leaf_count > count - g->leaf_first)
        return err_say(&g->msg, ERR_USAGE, "the shard has %u leaves, asked for were %u from %u on",
                       count, g->leaf_count, g->leaf_first);
    struct sha256 *hash;
    enum err e = sha256_new(&hash);
    if (e != ERR_OK)
        return err_say(&g->msg, e, "out of memory for a Merkle path");
    memcpy(leaves, store_file_leaves(g->file), (size_t)count * SHA256_SIZE);
    const size_t siblings_count = merkle_path_count(count, g->leaf_first, g->leaf_count);
    merkle_path(hash, leaves, count, g->leaf_first, g->leaf_count, siblings);
    sha256_free(hash);
    g->offset = (uint64_t)g->leaf_first * LIMIT_LEAF_BYTES;
    g->left = segment_leaves_bytes(shard_bytes, g->leaf_first, g->leaf_count);
    e = wire_leaf_path_encode(slice_of(siblings, siblings_count * SHA256_SIZE), &g->path);
    return e == ERR_OK ? e : err_say(&g->msg, e, "the Merkle path cannot be written");
}

static void run_open(struct work_job *job)
{
    struct cell_get *g = container_of(job, struct cell_get, job);
    struct segment_header header;
    g->result = store_file_open(g->cell->options.store, &g->segment, g->index, &g->file, &g->msg);
    if (g->result != ERR_OK)
        return;
    g->result = segment_header_decode(store_file_header(g->file), &header, &g->msg);
    if (g->result == ERR_OK && !g->ticketed)
        g->result = cell_may_get(&g->peer, &header.account, header.device_slot, &g->msg);
    if (g->result == ERR_OK)
        g->result = make_path(g, header.shard_bytes);
}

/* The file is missing or damaged: if the catalogue thinks otherwise, it learns it, and with the
   next heartbeat the coordinator. */
static void run_quarantine(struct work_job *job)
{
    struct cell_get *g = container_of(job, struct cell_get, job);
    struct errmsg msg;
    const enum err e = store_quarantine(g->cell->options.store, &g->segment, g->index, &msg);
    if (e == ERR_OK)
        log_say(g->cell->options.log, LOG_ERROR, "a shard is damaged: %s", g->msg.text);
    else if (e != ERR_NOT_FOUND)
        log_say(g->cell->options.log, LOG_ERROR, "%s", msg.text);
}

static void quarantined(struct work_job *job)
{
    struct cell_get *g = container_of(job, struct cell_get, job);
    g->job_busy = false;
    if (g->exchange)
        refuse(g);
    else
        get_free(g);
}

static void open_done(struct work_job *job)
{
    struct cell_get *g = container_of(job, struct cell_get, job);
    g->job_busy = false;
    if (!g->exchange) {
        get_free(g);
        return;
    }
    if (!g->file && (g->result == ERR_NOT_FOUND || err_class(g->result) == ERR_CLASS_CORRUPT)) {
        submit_to(g, g->cell->options.lane, run_quarantine, quarantined);
        return;
    }
    if (g->result == ERR_OK && !g->head_only && !(g->piece = cell_block_take(g->cell)))
        g->result = err_say(&g->msg, ERR_NOMEM, "out of memory for a piece of a shard");
    if (g->result == ERR_OK && g->ticketed && !g->head_only &&
        !cell_ticket_spend(g->cell, &g->peer, &g->segment, g->index, g->left))
        g->result =
            err_say(&g->msg, ERR_DENIED, "the ticket is over, or all was read that it allows");
    if (g->result != ERR_OK) {
        refuse(g);
        return;
    }
    g->opened = true;
    g->cell->counters.get_count++;
    enum err e = net_reply_start(g->exchange, 200, g->path.size + g->left);
    if (e == ERR_OK && !g->head_only)
        e = net_reply_write(g->exchange, buf_slice(&g->path));
    if (e != ERR_OK)
        net_exchange_abort(g->exchange);
}

/* --- events --- */

static void on_body(void *user, struct slice bytes)
{
    struct cell_get *g = user;
    net_exchange_credit(g->exchange, bytes.size);
}

static void on_body_end(void *user)
{
    (void)user;
}

static void on_writable(void *user)
{
    struct cell_get *g = user;
    if (g->opened && !g->head_only && g->left > 0 && !g->job_busy)
        submit(g, run_read, read_done);
}

static void on_closed(void *user, enum err e)
{
    struct cell_get *g = user;
    (void)e;
    g->exchange = NULL;
    if (!g->job_busy)
        get_free(g);
}

const struct serve_events cell_get_events = {
    .on_body = on_body,
    .on_body_end = on_body_end,
    .on_writable = on_writable,
    .on_closed = on_closed,
};

enum err cell_get_start(struct cell *cell, const struct serve_peer *peer, struct net_exchange *x,
                        const struct net_incoming *request, const struct id *segment,
                        unsigned index, void **out)
{
    struct cell_get *g = calloc(1, sizeof(*g));
    if (!g)
        return ERR_NOMEM;
    g->exchange = x;
    g->cell = cell;
    g->peer = *peer;
    g->segment = *segment;
    g->index = index;
    g->ticketed = cell_ticket_holds(cell, peer, segment, index);
    g->leaf_first = request->leaf_first;
    g->leaf_count = request->leaf_count;
    g->head_only = request->method == NET_HEAD;
    g->path = BUF_INIT(WIRE_LEAF_PATH_BYTES + WIRE_SENTENCE_BYTES + 64);
    cell_work_began(cell);
    submit(g, run_open, open_done);
    *out = g;
    return ERR_OK;
}
