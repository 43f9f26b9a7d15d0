/*
 * Leases: how long an account's shards stay here without a word from it.
 *
 *     first shard --begin--> running --renewal--> running anew
 *                               | both clocks over, and the coordinator knows of no renewal
 *                               v
 *                             ended: its segments are marked as by its root, and freed after a hold
 *                               | renewal
 *                               +--> running: what is not freed yet is taken back
 *
 * A row an account. The store keeps no clock here either: moments are the caller's, and both of
 * their clocks have to pass.
 */
#include "store/store_internal.h"

/* Marks that a lease's end has made: nobody's signature stands behind them. */
#define NOBODY "zeroblob(32)"

enum err store_lease_begin(struct store *store, const struct store_moment *now, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(store->db,
                            "INSERT OR IGNORE INTO lease (account, began_run_ms, began_s)"
                            " SELECT number, ?1, ?2 FROM account",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, now->run_ms);
    db_bind_i64(s, 2, now->signed_s);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

enum err store_lease_old(struct store *store, const struct store_moment *before,
                         struct store_lease *out, size_t max, size_t *count, struct errmsg *msg)
{
    struct db_statement *s;
    *count = 0;
    enum err e = db_prepare(store->db,
                            "SELECT a.id, l.began_run_ms, l.began_s, l.sequence, l.ended"
                            " FROM lease AS l JOIN account AS a ON a.number = l.account"
                            " WHERE l.began_run_ms <= ?1 AND l.began_s <= ?2"
                            " ORDER BY l.began_s LIMIT ?3",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, before->run_ms);
    db_bind_i64(s, 2, before->signed_s);
    db_bind_u64(s, 3, max);
    while (*count < max && (e = db_step(s, msg)) == ERR_OK) {
        struct store_lease *lease = &out[*count];
        if ((e = db_column_id(s, 0, &lease->account)) != ERR_OK) {
            err_say(msg, e, "a lease in the cell's catalogue is not what was written");
            break;
        }
        lease->began = (struct store_moment){db_column_u64(s, 1), db_column_i64(s, 2)};
        lease->sequence = db_column_u64(s, 3);
        lease->ended = db_column_bool(s, 4);
        (*count)++;
    }
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

/* ?1 the account's ID, ?2 and ?3 a moment, ?4 a number. */
static enum err run(struct store *store, const char *sql, const struct id *account,
                    const struct store_moment *moment, uint64_t number, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(store->db, sql, &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, account);
    db_bind_u64(s, 2, moment->run_ms);
    db_bind_i64(s, 3, moment->signed_s);
    db_bind_u64(s, 4, number);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

enum err store_lease_renew(struct store *store, const struct id *account,
                           const struct store_moment *began, uint64_t sequence, bool *renewed,
                           struct errmsg *msg)
{
    *renewed = false;
    store_catalogue_changed(store);
    enum err e = db_begin(store->db, msg);
    if (e != ERR_OK)
        return e;
    e = run(store,
            "UPDATE lease SET began_run_ms = max(began_run_ms, ?2), began_s = max(began_s, ?3),"
            " sequence = max(sequence, ?4), ended = 0"
            " WHERE (sequence < ?4 OR (?4 = 0 AND began_s < ?3))"
            " AND account = (SELECT number FROM account WHERE id = ?1)",
            account, began, sequence, msg);
    const bool changed = e == ERR_OK && db_changes(store->db) > 0;
    if (changed)
        e = run(store,
                "UPDATE removal SET waiting = 0 WHERE waiting = 1 AND signer = " NOBODY
                " AND account = (SELECT number FROM account WHERE id = ?1)"
                " AND ?2 = ?2 AND ?3 = ?3 AND ?4 = ?4",
                account, began, sequence, msg);
    e = store_catalogue_end(store, e, msg);
    *renewed = e == ERR_OK && changed;
    return e;
}

enum err store_lease_end(struct store *store, const struct id *account,
                         const struct store_moment *hold_ends, struct errmsg *msg)
{
    store_catalogue_changed(store);
    enum err e = db_begin(store->db, msg);
    if (e != ERR_OK)
        return e;
    e = run(store,
            "INSERT INTO removal (segment, account, signer, by_root, sequence, ends_run_ms, ends_s,"
            " waiting) SELECT DISTINCT segment, account, " NOBODY ", 1, ?4, ?2, ?3, 1 FROM shard"
            " WHERE account = (SELECT number FROM account WHERE id = ?1)"
            " ON CONFLICT (segment) DO UPDATE SET signer = excluded.signer, by_root = 1,"
            " ends_run_ms = excluded.ends_run_ms, ends_s = excluded.ends_s, waiting = 1"
            " WHERE waiting = 0",
            account, hold_ends, 0, msg);
    if (e == ERR_OK)
        e = run(store,
                "UPDATE lease SET ended = 1 WHERE account ="
                " (SELECT number FROM account WHERE id = ?1) AND ?2 = ?2 AND ?3 = ?3 AND ?4 = ?4",
                account, hold_ends, 0, msg);
    return store_catalogue_end(store, e, msg);
}
