/*
 * Shards that were made anew elsewhere: their old holders learn that they may drop them, also those
 * that are away and come back much later. What they get is no word of ours but the repair's ticket
 * and the new holder's receipt (wire_moved); it goes by the same way as delete orders.
 */
#include "registry_internal.h"

#include "identity/drop_order.h"
#include "wire/wire_removal.h"

enum { MOVED_KEPT_S = 180 * 86400 }; /* whoever comes back later keeps what he has */

static enum err run_on_shard(struct registry *registry, const char *sql, const struct id *segment,
                             uint64_t second, uint64_t third, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db, sql, &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    db_bind_u64(s, 2, second);
    db_bind_u64(s, 3, third);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

static enum err add_order(struct registry *registry, enum wire_order_kind kind,
                          const struct id *account, const struct id *segment, uint8_t index,
                          struct slice doc, int64_t now_s, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db,
                            "INSERT INTO removal_order (account, kind, doc, segment, idx, time_s)"
                            " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, account);
    db_bind_u64(s, 2, kind);
    db_bind_blob(s, 3, doc);
    db_bind_id(s, 4, segment);
    db_bind_u64(s, 5, index);
    db_bind_i64(s, 6, now_s);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

/* The order that was added last waits for the cell. */
static enum err owe_last(struct registry *registry, const struct registry_cell *cell,
                         struct errmsg *msg)
{
    struct db_statement *s;
    const int64_t number = db_last_rowid(registry->db);
    enum err e = db_prepare(registry->db, "INSERT INTO removal_debt (cell, number) VALUES (?1, ?2)",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, cell->number);
    db_bind_i64(s, 2, number);
    e = db_run(s, msg);
    db_done(s);
    registry->moved_orders += e == ERR_OK;
    registry->orders_number++;
    return e;
}

enum err registry_moved(struct registry *registry, const struct registry_segment *segment,
                        uint8_t index, const struct registry_cell *to, struct slice ticket,
                        struct slice receipt, int64_t now_s, struct errmsg *msg)
{
    const struct wire_moved moved = {.ticket = ticket, .receipt = receipt};
    struct buf doc = BUF_INIT(WIRE_ORDER_BYTES);
    struct id account;
    enum err e = registry_account_id(registry, segment->account, &account, msg);
    if (e == ERR_OK && (e = wire_moved_encode(&moved, &doc)) != ERR_OK)
        err_say(msg, e, "out of memory for an order");
    for (size_t i = 0; i < segment->count && e == ERR_OK; i++) {
        const struct registry_place *place = &segment->places[i];
        if (place->index != index || place->cell == to)
            continue;
        e = add_order(registry, WIRE_ORDER_MOVED, &account, &segment->id, index, buf_slice(&doc),
                      now_s, msg);
        if (e == ERR_OK)
            e = owe_last(registry, place->cell, msg);
    }
    buf_free(&doc);
    return e == ERR_OK ? registry_moved_back(registry, &segment->id, index, to, msg) : e;
}

enum err registry_moved_back(struct registry *registry, const struct id *segment, uint8_t index,
                             const struct registry_cell *cell, struct errmsg *msg)
{
    if (registry->moved_orders == 0)
        return ERR_OK;
    return run_on_shard(registry,
                        "DELETE FROM removal_debt WHERE cell = ?3 AND number IN"
                        " (SELECT number FROM removal_order WHERE segment = ?1 AND idx = ?2)",
                        segment, index, cell->number, msg);
}

enum err registry_moved_expire(struct registry *registry, int64_t now_s, struct errmsg *msg)
{
    static const struct id nothing;
    if (registry->moved_orders == 0 || now_s < MOVED_KEPT_S)
        return ERR_OK;
    const uint64_t before_s = (uint64_t)(now_s - MOVED_KEPT_S);
    enum err e = run_on_shard(registry,
                              "DELETE FROM removal_debt WHERE ?1 = ?1 AND number IN (SELECT number"
                              " FROM removal_order WHERE kind >= ?3 AND time_s < ?2)",
                              &nothing, before_s, WIRE_ORDER_DROP, msg);
    if (e == ERR_OK)
        e = run_on_shard(registry,
                         "DELETE FROM removal_order WHERE ?1 = ?1 AND kind >= ?3 AND time_s < ?2",
                         &nothing, before_s, WIRE_ORDER_DROP, msg);
    return e;
}

/* --- a device says so --- */

/* Takes the place out of the segment when the shard has another one. */
static enum err take_place_out(struct registry *registry, struct registry_segment *segment,
                               uint8_t index, const struct registry_cell *cell, bool *found,
                               struct errmsg *msg)
{
    size_t at = segment->count;
    bool elsewhere = false;
    for (size_t i = 0; i < segment->count; i++) {
        const struct registry_place *place = &segment->places[i];
        if (place->index == index && place->cell == cell)
            at = i;
        else
            elsewhere |= place->index == index && !place->damaged;
    }
    *found = at < segment->count;
    if (!*found)
        return ERR_OK;
    if (!elsewhere)
        return err_say(msg, ERR_DENIED, "no other place of this shard is known");
    registry_held(registry, &segment->id, segment->places[at].cell, -1);
    for (size_t i = at + 1; i < segment->count; i++)
        segment->places[i - 1] = segment->places[i];
    segment->count--;
    return registry_segment_put(registry, segment, msg);
}

enum err registry_drop_take(struct registry *registry, struct slice doc,
                            const struct drop_order *order, int64_t now_s, uint32_t *count,
                            struct errmsg *msg)
{
    struct registry_segment segment;
    struct id account;
    bool found = false;
    const struct registry_cell *cell = registry_cell_find(registry, &order->cell);
    *count = 0;
    if (!cell)
        return ERR_OK;
    enum err e = registry_segment_get(registry, &order->segment, &segment, msg);
    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    if (e == ERR_OK)
        e = registry_account_id(registry, segment.account, &account, msg);
    if (e == ERR_OK && !id_equal(&account, &order->deed.account))
        e = err_say(msg, ERR_DENIED, "the drop order is for a segment of another account");
    if (e == ERR_OK)
        e = db_begin(registry->db, msg);
    if (e != ERR_OK)
        return e;
    e = take_place_out(registry, &segment, order->index, cell, &found, msg);
    if (e == ERR_OK && found)
        e = registry_damage_clear(registry, &segment.id, order->index, cell, msg);
    if (e == ERR_OK && found)
        e = add_order(registry, WIRE_ORDER_DROP, &account, &segment.id, order->index, doc, now_s,
                      msg);
    if (e == ERR_OK && found)
        e = owe_last(registry, cell, msg);
    if (e == ERR_OK)
        e = db_commit(registry->db, msg);
    else
        db_rollback(registry->db);
    *count = e == ERR_OK && found;
    return e;
}
