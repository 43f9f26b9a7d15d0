#include "index_internal.h"

#include <stdlib.h>

enum err index_marks_changed(struct index *index, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e =
        db_prepare(index->db, "UPDATE state SET live_ready = 0 WHERE live_ready <> 0", &s, msg);
    if (e == ERR_OK)
        e = db_run(s, msg);
    db_done(s);
    return e;
}

enum err index_marks_clear(struct index *index, struct errmsg *msg)
{
    bool own;
    enum err e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = db_exec(index->db, "DELETE FROM mark; DELETE FROM live", msg);
    if (e == ERR_OK)
        e = index_marks_changed(index, msg);
    return index_leave(index, own, e, msg);
}

static enum err mark_in_order(struct index *index, const struct id *ids, const uint32_t *order,
                              size_t count, bool *is_new, size_t *new_count, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(index->db, "INSERT OR IGNORE INTO mark (id) VALUES (?1)", &s, msg);
    if (e != ERR_OK)
        return e;
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        db_bind_id(s, 1, &ids[order[i]]);
        e = db_run(s, msg);
        bool fresh = e == ERR_OK && db_changes(index->db) > 0;
        *new_count += fresh;
        if (is_new)
            is_new[order[i]] = fresh;
    }
    db_done(s);
    return e;
}

enum err index_marks_add(struct index *index, const struct id *ids, size_t count, bool *is_new,
                         size_t *new_count, struct errmsg *msg)
{
    bool own;
    *new_count = 0;
    enum err e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    uint32_t *order = index_order(ids, sizeof(*ids), count);
    if (!order)
        e = err_say(msg, ERR_NOMEM, "cannot mark %zu chunks: out of memory", count);
    if (e == ERR_OK)
        e = mark_in_order(index, ids, order, count, is_new, new_count, msg);
    if (e == ERR_OK && *new_count > 0)
        e = index_marks_changed(index, msg);
    free(order);
    return index_leave(index, own, e, msg);
}

/* Marks and chunks lie in the same order, so this reads both from front to back. The sums are added
   up in the table itself (it has a row a segment, and stays in the page cache). */
static enum err work_out(struct index *index, struct errmsg *msg)
{
    int64_t ready = 0;
    enum err e = db_number(index->db, "SELECT live_ready FROM state", &ready, msg);
    if (e == ERR_NOT_FOUND)
        return index_damaged(msg, "its own state is missing");
    if (e != ERR_OK || ready)
        return e;
    return db_exec(index->db,
                   "DELETE FROM live;"
                   "INSERT INTO live (number, bytes, chunks)"
                   " SELECT c.segment, c.sealed_bytes, 1"
                   " FROM mark AS k CROSS JOIN chunk AS c ON c.id = k.id WHERE true"
                   " ON CONFLICT (number) DO UPDATE SET"
                   " bytes = bytes + excluded.bytes, chunks = chunks + 1;"
                   "UPDATE state SET live_ready = 1",
                   msg);
}

static enum err read_live(struct db_statement *s, void *row, struct errmsg *msg)
{
    struct index_segment_live *out = row;
    (void)msg;
    *out = (struct index_segment_live){.number = db_column_u64(s, 0),
                                       .live_bytes = db_column_u64(s, 1),
                                       .live_chunks = db_column_u64(s, 2)};
    return ERR_OK;
}

static enum err list_live(struct index *index, uint64_t after_number,
                          struct index_segment_live *out, size_t max, size_t *count,
                          struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(index->db,
                            "SELECT s.number, l.bytes, l.chunks FROM segment AS s"
                            " LEFT JOIN live AS l ON l.number = s.number"
                            " WHERE s.number > ?1 AND s.state = 2 ORDER BY s.number LIMIT ?2",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, after_number);
    db_bind_u64(s, 2, max);
    return index_page(s, read_live, out, sizeof(*out), max, count, msg);
}

enum err index_marks_live(struct index *index, uint64_t after_number,
                          struct index_segment_live *out, size_t max, size_t *count,
                          struct errmsg *msg)
{
    bool own;
    *count = 0;
    enum err e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = work_out(index, msg);
    if (e == ERR_OK)
        e = list_live(index, after_number, out, max, count, msg);
    return index_leave(index, own, e, msg);
}
