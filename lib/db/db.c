#include "db_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* --- errors --- */

static bool is_sync_failure(int extended)
{
    return extended == SQLITE_IOERR_FSYNC || extended == SQLITE_IOERR_DIR_FSYNC;
}

static enum err translate_io(int extended, int system)
{
    switch (extended) {
    case SQLITE_IOERR_NOMEM:
    case SQLITE_IOERR_SHMMAP:
        return extended == SQLITE_IOERR_NOMEM ? ERR_NOMEM : ERR_IO;
    case SQLITE_IOERR_CORRUPTFS:
    case SQLITE_IOERR_DATA:
        return ERR_CORRUPT;
    default:
        return system == ENOSPC || system == EDQUOT ? ERR_FULL : ERR_IO;
    }
}

static enum err translate(int extended, int system)
{
    switch (extended & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return ERR_OK;
    case SQLITE_NOMEM:
        return ERR_NOMEM;
    case SQLITE_IOERR:
        return translate_io(extended, system);
    case SQLITE_FULL:
        return ERR_FULL;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return ERR_CORRUPT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return ERR_LOCKED;
    case SQLITE_READONLY:
        return ERR_READ_ONLY;
    case SQLITE_CANTOPEN:
        return system ? err_from_errno(system) : ERR_IO;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return ERR_DENIED;
    case SQLITE_TOOBIG:
        return ERR_TOO_LARGE;
    case SQLITE_INTERRUPT:
        return ERR_CANCELLED;
    case SQLITE_CONSTRAINT:
        return extended == SQLITE_CONSTRAINT_UNIQUE || extended == SQLITE_CONSTRAINT_PRIMARYKEY ||
                       extended == SQLITE_CONSTRAINT_ROWID
                   ? ERR_EXISTS
                   : ERR_USAGE;
    default:
        return ERR_USAGE;
    }
}

static const char *advice(enum err e)
{
    switch (e) {
    case ERR_LOCKED:
        return "; another process is using it: wait for it to end, or end it";
    case ERR_FULL:
        return "; free some space and run again, nothing was lost";
    case ERR_CORRUPT:
        return "; it can be rebuilt from what the swarm holds";
    case ERR_DENIED:
        return "; check who owns the file and its folder";
    default:
        return "";
    }
}

enum err db_fail(struct db *db, int code, const char *verb, struct errmsg *msg)
{
    int extended = db->handle ? sqlite3_extended_errcode(db->handle) : code;
    int system = db->handle ? sqlite3_system_errno(db->handle) : 0;
    if ((extended & 0xff) != (code & 0xff))
        extended = code;
    if (is_sync_failure(extended)) {
        db->sync_failed = true;
        (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    }
    enum err e = translate(extended, system);
    const char *why = db->handle && (sqlite3_errcode(db->handle) & 0xff) == (code & 0xff)
                          ? sqlite3_errmsg(db->handle)
                          : sqlite3_errstr(code);
    return err_say(msg, e, "cannot %s %s (%s): %s%s", verb, db->what, db->path, why, advice(e));
}

static enum err say_sync_failed(const struct db *db, struct errmsg *msg)
{
    return err_say(
        msg, ERR_READ_ONLY,
        "cannot write to %s (%s): the disk failed to store earlier writes, so nothing more is "
        "written; check the disk and start the program again",
        db->what, db->path);
}

/* --- statements --- */

static uint32_t hash_text(const char *text)
{
    uint32_t hash = 2166136261U; /* FNV-1a */
    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * 16777619U;
    return hash;
}

static void statement_free(struct db_statement *s)
{
    sqlite3_finalize(s->stmt);
    free(s->sql);
    free(s);
}

static struct db_statement **address_slot(struct db *db, const char *sql)
{
    return &db->by_address[((uintptr_t)sql >> 3) % DB_STATEMENT_BUCKETS];
}

static void unlink_cached(struct db_statement *s)
{
    for (size_t i = 0; i < DB_STATEMENT_BUCKETS; i++)
        if (s->db->by_address[i] == s)
            s->db->by_address[i] = NULL;
    struct db_statement **at = &s->db->buckets[s->hash % DB_STATEMENT_BUCKETS];
    while (*at != s)
        at = &(*at)->next_in_bucket;
    *at = s->next_in_bucket;
    list_remove(&s->recent);
    s->db->cached_count--;
}

void db_statements_free(struct db *db)
{
    for (size_t i = 0; i < DB_STATEMENT_BUCKETS; i++) {
        db->by_address[i] = NULL;
        while (db->buckets[i]) {
            struct db_statement *s = db->buckets[i];
            db->buckets[i] = s->next_in_bucket;
            statement_free(s);
        }
    }
    list_init(&db->recent);
    db->cached_count = 0;
}

static void make_room(struct db *db)
{
    if (db->cached_count < DB_STATEMENTS_MAX || list_empty(&db->recent))
        return;
    struct db_statement *oldest = container_of(db->recent.previous, struct db_statement, recent);
    unlink_cached(oldest);
    statement_free(oldest);
}

static enum err compile(struct db *db, const char *sql, uint32_t hash, struct db_statement **out,
                        struct errmsg *msg)
{
    struct db_statement *s = calloc(1, sizeof(*s));
    if (!s || !(s->sql = strdup(sql))) {
        free(s);
        return err_say(msg, ERR_NOMEM, "cannot ask %s: out of memory", db->what);
    }
    list_init(&s->recent);
    s->db = db;
    s->hash = hash;
    const char *rest = NULL;
    int code = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->stmt, &rest);
    if (code != SQLITE_OK) {
        enum err e = db_fail(db, code, "ask", msg);
        statement_free(s);
        return e;
    }
    assert(s->stmt && rest && *rest == '\0'); /* one statement, and not an empty one */
    *out = s;
    return ERR_OK;
}

static void take(struct db_statement *s, struct db_statement **out)
{
    list_remove(&s->recent);
    s->busy = true;
    *out = s;
}

enum err db_prepare(struct db *db, const char *sql, struct db_statement **out, struct errmsg *msg)
{
    struct db_statement **guess = address_slot(db, sql), *s = *guess;
    *out = NULL;
    if (s && !s->busy && strcmp(s->sql, sql) == 0) {
        take(s, out);
        return ERR_OK;
    }
    uint32_t hash = hash_text(sql);
    struct db_statement **bucket = &db->buckets[hash % DB_STATEMENT_BUCKETS];
    s = *bucket;
    while (s && (s->hash != hash || strcmp(s->sql, sql) != 0))
        s = s->next_in_bucket;
    if (s && !s->busy) {
        *guess = s;
        take(s, out);
        return ERR_OK;
    }
    struct db_statement *fresh = NULL;
    enum err e = compile(db, sql, hash, &fresh, msg);
    if (e != ERR_OK)
        return e;
    fresh->busy = true;
    fresh->cached = s == NULL; /* the same text twice at once: the second one is not kept */
    if (fresh->cached) {
        make_room(db);
        fresh->next_in_bucket = *bucket;
        *bucket = fresh;
        db->cached_count++;
    }
    *out = fresh;
    return ERR_OK;
}

void db_rebind(struct db_statement *s)
{
    (void)sqlite3_reset(s->stmt);
    (void)sqlite3_clear_bindings(s->stmt);
    s->bind = ERR_OK;
}

void db_done(struct db_statement *s)
{
    if (!s)
        return;
    assert(s->busy);
    if (!s->cached) {
        statement_free(s);
        return;
    }
    db_rebind(s);
    s->busy = false;
    list_prepend(&s->db->recent, &s->recent);
}

static void bound(struct db_statement *s, int code)
{
    assert(code != SQLITE_RANGE && code != SQLITE_MISUSE); /* no such parameter, or a row is open */
    if (code != SQLITE_OK && s->bind == ERR_OK)
        s->bind = translate(code, 0);
}

void db_bind_i64(struct db_statement *s, int parameter, int64_t value)
{
    bound(s, sqlite3_bind_int64(s->stmt, parameter, value));
}

void db_bind_u64(struct db_statement *s, int parameter, uint64_t value)
{
    if (value > INT64_MAX)
        s->bind = s->bind == ERR_OK ? ERR_TOO_LARGE : s->bind;
    else
        db_bind_i64(s, parameter, (int64_t)value);
}

void db_bind_bool(struct db_statement *s, int parameter, bool value)
{
    db_bind_i64(s, parameter, value);
}

void db_bind_real(struct db_statement *s, int parameter, double value)
{
    bound(s, sqlite3_bind_double(s->stmt, parameter, value));
}

void db_bind_blob(struct db_statement *s, int parameter, struct slice bytes)
{
    bound(s, bytes.size
                 ? sqlite3_bind_blob64(s->stmt, parameter, bytes.data, bytes.size, SQLITE_STATIC)
                 : sqlite3_bind_zeroblob(s->stmt, parameter, 0));
}

void db_bind_text(struct db_statement *s, int parameter, const char *text)
{
    bound(s, text ? sqlite3_bind_text(s->stmt, parameter, text, -1, SQLITE_STATIC)
                  : sqlite3_bind_null(s->stmt, parameter));
}

void db_bind_id(struct db_statement *s, int parameter, const struct id *id)
{
    if (id)
        db_bind_blob(s, parameter, slice_of(id->bytes, ID_SIZE));
    else
        db_bind_null(s, parameter);
}

void db_bind_null(struct db_statement *s, int parameter)
{
    bound(s, sqlite3_bind_null(s->stmt, parameter));
}

enum err db_step(struct db_statement *s, struct errmsg *msg)
{
    struct db *db = s->db;
    bool writes = !sqlite3_stmt_readonly(s->stmt);
    if (s->bind != ERR_OK)
        return err_say(msg, s->bind, "cannot %s %s: a value is %s", writes ? "write to" : "ask",
                       db->what, err_words(s->bind));
    if (writes && db->sync_failed)
        return say_sync_failed(db, msg);
    int code = sqlite3_step(s->stmt);
    if (code == SQLITE_ROW)
        return ERR_OK;
    if (code == SQLITE_DONE)
        return ERR_END;
    return db_fail(db, code, writes ? "write to" : "read", msg);
}

enum err db_run(struct db_statement *s, struct errmsg *msg)
{
    enum err e;
    do {
        e = db_step(s, msg);
    } while (e == ERR_OK);
    db_rebind(s);
    return e == ERR_END ? ERR_OK : e;
}

int64_t db_column_i64(struct db_statement *s, int column)
{
    return sqlite3_column_int64(s->stmt, column);
}

uint64_t db_column_u64(struct db_statement *s, int column)
{
    int64_t value = sqlite3_column_int64(s->stmt, column);
    return value < 0 ? 0 : (uint64_t)value;
}

bool db_column_bool(struct db_statement *s, int column)
{
    return sqlite3_column_int64(s->stmt, column) != 0;
}

double db_column_real(struct db_statement *s, int column)
{
    return sqlite3_column_double(s->stmt, column);
}

struct slice db_column_blob(struct db_statement *s, int column)
{
    if (sqlite3_column_type(s->stmt, column) != SQLITE_BLOB)
        return slice_of(NULL, 0);
    const void *data = sqlite3_column_blob(s->stmt, column);
    int size = sqlite3_column_bytes(s->stmt, column);
    return slice_of(data, data && size > 0 ? (size_t)size : 0);
}

const char *db_column_text(struct db_statement *s, int column)
{
    const unsigned char *text = sqlite3_column_type(s->stmt, column) == SQLITE_TEXT
                                    ? sqlite3_column_text(s->stmt, column)
                                    : NULL;
    return text ? (const char *)text : "";
}

bool db_column_is_null(struct db_statement *s, int column)
{
    return sqlite3_column_type(s->stmt, column) == SQLITE_NULL;
}

enum err db_column_id(struct db_statement *s, int column, struct id *out)
{
    struct slice bytes = db_column_blob(s, column);
    if (bytes.size != ID_SIZE)
        return ERR_CORRUPT;
    memcpy(out->bytes, bytes.data, ID_SIZE);
    return ERR_OK;
}

/* --- transactions and the rest --- */

enum err db_exec(struct db *db, const char *sql, struct errmsg *msg)
{
    if (db->sync_failed)
        return say_sync_failed(db, msg);
    int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? ERR_OK : db_fail(db, code, "work on", msg);
}

static enum err run_text(struct db *db, const char *sql, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(db, sql, &s, msg);
    if (e == ERR_OK)
        e = db_run(s, msg);
    db_done(s);
    return e;
}

enum err db_begin(struct db *db, struct errmsg *msg)
{
    if (db_in_transaction(db))
        return err_say(msg, ERR_STATE, "%s is in a transaction already", db->what);
    return run_text(db, db->read_only ? "BEGIN" : "BEGIN IMMEDIATE", msg);
}

enum err db_commit(struct db *db, struct errmsg *msg)
{
    if (!db_in_transaction(
            db)) /* SQLite rolled it back after an error that the caller passed over */
        return err_say(msg, ERR_STATE, "%s is not in a transaction", db->what);
    enum err e = db->sync_failed ? say_sync_failed(db, msg) : run_text(db, "COMMIT", msg);
    if (e != ERR_OK)
        db_rollback(db);
    return e;
}

void db_rollback(struct db *db)
{
    if (db_in_transaction(db))
        (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

bool db_in_transaction(const struct db *db)
{
    return !sqlite3_get_autocommit(db->handle);
}

enum err db_number(struct db *db, const char *sql, int64_t *out, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(db, sql, &s, msg);
    if (e == ERR_OK)
        e = db_step(s, msg);
    if (e == ERR_END || (e == ERR_OK && db_column_is_null(s, 0)))
        e = err_say(msg, ERR_NOT_FOUND, "%s has no such value", db->what);
    if (e == ERR_OK)
        *out = db_column_i64(s, 0);
    db_done(s);
    return e;
}

unsigned db_version(const struct db *db)
{
    return db->version;
}

int64_t db_last_rowid(const struct db *db)
{
    return sqlite3_last_insert_rowid(db->handle);
}

uint64_t db_changes(const struct db *db)
{
    sqlite3_int64 count = sqlite3_changes64(db->handle);
    return count > 0 ? (uint64_t)count : 0;
}

enum err db_check(struct db *db, bool quick, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e =
        db_prepare(db, quick ? "PRAGMA quick_check(1)" : "PRAGMA integrity_check(1)", &s, msg);
    if (e == ERR_OK)
        e = db_step(s, msg);
    if (e == ERR_OK && strcmp(db_column_text(s, 0), "ok") != 0)
        e = err_say(msg, ERR_CORRUPT, "%s (%s) is damaged: %s%s", db->what, db->path,
                    db_column_text(s, 0), advice(ERR_CORRUPT));
    db_done(s);
    return e;
}

enum err db_checkpoint(struct db *db, struct errmsg *msg)
{
    if (db->read_only)
        return err_say(msg, ERR_STATE, "%s is open for reading only", db->what);
    if (db->sync_failed)
        return say_sync_failed(db, msg);
    int code = sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    return code == SQLITE_OK ? ERR_OK : db_fail(db, code, "tidy up", msg);
}

enum err db_copy(struct db *db, const char *path, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(db, "VACUUM INTO ?1", &s, msg);
    if (e == ERR_OK) {
        db_bind_text(s, 1, path);
        e = db_run(s, msg);
    }
    db_done(s);
    return e == ERR_OK ? ERR_OK : err_wrap(msg, e, "cannot copy %s to %s", db->what, path);
}

enum err db_size(struct db *db, uint64_t *out_bytes, struct errmsg *msg)
{
    int64_t pages = 0, page_bytes = 0;
    enum err e = db_number(db, "PRAGMA page_count", &pages, msg);
    if (e == ERR_OK)
        e = db_number(db, "PRAGMA page_size", &page_bytes, msg);
    if (e == ERR_OK)
        *out_bytes = (uint64_t)pages * (uint64_t)page_bytes;
    return e;
}

void db_interrupt(struct db *db)
{
    sqlite3_interrupt(db->handle);
}
