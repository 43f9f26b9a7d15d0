/*
 * Documents that a daemon keeps for accounts, in its own database: the newest manifest of each
 * account, the newest head of each of its devices; and small facts by name. The bytes are kept
 * exactly as they were signed; whoever puts them here has verified them.
 *
 * Each call is durable when it returns (unless inside a transaction of the caller's). The database
 * must have been made with DOCUMENTS_SCHEMA among its migrations.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "db/db.h"

#define DOCUMENTS_SCHEMA                                                                         \
    "CREATE TABLE manifest (account BLOB PRIMARY KEY, number INTEGER NOT NULL, doc BLOB NOT "    \
    "NULL);"                                                                                     \
    "CREATE TABLE head (account BLOB NOT NULL, device BLOB NOT NULL, sequence INTEGER NOT NULL," \
    " doc BLOB NOT NULL, PRIMARY KEY (account, device));"                                        \
    "CREATE TABLE fact (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"

/* Keeps the manifest with the highest number. STALE when a higher one is there, or another one of
   that number. */
MUST_CHECK enum err documents_manifest_put(struct db *db, const struct id *account, uint64_t number,
                                           struct slice doc, struct errmsg *msg);
/* Appends the document. NOT_FOUND. */
MUST_CHECK enum err documents_manifest_get(struct db *db, const struct id *account,
                                           uint64_t *number, struct buf *doc, struct errmsg *msg);
/* Keeps the newest head of each device. STALE when a higher sequence is there. EXISTS when another
   head of that sequence is there: a fork. */
MUST_CHECK enum err documents_head_put(struct db *db, const struct id *account,
                                       const struct id *device, uint64_t sequence, struct slice doc,
                                       struct errmsg *msg);
/* Return ERR_OK to go on; anything else ends the call and is returned. */
typedef enum err documents_head_fn(void *user, const struct id *device, uint64_t sequence,
                                   struct slice doc);
MUST_CHECK enum err documents_heads(struct db *db, const struct id *account,
                                    documents_head_fn *each, void *user, struct errmsg *msg);

/* Replaces; an empty value removes. */
MUST_CHECK enum err documents_fact_put(struct db *db, const char *name, struct slice value,
                                       struct errmsg *msg);
/* Appends. NOT_FOUND. */
MUST_CHECK enum err documents_fact_get(struct db *db, const char *name, struct buf *out,
                                       struct errmsg *msg);
