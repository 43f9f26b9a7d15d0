#include "index/index_removal.h"

#include "index_internal.h"

/* One statement with an ID and a number; either may be of no use to it. */
static enum err run(struct index *index, const char *sql, const struct id *id, uint64_t number,
                    struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(index->db, sql, &s, msg);
    if (e != ERR_OK)
        return e;
    if (id)
        db_bind_id(s, 1, id);
    db_bind_u64(s, id ? 2 : 1, number);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

static enum err run_id(struct index *index, const char *sql, const struct id *id,
                       struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(index->db, sql, &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, id);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

/* --- records --- */

static enum err insert_record(struct index *index, struct index_record *record, struct slice body,
                              bool *is_new, struct errmsg *msg)
{
    int64_t device = 0;
    struct db_statement *s = NULL;
    enum err e = index_name_number(index, &record->device, &device, msg);
    if (e == ERR_OK)
        e = db_prepare(index->db,
                       "INSERT OR IGNORE INTO record (type, device, head, time_s, lifted, orders_s,"
                       " hash, id, body) SELECT ?1, ?2, ?3, ?4,"
                       " EXISTS (SELECT 1 FROM lift WHERE hash = ?6), ?5, ?6, ?7, ?8",
                       &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, record->type);
    db_bind_i64(s, 2, device);
    db_bind_u64(s, 3, record->head);
    db_bind_i64(s, 4, record->time_s);
    db_bind_i64(s, 5, record->orders_s);
    db_bind_id(s, 6, &record->hash);
    db_bind_id(s, 7, &record->id);
    db_bind_blob(s, 8, body);
    e = db_run(s, msg);
    db_done(s);
    *is_new = e == ERR_OK && db_changes(index->db) > 0;
    if (*is_new)
        record->number = (uint64_t)db_last_rowid(index->db);
    return e;
}

#define IS_NAMED(id, type)                                                      \
    "EXISTS (SELECT 1 FROM named AS n JOIN record AS r ON r.number = n.record " \
    "WHERE n.id = " id " AND r.type = " type " AND r.lifted = 0)"

/* Flags and states of all that record ?1 names. */
static enum err follow(struct index *index, uint64_t number, bool doubt, size_t *condemned,
                       struct errmsg *msg)
{
    enum err e =
        run(index,
            "UPDATE snapshot SET forgotten = " IS_NAMED(
                "snapshot.id", "7") " WHERE id IN (SELECT id FROM named WHERE record = ?1)",
            NULL, number, msg);
    if (e == ERR_OK)
        e = run(index,
                "UPDATE segment SET state = 2 WHERE state = 3"
                " AND id IN (SELECT id FROM named WHERE record = ?1)"
                " AND NOT " IS_NAMED("segment.id", "8"),
                NULL, number, msg);
    if (e == ERR_OK)
        e = run(index,
                "UPDATE segment SET state = 3 WHERE state = 2"
                " AND id IN (SELECT id FROM named WHERE record = ?1)"
                " AND " IS_NAMED("segment.id", "8"),
                NULL, number, msg);
    const size_t changed = e == ERR_OK ? (size_t)db_changes(index->db) : 0;
    if (condemned)
        *condemned += changed;
    if (changed > 0)
        e = doubt ? index_make_doubtful(index, msg) : index_marks_changed(index, msg);
    return e;
}

static enum err name_all(struct index *index, const struct index_record *record,
                         const struct id *named, size_t count, struct errmsg *msg)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < count && e == ERR_OK; i++)
        e = run(index, "INSERT OR IGNORE INTO named (id, record) VALUES (?1, ?2)", &named[i],
                record->number, msg);
    return e;
}

static enum err lift_one(struct index *index, const struct id *hash, struct errmsg *msg)
{
    struct db_statement *s;
    int64_t number = 0;
    enum err e = run_id(index, "INSERT OR IGNORE INTO lift (hash) VALUES (?1)", hash, msg);
    if (e == ERR_OK)
        e = db_prepare(index->db, "SELECT number FROM record WHERE hash = ?1 AND lifted = 0", &s,
                       msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, hash);
    e = db_step(s, msg);
    if (e == ERR_OK)
        number = db_column_i64(s, 0);
    db_done(s);
    if (e != ERR_OK)
        return e == ERR_END ? ERR_OK : e;
    return index_record_void(index, (uint64_t)number, msg);
}

enum err index_record_add(struct index *index, struct index_record *record, const struct id *named,
                          size_t count, struct slice body, bool doubt, size_t *condemned,
                          struct errmsg *msg)
{
    bool own, is_new = false;
    if (body.size == 0 || body.size > INDEX_BODY_BYTES_MAX)
        return err_say(msg, ERR_TOO_LARGE, "a document about removal of %zu bytes", body.size);
    enum err e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = insert_record(index, record, body, &is_new, msg);
    if (e == ERR_OK && is_new && record->type != INDEX_LIFT)
        e = name_all(index, record, named, count, msg);
    if (e == ERR_OK && is_new && record->type != INDEX_LIFT)
        e = follow(index, record->number, doubt, condemned, msg);
    for (size_t i = 0; e == ERR_OK && is_new && record->type == INDEX_LIFT && i < count; i++)
        e = lift_one(index, &named[i], msg);
    return index_leave(index, own, e, msg);
}

enum err index_record_void(struct index *index, uint64_t number, struct errmsg *msg)
{
    bool own;
    enum err e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = run(index, "UPDATE record SET lifted = 1 WHERE number = ?1", NULL, number, msg);
    if (e == ERR_OK)
        e = follow(index, number, true, NULL, msg);
    return index_leave(index, own, e, msg);
}

enum err index_record_remove(struct index *index, uint64_t number, struct errmsg *msg)
{
    bool own;
    enum err e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = run(index, "DELETE FROM named WHERE record = ?1", NULL, number, msg);
    if (e == ERR_OK)
        e = run(index, "DELETE FROM record WHERE number = ?1", NULL, number, msg);
    return index_leave(index, own, e, msg);
}

enum err index_record_set_orders(struct index *index, uint64_t number, int64_t orders_s,
                                 struct errmsg *msg)
{
    struct db_statement *s = NULL;
    bool own;
    enum err e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = db_prepare(index->db, "UPDATE record SET orders_s = ?2 WHERE number = ?1", &s, msg);
    if (e == ERR_OK) {
        db_bind_u64(s, 1, number);
        db_bind_i64(s, 2, orders_s);
        e = db_run(s, msg);
    }
    db_done(s);
    return index_leave(index, own, e, msg);
}

static enum err read_record(struct db_statement *s, void *row, struct errmsg *msg)
{
    struct index_record *out = row;
    uint32_t type = 0, lifted = 0;
    *out = (struct index_record){.number = db_column_u64(s, 0),
                                 .head = db_column_u64(s, 4),
                                 .time_s = db_column_i64(s, 5),
                                 .orders_s = db_column_i64(s, 7)};
    enum err e = index_column_u32(s, 1, INDEX_TOMBSTONE, INDEX_LIFT, &type);
    if (e == ERR_OK && db_column_i64(s, 2) != 0)
        e = db_column_id(s, 3, &out->device);
    if (e == ERR_OK)
        e = index_column_u32(s, 6, 0, 1, &lifted);
    if (e == ERR_OK)
        e = db_column_id(s, 8, &out->hash);
    if (e == ERR_OK)
        e = db_column_id(s, 9, &out->id);
    out->type = type;
    out->lifted = lifted != 0;
    return e == ERR_OK ? e : index_damaged(msg, "a document about removal has a row nobody wrote");
}

enum err index_records(struct index *index, enum index_record_type type, uint64_t after,
                       struct index_record *out, size_t max, size_t *count, struct errmsg *msg)
{
    struct db_statement *s;
    *count = 0;
    enum err e =
        db_prepare(index->db,
                   "SELECT r.number, r.type, r.device, n.id, r.head, r.time_s, r.lifted,"
                   " r.orders_s, r.hash, r.id FROM record AS r LEFT JOIN name AS n"
                   " ON n.number = r.device WHERE r.number > ?1 AND (?2 = 0 OR r.type = ?2)"
                   " ORDER BY r.number LIMIT ?3",
                   &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, after);
    db_bind_u64(s, 2, type);
    db_bind_u64(s, 3, max);
    return index_page(s, read_record, out, sizeof(*out), max, count, msg);
}

/* One blob of one row; held. */
static enum err read_blob(struct index *index, const char *sql, uint64_t number, const char *what,
                          struct slice *out, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(index->db, sql, &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, number);
    e = db_step(s, msg);
    if (e == ERR_END)
        e = err_say(msg, ERR_NOT_FOUND, "the vault's index has no %s %llu", what,
                    (unsigned long long)number);
    if (e == ERR_OK)
        e = index_hold(index, db_column_blob(s, 0), out, slice_of(NULL, 0), NULL, msg);
    db_done(s);
    return e;
}

enum err index_record_body(struct index *index, uint64_t number, struct slice *out,
                           struct errmsg *msg)
{
    return read_blob(index, "SELECT body FROM record WHERE number = ?1", number,
                     "document about removal", out, msg);
}

static enum err read_id(struct db_statement *s, void *row, struct errmsg *msg)
{
    const enum err e = db_column_id(s, 0, row);
    return e == ERR_OK ? e : index_damaged(msg, "an ID is not one");
}

static enum err read_ids(struct db_statement *s, struct id *after, struct id *out, size_t max,
                         size_t *count, struct errmsg *msg)
{
    const enum err e = index_page(s, read_id, out, sizeof(*out), max, count, msg);
    if (*count > 0)
        *after = out[*count - 1];
    return e;
}

enum err index_record_named(struct index *index, uint64_t number, struct id *after, struct id *out,
                            size_t max, size_t *count, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(index->db,
                            "SELECT id FROM named WHERE record = ?1 AND id > ?2 ORDER BY id"
                            " LIMIT ?3",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, number);
    db_bind_id(s, 2, after);
    db_bind_u64(s, 3, max);
    return read_ids(s, after, out, max, count, msg);
}

static enum err is_there(struct db_statement *s, bool *out, struct errmsg *msg)
{
    const enum err e = db_step(s, msg);
    db_done(s);
    *out = e == ERR_OK;
    return e == ERR_END ? ERR_OK : e;
}

enum err index_is_named(struct index *index, enum index_record_type type, const struct id *id,
                        bool *out, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(index->db, "SELECT 1 WHERE " IS_NAMED("?1", "?2"), &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, id);
    db_bind_u64(s, 2, type);
    return is_there(s, out, msg);
}

/* --- segments --- */

enum err index_uncondemn_unlisted(struct index *index, struct errmsg *msg)
{
    bool own;
    enum err e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = db_exec(index->db,
                "UPDATE segment SET state = 2 WHERE state = 3 AND NOT " IS_NAMED("segment.id", "8"),
                msg);
    if (e == ERR_OK)
        e = index_marks_changed(index, msg);
    return index_leave(index, own, e, msg);
}

enum err index_segment_condemn(struct index *index, uint64_t number, struct errmsg *msg)
{
    bool own;
    enum err e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = run(index, "UPDATE segment SET state = 3 WHERE number = ?1 AND state = 2", NULL, number,
            msg);
    if (e == ERR_OK && db_changes(index->db) == 0)
        e = err_say(msg, ERR_STATE, "segment %llu is not one that counts",
                    (unsigned long long)number);
    if (e == ERR_OK)
        e = index_marks_changed(index, msg);
    return index_leave(index, own, e, msg);
}

/* A directory of several nodes has a row that is longer than the shortest node but one: that its
   first node is marked says nothing about the others. In a row the tree's ID stands behind the
   version, and the count of entries behind that. */
enum err index_dirs_doubt_unmarked(struct index *index, struct errmsg *msg)
{
    bool own;
    enum err e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = db_exec(index->db,
                "UPDATE dir SET generation = 0 WHERE length(body) >= 262144 OR"
                " (substr(body, 34, 4) <> x'00000000' AND NOT EXISTS"
                " (SELECT 1 FROM mark WHERE id = substr(body, 2, 32)));"
                "DELETE FROM progress",
                msg);
    return index_leave(index, own, e, msg);
}

/* --- marks --- */

enum err index_marks_has(struct index *index, const struct id *ids, size_t count, bool *out,
                         struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(index->db, "SELECT 1 FROM mark WHERE id = ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        db_rebind(s);
        db_bind_id(s, 1, &ids[i]);
        e = db_step(s, msg);
        out[i] = e == ERR_OK;
        e = e == ERR_END ? ERR_OK : e;
    }
    db_done(s);
    return e;
}

enum err index_marks_lost(struct index *index, uint64_t *out, struct errmsg *msg)
{
    int64_t count = 0;
    const enum err e = db_number(index->db,
                                 "SELECT count(*) FROM mark AS k WHERE NOT EXISTS"
                                 " (SELECT 1 FROM chunk WHERE id = k.id)",
                                 &count, msg);
    *out = (uint64_t)count;
    return e;
}

static enum err read_number(struct db_statement *s, void *row, struct errmsg *msg)
{
    uint64_t *out = row;
    (void)msg;
    *out = db_column_u64(s, 0);
    return ERR_OK;
}

enum err index_marks_condemned(struct index *index, uint64_t after, uint64_t *out, size_t max,
                               size_t *count, struct errmsg *msg)
{
    struct db_statement *s;
    *count = 0;
    enum err e =
        db_prepare(index->db,
                   "SELECT l.number FROM live AS l JOIN segment AS s ON s.number = l.number"
                   " WHERE s.state = 3 AND l.chunks > 0 AND l.number > ?1"
                   " ORDER BY l.number LIMIT ?2",
                   &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, after);
    db_bind_u64(s, 2, max);
    return index_page(s, read_number, out, sizeof(*out), max, count, msg);
}

/* --- listed --- */

enum err index_listed_set(struct index *index, uint64_t number, const struct id *object,
                          struct errmsg *msg)
{
    bool own;
    enum err e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = index_segment_set_published(index, number, msg);
    if (e == ERR_OK)
        e = run(index, "INSERT OR REPLACE INTO listed (object, number) VALUES (?1, ?2)", object,
                number, msg);
    return index_leave(index, own, e, msg);
}

enum err index_listed_objects(struct index *index, unsigned states, struct id *after,
                              struct id *out, size_t max, size_t *count, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(index->db,
                            "SELECT DISTINCT l.object FROM listed AS l JOIN segment AS s"
                            " ON s.number = l.number WHERE l.object > ?1 AND ((1 << s.state) & ?2)"
                            " ORDER BY l.object LIMIT ?3",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, after);
    db_bind_u64(s, 2, states);
    db_bind_u64(s, 3, max);
    return read_ids(s, after, out, max, count, msg);
}

/* --- pins --- */

enum err index_pins_set(struct index *index, const struct id *device, const struct id *segments,
                        size_t count, struct errmsg *msg)
{
    int64_t number = 0;
    bool own;
    enum err e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = index_name_number(index, device, &number, msg);
    if (e == ERR_OK)
        e = run(index, "DELETE FROM pin WHERE device = ?1", NULL, (uint64_t)number, msg);
    for (size_t i = 0; i < count && e == ERR_OK; i++)
        e = run(index, "INSERT OR IGNORE INTO pin (segment, device) VALUES (?1, ?2)", &segments[i],
                (uint64_t)number, msg);
    return index_leave(index, own, e, msg);
}

enum err index_is_pinned(struct index *index, const struct id *segment, bool *out,
                         struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(index->db, "SELECT 1 FROM pin WHERE segment = ?1 LIMIT 1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    return is_there(s, out, msg);
}

/* --- orders --- */

static enum err insert_order(struct index *index, unsigned kind, struct slice doc, int64_t made_s,
                             uint64_t *number, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(index->db,
                            "INSERT INTO removal (kind, made_s, doc) VALUES (?1, ?2, ?3)", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, kind);
    db_bind_i64(s, 2, made_s);
    db_bind_blob(s, 3, doc);
    e = db_run(s, msg);
    db_done(s);
    *number = (uint64_t)db_last_rowid(index->db);
    return e;
}

static enum err insert_peer(struct index *index, uint64_t number, const struct id *peer,
                            struct errmsg *msg)
{
    struct db_statement *s = NULL;
    int64_t name = 0;
    enum err e = index_name_number(index, peer, &name, msg);
    if (e == ERR_OK)
        e = db_prepare(index->db,
                       "INSERT OR IGNORE INTO removal_peer (number, peer) VALUES (?1, ?2)", &s,
                       msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, number);
    db_bind_i64(s, 2, name);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

enum err index_order_add(struct index *index, unsigned kind, struct slice doc, int64_t made_s,
                         const struct id *peers, size_t count, struct errmsg *msg)
{
    uint64_t number = 0;
    bool own;
    enum err e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = insert_order(index, kind, doc, made_s, &number, msg);
    for (size_t i = 0; i < count && e == ERR_OK; i++)
        e = insert_peer(index, number, &peers[i], msg);
    return index_leave(index, own, e, msg);
}

static enum err read_order(struct db_statement *s, void *row, struct errmsg *msg)
{
    struct index_order *out = row;
    *out =
        (struct index_order){.number = db_column_u64(s, 0), .kind = (unsigned)db_column_u64(s, 1)};
    if (db_column_i64(s, 2) != 0 && db_column_id(s, 3, &out->peer) != ERR_OK)
        return index_damaged(msg, "a delete order waits for nobody");
    return ERR_OK;
}

enum err index_orders(struct index *index, const struct index_order *after, struct index_order *out,
                      size_t max, size_t *count, struct errmsg *msg)
{
    struct db_statement *s = NULL;
    int64_t from = -1;
    *count = 0;
    enum err e = ERR_OK;
    if (after && after->number > 0)
        e = index_name_find(index, &after->peer, &from, msg);
    if (e == ERR_OK)
        e = db_prepare(index->db,
                       "SELECT p.number, r.kind, p.peer, n.id FROM removal_peer AS p"
                       " JOIN removal AS r ON r.number = p.number"
                       " LEFT JOIN name AS n ON n.number = p.peer"
                       " WHERE p.peer > ?1 OR (p.peer = ?1 AND p.number > ?2)"
                       " ORDER BY p.peer, p.number LIMIT ?3",
                       &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_i64(s, 1, from);
    db_bind_u64(s, 2, after ? after->number : 0);
    db_bind_u64(s, 3, max);
    return index_page(s, read_order, out, sizeof(*out), max, count, msg);
}

enum err index_orders_waiting(struct index *index, uint64_t *out, struct errmsg *msg)
{
    int64_t count = 0;
    const enum err e = db_number(index->db, "SELECT count(*) FROM removal_peer", &count, msg);
    *out = (uint64_t)count;
    return e;
}

enum err index_orders_drop(struct index *index, unsigned kind, struct errmsg *msg)
{
    bool own;
    enum err e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = run(index,
            "DELETE FROM removal_peer WHERE number IN (SELECT number FROM removal WHERE kind = ?1)",
            NULL, kind, msg);
    if (e == ERR_OK)
        e = run(index, "DELETE FROM removal WHERE kind = ?1", NULL, kind, msg);
    return index_leave(index, own, e, msg);
}

enum err index_order_doc(struct index *index, uint64_t number, struct slice *out,
                         struct errmsg *msg)
{
    return read_blob(index, "SELECT doc FROM removal WHERE number = ?1", number, "order", out, msg);
}

enum err index_order_answered(struct index *index, const struct index_order *order,
                              struct errmsg *msg)
{
    struct db_statement *s = NULL;
    int64_t peer = 0;
    bool own;
    enum err e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = index_name_find(index, &order->peer, &peer, msg);
    if (e == ERR_OK)
        e = db_prepare(index->db, "DELETE FROM removal_peer WHERE number = ?1 AND peer = ?2", &s,
                       msg);
    if (e == ERR_OK) {
        db_bind_u64(s, 1, order->number);
        db_bind_i64(s, 2, peer);
        e = db_run(s, msg);
    }
    db_done(s);
    if (e == ERR_OK)
        e = run(index,
                "DELETE FROM removal WHERE number = ?1 AND NOT EXISTS"
                " (SELECT 1 FROM removal_peer AS p WHERE p.number = removal.number)",
                NULL, order->number, msg);
    return index_leave(index, own, e, msg);
}
