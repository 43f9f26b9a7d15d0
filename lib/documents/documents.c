#include "documents/documents.h"

#include "base/planted.h"

/* Runs `s` once and gives it back. */
static enum err run_once(struct db_statement *s, struct errmsg *msg)
{
    const enum err e = db_run(s, msg);
    db_done(s);
    return e;
}

enum err documents_manifest_put(struct db *db, const struct id *account, uint64_t number,
                                struct slice doc, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(db,
                            "INSERT INTO manifest (account, number, doc) VALUES (?1, ?2, ?3)"
                            " ON CONFLICT (account) DO UPDATE SET number = excluded.number,"
                            " doc = excluded.doc WHERE excluded.number > number"
                            " OR excluded.doc = doc",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, account);
    db_bind_u64(s, 2, number);
    db_bind_blob(s, 3, doc);
    e = run_once(s, msg);
    if (e == ERR_OK && db_changes(db) == 0)
        e = err_say(msg, ERR_STALE,
                    "a manifest newer than number %llu, or another one, is known here",
                    (unsigned long long)number);
    return e;
}

enum err documents_manifest_get(struct db *db, const struct id *account, uint64_t *number,
                                struct buf *doc, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(db, "SELECT number, doc FROM manifest WHERE account = ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, account);
    e = db_step(s, msg);
    if (e == ERR_OK) {
        const struct slice bytes = db_column_blob(s, 1);
        *number = db_column_u64(s, 0);
        e = buf_append(doc, bytes.data, bytes.size);
    } else if (e == ERR_END) {
        e = err_say(msg, ERR_NOT_FOUND, "no manifest of this account is known here");
    }
    db_done(s);
    return e;
}

/* ERR_OK: there is one; ERR_NOT_FOUND. `*same`: it is exactly `doc`. */
static enum err head_known(struct db *db, const struct id *account, const struct id *device,
                           struct slice doc, uint64_t *sequence, bool *same, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(db, "SELECT sequence, doc FROM head WHERE account = ?1 AND device = ?2",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, account);
    db_bind_id(s, 2, device);
    e = db_step(s, msg);
    if (e == ERR_OK) {
        *sequence = db_column_u64(s, 0);
        *same = slice_equal(db_column_blob(s, 1), doc);
    }
    db_done(s);
    return e == ERR_END ? ERR_NOT_FOUND : e;
}

enum err documents_head_put(struct db *db, const struct id *account, const struct id *device,
                            uint64_t sequence, struct slice doc, struct errmsg *msg)
{
    uint64_t known = 0;
    bool same = false;
    enum err e = head_known(db, account, device, doc, &known, &same, msg);
    if (e == ERR_OK && same)
        return ERR_OK;
    if (e == ERR_OK && known > sequence && !PLANTED(HEAD_ROLLED_BACK))
        return err_say(msg, ERR_STALE, "head %llu of this device is known here, %llu is older",
                       (unsigned long long)known, (unsigned long long)sequence);
    if (e == ERR_OK && known == sequence)
        return err_say(msg, ERR_EXISTS,
                       "another head %llu of this device is known here: its key signed two",
                       (unsigned long long)sequence);
    if (e != ERR_OK && e != ERR_NOT_FOUND)
        return e;
    struct db_statement *s;
    e = db_prepare(db,
                   "INSERT OR REPLACE INTO head (account, device, sequence, doc)"
                   " VALUES (?1, ?2, ?3, ?4)",
                   &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, account);
    db_bind_id(s, 2, device);
    db_bind_u64(s, 3, sequence);
    db_bind_blob(s, 4, doc);
    return run_once(s, msg);
}

enum err documents_heads(struct db *db, const struct id *account, documents_head_fn *each,
                         void *user, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(db,
                            "SELECT device, sequence, doc FROM head WHERE account = ?1"
                            " ORDER BY device",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, account);
    while ((e = db_step(s, msg)) == ERR_OK) {
        struct id device;
        if ((e = db_column_id(s, 0, &device)) != ERR_OK)
            break;
        if ((e = each(user, &device, db_column_u64(s, 1), db_column_blob(s, 2))) != ERR_OK)
            break;
    }
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

enum err documents_head_void(struct db *db, const struct id *account, const struct id *device,
                             uint64_t last, bool *dropped, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(
        db, "DELETE FROM head WHERE account = ?1 AND device = ?2 AND sequence > ?3", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, account);
    db_bind_id(s, 2, device);
    db_bind_u64(s, 3, last <= INT64_MAX ? last : INT64_MAX);
    e = run_once(s, msg);
    *dropped = e == ERR_OK && db_changes(db) > 0;
    return e;
}

/* --- requests of devices --- */

/* How many others of the account wait, and whether one of them has the same invite. */
static enum err count_others(struct db *db, const struct id *account,
                             const struct documents_request *request, uint64_t *count, bool *taken,
                             struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(db,
                            "SELECT count(*), ifnull(sum(invite_id = ?3 AND length(?3) > 0), 0)"
                            " FROM device_request WHERE account = ?1 AND device != ?2",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, account);
    db_bind_id(s, 2, &request->device);
    db_bind_blob(s, 3, request->invite_id);
    e = db_step(s, msg);
    if (e == ERR_OK) {
        *count = db_column_u64(s, 0);
        *taken = db_column_u64(s, 1) > 0;
    }
    db_done(s);
    return e;
}

enum err documents_request_put(struct db *db, const struct id *account,
                               const struct documents_request *request, struct errmsg *msg)
{
    uint64_t count = 0;
    bool taken = false;
    struct db_statement *s;
    enum err e = count_others(db, account, request, &count, &taken, msg);
    if (e == ERR_OK && taken)
        return err_say(msg, ERR_EXISTS, "another device waits with the same invite");
    if (e == ERR_OK && count >= DOCUMENTS_REQUESTS_MAX)
        return err_say(msg, ERR_TOO_LARGE, "%u devices wait for this account already",
                       (unsigned)DOCUMENTS_REQUESTS_MAX);
    if (e == ERR_OK)
        e = db_prepare(db,
                       "INSERT OR REPLACE INTO device_request"
                       " (account, device, invite_id, invite, doc, expires_s)"
                       " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                       &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, account);
    db_bind_id(s, 2, &request->device);
    db_bind_blob(s, 3, request->invite_id);
    db_bind_blob(s, 4, request->invite);
    db_bind_blob(s, 5, request->doc);
    db_bind_i64(s, 6, request->expires_s);
    return run_once(s, msg);
}

enum err documents_requests(struct db *db, const struct id *account, documents_request_fn *each,
                            void *user, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(db,
                            "SELECT device, invite_id, invite, doc, expires_s FROM device_request"
                            " WHERE account = ?1 ORDER BY device",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, account);
    while ((e = db_step(s, msg)) == ERR_OK) {
        struct documents_request request = {.invite_id = db_column_blob(s, 1),
                                            .invite = db_column_blob(s, 2),
                                            .doc = db_column_blob(s, 3),
                                            .expires_s = db_column_i64(s, 4)};
        if ((e = db_column_id(s, 0, &request.device)) != ERR_OK ||
            (e = each(user, &request)) != ERR_OK)
            break;
    }
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

enum err documents_request_drop(struct db *db, const struct id *account, const struct id *device,
                                struct errmsg *msg)
{
    struct db_statement *s;
    enum err e =
        db_prepare(db, "DELETE FROM device_request WHERE account = ?1 AND device = ?2", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, account);
    db_bind_id(s, 2, device);
    return run_once(s, msg);
}

enum err documents_requests_expire(struct db *db, int64_t now_s, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(db, "DELETE FROM device_request WHERE expires_s < ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_i64(s, 1, now_s);
    return run_once(s, msg);
}

enum err documents_fact_put(struct db *db, const char *name, struct slice value, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(db,
                            value.size ? "INSERT OR REPLACE INTO fact (name, value) VALUES (?1, ?2)"
                                       : "DELETE FROM fact WHERE name = ?1",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_text(s, 1, name);
    if (value.size)
        db_bind_blob(s, 2, value);
    return run_once(s, msg);
}

enum err documents_fact_get(struct db *db, const char *name, struct buf *out, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(db, "SELECT value FROM fact WHERE name = ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_text(s, 1, name);
    e = db_step(s, msg);
    if (e == ERR_OK) {
        const struct slice value = db_column_blob(s, 0);
        e = buf_append(out, value.data, value.size);
    } else if (e == ERR_END) {
        e = err_say(msg, ERR_NOT_FOUND, "there is no fact '%s' here", name);
    }
    db_done(s);
    return e;
}
