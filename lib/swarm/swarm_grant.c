#include "swarm/swarm_grant.h"

#include "identity/grant.h"
#include "swarm/swarm_ask.h"
#include "swarm/swarm_internal.h"

#include <stdlib.h>

enum {
    GRANT_MARGIN_S = 60,       /* one that is about to expire is not begun */
    GRANT_AGAIN_MS = 10000,    /* after a question that failed */
    GRANT_REFUSED_MS = 60000,  /* a cell for which none came */
    GRANT_AHEAD_S = 3 * 86400, /* who asks ahead wants them to hold for so long */
    GRANT_LOW = 4,             /* asked for again when less than a quarter is left */
};

struct swarm_grants_task {
    struct swarm *swarm;
    struct swarm_ask *ask;
    uint64_t bytes;
    uint16_t asked[LIMIT_GROUP_CELLS]; /* numbers in the group */
    size_t count;
    bool cancelled;
    /* of swarm_grants_ask(); NULL for a question that an upload asked */
    swarm_done_fn *done;
    void *user;
};

void swarm_grant_free(struct swarm_grant *grant)
{
    free(grant);
}

static bool is_over(const struct swarm *swarm, const struct swarm_grant *grant)
{
    return grant->expires_s < swarm_time_s(swarm) + GRANT_MARGIN_S;
}

static uint64_t left(const struct swarm *swarm, const struct swarm_peer *peer)
{
    const struct swarm_grant *grant = peer->grant;
    return grant && !is_over(swarm, grant) ? grant->bytes - grant->spent : 0;
}

bool swarm_grant_spend(struct swarm *swarm, struct swarm_peer *peer, uint64_t bytes)
{
    if (left(swarm, peer) < bytes)
        return false;
    peer->grant->spent += bytes;
    return true;
}

void swarm_grant_return(struct swarm_peer *peer, uint64_t bytes)
{
    if (peer->grant)
        peer->grant->spent -= bytes < peer->grant->spent ? bytes : peer->grant->spent;
}

void swarm_grant_drop(struct swarm_peer *peer)
{
    swarm_grant_free(peer->grant);
    peer->grant = NULL;
}

/* A grant document of ours for a cell that we know takes the place of what was there. */
static enum err take(struct swarm *swarm, struct slice document, uint64_t spent)
{
    struct grant grant;
    const struct id *coordinator = swarm->coordinator ? &swarm->coordinator->id : NULL;
    enum err e = grant_open(document, &swarm->root, coordinator, &grant, NULL);
    if (e != ERR_OK)
        return e;
    struct swarm_peer *peer = swarm_peer_find(swarm, &grant.cell);
    if (!peer || !id_equal(&grant.account, &swarm->account) || spent > grant.budget_bytes)
        return ERR_NOT_FOUND;
    struct swarm_grant *made = malloc(sizeof(*made) + document.size);
    if (!made)
        return ERR_NOMEM;
    *made = (struct swarm_grant){.expires_s = grant.expires_s,
                                 .bytes = grant.budget_bytes,
                                 .spent = spent,
                                 .size = document.size};
    memcpy(made->document, document.data, document.size);
    if (is_over(swarm, made)) {
        free(made);
        return ERR_STALE;
    }
    swarm_grant_free(peer->grant);
    peer->grant = made;
    peer->refused_until_ms = 0;
    return ERR_OK;
}

/* ---- asking ---- */

static void refuse_rest(struct swarm *swarm, const struct swarm_grants_task *task)
{
    for (size_t i = 0; i < task->count; i++) {
        struct swarm_peer *peer =
            task->asked[i] < swarm->group.count ? swarm->group_peers[task->asked[i]] : NULL;
        if (peer && left(swarm, peer) < task->bytes)
            peer->refused_until_ms = swarm_now_ms(swarm) + GRANT_REFUSED_MS;
    }
}

/* Grants came, and the largest is not even for one shard. */
static bool too_small(const struct swarm *swarm, const struct swarm_grants_task *task)
{
    uint64_t most = 0;
    for (size_t i = 0; i < task->count; i++) {
        const struct swarm_peer *peer =
            task->asked[i] < swarm->group.count ? swarm->group_peers[task->asked[i]] : NULL;
        const uint64_t has = peer ? left(swarm, peer) : 0;
        most = has > most ? has : most;
    }
    return most > 0 && most < task->bytes;
}

static void answered(void *user, enum err e, struct slice body, const struct errmsg *why)
{
    struct swarm_grants_task *task = user;
    struct swarm *swarm = task->swarm;
    struct errmsg msg = *why;
    struct wire_list grants;
    struct slice document;
    swarm->granting = NULL;
    if (e == ERR_OK) {
        e = wire_grants_decode(body, &grants);
        if (e != ERR_OK)
            (void)err_say(&msg, e, "the coordinator's grants make no sense: %s", err_words(e));
    }
    while (e == ERR_OK && wire_grants_next(&grants, &document)) {
        const enum err taken = take(swarm, document, 0);
        if (taken != ERR_OK)
            log_say(swarm->log, LOG_WARN, "a grant of the coordinator is of no use: %s",
                    err_words(taken));
    }
    if (e == ERR_OK && !task->done && too_small(swarm, task))
        e = err_say(&msg, ERR_QUOTA,
                    "the account's quota is all but used up: no cell may take a "
                    "shard of this size any more");
    if (e == ERR_OK) {
        refuse_rest(swarm, task);
        swarm->grants_after_ms = 0;
    } else if (e != ERR_CANCELLED) {
        swarm->grants_after_ms = swarm_now_ms(swarm) + GRANT_AGAIN_MS;
        swarm->grants_why = msg;
        swarm->grants_e = e;
    }
    swarm_task_wake_all(swarm);
    if (task->done)
        task->done(task->user, e, &msg);
    free(task);
}

/* Is there enough at this cell? Near a quota grants are small: one that is hardly spent is not
   asked for again, because what is promised twice is not there for anything else. */
static bool has_enough(const struct swarm *swarm, const struct swarm_grants_task *task,
                       const struct swarm_peer *peer)
{
    const struct swarm_grant *grant = peer->grant;
    const uint64_t has = left(swarm, peer);
    const uint64_t usual =
        grant && grant->bytes < swarm->grant_bytes ? grant->bytes : swarm->grant_bytes;
    if (!task->done)
        return has >= task->bytes && has >= usual / GRANT_LOW;
    const uint64_t wanted = task->bytes < usual / 2 ? task->bytes : usual / 2;
    return grant && has >= wanted && grant->expires_s > swarm_time_s(swarm) + GRANT_AHEAD_S;
}

static enum err encode(struct swarm *swarm, struct swarm_grants_task *task, struct buf *out)
{
    struct wire_want wants[LIMIT_GROUP_CELLS];
    for (uint16_t i = 0; i < swarm->group.count; i++) {
        const struct swarm_peer *peer = swarm->group_peers[i];
        if (has_enough(swarm, task, peer))
            continue;
        task->asked[task->count] = i;
        wants[task->count++] = (struct wire_want){
            .cell = peer->id,
            .bytes = task->bytes > swarm->grant_bytes ? task->bytes : swarm->grant_bytes};
    }
    return wire_place_encode(swarm_list_number(swarm), wants, task->count, out);
}

static enum err ask(struct swarm *swarm, uint64_t bytes, swarm_done_fn *done, void *user,
                    struct errmsg *msg)
{
    struct buf body = BUF_INIT(WIRE_PLACE_BYTES);
    if (!swarm->coordinator)
        return err_say(msg, ERR_UNREACHABLE, "no coordinator is known");
    struct swarm_grants_task *task = calloc(1, sizeof(*task));
    if (!task)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *task = (struct swarm_grants_task){.swarm = swarm, .bytes = bytes, .done = done, .user = user};
    enum err e = encode(swarm, task, &body);
    if (e == ERR_OK)
        e = swarm_ask_start(swarm, swarm->coordinator, NET_POST, wire_path_plain(WIRE_PLACE), &body,
                            WIRE_GRANTS_BYTES, answered, task, &task->ask, msg);
    if (e != ERR_OK) {
        buf_free(&body);
        free(task);
        return e;
    }
    swarm->granting = task;
    return ERR_OK;
}

enum err swarm_grant_need(struct swarm *swarm, uint64_t bytes, struct errmsg *msg)
{
    if (swarm->granting)
        return ERR_OK;
    if (swarm_now_ms(swarm) < swarm->grants_after_ms) {
        if (msg)
            *msg = swarm->grants_why;
        return swarm->grants_e == ERR_QUOTA ? ERR_QUOTA : ERR_UNREACHABLE;
    }
    return ask(swarm, bytes, NULL, NULL, msg);
}

bool swarm_grant_settle(struct swarm *swarm, const struct swarm_task *last)
{
    struct swarm_grants_task *task = swarm->granting;
    if (!task || task->done || swarm->ticking.next != &last->ticking ||
        last->ticking.next != &swarm->ticking)
        return true;
    if (!task->cancelled)
        swarm_ask_cancel(task->ask);
    task->cancelled = true;
    return false;
}

enum err swarm_grants_ask(struct swarm *swarm, uint64_t bytes_each, swarm_done_fn *done, void *user,
                          struct errmsg *msg)
{
    if (swarm->granting)
        return err_say(msg, ERR_BUSY, "grants are being asked for already");
    if (swarm->group.count == 0)
        return err_say(msg, ERR_STATE, "there is no cell that could be asked for a grant");
    return ask(swarm, bytes_each, done, user, msg);
}

/* ---- keeping them: CBOR array of [document, spent] ---- */

enum { SAVED_MAX = 65536 };

enum err swarm_grants_save(const struct swarm *swarm, struct buf *out)
{
    struct cbor_writer w = cbor_write_into(out);
    const struct swarm_peer *peer;
    size_t at = 0;
    cbor_write_array(&w);
    while ((peer = idmap_next(&swarm->peers, &at, NULL))) {
        if (left(swarm, peer) == 0)
            continue;
        cbor_write_array(&w);
        cbor_write_bytes(&w, slice_of(peer->grant->document, peer->grant->size));
        cbor_write_u64(&w, peer->grant->spent);
        cbor_write_end(&w);
    }
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

enum err swarm_grants_load(struct swarm *swarm, struct slice bytes)
{
    struct cbor_reader r = cbor_read_over(bytes);
    const size_t count = cbor_read_array(&r, SAVED_MAX);
    for (size_t i = 0; i < count && r.e == ERR_OK; i++) {
        if (cbor_read_array(&r, 2) != 2)
            cbor_read_refuse(&r, ERR_FORMAT);
        const struct slice document = cbor_read_bytes(&r, GRANT_BYTES_MAX);
        const uint64_t spent = cbor_read_u64(&r, UINT64_MAX);
        cbor_read_end(&r);
        if (r.e == ERR_OK && take(swarm, document, spent) == ERR_NOMEM)
            return ERR_NOMEM;
    }
    cbor_read_end(&r);
    return cbor_read_finish(&r, NULL, "saved grants");
}
