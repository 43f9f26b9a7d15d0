/*
 *     NAMING ──▶ ASKING ──▶ FETCHING ──▶ done
 *        └ of an account's segments
 */
#include "swarm/swarm_audit.h"

#include "swarm/swarm_ask.h"
#include "swarm/swarm_fetch.h"
#include "swarm/swarm_internal.h"
#include "wire/wire_cell.h"
#include "wire/wire_shard.h"

#include <stdlib.h>

enum state { NAMING, NAMED, ASKING, ANSWERED, FETCHING, FETCHED };

struct swarm_audit {
    struct swarm_task task;
    struct swarm *swarm;
    struct wire_lot lot;
    struct wire_path names; /* NAMING */
    struct swarm_peer *peer;
    enum state state;
    bool cancelled;
    struct swarm_ask *ask; /* under way; NULL: none */
    enum err e;            /* of the question */
    struct errmsg msg;
    struct segment_header header;
    uint8_t held[LIMIT_SHARDS];
    size_t held_count;
    uint8_t index; /* drawn */
    struct swarm_fetch fetch;
    uint8_t *leaf; /* owned */
    swarm_audit_fn *done;
    void *user;
};

static void end(struct swarm_audit *a, enum err e, enum wire_verdict_kind kind)
{
    const struct wire_verdict verdict = {.day = a->lot.day,
                                         .segment = a->lot.segment,
                                         .cell = a->peer->id,
                                         .kind = kind,
                                         .index = a->index};
    swarm_task_end(&a->task);
    a->done(a->user, e, &verdict, &a->msg);
    free(a->leaf);
    free(a);
}

/* --- which segment of an account --- */

/* One of them, each with the same chance. */
static enum err draw_name(struct swarm_audit *a, struct slice body, bool *none)
{
    struct wire_list list;
    struct wire_shard_name name;
    uint64_t seen = 0;
    bool more;
    const enum err e = wire_names_decode(body, &list, &more);
    if (e != ERR_OK)
        return err_say(&a->msg, e, "the cell's list of shards cannot be read");
    while (wire_names_next(&list, &name))
        if (random_below(a->swarm->random, ++seen) == 0)
            a->lot.segment = name.segment;
    *none = seen == 0;
    return ERR_OK;
}

static void names_came(void *user, enum err e, struct slice body, const struct errmsg *msg)
{
    struct swarm_audit *a = user;
    bool none = false;
    a->ask = NULL;
    a->msg = *msg;
    a->e = e == ERR_OK ? draw_name(a, body, &none) : e;
    a->state = NAMED;
    if (a->e == ERR_OK && none && a->names.has_after)
        a->names.has_after = false; /* behind the last one: from the first on */
    else if (a->e == ERR_OK && none)
        a->e = err_say(&a->msg, ERR_NOT_FOUND, "the cell has nothing of the account");
    else
        a->names.route = WIRE_AUDIT;
    swarm_task_wake(&a->task);
}

static enum err ask_names(struct swarm_audit *a, struct errmsg *msg)
{
    char path[WIRE_PATH_SIZE];
    a->state = NAMING;
    return swarm_ask_start(a->swarm, a->peer, NET_GET, wire_path_format(&a->names, path), NULL,
                           WIRE_NAMES_BYTES, names_came, a, &a->ask, msg);
}

/* --- what it holds --- */

static enum err take_answer(struct swarm_audit *a, struct slice body)
{
    struct wire_segment segment;
    struct id id;
    enum err e = wire_segment_decode(body, &segment);
    if (e != ERR_OK)
        return err_say(&a->msg, e, "the cell's answer to a lot cannot be read");
    segment_header_id(segment.header, &id);
    if (!id_equal(&id, &a->lot.segment))
        return err_say(&a->msg, ERR_PEER, "the cell answered with another segment's header");
    e = segment_header_decode(segment.header, &a->header, &a->msg);
    for (size_t i = 0; e == ERR_OK && i < segment.held_count; i++)
        if (segment.held[i] < a->header.k + a->header.m)
            a->held[a->held_count++] = segment.held[i];
    return e;
}

static void answered(void *user, enum err e, struct slice body, const struct errmsg *msg)
{
    struct swarm_audit *a = user;
    a->ask = NULL;
    a->msg = *msg;
    a->e = e == ERR_OK ? take_answer(a, body) : e;
    a->state = ANSWERED;
    swarm_task_wake(&a->task);
}

static enum err ask(struct swarm_audit *a, struct errmsg *msg)
{
    struct buf body = BUF_INIT(WIRE_LOT_BYTES);
    enum err e = wire_lot_encode(&a->lot, &body);
    a->state = ASKING;
    if (e == ERR_OK)
        return swarm_ask_start(a->swarm, a->peer, NET_POST, wire_path_plain(WIRE_AUDIT), &body,
                               WIRE_SEGMENT_REPLY_BYTES, answered, a, &a->ask, msg);
    buf_free(&body);
    return err_say(msg, e, "a lot cannot be written");
}

/* --- the leaf --- */

static void leaf_came(struct swarm_fetch *fetch)
{
    struct swarm_audit *a = container_of(fetch, struct swarm_audit, fetch);
    a->state = FETCHED;
    swarm_task_wake(&a->task);
}

static enum err fetch_leaf(struct swarm_audit *a)
{
    a->leaf = malloc(LIMIT_LEAF_BYTES);
    if (!a->leaf)
        return err_say(&a->msg, ERR_NOMEM, "out of memory for a leaf");
    a->index = a->held[random_below(a->swarm->random, a->held_count)];
    a->fetch.swarm = a->swarm;
    a->fetch.peer = a->peer;
    a->fetch.header = &a->header;
    a->fetch.segment = a->lot.segment;
    a->fetch.shard = a->index;
    a->fetch.leaf_first =
        (uint32_t)random_below(a->swarm->random, segment_leaf_count(a->header.shard_bytes));
    a->fetch.leaf_count = 1;
    a->fetch.out = a->leaf;
    a->fetch.net_class = NET_OTHER;
    a->fetch.ended = leaf_came;
    a->state = FETCHING;
    swarm_fetch_start(&a->fetch);
    return ERR_OK;
}

/* --- the machine --- */

/* The names came: one is drawn, or they are asked for once more. */
static void go_on_by_name(struct swarm_audit *a)
{
    if (a->e == ERR_OK)
        a->e = a->names.route == WIRE_AUDIT ? ask(a, &a->msg) : ask_names(a, &a->msg);
    if (a->e != ERR_OK)
        end(a, a->e, 0);
}

static void judge_answer(struct swarm_audit *a)
{
    if (a->e == ERR_NOT_FOUND || (a->e == ERR_OK && a->held_count == 0)) {
        end(a, ERR_NOT_FOUND, WIRE_VERDICT_LACKS);
        return;
    }
    const enum err e = a->e == ERR_OK ? fetch_leaf(a) : a->e;
    if (e != ERR_OK)
        end(a, e, 0);
}

/* Only what it answered counts against it; see swarm_prove.c. */
static void judge_leaf(struct swarm_audit *a)
{
    const struct swarm_fetch *f = &a->fetch;
    const bool wrong = f->lied || f->e == ERR_NOT_FOUND || f->e == ERR_CORRUPT;
    a->msg = f->msg;
    end(a, f->e, f->e == ERR_OK ? WIRE_VERDICT_PROVEN : wrong ? WIRE_VERDICT_WRONG : 0);
}

static void step(struct swarm_task *task)
{
    struct swarm_audit *a = container_of(task, struct swarm_audit, task);
    if (a->state == NAMING || a->state == ASKING || a->state == FETCHING)
        return;
    if (a->cancelled)
        end(a, err_say(&a->msg, ERR_CANCELLED, "cancelled"), 0);
    else if (a->state == NAMED)
        go_on_by_name(a);
    else if (a->state == ANSWERED)
        judge_answer(a);
    else
        judge_leaf(a);
}

enum err swarm_audit_start(struct swarm *swarm, const struct id *cell, const struct wire_lot *lot,
                           const struct id *account, swarm_audit_fn *done, void *user,
                           struct swarm_audit **out, struct errmsg *msg)
{
    struct swarm_audit *a = calloc(1, sizeof(*a));
    if (!a)
        return err_say(msg, ERR_NOMEM, "out of memory for a proof");
    a->swarm = swarm;
    a->lot = *lot;
    a->done = done;
    a->user = user;
    a->peer = swarm_peer_get(swarm, cell);
    enum err e = a->peer ? ERR_OK : err_say(msg, ERR_NOMEM, "out of memory for a peer");
    if (account) {
        a->names =
            (struct wire_path){.route = WIRE_ACCOUNT_SHARDS, .id = *account, .has_after = true};
        random_fill(swarm->random, a->names.after_segment.bytes, ID_SIZE);
    }
    if (e == ERR_OK)
        e = account ? ask_names(a, msg) : ask(a, msg);
    if (e != ERR_OK) {
        free(a);
        return e;
    }
    swarm_task_begin(&a->task, swarm, step);
    *out = a;
    return ERR_OK;
}

void swarm_audit_cancel(struct swarm_audit *a)
{
    if (a->cancelled)
        return;
    a->cancelled = true;
    if (a->ask)
        swarm_ask_cancel(a->ask);
    if (a->state == FETCHING)
        swarm_fetch_cancel(&a->fetch);
    swarm_task_wake(&a->task);
}

/* --- whom to ask for what --- */

static bool should_hold(const struct placement_group *group,
                        const struct swarm_audit_candidate *candidate, uint16_t cell,
                        struct placement_plan *plan)
{
    placement_plan(group, &candidate->segment, candidate->shards, NULL, plan);
    for (uint32_t i = 0; i < plan->count; i++)
        if (plan->cells[i] == cell)
            return true;
    return false;
}

size_t swarm_audit_pick(const struct swarm *swarm, const struct id *cell,
                        const struct swarm_audit_candidate *candidates, size_t count)
{
    struct placement_group *group = malloc(sizeof(*group));
    struct placement_plan *plan = malloc(sizeof(*plan));
    uint16_t at = PLACEMENT_NONE;
    size_t i = group && plan ? 0 : count;
    for (; i < count; i++) {
        if (i == 0 || !id_equal(&candidates[i].account, &candidates[i - 1].account)) {
            if (swarm_members_group(swarm, &candidates[i].account, group) != ERR_OK) {
                i = count;
                break;
            }
            at = placement_find(group, cell);
        }
        if (at != PLACEMENT_NONE && should_hold(group, &candidates[i], at, plan))
            break;
    }
    free(group);
    free(plan);
    return i;
}
