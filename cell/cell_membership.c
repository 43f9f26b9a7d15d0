/*
 * Belonging to a swarm: joining, heartbeats, newer member lists. One message at a time.
 *
 *     OUTSIDE --join--> RESTING --timer--> COUNTING --lane--> BEATING --reply--> RESTING
 *                          ^                                     | the list is newer
 *                          +---- FETCHING_CHANGES <--------------+
 *                                  | they do not fit: FETCHING, the whole list
 *
 * Between BEATING and RESTING, when delete orders wait: ASKING_ORDERS, TAKING_ORDERS (on the lane),
 * and again until there are none.
 *
 * When the coordinator stays away: GOSSIPING, another member is asked for its list, which may name
 * a new coordinator or the old one's new address.
 *
 * Happy path: a join with the invite brings the member list, from then on a heartbeat every so
 * often. What can fail: the coordinator is away (tried again after a pause that doubles up to five
 * minutes; serving goes on all the while), the invite is refused (said once, never tried again), a
 * list that does not verify or is older than ours (kept out, logged).
 */
#include "cell_internal.h"

#include "base/planted.h"
#include "identity/member_changes.h"
#include "identity/member_statement.h"
#include "wire/wire_coordinator.h"
#include "wire/wire_error.h"
#include "wire/wire_hello.h"
#include "wire/wire_removal.h"
#include "wire/wire_repair.h"

#include <stdio.h>
#include <stdlib.h>

enum { RETRY_MIN_MS = 500, RETRY_MAX_MS = 900000, HEARTBEAT_DEFAULT_MS = 60000 };

static void rest(struct cell *cell, uint64_t delay_ms);

/* In a young swarm the list changes by the second: a cell that has just started asks more often, 1,
   2, 4 ... seconds apart, until it has come to the interval. */
static uint64_t next_beat_ms(struct cell *cell)
{
    const uint64_t early_ms = UINT64_C(1000) << cell->early_beats;
    if (early_ms >= cell->interval_ms)
        return cell->interval_ms;
    cell->early_beats++;
    return early_ms;
}

/* --- the member list --- */

struct keep {
    struct work_job job;
    struct cell *cell;
    struct buf members, coordinator;
};

static void run_keep(struct work_job *job)
{
    struct keep *keep = container_of(job, struct keep, job);
    struct store *store = keep->cell->options.store;
    struct errmsg msg;
    enum err e =
        documents_fact_put(store_db(store), CELL_FACT_MEMBERS, buf_slice(&keep->members), &msg);
    if (e == ERR_OK)
        e = documents_fact_put(store_db(store), CELL_FACT_COORDINATOR,
                               buf_slice(&keep->coordinator), &msg);
    if (e != ERR_OK)
        log_say(keep->cell->options.log, LOG_ERROR, "the member list cannot be kept: %s", msg.text);
}

static void keep_done(struct work_job *job)
{
    struct keep *keep = container_of(job, struct keep, job);
    struct cell *cell = keep->cell;
    buf_free(&keep->members);
    buf_free(&keep->coordinator);
    free(keep);
    cell_work_ended(cell);
}

static enum err keep_members(struct cell *cell, const struct member_list *list)
{
    struct keep *keep = calloc(1, sizeof(*keep));
    if (!keep)
        return ERR_NOMEM;
    *keep = (struct keep){
        .job = {.run = run_keep, .done = keep_done},
        .cell = cell,
        .members = BUF_INIT(LIMIT_MEMBER_LIST_BYTES),
        .coordinator = BUF_INIT(COORDINATOR_CERT_BYTES_MAX),
    };
    enum err e = buf_append(&keep->members, list->bytes.data, list->bytes.size);
    if (e == ERR_OK)
        e = buf_append(&keep->coordinator, list->coordinator_doc.data, list->coordinator_doc.size);
    cell_work_began(cell);
    if (e == ERR_OK)
        work_submit(cell->options.work, cell->options.lane, &keep->job);
    else
        keep_done(&keep->job);
    return e;
}

static void use_members(struct cell *cell, struct member_list *list)
{
    /* a coordinator that is new knows nothing of us but what the list said */
    if (cell->members && cell->members->incarnation != list->incarnation)
        cell->statement_changed = true;
    member_list_free(cell->members);
    cell->members = list;
    cell->list_received_mono_ms = clock_mono_ms(cell->options.clock);
    cell->view.coordinator = list->coordinator.id;
    cell->view.incarnation = list->incarnation;
    cell->view.list_number = list->number;
}

enum err cell_take_members(struct cell *cell, struct slice doc, struct errmsg *msg)
{
    struct member_list *list;
    if (cell->members && slice_equal(doc, cell->members->bytes) && !PLANTED(STALE_LIST))
        return ERR_OK; /* what gossip mostly brings */
    enum err e = member_changes_apply(doc, cell->members, &cell->swarm, &list, msg);
    if (e != ERR_OK)
        return e;
    const int order =
        cell->members && !PLANTED(STALE_LIST) ? member_list_compare(list, cell->members) : 1;
    if (order == 0 && !id_equal(&list->hash, &cell->members->hash))
        log_say(cell->options.log, LOG_ERROR,
                "two different member lists with number %llu: the coordinator has signed both",
                (unsigned long long)list->number);
    if (order <= 0) {
        member_list_free(list);
        return order < 0 ? err_say(msg, ERR_STALE, "the member list is older than ours") : ERR_OK;
    }
    e = keep_members(cell, list);
    use_members(cell, list);
    return e;
}

/* --- messages --- */

static void message_done(void *user, enum err e, unsigned status, struct slice body,
                         const struct errmsg *msg);

void cell_coordinator(const struct cell *cell, struct address_list *list,
                      const char *pointers[LIMIT_ADDRESSES], struct net_target *out)
{
    list->count = 0;
    if (cell->members) { /* as many as there are: with each heartbeat the rest would be copied too
                          */
        const struct address_list *known = &cell->members->coordinator.addresses;
        list->count = known->count;
        memcpy(list->text, known->text, known->count * sizeof(known->text[0]));
    }
    for (size_t i = 0; i < cell->options.coordinator_address_count; i++)
        err_ignore(address_list_add(list, cell->options.coordinator_addresses[i])); /* or full */
    *out = (struct net_target){
        .id = id_is_zero(&cell->view.coordinator) ? cell->options.coordinator
                                                  : cell->view.coordinator,
        .addresses = pointers,
        .address_count = address_list_pointers(list, pointers),
    };
}

/* Sends what is in cell->message_body; the state says what it is. */
static void send_to(struct cell *cell, const struct net_target *target, enum net_method method,
                    enum wire_route route, size_t reply_max)
{
    cell->message_slice = buf_slice(&cell->message_body);
    const struct net_request request = {
        .target = *target,
        .method = method,
        .path = wire_path_plain(route),
        .net_class = NET_OTHER,
        .body = &cell->message_slice,
        .body_count = cell->message_slice.size ? 1 : 0,
    };
    struct errmsg msg;
    const enum err e = net_message_start(cell->options.net, &request, reply_max, message_done, cell,
                                         &cell->message, &msg);
    if (e != ERR_OK) {
        cell->message = NULL;
        log_say(cell->options.log, LOG_WARN, "the coordinator cannot be asked: %s", msg.text);
        rest(cell, RETRY_MAX_MS);
        return;
    }
    cell_work_began(cell);
}

static void send(struct cell *cell, enum net_method method, enum wire_route route, size_t reply_max)
{
    struct net_target target;
    cell_coordinator(cell, &cell->message_list, cell->message_addresses, &target);
    send_to(cell, &target, method, route, reply_max);
}

static void tell_joined(struct cell *cell, enum err e, const struct errmsg *msg)
{
    cell_joined_fn *joined = cell->on_joined;
    cell->on_joined = NULL;
    if (joined)
        joined(cell->joined_user, e, msg);
}

static void join(struct cell *cell)
{
    const struct wire_join message = {
        .kind = WIRE_JOIN_CELL,
        .invite = cell->options.invite,
        .document = buf_slice(&cell->statement),
    };
    buf_clear(&cell->message_body);
    cell->membership = CELL_JOINING;
    if (wire_join_encode(&message, &cell->message_body) != ERR_OK) {
        rest(cell, RETRY_MAX_MS);
        return;
    }
    send(cell, NET_POST, WIRE_JOIN, WIRE_JOIN_REPLY_BYTES);
}

static enum err take_join_reply(struct cell *cell, struct slice body, struct errmsg *msg)
{
    struct wire_join_reply reply;
    enum err e = wire_join_reply_decode(body, &reply);
    if (e != ERR_OK)
        return err_say(msg, e, "the coordinator's answer to the join cannot be read");
    e = cell_take_members(cell, reply.members, msg);
    if (e == ERR_OK && !member_list_find(cell->members, &cell->id))
        e = err_say(msg, ERR_PEER, "the coordinator's member list does not name this cell");
    return e;
}

static void beat(struct cell *cell)
{
    const struct wire_heartbeat message = {
        .statement = cell->statement_changed ? buf_slice(&cell->statement) : slice_of(NULL, 0),
        .free_bytes = cell->usage.free_bytes,
        .used_bytes = cell->usage.used_bytes,
        .shard_count = cell->usage.shard_count,
        .list_number = cell->view.list_number,
        .damaged_count = cell->usage.damaged_count,
        .leaving = cell->leaving,
    };
    buf_clear(&cell->message_body);
    cell->membership = CELL_BEATING;
    if (wire_heartbeat_encode(&message, &cell->message_body) != ERR_OK) {
        rest(cell, RETRY_MAX_MS);
        return;
    }
    send(cell, NET_POST, WIRE_HEARTBEAT, LIMIT_MESSAGE_BYTES);
}

static void ask_orders(struct cell *cell)
{
    buf_clear(&cell->message_body);
    cell->membership = CELL_ASKING_ORDERS;
    if (cell_orders_ask(cell, &cell->message_body) != ERR_OK)
        rest(cell, next_beat_ms(cell));
    else
        send(cell, NET_POST, WIRE_ORDERS, WIRE_ORDERS_REPLY_BYTES);
}

void cell_orders_taken(struct cell *cell)
{
    if (!cell->stopping)
        ask_orders(cell);
}

static enum err take_orders(struct cell *cell, struct slice body, struct errmsg *msg)
{
    const enum err e = cell_orders_take(cell, body, msg);
    cell->membership = CELL_TAKING_ORDERS;
    if (e == ERR_END)
        rest(cell, next_beat_ms(cell));
    return e == ERR_END ? ERR_OK : e;
}

/* Whoever has lost something is told, once for each loss. */
static void hear_trust(struct cell *cell, const struct wire_heartbeat_reply *reply)
{
    if (reply->fault_count > cell->view.fault_count)
        log_say(cell->options.log, LOG_ERROR,
                "%llu shards of this cell are missing or wrong: its trust is %u of "
                "1000%s. Look at its disk",
                (unsigned long long)(reply->fault_count - cell->view.fault_count), reply->trust,
                reply->trust < CELL_TRUST_NEW ? ", and it gets no new shards before it has proven "
                                                "others that it holds"
                                              : "");
    cell->view.trust = reply->trust;
    cell->view.fault_count = reply->fault_count;
}

static void fetch_whole(struct cell *cell)
{
    buf_clear(&cell->message_body);
    cell->membership = CELL_FETCHING;
    send(cell, NET_GET, WIRE_MEMBERS, LIMIT_MEMBER_LIST_BYTES);
}

static void fetch_changes(struct cell *cell)
{
    buf_clear(&cell->message_body);
    cell->membership = CELL_FETCHING_CHANGES;
    if (!cell->members || wire_since_encode(cell->members->number, &cell->message_body) != ERR_OK)
        fetch_whole(cell);
    else
        send(cell, NET_POST, WIRE_CHANGES, LIMIT_MEMBER_LIST_BYTES);
}

static enum err take_heartbeat_reply(struct cell *cell, struct slice body, struct errmsg *msg)
{
    struct wire_heartbeat_reply reply;
    const enum err e = wire_heartbeat_reply_decode(body, &reply);
    if (e != ERR_OK)
        return err_say(msg, e, "the coordinator's answer to a heartbeat cannot be read");
    cell->statement_changed = false;
    if (!cell->options.heartbeat_ms && reply.interval_ms) {
        cell->interval_ms = reply.interval_ms;
        cell->interval_told = true;
    }
    hear_trust(cell, &reply);
    cell_leaving_heard(cell, &reply);
    if (reply.work)
        cell_work_offered(cell, reply.work);
    cell_damage_tell(cell);
    cell_audit_tell(cell);
    if (reply.list_number > cell->view.list_number || !cell->members) {
        fetch_changes(cell);
    } else if (reply.work & WIRE_WORK_ORDERS) {
        ask_orders(cell);
    } else {
        rest(cell, next_beat_ms(cell));
    }
    return ERR_OK;
}

/* Any member, drawn at random: has it heard of a newer coordinator? */
static bool gossip(struct cell *cell)
{
    const struct member_list *list = cell->members;
    if (!list || list->count < 2)
        return false;
    const struct member *member = &list->members[random_below(cell->options.random, list->count)];
    if (id_equal(&member->id, &cell->id) ||
        address_list_decode(member->addresses, &cell->message_list) != ERR_OK)
        return false;
    const struct net_target target = {
        .id = member->id,
        .addresses = cell->message_addresses,
        .address_count = address_list_pointers(&cell->message_list, cell->message_addresses),
    };
    buf_clear(&cell->message_body);
    cell->membership = CELL_GOSSIPING;
    send_to(cell, &target, NET_GET, WIRE_MEMBERS, LIMIT_MEMBER_LIST_BYTES);
    return true;
}

/* Twice as long each time; who knows how often a heartbeat is expected tries as often. */
static uint64_t retry_ms(const struct cell *cell)
{
    const bool known = cell->options.heartbeat_ms || cell->interval_told;
    return known && cell->interval_ms < cell->retry_ms ? cell->interval_ms : cell->retry_ms;
}

/* What the other member said; its silence means nothing. */
static void gossiped(struct cell *cell, enum err e, struct slice body)
{
    struct errmsg msg;
    const uint32_t incarnation = cell->view.incarnation;
    const uint64_t number = cell->view.list_number;
    if (e == ERR_OK)
        err_ignore(cell_take_members(cell, body, &msg));
    const bool news = cell->view.incarnation != incarnation || cell->view.list_number != number;
    if (news)
        cell->retry_ms = RETRY_MIN_MS;
    rest(cell, news ? 0 : retry_ms(cell));
}

/* Said once when the coordinator goes away, not at every try. */
static void complain(struct cell *cell, enum err e, const struct errmsg *msg)
{
    if (!cell->coordinator_away || err_class(e) != ERR_CLASS_RETRYABLE)
        log_say(cell->options.log, LOG_WARN, "the coordinator %s: %s",
                err_class(e) == ERR_CLASS_RETRYABLE ? "cannot be reached" : "refused this cell",
                msg->text);
    const bool again = cell->coordinator_away;
    cell->coordinator_away = true;
    cell->retry_ms = cell->retry_ms ? cell->retry_ms * 2 : RETRY_MIN_MS;
    if (cell->retry_ms > RETRY_MAX_MS)
        cell->retry_ms = RETRY_MAX_MS;
    if (cell->membership == CELL_JOINING && (e == ERR_DENIED || e == ERR_AUTH || e == ERR_PEER))
        tell_joined(cell, e, msg);
    if (!again || cell->membership == CELL_JOINING || !gossip(cell))
        rest(cell, retry_ms(cell));
}

static void message_done(void *user, enum err e, unsigned status, struct slice body,
                         const struct errmsg *net_msg)
{
    struct cell *cell = user;
    struct errmsg msg = *net_msg;
    const enum cell_membership was = cell->membership;
    cell->message = NULL;
    if (cell->stopping) {
        cell_work_ended(cell);
        return;
    }
    if (e == ERR_OK && wire_status_failed(status))
        e = wire_error_take(status, body, NULL, &msg);
    if (was == CELL_GOSSIPING) {
        gossiped(cell, e, body);
        cell_work_ended(cell);
        return;
    }
    if (e == ERR_OK && was == CELL_JOINING)
        e = take_join_reply(cell, body, &msg);
    else if (e == ERR_OK && (was == CELL_FETCHING || was == CELL_FETCHING_CHANGES))
        e = cell_take_members(cell, body, &msg);
    else if (e == ERR_OK && was == CELL_ASKING_ORDERS)
        e = take_orders(cell, body, &msg);
    else if (e == ERR_OK)
        e = take_heartbeat_reply(cell, body, &msg);
    if (was == CELL_FETCHING_CHANGES && e != ERR_OK && err_class(e) != ERR_CLASS_RETRYABLE) {
        log_say(cell->options.log, LOG_INFO, "the whole member list is fetched: %s", msg.text);
        fetch_whole(cell);
    } else if (e != ERR_OK) {
        complain(cell, e, &msg);
    } else {
        cell->coordinator_away = false;
        cell->retry_ms = 0;
        if (was == CELL_JOINING)
            tell_joined(cell, ERR_OK, &msg);
        if (was == CELL_JOINING || was == CELL_FETCHING || was == CELL_FETCHING_CHANGES)
            rest(cell, was == CELL_JOINING ? 0 : next_beat_ms(cell));
    }
    cell_work_ended(cell);
}

/* --- the timer --- */

static void run_usage(struct work_job *job)
{
    struct cell *cell = container_of(job, struct cell, usage_job);
    struct errmsg msg;
    cell->usage_result = store_present(cell->options.store, &msg);
    if (cell->usage_result == ERR_OK &&
        store_usage(cell->options.store, &cell->usage, &msg) != ERR_OK)
        log_say(cell->options.log, LOG_WARN, "the cell cannot say what it holds: %s", msg.text);
    else if (cell->usage_result != ERR_OK && !cell->disk_away)
        log_say(cell->options.log, LOG_ERROR, "this cell says nothing more for now: %s", msg.text);
    cell->disk_away = cell->usage_result != ERR_OK;
}

static void usage_done(struct work_job *job)
{
    struct cell *cell = container_of(job, struct cell, usage_job);
    /* without its disk a cell is asleep: silent, and nothing is lost */
    if (!cell->stopping && cell->usage_result == ERR_OK)
        beat(cell);
    else if (!cell->stopping)
        rest(cell, cell->interval_ms);
    cell_work_ended(cell);
}

static void fire(struct timer *timer)
{
    struct cell *cell = container_of(timer, struct cell, heartbeat_timer);
    cell_blocks_trim(cell);
    if (!cell->members) {
        join(cell);
        return;
    }
    if (cell->on_joined) {
        struct errmsg none = {{0}};
        tell_joined(cell, ERR_OK, &none);
    }
    cell->membership = CELL_COUNTING;
    cell->usage_job.run = run_usage;
    cell->usage_job.done = usage_done;
    cell_work_began(cell);
    work_submit(cell->options.work, cell->options.lane, &cell->usage_job);
}

static void rest(struct cell *cell, uint64_t delay_ms)
{
    cell->membership = cell->members ? CELL_RESTING : CELL_OUTSIDE;
    if (timer_start(cell->options.clock, &cell->heartbeat_timer, delay_ms) != ERR_OK)
        log_say(cell->options.log, LOG_ERROR, "no heartbeat any more: no memory for a timer");
}

void cell_beat_soon(struct cell *cell)
{
    if (cell->membership == CELL_RESTING && !cell->stopping)
        rest(cell, 0);
}

void cell_heard_list(struct cell *cell, uint64_t number)
{
    if (number <= cell->view.list_number || number <= cell->heard_list_number ||
        cell->membership != CELL_RESTING || cell->stopping)
        return;
    cell->heard_list_number = number; /* once for each: the coordinator may be away */
    rest(cell, 0);
}

/* --- our own statement --- */

enum err cell_make_statement(struct cell *cell, struct errmsg *msg)
{
    struct member_statement s = {
        .give_bytes = cell->options.give_bytes,
        .sequence = ++cell->statement_sequence,
        .time_s = clock_wall_ns(cell->options.clock) / 1000000000,
    };
    enum err e = ERR_OK;
    for (size_t i = 0; i < cell->options.address_count && e == ERR_OK; i++)
        e = address_list_add(&s.addresses, cell->options.addresses[i]);
    if (e != ERR_OK)
        return err_say(msg, e, "an address of this cell is not HOST:PORT, or there are too many");
    snprintf(s.site, sizeof(s.site), "%s", cell->options.site ? cell->options.site : "");
    buf_clear(&cell->statement);
    e = member_statement_make(&s, &cell->swarm, cell->options.key, &cell->statement);
    if (e == ERR_OK) {
        struct buf hello = BUF_INIT(WIRE_HELLO_BYTES);
        const struct wire_hello message = {.kind = WIRE_PEER_CELL,
                                           .document = buf_slice(&cell->statement)};
        e = wire_hello_encode(&message, &hello);
        if (e == ERR_OK)
            e = net_introduce(cell->options.net, wire_path_plain(WIRE_HELLO), buf_slice(&hello));
        buf_free(&hello);
    }
    cell->statement_changed = true;
    return e == ERR_OK ? e : err_say(msg, e, "the cell's own statement cannot be made");
}

/* What the last life left: before the loop runs, so the store may be asked here. */
enum err cell_membership_load(struct cell *cell, struct errmsg *msg)
{
    struct buf fact = BUF_INIT(LIMIT_MEMBER_LIST_BYTES);
    struct member_list *list = NULL;
    enum err e = documents_fact_get(store_db(cell->options.store), CELL_FACT_MEMBERS, &fact, msg);
    if (e == ERR_OK)
        e = member_list_open(buf_slice(&fact), &cell->swarm, &list, msg);
    if (e == ERR_OK)
        use_members(cell, list);
    buf_clear(&fact);
    if (e == ERR_OK || e == ERR_NOT_FOUND)
        e = documents_fact_get(store_db(cell->options.store), CELL_FACT_STATEMENT, &fact, msg);
    /* each life counts on from a new multiple of 2^20, so that what was said is never said twice */
    const uint64_t lives = e == ERR_OK && fact.size == 8 ? get_le64(fact.data) + 1 : 1;
    if (e == ERR_OK || e == ERR_NOT_FOUND) {
        uint8_t bytes[8];
        put_le64(bytes, lives);
        e = documents_fact_put(store_db(cell->options.store), CELL_FACT_STATEMENT,
                               slice_of(bytes, 8), msg);
    }
    cell->statement_sequence = lives << 20;
    buf_free(&fact);
    return e;
}

enum err cell_membership_start(struct cell *cell, struct errmsg *msg)
{
    if (!cell->members && cell->options.invite.size == 0)
        return err_say(msg, ERR_STATE, "this cell belongs to no swarm yet: start it with --invite");
    cell->interval_ms =
        cell->options.heartbeat_ms ? cell->options.heartbeat_ms : HEARTBEAT_DEFAULT_MS;
    cell->heartbeat_timer.fire = fire;
    rest(cell, 0);
    return ERR_OK;
}

void cell_membership_stop(struct cell *cell)
{
    timer_stop(cell->options.clock, &cell->heartbeat_timer);
    if (cell->message)
        net_message_cancel(cell->message);
}
