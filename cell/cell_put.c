/*
 * PUT of a shard.
 *
 *     PRELUDE --lane--> ADMITTED ..payload.. --pool--> SEALED --lane--> COMMITTED -> reply
 *        |                  |                             |
 *        +------------------+-----------------------------+--> REFUSED -> reply, undone on the lane
 *
 * Happy path: the prelude says who allows what; only then is payload taken, in pieces that a pool
 * job hashes and writes while the next ones arrive. The seal (root check, fsync) runs in the pool,
 * so several shards sync at once; the commit runs on the lane for all that wait, so that they share
 * one directory sync and one transaction. The receipt is signed last.
 * Ways to fail: no right or a used-up grant (403, 507), no space (507), a payload that is not what
 * the name says (422), a peer that leaves (everything is undone), a disk that fails (500, 507).
 *
 * One job of a put is under way at a time, so its fields need no lock. What arrives meanwhile waits
 * in `blocks`, uncredited: the port's window bounds it. A block is written when it is full, so that
 * the disk gets pieces that suit it in place and size.
 */
#include "cell_internal.h"

#include "base/planted.h"
#include "wire/wire_error.h"
#include "wire/wire_shard.h"

#include <stdlib.h>

enum step { PRELUDE, ADMITTING, TAKING, WRITING, SEALING, WAITING, FINISHED };

enum {
    BLOCKS_MAX = NET_WINDOW_BYTES / CELL_BLOCK_BYTES + 1, /* more than the port's window */
    COMMIT_BATCH_MAX = 64,
};

struct cell_put {
    struct net_exchange *exchange; /* NULL once closed */
    struct cell *cell;
    struct serve_peer peer;
    struct cell_view view;
    struct id segment;
    unsigned index;

    enum step step;
    bool body_ended, job_busy, answered;
    struct work_job job;
    struct list waiting; /* in cell->commit_queue */

    uint8_t head[WIRE_SHARD_HEAD_SIZE];
    size_t head_size;
    uint32_t prelude_bytes;
    struct buf prelude; /* becomes the reply once it has served */
    uint8_t
        *blocks[BLOCKS_MAX]; /* payload: the first may be in a job's hands, the last be filled */
    unsigned block_count;
    size_t last_bytes;    /* in the last block */
    struct slice writing; /* the job's */

    struct store_put *put;
    struct cell_admission admission;
    bool known; /* it was here already: 200 instead of 201 */
    enum err result;
    struct errmsg msg;
};

static void advance(struct cell_put *p);

static void put_free(struct cell_put *p)
{
    struct cell *cell = p->cell;
    cell->counters.puts_under_way--;
    buf_free(&p->prelude);
    for (unsigned i = 0; i < p->block_count; i++)
        cell_block_give(cell, p->blocks[i]);
    free(p);
    cell_work_ended(cell);
}

static void job_done(struct work_job *job)
{
    struct cell_put *p = container_of(job, struct cell_put, job);
    p->job_busy = false;
    advance(p);
}

static void submit(struct cell_put *p, struct work_lane *lane, void (*run)(struct work_job *))
{
    p->job.run = run;
    p->job.done = job_done;
    p->job_busy = true;
    work_submit(p->cell->options.work, lane, &p->job);
}

static void fail(struct cell_put *p, enum err e)
{
    if (p->result == ERR_OK)
        p->result = e;
}

/* --- the reply --- */

static unsigned write_reply(struct cell_put *p)
{
    struct buf *reply = &p->prelude;
    buf_clear(reply);
    if (p->result == ERR_OK) {
        p->result = cell_sign_receipt(p->cell, &p->admission, p->index, reply, &p->msg);
        if (p->result == ERR_OK)
            return p->known ? 200 : 201;
        buf_clear(reply);
    }
    p->cell->counters.refused_count++;
    log_say(p->cell->options.log, LOG_INFO, "a shard from %s was not stored: %s",
            serve_peer_text(&p->peer).text, p->msg.text);
    if (wire_error_encode(p->result, p->msg.text, slice_of(NULL, 0), reply) != ERR_OK)
        buf_clear(reply);
    const bool stranger = p->peer.kind == SERVE_STRANGER && p->result == ERR_DENIED;
    return stranger ? (unsigned)WIRE_STATUS_UNKNOWN_PEER : wire_status(p->result);
}

/* Once. What still comes of the body is thrown away by the port. */
static void answer(struct cell_put *p)
{
    p->answered = true;
    const unsigned status = write_reply(p);
    if (!p->exchange)
        return;
    enum err e = net_reply_start(p->exchange, status, p->prelude.size);
    if (e == ERR_OK && p->prelude.size)
        e = net_reply_write(p->exchange, buf_slice(&p->prelude));
    if (e != ERR_OK)
        net_exchange_abort(p->exchange);
}

/* --- jobs --- */

static void run_admit(struct work_job *job)
{
    struct cell_put *p = container_of(job, struct cell_put, job);
    struct wire_prelude prelude;
    enum err e = wire_prelude_decode(buf_slice(&p->prelude), &prelude);
    if (e != ERR_OK)
        err_say(&p->msg, e, "what stands in front of the shard cannot be read");
    if (e == ERR_OK)
        e = cell_admit(&p->view, &p->peer, &p->cell->id, &p->segment, p->index, &prelude,
                       &p->admission, &p->msg);
    if (e == ERR_OK) {
        struct store_admission a = {
            .segment = p->segment,
            .index = p->index,
            .header = prelude.header,
            .record = prelude.record,
            .grant_bytes = p->admission.grant_bytes,
            .grant_expires_s = p->admission.grant_expires_s,
            .now_s = p->view.now_s,
        };
        memcpy(a.grant, p->admission.grant, sizeof(a.grant));
        e = store_put_begin(p->cell->options.store, &a, &p->put, &p->msg);
    }
    if (e == ERR_EXISTS) {
        p->known = true;
        e = ERR_OK;
    }
    fail(p, e);
}

static void run_write(struct work_job *job)
{
    struct cell_put *p = container_of(job, struct cell_put, job);
    fail(p, store_put_write(p->put, p->writing, &p->msg));
}

static void run_seal(struct work_job *job)
{
    struct cell_put *p = container_of(job, struct cell_put, job);
    fail(p, store_put_seal(p->put, &p->msg));
}

static void run_abort(struct work_job *job)
{
    struct cell_put *p = container_of(job, struct cell_put, job);
    store_put_abort(p->cell->options.store, p->put);
    p->put = NULL;
}

/* --- the commit of all that wait --- */

struct commit {
    struct work_job job;
    struct cell *cell;
    size_t count;
    struct cell_put *puts[COMMIT_BATCH_MAX];
    enum err errors[COMMIT_BATCH_MAX];
    struct errmsg msg;
};

static void run_commit(struct work_job *job)
{
    struct commit *c = container_of(job, struct commit, job);
    struct store_put *puts[COMMIT_BATCH_MAX];
    for (size_t i = 0; i < c->count; i++) {
        puts[i] = c->puts[i]->put;
        c->puts[i]->put = NULL;
    }
    store_put_commit(c->cell->options.store, puts, c->count, c->errors, &c->msg);
}

static void commit_next(struct cell *cell);

static void commit_done(struct work_job *job)
{
    struct commit *c = container_of(job, struct commit, job);
    struct cell *cell = c->cell;
    cell->commit_busy = false;
    for (size_t i = 0; i < c->count; i++) {
        struct cell_put *p = c->puts[i];
        if (c->errors[i] != ERR_OK)
            p->msg = c->msg;
        fail(p, c->errors[i]);
        p->job_busy = false;
        if (p->result == ERR_OK) {
            cell->counters.put_count++;
            cell->counters.put_bytes += p->admission.shard_bytes;
        }
        p->step = FINISHED;
        advance(p);
    }
    free(c);
    commit_next(cell);
    cell_work_ended(cell);
}

static void commit_next(struct cell *cell)
{
    if (cell->commit_busy || list_empty(&cell->commit_queue))
        return;
    struct commit *c = calloc(1, sizeof(*c));
    if (!c) {
        struct cell_put *p = container_of(list_pop(&cell->commit_queue), struct cell_put, waiting);
        p->job_busy = false;
        fail(p, err_say(&p->msg, ERR_NOMEM, "out of memory for a commit"));
        advance(p);
        return;
    }
    c->cell = cell;
    c->job.run = run_commit;
    c->job.done = commit_done;
    while (c->count < COMMIT_BATCH_MAX && !list_empty(&cell->commit_queue))
        c->puts[c->count++] = container_of(list_pop(&cell->commit_queue), struct cell_put, waiting);
    cell->commit_busy = true;
    cell_work_began(cell);
    work_submit(cell->options.work, cell->options.lane, &c->job);
}

/* --- the machine --- */

/* The first block has been written. */
static void block_written(struct cell_put *p)
{
    if (p->exchange)
        net_exchange_credit(p->exchange, p->writing.size);
    cell_block_give(p->cell, p->blocks[0]);
    p->block_count--;
    memmove(p->blocks, p->blocks + 1, p->block_count * sizeof(p->blocks[0]));
}

/* Takes the next block to the disk when it is full, or no more comes. */
static void take(struct cell_put *p)
{
    if (p->step == WRITING) {
        block_written(p);
        p->step = TAKING;
    }
    const size_t first_bytes = p->block_count > 1 ? CELL_BLOCK_BYTES : p->last_bytes;
    if (p->block_count && (first_bytes == CELL_BLOCK_BYTES || p->body_ended)) {
        p->writing = slice_of(p->blocks[0], first_bytes);
        p->step = WRITING;
        submit(p, NULL, run_write);
    } else if (p->body_ended) {
        p->step = SEALING;
        submit(p, NULL, run_seal);
    }
}

/* The peer left, or something failed: undo, then answer if anybody still listens. */
static void give_up(struct cell_put *p)
{
    if (p->put) {
        submit(p, p->cell->options.lane, run_abort);
        return;
    }
    if (!p->answered)
        answer(p);
    if (!p->exchange)
        put_free(p);
}

/* Called whenever something has changed; does nothing while a job is under way. */
static void advance(struct cell_put *p)
{
    if (p->job_busy)
        return;
    if (!p->exchange && p->step < FINISHED)
        fail(p, err_say(&p->msg, ERR_CANCELLED, "the peer left"));
    if (p->result != ERR_OK) {
        give_up(p);
        return;
    }
    switch (p->step) {
    case PRELUDE:
        break;
    case ADMITTING:
        cell_heard_list(p->cell, p->admission.grant_list_number);
        p->step = p->known ? FINISHED : TAKING;
        advance(p);
        break;
    case TAKING:
    case WRITING:
        take(p);
        break;
    case SEALING:
        p->step = WAITING;
        p->job_busy = true; /* until the commit has run */
        if (PLANTED(EARLY_RECEIPT))
            answer(p);
        list_append(&p->cell->commit_queue, &p->waiting);
        commit_next(p->cell);
        break;
    case WAITING:
        break;
    case FINISHED:
        if (!p->answered)
            answer(p);
        if (!p->exchange)
            put_free(p);
        break;
    }
}

/* --- events --- */

/* The bytes in front of the payload; what is left of `bytes` is payload. */
static struct slice take_prelude(struct cell_put *p, struct slice bytes)
{
    while (bytes.size && p->head_size < sizeof(p->head)) {
        p->head[p->head_size++] = *bytes.data;
        bytes = slice_of(bytes.data + 1, bytes.size - 1);
        if (p->head_size == sizeof(p->head)) {
            const enum err e = wire_prelude_size(p->head, &p->prelude_bytes);
            if (e != ERR_OK)
                fail(p,
                     err_say(&p->msg, e, "the size of what stands in front of the shard is wrong"));
        }
    }
    if (p->prelude_bytes == 0 || p->result != ERR_OK)
        return bytes;
    const size_t want = p->prelude_bytes - p->prelude.size;
    const size_t size = bytes.size < want ? bytes.size : want;
    const enum err e = buf_append(&p->prelude, bytes.data, size);
    if (e != ERR_OK)
        fail(p, err_say(&p->msg, e, "out of memory for a shard"));
    else if (p->prelude.size == p->prelude_bytes) {
        p->step = ADMITTING;
        submit(p, p->cell->options.lane, run_admit);
    }
    return slice_of(bytes.data + size, bytes.size - size);
}

/* False: no memory, or a peer that sends more than its window. */
static bool keep(struct cell_put *p, struct slice bytes)
{
    while (bytes.size) {
        if (p->block_count == 0 || p->last_bytes == CELL_BLOCK_BYTES) {
            uint8_t *block = p->block_count < BLOCKS_MAX ? cell_block_take(p->cell) : NULL;
            if (!block)
                return false;
            p->blocks[p->block_count++] = block;
            p->last_bytes = 0;
        }
        const size_t room = CELL_BLOCK_BYTES - p->last_bytes;
        const size_t size = bytes.size < room ? bytes.size : room;
        memcpy(p->blocks[p->block_count - 1] + p->last_bytes, bytes.data, size);
        p->last_bytes += size;
        bytes = slice_of(bytes.data + size, bytes.size - size);
    }
    return true;
}

static void on_body(void *user, struct slice bytes)
{
    struct cell_put *p = user;
    const size_t all = bytes.size;
    if (p->answered) {
        net_exchange_credit(p->exchange, all);
        return;
    }
    if (p->step == PRELUDE) {
        bytes = take_prelude(p, bytes);
        net_exchange_credit(p->exchange, all - bytes.size);
    }
    if (!keep(p, bytes))
        net_exchange_abort(p->exchange); /* no memory; `result` may be a job's just now */
    else
        advance(p);
}

static void on_body_end(void *user)
{
    struct cell_put *p = user;
    p->body_ended = true;
    if (p->step == PRELUDE && !p->answered)
        fail(p, err_say(&p->msg, ERR_FORMAT, "the request ends before the shard begins"));
    advance(p);
}

static void on_writable(void *user)
{
    (void)user; /* the reply is one piece */
}

static void on_closed(void *user, enum err e)
{
    struct cell_put *p = user;
    (void)e;
    p->exchange = NULL;
    advance(p);
}

const struct serve_events cell_put_events = {
    .on_body = on_body,
    .on_body_end = on_body_end,
    .on_writable = on_writable,
    .on_closed = on_closed,
};

enum err cell_put_start(struct cell *cell, const struct serve_peer *peer, struct net_exchange *x,
                        const struct net_incoming *request, const struct id *segment,
                        unsigned index, void **out)
{
    struct cell_put *p = calloc(1, sizeof(*p));
    if (!p)
        return ERR_NOMEM;
    p->exchange = x;
    p->cell = cell;
    p->peer = *peer;
    p->view = cell_view_now(cell);
    p->segment = *segment;
    p->index = index;
    (void)request;
    p->prelude = BUF_INIT(WIRE_PRELUDE_BYTES);
    list_init(&p->waiting);
    cell->counters.puts_under_way++;
    cell_work_began(cell);
    *out = p;
    return ERR_OK;
}
