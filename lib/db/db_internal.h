/* What db.c and db_open.c share; for this room only. */
#pragma once

#include "db/db.h"

#include "base/list.h"

#include <sqlite3.h>

enum { DB_STATEMENTS_MAX = 128, DB_STATEMENT_BUCKETS = 64 };

struct db_statement {
    struct list recent; /* in db.recent, most recently used first; only when idle */
    struct db_statement *next_in_bucket;
    struct db *db;
    sqlite3_stmt *stmt; /* owned */
    char *sql;          /* owned */
    uint32_t hash;
    bool busy;     /* between db_prepare and db_done */
    bool cached;   /* in a bucket; else finalised by db_done */
    enum err bind; /* the first error of a bind */
};

struct db {
    sqlite3 *handle;
    const char *what;
    char *path; /* owned */
    unsigned version;
    bool read_only;
    bool sync_failed; /* nothing is written any more */
    struct db_statement *buckets[DB_STATEMENT_BUCKETS];
    /* What was last found for a text at this address: most are literals, which spares their hash.
     */
    struct db_statement *by_address[DB_STATEMENT_BUCKETS];
    struct list recent;
    unsigned cached_count;
};

/* Translates the error that `code` or the handle holds and says: cannot <verb> <what>: <why>: <what
 * to do>. */
enum err db_fail(struct db *db, int code, const char *verb, struct errmsg *msg);

/* Finalises every cached statement. */
void db_statements_free(struct db *db);
