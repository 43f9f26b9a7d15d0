/*
 * The network's side of a rebuild (registry_gather.c): tells cells of the newest member list, and
 * asks those that a new coordinator has not heard yet for all that they hold.
 *
 *     NEXT (lane) ──▶ INFORM ──▶ PAGE ──▶ HEADS of its accounts ──▶ DESCRIBE what is new ──▶ PLACES
 * (lane) │         ▲                                                            │ more │
 * └────────────────────────────────────────────────────────────┘ └──▶ END (lane), also after the
 * last page and at any error
 *
 * Several cells at a time, of each one message or job. What can fail: a cell that does not answer,
 * or that knows a newer coordinator (asked again later); memory.
 */
#include "coordinator_internal.h"

#include "port/net_body.h"
#include "wire/wire_error.h"
#include "wire/wire_heads.h"
#include "wire/wire_hello.h"
#include "wire/wire_ids.h"
#include "wire/wire_inventory.h"

#include <stdlib.h>

enum { GATHER_CELLS = 8 };

enum gather_state {
    GATHER_NEXT,
    GATHER_INFORM,
    GATHER_PAGE,
    GATHER_HEADS,
    GATHER_DESCRIBE,
    GATHER_PLACES,
    GATHER_END,
};

struct gather {
    struct list link; /* in coordinator.gathers */
    struct coordinator *c;
    struct work_job job;
    struct registry_gather what;
    bool found;
    enum gather_state state;
    int64_t now_s;
    struct net_message *message;
    const char *addresses[LIMIT_ADDRESSES];
    struct buf body, answer; /* of the message that is under way; what came, for the job */
    struct slice body_slice;
    struct wire_inventory question;
    struct buf page, segments, accounts;
    size_t segment_at, account_at, asked; /* bytes; of `segments` in the question */
    bool more, claimed;
    uint64_t refused;
    enum err e;
    struct errmsg msg;
};

static void step(struct gather *g);

static void free_gather(struct gather *g)
{
    buf_free(&g->body);
    buf_free(&g->answer);
    buf_free(&g->page);
    buf_free(&g->segments);
    buf_free(&g->accounts);
    free(g);
}

/* --- jobs: on the lane --- */

static enum err run_next(struct gather *g)
{
    struct registry *registry = g->c->options.registry;
    struct slice list;
    uint64_t number;
    g->found = registry_gather_next(registry, g->now_s, &g->what);
    if (!g->found)
        return ERR_OK;
    const enum err e = registry_members(registry, g->now_s, &list, &number, &g->msg);
    return e == ERR_OK ? buf_append(&g->body, list.data, list.size) : e;
}

static enum err run_page(struct gather *g)
{
    struct wire_list items;
    struct slice claim;
    enum err e = wire_inventory_reply_decode(buf_slice(&g->page), &items, &g->more, &claim);
    if (e != ERR_OK)
        return err_say(&g->msg, e, "its inventory cannot be read");
    g->segment_at = g->segments.size = 0;
    e = registry_gather_claimant(g->c->options.registry, claim, &g->accounts);
    return e == ERR_OK ? registry_gather_page(g->c->options.registry, items, &g->segments,
                                              &g->accounts, &g->msg)
                       : e;
}

static enum err run_heads(struct gather *g)
{
    struct id account;
    memcpy(account.bytes, g->accounts.data + g->account_at, ID_SIZE);
    g->account_at += ID_SIZE;
    return registry_gather_heads(g->c->options.registry, &account, buf_slice(&g->answer), &g->msg);
}

static enum err run_described(struct gather *g)
{
    struct wire_list described;
    const struct slice ids = slice_of(g->segments.data + g->segment_at, g->asked);
    enum err e = wire_described_decode(buf_slice(&g->answer), &described);
    if (e != ERR_OK)
        return err_say(&g->msg, e, "its descriptions of segments cannot be read");
    g->segment_at += g->asked;
    return registry_gather_segments(g->c->options.registry, ids, described, g->now_s, &g->refused,
                                    &g->msg);
}

static enum err run_places(struct gather *g)
{
    struct registry *registry = g->c->options.registry;
    struct wire_list items;
    struct wire_inventory_item item;
    struct slice claim;
    enum err e = wire_inventory_reply_decode(buf_slice(&g->page), &items, &g->more, &claim);
    if (e == ERR_OK && !g->claimed)
        e = registry_gather_claim(registry, &g->what.cell, claim, g->now_s, &g->msg);
    g->claimed = true;
    if (e == ERR_OK)
        e = registry_gather_places(registry, &g->what.cell, items, &g->msg);
    for (g->question.has_after = false; wire_inventory_next(&items, &item);) {
        g->question.has_after = true;
        g->question.after_segment = item.segment;
        g->question.after_index = item.index;
    }
    return e;
}

static void run(struct work_job *job)
{
    struct gather *g = container_of(job, struct gather, job);
    static enum err (*const runs[])(struct gather * g) = {
        [GATHER_NEXT] = run_next,          [GATHER_PAGE] = run_page,     [GATHER_HEADS] = run_heads,
        [GATHER_DESCRIBE] = run_described, [GATHER_PLACES] = run_places,
    };
    if (g->state == GATHER_END) {
        if (g->found && registry_gather_end(g->c->options.registry, &g->what.cell, g->e, g->now_s,
                                            &g->msg) != ERR_OK)
            log_say(g->c->options.log, LOG_ERROR, "the registry cannot go on: %s", g->msg.text);
        g->c->gather_left = registry_gather_left(g->c->options.registry, &g->c->gather_silent);
        return;
    }
    const enum err e = runs[g->state](g);
    if (g->e == ERR_OK)
        g->e = e;
}

/* --- on the loop --- */

static void submit(struct gather *g, enum gather_state state)
{
    g->state = state;
    g->now_s = clock_wall_ns(g->c->options.clock) / 1000000000;
    work_submit(g->c->options.work, g->c->options.lane, &g->job);
}

static void answered(void *user, enum err e, unsigned status, struct slice body,
                     const struct errmsg *msg)
{
    struct gather *g = user;
    g->message = NULL;
    g->e = e;
    g->msg = *msg;
    if (e == ERR_OK && wire_status_failed(status))
        g->e = wire_error_take(status, body, NULL, &g->msg);
    struct buf *to = g->state == GATHER_PAGE ? &g->page : &g->answer;
    buf_clear(to);
    if (g->e == ERR_OK)
        g->e = buf_append(to, body.data, body.size);
    if (g->e == ERR_OK && g->state == GATHER_INFORM)
        step(g);
    else
        submit(g, g->e == ERR_OK ? g->state : GATHER_END);
}

static void send(struct gather *g, enum gather_state state, enum net_method method,
                 const char *path, size_t reply_max)
{
    struct errmsg msg;
    g->state = state;
    g->body_slice = buf_slice(&g->body);
    const struct net_request request = {
        .target = {.id = g->what.cell,
                   .addresses = g->addresses,
                   .address_count = address_list_pointers(&g->what.addresses, g->addresses)},
        .method = method,
        .path = path,
        .net_class = NET_OTHER,
        .body = &g->body_slice,
        .body_count = g->body_slice.size ? 1 : 0,
    };
    g->e = g->c->stopping ? ERR_CANCELLED
                          : net_message_start(g->c->options.net, &request, reply_max, answered, g,
                                              &g->message, &msg);
    if (g->e != ERR_OK) {
        g->message = NULL;
        submit(g, GATHER_END);
    }
}

static void ask_page(struct gather *g)
{
    buf_clear(&g->body);
    g->e = wire_inventory_encode(&g->question, &g->body);
    if (g->e != ERR_OK)
        submit(g, GATHER_END);
    else
        send(g, GATHER_PAGE, NET_POST, wire_path_plain(WIRE_INVENTORY), WIRE_INVENTORY_REPLY_BYTES);
}

static void ask_heads(struct gather *g)
{
    char text[WIRE_PATH_SIZE];
    struct wire_path path = {.route = WIRE_HEADS};
    memcpy(path.id.bytes, g->accounts.data + g->account_at, ID_SIZE);
    buf_clear(&g->body);
    send(g, GATHER_HEADS, NET_GET, wire_path_format(&path, text), WIRE_HEADS_BYTES);
}

static void ask_described(struct gather *g)
{
    struct id ids[WIRE_DESCRIBE_IDS];
    const size_t left = g->segments.size - g->segment_at;
    g->asked = left < sizeof(ids) ? left : sizeof(ids);
    memcpy(ids, g->segments.data + g->segment_at, g->asked);
    buf_clear(&g->body);
    g->e = wire_ids_encode(ids, g->asked / ID_SIZE, &g->body);
    if (g->e != ERR_OK)
        submit(g, GATHER_END);
    else
        send(g, GATHER_DESCRIBE, NET_POST, wire_path_plain(WIRE_DESCRIBE),
             WIRE_DESCRIBE_REPLY_BYTES);
}

/* What comes after what has just gone well. */
static void step(struct gather *g)
{
    if (g->state == GATHER_INFORM && !g->what.gather) {
        submit(g, GATHER_END);
    } else if (g->state == GATHER_INFORM) {
        ask_page(g);
    } else if (g->state == GATHER_PLACES && (g->more || !g->question.dead)) {
        if (!g->more) { /* all that is held is told: now the names that were freed */
            g->question = (struct wire_inventory){.dead = true};
        }
        ask_page(g);
    } else if (g->state == GATHER_PLACES) {
        submit(g, GATHER_END);
    } else if (g->account_at < g->accounts.size) {
        ask_heads(g);
    } else if (g->segment_at < g->segments.size) {
        ask_described(g);
    } else {
        submit(g, GATHER_PLACES);
    }
}

static void begin_next(struct coordinator *c);

static void end(struct gather *g)
{
    struct coordinator *c = g->c;
    const bool found = g->found;
    char id[ID_TEXT_SIZE];
    if (found && g->e != ERR_OK && g->e != ERR_CANCELLED)
        log_say(c->options.log, LOG_INFO, "cell %.10s is not asked for what it holds now: %s",
                id_format(&g->what.cell, id), g->msg.text);
    if (found && g->refused)
        log_say(c->options.log, LOG_WARN,
                "cell %.10s has %llu segments that no device of their account has signed",
                id_format(&g->what.cell, id), (unsigned long long)g->refused);
    list_remove(&g->link);
    free_gather(g);
    if (found)
        begin_next(c);
    if (list_empty(&c->gathers) && c->gather_left == c->gather_silent && c->options.gathered &&
        !c->stopping)
        c->options.gathered(c->options.gathered_user, c->gather_silent);
    coordinator_check_stopped(c);
}

static void done(struct work_job *job)
{
    struct gather *g = container_of(job, struct gather, job);
    if (g->state == GATHER_END) {
        end(g);
    } else if (g->state == GATHER_NEXT && g->found && g->e == ERR_OK) {
        begin_next(g->c);
        send(g, GATHER_INFORM, NET_PUT, wire_path_plain(WIRE_MEMBERS), 65536);
    } else if (g->state == GATHER_NEXT || g->e != ERR_OK) {
        submit(g, GATHER_END);
    } else {
        step(g);
    }
}

/* Looks for one more cell to ask, while there is room. */
static void begin_next(struct coordinator *c)
{
    size_t count = 0;
    for (struct list *at = c->gathers.next; at != &c->gathers; at = at->next)
        count++;
    struct gather *g = count < GATHER_CELLS && !c->stopping ? calloc(1, sizeof(*g)) : NULL;
    if (!g)
        return;
    g->c = c;
    g->job = (struct work_job){.run = run, .done = done};
    g->body = BUF_INIT(LIMIT_MEMBER_LIST_BYTES);
    g->answer = BUF_INIT(WIRE_HEADS_BYTES + WIRE_DESCRIBE_REPLY_BYTES);
    g->page = BUF_INIT(WIRE_INVENTORY_REPLY_BYTES);
    g->segments = BUF_INIT((size_t)WIRE_INVENTORY_ITEMS * ID_SIZE);
    g->accounts = BUF_INIT(1u << 26);
    list_append(&c->gathers, &g->link);
    submit(g, GATHER_NEXT);
}

void coordinator_gather_pump(struct coordinator *c)
{
    if (list_empty(&c->gathers))
        begin_next(c);
}

void coordinator_gather_stop(struct coordinator *c)
{
    for (struct list *at = c->gathers.next; at != &c->gathers; at = at->next) {
        struct gather *g = container_of(at, struct gather, link);
        if (g->message)
            net_message_cancel(g->message);
    }
}

void coordinator_gather_free(struct coordinator *c)
{
    struct list *node;
    while ((node = list_pop(&c->gathers)))
        free_gather(container_of(node, struct gather, link));
}
