#include "store/store_internal.h"

#include <stdlib.h>

/* One row a shard; accounts are numbered, so that a row is some 90 bytes. */
static const char *const migrations[] = {
    "CREATE TABLE account (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE);"
    "CREATE TABLE shard (segment BLOB NOT NULL, idx INTEGER NOT NULL, account INTEGER NOT NULL,"
    " shard_bytes INTEGER NOT NULL, file_bytes INTEGER NOT NULL, state INTEGER NOT NULL,"
    " grant_id BLOB NOT NULL, PRIMARY KEY (segment, idx)) WITHOUT ROWID;"
    "CREATE TABLE grant_spent (id BLOB PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE dead (segment BLOB PRIMARY KEY) WITHOUT ROWID;" DOCUMENTS_SCHEMA,

    /* removal: what waits for the end of its hold (waiting = 1), or was taken back (0) */
    "CREATE TABLE removal (segment BLOB PRIMARY KEY, account INTEGER NOT NULL,"
    " signer BLOB NOT NULL, by_root INTEGER NOT NULL, sequence INTEGER NOT NULL,"
    " ends_run_ms INTEGER NOT NULL, ends_s INTEGER NOT NULL, waiting INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE INDEX removal_end ON removal (waiting, ends_run_ms);"
    "ALTER TABLE dead ADD COLUMN account INTEGER NOT NULL DEFAULT 0",

    DOCUMENTS_SCHEMA_REQUESTS,

    /* for store_drop(): how old a shard's receipt is */
    "ALTER TABLE shard ADD COLUMN receipt_s INTEGER NOT NULL DEFAULT 0",

    "CREATE TABLE lease (account INTEGER PRIMARY KEY, began_run_ms INTEGER NOT NULL,"
    " began_s INTEGER NOT NULL, sequence INTEGER NOT NULL DEFAULT 0,"
    " ended INTEGER NOT NULL DEFAULT 0)",

    /* whole shards that live elsewhere now, until their hold is over; one that goes, or gets a new
       receipt, leaves */
    "CREATE TABLE moved (segment BLOB NOT NULL, idx INTEGER NOT NULL, ends_run_ms INTEGER NOT NULL,"
    " ends_s INTEGER NOT NULL, PRIMARY KEY (segment, idx)) WITHOUT ROWID;"
    "CREATE TRIGGER moved_gone AFTER DELETE ON shard BEGIN"
    " DELETE FROM moved WHERE segment = OLD.segment AND idx = OLD.idx; END;"
    "CREATE TRIGGER moved_again AFTER UPDATE OF receipt_s ON shard BEGIN"
    " DELETE FROM moved WHERE segment = NEW.segment AND idx = NEW.idx; END;"
    "CREATE TRIGGER moved_new AFTER INSERT ON shard BEGIN"
    " DELETE FROM moved WHERE segment = NEW.segment AND idx = NEW.idx; END",
};

#define SHARD_COLUMNS "segment, idx, account.id, shard_bytes, state, grant_id, receipt_s"
#define SHARD_TABLES  " FROM shard JOIN account ON account.number = shard.account "

enum err store_catalogue_open(struct store *store, const char *path, const char *vfs,
                              struct errmsg *msg)
{
    const struct db_options options = {
        .path = path,
        .vfs = vfs,
        .what = "the cell's catalogue",
        .application_id = 0x434c4341, /* "CLCA" */
        .migrations = migrations,
        .migration_count = ARRAY_COUNT(migrations),
        .create = true,
        .exclusive = true,
    };
    return db_open(&options, &store->db, msg);
}

static enum err read_row(struct db_statement *s, struct store_shard *out)
{
    enum err e = db_column_id(s, 0, &out->segment);
    if (e == ERR_OK)
        e = db_column_id(s, 2, &out->account);
    const struct slice grant = db_column_blob(s, 5);
    const uint64_t index = db_column_u64(s, 1);
    const uint64_t state = db_column_u64(s, 4);
    if (e != ERR_OK || grant.size != STORE_GRANT_ID_SIZE || index >= LIMIT_SHARDS ||
        (state != STORE_WHOLE && state != STORE_DAMAGED))
        return ERR_CORRUPT;
    out->index = (unsigned)index;
    out->state = (enum store_state)state;
    out->shard_bytes = (uint32_t)db_column_u64(s, 3);
    memcpy(out->grant, grant.data, sizeof(out->grant));
    out->receipt_s = db_column_i64(s, 6);
    return ERR_OK;
}

/* Steps to a row and reads it; ERR_NOT_FOUND when there is none. */
static enum err step_row(struct db_statement *s, struct store_shard *out, struct errmsg *msg)
{
    enum err e = db_step(s, msg);
    if (e == ERR_END)
        return err_say(msg, ERR_NOT_FOUND, "the catalogue has no such shard");
    if (e == ERR_OK && (e = read_row(s, out)) != ERR_OK)
        err_say(msg, e, "a row of the cell's catalogue is not what was written");
    return e;
}

enum err store_catalogue_account(struct store *store, const struct id *account, int64_t *out,
                                 struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(store->db, "INSERT OR IGNORE INTO account (id) VALUES (?1)", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, account);
    e = db_run(s, msg);
    db_done(s);
    if (e != ERR_OK)
        return e;
    e = db_prepare(store->db, "SELECT number FROM account WHERE id = ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, account);
    e = db_step(s, msg);
    if (e == ERR_OK)
        *out = db_column_i64(s, 0);
    db_done(s);
    return e;
}

static enum err add_spent(struct store *store, const uint8_t *grant, uint64_t bytes,
                          struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(store->db,
                            "INSERT INTO grant_spent (id, bytes) VALUES (?1, ?2)"
                            " ON CONFLICT (id) DO UPDATE SET bytes = bytes + excluded.bytes",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_blob(s, 1, slice_of(grant, STORE_GRANT_ID_SIZE));
    db_bind_u64(s, 2, bytes);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

enum err store_catalogue_end(struct store *store, enum err e, struct errmsg *msg)
{
    if (e == ERR_OK)
        return db_commit(store->db, msg);
    db_rollback(store->db);
    return e;
}

enum err store_catalogue_add(struct store *store, const struct store_shard *shard,
                             uint64_t file_bytes, struct errmsg *msg)
{
    int64_t account;
    enum err e = store_catalogue_account(store, &shard->account, &account, msg);
    if (e != ERR_OK)
        return e;
    struct db_statement *s;
    e = db_prepare(store->db,
                   "INSERT OR REPLACE INTO shard (segment, idx, account, shard_bytes, file_bytes,"
                   " state, grant_id, receipt_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                   &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, &shard->segment);
    db_bind_u64(s, 2, shard->index);
    db_bind_i64(s, 3, account);
    db_bind_u64(s, 4, shard->shard_bytes);
    db_bind_u64(s, 5, file_bytes);
    db_bind_u64(s, 6, shard->state);
    db_bind_blob(s, 7, slice_of(shard->grant, sizeof(shard->grant)));
    db_bind_i64(s, 8, shard->receipt_s);
    store_catalogue_changed(store);
    e = db_run(s, msg);
    db_done(s);
    return e == ERR_OK ? add_spent(store, shard->grant, shard->shard_bytes, msg) : e;
}

enum err store_catalogue_get(struct store *store, const struct id *segment, unsigned index,
                             struct store_shard *out, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(
        store->db, "SELECT " SHARD_COLUMNS SHARD_TABLES "WHERE segment = ?1 AND idx = ?2", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    db_bind_u64(s, 2, index);
    e = step_row(s, out, msg);
    db_done(s);
    return e;
}

enum err store_catalogue_next(struct store *store, const struct id *segment, int index,
                              struct store_shard *out, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(store->db,
                            "SELECT " SHARD_COLUMNS SHARD_TABLES
                            "WHERE (segment, idx) > (?1, ?2) ORDER BY segment, idx LIMIT 1",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    db_bind_i64(s, 2, index);
    e = step_row(s, out, msg);
    db_done(s);
    return e;
}

enum err store_catalogue_set_state(struct store *store, const struct id *segment, unsigned index,
                                   enum store_state state, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(store->db,
                            "UPDATE shard SET state = ?3 WHERE segment = ?1 AND idx = ?2", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    db_bind_u64(s, 2, index);
    db_bind_u64(s, 3, state);
    store_catalogue_changed(store);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

enum err store_catalogue_set_receipt(struct store *store, const struct id *segment, unsigned index,
                                     int64_t receipt_s, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(store->db,
                            "UPDATE shard SET receipt_s = max(receipt_s, ?3)"
                            " WHERE segment = ?1 AND idx = ?2",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    db_bind_u64(s, 2, index);
    db_bind_i64(s, 3, receipt_s);
    store_catalogue_changed(store);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

enum err store_catalogue_remove(struct store *store, const struct id *segment, unsigned index,
                                uint64_t *file_bytes, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(store->db,
                            "DELETE FROM shard WHERE segment = ?1 AND idx = ?2"
                            " RETURNING file_bytes",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    db_bind_u64(s, 2, index);
    *file_bytes = 0;
    store_catalogue_changed(store);
    while ((e = db_step(s, msg)) == ERR_OK)
        *file_bytes += db_column_u64(s, 0);
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

static enum err count_rows(struct store *store, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(store->db,
                            "SELECT coalesce(sum(state = 1), 0), coalesce(sum(state = 2), 0),"
                            " coalesce(sum(file_bytes), 0) FROM shard",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    e = db_step(s, msg);
    if (e == ERR_OK) {
        store->whole_count = db_column_u64(s, 0);
        store->damaged_count = db_column_u64(s, 1);
        store->file_bytes = db_column_u64(s, 2);
        store->counted = true;
    }
    db_done(s);
    return e;
}

enum err store_catalogue_counts(struct store *store, uint64_t *whole, uint64_t *damaged,
                                uint64_t *bytes, struct errmsg *msg)
{
    const enum err e = store->counted ? ERR_OK : count_rows(store, msg);
    *whole = store->whole_count;
    *damaged = store->damaged_count;
    *bytes = store->file_bytes;
    return e;
}

static enum err each_row(struct db_statement *s, store_shard_fn *each, void *user,
                         struct errmsg *msg)
{
    enum err e;
    struct store_shard shard;
    while ((e = step_row(s, &shard, msg)) == ERR_OK)
        if ((e = each(user, &shard)) != ERR_OK)
            return e;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err store_segment(struct store *store, const struct id *segment, store_shard_fn *each,
                       void *user, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(
        store->db, "SELECT " SHARD_COLUMNS SHARD_TABLES "WHERE segment = ?1 ORDER BY idx", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    e = each_row(s, each, user, msg);
    db_done(s);
    return e;
}

enum err store_list(struct store *store, const struct id *account, const struct id *after,
                    unsigned after_index, size_t max, store_shard_fn *each, void *user,
                    struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(store->db,
                            "SELECT " SHARD_COLUMNS SHARD_TABLES
                            "WHERE (segment, idx) > (?1, ?2) AND (?3 IS NULL OR account.id = ?3)"
                            " ORDER BY segment, idx LIMIT ?4",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    static const struct id none;
    db_bind_id(s, 1, after ? after : &none);
    db_bind_i64(s, 2, after ? (int64_t)after_index : -1);
    db_bind_id(s, 3, account);
    db_bind_u64(s, 4, max);
    e = each_row(s, each, user, msg);
    db_done(s);
    return e;
}

enum err store_damaged(struct store *store, size_t max, store_shard_fn *each, void *user,
                       struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(
        store->db, "SELECT " SHARD_COLUMNS SHARD_TABLES "WHERE state = 2 LIMIT ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, max);
    e = each_row(s, each, user, msg);
    db_done(s);
    return e;
}

enum err store_grant_spent(struct store *store, const uint8_t grant[STORE_GRANT_ID_SIZE],
                           uint64_t *out_bytes, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(store->db, "SELECT bytes FROM grant_spent WHERE id = ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_blob(s, 1, slice_of(grant, STORE_GRANT_ID_SIZE));
    e = db_step(s, msg);
    *out_bytes = e == ERR_OK ? db_column_u64(s, 0) : 0;
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}
