#include "swarm/swarm_attempt.h"

#include "identity/receipt.h"
#include "swarm/swarm_grant.h"
#include "wire/wire_error.h"
#include "wire/wire_path.h"

static void end(struct swarm_attempt *attempt, enum err e)
{
    attempt->state = SWARM_ATTEMPT_ENDED;
    attempt->e = e;
    buf_free(&attempt->prelude);
    attempt->ended(attempt);
}

static void on_response(void *user, struct net_call *call, unsigned status, uint64_t body_size)
{
    (void)call, (void)body_size;
    struct swarm_attempt *attempt = user;
    attempt->status = status;
}

static void on_body(void *user, struct net_call *call, struct slice bytes)
{
    struct swarm_attempt *attempt = user;
    const size_t room = sizeof(attempt->answer) - attempt->answer_size;
    const size_t size = bytes.size < room ? bytes.size : room;
    memcpy(attempt->answer + attempt->answer_size, bytes.data, size);
    attempt->answer_size += (uint32_t)size;
    net_call_credit(call, bytes.size);
}

/* The cell's signature, and that it speaks of what was sent. */
static enum err check_receipt(struct swarm_attempt *attempt)
{
    const struct swarm_upload_request *request = attempt->request;
    const struct id *account =
        attempt->ticket.size ? attempt->ticket_account : &attempt->swarm->account;
    struct receipt receipt;
    enum err e = receipt_open(slice_of(attempt->answer, attempt->answer_size),
                              &attempt->swarm->root, &attempt->peer->id, &receipt, &attempt->msg);
    if (e != ERR_OK)
        return err_wrap(&attempt->msg, ERR_PEER, "its receipt is of no use");
    if (!id_equal(&receipt.segment, &request->segment) || receipt.index != attempt->shard ||
        receipt.shard_bytes != request->shard_bytes || receipt.slot != request->device_slot ||
        !id_equal(&receipt.account, account))
        return err_say(&attempt->msg, ERR_PEER, "its receipt is for something else");
    return ERR_OK;
}

static enum err outcome(struct swarm_attempt *attempt, enum err e, const struct errmsg *msg)
{
    if (e != ERR_OK) {
        attempt->msg = *msg;
        return attempt->cancelled ? ERR_CANCELLED : e;
    }
    if (wire_status_failed(attempt->status))
        return wire_error_take(attempt->status, slice_of(attempt->answer, attempt->answer_size),
                               NULL, &attempt->msg);
    return check_receipt(attempt);
}

static void on_done(void *user, struct net_call *call, enum err e, const struct errmsg *msg)
{
    (void)call;
    struct swarm_attempt *attempt = user;
    struct swarm *swarm = attempt->swarm;
    struct swarm_gate *gate = &attempt->peer->uploads;
    const uint32_t bytes = attempt->request->shard_bytes;
    e = outcome(attempt, e, msg);
    swarm_peer_release(attempt->addresses);
    swarm_peer_went(swarm, attempt->peer, e);
    if (e == ERR_OK)
        swarm_pace_add(&swarm->upload_pace, bytes, swarm_now_ms(swarm) - attempt->moving_since_ms);
    else if (attempt->ticket.size == 0)
        swarm_grant_return(attempt->peer, bytes);
    end(attempt, e);
    swarm_gate_leave(gate);
}

static enum err send_it(struct swarm_attempt *attempt)
{
    static const struct net_call_events events = {on_response, on_body, on_done};
    const struct swarm_upload_request *given = attempt->request;
    const struct swarm_grant *grant = attempt->peer->grant;
    const struct wire_path path = {
        .route = WIRE_SHARD, .id = given->segment, .index = attempt->shard};
    char text[WIRE_PATH_SIZE];
    attempt->prelude = BUF_INIT(WIRE_SHARD_HEAD_SIZE + WIRE_PRELUDE_BYTES);
    enum err e = wire_prelude_encode(
        &(struct wire_prelude){.grant = attempt->ticket.size
                                            ? attempt->ticket
                                            : slice_of(grant->document, grant->size),
                               .record = given->record,
                               .header = given->header},
        &attempt->prelude);
    if (e != ERR_OK)
        return err_say(&attempt->msg, e, "what goes in front of a shard cannot be written: %s",
                       err_words(e));
    attempt->body[0] = buf_slice(&attempt->prelude);
    attempt->body[1] = given->shards[attempt->shard];
    struct net_request request = {
        .method = NET_PUT,
        .path = wire_path_format(&path, text),
        .net_class = given->net_class,
        .body = attempt->body,
        .body_count = ARRAY_COUNT(attempt->body),
    };
    attempt->moving_since_ms = swarm_now_ms(attempt->swarm);
    attempt->addresses = swarm_peer_target(attempt->peer, &request.target);
    e = net_call_start(attempt->swarm->net, &request, &events, attempt, &attempt->call,
                       &attempt->msg);
    if (e != ERR_OK)
        swarm_peer_release(attempt->addresses);
    return e;
}

/* The gate is held. */
static void go(struct swarm_attempt *attempt)
{
    struct swarm_gate *gate = &attempt->peer->uploads;
    const uint32_t bytes = attempt->request->shard_bytes;
    enum err e;
    if (!swarm_peer_takes(attempt->swarm, attempt->peer)) /* it came to harm while we waited */
        e = err_say(&attempt->msg, ERR_UNREACHABLE, "it failed just before");
    else if (attempt->ticket.size)
        e = send_it(attempt);
    else if (!swarm_grant_spend(attempt->swarm, attempt->peer, bytes))
        e = err_say(&attempt->msg, ERR_STALE, "the grant for it is spent");
    else if ((e = send_it(attempt)) != ERR_OK)
        swarm_grant_return(attempt->peer, bytes);
    if (e == ERR_OK) {
        attempt->state = SWARM_ATTEMPT_MOVING;
        attempt->moved = true;
        return;
    }
    end(attempt, e);
    swarm_gate_leave(gate);
}

static void turn_came(struct swarm_slot *slot)
{
    go(container_of(slot, struct swarm_attempt, slot));
}

void swarm_attempt_start(struct swarm_attempt *attempt)
{
    attempt->state = SWARM_ATTEMPT_WAITING;
    attempt->slot.ready = turn_came;
    if (swarm_gate_enter(&attempt->peer->uploads, &attempt->slot))
        go(attempt);
}

void swarm_attempt_cancel(struct swarm_attempt *attempt)
{
    if (attempt->state == SWARM_ATTEMPT_WAITING) {
        swarm_gate_forget(&attempt->slot);
        end(attempt, err_say(&attempt->msg, ERR_CANCELLED, "cancelled"));
    } else if (attempt->state == SWARM_ATTEMPT_MOVING && !attempt->cancelled) {
        attempt->cancelled = true;
        net_call_cancel(attempt->call);
    }
}
