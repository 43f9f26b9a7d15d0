/*
 * Leaving: a fact in the store, told with every heartbeat.
 */
#include "cell_internal.h"

enum err cell_leaving_load(struct cell *cell, struct errmsg *msg)
{
    struct buf fact = BUF_INIT(1);
    const enum err e =
        documents_fact_get(store_db(cell->options.store), CELL_FACT_LEAVING, &fact, msg);
    cell->leaving = e == ERR_OK && fact.size == 1 && fact.data[0] == 1;
    buf_free(&fact);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static void run_write(struct work_job *job)
{
    struct cell *cell = container_of(job, struct cell, leaving_job);
    const uint8_t byte = cell->leaving_written;
    struct errmsg msg;
    if (documents_fact_put(store_db(cell->options.store), CELL_FACT_LEAVING, slice_of(&byte, 1),
                           &msg) != ERR_OK)
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
    cell->leaving = leaving;
    cell->drained = false;
    if (!cell->leaving_busy)
        write_it(cell);
}

bool cell_drained(const struct cell *cell)
{
    return cell->leaving && cell->drained;
}
