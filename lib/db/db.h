/*
 * A SQLite database as the house uses it: the vault's index, a cell's catalogue, the coordinator's
 * registry.
 *
 * One connection writes and checkpoints (journal_mode=WAL, synchronous=FULL, no mmap); readers open
 * with `read_only` and never checkpoint. A struct db is used by one thread at a time (a serial lane
 * of port/work.h); only db_interrupt() may come from another. Files go through the named VFS, so a
 * simulator can register one that loses unsynced writes.
 *
 *     struct db_statement *s;
 *     e = db_prepare(db, "SELECT size FROM thing WHERE id = ?1", &s, msg);   // cached by its text
 *     if (e != ERR_OK) ...
 *     db_bind_id(s, 1, &id);
 *     e = db_step(s, msg);                  // ERR_OK: a row is there; ERR_END: no more
 *     if (e == ERR_OK)
 *         size = db_column_u64(s, 0);
 *     db_done(s);                           // always; s may not be used after it
 *
 * Binds return nothing: what goes wrong in one comes out of the next db_step().
 *
 * Errors, everywhere: NOMEM; IO; FULL; CORRUPT (not a database, or damaged); LOCKED (another
 * process holds it longer than the busy time); READ_ONLY; EXISTS (a UNIQUE or PRIMARY KEY
 * constraint); USAGE (any other constraint, or wrong SQL); TOO_LARGE; CANCELLED (db_interrupt).
 * After a failed fsync nothing is ever written again through this connection: every later statement
 * that writes gets READ_ONLY, because the kernel may have dropped what it could not write (the file
 * is right again when it is next opened).
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"
#include "base/id.h"

struct db;
struct db_statement;

struct db_options {
    const char *path; /* of the file; copied */
    const char *vfs;  /* NULL: the system's */
    const char *what; /* for sentences: "the vault's index"; a string that outlives the db */

    /* Written into the file's header when it is made; a file with another one is refused
     * (ERR_FORMAT). */
    uint32_t application_id;
    /* migrations[i] brings the schema from version i to i + 1 (SQL text, several statements), each
       in one transaction. A file of a version above `migration_count` is refused (ERR_VERSION). */
    const char *const *migrations;
    size_t migration_count;

    bool create;    /* make the file when it is missing; else ERR_NOT_FOUND */
    bool read_only; /* needs an up-to-date schema (else ERR_VERSION); works on a read-only medium */
    bool exclusive; /* hold the file for ourselves while open: no shared memory file is needed, and
                       a second opener gets ERR_LOCKED */
    unsigned busy_timeout_ms;  /* 0: DB_BUSY_TIMEOUT_MS */
    size_t cache_bytes;        /* page cache; 0: DB_CACHE_BYTES */
    unsigned page_bytes;       /* of a new file; 0: 4096 */
    unsigned checkpoint_pages; /* the write-ahead log is folded in at this size; 0: 1000 pages */
};

enum { DB_BUSY_TIMEOUT_MS = 10000, DB_CACHE_BYTES = 4 << 20 };

/* On error *out is NULL. Besides the errors above: NOT_FOUND, FORMAT, VERSION. */
MUST_CHECK enum err db_open(const struct db_options *options, struct db **out, struct errmsg *msg);

/* NULL does nothing. An open transaction is rolled back; statements must be done. The last writer
   folds the write-ahead log in; a reader never does. */
void db_close(struct db *db);

/* Schema version now: how many migrations have been applied. */
unsigned db_version(const struct db *db);

/* --- transactions: not nested --- */

/* A writing transaction (BEGIN IMMEDIATE: it gets the lock now or says LOCKED); a reading one when
   the database is read-only, so that several queries see one state. ERR_STATE inside another. */
MUST_CHECK enum err db_begin(struct db *db, struct errmsg *msg);
/* Durable when it returns ERR_OK. On an error the transaction is rolled back. */
MUST_CHECK enum err db_commit(struct db *db, struct errmsg *msg);
/* Does nothing outside a transaction. */
void db_rollback(struct db *db);
bool db_in_transaction(const struct db *db);

/* --- statements --- */

/* `sql` is one statement. Prepared once and kept (up to 128, then the least recently used goes). */
MUST_CHECK enum err db_prepare(struct db *db, const char *sql, struct db_statement **out,
                               struct errmsg *msg);

/* Parameters count from 1. Bytes and texts are borrowed until db_rebind() or db_done(). */
void db_bind_i64(struct db_statement *s, int parameter, int64_t value);
void db_bind_u64(struct db_statement *s, int parameter,
                 uint64_t value); /* > INT64_MAX: TOO_LARGE */
void db_bind_bool(struct db_statement *s, int parameter, bool value);
void db_bind_real(struct db_statement *s, int parameter, double value);
void db_bind_blob(struct db_statement *s, int parameter,
                  struct slice bytes); /* size 0: an empty blob */
void db_bind_text(struct db_statement *s, int parameter, const char *text);  /* NULL: SQL's NULL */
void db_bind_id(struct db_statement *s, int parameter, const struct id *id); /* NULL: SQL's NULL */
void db_bind_null(struct db_statement *s, int parameter);

/* ERR_OK: a row is there. ERR_END: no more rows. */
MUST_CHECK enum err db_step(struct db_statement *s, struct errmsg *msg);

/* For statements without rows: steps to the end (rows are thrown away) and rebinds. Ready for the
   next round of binds; db_done() is still owed. */
MUST_CHECK enum err db_run(struct db_statement *s, struct errmsg *msg);

/* Back to before the first step, with all parameters NULL. */
void db_rebind(struct db_statement *s);

/* Gives the statement back to the cache. NULL does nothing. */
void db_done(struct db_statement *s);

/* Columns count from 0, valid after db_step() said ERR_OK. Slices and texts are borrowed until the
   next step, rebind or done. A value of another kind than asked for reads as 0, empty, "" or false.
 */
int64_t db_column_i64(struct db_statement *s, int column);
uint64_t db_column_u64(struct db_statement *s, int column); /* negative reads as 0 */
bool db_column_bool(struct db_statement *s, int column);
double db_column_real(struct db_statement *s, int column);
struct slice db_column_blob(struct db_statement *s, int column);
const char *db_column_text(struct db_statement *s, int column);
bool db_column_is_null(struct db_statement *s, int column);
/* ERR_CORRUPT when it is not a blob of 32 bytes. */
MUST_CHECK enum err db_column_id(struct db_statement *s, int column, struct id *out);

/* --- the rest --- */

/* Runs SQL without parameters, any number of statements; rows are thrown away. */
MUST_CHECK enum err db_exec(struct db *db, const char *sql, struct errmsg *msg);

/* The first column of the first row as a number; ERR_NOT_FOUND when there is no row or it is NULL.
 */
MUST_CHECK enum err db_number(struct db *db, const char *sql, int64_t *out, struct errmsg *msg);

int64_t db_last_rowid(const struct db *db);
uint64_t db_changes(const struct db *db); /* rows changed by the last statement */

/* Reads the whole file: ERR_CORRUPT with SQLite's first finding. `quick` leaves out the indexes. */
MUST_CHECK enum err db_check(struct db *db, bool quick, struct errmsg *msg);

/* Folds the write-ahead log into the file now. ERR_LOCKED when a reader is in the way. */
MUST_CHECK enum err db_checkpoint(struct db *db, struct errmsg *msg);

/* Writes a consistent, compact copy to `path`, which must not exist (same VFS). */
MUST_CHECK enum err db_copy(struct db *db, const char *path, struct errmsg *msg);

/* Bytes of the database file, without the write-ahead log. */
MUST_CHECK enum err db_size(struct db *db, uint64_t *out_bytes, struct errmsg *msg);

/* Any thread: the statement that runs now ends with ERR_CANCELLED. */
void db_interrupt(struct db *db);
