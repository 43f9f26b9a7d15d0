#include "index_internal.h"

static enum err say_unknown(struct errmsg *msg, const char *what, const struct id *id)
{
    char text[ID_TEXT_SIZE];
    return err_say(msg, ERR_NOT_FOUND, "the vault's index has no %s %s", what, id_format(id, text));
}

static enum err check_body(struct slice body, const char *what, struct errmsg *msg)
{
    return body.size <= INDEX_BODY_BYTES_MAX
               ? ERR_OK
               : err_say(msg, ERR_TOO_LARGE, "a %s of %zu bytes: at most %d are kept", what,
                         body.size, INDEX_BODY_BYTES_MAX);
}

/* Columns: id, device's number, device's id, time, forgotten. */
#define SELECT_SNAPSHOT                                                              \
    "SELECT s.id, s.device, n.id, s.time_ns, s.forgotten, s.body FROM snapshot AS s" \
    " LEFT JOIN name AS n ON n.number = s.device "

static enum err read_snapshot(struct db_statement *s, void *row, struct errmsg *msg)
{
    struct index_snapshot *out = row;
    uint32_t forgotten = 0;
    *out = (struct index_snapshot){.time_ns = db_column_i64(s, 3)};
    enum err e = db_column_id(s, 0, &out->id);
    if (e == ERR_OK && db_column_i64(s, 1) != 0)
        e = db_column_id(s, 2, &out->device);
    if (e == ERR_OK)
        e = index_column_u32(s, 4, 0, 1, &forgotten);
    out->forgotten = forgotten != 0;
    return e == ERR_OK ? e : index_damaged(msg, "a snapshot has a row that nobody wrote");
}

enum err index_snapshot_put(struct index *index, const struct index_snapshot *snapshot,
                            struct slice body, struct errmsg *msg)
{
    int64_t device = 0;
    struct db_statement *s = NULL;
    bool own;
    enum err e = check_body(body, "snapshot", msg);
    if (e == ERR_OK)
        e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = index_name_number(index, &snapshot->device, &device, msg);
    if (e == ERR_OK)
        e = db_prepare(index->db,
                       "INSERT OR REPLACE INTO snapshot (time_ns, device, forgotten, id, body)"
                       " SELECT ?1, ?2, ?3 OR EXISTS (SELECT 1 FROM named AS m JOIN record AS r"
                       " ON r.number = m.record WHERE m.id = ?4 AND r.type = 7 AND r.lifted = 0),"
                       " ?4, ?5",
                       &s, msg);
    if (e == ERR_OK) {
        db_bind_i64(s, 1, snapshot->time_ns);
        db_bind_i64(s, 2, device);
        db_bind_bool(s, 3, snapshot->forgotten);
        db_bind_id(s, 4, &snapshot->id);
        db_bind_blob(s, 5, body);
        e = db_run(s, msg);
    }
    db_done(s);
    return index_leave(index, own, e, msg);
}

enum err index_snapshot_get(struct index *index, const struct id *id, struct index_snapshot *out,
                            struct slice *body, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(index->db, SELECT_SNAPSHOT "WHERE s.id = ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, id);
    e = db_step(s, msg);
    if (e == ERR_END)
        e = say_unknown(msg, "snapshot", id);
    if (e == ERR_OK)
        e = read_snapshot(s, out, msg);
    if (e == ERR_OK && body)
        e = index_hold(index, db_column_blob(s, 5), body, slice_of(NULL, 0), NULL, msg);
    db_done(s);
    return e;
}

enum err index_snapshots(struct index *index, bool with_forgotten, size_t skip,
                         struct index_snapshot *out, size_t max, size_t *count, struct errmsg *msg)
{
    struct db_statement *s;
    *count = 0;
    enum err e = db_prepare(index->db,
                            SELECT_SNAPSHOT "WHERE ?1 OR s.forgotten = 0"
                                            " ORDER BY s.time_ns, s.id LIMIT ?2 OFFSET ?3",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_bool(s, 1, with_forgotten);
    db_bind_u64(s, 2, max);
    db_bind_u64(s, 3, skip);
    return index_page(s, read_snapshot, out, sizeof(*out), max, count, msg);
}

static enum err change_snapshot(struct index *index, const char *sql, const struct id *id,
                                struct errmsg *msg)
{
    struct db_statement *s = NULL;
    bool own;
    enum err e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = db_prepare(index->db, sql, &s, msg);
    if (e == ERR_OK) {
        db_bind_id(s, 1, id);
        e = db_run(s, msg);
    }
    db_done(s);
    if (e == ERR_OK && db_changes(index->db) == 0)
        e = say_unknown(msg, "snapshot", id);
    return index_leave(index, own, e, msg);
}

enum err index_snapshot_set_forgotten(struct index *index, const struct id *id, struct errmsg *msg)
{
    return change_snapshot(index, "UPDATE snapshot SET forgotten = 1 WHERE id = ?1", id, msg);
}

enum err index_snapshot_remove(struct index *index, const struct id *id, struct errmsg *msg)
{
    return change_snapshot(index, "DELETE FROM snapshot WHERE id = ?1", id, msg);
}

/* --- heads --- */

static enum err put_head(struct index *index, int64_t device, uint64_t sequence, struct slice body,
                         struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(index->db,
                            "INSERT INTO head (device, sequence, body) VALUES (?1, ?2, ?3)"
                            " ON CONFLICT (device) DO UPDATE SET sequence = excluded.sequence,"
                            " body = excluded.body WHERE sequence <= excluded.sequence",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_i64(s, 1, device);
    db_bind_u64(s, 2, sequence);
    db_bind_blob(s, 3, body);
    e = db_run(s, msg);
    db_done(s);
    if (e == ERR_OK && db_changes(index->db) == 0)
        e = err_say(msg, ERR_STALE, "head %llu of a device is older than the one that is known",
                    (unsigned long long)sequence);
    return e;
}

enum err index_head_put(struct index *index, const struct id *device, uint64_t sequence,
                        struct slice body, struct errmsg *msg)
{
    int64_t number = 0;
    bool own;
    enum err e = check_body(body, "head", msg);
    if (e == ERR_OK)
        e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = index_name_number(index, device, &number, msg);
    if (e == ERR_OK)
        e = put_head(index, number, sequence, body, msg);
    return index_leave(index, own, e, msg);
}

enum err index_head_get(struct index *index, const struct id *device, uint64_t *sequence,
                        struct slice *body, struct errmsg *msg)
{
    int64_t number = 0;
    struct db_statement *s = NULL;
    bool own;
    enum err e = index_enter_reading(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = index_name_find(index, device, &number, msg);
    if (e == ERR_OK && number == 0 && !id_is_zero(device))
        e = say_unknown(msg, "head of device", device);
    if (e == ERR_OK)
        e = db_prepare(index->db, "SELECT sequence, body FROM head WHERE device = ?1", &s, msg);
    if (e == ERR_OK) {
        db_bind_i64(s, 1, number);
        e = db_step(s, msg);
        if (e == ERR_END)
            e = say_unknown(msg, "head of device", device);
    }
    if (e == ERR_OK && db_column_i64(s, 0) < 0)
        e = index_damaged(msg, "a head has the sequence %lld", (long long)db_column_i64(s, 0));
    if (e == ERR_OK) {
        *sequence = db_column_u64(s, 0);
        e = index_hold(index, db_column_blob(s, 1), body, slice_of(NULL, 0), NULL, msg);
    }
    db_done(s);
    return index_leave(index, own, e, msg);
}

static enum err read_head(struct db_statement *s, void *row, struct errmsg *msg)
{
    struct id *out = row;
    *out = (struct id){{0}};
    if (db_column_i64(s, 0) != 0 && db_column_id(s, 1, out) != ERR_OK)
        return index_damaged(msg, "a head of no device");
    return ERR_OK;
}

enum err index_heads(struct index *index, struct id *devices, size_t max, size_t *count,
                     struct errmsg *msg)
{
    struct db_statement *s;
    *count = 0;
    enum err e = db_prepare(index->db,
                            "SELECT h.device, n.id FROM head AS h LEFT JOIN name AS n"
                            " ON n.number = h.device ORDER BY n.id LIMIT ?1",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, max);
    return index_page(s, read_head, devices, sizeof(*devices), max, count, msg);
}
