/*
 * A segment's row in the directory, as structs; and which of its shards are known to be damaged.
 */
#include "registry_internal.h"

#include "base/cursor.h"

enum err registry_account_id(struct registry *registry, int64_t number, struct id *out,
                             struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db, "SELECT id FROM account WHERE number = ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_i64(s, 1, number);
    e = db_step(s, msg);
    if (e == ERR_OK)
        e = db_column_id(s, 0, out);
    else if (e == ERR_END)
        e = err_say(msg, ERR_CORRUPT, "a segment's account is not in the registry");
    db_done(s);
    return e;
}

enum err registry_account_number(struct registry *registry, const struct id *account, int64_t *out,
                                 struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db,
                            "SELECT number FROM account WHERE id = ?1 AND confirmed = 1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, account);
    e = db_step(s, msg);
    if (e == ERR_OK)
        *out = db_column_i64(s, 0);
    else if (e == ERR_END)
        e = err_say(msg, ERR_DENIED, "this account is not one of this swarm's");
    db_done(s);
    return e;
}

/* --- damage --- */

enum err registry_damage_mark(struct registry *registry, const struct id *segment, unsigned index,
                              const struct registry_cell *cell, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db,
                            "INSERT OR IGNORE INTO damage (segment, idx, cell) VALUES (?1, ?2, ?3)",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    db_bind_u64(s, 2, index);
    db_bind_u64(s, 3, cell->number);
    e = db_run(s, msg);
    db_done(s);
    if (e == ERR_OK)
        registry->damage_rows += db_changes(registry->db);
    return e;
}

enum err registry_damage_clear(struct registry *registry, const struct id *segment, unsigned index,
                               const struct registry_cell *cell, struct errmsg *msg)
{
    struct db_statement *s;
    if (registry->damage_rows == 0)
        return ERR_OK;
    enum err e = db_prepare(registry->db,
                            "DELETE FROM damage WHERE segment = ?1 AND idx = ?2"
                            " AND (?3 = 0 OR cell = ?3)",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    db_bind_u64(s, 2, index);
    db_bind_u64(s, 3, cell ? cell->number : 0);
    e = db_run(s, msg);
    db_done(s);
    if (e == ERR_OK) /* a transaction that is rolled back leaves the number too low, never 0 */
        registry->damage_rows -= db_changes(registry->db) < registry->damage_rows
                                     ? db_changes(registry->db)
                                     : registry->damage_rows - 1;
    return e;
}

static enum err mark_damaged(struct registry *registry, struct registry_segment *segment,
                             struct errmsg *msg)
{
    struct db_statement *s;
    if (registry->damage_rows == 0)
        return ERR_OK;
    enum err e =
        db_prepare(registry->db, "SELECT idx, cell FROM damage WHERE segment = ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, &segment->id);
    while ((e = db_step(s, msg)) == ERR_OK)
        for (size_t i = 0; i < segment->count; i++)
            segment->places[i].damaged |= segment->places[i].index == db_column_u64(s, 0) &&
                                          segment->places[i].cell->number == db_column_u64(s, 1);
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

/* --- the row --- */

static enum err read_places(struct registry *registry, struct slice rows,
                            struct registry_segment *out)
{
    struct cursor c = cursor_over(rows);
    out->count = 0;
    while (cursor_left(&c)) {
        struct registry_place *place = &out->places[out->count];
        uint32_t number;
        if (out->count == WIRE_FOUND_SHARDS || cursor_u8(&c, &place->index) ||
            cursor_le32(&c, &number) || number == 0 || number > registry->cell_count)
            return ERR_CORRUPT;
        place->cell = registry->cells[number - 1];
        place->damaged = false;
        out->count++;
    }
    return ERR_OK;
}

enum err registry_segment_read(struct registry *registry, struct db_statement *s,
                               struct registry_segment *out, struct errmsg *msg)
{
    enum err e = db_column_id(s, 0, &out->id);
    out->account = db_column_i64(s, 1);
    out->k = (uint8_t)db_column_u64(s, 2);
    out->m = (uint8_t)db_column_u64(s, 3);
    out->shard_bytes = (uint32_t)db_column_u64(s, 4);
    if (e == ERR_OK)
        e = read_places(registry, db_column_blob(s, 5), out);
    if (e == ERR_OK && (out->k == 0 || out->k + out->m > (int)LIMIT_SHARDS))
        e = ERR_CORRUPT;
    if (e != ERR_OK)
        return err_say(msg, e, "a segment's row in the registry cannot be read");
    return mark_damaged(registry, out, msg);
}

enum err registry_segment_get(struct registry *registry, const struct id *id,
                              struct registry_segment *out, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(
        registry->db, "SELECT " REGISTRY_SEGMENT_COLUMNS " FROM segment WHERE id = ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, id);
    e = db_step(s, msg);
    if (e == ERR_OK)
        e = registry_segment_read(registry, s, out, msg);
    else if (e == ERR_END)
        e = err_say(msg, ERR_NOT_FOUND, "the directory has no such segment");
    db_done(s);
    return e;
}

/* The ledger follows the row. */
static enum err change_ledger(struct registry *registry, const struct registry_segment *segment,
                              struct slice after, struct errmsg *msg)
{
    struct buf before = BUF_INIT((size_t)WIRE_FOUND_SHARDS * SHARD_ROW_BYTES);
    struct db_statement *s;
    enum err e = db_prepare(registry->db, "SELECT shards FROM segment WHERE id = ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, &segment->id);
    e = db_step(s, msg);
    if (e == ERR_OK) {
        const struct slice bytes = db_column_blob(s, 0);
        e = buf_append(&before, bytes.data, bytes.size);
    }
    db_done(s);
    if (e == ERR_OK)
        e = registry_ledger_change(registry, segment->account, segment->shard_bytes,
                                   buf_slice(&before), after, msg);
    if (e == ERR_OK)
        e = registry_unproven_leave(registry, &segment->id, segment->shard_bytes,
                                    buf_slice(&before), after, msg);
    buf_free(&before);
    return e;
}

enum err registry_segment_put(struct registry *registry, const struct registry_segment *segment,
                              struct errmsg *msg)
{
    struct buf rows = BUF_INIT((size_t)WIRE_FOUND_SHARDS * SHARD_ROW_BYTES);
    struct db_statement *s;
    enum err e = db_prepare(registry->db, "UPDATE segment SET shards = ?2 WHERE id = ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    for (size_t i = 0; i < segment->count && e == ERR_OK; i++) {
        e = buf_append_u8(&rows, segment->places[i].index);
        if (e == ERR_OK)
            e = buf_append_le32(&rows, segment->places[i].cell->number);
    }
    if (e != ERR_OK)
        err_say(msg, e, "out of memory for a segment's row");
    else
        e = change_ledger(registry, segment, buf_slice(&rows), msg);
    if (e == ERR_OK) {
        db_bind_id(s, 1, &segment->id);
        db_bind_blob(s, 2, buf_slice(&rows));
        e = db_run(s, msg);
    }
    db_done(s);
    buf_free(&rows);
    return e;
}

void registry_held(struct registry *registry, const struct id *segment, struct registry_cell *cell,
                   int change)
{
    if (change > 0)
        registry_sample(registry, cell, segment);
    cell->held = change < 0 && cell->held == 0 ? 0 : cell->held + (uint64_t)change;
    if (registry->sweeping && id_compare(segment, &registry->sweep_at) <= 0)
        cell->held_next =
            change < 0 && cell->held_next == 0 ? 0 : cell->held_next + (uint64_t)change;
}
