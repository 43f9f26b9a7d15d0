#include "swarm/swarm_have.h"

#include "segment/segment_header.h"
#include "swarm/swarm_ask.h"
#include "swarm/swarm_internal.h"

#include <assert.h>
#include <stdlib.h>

/* ---- have ---- */

struct have_ask {
    struct swarm_have *have;
    struct swarm_peer *peer;
    struct swarm_ask *ask;
    struct list link; /* in have->asks */
};

struct swarm_have {
    struct swarm_task task;
    struct swarm *swarm;
    struct swarm_have_request request;
    struct id *cells; /* owned */
    size_t next;
    struct list asks; /* under way */
    unsigned asking;
    struct swarm_have_result result;
    bool cancelled;
};

static void have_answered(void *user, enum err e, struct slice body, const struct errmsg *msg)
{
    (void)msg;
    struct have_ask *ask = user;
    struct swarm_have *have = ask->have;
    struct wire_list list;
    struct wire_held held;
    if (e == ERR_OK)
        e = wire_have_reply_decode(body, &list);
    have->result.answered += e == ERR_OK;
    while (e == ERR_OK && !have->cancelled && wire_have_reply_next(&list, &held))
        if (held.position < have->request.segment_count)
            have->request.held(have->request.user, &ask->peer->id, &held);
    if (have->request.cell && !have->cancelled)
        have->request.cell(have->request.user, &ask->peer->id, e);
    list_remove(&ask->link);
    have->asking--;
    free(ask);
    swarm_task_wake(&have->task);
}

static enum err have_ask(struct swarm_have *have, const struct id *cell)
{
    struct buf body = BUF_INIT(WIRE_HAVE_BYTES);
    struct have_ask *ask = calloc(1, sizeof(*ask));
    if (!ask)
        return ERR_NOMEM;
    ask->have = have;
    ask->peer = swarm_peer_get(have->swarm, cell);
    enum err e = ask->peer
                     ? wire_ids_encode(have->request.segments, have->request.segment_count, &body)
                     : ERR_NOMEM;
    if (e == ERR_OK)
        e = swarm_ask_start(have->swarm, ask->peer, NET_POST, wire_path_plain(WIRE_HAVE), &body,
                            WIRE_HAVE_REPLY_BYTES, have_answered, ask, &ask->ask, NULL);
    if (e != ERR_OK) {
        buf_free(&body);
        free(ask);
        return e;
    }
    list_append(&have->asks, &ask->link);
    have->asking++;
    return ERR_OK;
}

static void have_step(struct swarm_task *task)
{
    struct swarm_have *have = container_of(task, struct swarm_have, task);
    while (!have->cancelled && have->next < have->request.cell_count &&
           have->asking < SWARM_HAVE_AT_ONCE) {
        const struct id *cell = &have->cells[have->next++];
        const enum err e = have_ask(have, cell);
        have->result.asked++;
        if (e != ERR_OK && have->request.cell)
            have->request.cell(have->request.user, cell, e);
    }
    if (have->asking > 0)
        return;
    const enum err e = have->cancelled ? ERR_CANCELLED : ERR_OK;
    struct errmsg msg = {0};
    if (e != ERR_OK)
        (void)err_say(&msg, e, "cancelled");
    swarm_task_end(&have->task);
    have->request.done(have->request.user, e, &have->result, &msg);
    free(have->cells);
    free(have);
}

enum err swarm_have_start(struct swarm *swarm, const struct swarm_have_request *request,
                          struct swarm_have **out, struct errmsg *msg)
{
    const size_t count = request->cells ? request->cell_count : swarm_member_count(swarm);
    if (request->segment_count > WIRE_HAVE_IDS)
        return err_say(msg, ERR_TOO_LARGE, "%zu segments are more than one question can have",
                       request->segment_count);
    struct swarm_have *have = calloc(1, sizeof(*have));
    struct id *cells = calloc(count + 1, sizeof(*cells));
    if (!have || !cells) {
        free(have);
        free(cells);
        return err_say(msg, ERR_NOMEM, "out of memory");
    }
    have->swarm = swarm;
    have->request = *request;
    have->cells = cells;
    have->request.cell_count = count;
    for (size_t i = 0; i < count; i++)
        cells[i] = request->cells ? request->cells[i] : swarm->list->members[i].id;
    list_init(&have->asks);
    swarm_task_begin(&have->task, swarm, have_step);
    swarm_task_wake(&have->task);
    if (out)
        *out = have;
    return ERR_OK;
}

void swarm_have_cancel(struct swarm_have *have)
{
    if (have->cancelled)
        return;
    have->cancelled = true;
    for (struct list *at = have->asks.next; at != &have->asks; at = at->next)
        swarm_ask_cancel(container_of(at, struct have_ask, link)->ask);
    swarm_task_wake(&have->task);
}

/* ---- names ---- */

struct swarm_names {
    struct swarm_task task;
    struct swarm *swarm;
    struct swarm_peer *peer;
    struct wire_path path;
    struct swarm_ask *ask;
    bool over, cancelled;
    enum err e;
    struct errmsg msg;
    swarm_names_fn *each;
    swarm_done_fn *done;
    void *user;
};

static int compare_names(const struct wire_shard_name *a, const struct id *segment, uint32_t index)
{
    const int order = id_compare(&a->segment, segment);
    return order != 0 ? order : (int)a->index - (int)index;
}

static void names_answered(void *user, enum err e, struct slice body, const struct errmsg *msg)
{
    struct swarm_names *names = user;
    struct wire_list list;
    struct wire_shard_name name;
    bool more = false;
    names->ask = NULL;
    names->msg = *msg;
    if (e == ERR_OK) {
        e = wire_names_decode(body, &list, &more);
        if (e != ERR_OK)
            (void)err_say(&names->msg, e, "a cell's list of shards makes no sense: %s",
                          err_words(e));
    }
    while (e == ERR_OK && !names->cancelled && wire_names_next(&list, &name)) {
        /* it must rise, or a cell could keep us going round for ever */
        if (names->path.has_after &&
            compare_names(&name, &names->path.after_segment, names->path.after_index) <= 0) {
            e = err_say(&names->msg, ERR_PEER, "a cell's list of shards is out of order");
            break;
        }
        names->path.has_after = true;
        names->path.after_segment = name.segment;
        names->path.after_index = name.index;
        names->each(names->user, &name);
    }
    names->e = e;
    names->over = e != ERR_OK || !more;
    swarm_task_wake(&names->task);
}

static void names_step(struct swarm_task *task)
{
    struct swarm_names *names = container_of(task, struct swarm_names, task);
    char text[WIRE_PATH_SIZE];
    if (names->ask)
        return;
    if (!names->over && !names->cancelled) {
        names->e = swarm_ask_start(names->swarm, names->peer, NET_GET,
                                   wire_path_format(&names->path, text), NULL, WIRE_NAMES_BYTES,
                                   names_answered, names, &names->ask, &names->msg);
        if (names->e == ERR_OK)
            return;
    }
    if (names->cancelled)
        names->e = err_say(&names->msg, ERR_CANCELLED, "cancelled");
    swarm_task_end(&names->task);
    names->done(names->user, names->e, &names->msg);
    free(names);
}

enum err swarm_names_start(struct swarm *swarm, const struct id *cell, const struct id *account,
                           swarm_names_fn *each, swarm_done_fn *done, void *user,
                           struct swarm_names **out, struct errmsg *msg)
{
    struct swarm_peer *peer = swarm_peer_get(swarm, cell);
    struct swarm_names *names = calloc(1, sizeof(*names));
    if (!peer || !names) {
        free(names);
        return err_say(msg, ERR_NOMEM, "out of memory");
    }
    names->swarm = swarm;
    names->peer = peer;
    names->path = (struct wire_path){.route = WIRE_ACCOUNT_SHARDS, .id = *account};
    names->each = each;
    names->done = done;
    names->user = user;
    swarm_task_begin(&names->task, swarm, names_step);
    swarm_task_wake(&names->task);
    if (out)
        *out = names;
    return ERR_OK;
}

void swarm_names_cancel(struct swarm_names *names)
{
    if (names->cancelled)
        return;
    names->cancelled = true;
    if (names->ask)
        swarm_ask_cancel(names->ask);
    swarm_task_wake(&names->task);
}

/* ---- one segment ---- */

struct segment_ask {
    struct id segment;
    swarm_segment_fn *done;
    void *user;
};

static void segment_answered(void *user, enum err e, struct slice body, const struct errmsg *why)
{
    struct segment_ask *ask = user;
    struct wire_segment segment;
    struct errmsg msg = *why;
    struct id id;
    if (e == ERR_OK) {
        e = wire_segment_decode(body, &segment);
        if (e != ERR_OK)
            (void)err_say(&msg, e, "what a cell says of a segment makes no sense: %s",
                          err_words(e));
    }
    if (e == ERR_OK) {
        segment_header_id(segment.header, &id);
        if (!id_equal(&id, &ask->segment))
            e = err_say(&msg, ERR_PEER, "a cell gave the header of another segment");
    }
    ask->done(ask->user, e, e == ERR_OK ? &segment : NULL, &msg);
    free(ask);
}

enum err swarm_segment_ask(struct swarm *swarm, const struct id *cell, const struct id *segment,
                           swarm_segment_fn *done, void *user, struct errmsg *msg)
{
    const struct wire_path path = {.route = WIRE_SEGMENT, .id = *segment};
    char text[WIRE_PATH_SIZE];
    struct swarm_peer *peer = swarm_peer_get(swarm, cell);
    struct segment_ask *ask = calloc(1, sizeof(*ask));
    enum err e = peer && ask ? ERR_OK : err_say(msg, ERR_NOMEM, "out of memory");
    if (e == ERR_OK) {
        *ask = (struct segment_ask){*segment, done, user};
        e = swarm_ask_start(swarm, peer, NET_GET, wire_path_format(&path, text), NULL,
                            WIRE_SEGMENT_REPLY_BYTES, segment_answered, ask, NULL, msg);
    }
    if (e != ERR_OK)
        free(ask);
    return e;
}
