/*
 * What is deleted: marked, held, taken back or freed.
 *
 *     live --mark--> waiting --due, free--> dead (the name, for good; rows and files are gone)
 *      ^                |
 *      +-----undo-------+    a row with waiting = 0 stays: old orders do not count again
 *
 * Each change is one transaction. Freeing commits before it touches a file, so a file that is left
 * over belongs to a dead name, and store_reconcile() knows what to do with it.
 */
#include "store/store_internal.h"

#include "base/planted.h"

#include <stdlib.h>

enum { DROPS_AT_ONCE = 64 };

/* --- marking --- */

/* Only what is here, and this account's. */
#define MARK_SQL                                                                                \
    "INSERT INTO removal (segment, account, signer, by_root, sequence, ends_run_ms, ends_s,"    \
    " waiting) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, 1"                                            \
    " WHERE EXISTS (SELECT 1 FROM shard WHERE segment = ?1 AND account = ?2)"                   \
    " ON CONFLICT (segment) DO UPDATE SET"                                                      \
    " ends_run_ms = CASE waiting WHEN 1 THEN min(ends_run_ms, excluded.ends_run_ms)"            \
    " ELSE excluded.ends_run_ms END,"                                                           \
    " ends_s = CASE waiting WHEN 1 THEN min(ends_s, excluded.ends_s) ELSE excluded.ends_s END," \
    " signer = CASE WHEN waiting = 0 OR excluded.by_root THEN excluded.signer ELSE signer END," \
    " sequence = CASE WHEN waiting = 0 OR excluded.by_root THEN excluded.sequence"              \
    " ELSE sequence END,"                                                                       \
    " by_root = max(by_root * waiting, excluded.by_root), waiting = 1"                          \
    " WHERE waiting = 1 OR signer <> excluded.signer OR sequence < excluded.sequence"

static enum err mark(struct store *store, const struct store_removal *removal, int64_t account,
                     const struct id *segments, size_t count, uint32_t *marked, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(store->db, MARK_SQL, &s, msg);
    if (e != ERR_OK)
        return e;
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        db_bind_id(s, 1, &segments[i]);
        db_bind_i64(s, 2, account);
        db_bind_id(s, 3, &removal->signer);
        db_bind_bool(s, 4, removal->by_root);
        db_bind_u64(s, 5, removal->sequence);
        db_bind_u64(s, 6, removal->ends.run_ms);
        db_bind_i64(s, 7, removal->ends.signed_s);
        e = db_run(s, msg);
        *marked += e == ERR_OK && db_changes(store->db) > 0;
    }
    db_done(s);
    return e;
}

enum err store_removal_mark(struct store *store, const struct store_removal *removal,
                            const struct id *segments, size_t count, uint32_t *marked,
                            struct errmsg *msg)
{
    int64_t account;
    *marked = 0;
    store_catalogue_changed(store);
    enum err e = db_begin(store->db, msg);
    if (e != ERR_OK)
        return e;
    e = store_catalogue_account(store, &removal->account, &account, msg);
    if (e == ERR_OK)
        e = mark(store, removal, account, segments, count, marked, msg);
    e = store_catalogue_end(store, e, msg);
    if (e != ERR_OK)
        *marked = 0;
    return e;
}

/* --- taking back --- */

static enum err undo(struct store *store, const struct id *account, const struct id *segments,
                     size_t count, uint32_t *undone, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(store->db,
                            "UPDATE removal SET waiting = 0 WHERE waiting = 1"
                            " AND (?1 IS NULL OR segment = ?1)"
                            " AND account = (SELECT number FROM account WHERE id = ?2)",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    for (size_t i = 0; i < (segments ? count : 1) && e == ERR_OK; i++) {
        db_bind_id(s, 1, segments ? &segments[i] : NULL);
        db_bind_id(s, 2, account);
        e = db_run(s, msg);
        if (e == ERR_OK)
            *undone += (uint32_t)db_changes(store->db);
    }
    db_done(s);
    return e;
}

enum err store_removal_undo(struct store *store, const struct id *account,
                            const struct id *segments, size_t count, uint32_t *undone,
                            struct errmsg *msg)
{
    *undone = 0;
    store_catalogue_changed(store);
    enum err e = db_begin(store->db, msg);
    if (e != ERR_OK)
        return e;
    e = store_catalogue_end(store, undo(store, account, segments, count, undone, msg), msg);
    if (e != ERR_OK)
        *undone = 0;
    return e;
}

/* --- freeing --- */

enum err store_removal_due(struct store *store, const struct store_moment *now,
                           struct store_removal *out, size_t max, size_t *count, struct errmsg *msg)
{
    struct db_statement *s;
    *count = 0;
    enum err e = db_prepare(
        store->db,
        "SELECT r.segment, a.id, r.signer, r.by_root, r.sequence, r.ends_run_ms, r.ends_s"
        " FROM removal AS r JOIN account AS a ON a.number = r.account"
        " WHERE r.waiting = 1 AND r.ends_run_ms <= ?1 AND r.ends_s <= ?2"
        " ORDER BY r.ends_run_ms LIMIT ?3",
        &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, now->run_ms);
    db_bind_i64(s, 2, now->signed_s);
    db_bind_u64(s, 3, max);
    while (*count < max && (e = db_step(s, msg)) == ERR_OK) {
        struct store_removal *r = &out[*count];
        if (db_column_id(s, 0, &r->segment) || db_column_id(s, 1, &r->account) ||
            db_column_id(s, 2, &r->signer)) {
            e = err_say(msg, ERR_CORRUPT, "a row of the cell's catalogue is not what was written");
            break;
        }
        r->by_root = db_column_bool(s, 3);
        r->sequence = db_column_u64(s, 4);
        r->ends = (struct store_moment){db_column_u64(s, 5), db_column_i64(s, 6)};
        (*count)++;
    }
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

struct found {
    struct buf indexes; /* position in the question (le32), index (u8) */
    uint32_t position;
};

static enum err collect(void *user, const struct store_shard *shard)
{
    struct found *found = user;
    const enum err e = buf_append_le32(&found->indexes, found->position);
    return e == ERR_OK ? buf_append_u8(&found->indexes, (uint8_t)shard->index) : e;
}

/* One statement for one segment. */
static enum err run_for(struct store *store, const char *sql, const struct id *segment,
                        struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(store->db, sql, &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

static enum err free_rows(struct store *store, const struct id *segments, size_t count,
                          struct found *found, struct errmsg *msg)
{
    enum err e = ERR_OK;
    store_catalogue_changed(store);
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        found->position = (uint32_t)i;
        e = store_segment(store, &segments[i], collect, found, msg);
        if (e == ERR_OK)
            e = run_for(store,
                        "INSERT OR IGNORE INTO dead (segment, account)"
                        " SELECT segment, account FROM removal WHERE segment = ?1",
                        &segments[i], msg);
        if (e == ERR_OK && PLANTED(GREEDY_FREE))
            e = run_for(store,
                        "DELETE FROM shard WHERE grant_id IN"
                        " (SELECT grant_id FROM shard WHERE segment = ?1)",
                        &segments[i], msg);
        if (e == ERR_OK)
            e = run_for(store, "DELETE FROM shard WHERE segment = ?1", &segments[i], msg);
        if (e == ERR_OK)
            e = run_for(store, "DELETE FROM removal WHERE segment = ?1", &segments[i], msg);
    }
    return e;
}

void store_remove_files(struct store *store, const struct id *segment, unsigned index)
{
    char path[STORE_PATH_SIZE];
    struct errmsg msg;
    for (int quarantined = 0; quarantined < 2; quarantined++) {
        if (quarantined)
            store_quarantine_path(segment, index, path);
        else
            store_shard_path(segment, index, path);
        const enum err e = disk_remove(store->options.disk, path, &msg);
        if (e == ERR_OK || e == ERR_NOT_FOUND)
            continue;
        store->look_again = true;
        log_say(store->options.log, LOG_WARN, "%s was deleted and cannot be removed: %s", path,
                msg.text);
    }
}

enum err store_removal_free(struct store *store, const struct id *segments, size_t count,
                            struct errmsg *msg)
{
    struct found found = {.indexes = BUF_INIT(1u << 30)};
    uint64_t whole, damaged;
    enum err e = db_begin(store->db, msg);
    if (e == ERR_OK)
        e = store_catalogue_end(store, free_rows(store, segments, count, &found, msg), msg);
    if (e == ERR_OK) {
        for (size_t at = 0; at < found.indexes.size; at += 5)
            store_remove_files(store, &segments[get_le32(found.indexes.data + at)],
                               found.indexes.data[at + 4]);
        e = store_catalogue_counts(store, &whole, &damaged, &store->used_bytes, msg);
    }
    buf_free(&found.indexes);
    return e;
}

/* --- asking --- */

enum err store_removal_state(struct store *store, struct store_removal_state *out,
                             struct errmsg *msg)
{
    struct db_statement *s;
    *out = store->removal_state;
    if (store->removal_counted)
        return ERR_OK;
    enum err e = db_prepare(store->db,
                            "SELECT (SELECT count(*) FROM removal WHERE waiting = 1),"
                            " (SELECT coalesce(sum(file_bytes), 0) FROM shard WHERE segment IN"
                            " (SELECT segment FROM removal WHERE waiting = 1)),"
                            " (SELECT count(*) FROM dead), (SELECT count(*) FROM moved),"
                            " (SELECT min(ends_run_ms) FROM (SELECT ends_run_ms FROM removal"
                            " WHERE waiting = 1 UNION ALL SELECT ends_run_ms FROM moved))",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    e = db_step(s, msg);
    if (e == ERR_OK)
        *out = (struct store_removal_state){
            .waiting_count = db_column_u64(s, 0),
            .waiting_bytes = db_column_u64(s, 1),
            .dead_count = db_column_u64(s, 2),
            .moved_count = db_column_u64(s, 3),
            .next_run_ms = db_column_u64(s, 4),
        };
    db_done(s);
    store->removal_counted = e == ERR_OK;
    store->removal_state = *out;
    return e;
}

/* The first column, a number, and the account of the only row; ERR_NOT_FOUND. */
static enum err name_row(struct store *store, const char *sql, const struct id *segment,
                         struct id *account, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(store->db, sql, &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    e = db_step(s, msg);
    if (e == ERR_OK && account && db_column_id(s, 0, account) != ERR_OK)
        *account = (struct id){{0}}; /* of a name from before accounts were kept: nobody's */
    db_done(s);
    return e == ERR_END ? ERR_NOT_FOUND : e;
}

enum err store_removal_name(struct store *store, const struct id *segment, enum store_name *out,
                            struct id *account, struct errmsg *msg)
{
    *out = STORE_NAME_DEAD;
    enum err e = name_row(store,
                          "SELECT a.id FROM dead AS d LEFT JOIN account AS a"
                          " ON a.number = d.account WHERE d.segment = ?1",
                          segment, account, msg);
    if (e != ERR_NOT_FOUND)
        return e;
    *out = STORE_NAME_WAITING;
    e = name_row(store,
                 "SELECT a.id FROM removal AS r JOIN account AS a ON a.number = r.account"
                 " WHERE r.segment = ?1 AND r.waiting = 1",
                 segment, account, msg);
    if (e != ERR_NOT_FOUND)
        return e;
    *out = STORE_NAME_LIVE;
    return ERR_OK;
}

enum err store_removal_dead(struct store *store, const struct id *after, size_t max,
                            store_dead_fn *each, void *user, struct errmsg *msg)
{
    static const struct id none;
    struct db_statement *s;
    enum err e = db_prepare(store->db,
                            "SELECT d.segment, a.id FROM dead AS d LEFT JOIN account AS a"
                            " ON a.number = d.account WHERE d.segment > ?1 ORDER BY d.segment"
                            " LIMIT ?2",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, after ? after : &none);
    db_bind_u64(s, 2, max);
    while ((e = db_step(s, msg)) == ERR_OK) {
        struct id segment, account = {0};
        e = db_column_id(s, 0, &segment);
        if (e == ERR_OK && !db_column_is_null(s, 1))
            e = db_column_id(s, 1, &account);
        if (e == ERR_OK)
            e = each(user, &segment, &account);
        if (e != ERR_OK)
            break;
    }
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

/* --- one shard that has moved --- */

/* The shard, if the order is not about an earlier time than its last receipt. */
static enum err find_moved(struct store *store, const struct id *segment, unsigned index,
                           int64_t before_s, struct store_shard *out, struct errmsg *msg)
{
    const enum err e = store_catalogue_get(store, segment, index, out, msg);
    if (e == ERR_OK && out->receipt_s >= before_s)
        return err_say(msg, ERR_STALE, "the shard has come back since");
    return e;
}

static enum err free_moved(struct store *store, const struct id *segment, unsigned index,
                           struct errmsg *msg)
{
    uint64_t file_bytes;
    const enum err e = store_catalogue_remove(store, segment, index, &file_bytes, msg);
    if (e != ERR_OK)
        return e;
    store->used_bytes -= file_bytes < store->used_bytes ? file_bytes : store->used_bytes;
    store_remove_files(store, segment, index);
    return ERR_OK;
}

enum err store_drop(struct store *store, const struct id *segment, unsigned index, int64_t before_s,
                    struct errmsg *msg)
{
    struct store_shard shard;
    const enum err e = find_moved(store, segment, index, before_s, &shard, msg);
    return e == ERR_OK ? free_moved(store, segment, index, msg) : e;
}

enum err store_drop_later(struct store *store, const struct id *segment, unsigned index,
                          int64_t before_s, const struct store_moment *ends, struct errmsg *msg)
{
    struct store_shard shard;
    struct db_statement *s;
    enum err e = find_moved(store, segment, index, before_s, &shard, msg);
    if (e == ERR_OK && shard.state == STORE_DAMAGED)
        return free_moved(store, segment, index, msg);
    if (e == ERR_OK)
        e = db_prepare(store->db,
                       "INSERT OR IGNORE INTO moved (segment, idx, ends_run_ms, ends_s)"
                       " VALUES (?1, ?2, ?3, ?4)",
                       &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    db_bind_u64(s, 2, index);
    db_bind_u64(s, 3, ends->run_ms);
    db_bind_i64(s, 4, ends->signed_s);
    store_catalogue_changed(store);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

enum err store_drop_due(struct store *store, const struct store_moment *now, size_t *freed,
                        struct errmsg *msg)
{
    struct id segments[DROPS_AT_ONCE];
    unsigned indexes[DROPS_AT_ONCE];
    size_t count = 0;
    struct db_statement *s;
    enum err e =
        db_prepare(store->db,
                   "SELECT segment, idx FROM moved WHERE ends_run_ms <= ?1 AND ends_s <= ?2"
                   " LIMIT ?3",
                   &s, msg);
    *freed = 0;
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, now->run_ms);
    db_bind_i64(s, 2, now->signed_s);
    db_bind_u64(s, 3, DROPS_AT_ONCE);
    while (count < DROPS_AT_ONCE && (e = db_step(s, msg)) == ERR_OK) {
        indexes[count] = (unsigned)db_column_u64(s, 1);
        if ((e = db_column_id(s, 0, &segments[count++])) != ERR_OK)
            break;
    }
    db_done(s);
    for (e = e == ERR_END ? ERR_OK : e; e == ERR_OK && *freed < count; (*freed)++)
        e = free_moved(store, &segments[*freed], indexes[*freed], msg);
    return e;
}
