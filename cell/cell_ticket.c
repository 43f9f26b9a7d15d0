/*
 * Tickets that others show: POST /v1/repair. What a cell remembers of them is in memory only; after
 * a restart a repairer shows its ticket again, or takes another source.
 */
#include "cell_internal.h"

#include "wire/wire_shard.h"

#include <stdlib.h>

enum { TICKETS_MAX = 256, LOT_S = 600 };

struct shown {
    struct serve_effect effect;
    struct list link;
    uint8_t id[TICKET_ID_SIZE];
    struct id repairer, segment;
    uint8_t indexes[LIMIT_SHARDS]; /* that it may read here */
    size_t index_count;
    int64_t expires_s;
    uint64_t left_bytes;
};

static void drop(struct cell *cell, struct shown *shown)
{
    list_remove(&shown->link);
    cell->tickets.count--;
    free(shown);
}

void cell_tickets_clear(struct cell *cell)
{
    while (!list_empty(&cell->tickets.list))
        drop(cell, container_of(cell->tickets.list.next, struct shown, link));
}

/* The loop takes up what the handler has verified. The oldest makes room. */
static void take(void *owner, struct serve_effect *effect)
{
    struct cell *cell = owner;
    struct shown *shown = container_of(effect, struct shown, effect);
    list_for_each(node, &cell->tickets.list)
    {
        const struct shown *known = container_of(node, struct shown, link);
        if (memcmp(known->id, shown->id, sizeof(shown->id)) == 0) {
            free(shown); /* what it has read counts on */
            return;
        }
    }
    if (cell->tickets.count == TICKETS_MAX)
        drop(cell, container_of(cell->tickets.list.next, struct shown, link));
    list_append(&cell->tickets.list, &shown->link);
    cell->tickets.count++;
}

/* A member may hold a ticket and a lot for the same segment: of those that allow so many bytes, the
   one that allows the least, so that a lot's leaf is not read on the ticket, which must last for
   the whole shard. */
static struct shown *find(const struct cell *cell, const struct serve_peer *peer,
                          const struct id *segment, unsigned index, uint64_t bytes)
{
    const int64_t now_s = cell_view_now(cell).now_s;
    struct shown *best = NULL;
    if (peer->kind != SERVE_CELL && peer->kind != SERVE_DEVICE)
        return NULL;
    list_for_each(node, &cell->tickets.list)
    {
        struct shown *shown = container_of(node, struct shown, link);
        if (now_s <= shown->expires_s && shown->left_bytes >= bytes &&
            id_equal(&shown->repairer, &peer->id) && id_equal(&shown->segment, segment) &&
            memchr(shown->indexes, (int)index, shown->index_count) &&
            (!best || shown->left_bytes < best->left_bytes))
            best = shown;
    }
    return best;
}

bool cell_ticket_holds(const struct cell *cell, const struct serve_peer *peer,
                       const struct id *segment, unsigned index)
{
    return find(cell, peer, segment, index, 0) != NULL;
}

bool cell_ticket_spend(struct cell *cell, const struct serve_peer *peer, const struct id *segment,
                       unsigned index, uint64_t bytes)
{
    struct shown *shown = find(cell, peer, segment, index, bytes);
    if (!shown)
        return false;
    shown->left_bytes -= bytes;
    return true;
}

static enum err check(const struct cell *cell, const struct cell_view *view,
                      const struct serve_peer *peer, struct slice doc, struct ticket *ticket,
                      struct shown *shown, struct errmsg *msg)
{
    if (peer->kind != SERVE_CELL && peer->kind != SERVE_DEVICE)
        return serve_deny(peer, msg, "show tickets: it is no cell");
    if (id_is_zero(&view->coordinator))
        return err_say(msg, ERR_BUSY, "this cell knows no coordinator yet, so no ticket counts");
    const enum err e = ticket_open(doc, view->swarm, &view->coordinator, ticket, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "the ticket shown");
    if (ticket->incarnation != view->incarnation || view->now_s > ticket->expires_s)
        return err_say(msg, ERR_STALE, "the ticket is over");
    if (!id_equal(&ticket->repairer, &peer->id) ||
        (peer->kind == SERVE_DEVICE && !id_equal(&ticket->account, &peer->account)))
        return err_say(msg, ERR_DENIED, "the ticket is somebody else's");
    for (size_t i = 0; i < ticket->source_count; i++)
        if (id_equal(&ticket->sources[i].cell, &cell->id))
            shown->indexes[shown->index_count++] = ticket->sources[i].index;
    if (shown->index_count == 0)
        return err_say(msg, ERR_DENIED, "the ticket does not name this cell as a source");
    shown->repairer = ticket->repairer;
    shown->segment = ticket->segment;
    shown->expires_s = ticket->expires_s;
    shown->left_bytes = ticket->bytes_max;
    memcpy(shown->id, ticket->id, sizeof(shown->id));
    return ERR_OK;
}

enum err cell_ticket_of_lot(const struct cell_view *view, const struct id *auditor,
                            const struct id *segment, struct serve_effect **out, struct errmsg *msg)
{
    struct shown *shown = calloc(1, sizeof(*shown));
    if (!shown)
        return err_say(msg, ERR_NOMEM, "out of memory for a lot");
    memcpy(shown->id, auditor->bytes, 8); /* one for each question */
    put_le64(shown->id + 8, view->lot_number);
    shown->repairer = *auditor;
    shown->segment = *segment;
    while (shown->index_count < LIMIT_SHARDS) {
        shown->indexes[shown->index_count] = (uint8_t)shown->index_count;
        shown->index_count++;
    }
    shown->expires_s = view->now_s + LOT_S;
    shown->left_bytes = LIMIT_LEAF_BYTES;
    shown->effect.apply = take;
    *out = &shown->effect;
    return ERR_OK;
}

enum err cell_ticket_shown(void *owner, struct serve_request *request, struct slice body,
                           struct buf *reply, struct errmsg *msg)
{
    struct cell *cell = owner;
    struct ticket *ticket = malloc(sizeof(*ticket));
    struct shown *shown = calloc(1, sizeof(*shown));
    enum err e = ticket && shown ? ERR_OK : err_say(msg, ERR_NOMEM, "out of memory for a ticket");
    if (e == ERR_OK)
        e = check(cell, cell_view_of(request), &request->peer, body, ticket, shown, msg);
    if (e == ERR_OK)
        e = cell_segment_reply(cell, &ticket->segment, &request->peer, &ticket->account, reply,
                               msg);
    free(ticket);
    if (e != ERR_OK) {
        free(shown);
        return e;
    }
    shown->effect.apply = take;
    request->effect = &shown->effect;
    return ERR_OK;
}
