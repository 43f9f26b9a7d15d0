/*
 * Repair and proof: handing out tickets and hearing what became of them. On the registry's lane.
 */
#include "coordinator_internal.h"

#include "identity/ticket.h"
#include "wire/wire_audit.h"
#include "wire/wire_repair.h"

/* A device repairs what is its account's. */
static bool is_owner(const struct serve_peer *peer)
{
    return peer->kind == SERVE_DEVICE && (peer->capabilities & MANIFEST_PUT) &&
           (peer->capabilities & MANIFEST_READ);
}

enum err coordinator_repairs(void *owner, struct serve_request *request, struct slice body,
                             struct buf *reply, struct errmsg *msg)
{
    struct coordinator *c = owner;
    struct registry *registry = c->options.registry;
    struct buf ticket = BUF_INIT(TICKET_BYTES_MAX);
    struct wire_work_reply answer = {0};
    const struct id *peer = &request->peer.id;
    const int64_t now_s = coordinator_now(request);
    unsigned wanted;
    enum err e = wire_work_decode(body, &wanted);
    if (e != ERR_OK)
        return err_say(msg, e, "the request for work cannot be read");
    const bool of_owner = is_owner(&request->peer);
    if (request->peer.kind != SERVE_CELL && !of_owner)
        return serve_deny(&request->peer, msg, "take tickets: it is no cell");
    if (of_owner)
        wanted &= WIRE_WORK_REPAIR;
    e = ERR_NOT_FOUND;
    if (wanted & WIRE_WORK_REPAIR) {
        e = registry_repair_take(registry, peer, of_owner ? &request->peer.account : NULL, now_s,
                                 &ticket, msg);
        answer.kind = WIRE_WORK_REPAIR;
    }
    if (e == ERR_NOT_FOUND && (wanted & WIRE_WORK_PROOF)) {
        e = registry_proof_take(registry, peer, now_s, &ticket, msg);
        answer.kind = WIRE_WORK_PROOF;
    }
    if (e == ERR_NOT_FOUND) {
        answer.kind = 0;
        e = ERR_OK;
    }
    answer.ticket = buf_slice(&ticket);
    if (e == ERR_OK)
        e = wire_work_reply_encode(&answer, reply);
    buf_free(&ticket);
    return e;
}

enum err coordinator_report(void *owner, struct serve_request *request, struct slice body,
                            struct buf *reply, struct errmsg *msg)
{
    struct coordinator *c = owner;
    struct wire_report report;
    (void)reply;
    const enum err e = wire_report_decode(body, &report);
    if (e != ERR_OK)
        return err_say(msg, e, "the report on a ticket cannot be read");
    if (request->peer.kind != SERVE_CELL && !is_owner(&request->peer))
        return serve_deny(&request->peer, msg, "report on tickets: it is no cell");
    return registry_report(c->options.registry, &request->peer.id, &report,
                           coordinator_now(request), msg);
}

enum err coordinator_damage(void *owner, struct serve_request *request, struct slice body,
                            struct buf *reply, struct errmsg *msg)
{
    struct coordinator *c = owner;
    struct wire_list shards;
    (void)reply;
    const enum err e = wire_damage_decode(body, &shards);
    if (e != ERR_OK)
        return err_say(msg, e, "the report of damage cannot be read");
    if (request->peer.kind != SERVE_CELL)
        return serve_deny(&request->peer, msg, "report damage: it is no cell");
    return registry_damage(c->options.registry, &request->peer.id, &shards,
                           coordinator_now(request), msg);
}

enum err coordinator_verdicts(void *owner, struct serve_request *request, struct slice body,
                              struct buf *reply, struct errmsg *msg)
{
    struct coordinator *c = owner;
    struct wire_list verdicts;
    uint32_t taken;
    enum err e = wire_verdicts_decode(body, &verdicts);
    if (e != ERR_OK)
        return err_say(msg, e, "the verdicts cannot be read");
    if (request->peer.kind != SERVE_CELL)
        return serve_deny(&request->peer, msg, "speak about others' shards: it is no cell");
    e = registry_verdicts(c->options.registry, &request->peer.id, &verdicts,
                          coordinator_now(request), &taken, msg);
    return e == ERR_OK ? wire_verdicts_reply_encode(taken, reply) : e;
}

enum err coordinator_away(void *owner, struct serve_request *request, struct slice body,
                          struct buf *reply, struct errmsg *msg)
{
    struct coordinator *c = owner;
    const struct serve_peer *peer = &request->peer;
    struct id cell;
    int64_t until_s;
    (void)reply;
    const enum err e = wire_away_decode(body, &cell, &until_s);
    if (e != ERR_OK)
        return err_say(msg, e, "the absence cannot be read");
    if (peer->kind != SERVE_DEVICE || !(peer->capabilities & MANIFEST_ADMIN))
        return serve_deny(peer, msg, "announce an absence: it is no account's admin");
    return registry_away(c->options.registry, &peer->account, &cell, until_s,
                         coordinator_now(request), msg);
}
