/*
 * Documents that a daemon keeps for accounts, in its own database: the newest manifest of each
 * account, the newest head of each of its devices, requests of devices that want to become one of
 * an account; and small facts by name. The bytes are kept exactly as they were signed; whoever puts
 * them here has verified them.
 *
 * Each call is durable when it returns (unless inside a transaction of the caller's). The database
 * must have been made with DOCUMENTS_SCHEMA, and then DOCUMENTS_SCHEMA_REQUESTS, among its
 * migrations.
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

/* A later migration: devices that wait to be taken into an account. */
#define DOCUMENTS_SCHEMA_REQUESTS                                               \
    "CREATE TABLE device_request (account BLOB NOT NULL, device BLOB NOT NULL," \
    " invite_id BLOB NOT NULL, invite BLOB NOT NULL, doc BLOB NOT NULL,"        \
    " expires_s INTEGER NOT NULL, PRIMARY KEY (account, device)) WITHOUT ROWID"

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

/* Forgets the device's head when its sequence is above `last`: it is void. *dropped: it was. */
MUST_CHECK enum err documents_head_void(struct db *db, const struct id *account,
                                        const struct id *device, uint64_t last, bool *dropped,
                                        struct errmsg *msg);

/* --- requests of devices (identity/device_request.h) --- */

enum { DOCUMENTS_REQUESTS_MAX = 16 }; /* of one account */

struct documents_request {
    struct id device;
    struct slice invite_id; /* size 0: without an invite */
    struct slice invite;    /* its document */
    struct slice doc;
    int64_t expires_s;
};

/* One a device: a newer one replaces it. EXISTS when another device waits with the same invite;
   TOO_LARGE when DOCUMENTS_REQUESTS_MAX others wait. */
MUST_CHECK enum err documents_request_put(struct db *db, const struct id *account,
                                          const struct documents_request *request,
                                          struct errmsg *msg);
typedef enum err documents_request_fn(void *user, const struct documents_request *request);
MUST_CHECK enum err documents_requests(struct db *db, const struct id *account,
                                       documents_request_fn *each, void *user, struct errmsg *msg);
/* Nothing when there is none. */
MUST_CHECK enum err documents_request_drop(struct db *db, const struct id *account,
                                           const struct id *device, struct errmsg *msg);
/* Those of all accounts whose time is over. */
MUST_CHECK enum err documents_requests_expire(struct db *db, int64_t now_s, struct errmsg *msg);

/* Replaces; an empty value removes. */
MUST_CHECK enum err documents_fact_put(struct db *db, const char *name, struct slice value,
                                       struct errmsg *msg);
/* Appends. NOT_FOUND. */
MUST_CHECK enum err documents_fact_get(struct db *db, const char *name, struct buf *out,
                                       struct errmsg *msg);
