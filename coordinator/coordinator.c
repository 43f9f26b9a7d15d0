/*
 * What a coordinator answers: its table of routes and their handlers, which run on the registry's
 * lane, and the timer that writes heartbeats down.
 */
#include "coordinator_internal.h"

#include "base/bytes.h"
#include "identity/claim.h"
#include "identity/delete_order.h"
#include "identity/drop_order.h"
#include "identity/renewal.h"
#include "serve/serve.h"
#include "wire/wire_audit.h"
#include "wire/wire_cell.h"
#include "wire/wire_device.h"
#include "wire/wire_heads.h"
#include "wire/wire_hello.h"
#include "wire/wire_ids.h"
#include "wire/wire_lease.h"
#include "wire/wire_removal.h"
#include "wire/wire_repair.h"

#include <stdlib.h>

enum { BUSY_MS = 100 };

/* --- handlers --- */

static enum err get_info(void *owner, struct serve_request *request, struct slice body,
                         struct buf *reply, struct errmsg *msg)
{
    const struct coordinator *c = owner;
    (void)request;
    (void)body;
    (void)msg;
    struct wire_info info = {
        .role = WIRE_ROLE_COORDINATOR,
        .id = *sign_key_id(c->options.key),
        .version = slice_text(CELLAR_VERSION),
        .coordinator = c->options.certificate,
        .list_number = registry_list_number(c->options.registry),
    };
    memcpy(info.swarm_root, c->options.swarm->key, sizeof(info.swarm_root));
    return wire_info_encode(&info, reply);
}

static enum err get_members(void *owner, struct serve_request *request, struct slice body,
                            struct buf *reply, struct errmsg *msg)
{
    struct coordinator *c = owner;
    struct slice list;
    uint64_t number;
    (void)body;
    const enum err e =
        registry_members(c->options.registry, coordinator_now(request), &list, &number, msg);
    return e == ERR_OK ? buf_append(reply, list.data, list.size) : e;
}

static enum err post_changes(void *owner, struct serve_request *request, struct slice body,
                             struct buf *reply, struct errmsg *msg)
{
    struct coordinator *c = owner;
    struct slice answer;
    uint64_t since;
    enum err e = wire_since_decode(body, &since);
    if (e != ERR_OK)
        return err_say(msg, e, "the question about the member list cannot be read");
    e = registry_changes(c->options.registry, since, coordinator_now(request), &answer, msg);
    return e == ERR_OK ? buf_append(reply, answer.data, answer.size) : e;
}

static enum err get_cells(void *owner, struct serve_request *request, struct slice body,
                          struct buf *reply, struct errmsg *msg)
{
    struct coordinator *c = owner;
    (void)body;
    return registry_cells(c->options.registry, NULL, coordinator_now(request), reply, msg);
}

static enum err post_cells(void *owner, struct serve_request *request, struct slice body,
                           struct buf *reply, struct errmsg *msg)
{
    struct coordinator *c = owner;
    struct wire_list asked;
    const enum err e = wire_ids_decode(body, WIRE_CELLS_ASKED, &asked);
    if (e != ERR_OK)
        return err_say(msg, e, "the question about cells cannot be read");
    return registry_cells(c->options.registry, &asked, coordinator_now(request), reply, msg);
}

/* The account's first manifest is kept before the invite counts as used: a second try finds both.
 */
static enum err join_account(struct coordinator *c, struct serve_request *request,
                             const struct wire_join *join, struct errmsg *msg)
{
    enum err e = manifest_open(join->document, c->options.swarm, &request->manifest, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "the account's manifest");
    e = registry_join_account(c->options.registry, &request->peer.id, join->invite,
                              request->manifest, coordinator_now(request), msg);
    if (e == ERR_OK)
        e = serve_manifest_keep(c->serve, request->manifest, join->document, request->newer, msg);
    return e;
}

static enum err post_join(void *owner, struct serve_request *request, struct slice body,
                          struct buf *reply, struct errmsg *msg)
{
    struct coordinator *c = owner;
    struct wire_join join;
    struct slice list;
    uint64_t number;
    enum err e = wire_join_decode(body, &join);
    if (e != ERR_OK)
        return err_say(msg, e, "the request to join cannot be read");
    if (join.kind == WIRE_JOIN_CELL)
        e = registry_join_cell(c->options.registry, &request->peer.id, join.invite, join.document,
                               coordinator_now(request), msg);
    else
        e = join_account(c, request, &join, msg);
    if (e == ERR_OK)
        e = registry_members(c->options.registry, coordinator_now(request), &list, &number, msg);
    if (e != ERR_OK)
        return e;
    const struct wire_join_reply answer = {
        .coordinator = c->options.certificate,
        .members = list,
        .redundancy = slice_text(c->options.redundancy),
    };
    return wire_join_reply_encode(&answer, reply);
}

static enum err post_heartbeat(void *owner, struct serve_request *request, struct slice body,
                               struct buf *reply, struct errmsg *msg)
{
    struct coordinator *c = owner;
    struct wire_heartbeat beat;
    enum err e = wire_heartbeat_decode(body, &beat);
    if (e != ERR_OK)
        return err_say(msg, e, "the heartbeat cannot be read");
    if (request->peer.kind != SERVE_CELL)
        return serve_deny(&request->peer, msg, "send heartbeats: it is no cell");
    e = registry_heartbeat(c->options.registry, &request->peer.id, &beat, coordinator_now(request),
                           msg);
    if (e != ERR_OK)
        return e;
    bool orders;
    e = registry_orders_waiting(c->options.registry, &request->peer.id, &orders, msg);
    if (e != ERR_OK)
        return e;
    struct wire_heartbeat_reply answer = {
        .list_number = registry_list_number(c->options.registry),
        .time_s = coordinator_now(request),
        .interval_ms = (uint32_t)c->options.heartbeat_ms,
    };
    registry_answer(c->options.registry, &request->peer.id, answer.time_s, &answer);
    if (orders)
        answer.work |= WIRE_WORK_ORDERS;
    return wire_heartbeat_reply_encode(&answer, reply);
}

static enum err get_account(void *owner, struct serve_request *request, struct slice body,
                            struct buf *reply, struct errmsg *msg)
{
    struct coordinator *c = owner;
    struct registry_standing s;
    (void)body;
    if (request->peer.kind != SERVE_DEVICE && request->peer.kind != SERVE_ROOT)
        return serve_deny(&request->peer, msg, "ask how its account stands: it is no device");
    const enum err e = registry_standing(c->options.registry, &request->peer.account,
                                         coordinator_now(request), &s, msg);
    const struct wire_account answer = {
        .used_bytes = s.used_bytes,
        .given_bytes = s.given_bytes,
        .allowed_bytes = s.allowed_bytes,
        .promised_bytes = s.promised_bytes,
    };
    return e == ERR_OK ? wire_account_encode(&answer, reply) : e;
}

static enum err post_place(void *owner, struct serve_request *request, struct slice body,
                           struct buf *reply, struct errmsg *msg)
{
    struct coordinator *c = owner;
    struct wire_list wants;
    uint64_t list_number;
    const struct serve_peer *peer = &request->peer;
    const enum err e = wire_place_decode(body, &list_number, &wants);
    if (e != ERR_OK)
        return err_say(msg, e, "the wish for grants cannot be read");
    if (peer->kind != SERVE_DEVICE || !(peer->capabilities & MANIFEST_PUT))
        return serve_deny(peer, msg, "get grants: it is no device with the right to put");
    return registry_place(c->options.registry, &peer->account, &peer->id, &wants,
                          coordinator_now(request), reply, msg);
}

static enum err post_segments(void *owner, struct serve_request *request, struct slice body,
                              struct buf *reply, struct errmsg *msg)
{
    struct coordinator *c = owner;
    struct wire_list segments;
    uint32_t taken;
    const struct serve_peer *peer = &request->peer;
    enum err e = wire_register_decode(body, &segments);
    if (e != ERR_OK)
        return err_say(msg, e, "the segments to be registered cannot be read");
    if (peer->kind != SERVE_DEVICE || !(peer->capabilities & MANIFEST_PUT))
        return serve_deny(peer, msg, "register segments: it is no device with the right to put");
    e = registry_register(c->options.registry, &peer->account, &peer->id, &segments, &taken, msg);
    return e == ERR_OK ? wire_register_reply_encode(taken, reply) : e;
}

static enum err post_find(void *owner, struct serve_request *request, struct slice body,
                          struct buf *reply, struct errmsg *msg)
{
    struct coordinator *c = owner;
    struct wire_list ids;
    const enum err e = wire_ids_decode(body, WIRE_FIND_IDS, &ids);
    if (e != ERR_OK)
        return err_say(msg, e, "the list of segments cannot be read");
    if (request->peer.kind != SERVE_DEVICE && request->peer.kind != SERVE_ROOT)
        return serve_deny(&request->peer, msg, "ask the directory: it is no device");
    return registry_find(c->options.registry, &request->peer.account, &ids, reply, msg);
}

static enum err post_claims(void *owner, struct serve_request *request, struct slice body,
                            struct buf *reply, struct errmsg *msg)
{
    struct coordinator *c = owner;
    struct claim claim;
    (void)reply;
    enum err e = claim_open(body, c->options.swarm, &claim, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "the claim");
    if (!claim.whole)
        return err_say(msg, ERR_DENIED, "the claim is not signed by the cell");
    const struct serve_peer *peer = &request->peer;
    if (!serve_is_of(peer, &claim.account) || !(peer->capabilities & MANIFEST_ADMIN) ||
        !id_equal(&claim.signer, &peer->id))
        return serve_deny(peer, msg,
                          "bring this claim: it is not the account's admin who signed it");
    return registry_claim(c->options.registry, &claim.cell, &claim.account, claim.released, body,
                          msg);
}

static enum err take_drop(struct coordinator *c, const struct manifest *m,
                          const struct wire_order *wire, int64_t now_s, uint32_t *count,
                          struct errmsg *msg)
{
    struct drop_order order;
    enum err e = drop_order_open(wire->doc, c->options.swarm, NULL, &order, msg);
    if (e == ERR_OK)
        e = drop_order_allowed(&order, m, msg);
    return e == ERR_OK
               ? registry_drop_take(c->options.registry, wire->doc, &order, now_s, count, msg)
               : e;
}

static enum err take_renewal(struct coordinator *c, const struct manifest *m,
                             const struct wire_order *wire, int64_t now_s, uint32_t *count,
                             struct errmsg *msg)
{
    struct deed deed;
    enum err e = renewal_open(wire->doc, c->options.swarm, NULL, &deed, msg);
    if (e == ERR_OK)
        e = deed_allowed(&deed, m, 0, msg);
    return e == ERR_OK ? registry_renew(c->options.registry, &deed, wire->doc, now_s, count, msg)
                       : e;
}

/* Orders count by their own signatures; the peer only carries them. */
static enum err take_order(struct coordinator *c, const struct manifest *m,
                           const struct wire_order *wire, int64_t now_s, uint32_t *count,
                           struct errmsg *msg)
{
    struct delete_order order;
    if (wire->kind == WIRE_ORDER_DROP)
        return take_drop(c, m, wire, now_s, count, msg);
    if (wire->kind == WIRE_ORDER_RENEW)
        return take_renewal(c, m, wire, now_s, count, msg);
    if (wire->kind == WIRE_ORDER_MOVED)
        return err_say(msg, ERR_DENIED, "that a shard has moved is known here by repairs' reports");
    enum err e = wire->kind == WIRE_ORDER_DELETE
                     ? delete_order_open(wire->doc, c->options.swarm, NULL, &order, msg)
                     : delete_order_open_undo(wire->doc, c->options.swarm, &order, msg);
    if (e == ERR_OK)
        e = delete_order_allowed(&order, m, msg);
    if (e == ERR_OK)
        e = registry_order_take(c->options.registry, wire, &order, m->hold_s, now_s, count, msg);
    return e;
}

static enum err post_delete(void *owner, struct serve_request *request, struct slice body,
                            struct buf *reply, struct errmsg *msg)
{
    struct coordinator *c = owner;
    struct wire_list orders;
    struct wire_order order;
    struct manifest *m = NULL;
    uint32_t counts[WIRE_ORDERS_MAX];
    size_t count = 0;
    enum err e = wire_delete_decode(body, &orders);
    if (e != ERR_OK)
        return err_say(msg, e, "the delete orders cannot be read");
    if (request->peer.kind != SERVE_DEVICE && request->peer.kind != SERVE_ROOT)
        return serve_deny(&request->peer, msg, "bring delete orders: it is no device");
    e = serve_manifest_load(c->serve, &request->peer.account, NULL, &m, msg);
    if (e == ERR_OK && !m)
        e = err_say(msg, ERR_NOT_FOUND, "no manifest of this account is known here");
    while (e == ERR_OK && wire_delete_next(&orders, &order))
        e = take_order(c, m, &order, coordinator_now(request), &counts[count++], msg);
    manifest_free(m);
    return e == ERR_OK ? wire_delete_reply_encode(counts, count, reply) : e;
}

static enum err post_orders(void *owner, struct serve_request *request, struct slice body,
                            struct buf *reply, struct errmsg *msg)
{
    struct coordinator *c = owner;
    struct wire_list done;
    const enum err e = wire_orders_decode(body, &done);
    if (e != ERR_OK)
        return err_say(msg, e, "the question for delete orders cannot be read");
    if (request->peer.kind != SERVE_CELL)
        return serve_deny(&request->peer, msg, "ask for delete orders: it is no cell");
    return registry_orders(c->options.registry, &request->peer.id, &done, reply, msg);
}

static enum err post_renewals(void *owner, struct serve_request *request, struct slice body,
                              struct buf *reply, struct errmsg *msg)
{
    struct coordinator *c = owner;
    struct wire_list accounts;
    const enum err e = wire_ids_decode(body, WIRE_RENEWALS_MAX, &accounts);
    if (e != ERR_OK)
        return err_say(msg, e, "the question for renewals cannot be read");
    if (request->peer.kind != SERVE_CELL)
        return serve_deny(&request->peer, msg, "ask for renewals: it is no cell");
    return registry_renewals(c->options.registry, &accounts, coordinator_now(request), reply, msg);
}

static const struct serve_route routes[] = {
    {WIRE_INFO, NET_GET, true, 0, WIRE_INFO_BYTES, get_info},
    {WIRE_MEMBERS, NET_GET, true, 0, LIMIT_MEMBER_LIST_BYTES, get_members},
    {WIRE_CHANGES, NET_POST, true, WIRE_SINCE_BYTES, LIMIT_MEMBER_LIST_BYTES, post_changes},
    {WIRE_HEADS, NET_GET, false, 0, WIRE_HEADS_BYTES, serve_heads_get},
    {WIRE_HEADS, NET_PUT, false, WIRE_HEADS_BYTES, LIMIT_MANIFEST_BYTES + 4096, serve_heads_put},
    {WIRE_DEVICES, NET_GET, false, 0, WIRE_DEVICE_REQUESTS_BYTES, serve_devices_get},
    {WIRE_DEVICES, NET_POST, true, WIRE_DEVICE_ASK_BYTES, WIRE_DEVICE_REPLY_BYTES,
     serve_devices_post},
    {WIRE_JOIN, NET_POST, true, WIRE_JOIN_BYTES, WIRE_JOIN_REPLY_BYTES, post_join},
    {WIRE_HEARTBEAT, NET_POST, false, WIRE_HEARTBEAT_BYTES, 4096, post_heartbeat},
    {WIRE_CELLS, NET_GET, false, 0, WIRE_CELLS_BYTES, get_cells},
    {WIRE_CELLS, NET_POST, false, WIRE_IDS_BYTES(WIRE_CELLS_ASKED), WIRE_CELLS_BYTES, post_cells},
    {WIRE_ACCOUNT, NET_GET, false, 0, WIRE_ACCOUNT_BYTES, get_account},
    {WIRE_PLACE, NET_POST, false, WIRE_PLACE_BYTES, WIRE_GRANTS_BYTES, post_place},
    {WIRE_SEGMENTS, NET_POST, false, WIRE_REGISTER_BYTES, 4096, post_segments},
    {WIRE_FIND, NET_POST, false, WIRE_FIND_BYTES, WIRE_FOUND_BYTES, post_find},
    {WIRE_CLAIMS, NET_POST, false, WIRE_CLAIM_BYTES, 4096, post_claims},
    {WIRE_REPAIRS, NET_POST, false, WIRE_WORK_BYTES, WIRE_WORK_REPLY_BYTES, coordinator_repairs},
    {WIRE_REPORT, NET_POST, false, WIRE_REPORT_BYTES, 4096, coordinator_report},
    {WIRE_DAMAGE, NET_POST, false, WIRE_DAMAGE_BYTES, 4096, coordinator_damage},
    {WIRE_VERDICTS, NET_POST, false, WIRE_VERDICTS_BYTES, WIRE_VERDICTS_REPLY_BYTES,
     coordinator_verdicts},
    {WIRE_AWAY, NET_POST, false, WIRE_AWAY_BYTES, 4096, coordinator_away},
    {WIRE_DELETE, NET_POST, false, WIRE_DELETE_BYTES, WIRE_DELETE_REPLY_BYTES, post_delete},
    {WIRE_RENEWALS, NET_POST, false, WIRE_IDS_BYTES(WIRE_RENEWALS_MAX), WIRE_RENEWALS_BYTES,
     post_renewals},
    {WIRE_ORDERS, NET_POST, false, WIRE_ORDERS_BYTES, WIRE_ORDERS_REPLY_BYTES, post_orders},
};

static void prepare(void *owner, struct serve_request *request)
{
    const struct coordinator *c = owner;
    struct coordinator_view *view = (struct coordinator_view *)request->context;
    view->now_s = clock_wall_ns(c->options.clock) / 1000000000;
}

/* Whoever never redeemed an invite leaves nothing here. */
static enum err check_account(void *owner, const struct id *account, struct errmsg *msg)
{
    struct coordinator *c = owner;
    bool known;
    const enum err e = registry_account_known(c->options.registry, account, &known, msg);
    if (e == ERR_OK && !known)
        return err_say(msg, ERR_DENIED,
                       "this account is not one of this swarm's: it needs an invite");
    return e;
}

static void describe(void *owner, const struct serve_request *request, uint64_t *list_number,
                     int64_t *time_s)
{
    const struct coordinator *c = owner;
    *list_number = registry_list_number(c->options.registry);
    *time_s = coordinator_now(request);
}

/* --- heartbeats are written down now and then --- */

void coordinator_check_stopped(struct coordinator *c)
{
    if (!c->stopping || c->stop_posted || c->flush_busy || c->counting ||
        !list_empty(&c->gathers) || serve_under_way(c->serve) || !c->on_stopped)
        return;
    coordinator_stopped_fn *stopped = c->on_stopped;
    c->on_stopped = NULL;
    stopped(c->stopped_user);
}

static void idle(void *owner)
{
    coordinator_check_stopped(owner);
}

static void run_flush(struct work_job *job)
{
    struct coordinator *c = container_of(job, struct coordinator, flush_job);
    struct errmsg msg;
    if (c->tick_timers_new) {
        registry_set_timers(c->options.registry, &c->tick_timers);
        c->options.heartbeat_ms = c->timers_heartbeat_ms; /* which handlers read, on this lane */
    }
    if (registry_flush_news(c->options.registry, &msg) != ERR_OK)
        log_say(c->options.log, LOG_ERROR, "heartbeats cannot be written: %s", msg.text);
    c->tick_busy = false;
    if (registry_tick(c->options.registry, c->tick_now_s, &c->tick_busy, &msg) != ERR_OK)
        log_say(c->options.log, LOG_ERROR, "the repair queue cannot go on: %s", msg.text);
}

static void set_timer(struct coordinator *c)
{
    /* with heartbeats by the second, states change by the second */
    const uint64_t calm_ms =
        c->options.heartbeat_ms && c->options.heartbeat_ms < c->options.flush_ms
            ? c->options.heartbeat_ms
            : c->options.flush_ms;
    const uint64_t pause_ms = c->tick_busy && calm_ms > BUSY_MS ? BUSY_MS : calm_ms;
    if (timer_start(c->options.clock, &c->flush_timer, pause_ms) != ERR_OK)
        log_say(c->options.log, LOG_ERROR, "heartbeats are not written: no memory for a timer");
}

static void flush_done(struct work_job *job)
{
    struct coordinator *c = container_of(job, struct coordinator, flush_job);
    c->flush_busy = false;
    if (!c->stopping) {
        set_timer(c);
        coordinator_gather_pump(c);
    }
    coordinator_check_stopped(c);
}

static void fire(struct timer *timer)
{
    struct coordinator *c = container_of(timer, struct coordinator, flush_timer);
    c->flush_busy = true;
    c->tick_now_s = clock_wall_ns(c->options.clock) / 1000000000;
    c->tick_timers = c->timers;
    c->tick_timers_new = c->timers_new;
    c->timers_new = false;
    work_submit(c->options.work, c->options.lane, &c->flush_job);
}

void coordinator_set_timers(struct coordinator *c, const struct registry_options *timers,
                            uint64_t heartbeat_ms)
{
    c->timers = *timers;
    c->timers_heartbeat_ms = heartbeat_ms;
    c->timers_new = true; /* with the next tick */
}

/* --- counts, for whoever asks on this machine --- */

struct counting {
    struct work_job job;
    struct coordinator *coordinator;
    struct registry_counts counts;
    int64_t now_s;
    enum err e;
    struct errmsg msg;
    coordinator_counted_fn *counted;
    void *user;
};

static void run_count(struct work_job *job)
{
    struct counting *counting = container_of(job, struct counting, job);
    counting->e = registry_counts(counting->coordinator->options.registry, counting->now_s,
                                  &counting->counts, &counting->msg);
}

static void count_done(struct work_job *job)
{
    struct counting *counting = container_of(job, struct counting, job);
    struct coordinator *c = counting->coordinator;
    counting->counts.refused_count = serve_refused_count(c->serve);
    counting->counted(counting->user, counting->e, &counting->counts, &counting->msg);
    free(counting);
    c->counting--;
    coordinator_check_stopped(c);
}

enum err coordinator_count(struct coordinator *c, coordinator_counted_fn *counted, void *user,
                           struct errmsg *msg)
{
    if (c->stopping)
        return err_say(msg, ERR_STATE, "the coordinator is stopping");
    struct counting *counting = calloc(1, sizeof(*counting));
    if (!counting)
        return err_say(msg, ERR_NOMEM, "out of memory for counting");
    *counting = (struct counting){
        .job = {.run = run_count, .done = count_done},
        .coordinator = c,
        .now_s = clock_wall_ns(c->options.clock) / 1000000000,
        .counted = counted,
        .user = user,
    };
    c->counting++;
    work_submit(c->options.work, c->options.lane, &counting->job);
    return ERR_OK;
}

/* --- life --- */

/* What cells that we call are shown first. */
static enum err introduce(struct coordinator *c, struct errmsg *msg)
{
    struct buf hello = BUF_INIT(WIRE_HELLO_BYTES);
    const struct wire_hello message = {.kind = WIRE_PEER_COORDINATOR,
                                       .document = c->options.certificate};
    enum err e = wire_hello_encode(&message, &hello);
    if (e == ERR_OK)
        e = net_introduce(c->options.net, wire_path_plain(WIRE_HELLO), buf_slice(&hello));
    buf_free(&hello);
    return e == ERR_OK ? e : err_say(msg, e, "the coordinator cannot be introduced");
}

enum err coordinator_new(const struct coordinator_options *options, struct coordinator **out,
                         struct errmsg *msg)
{
    *out = NULL;
    struct coordinator *c = calloc(1, sizeof(*c));
    if (!c)
        return err_say(msg, ERR_NOMEM, "out of memory for a coordinator");
    c->options = *options;
    if (!c->options.flush_ms)
        c->options.flush_ms = COORDINATOR_FLUSH_MS;
    list_init(&c->gathers);
    c->flush_job = (struct work_job){.run = run_flush, .done = flush_done};
    c->flush_timer.fire = fire;
    const struct serve_options serve = {
        .net = options->net,
        .work = options->work,
        .lane = options->lane,
        .db = registry_db(options->registry),
        .log = options->log,
        .swarm = options->swarm,
        .owner = c,
        .routes = routes,
        .route_count = ARRAY_COUNT(routes),
        .prepare = prepare,
        .check_account = check_account,
        .describe = describe,
        .redundancy = options->redundancy,
    };
    enum err e = introduce(c, msg);
    if (e == ERR_OK)
        e = serve_open(&serve, &c->serve, msg);
    if (e != ERR_OK) {
        free(c);
        return e;
    }
    serve_on_idle(c->serve, idle);
    set_timer(c);
    coordinator_gather_pump(c);
    *out = c;
    return ERR_OK;
}

static void stop_done(struct work_job *job)
{
    struct coordinator *c = container_of(job, struct coordinator, stop_job);
    c->stop_posted = false;
    coordinator_check_stopped(c);
}

void coordinator_stop(struct coordinator *c, coordinator_stopped_fn *stopped, void *user)
{
    c->stopping = true;
    c->on_stopped = stopped;
    c->stopped_user = user;
    serve_stop(c->serve);
    coordinator_gather_stop(c);
    timer_stop(c->options.clock, &c->flush_timer);
    c->stop_job.done = stop_done;
    c->stop_posted = true;
    work_post(c->options.work, &c->stop_job);
}

void coordinator_free(struct coordinator *c)
{
    if (!c)
        return;
    coordinator_gather_free(c);
    serve_close(c->serve);
    free(c);
}
