#include "cell_internal.h"

#include "identity/grant.h"
#include "identity/receipt.h"
#include "identity/signed_record.h"
#include "identity/ticket.h"
#include "segment/segment_header.h"
#include "wire/wire_shard.h"

#include <stdlib.h>

/* `device`: who must have signed it; NULL: which device did is the coordinator's word, since a
   repairer brings it. */
static enum err check_record(const struct cell_view *view, const struct id *device,
                             const struct segment_header *header, const struct id *segment,
                             struct slice doc, struct errmsg *msg)
{
    struct signed_record record;
    const enum err e = signed_record_open(doc, view->swarm, device, &record, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "the segment record that came with the shard");
    if (!id_equal(&record.segment, segment) || !id_equal(&record.account, &header->account) ||
        record.slot != header->device_slot)
        return err_say(msg, ERR_DENIED, "the segment record names another segment or device");
    return ERR_OK;
}

static enum err check_grant(const struct cell_view *view, const struct serve_peer *peer,
                            const struct id *cell_id, struct slice doc, struct cell_admission *out,
                            struct errmsg *msg)
{
    struct grant grant;
    if (id_is_zero(&view->coordinator))
        return err_say(msg, ERR_BUSY, "this cell knows no coordinator yet, so no grant counts");
    const enum err e = grant_open(doc, view->swarm, &view->coordinator, &grant, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "the grant that came with the shard");
    if (grant.incarnation != view->incarnation)
        return err_say(msg, ERR_STALE, "the grant is of coordinator incarnation %u, %u counts now",
                       grant.incarnation, view->incarnation);
    if (!id_equal(&grant.cell, cell_id) || !id_equal(&grant.device, &peer->id) ||
        !id_equal(&grant.account, &peer->account))
        return err_say(msg, ERR_DENIED, "the grant is for another cell, device or account");
    memcpy(out->grant, grant.id, sizeof(out->grant));
    out->grant_bytes = grant.budget_bytes;
    out->grant_expires_s = grant.expires_s;
    out->grant_list_number = grant.list_number;
    return ERR_OK;
}

static bool is_target(const struct ticket *ticket, unsigned index, const struct id *cell_id)
{
    for (size_t i = 0; i < ticket->target_count; i++)
        if (ticket->targets[i].index == index && id_equal(&ticket->targets[i].cell, cell_id))
            return true;
    return false;
}

static enum err check_ticket(const struct cell_view *view, const struct serve_peer *peer,
                             const struct id *cell_id, const struct segment_header *header,
                             const struct id *segment, unsigned index, struct slice doc,
                             struct cell_admission *out, struct errmsg *msg)
{
    struct ticket ticket;
    if (id_is_zero(&view->coordinator))
        return err_say(msg, ERR_BUSY, "this cell knows no coordinator yet, so no ticket counts");
    const enum err e = ticket_open(doc, view->swarm, &view->coordinator, &ticket, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "the ticket that came with the shard");
    if (ticket.incarnation != view->incarnation || view->now_s > ticket.expires_s)
        return err_say(msg, ERR_STALE, "the ticket is over");
    if (!id_equal(&ticket.repairer, &peer->id) || !id_equal(&ticket.segment, segment) ||
        !id_equal(&ticket.account, &header->account) || !is_target(&ticket, index, cell_id))
        return err_say(msg, ERR_DENIED, "the ticket is for another repairer, shard or cell");
    memcpy(out->grant, ticket.id, sizeof(out->grant));
    out->grant_bytes = header->shard_bytes;
    out->grant_expires_s = ticket.expires_s;
    return ERR_OK;
}

/* A document is of the kind that its signature says: it is a ticket, or it is not. */
static bool is_ticket(const struct cell_view *view, struct slice doc)
{
    struct ticket *ticket = malloc(sizeof(*ticket));
    const bool is =
        ticket && ticket_open(doc, view->swarm, &view->coordinator, ticket, NULL) == ERR_OK;
    free(ticket);
    return is;
}

enum err cell_admit(const struct cell_view *view, const struct serve_peer *peer,
                    const struct id *cell_id, const struct id *segment, unsigned index,
                    const struct wire_prelude *prelude, struct cell_admission *out,
                    struct errmsg *msg)
{
    struct segment_header header;
    struct errmsg grant_msg;
    enum err granted = ERR_OK;
    bool repairs = peer->kind == SERVE_CELL;
    if (!repairs) {
        granted = check_grant(view, peer, cell_id, prelude->grant, out, &grant_msg);
        repairs = granted != ERR_OK && is_ticket(view, prelude->grant);
    }
    enum err e = segment_header_decode(prelude->header, &header, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "the segment header that came with the shard");
    if (!repairs)
        e = cell_may_put(peer, &header.account, header.device_slot, msg);
    else if (peer->kind != SERVE_CELL && !serve_is_of(peer, &header.account))
        e = serve_deny(peer, msg, "repair this: it is another account's");
    if (e == ERR_OK && id_equal(&view->account, &header.account))
        e = err_say(msg, ERR_DENIED,
                    "this cell belongs to the account itself: its shards go to others");
    if (e == ERR_OK)
        e = check_record(view, repairs ? NULL : &peer->id, &header, segment, prelude->record, msg);
    if (e == ERR_OK && repairs)
        e = check_ticket(view, peer, cell_id, &header, segment, index, prelude->grant, out, msg);
    else if (e == ERR_OK && granted != ERR_OK)
        e = err_say(msg, granted, "%s", grant_msg.text);
    out->segment = *segment;
    out->account = header.account;
    out->slot = header.device_slot;
    out->shard_bytes = header.shard_bytes;
    out->list_number = view->list_number;
    return e;
}

enum err cell_sign_receipt(const struct cell *cell, const struct cell_admission *a, unsigned index,
                           struct buf *out, struct errmsg *msg)
{
    struct receipt receipt = {
        .segment = a->segment,
        .index = (uint8_t)index,
        .shard_bytes = a->shard_bytes,
        .account = a->account,
        .slot = a->slot,
        .list_number = a->list_number,
        .time_s = clock_wall_ns(cell->options.clock) / 1000000000,
    };
    memcpy(receipt.grant, a->grant, sizeof(receipt.grant));
    const enum err e = receipt_make(&receipt, &cell->swarm, cell->options.key, out);
    return e == ERR_OK ? e : err_say(msg, e, "the receipt cannot be signed");
}
