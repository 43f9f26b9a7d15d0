#include "swarm/swarm_keepers.h"

enum { LAST_MS = 1000 }; /* for peers that seem to sleep, once all others have answered */

static bool is_over(const struct swarm_keepers *k)
{
    return k->cancelled || k->late;
}

/* Does the first one's word end the matter? */
static bool is_final(enum err e)
{
    return e == ERR_STALE || e == ERR_INCONSISTENT || e == ERR_DENIED || e == ERR_EXISTS ||
           e == ERR_AUTH || e == ERR_FORMAT;
}

static void answered(void *user, enum err e, struct slice body, const struct errmsg *msg)
{
    struct swarm_keeper *at = user;
    struct swarm_keepers *k = at->keepers;
    at->ask = NULL;
    k->asking--;
    if (!is_over(k) && k->answer(k, at, e, body)) {
        k->answered++;
    } else if (e != ERR_OK && e != ERR_CANCELLED && k->failed != ERR_DENIED) {
        k->failed = e;
        k->why = *msg;
    }
    if (k->first_alone) {
        k->first_alone = false;
        k->go_on = !is_final(e);
    }
    swarm_task_wake(&k->task);
}

/* ---- whom ---- */

static void add_peer(struct swarm_keepers *k, struct swarm_peer *peer, uint16_t cell)
{
    k->peers[k->count++] = (struct swarm_keeper){
        .keepers = k, .peer = peer, .cell = cell, .good = swarm_peer_good(k->swarm, peer)};
}

enum err swarm_keepers_find(struct swarm_keepers *k, struct swarm *swarm, const struct id *account,
                            enum wire_route route, struct errmsg *msg)
{
    k->swarm = swarm;
    k->path = (struct wire_path){.route = route, .id = *account};
    enum err e = swarm_members_group(swarm, account, &k->group);
    if (e == ERR_OK && swarm->coordinator)
        add_peer(k, swarm->coordinator, PLACEMENT_NONE);
    for (uint16_t i = 0; i < k->group.count && i < SWARM_HEADS_CELLS && e == ERR_OK; i++) {
        struct swarm_peer *peer = swarm_peer_get(swarm, &k->group.cells[i].id);
        if (peer)
            add_peer(k, peer, i);
        else
            e = ERR_NOMEM;
    }
    if (e != ERR_OK)
        return err_say(msg, e, "out of memory");
    if (k->count == 0)
        return err_say(msg, ERR_STATE, "neither a coordinator nor a cell of the swarm is known");
    return ERR_OK;
}

/* ---- the end ---- */

static void set_patience(struct swarm_keepers *k)
{
    unsigned good_asking = 0;
    uint64_t ends_at_ms = 0;
    for (unsigned i = 0; i < k->count; i++)
        good_asking += k->peers[i].good && k->peers[i].ask;
    if (good_asking == 0)
        ends_at_ms = swarm_now_ms(k->swarm) + LAST_MS;
    else if (k->asking * 2 <= k->count)
        ends_at_ms = swarm_now_ms(k->swarm) + SWARM_HEADS_PATIENCE_MS;
    /* when nobody has answered yet, the sleeping ones are all that there is */
    if (ends_at_ms && k->answered > 0 && (k->ends_at_ms == 0 || ends_at_ms < k->ends_at_ms))
        k->ends_at_ms = ends_at_ms;
}

static void cancel_rest(struct swarm_keepers *k)
{
    for (unsigned i = 0; i < k->count; i++)
        if (k->peers[i].ask)
            swarm_ask_cancel(k->peers[i].ask);
}

static void ask(struct swarm_keeper *at)
{
    struct swarm_keepers *k = at->keepers;
    struct buf copy = BUF_INIT(k->body.size_max);
    char text[WIRE_PATH_SIZE];
    const bool has_body = k->method != NET_GET;
    enum err e = ERR_OK;
    wire_path_format(&k->path, text);
    if (has_body)
        e = buf_append(&copy, k->body.data, k->body.size);
    if (e == ERR_OK)
        e = swarm_ask_start(k->swarm, at->peer, k->method, text, has_body ? &copy : NULL,
                            k->reply_max, answered, at, &at->ask, &k->why);
    if (e != ERR_OK)
        buf_free(&copy);
    k->asked++;
    k->asking += e == ERR_OK;
}

static void step(struct swarm_task *task)
{
    struct swarm_keepers *k = container_of(task, struct swarm_keepers, task);
    if (k->go_on && !is_over(k)) {
        k->go_on = false;
        for (unsigned i = 1; i < k->count; i++)
            ask(&k->peers[i]);
    }
    if (k->asking > 0 && !is_over(k) && !k->first_alone) {
        set_patience(k);
        if (k->ends_at_ms && swarm_now_ms(k->swarm) >= k->ends_at_ms) {
            k->late = true;
            cancel_rest(k);
        }
    }
    if (k->asking > 0)
        return;
    swarm_task_end(&k->task);
    k->end(k);
}

/* ---- start ---- */

void swarm_keepers_go(struct swarm_keepers *k)
{
    swarm_task_begin(&k->task, k->swarm, step);
    swarm_task_tick(&k->task);
    k->first_alone = k->first_alone && k->peers[0].cell == PLACEMENT_NONE;
    for (unsigned i = 0; i < (k->first_alone ? 1 : k->count); i++)
        ask(&k->peers[i]); /* who cannot even be asked counts as one that failed */
    if (k->first_alone && k->asking == 0) {
        k->first_alone = false;
        k->go_on = true;
    }
    swarm_task_wake(&k->task);
}

void swarm_keepers_cancel(struct swarm_keepers *k)
{
    if (is_over(k))
        return;
    k->cancelled = true;
    cancel_rest(k);
    swarm_task_wake(&k->task);
}

void swarm_keepers_free(struct swarm_keepers *k)
{
    buf_free(&k->body);
}
