#include "swarm/swarm_fetch.h"

#include "base/planted.h"
#include "wire/wire_error.h"
#include "wire/wire_path.h"

#include <assert.h>

static void end(struct swarm_fetch *fetch, enum err e)
{
    fetch->state = SWARM_FETCH_ENDED;
    fetch->e = e;
    fetch->ended(fetch);
}

/* ---- the bytes ---- */

static void break_off(struct swarm_fetch *fetch, enum err e, const char *why)
{
    if (fetch->broken != ERR_OK || fetch->cancelled)
        return;
    fetch->broken = err_say(&fetch->msg, e, "%s", why);
    net_call_cancel(fetch->call);
}

static void on_response(void *user, struct net_call *call, unsigned status, uint64_t body_size)
{
    (void)call, (void)body_size;
    struct swarm_fetch *fetch = user;
    fetch->status = status;
}

static void take_error(struct swarm_fetch *fetch, struct slice bytes)
{
    const size_t room = sizeof(fetch->error) - fetch->error_size;
    const size_t size = bytes.size < room ? bytes.size : room;
    memcpy(fetch->error + fetch->error_size, bytes.data, size);
    fetch->error_size += (uint32_t)size;
}

/* Moves up to `*have` .. `want` bytes of `from` to `to`. */
static void fill(uint8_t *to, uint32_t *have, uint32_t want, struct slice *from)
{
    const uint32_t room = want - *have;
    const uint32_t size = from->size < room ? (uint32_t)from->size : room;
    if (size == 0)
        return;
    memcpy(to + *have, from->data, size);
    *have += size;
    from->data += size;
    from->size -= size;
}

static void take_leaves(struct swarm_fetch *fetch, struct slice bytes)
{
    if (fetch->head_size < WIRE_SHARD_HEAD_SIZE) {
        fill(fetch->head, &fetch->head_size, WIRE_SHARD_HEAD_SIZE, &bytes);
        if (fetch->head_size < WIRE_SHARD_HEAD_SIZE)
            return;
        if (wire_leaf_path_size(fetch->head, &fetch->path_size) != ERR_OK) {
            fetch->lied = true;
            break_off(fetch, ERR_PEER, "its answer does not begin as it must");
            return;
        }
    }
    fill(fetch->path, &fetch->path_received, fetch->path_size, &bytes);
    fill(fetch->out, &fetch->received, fetch->size, &bytes);
    if (bytes.size > 0) {
        fetch->lied = true;
        break_off(fetch, ERR_PEER, "it sends more than was asked for");
    }
}

static void on_body(void *user, struct net_call *call, struct slice bytes)
{
    struct swarm_fetch *fetch = user;
    const size_t size = bytes.size;
    if (fetch->cancelled || fetch->broken != ERR_OK)
        return;
    if (wire_status_failed(fetch->status))
        take_error(fetch, bytes);
    else
        take_leaves(fetch, bytes);
    net_call_credit(call, size);
}

/* ---- the check ---- */

static void check_run(struct work_job *job)
{
    struct swarm_fetch *fetch = container_of(job, struct swarm_fetch, check);
    struct sha256 *h;
    enum err e = sha256_new(&h);
    if (e != ERR_OK) {
        fetch->e = e;
        return;
    }
    fetch->e = ERR_OK;
    if (!PLANTED(ONE_SOURCE) || fetch->net_class != NET_REPAIR)
        fetch->e = segment_leaves_verify(h, fetch->header, fetch->shard, fetch->leaf_first,
                                         fetch->leaf_count, slice_of(fetch->out, fetch->size),
                                         slice_of(fetch->path, fetch->path_size));
    sha256_free(h);
}

static void check_done(struct work_job *job)
{
    struct swarm_fetch *fetch = container_of(job, struct swarm_fetch, check);
    if (fetch->e == ERR_CORRUPT || fetch->e == ERR_FORMAT) {
        fetch->lied = true;
        (void)err_say(&fetch->msg, fetch->e, "what it sends does not belong to the segment's name");
    } else if (fetch->e != ERR_OK) {
        (void)err_say(&fetch->msg, fetch->e, "%s", err_words(fetch->e));
    }
    end(fetch, fetch->e);
}

/* ---- the call ---- */

static enum err outcome(struct swarm_fetch *fetch, enum err e, const struct errmsg *msg)
{
    if (fetch->cancelled)
        return err_say(&fetch->msg, ERR_CANCELLED, "cancelled");
    if (fetch->broken != ERR_OK)
        return fetch->broken;
    if (e != ERR_OK) {
        fetch->msg = *msg;
        return e;
    }
    if (wire_status_failed(fetch->status))
        return wire_error_take(fetch->status, slice_of(fetch->error, fetch->error_size), NULL,
                               &fetch->msg);
    if (fetch->received != fetch->size || fetch->path_received != fetch->path_size)
        return err_say(&fetch->msg, ERR_PEER, "it sent %u of %u bytes", fetch->received,
                       fetch->size);
    return ERR_OK;
}

static void on_done(void *user, struct net_call *call, enum err e, const struct errmsg *msg)
{
    (void)call;
    struct swarm_fetch *fetch = user;
    struct swarm *swarm = fetch->swarm;
    e = outcome(fetch, e, msg);
    swarm_peer_release(fetch->addresses);
    swarm_peer_went(swarm, fetch->peer, e);
    if (e == ERR_OK) {
        swarm_pace_add(&swarm->fetch_pace, fetch->size,
                       swarm_now_ms(swarm) - fetch->moving_since_ms);
        fetch->state = SWARM_FETCH_CHECKING;
        fetch->check = (struct work_job){.run = check_run, .done = check_done};
        work_submit(swarm->work, NULL, &fetch->check);
    }
    struct swarm_gate *gate = &fetch->peer->fetches;
    if (e != ERR_OK)
        end(fetch, e);
    swarm_gate_leave(gate);
}

static void go(struct swarm_fetch *fetch)
{
    static const struct net_call_events events = {on_response, on_body, on_done};
    const struct wire_path path = {
        .route = WIRE_SHARD, .id = fetch->segment, .index = fetch->shard};
    char text[WIRE_PATH_SIZE];
    struct net_request request = {
        .method = NET_GET,
        .path = wire_path_format(&path, text),
        .net_class = fetch->net_class,
    };
    if (fetch->leaf_count < segment_leaf_count(fetch->header->shard_bytes)) {
        request.leaf_first = fetch->leaf_first;
        request.leaf_count = fetch->leaf_count;
    }
    fetch->state = SWARM_FETCH_MOVING;
    fetch->moving_since_ms = swarm_now_ms(fetch->swarm);
    fetch->addresses = swarm_peer_target(fetch->peer, &request.target);
    const enum err e =
        net_call_start(fetch->swarm->net, &request, &events, fetch, &fetch->call, &fetch->msg);
    if (e == ERR_OK)
        return;
    struct swarm_gate *gate = &fetch->peer->fetches;
    swarm_peer_release(fetch->addresses);
    end(fetch, e);
    swarm_gate_leave(gate);
}

static void turn_came(struct swarm_slot *slot)
{
    go(container_of(slot, struct swarm_fetch, slot));
}

void swarm_fetch_start(struct swarm_fetch *fetch)
{
    fetch->size =
        segment_leaves_bytes(fetch->header->shard_bytes, fetch->leaf_first, fetch->leaf_count);
    fetch->state = SWARM_FETCH_WAITING;
    fetch->slot.ready = turn_came;
    if (swarm_gate_enter(&fetch->peer->fetches, &fetch->slot))
        go(fetch);
}

void swarm_fetch_cancel(struct swarm_fetch *fetch)
{
    switch (fetch->state) {
    case SWARM_FETCH_WAITING:
        swarm_gate_forget(&fetch->slot);
        end(fetch, err_say(&fetch->msg, ERR_CANCELLED, "cancelled"));
        break;
    case SWARM_FETCH_MOVING:
        if (!fetch->cancelled && fetch->broken == ERR_OK) {
            fetch->cancelled = true;
            net_call_cancel(fetch->call);
        }
        break;
    default:
        break;
    }
}
