/*
 * Leaving: a fact in the store, told with every heartbeat. The coordinator has the shards made
 * anew elsewhere, and says in its answers how many are left; what has moved is dropped here
 * (cell_removal.c), so the cell gets empty while it still serves what it has.
 */
#include "cell_internal.h"

enum { FACT_SIZE = 9 };

enum err cell_leaving_load(struct cell *cell, struct errmsg *msg)
{
    struct buf fact = BUF_INIT(FACT_SIZE);
    const enum err e =
        documents_fact_get(store_db(cell->options.store), CELL_FACT_LEAVING, &fact, msg);
    cell->leaving = e == ERR_OK && fact.size == FACT_SIZE && fact.data[0] == 1;
    if (cell->leaving)
        cell->leaving_since_s = (int64_t)get_le64(fact.data + 1);
    buf_free(&fact);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static void run_write(struct work_job *job)
{
    struct cell *cell = container_of(job, struct cell, leaving_job);
    uint8_t fact[FACT_SIZE] = {cell->leaving_written};
    struct errmsg msg;
    put_le64(fact + 1, (uint64_t)cell->leaving_since_s);
    if (documents_fact_put(store_db(cell->options.store), CELL_FACT_LEAVING,
                           slice_of(fact, sizeof(fact)), &msg) != ERR_OK)
        log_say(cell->options.log, LOG_ERROR, "that the cell leaves cannot be kept: %s", msg.text);
}

static void write_it(struct cell *cell);

static void write_done(struct work_job *job)
{
    struct cell *cell = container_of(job, struct cell, leaving_job);
    cell->leaving_busy = false;
    if (cell->leaving != cell->leaving_written) /* changed its mind meanwhile */
        write_it(cell);
    cell_work_ended(cell);
}

static void write_it(struct cell *cell)
{
    cell->leaving_busy = true;
    cell->leaving_written = cell->leaving;
    cell->leaving_job = (struct work_job){.run = run_write, .done = write_done};
    cell_work_began(cell);
    work_submit(cell->options.work, cell->options.lane, &cell->leaving_job);
}

void cell_set_leaving(struct cell *cell, bool leaving)
{
    if (cell->leaving == leaving)
        return;
    cell->leaving = leaving;
    cell->drained = cell->left_known = false;
    if (!cell->leaving_busy) { /* its job reads the time */
        cell->leaving_since_s = clock_wall_ns(cell->options.clock) / 1000000000;
        write_it(cell);
    }
    cell_beat_soon(cell);
}

void cell_leaving_heard(struct cell *cell, const struct wire_heartbeat_reply *reply)
{
    if (!cell->leaving)
        return;
    if (reply->drained && !cell->drained)
        log_say(cell->options.log, LOG_INFO,
                "every shard of this cell has a place elsewhere: it can go");
    cell->drained = reply->drained;
    cell->left_known = reply->left_known;
    cell->left_count = reply->left_count;
    cell->stuck_count = reply->stuck_count;
}

bool cell_drained(const struct cell *cell)
{
    return cell->leaving && cell->drained;
}
