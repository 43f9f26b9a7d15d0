/*
 * Leases: an account that is not heard of for a year, and a twelfth of it more, is let go.
 *
 *     tick --lane--> leases that are a quarter old? --ask the coordinator--> renewed: begin anew
 *                                                                     over, by both clocks here,
 * and by the coordinator: they end
 *
 * Nothing ends while the coordinator is away or says that the account lives, and nothing ends by
 * the wall clock: the time of the newest signed list and the time for which this cell has run both
 * have to pass (cell_removal.c). What ends is held as if it had been deleted. In the last twelfth
 * the log says so once a day.
 */
#include "cell_internal.h"

#include "identity/renewal.h"
#include "wire/wire_error.h"
#include "wire/wire_ids.h"
#include "wire/wire_lease.h"
#include "wire/wire_removal.h"

#include <stdlib.h>

enum { TICK_MIN_MS = 200, DAY_MS = 86400 * 1000, PARTS = 12, HOLD_S = 30 * 86400 };

static uint64_t term_ms(const struct cell *cell)
{
    return cell->options.lease_ms ? cell->options.lease_ms : (uint64_t)CELL_LEASE_S * 1000;
}

static struct store_moment ago(const struct store_moment *now, uint64_t ms)
{
    return (struct store_moment){
        .run_ms = now->run_ms > ms ? now->run_ms - ms : 0,
        .signed_s = now->signed_s - (int64_t)(ms / 1000),
    };
}

static bool is_older(const struct store_lease *lease, const struct store_moment *now, uint64_t ms)
{
    return now->run_ms >= lease->began.run_ms + ms &&
           now->signed_s >= lease->began.signed_s + (int64_t)(ms / 1000);
}

static void set_timer(struct cell *cell)
{
    const struct store_moment now = cell_view_now(cell).moment;
    uint64_t calm_ms = cell_removal_calm_ms(cell, &now);
    if (calm_ms == CELL_CALM_MAX_MS)
        calm_ms = DAY_MS; /* a lease has a year */
    uint64_t pause_ms = term_ms(cell) / 100;
    pause_ms = pause_ms > calm_ms ? calm_ms : pause_ms;
    pause_ms = pause_ms < TICK_MIN_MS ? TICK_MIN_MS : pause_ms;
    if (!cell->stopping && timer_start(cell->options.clock, &cell->lease.timer, pause_ms) != ERR_OK)
        log_say(cell->options.log, LOG_WARN, "leases are not looked at: no memory for a timer");
}

static void begin_job(struct cell *cell, void (*run)(struct work_job *),
                      void (*done)(struct work_job *))
{
    cell->lease.job = (struct work_job){.run = run, .done = done};
    cell_work_began(cell);
    work_submit(cell->options.work, cell->options.lane, &cell->lease.job);
}

/* --- what came of the question --- */

static void announce(const struct cell *cell, const struct store_lease *lease,
                     const struct store_moment *now)
{
    char id[ID_TEXT_SIZE];
    const int64_t ends_s =
        lease->began.signed_s + (int64_t)(term_ms(cell) / 1000 * (PARTS + 1) / PARTS);
    log_say(cell->options.log, LOG_WARN,
            "account %.10s has not renewed its lease: its shards may go in %lld days",
            id_format(&lease->account, id), (long long)((ends_s - now->signed_s) / 86400));
}

static enum err apply_one(struct cell *cell, const struct store_lease *lease,
                          const struct wire_renewed *renewed, struct errmsg *msg)
{
    struct cell_lease *l = &cell->lease;
    struct store *store = cell->options.store;
    const struct store_moment *now = &l->view.moment;
    struct deed deed;
    bool again = false;
    enum err e = ERR_OK;
    if (renewed->doc.size &&
        renewal_open(renewed->doc, l->view.swarm, NULL, &deed, NULL) == ERR_OK &&
        id_equal(&deed.account, &lease->account)) {
        const int64_t since_s = now->signed_s - renewed->received_s;
        const struct store_moment began = {
            .run_ms = ago(now, since_s > 0 ? (uint64_t)since_s * 1000 : 0).run_ms,
            .signed_s = since_s > 0 ? renewed->received_s : now->signed_s,
        };
        e = store_lease_renew(store, &lease->account, &began, 0, &again, msg);
    }
    if (e != ERR_OK || again || lease->ended)
        return e;
    if (renewed->over && is_older(lease, now, term_ms(cell) / PARTS * (PARTS + 1))) {
        char id[ID_TEXT_SIZE];
        const struct store_moment hold = {.run_ms = now->run_ms + UINT64_C(1000) * HOLD_S,
                                          .signed_s = now->signed_s + HOLD_S};
        log_say(cell->options.log, LOG_WARN,
                "the lease of account %.10s is over: its shards are held for 30 days, then freed",
                id_format(&lease->account, id));
        return store_lease_end(store, &lease->account, &hold, msg);
    }
    if (l->announce && is_older(lease, now, term_ms(cell) / PARTS * (PARTS - 1)))
        announce(cell, lease, now);
    return ERR_OK;
}

static void run_apply(struct work_job *job)
{
    struct cell *cell = container_of(job, struct cell, lease.job);
    struct cell_lease *l = &cell->lease;
    struct wire_list list;
    struct wire_renewed renewed;
    struct errmsg msg;
    enum err e = wire_renewals_decode(buf_slice(&l->reply), &list);
    if (e != ERR_OK)
        err_say(&msg, e, "the coordinator's answer about renewals cannot be read");
    for (size_t i = 0; i < l->count && e == ERR_OK && wire_renewals_next(&list, &renewed); i++)
        e = apply_one(cell, &l->leases[i], &renewed, &msg);
    if (e != ERR_OK)
        log_say(cell->options.log, LOG_WARN, "leases: %s", msg.text);
}

static void apply_done(struct work_job *job)
{
    struct cell *cell = container_of(job, struct cell, lease.job);
    buf_clear(&cell->lease.reply);
    set_timer(cell);
    cell_removal_soon(cell);
    cell_work_ended(cell);
}

/* --- the question --- */

static void answered(void *user, enum err e, unsigned status, struct slice body,
                     const struct errmsg *msg)
{
    struct cell *cell = user;
    struct cell_lease *l = &cell->lease;
    l->message = NULL;
    if (e == ERR_OK && wire_status_failed(status))
        e = ERR_PEER;
    if (e == ERR_OK)
        e = buf_append(&l->reply, body.data, body.size);
    if (e == ERR_OK && !cell->stopping) {
        l->view = cell_view_now(cell);
        begin_job(cell, run_apply, apply_done);
    } else {
        log_say(cell->options.log, LOG_DEBUG, "renewals cannot be asked for: %s", msg->text);
        set_timer(cell);
    }
    cell_work_ended(cell);
}

static enum err ask(struct cell *cell)
{
    struct cell_lease *l = &cell->lease;
    struct id accounts[WIRE_RENEWALS_MAX];
    struct net_request request = {
        .method = NET_POST,
        .path = wire_path_plain(WIRE_RENEWALS),
        .net_class = NET_OTHER,
        .body = &l->body_slice,
        .body_count = 1,
    };
    struct errmsg msg;
    for (size_t i = 0; i < l->count; i++)
        accounts[i] = l->leases[i].account;
    buf_clear(&l->body);
    enum err e = wire_ids_encode(accounts, l->count, &l->body);
    if (e != ERR_OK)
        return e;
    l->body_slice = buf_slice(&l->body);
    cell_coordinator(cell, &l->coordinator_addresses, l->addresses, &request.target);
    e = net_message_start(cell->options.net, &request, WIRE_RENEWALS_BYTES, answered, cell,
                          &l->message, &msg);
    if (e != ERR_OK) {
        l->message = NULL;
        return e;
    }
    cell_work_began(cell);
    return ERR_OK;
}

/* --- the tick --- */

static void run_look(struct work_job *job)
{
    struct cell *cell = container_of(job, struct cell, lease.job);
    struct cell_lease *l = &cell->lease;
    struct store *store = cell->options.store;
    const struct store_moment now = l->view.moment, quarter = ago(&now, term_ms(cell) / 4);
    struct errmsg msg;
    l->count = 0;
    enum err e = cell_removal_save_clock(cell, &now, &msg);
    if (e == ERR_OK)
        e = store_lease_begin(store, &now, &msg);
    if (e == ERR_OK)
        e = store_lease_old(store, &quarter, l->leases, WIRE_RENEWALS_MAX, &l->count, &msg);
    if (e != ERR_OK)
        log_say(cell->options.log, LOG_WARN, "leases cannot be looked at: %s", msg.text);
    l->announce = now.signed_s - l->announced_s >= 86400;
    if (l->announce)
        l->announced_s = now.signed_s;
}

static void look_done(struct work_job *job)
{
    struct cell *cell = container_of(job, struct cell, lease.job);
    if (cell->stopping || cell->lease.count == 0 || ask(cell) != ERR_OK)
        set_timer(cell);
    cell_work_ended(cell);
}

static void fire(struct timer *timer)
{
    struct cell *cell = container_of(timer, struct cell, lease.timer);
    cell->lease.view = cell_view_now(cell);
    begin_job(cell, run_look, look_done);
}

/* --- a renewal that somebody carries here --- */

enum err cell_lease_renew(struct cell *cell, const struct cell_view *view, struct slice doc,
                          const struct manifest *m, uint32_t *count, struct errmsg *msg)
{
    struct deed deed;
    bool renewed = false;
    enum err e = renewal_open(doc, view->swarm, NULL, &deed, msg);
    if (e == ERR_OK)
        e = deed_allowed(&deed, m, 0, msg);
    if (e == ERR_OK)
        e = store_lease_begin(cell->options.store, &view->moment, msg);
    if (e == ERR_OK)
        e = store_lease_renew(cell->options.store, &deed.account, &view->moment, deed.sequence,
                              &renewed, msg);
    *count = renewed;
    return e;
}

void cell_lease_start(struct cell *cell)
{
    cell->lease.timer.fire = fire;
    cell->lease.body = BUF_INIT(WIRE_IDS_BYTES(WIRE_RENEWALS_MAX));
    cell->lease.reply = BUF_INIT(WIRE_RENEWALS_BYTES);
    set_timer(cell);
}

void cell_lease_stop(struct cell *cell)
{
    timer_stop(cell->options.clock, &cell->lease.timer);
    if (cell->lease.message)
        net_message_cancel(cell->lease.message);
}

void cell_lease_free(struct cell *cell)
{
    buf_free(&cell->lease.body);
    buf_free(&cell->lease.reply);
}
