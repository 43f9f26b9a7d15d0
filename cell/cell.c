#include "cell_internal.h"

#include "identity/claim.h"
#include "wire/wire_repair.h"

#include <stdlib.h>

void cell_work_began(struct cell *cell)
{
    cell->under_way++;
}

static void check_stopped(struct cell *cell)
{
    if (cell->stopping && cell->under_way == 0 && serve_under_way(cell->serve) == 0 &&
        cell->on_stopped) {
        cell_stopped_fn *stopped = cell->on_stopped;
        cell->on_stopped = NULL;
        stopped(cell->stopped_user);
    }
}

void cell_work_ended(struct cell *cell)
{
    cell->under_way--;
    check_stopped(cell);
}

static void serve_idle(void *owner)
{
    check_stopped(owner);
}

/* Clocks at home are wrong: time is what the newest signed list says, and what has passed since. */
struct cell_view cell_view_now(const struct cell *cell)
{
    struct cell_view view = cell->view;
    view.now_s = clock_wall_ns(cell->options.clock) / 1000000000;
    if (cell->members) {
        const uint64_t passed = clock_mono_ms(cell->options.clock) - cell->list_received_mono_ms;
        view.now_s = cell->members->time_s + (int64_t)(passed / 1000);
    }
    view.moment = cell_removal_moment(cell, view.now_s);
    view.scrub_period_ms = cell->options.scrub_period_ms;
    view.leaving = cell->leaving;
    return view;
}

static enum err load_claim(struct cell *cell, struct errmsg *msg)
{
    struct buf fact = BUF_INIT(CLAIM_BYTES_MAX);
    struct claim claim;
    enum err e = documents_fact_get(store_db(cell->options.store), CELL_FACT_CLAIM, &fact, msg);
    if (e == ERR_OK)
        e = claim_open(buf_slice(&fact), &cell->swarm, &claim, msg);
    if (e == ERR_OK && claim.whole && !claim.released)
        cell->view.account = claim.account;
    buf_free(&fact);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err cell_new(const struct cell_options *options, struct cell **out, struct errmsg *msg)
{
    *out = NULL;
    struct cell *cell = calloc(1, sizeof(*cell));
    if (!cell)
        return err_say(msg, ERR_NOMEM, "out of memory for a cell");
    cell->options = *options;
    swarm_root_of(options->swarm_root, &cell->swarm);
    cell->view.swarm = &cell->swarm;
    cell->view.coordinator = options->coordinator;
    cell->id = *sign_key_id(options->key);
    cell->statement = BUF_INIT(8192);
    cell->message_body = BUF_INIT(WIRE_JOIN_BYTES);
    cell->work.body = BUF_INIT(WIRE_REPORT_BYTES);
    cell->damage.body = BUF_INIT(WIRE_DAMAGE_BYTES);
    cell->damage.news = true;
    if (!cell->options.repair_bytes_s)
        cell->options.repair_bytes_s = CELL_REPAIR_BYTES_S;
    list_init(&cell->commit_queue);
    list_init(&cell->tickets.list);
    enum err e = cell_membership_load(cell, msg);
    if (e == ERR_OK)
        e = load_claim(cell, msg);
    if (e == ERR_OK)
        e = cell_leaving_load(cell, msg);
    if (e == ERR_OK)
        e = cell_removal_load(cell, msg);
    if (e == ERR_OK)
        e = cell_audit_load(cell, msg);
    if (e == ERR_OK)
        e = cell_make_statement(cell, msg);
    if (e == ERR_OK)
        e = cell_serve(cell, msg);
    if (e != ERR_OK) {
        cell_free(cell);
        return e;
    }
    serve_on_idle(cell->serve, serve_idle);
    *out = cell;
    return ERR_OK;
}

void cell_free(struct cell *cell)
{
    if (!cell)
        return;
    cell_work_free(cell);
    buf_free(&cell->damage.body);
    cell_audit_free(cell);
    cell_tickets_clear(cell);
    cell_blocks_trim(cell);
    serve_close(cell->serve);
    member_list_free(cell->members);
    buf_free(&cell->statement);
    buf_free(&cell->message_body);
    cell_orders_free(cell);
    cell_lease_free(cell);
    free(cell);
}

enum err cell_start(struct cell *cell, cell_joined_fn *joined, void *user, struct errmsg *msg)
{
    cell->on_joined = joined;
    cell->joined_user = user;
    const enum err e = cell_membership_start(cell, msg);
    if (e == ERR_OK) {
        cell_scrub_start(cell);
        cell_removal_start(cell);
        cell_lease_start(cell);
        cell_audit_start(cell);
    }
    return e;
}

/* The time for which it ran counts also where it never runs for long. */
static void stop_run(struct work_job *job)
{
    struct cell *cell = container_of(job, struct cell, stop_job);
    struct errmsg msg;
    if (cell_removal_save_clock(cell, &cell->stop_moment, &msg) != ERR_OK)
        log_say(cell->options.log, LOG_DEBUG, "the cell's clock is not written down: %s", msg.text);
}

static void stop_done(struct work_job *job)
{
    struct cell *cell = container_of(job, struct cell, stop_job);
    cell_work_ended(cell);
}

void cell_stop(struct cell *cell, cell_stopped_fn *stopped, void *user)
{
    cell->stopping = true;
    serve_stop(cell->serve);
    cell->on_stopped = stopped;
    cell->stopped_user = user;
    cell_membership_stop(cell);
    cell_scrub_stop(cell);
    cell_audit_stop(cell);
    cell_work_stop(cell);
    cell_damage_stop(cell);
    cell_removal_stop(cell);
    cell_lease_stop(cell);
    /* so that `stopped` comes from the loop also when nothing is under way */
    cell->stop_moment = cell_view_now(cell).moment;
    cell->stop_job.run = stop_run;
    cell->stop_job.done = stop_done;
    cell_work_began(cell);
    work_submit(cell->options.work, cell->options.lane, &cell->stop_job);
}

void cell_set_give(struct cell *cell, uint64_t give_bytes)
{
    struct errmsg msg;
    cell->options.give_bytes = give_bytes;
    if (cell_make_statement(cell, &msg) != ERR_OK)
        log_say(cell->options.log, LOG_WARN, "the new gift cannot be told: %s", msg.text);
}

void cell_counters(const struct cell *cell, struct cell_counters *out)
{
    *out = cell->counters;
    out->refused_count += serve_refused_count(cell->serve);
}
