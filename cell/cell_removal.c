/*
 * Deleting: orders that come by themselves (POST /v1/delete) or from the coordinator after an
 * absence, and the timer that frees what was held long enough.
 *
 *     order --rights by the newest manifest--> marked in the store, with the moment of its end
 *     timer --due, signer not revoked meanwhile--> freed
 *
 * Clocks at home are wrong, and whoever can set one must not be able to end a hold. So two clocks
 * count, both only forward: the time for which this cell has run (kept in the store, so a cell that
 * is off loses time rather than gains it), and the time of the newest signed member list with what
 * has passed since. Both have to pass.
 */
#include "cell_internal.h"

#include "base/planted.h"
#include "identity/delete_order.h"
#include "wire/wire_removal.h"

#include <stdlib.h>

#define FACT_CLOCK "removal_clock" /* le64 run_ms ‖ le64 signed_s */

enum { TICK_MIN_MS = 100, TICK_CALM_MS = 600000, DUE_BATCH = 128, CLOCK_SIZE = 16 };

static void fire(struct timer *timer);

/* --- the clocks --- */

enum err cell_removal_load(struct cell *cell, struct errmsg *msg)
{
    struct buf fact = BUF_INIT(CLOCK_SIZE);
    const enum err e = documents_fact_get(store_db(cell->options.store), FACT_CLOCK, &fact, msg);
    if (e == ERR_OK && fact.size == CLOCK_SIZE)
        cell->removal_base = (struct store_moment){
            .run_ms = get_le64(fact.data),
            .signed_s = (int64_t)get_le64(fact.data + 8),
        };
    cell->removal_timer.fire = fire;
    cell->removal_base_mono_ms = clock_mono_ms(cell->options.clock);
    buf_free(&fact);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

struct store_moment cell_removal_moment(const struct cell *cell, int64_t signed_s)
{
    const uint64_t passed_ms = clock_mono_ms(cell->options.clock) - cell->removal_base_mono_ms;
    struct store_moment moment = {
        .run_ms = cell->removal_base.run_ms + passed_ms,
        .signed_s = cell->removal_base.signed_s + (int64_t)(passed_ms / 1000),
    };
    if (signed_s > moment.signed_s)
        moment.signed_s = signed_s;
    return moment;
}

uint64_t cell_removal_calm_ms(const struct cell *cell, const struct store_moment *now)
{
    const uint64_t ran_ms = now->run_ms - cell->removal_base.run_ms;
    if (ran_ms > CELL_CALM_MAX_MS)
        return CELL_CALM_MAX_MS;
    return ran_ms < TICK_CALM_MS ? TICK_CALM_MS : ran_ms;
}

enum err cell_removal_save_clock(struct cell *cell, const struct store_moment *now,
                                 struct errmsg *msg)
{
    uint8_t fact[CLOCK_SIZE];
    put_le64(fact, now->run_ms);
    put_le64(fact + 8, (uint64_t)now->signed_s);
    return documents_fact_put(store_db(cell->options.store), FACT_CLOCK,
                              slice_of(fact, sizeof(fact)), msg);
}

/* --- one order: lane --- */

static enum err segments_of(const struct delete_order *order, struct id **out)
{
    *out = malloc((order->segments.count ? order->segments.count : 1) * sizeof(**out));
    if (!*out)
        return ERR_NOMEM;
    for (size_t i = 0; i < order->segments.count; i++)
        id_list_at(&order->segments, i, &(*out)[i]);
    return ERR_OK;
}

static enum err apply_delete(struct cell *cell, const struct delete_order *order,
                             const struct manifest *m, const struct store_moment *now,
                             const struct id *segments, uint32_t *count, struct errmsg *msg)
{
    const uint64_t hold_s = order->at_once || PLANTED(HOLD_NOT_WAITED) ? 0 : m->hold_s;
    const struct store_removal removal = {
        .account = order->deed.account,
        .signer = order->deed.signer,
        .by_root = order->deed.by_root,
        .sequence = order->deed.sequence,
        .ends = {.run_ms = now->run_ms + hold_s * 1000,
                 .signed_s = now->signed_s + (int64_t)hold_s},
    };
    /* the clock first: the ends are on it, whenever this life is over */
    const enum err e = cell_removal_save_clock(cell, now, msg);
    if (e != ERR_OK)
        return e;
    return store_removal_mark(cell->options.store, &removal, segments, order->segments.count, count,
                              msg);
}

static enum err open_order(const struct cell *cell, const struct wire_order *wire,
                           struct delete_order *out, struct errmsg *msg)
{
    return wire->kind == WIRE_ORDER_DELETE
               ? delete_order_open(wire->doc, &cell->swarm, NULL, out, msg)
               : delete_order_open_undo(wire->doc, &cell->swarm, out, msg);
}

static enum err apply_order(struct cell *cell, const struct cell_view *view,
                            const struct wire_order *wire, const struct manifest *m,
                            uint32_t *count, struct errmsg *msg)
{
    const struct store_moment *now = &view->moment;
    struct delete_order order;
    struct id *segments = NULL;
    *count = 0;
    if (wire->kind == WIRE_ORDER_DROP || wire->kind == WIRE_ORDER_MOVED)
        return cell_drop(cell, view, wire, m, count, msg);
    if (wire->kind == WIRE_ORDER_RENEW)
        return cell_lease_renew(cell, view, wire->doc, m, count, msg);
    enum err e = open_order(cell, wire, &order, msg);
    if (e == ERR_OK)
        e = delete_order_allowed(&order, m, msg);
    if (e == ERR_OK && (e = segments_of(&order, &segments)) != ERR_OK)
        err_say(msg, e, "out of memory for a delete order");
    if (e == ERR_OK && wire->kind == WIRE_ORDER_DELETE)
        e = apply_delete(cell, &order, m, now, segments, count, msg);
    else if (e == ERR_OK)
        e = store_removal_undo(cell->options.store, &order.deed.account,
                               order.segments.count ? segments : NULL, order.segments.count, count,
                               msg);
    free(segments);
    return e;
}

/* --- POST /v1/delete --- */

static void set_timer(struct cell *cell, uint64_t delay_ms)
{
    if (cell->removal_busy)
        cell->removal_again = true;
    else if (!cell->stopping &&
             timer_start(cell->options.clock, &cell->removal_timer, delay_ms) != ERR_OK)
        log_say(cell->options.log, LOG_WARN, "nothing is freed: no memory for a timer");
}

static void apply_effect(void *owner, struct serve_effect *effect)
{
    free(effect);
    set_timer(owner, TICK_MIN_MS);
}

enum err cell_delete(void *owner, struct serve_request *request, struct slice body,
                     struct buf *reply, struct errmsg *msg)
{
    struct cell *cell = owner;
    const struct serve_peer *peer = &request->peer;
    struct wire_list orders;
    struct wire_order order;
    struct manifest *m = NULL;
    uint32_t counts[WIRE_ORDERS_MAX];
    size_t count = 0;
    enum err e = wire_delete_decode(body, &orders);
    if (e != ERR_OK)
        return err_say(msg, e, "the delete orders cannot be read");
    if (peer->kind != SERVE_DEVICE && peer->kind != SERVE_ROOT)
        return serve_deny(peer, msg, "bring delete orders: it is no device");
    struct serve_effect *effect = calloc(1, sizeof(*effect));
    if (!effect)
        return err_say(msg, ERR_NOMEM, "out of memory for delete orders");
    e = serve_manifest_load(cell->serve, &peer->account, NULL, &m, msg);
    if (e == ERR_OK && !m)
        e = err_say(msg, ERR_NOT_FOUND, "no manifest of this account is known here");
    while (e == ERR_OK && wire_delete_next(&orders, &order))
        e = apply_order(cell, cell_view_of(request), &order, m, &counts[count++], msg);
    manifest_free(m);
    if (e == ERR_OK)
        e = wire_delete_reply_encode(counts, count, reply);
    if (e != ERR_OK) {
        free(effect);
        return e;
    }
    effect->apply = apply_effect;
    request->effect = effect;
    return ERR_OK;
}

/* --- what the coordinator kept for us --- */

struct cell_orders {
    struct work_job job;
    struct cell *cell;
    struct buf body;
    struct cell_view view; /* as it was when the orders came */
    uint64_t done[WIRE_ORDERS_MAX];
    size_t done_count;
};

enum err cell_orders_ask(struct cell *cell, struct buf *out)
{
    const struct cell_orders *orders = cell->orders;
    return wire_orders_encode(orders ? orders->done : NULL, orders ? orders->done_count : 0, out);
}

void cell_orders_free(struct cell *cell)
{
    if (cell->orders)
        buf_free(&cell->orders->body);
    free(cell->orders);
    cell->orders = NULL;
}

/* What an order says is done, or can never be: then it need not come again. */
static bool is_final(enum err e)
{
    return e == ERR_OK || e == ERR_DENIED || err_class(e) == ERR_CLASS_CORRUPT;
}

static void run_orders(struct work_job *job)
{
    struct cell_orders *orders = container_of(job, struct cell_orders, job);
    struct cell *cell = orders->cell;
    struct wire_orders_reply reply;
    struct wire_order order;
    struct manifest *m = NULL;
    struct errmsg msg;
    struct buf newer = BUF_INIT(LIMIT_MANIFEST_BYTES);
    uint32_t count;
    enum err e = wire_orders_reply_decode(buf_slice(&orders->body), &reply);
    if (e == ERR_OK)
        e = manifest_open(reply.manifest, &cell->swarm, &m, &msg);
    if (e == ERR_OK) {
        e = serve_manifest_keep(cell->serve, m, reply.manifest, &newer, &msg);
        if (e == ERR_STALE) { /* ours is newer */
            const struct id account = m->account;
            manifest_free(m);
            e = serve_manifest_load(cell->serve, &account, NULL, &m, &msg);
        }
    }
    while (e == ERR_OK && m && wire_orders_reply_next(&reply.order_list, &order)) {
        const enum err one = apply_order(cell, &orders->view, &order, m, &count, &msg);
        if (one != ERR_OK)
            log_say(cell->options.log, LOG_WARN, "a delete order from the coordinator: %s",
                    msg.text);
        if (is_final(one))
            orders->done[orders->done_count++] = order.number;
    }
    if (e != ERR_OK)
        log_say(cell->options.log, LOG_WARN, "the coordinator's delete orders: %s", msg.text);
    manifest_free(m);
    buf_free(&newer);
}

static void orders_done(struct work_job *job)
{
    struct cell_orders *orders = container_of(job, struct cell_orders, job);
    struct cell *cell = orders->cell;
    set_timer(cell, TICK_MIN_MS);
    cell_orders_taken(cell);
    cell_work_ended(cell);
}

enum err cell_orders_take(struct cell *cell, struct slice body, struct errmsg *msg)
{
    struct wire_orders_reply reply;
    enum err e = wire_orders_reply_decode(body, &reply);
    if (e != ERR_OK)
        return err_say(msg, e, "the coordinator's delete orders cannot be read");
    /* asked again and nothing of the last ones could be done: not again before the next heartbeat
     */
    const bool stuck = cell->orders && cell->orders->done_count == 0;
    cell_orders_free(cell);
    if (reply.order_list.count == 0 || stuck)
        return ERR_END;
    struct cell_orders *orders = calloc(1, sizeof(*orders));
    if (!orders)
        return err_say(msg, ERR_NOMEM, "out of memory for delete orders");
    *orders = (struct cell_orders){
        .job = {.run = run_orders, .done = orders_done},
        .cell = cell,
        .body = BUF_INIT(WIRE_ORDERS_REPLY_BYTES),
        .view = cell_view_now(cell),
    };
    cell->orders = orders;
    e = buf_append(&orders->body, body.data, body.size);
    if (e != ERR_OK) {
        cell_orders_free(cell);
        return err_say(msg, e, "out of memory for delete orders");
    }
    cell_work_began(cell);
    work_submit(cell->options.work, cell->options.lane, &orders->job);
    return ERR_OK;
}

/* --- the end of a hold --- */

/* Does the order still count? Its signer may have been revoked since: then nothing is lost. */
static bool still_counts(struct cell *cell, const struct store_removal *removal)
{
    struct manifest *m;
    struct errmsg msg;
    if (removal->by_root)
        return true;
    if (serve_manifest_load(cell->serve, &removal->account, NULL, &m, &msg) != ERR_OK || !m)
        return false;
    const struct manifest_device *device = manifest_device_find(m, &removal->signer);
    const bool counts = device && !device->revoked;
    manifest_free(m);
    return counts;
}

static enum err free_due(struct cell *cell, const struct store_removal *due, size_t count,
                         struct errmsg *msg)
{
    struct id segments[DUE_BATCH];
    size_t free_count = 0;
    enum err e = ERR_OK;
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        uint32_t undone;
        if (still_counts(cell, &due[i]))
            segments[free_count++] = due[i].segment;
        else
            e = store_removal_undo(cell->options.store, &due[i].account, &due[i].segment, 1,
                                   &undone, msg);
    }
    return e == ERR_OK && free_count
               ? store_removal_free(cell->options.store, segments, free_count, msg)
               : e;
}

static void run_removal(struct work_job *job)
{
    struct cell *cell = container_of(job, struct cell, removal_job);
    struct store *store = cell->options.store;
    struct store_removal due[DUE_BATCH];
    struct store_removal_state state;
    struct errmsg msg;
    size_t count = 0, dropped = 0;
    const struct store_moment now = cell->removal_now;
    const uint64_t calm_ms = cell_removal_calm_ms(cell, &now);
    cell->removal_pause_ms = calm_ms;
    enum err e = store_removal_state(store, &state, &msg);
    if (e == ERR_OK && state.waiting_count + state.moved_count == 0) {
        cell->removal_pause_ms = 0;
        return;
    }
    if (e == ERR_OK)
        e = cell_removal_save_clock(cell, &now, &msg);
    const bool is_due = state.next_run_ms <= now.run_ms;
    if (e == ERR_OK && is_due)
        e = store_removal_due(store, &now, due, DUE_BATCH, &count, &msg);
    if (e == ERR_OK && is_due)
        e = free_due(cell, due, count, &msg);
    if (e == ERR_OK && is_due)
        e = store_drop_due(store, &now, &dropped, &msg);
    if (e != ERR_OK) {
        log_say(cell->options.log, LOG_ERROR, "what was deleted cannot be freed: %s", msg.text);
        return;
    }
    const uint64_t left =
        state.next_run_ms > now.run_ms ? state.next_run_ms - now.run_ms : TICK_MIN_MS;
    count += dropped;
    if (count >= DUE_BATCH || dropped || left < TICK_MIN_MS)
        cell->removal_pause_ms = TICK_MIN_MS;
    else if (left < calm_ms)
        cell->removal_pause_ms = left;
    if (count == 0 && left == TICK_MIN_MS)
        cell->removal_pause_ms = 1000; /* only the signed time is not there yet: it has seconds */
}

static void removal_done(struct work_job *job)
{
    struct cell *cell = container_of(job, struct cell, removal_job);
    cell->removal_busy = false;
    if (cell->removal_again)
        cell->removal_pause_ms = TICK_MIN_MS;
    cell->removal_again = false;
    if (cell->removal_pause_ms)
        set_timer(cell, cell->removal_pause_ms);
    cell_work_ended(cell);
}

static void fire(struct timer *timer)
{
    struct cell *cell = container_of(timer, struct cell, removal_timer);
    cell->removal_now = cell_view_now(cell).moment;
    cell->removal_job.run = run_removal;
    cell->removal_job.done = removal_done;
    cell->removal_busy = true;
    cell_work_began(cell);
    work_submit(cell->options.work, cell->options.lane, &cell->removal_job);
}

void cell_removal_soon(struct cell *cell)
{
    set_timer(cell, TICK_MIN_MS);
}

void cell_removal_start(struct cell *cell)
{
    set_timer(cell, TICK_MIN_MS);
}

void cell_removal_stop(struct cell *cell)
{
    timer_stop(cell->options.clock, &cell->removal_timer);
}
