/*
 * Who is there:
 *
 *     coordinator: GET (of some: POST) /v1/cells ──▶ list number differs? ──▶ POST
 * /v1/members/changes ──▶ end │                                                          │ none
 * here, or they do not fit │                                                          └──▶ GET
 * /v1/members ──▶ end │ cannot be reached ▼ a few members: GET /v1/members, the highest valid list
 * counts ──▶ end
 */
#include "swarm/swarm_ask.h"
#include "swarm/swarm_internal.h"
#include "wire/wire_ids.h"

#include <stdlib.h>

enum { REFRESH_CELLS = 4 }; /* asked when the coordinator does not answer */

struct swarm_refresh_task {
    struct swarm_task task;
    struct swarm *swarm;
    unsigned asking;
    bool changes; /* were asked for, not the whole list */
    bool asked_cells, members_wanted, from_members, asked_new;
    uint64_t list_number; /* at the beginning */
    unsigned lists;       /* that came from members */
    enum err e;           /* the coordinator's */
    struct errmsg msg;
    swarm_done_fn *done;
    void *user;
};

static void members_answered(void *user, enum err e, struct slice body, const struct errmsg *msg)
{
    struct swarm_refresh_task *r = user;
    struct errmsg why = *msg;
    r->asking--;
    if (e == ERR_OK)
        e = swarm_members_take(r->swarm, body, &why);
    if (e == ERR_OK || e == ERR_STALE)
        r->lists++;
    if (e != ERR_OK)
        log_say(r->swarm->log, LOG_INFO, "no newer member list: %s", why.text);
    if (e != ERR_OK && r->changes) /* whatever it is: the whole list has the last word */
        r->members_wanted = true;
    else if (e != ERR_OK && e != ERR_STALE && !r->from_members) {
        r->e = e;
        r->msg = why;
    }
    swarm_task_wake(&r->task);
}

static enum err ask_members(struct swarm_refresh_task *r, struct swarm_peer *peer,
                            struct errmsg *msg)
{
    const enum err e = swarm_ask_start(r->swarm, peer, NET_GET, wire_path_plain(WIRE_MEMBERS), NULL,
                                       LIMIT_MEMBER_LIST_BYTES, members_answered, r, NULL, msg);
    r->asking += e == ERR_OK;
    return e;
}

/* Of the coordinator: what has changed, when there is a list that it can have changed from. */
static enum err ask_newest(struct swarm_refresh_task *r, struct errmsg *msg)
{
    struct swarm *swarm = r->swarm;
    struct buf body = BUF_INIT(WIRE_SINCE_BYTES);
    r->changes = swarm->list != NULL && !r->changes;
    if (!r->changes)
        return ask_members(r, swarm->coordinator, msg);
    enum err e = wire_since_encode(swarm->list->number, &body);
    if (e == ERR_OK)
        e = swarm_ask_start(swarm, swarm->coordinator, NET_POST, wire_path_plain(WIRE_CHANGES),
                            &body, LIMIT_MEMBER_LIST_BYTES, members_answered, r, NULL, msg);
    else
        buf_free(&body);
    r->asking += e == ERR_OK;
    return e;
}

static void cells_answered(void *user, enum err e, struct slice body, const struct errmsg *msg)
{
    struct swarm_refresh_task *r = user;
    struct swarm *swarm = r->swarm;
    struct wire_list cells;
    struct wire_cells now;
    r->asking--;
    r->e = e;
    r->msg = *msg;
    if (e == ERR_OK) {
        r->e = wire_cells_decode(body, &now, &cells);
        if (r->e != ERR_OK)
            (void)err_say(&r->msg, r->e, "the coordinator's list of cells makes no sense: %s",
                          err_words(r->e));
    }
    if (r->e == ERR_OK) {
        swarm->clock_ahead_s = now.time_s - clock_wall_ns(swarm->clock) / 1000000000;
        swarm->losses = (struct swarm_losses){now.exposure_s, now.loss_count, now.gone_after_s,
                                              now.repair_percent};
        swarm->some_states = now.some;
        swarm->up_count = (uint32_t)now.up_count;
        swarm_members_states(swarm, &cells);
        r->members_wanted = now.list_number != swarm_list_number(swarm);
    }
    swarm_task_wake(&r->task);
}

static enum err ask_cells(struct swarm_refresh_task *r, struct errmsg *msg)
{
    struct swarm *swarm = r->swarm;
    struct buf body = BUF_INIT(WIRE_IDS_BYTES(WIRE_CELLS_ASKED));
    const bool some = swarm_is_large(swarm);
    enum err e = some ? swarm_members_ask(swarm, &body) : ERR_OK;
    if (e == ERR_OK)
        e = swarm_ask_start(swarm, swarm->coordinator, some ? NET_POST : NET_GET,
                            wire_path_plain(WIRE_CELLS), some ? &body : NULL, WIRE_CELLS_BYTES,
                            cells_answered, r, NULL, msg);
    else
        buf_free(&body);
    r->asking += e == ERR_OK;
    return e;
}

/* Members drawn at random, so that no few of them can keep a device on an old list for good. */
static void ask_some_members(struct swarm_refresh_task *r)
{
    struct swarm *swarm = r->swarm;
    const size_t count = swarm_member_count(swarm);
    r->from_members = true;
    for (unsigned i = 0; i < REFRESH_CELLS * 2 && r->asking < REFRESH_CELLS && count > 0; i++) {
        const struct member *member = &swarm->list->members[random_below(swarm->random, count)];
        struct swarm_peer *peer = swarm_peer_get(swarm, &member->id);
        if (peer)
            (void)ask_members(r, peer, NULL);
    }
}

static void step(struct swarm_task *task)
{
    struct swarm_refresh_task *r = container_of(task, struct swarm_refresh_task, task);
    struct swarm *swarm = r->swarm;
    if (r->asking > 0)
        return;
    if (r->asked_new && r->e == ERR_OK)
        r->from_members = false; /* the new one's list may be newer than the one it was found in */
    if (r->e == ERR_OK && r->members_wanted) {
        r->members_wanted = false;
        r->e = ask_newest(r, &r->msg);
        if (r->asking > 0)
            return;
    }
    if (r->e == ERR_OK && r->lists > 0 && !r->asked_cells && !r->from_members) {
        /* the states came before the list that they belong to */
        r->asked_cells = true;
        r->e = ask_cells(r, &r->msg);
        if (r->asking > 0)
            return;
    }
    if (r->e != ERR_OK && !r->from_members) {
        ask_some_members(r);
        if (r->asking > 0)
            return;
    }
    if (r->from_members && !r->asked_new && swarm->coordinator &&
        swarm_list_number(swarm) != r->list_number) {
        /* members know a newer list, perhaps of a new coordinator, or of where it is now */
        r->asked_new = true;
        r->e = ask_cells(r, &r->msg);
        if (r->asking > 0)
            return;
    }
    if (swarm->list) /* one of a member's, or the one that was here: it does */
        r->e = ERR_OK;
    swarm->refreshing = NULL;
    swarm_task_end(&r->task);
    r->done(r->user, r->e, &r->msg);
    free(r);
}

enum err swarm_refresh(struct swarm *swarm, swarm_done_fn *done, void *user, struct errmsg *msg)
{
    if (swarm->refreshing)
        return err_say(msg, ERR_BUSY, "the member list is being asked for already");
    if (!swarm->coordinator && !swarm->list)
        return err_say(msg, ERR_STATE, "neither a coordinator nor a cell of the swarm is known");
    struct swarm_refresh_task *r = calloc(1, sizeof(*r));
    if (!r)
        return err_say(msg, ERR_NOMEM, "out of memory");
    r->swarm = swarm;
    r->done = done;
    r->user = user;
    swarm_task_begin(&r->task, swarm, step);
    r->e = ERR_UNREACHABLE;
    (void)err_say(&r->msg, r->e, "no coordinator is known");
    r->list_number = swarm_list_number(swarm);
    if (swarm->coordinator)
        r->e = ask_cells(r, &r->msg);
    if (r->asking == 0)
        swarm_task_wake(&r->task);
    swarm->refreshing = r;
    return ERR_OK;
}
