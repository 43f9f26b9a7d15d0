/*
 * Proofs by lot, on the side of the cell that is asked: POST /v1/audit, while the coordinator is
 * away and signs no tickets (and at any other time: it makes no difference here).
 *
 * Nobody can make a cell read its disk at will: who asks must be a member, the day's lot must have
 * fallen on the two of them (placement_lot.h), and it is answered CELL_LOT_ASKS times a day, with
 * one leaf each. What was asked is in memory only.
 */
#include "cell_internal.h"

#include "placement/placement_lot.h"
#include "wire/wire_audit.h"

#include <stdlib.h>

static uint64_t day_of(int64_t time_s)
{
    return time_s > 0 ? (uint64_t)(time_s / PLACEMENT_LOT_DAY_S) : 0;
}

uint64_t cell_lot_day(const struct cell *cell)
{
    return day_of(clock_wall_ns(cell->options.clock) / 1000000000);
}

/* Counts one more question of this member today; false: there were enough. */
static bool count_ask(struct cell_lots *lots, const struct id *peer, uint64_t today)
{
    if (lots->day != today) {
        lots->day = today;
        lots->count = 0;
    }
    size_t i = 0;
    while (i < lots->count && !id_equal(&lots->peers[i].id, peer))
        i++;
    if (i == CELL_LOT_PEERS)
        return false;
    if (i == lots->count)
        lots->peers[lots->count++] = (struct cell_lot_peer){.id = *peer};
    if (lots->peers[i].asks == CELL_LOT_ASKS)
        return false;
    lots->peers[i].asks++;
    return true;
}

void cell_lot_prepare(struct cell *cell, const struct serve_peer *peer, struct cell_view *view)
{
    view->today = cell_lot_day(cell);
    view->member_count = cell->members ? cell->members->count : 0;
    view->from_member =
        peer->kind == SERVE_CELL && cell->members && member_list_find(cell->members, &peer->id);
    view->lot_left = view->from_member && count_ask(&cell->lots, &peer->id, view->today);
    view->lot_number = ++cell->lots.number;
}

bool cell_is_of(const struct cell *cell, const struct serve_peer *peer, const struct id *account)
{
    const struct member *member = peer->kind == SERVE_CELL && cell->members
                                      ? member_list_find(cell->members, &peer->id)
                                      : NULL;
    return member && member->claimed && id_equal(&member->household, account);
}

static bool is_near(uint64_t day, uint64_t own)
{
    return day + 1 >= own && day <= own + 1;
}

/* The day is one by our clock or by the newest signed list's: a clock may be wrong, and the
   coordinator away for long. */
static enum err check(const struct cell *cell, const struct cell_view *view,
                      const struct serve_peer *peer, const struct wire_lot *lot, struct errmsg *msg)
{
    if (!view->from_member)
        return serve_deny(peer, msg, "ask for proofs by lot: it is no member");
    if (!is_near(lot->day, view->today) && !is_near(lot->day, day_of(view->now_s)))
        return err_say(msg, ERR_DENIED, "the lot is one of another day");
    if (!placement_lot_falls(&peer->id, &cell->id, lot->day, view->member_count))
        return err_say(msg, ERR_DENIED, "no lot of this day has fallen on these two cells");
    if (!view->lot_left)
        return err_say(msg, ERR_BUSY, "this cell has proven enough to the other one today");
    return ERR_OK;
}

enum err cell_lot(void *owner, struct serve_request *request, struct slice body, struct buf *reply,
                  struct errmsg *msg)
{
    struct cell *cell = owner;
    const struct cell_view *view = cell_view_of(request);
    struct wire_lot lot;
    enum err e = wire_lot_decode(body, &lot);
    if (e != ERR_OK)
        return err_say(msg, e, "the lot cannot be read");
    e = check(cell, view, &request->peer, &lot, msg);
    if (e == ERR_OK)
        e = cell_segment_reply(cell, &lot.segment, NULL, NULL, reply, msg);
    if (e == ERR_OK)
        e = cell_ticket_of_lot(view, &request->peer.id, &lot.segment, &request->effect, msg);
    return e;
}
