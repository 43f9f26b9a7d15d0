#include "swarm/swarm_heads.h"

#include "swarm/swarm_ask.h"
#include "swarm/swarm_internal.h"

#include <stdlib.h>

enum {
    HEADS_PEERS = SWARM_HEADS_CELLS + 1,
    HEADS_LAST_MS = 1000, /* for peers that seem to sleep, once all others have answered */
};

struct heads_peer {
    struct swarm_heads *heads;
    struct swarm_peer *peer;
    struct swarm_ask *ask; /* under way, or NULL */
    uint16_t cell;         /* number in the group; PLACEMENT_NONE: the coordinator */
    bool good;             /* when it was asked */
};

struct swarm_heads {
    struct swarm_task task;
    struct swarm *swarm;
    struct placement_group group; /* of the account */
    struct heads_peer peers[HEADS_PEERS];
    unsigned count, asking;
    struct wire_path path;
    bool is_put, cancelled, late;
    uint64_t ends_at_ms; /* 0: not yet known */
    struct buf body;     /* put: owned */
    unsigned losses;
    uint16_t stored[HEADS_PEERS]; /* cells that did, for counting domains */
    unsigned stored_count;
    enum err failed; /* of the newest peer that did */
    struct errmsg why;
    struct swarm_heads_result result;
    swarm_heads_fn *each;
    swarm_newer_fn *newer;
    swarm_heads_done_fn *done;
    void *user;
};

static bool heads_over(const struct swarm_heads *heads)
{
    return heads->cancelled || heads->late;
}

static void note_failure(struct heads_peer *at, enum err e, const struct errmsg *msg)
{
    if (e == ERR_CANCELLED)
        return;
    at->heads->failed = e;
    at->heads->why = *msg;
}

static void got(void *user, enum err e, struct slice body, const struct errmsg *msg)
{
    struct heads_peer *at = user;
    struct swarm_heads *heads = at->heads;
    struct wire_heads found;
    at->ask = NULL;
    heads->asking--;
    if (e == ERR_OK)
        e = wire_heads_decode(body, &found);
    if (e == ERR_OK || e == ERR_NOT_FOUND)
        heads->result.answered++;
    else
        note_failure(at, e, msg);
    if (e == ERR_OK && !heads_over(heads))
        heads->each(heads->user, &at->peer->id, &found);
    swarm_task_wake(&heads->task);
}

/* A domain is new when its cell could have held a shard beside the others. */
static void count_stored(struct swarm_heads *heads, const struct heads_peer *at)
{
    if (at->cell == PLACEMENT_NONE) {
        heads->result.domains++;
        return;
    }
    if (!placement_fits(&heads->group, heads->stored, heads->stored_count, at->cell))
        return;
    heads->stored[heads->stored_count++] = at->cell;
    heads->result.domains++;
}

static void was_put(void *user, enum err e, struct slice body, const struct errmsg *msg)
{
    struct heads_peer *at = user;
    struct swarm_heads *heads = at->heads;
    struct wire_list held;
    uint64_t number;
    at->ask = NULL;
    heads->asking--;
    if (e == ERR_STALE) {
        heads->result.stale++;
        if (heads->newer && body.size > 0 && !heads_over(heads))
            heads->newer(heads->user, &at->peer->id, body);
    }
    if (e == ERR_OK)
        e = wire_heads_reply_decode(body, &number, &held);
    if (e == ERR_OK) {
        heads->result.answered++;
        count_stored(heads, at);
    } else {
        note_failure(at, e, msg);
    }
    swarm_task_wake(&heads->task);
}

/* ---- whom ---- */

static void add_peer(struct swarm_heads *heads, struct swarm_peer *peer, uint16_t cell)
{
    heads->peers[heads->count++] = (struct heads_peer){
        .heads = heads, .peer = peer, .cell = cell, .good = swarm_peer_good(heads->swarm, peer)};
}

/* The coordinator and the first cells of the account's order. */
static enum err find_peers(struct swarm_heads *heads, const struct id *account)
{
    struct swarm *swarm = heads->swarm;
    enum err e = swarm_members_group(swarm, account, &heads->group);
    if (e == ERR_OK && swarm->coordinator)
        add_peer(heads, swarm->coordinator, PLACEMENT_NONE);
    for (uint16_t i = 0; i < heads->group.count && i < SWARM_HEADS_CELLS && e == ERR_OK; i++) {
        struct swarm_peer *peer = swarm_peer_get(swarm, &heads->group.cells[i].id);
        if (peer)
            add_peer(heads, peer, i);
        else
            e = ERR_NOMEM;
    }
    return e;
}

/* Domains that there are: all of them, when that is fewer than m + 1. */
static unsigned domains_needed(const struct swarm_heads *heads)
{
    uint16_t used[HEADS_PEERS];
    unsigned count = 0, there = 0;
    for (unsigned i = 0; i < heads->count; i++) {
        const uint16_t cell = heads->peers[i].cell;
        if (cell == PLACEMENT_NONE)
            there++;
        else if (placement_fits(&heads->group, used, count, cell))
            used[count++] = cell;
    }
    there += count;
    return heads->losses + 1 < there ? heads->losses + 1 : there;
}

/* ---- the end ---- */

static enum err outcome(struct swarm_heads *heads, struct errmsg *msg)
{
    const struct swarm_heads_result *result = &heads->result;
    if (heads->cancelled)
        return err_say(msg, ERR_CANCELLED, "cancelled");
    if (!heads->is_put) {
        if (result->answered > 0)
            return ERR_OK;
        return err_say(msg, ERR_UNREACHABLE,
                       "nobody who could have heads of this account answers%s%s",
                       heads->why.text[0] ? ": " : "", heads->why.text);
    }
    if (result->stale > 0)
        return err_say(msg, ERR_STALE, "%u of %u hold something newer of this account",
                       result->stale, result->asked);
    if (result->domains >= result->needed && result->needed > 0)
        return ERR_OK;
    return err_say(msg, ERR_NOT_ENOUGH, "the head rests with %u of the %u that it needs%s%s",
                   result->domains, result->needed, heads->why.text[0] ? ": " : "",
                   heads->why.text);
}

static void set_patience(struct swarm_heads *heads)
{
    unsigned good_asking = 0;
    uint64_t ends_at_ms = 0;
    for (unsigned i = 0; i < heads->count; i++)
        good_asking += heads->peers[i].good && heads->peers[i].ask;
    if (good_asking == 0)
        ends_at_ms = swarm_now_ms(heads->swarm) + HEADS_LAST_MS;
    else if (heads->asking * 2 <= heads->count)
        ends_at_ms = swarm_now_ms(heads->swarm) + SWARM_HEADS_PATIENCE_MS;
    /* when nobody has answered yet, the sleeping ones are all that there is */
    if (ends_at_ms && heads->result.answered > 0 &&
        (heads->ends_at_ms == 0 || ends_at_ms < heads->ends_at_ms))
        heads->ends_at_ms = ends_at_ms;
}

static void cancel_rest(struct swarm_heads *heads)
{
    for (unsigned i = 0; i < heads->count; i++)
        if (heads->peers[i].ask)
            swarm_ask_cancel(heads->peers[i].ask);
}

static void step(struct swarm_task *task)
{
    struct swarm_heads *heads = container_of(task, struct swarm_heads, task);
    struct errmsg msg = {0};
    if (heads->asking > 0 && !heads_over(heads)) {
        set_patience(heads);
        if (heads->ends_at_ms && swarm_now_ms(heads->swarm) >= heads->ends_at_ms) {
            heads->late = true;
            cancel_rest(heads);
        }
    }
    if (heads->asking > 0)
        return;
    const enum err e = outcome(heads, &msg);
    swarm_task_end(&heads->task);
    heads->done(heads->user, e, &heads->result, &msg);
    buf_free(&heads->body);
    free(heads);
}

/* ---- start ---- */

static enum err ask(struct heads_peer *at)
{
    struct swarm_heads *heads = at->heads;
    struct buf copy = BUF_INIT(WIRE_HEADS_BYTES);
    char text[WIRE_PATH_SIZE];
    enum err e = ERR_OK;
    wire_path_format(&heads->path, text);
    if (heads->is_put)
        e = buf_append(&copy, heads->body.data, heads->body.size);
    if (e == ERR_OK)
        e = swarm_ask_start(heads->swarm, at->peer, heads->is_put ? NET_PUT : NET_GET, text,
                            heads->is_put ? &copy : NULL,
                            heads->is_put ? WIRE_HEADS_REPLY_BYTES : WIRE_HEADS_BYTES,
                            heads->is_put ? was_put : got, at, &at->ask, &heads->why);
    if (e != ERR_OK)
        buf_free(&copy);
    heads->result.asked++;
    heads->asking += e == ERR_OK;
    return e;
}

static enum err heads_new(struct swarm *swarm, const struct id *account, struct swarm_heads **out,
                          struct errmsg *msg)
{
    struct swarm_heads *heads = calloc(1, sizeof(*heads));
    if (!heads)
        return err_say(msg, ERR_NOMEM, "out of memory");
    heads->swarm = swarm;
    heads->path = (struct wire_path){.route = WIRE_HEADS, .id = *account};
    heads->body = BUF_INIT(WIRE_HEADS_BYTES);
    enum err e = find_peers(heads, account);
    if (e == ERR_OK && heads->count == 0)
        e = err_say(msg, ERR_STATE, "neither a coordinator nor a cell of the swarm is known");
    else if (e != ERR_OK)
        (void)err_say(msg, e, "out of memory");
    if (e != ERR_OK)
        free(heads);
    else
        *out = heads;
    return e;
}

/* Asks everybody; who cannot even be asked counts as one that failed. */
static void heads_go(struct swarm_heads *heads)
{
    swarm_task_begin(&heads->task, heads->swarm, step);
    swarm_task_tick(&heads->task);
    for (unsigned i = 0; i < heads->count; i++)
        (void)!ask(&heads->peers[i]);
    swarm_task_wake(&heads->task);
}

enum err swarm_heads_get(struct swarm *swarm, const struct id *account, swarm_heads_fn *each,
                         swarm_heads_done_fn *done, void *user, struct swarm_heads **out,
                         struct errmsg *msg)
{
    struct swarm_heads *heads;
    enum err e = heads_new(swarm, account, &heads, msg);
    if (e != ERR_OK)
        return e;
    heads->each = each;
    heads->done = done;
    heads->user = user;
    heads_go(heads);
    if (out)
        *out = heads;
    return ERR_OK;
}

enum err swarm_heads_put(struct swarm *swarm, const struct swarm_heads_put *put,
                         struct swarm_heads **out, struct errmsg *msg)
{
    struct swarm_heads *heads;
    enum err e = heads_new(swarm, &put->account, &heads, msg);
    if (e != ERR_OK)
        return e;
    heads->is_put = true;
    heads->losses = put->losses;
    heads->newer = put->newer;
    heads->done = put->done;
    heads->user = put->user;
    heads->result.needed = domains_needed(heads);
    e = wire_heads_encode(put->manifest, put->heads, put->head_count, &heads->body);
    if (e != ERR_OK) {
        buf_free(&heads->body);
        free(heads);
        return err_say(msg, e, "the heads cannot be sent: %s", err_words(e));
    }
    heads_go(heads);
    if (out)
        *out = heads;
    return ERR_OK;
}

void swarm_heads_cancel(struct swarm_heads *heads)
{
    if (heads_over(heads))
        return;
    heads->cancelled = true;
    cancel_rest(heads);
    swarm_task_wake(&heads->task);
}
