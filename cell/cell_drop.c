/*
 * Dropping single shards that have moved. What frees one is either of
 *
 *     a drop order   signed by a device of the account, for this cell, shard and generation
 *     a moved pair   the coordinator's ticket to make the shard anew elsewhere, and the receipt of
 *                    the cell that has it now: a coordinator alone frees nothing
 *
 * Both are bound to a time; a shard that came (back) later than that stays (store_drop()). A stolen
 * coordinator's key could make a cell of its own that signs such receipts: so what a pair frees is
 * held for some days first, in which it is read as ever, and kept when its owner sends it again.
 */
#include "cell_internal.h"

#include "identity/drop_order.h"
#include "identity/receipt.h"
#include "wire/wire_removal.h"

#include <stdlib.h>

/* What is not here, or came back since, needs nothing any more. */
static enum err drop(struct cell *cell, const struct id *segment, unsigned index, int64_t before_s,
                     uint32_t *count, struct errmsg *msg)
{
    const enum err e = store_drop(cell->options.store, segment, index, before_s, msg);
    *count = e == ERR_OK;
    return e == ERR_NOT_FOUND || e == ERR_STALE ? ERR_OK : e;
}

static enum err compare_account(void *user, const struct store_shard *shard)
{
    const struct id *account = user;
    return id_equal(&shard->account, account) ? ERR_OK : ERR_DENIED;
}

static enum err drop_by_order(struct cell *cell, struct slice doc, const struct manifest *m,
                              uint32_t *count, struct errmsg *msg)
{
    struct drop_order order;
    enum err e = drop_order_open(doc, &cell->swarm, NULL, &order, msg);
    if (e == ERR_OK)
        e = drop_order_allowed(&order, m, msg);
    if (e == ERR_OK && !id_equal(&order.cell, &cell->id))
        e = err_say(msg, ERR_DENIED, "the drop order is for another cell");
    /* anybody can sign for himself: the shard must be his */
    if (e == ERR_OK) {
        e = store_segment(cell->options.store, &order.segment, compare_account, &order.deed.account,
                          msg);
        if (e == ERR_DENIED)
            err_say(msg, e, "the drop order is for a segment of another account");
    }
    return e == ERR_OK ? drop(cell, &order.segment, order.index, order.generation, count, msg) : e;
}

static bool is_target(const struct ticket *ticket, const struct receipt *receipt)
{
    for (size_t i = 0; i < ticket->target_count; i++)
        if (ticket->targets[i].index == receipt->index &&
            id_equal(&ticket->targets[i].cell, &receipt->cell))
            return true;
    return false;
}

static enum err check_moved(const struct cell *cell, const struct cell_view *view,
                            const struct wire_moved *moved, struct ticket *ticket,
                            struct receipt *receipt, struct errmsg *msg)
{
    enum err e = ticket_open(moved->ticket, view->swarm, &view->coordinator, ticket, msg);
    if (e == ERR_OK)
        e = receipt_open(moved->receipt, view->swarm, NULL, receipt, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "the proof that a shard has moved");
    if (ticket->incarnation != view->incarnation)
        return err_say(msg, ERR_DENIED, "the ticket is of another coordinator");
    if (!id_equal(&receipt->segment, &ticket->segment) || !is_target(ticket, receipt) ||
        memcmp(receipt->grant, ticket->id, sizeof(ticket->id)) != 0)
        return err_say(msg, ERR_DENIED, "the receipt is not one of this ticket's");
    if (id_equal(&receipt->cell, &cell->id))
        return err_say(msg, ERR_DENIED, "the shard's new place is this cell");
    return ERR_OK;
}

static enum err drop_held(struct cell *cell, const struct cell_view *view,
                          const struct receipt *receipt, int64_t before_s, uint32_t *count,
                          struct errmsg *msg)
{
    const uint64_t hold_ms = cell->options.moved_hold_ms;
    const struct store_moment ends = {
        .run_ms = view->moment.run_ms + hold_ms,
        .signed_s = view->moment.signed_s + (int64_t)(hold_ms / 1000),
    };
    if (hold_ms == 0)
        return drop(cell, &receipt->segment, receipt->index, before_s, count, msg);
    /* the clock first: the end is on it, whenever this life is over */
    enum err e = cell_removal_save_clock(cell, &view->moment, msg);
    if (e == ERR_OK)
        e = store_drop_later(cell->options.store, &receipt->segment, receipt->index, before_s,
                             &ends, msg);
    *count = e == ERR_OK;
    return e == ERR_NOT_FOUND || e == ERR_STALE ? ERR_OK : e;
}

static enum err drop_moved(struct cell *cell, const struct cell_view *view, struct slice doc,
                           uint32_t *count, struct errmsg *msg)
{
    struct wire_moved moved;
    struct receipt receipt;
    struct ticket *ticket = malloc(sizeof(*ticket));
    enum err e = ticket ? wire_moved_decode(doc, &moved) : ERR_NOMEM;
    if (e != ERR_OK)
        err_say(msg, e, "the proof that a shard has moved cannot be read");
    if (e == ERR_OK)
        e = check_moved(cell, view, &moved, ticket, &receipt, msg);
    if (e == ERR_OK)
        e = drop_held(cell, view, &receipt, ticket->expires_s, count, msg);
    free(ticket);
    return e;
}

enum err cell_drop(struct cell *cell, const struct cell_view *view, const struct wire_order *wire,
                   const struct manifest *m, uint32_t *count, struct errmsg *msg)
{
    return wire->kind == WIRE_ORDER_DROP ? drop_by_order(cell, wire->doc, m, count, msg)
                                         : drop_moved(cell, view, wire->doc, count, msg);
}
