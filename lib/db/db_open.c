#include "db_internal.h"

#include "base/buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static sqlite3_vfs *vfs_of(const struct db_options *o)
{
    return sqlite3_vfs_find(o->vfs);
}

/* Through the VFS, since the file may live in a simulator. */
static bool file_exists(const struct db_options *o, const char *suffix)
{
    sqlite3_vfs *vfs = vfs_of(o);
    char *path = sqlite3_mprintf("%s%s", o->path, suffix);
    int there = 0;
    if (vfs && path && vfs->xAccess(vfs, path, SQLITE_ACCESS_EXISTS, &there) != SQLITE_OK)
        there = 0;
    sqlite3_free(path);
    return there != 0;
}

/* "file:<path, percent-encoded>?immutable=1": the only way to read a WAL database on a read-only
 * medium. */
static enum err immutable_uri(const char *path, struct buf *out)
{
    enum err e = buf_append_text(out, "file:");
    for (const char *c = path; *c && e == ERR_OK; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || *c == '/' || *c == '.' || *c == '-' || *c == '_';
        e = plain ? buf_append_u8(out, (uint8_t)*c)
                  : buf_append_format(out, "%%%02X", (unsigned)(uint8_t)*c);
    }
    if (e == ERR_OK)
        e = buf_append(out, "?immutable=1", sizeof("?immutable=1"));
    return e;
}

static int open_handle(struct db *db, const struct db_options *o, const char *name, int more)
{
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | more;
    if (o->read_only)
        flags |= SQLITE_OPEN_READONLY;
    else
        flags |= SQLITE_OPEN_READWRITE | (o->create ? SQLITE_OPEN_CREATE : 0);
    int code = sqlite3_open_v2(name, &db->handle, flags, o->vfs);
    if (code != SQLITE_OK)
        return code;
    sqlite3_busy_timeout(db->handle,
                         (int)(o->busy_timeout_ms ? o->busy_timeout_ms : DB_BUSY_TIMEOUT_MS));
    /* a hostile file must not make us run what stands in its schema */
    (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    if (o->read_only)
        (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return SQLITE_OK;
}

static int read_number(struct db *db, const char *sql, int64_t *out)
{
    sqlite3_stmt *stmt = NULL;
    int code = sqlite3_prepare_v2(db->handle, sql, -1, &stmt, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(stmt);
    if (code == SQLITE_ROW)
        *out = sqlite3_column_int64(stmt, 0);
    (void)sqlite3_finalize(stmt);
    return code == SQLITE_ROW ? SQLITE_OK : code;
}

struct header {
    int64_t application_id, version, tables;
};

/* The first read of the file: SQLite opens lazily. */
static int read_header(struct db *db, struct header *h)
{
    int code = read_number(db, "SELECT count(*) FROM sqlite_schema", &h->tables);
    if (code == SQLITE_OK)
        code = read_number(db, "PRAGMA application_id", &h->application_id);
    if (code == SQLITE_OK)
        code = read_number(db, "PRAGMA user_version", &h->version);
    return code;
}

static enum err open_and_read_header(struct db *db, const struct db_options *o, struct header *h,
                                     struct errmsg *msg)
{
    int code = open_handle(db, o, o->path, 0);
    if (code == SQLITE_OK && o->exclusive)
        code = sqlite3_exec(db->handle, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = read_header(db, h);
    if ((code & 0xff) != SQLITE_CANTOPEN && code != SQLITE_READONLY_DIRECTORY &&
        code != SQLITE_READONLY_CANTINIT)
        return code == SQLITE_OK ? ERR_OK : db_fail(db, code, "open", msg);
    if (!file_exists(o, "") && !(o->create && !o->read_only))
        return err_say(msg, ERR_NOT_FOUND, "cannot open %s: there is no file %s", db->what,
                       o->path);
    if (!o->read_only || file_exists(o, "-wal"))
        return db_fail(db, code, "open", msg);

    struct buf uri = BUF_INIT(3 * strlen(o->path) + 64);
    enum err e = immutable_uri(o->path, &uri);
    if (e == ERR_OK) {
        (void)sqlite3_close_v2(db->handle);
        db->handle = NULL;
        code = open_handle(db, o, (const char *)uri.data, SQLITE_OPEN_URI);
        if (code == SQLITE_OK)
            code = read_header(db, h);
        if (code != SQLITE_OK)
            e = db_fail(db, code, "open", msg);
    }
    buf_free(&uri);
    return e;
}

static enum err check_header(struct db *db, const struct db_options *o, const struct header *h,
                             struct errmsg *msg)
{
    bool empty = h->tables == 0 && h->version == 0;
    if (empty && o->read_only)
        return err_say(msg, ERR_NOT_FOUND, "cannot open %s: %s is empty", db->what, o->path);
    if (!empty && (uint64_t)(uint32_t)h->application_id != o->application_id)
        return err_say(msg, ERR_FORMAT,
                       "cannot open %s: %s is a database of another kind; nothing "
                       "in it was changed",
                       db->what, o->path);
    if (h->version < 0 || (uint64_t)h->version > o->migration_count)
        return err_say(
            msg, ERR_VERSION,
            "cannot open %s: %s was written by a newer version of this program (schema %lld, "
            "this one knows %zu); use the newer program, nothing was changed",
            db->what, o->path, (long long)h->version, o->migration_count);
    if (o->read_only && (uint64_t)h->version < o->migration_count)
        return err_say(
            msg, ERR_VERSION,
            "cannot open %s: %s was written by an older version of this program (schema %lld, "
            "this one needs %zu); any command that writes brings it up to date",
            db->what, o->path, (long long)h->version, o->migration_count);
    return ERR_OK;
}

static enum err pragma(struct db *db, struct errmsg *msg, const char *format, long long value)
{
    char sql[96];
    (void)snprintf(sql, sizeof(sql), format, value);
    return db_exec(db, sql, msg);
}

static enum err write_ahead(struct db *db, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(db, "PRAGMA journal_mode = WAL", &s, msg);
    if (e == ERR_OK)
        e = db_step(s, msg);
    if (e == ERR_OK && strcmp(db_column_text(s, 0), "wal") != 0)
        e = err_say(
            msg, ERR_UNSUPPORTED,
            "cannot open %s: its file system has no shared memory for a write-ahead log; put %s "
            "on a local disk",
            db->what, db->path);
    /* the row comes before the change is written: only the end says that it is done */
    if (e == ERR_OK)
        e = db_step(s, msg);
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

static enum err write_settings(struct db *db, const struct db_options *o, const struct header *h,
                               struct errmsg *msg)
{
    enum err e = ERR_OK;
    if (h->tables == 0 && h->version == 0)
        e = pragma(db, msg, "PRAGMA page_size = %lld", o->page_bytes ? o->page_bytes : 4096);
    if (e == ERR_OK)
        e = write_ahead(db, msg);
    if (e == ERR_OK)
        e = db_exec(db, "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON", msg);
    if (e == ERR_OK)
        e = pragma(db, msg, "PRAGMA wal_autocheckpoint = %lld",
                   o->checkpoint_pages ? o->checkpoint_pages : 1000);
    return e;
}

static enum err apply_settings(struct db *db, const struct db_options *o, const struct header *h,
                               struct errmsg *msg)
{
    size_t cache = o->cache_bytes ? o->cache_bytes : DB_CACHE_BYTES;
    enum err e = db_exec(db,
                         "PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY;"
                         "PRAGMA cell_size_check = ON",
                         msg);
    if (e == ERR_OK)
        e = pragma(db, msg, "PRAGMA cache_size = -%lld", (long long)(cache / 1024 + 1));
    if (e == ERR_OK && !o->read_only)
        e = write_settings(db, o, h, msg);
    return e;
}

static enum err migrate_once(struct db *db, const struct db_options *o, struct errmsg *msg)
{
    enum err e = db_begin(db, msg);
    if (e != ERR_OK)
        return e;
    int64_t version = 0; /* another process may have been quicker */
    e = db_number(db, "PRAGMA user_version", &version, msg);
    if (e == ERR_OK && version == db->version) {
        e = db_exec(db, o->migrations[version], msg);
        if (e == ERR_OK && version == 0)
            e = pragma(db, msg, "PRAGMA application_id = %lld", (int32_t)o->application_id);
        if (e == ERR_OK)
            e = pragma(db, msg, "PRAGMA user_version = %lld", ++version);
    }
    if (e == ERR_OK)
        e = db_commit(db, msg);
    if (e == ERR_OK)
        db->version = (unsigned)version;
    db_rollback(db);
    return e;
}

static enum err migrate(struct db *db, const struct db_options *o, struct errmsg *msg)
{
    while (db->version < o->migration_count) {
        unsigned from = db->version;
        enum err e = migrate_once(db, o, msg);
        if (e != ERR_OK)
            return err_wrap(msg, e, "cannot bring %s from schema %u to %u", db->what, from,
                            from + 1);
    }
    return ERR_OK;
}

enum err db_open(const struct db_options *options, struct db **out, struct errmsg *msg)
{
    *out = NULL;
    if (!vfs_of(options))
        return err_say(msg, ERR_USAGE, "there is no file system named %s", options->vfs);
    struct db *db = calloc(1, sizeof(*db));
    char *path = strdup(options->path);
    if (!db || !path) {
        free(db);
        free(path);
        return err_say(msg, ERR_NOMEM, "cannot open %s: out of memory", options->what);
    }
    db->what = options->what;
    db->path = path;
    db->read_only = options->read_only;
    list_init(&db->recent);

    struct header header = {0};
    enum err e = open_and_read_header(db, options, &header, msg);
    if (e == ERR_OK)
        e = check_header(db, options, &header, msg);
    if (e == ERR_OK)
        e = apply_settings(db, options, &header, msg);
    db->version = (unsigned)header.version;
    if (e == ERR_OK && !options->read_only)
        e = migrate(db, options, msg);
    if (e != ERR_OK) {
        db_close(db);
        db = NULL;
    }
    *out = db;
    return e;
}

void db_close(struct db *db)
{
    if (!db)
        return;
    db_rollback(db);
    db_statements_free(db);
    (void)sqlite3_close_v2(db->handle);
    free(db->path);
    free(db);
}
