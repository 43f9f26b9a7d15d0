/*
 * Leases: the newest renewal of each account, for cells that ask; and the end of those that nobody
 * renews. What an account had leaves the directory then as if it had been deleted, so that nobody
 * repairs it or asks for proofs of it; the cells free it by their own clocks (cell_lease.c). A
 * renewal brings back what is still known.
 */
#include "registry_internal.h"

#include "identity/deed.h"
#include "wire/wire_ids.h"
#include "wire/wire_lease.h"

#include <stdlib.h>

enum { PARTS = 12 }; /* of the term: the last one is announced, one more is grace */

static int64_t term_s(const struct registry *registry)
{
    return (int64_t)registry->options.account_lease_s;
}

static int64_t grace_s(const struct registry *registry)
{
    return term_s(registry) + term_s(registry) / PARTS;
}

/* --- renewals --- */

struct row {
    int64_t account; /* its number */
    int64_t since_s; /* the last renewal, or since when the first is waited for */
    struct id signer;
    uint64_t sequence;
    struct buf doc; /* owned; empty: none */
};

/* NOT_FOUND for an account that is none of ours. */
static enum err load(struct registry *registry, const struct id *account, struct row *out,
                     struct errmsg *msg)
{
    struct db_statement *s;
    *out = (struct row){.doc = BUF_INIT(WIRE_RENEWAL_BYTES)};
    enum err e = db_prepare(registry->db,
                            "SELECT a.number, coalesce(r.received_s, a.joined_s), r.signer,"
                            " r.sequence, r.doc FROM account AS a LEFT JOIN renewal AS r"
                            " ON r.account = a.number WHERE a.id = ?1",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, account);
    e = db_step(s, msg);
    if (e == ERR_OK) {
        out->account = db_column_i64(s, 0);
        out->since_s = db_column_i64(s, 1);
        if (!db_column_is_null(s, 2)) {
            const struct slice doc = db_column_blob(s, 4);
            e = db_column_id(s, 2, &out->signer);
            out->sequence = db_column_u64(s, 3);
            if (e == ERR_OK)
                e = buf_append(&out->doc, doc.data, doc.size);
        }
    }
    db_done(s);
    return e == ERR_END ? ERR_NOT_FOUND : e;
}

static enum err put(struct registry *registry, int64_t account, const struct deed *deed,
                    struct slice doc, int64_t now_s, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db,
                            "INSERT OR REPLACE INTO renewal (account, signer, sequence, received_s,"
                            " doc) VALUES (?1, ?2, ?3, ?4, ?5)",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_i64(s, 1, account);
    db_bind_id(s, 2, &deed->signer);
    db_bind_u64(s, 3, deed->sequence);
    db_bind_i64(s, 4, now_s);
    db_bind_blob(s, 5, doc);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

enum err registry_renew(struct registry *registry, const struct deed *deed, struct slice doc,
                        int64_t now_s, uint32_t *count, struct errmsg *msg)
{
    struct row row;
    *count = 0;
    enum err e = load(registry, &deed->account, &row, msg);
    const bool again = id_equal(&row.signer, &deed->signer) && row.sequence >= deed->sequence;
    buf_free(&row.doc);
    if (e == ERR_NOT_FOUND)
        return err_say(msg, ERR_DENIED, "this account is not one of this swarm's");
    if (e != ERR_OK || again)
        return e;
    e = db_begin(registry->db, msg);
    if (e != ERR_OK)
        return e;
    e = put(registry, row.account, deed, doc, now_s, msg);
    if (e == ERR_OK && now_s - row.since_s > grace_s(registry))
        e = registry_lease_return(registry, row.account, now_s, msg);
    if (e == ERR_OK)
        e = db_commit(registry->db, msg);
    else
        db_rollback(registry->db);
    *count = e == ERR_OK;
    return e;
}

enum err registry_renewals(struct registry *registry, struct wire_list *accounts, int64_t now_s,
                           struct buf *reply, struct errmsg *msg)
{
    struct wire_renewed renewed[WIRE_RENEWALS_MAX] = {0};
    struct row *rows = calloc(WIRE_RENEWALS_MAX, sizeof(*rows));
    struct id account;
    size_t count = 0;
    enum err e = rows ? ERR_OK : err_say(msg, ERR_NOMEM, "out of memory for renewals");
    while (e == ERR_OK && count < WIRE_RENEWALS_MAX && wire_ids_next(accounts, &account)) {
        struct row *row = &rows[count];
        e = load(registry, &account, row, msg);
        /* of an account that is not known here nothing is known: it is not over */
        renewed[count++] = (struct wire_renewed){
            .doc = buf_slice(&row->doc),
            .received_s = row->since_s,
            .over = e == ERR_OK && now_s - row->since_s > grace_s(registry),
        };
        if (e == ERR_NOT_FOUND)
            e = ERR_OK;
    }
    if (e == ERR_OK)
        e = wire_renewals_encode(renewed, count, reply);
    for (size_t i = 0; rows && i < count; i++)
        buf_free(&rows[i].doc);
    free(rows);
    return e;
}

/* --- the end --- */

static enum err number_before(struct registry *registry, const char *sql, int64_t before_s,
                              int64_t *out, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db, sql, &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_i64(s, 1, before_s);
    e = db_step(s, msg);
    *out = e == ERR_OK ? db_column_i64(s, 0) : 0;
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

enum err registry_leases_ending(struct registry *registry, int64_t now_s, uint64_t *out,
                                struct errmsg *msg)
{
    int64_t count;
    const enum err e =
        number_before(registry,
                      "SELECT count(*) FROM account AS a LEFT JOIN renewal AS r"
                      " ON r.account = a.number WHERE coalesce(r.received_s, a.joined_s) < ?1",
                      now_s - term_s(registry) / PARTS * (PARTS - 1), &count, msg);
    *out = e == ERR_OK ? (uint64_t)count : 0;
    return e;
}

enum err registry_leases_over(struct registry *registry, int64_t now_s, struct errmsg *msg)
{
    struct db_statement *s;
    registry->over_count = 0;
    enum err e = db_prepare(registry->db,
                            "SELECT a.number FROM account AS a LEFT JOIN renewal AS r"
                            " ON r.account = a.number WHERE coalesce(r.received_s, a.joined_s) < ?1"
                            " ORDER BY coalesce(r.received_s, a.joined_s) DESC LIMIT ?2",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_i64(s, 1, now_s - grace_s(registry));
    db_bind_u64(s, 2, REGISTRY_OVER_ACCOUNTS);
    while ((e = db_step(s, msg)) == ERR_OK)
        registry->over[registry->over_count++] = db_column_i64(s, 0);
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

enum err registry_lease_announce(struct registry *registry, int64_t now_s, struct errmsg *msg)
{
    uint64_t ending;
    if (now_s - registry->leases_said_s < 86400 && now_s >= registry->leases_said_s)
        return ERR_OK;
    registry->leases_said_s = now_s;
    const enum err e = registry_leases_ending(registry, now_s, &ending, msg);
    if (e == ERR_OK && ending)
        log_say(
            registry->options.log, LOG_WARN,
            "%llu accounts have not renewed their lease for long: what they have will be let go",
            (unsigned long long)ending);
    return e;
}

bool registry_lease_is_over(const struct registry *registry, int64_t account)
{
    for (size_t i = 0; i < registry->over_count; i++)
        if (registry->over[i] == account)
            return true;
    return false;
}
