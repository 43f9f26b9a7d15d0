/*
 * Deletion, as the directory sees it.
 *
 * A deleted segment's row moves from `segment` to `removed`, where neither find nor repair looks;
 * there it waits for an undelete as long as any cell may still have the bytes, then loses its
 * shards and stays as a dead name. The order itself is kept for each cell that holds one of its
 * segments (`removal_debt`) until that cell says that it is done.
 */
#include "registry_internal.h"

#include "base/cursor.h"
#include "identity/delete_order.h"
#include "wire/wire_removal.h"

#include <stdlib.h>

/* In one answer: so many, or what they come to in bytes. */
enum { ORDERS_AT_ONCE = WIRE_ORDERS_MAX, ORDER_BYTES_AT_ONCE = 512 << 10 };

/* A cell's hold ends by its own running time: it can last longer than ours. */
enum { HOLD_FACTOR = 3, HOLD_MORE_S = 86400, LEASE_HOLD_S = 30 * 86400 };

/* Runs a statement whose first parameters are an ID and a number. */
static enum err run(struct registry *registry, const char *sql, const struct id *id, int64_t number,
                    struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db, sql, &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, id);
    db_bind_i64(s, 2, number);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

/* --- taking an order --- */

struct taking {
    struct registry *registry;
    const struct delete_order *order;
    int64_t account, number; /* of the order's row */
    int64_t now_s, until_s;
    int64_t hold_end_s; /* till then it counts as used */
    uint32_t count;
};

/* The order, if there is one, waits for every cell of these shards. */
static enum err owe(struct taking *t, struct slice shards, struct errmsg *msg)
{
    struct cursor c = cursor_over(shards);
    enum err e = ERR_OK;
    while (t->number && e == ERR_OK && cursor_left(&c)) {
        uint8_t index;
        uint32_t cell;
        if (cursor_u8(&c, &index) || cursor_le32(&c, &cell))
            return err_say(msg, ERR_CORRUPT, "a row of the directory is not what was written");
        struct db_statement *s;
        e = db_prepare(t->registry->db,
                       "INSERT OR IGNORE INTO removal_debt (cell, number) VALUES (?1, ?2)", &s,
                       msg);
        if (e != ERR_OK)
            return e;
        db_bind_u64(s, 1, cell);
        db_bind_i64(s, 2, t->number);
        e = db_run(s, msg);
        db_done(s);
        t->registry->orders_number++;
    }
    return e;
}

/* The shards of the segment in `table`, when there are any of this account. */
static enum err owe_for(struct taking *t, const char *sql, const struct id *segment,
                        struct errmsg *msg)
{
    struct buf shards = BUF_INIT(1u << 20);
    struct db_statement *s;
    enum err e = db_prepare(t->registry->db, sql, &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    db_bind_i64(s, 2, t->account);
    e = db_step(s, msg);
    if (e == ERR_OK) {
        const struct slice bytes = db_column_blob(s, 0);
        e = buf_append(&shards, bytes.data, bytes.size);
    }
    db_done(s);
    if (e == ERR_OK)
        e = owe(t, buf_slice(&shards), msg);
    buf_free(&shards);
    return e == ERR_END ? ERR_OK : e;
}

/* An order that was taken back does not count again. */
#define REMOVE_SQL                                                                            \
    "INSERT INTO removed (id, account, k, m, shard_bytes, shards, signer, sequence, until_s," \
    " waiting, counted, hold_end_s)"                                                          \
    " SELECT id, account, k, m, shard_bytes, shards, ?3, ?4, ?5, 1, 1, ?6 FROM segment"       \
    " WHERE id = ?1 AND account = ?2 ON CONFLICT (id) DO UPDATE SET"                          \
    " shards = excluded.shards, signer = excluded.signer, sequence = excluded.sequence,"      \
    " until_s = excluded.until_s, waiting = 1, counted = 1, hold_end_s = excluded.hold_end_s" \
    " WHERE waiting = 0 AND (signer <> excluded.signer OR sequence < excluded.sequence)"

static enum err remove_one(struct taking *t, const struct id *segment, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(t->registry->db, REMOVE_SQL, &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    db_bind_i64(s, 2, t->account);
    db_bind_id(s, 3, &t->order->deed.signer);
    db_bind_u64(s, 4, t->order->deed.sequence);
    db_bind_i64(s, 5, t->until_s);
    db_bind_i64(s, 6, t->hold_end_s);
    e = db_run(s, msg);
    const bool moved = e == ERR_OK && db_changes(t->registry->db) > 0;
    db_done(s);
    if (moved) {
        t->count++;
        e = run(t->registry, "DELETE FROM segment WHERE id = ?1 AND account = ?2", segment,
                t->account, msg);
        if (e == ERR_OK) /* a repairer that is at it finds no row when it reports */
            e = run(t->registry, "DELETE FROM repair WHERE segment = ?1 AND ?2 = 0", segment, 0,
                    msg);
        t->registry->repairs_changed = true;
    }
    if (e == ERR_OK)
        e = owe_for(t, "SELECT shards FROM removed WHERE id = ?1 AND account = ?2 AND waiting = 1",
                    segment, msg);
    return e;
}

/* One whose hold is over has left the ledger: it comes back into it. */
static enum err count_again(struct taking *t, const struct id *segment, struct errmsg *msg)
{
    struct buf shards = BUF_INIT((size_t)WIRE_FOUND_SHARDS * SHARD_ROW_BYTES);
    struct db_statement *s;
    uint32_t shard_bytes = 0;
    enum err e = db_prepare(t->registry->db,
                            "SELECT shard_bytes, shards FROM removed WHERE id = ?1 AND account = ?2"
                            " AND waiting = 1 AND counted = 0 AND length(shards) > 0",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    db_bind_i64(s, 2, t->account);
    e = db_step(s, msg);
    if (e == ERR_OK) {
        const struct slice bytes = db_column_blob(s, 1);
        shard_bytes = (uint32_t)db_column_u64(s, 0);
        e = buf_append(&shards, bytes.data, bytes.size);
    }
    db_done(s);
    if (e == ERR_OK)
        e = registry_ledger_change(t->registry, t->account, shard_bytes, slice_of(NULL, 0),
                                   buf_slice(&shards), msg);
    buf_free(&shards);
    return e == ERR_END ? ERR_OK : e;
}

/* Back into the directory, while its shards are still known. */
static enum err return_one(struct taking *t, const struct id *segment, struct errmsg *msg)
{
    enum err e = owe_for(t,
                         "SELECT shards FROM removed WHERE id = ?1 AND account = ?2 AND waiting = 1"
                         " AND length(shards) > 0",
                         segment, msg);
    if (e == ERR_OK)
        e = count_again(t, segment, msg);
    if (e == ERR_OK)
        e = run(t->registry,
                "INSERT OR IGNORE INTO segment (id, account, k, m, shard_bytes, shards)"
                " SELECT id, account, k, m, shard_bytes, shards FROM removed"
                " WHERE id = ?1 AND account = ?2 AND waiting = 1 AND length(shards) > 0",
                segment, t->account, msg);
    if (e == ERR_OK)
        e = run(t->registry,
                "UPDATE removed SET waiting = 0, counted = 0, shards = x'' WHERE id = ?1 AND "
                "account = ?2"
                " AND waiting = 1 AND length(shards) > 0",
                segment, t->account, msg);
    const bool returned = e == ERR_OK && db_changes(t->registry->db) > 0;
    t->count += returned;
    /* cells may have gone while nothing was repaired */
    return returned ? registry_repair_judge(t->registry, segment, t->now_s, msg) : e;
}

/* All that wait, for an order that names none; without an order, what no order has removed. */
static enum err return_all(struct taking *t, struct errmsg *msg)
{
    struct buf ids = BUF_INIT(1u << 30);
    struct db_statement *s;
    enum err e = db_prepare(t->registry->db,
                            "SELECT id FROM removed WHERE account = ?1 AND waiting = 1"
                            " AND length(shards) > 0 AND (?2 > 0 OR signer = zeroblob(32))",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_i64(s, 1, t->account);
    db_bind_i64(s, 2, t->number);
    while ((e = db_step(s, msg)) == ERR_OK) {
        struct id id;
        e = db_column_id(s, 0, &id);
        if (e == ERR_OK)
            e = buf_append(&ids, id.bytes, ID_SIZE);
        if (e != ERR_OK)
            break;
    }
    db_done(s);
    if (e == ERR_END)
        e = ERR_OK;
    for (size_t at = 0; at < ids.size && e == ERR_OK; at += ID_SIZE) {
        struct id id;
        memcpy(id.bytes, ids.data + at, ID_SIZE);
        e = return_one(t, &id, msg);
    }
    buf_free(&ids);
    return e;
}

static enum err add_order(struct taking *t, const struct wire_order *wire, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e =
        db_prepare(t->registry->db,
                   "INSERT INTO removal_order (account, kind, doc) VALUES (?1, ?2, ?3)", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, &t->order->deed.account);
    db_bind_u64(s, 2, wire->kind);
    db_bind_blob(s, 3, wire->doc);
    e = db_run(s, msg);
    db_done(s);
    t->number = db_last_rowid(t->registry->db);
    return e;
}

static enum err take(struct taking *t, const struct wire_order *wire, struct errmsg *msg)
{
    const struct id_list *list = &t->order->segments;
    enum err e = add_order(t, wire, msg);
    if (e == ERR_OK && wire->kind == WIRE_ORDER_UNDELETE && list->count == 0)
        e = return_all(t, msg);
    for (size_t i = 0; i < list->count && e == ERR_OK; i++) {
        struct id segment;
        id_list_at(list, i, &segment);
        e = wire->kind == WIRE_ORDER_DELETE ? remove_one(t, &segment, msg)
                                            : return_one(t, &segment, msg);
    }
    return e;
}

/* --- without an order: a lease is over (registry_lease.c) --- */

/* As if nobody had signed it; cells are not told, they have clocks of their own. */
static struct taking by_nobody(struct registry *registry, const struct delete_order *order,
                               int64_t account, int64_t now_s)
{
    return (struct taking){
        .registry = registry,
        .order = order,
        .account = account,
        .now_s = now_s,
        .until_s = now_s + HOLD_FACTOR * (int64_t)LEASE_HOLD_S + HOLD_MORE_S,
        .hold_end_s = now_s + LEASE_HOLD_S,
    };
}

enum err registry_lease_remove(struct registry *registry, int64_t account, const struct id *segment,
                               int64_t now_s, struct errmsg *msg)
{
    const struct delete_order order = {.deed = {.sequence = (uint64_t)now_s}};
    struct taking t = by_nobody(registry, &order, account, now_s);
    return remove_one(&t, segment, msg);
}

enum err registry_lease_return(struct registry *registry, int64_t account, int64_t now_s,
                               struct errmsg *msg)
{
    const struct delete_order order = {.deed = {.sequence = (uint64_t)now_s}};
    struct taking t = by_nobody(registry, &order, account, now_s);
    return return_all(&t, msg);
}

/* Orders that nobody waits for, and shards that no cell can have any more. */
static enum err clean(struct registry *registry, int64_t now_s, struct errmsg *msg)
{
    enum err e = db_exec(registry->db,
                         "DELETE FROM removal_order WHERE NOT EXISTS"
                         " (SELECT 1 FROM removal_debt AS d WHERE d.number = removal_order.number)",
                         msg);
    if (e == ERR_OK)
        e = run(registry,
                "UPDATE removed SET shards = x'' WHERE ?1 IS NULL AND waiting = 1 AND until_s < ?2"
                " AND counted = 0"
                " AND length(shards) > 0",
                NULL, now_s, msg);
    return e;
}

enum err registry_order_take(struct registry *registry, const struct wire_order *wire,
                             const struct delete_order *order, uint64_t hold_s, int64_t now_s,
                             uint32_t *count, struct errmsg *msg)
{
    struct taking t = {
        .registry = registry,
        .order = order,
        .now_s = now_s,
        .until_s = now_s + HOLD_FACTOR * (int64_t)hold_s + HOLD_MORE_S,
        .hold_end_s = now_s + (order->at_once ? 0 : (int64_t)hold_s),
    };
    *count = 0;
    enum err e = registry_account_number(registry, &order->deed.account, &t.account, msg);
    if (e == ERR_OK)
        e = db_begin(registry->db, msg);
    if (e != ERR_OK)
        return e;
    e = take(&t, wire, msg);
    if (e == ERR_OK)
        e = clean(registry, now_s, msg);
    if (e == ERR_OK) {
        *count = t.count;
        return db_commit(registry->db, msg);
    }
    db_rollback(registry->db);
    return e;
}

/* --- for cells that come and ask --- */

enum err registry_orders_waiting(struct registry *registry, const struct id *cell, bool *out,
                                 struct errmsg *msg)
{
    struct registry_cell *known = registry_cell_find(registry, cell);
    struct db_statement *s;
    *out = false;
    if (!known || known->no_orders == registry->orders_number)
        return ERR_OK;
    enum err e =
        db_prepare(registry->db, "SELECT 1 FROM removal_debt WHERE cell = ?1 LIMIT 1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, known->number);
    e = db_step(s, msg);
    db_done(s);
    *out = e == ERR_OK;
    if (e == ERR_END)
        known->no_orders = registry->orders_number;
    return e == ERR_END ? ERR_OK : e;
}

static enum err forget_done(struct registry *registry, uint32_t cell, struct wire_list *done,
                            struct errmsg *msg)
{
    uint64_t number;
    enum err e = ERR_OK;
    while (e == ERR_OK && wire_orders_next(done, &number)) {
        struct db_statement *s;
        if (number > INT64_MAX)
            continue;
        e = db_prepare(registry->db, "DELETE FROM removal_debt WHERE cell = ?1 AND number = ?2", &s,
                       msg);
        if (e != ERR_OK)
            return e;
        db_bind_u64(s, 1, cell);
        db_bind_u64(s, 2, number);
        e = db_run(s, msg);
        db_done(s);
        if (e == ERR_OK)
            e = run(registry,
                    "DELETE FROM removal_order WHERE ?1 IS NULL AND number = ?2 AND NOT EXISTS"
                    " (SELECT 1 FROM removal_debt WHERE number = ?2)",
                    NULL, (int64_t)number, msg);
    }
    return e;
}

struct next {
    struct wire_order orders[ORDERS_AT_ONCE];
    size_t sizes[ORDERS_AT_ONCE];
    size_t count;
    struct buf docs, manifest;
    struct id account;
};

/* The first ones, of one account. */
static enum err next_orders(struct registry *registry, uint32_t cell, struct next *next,
                            struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db,
                            "SELECT o.number, o.account, o.kind, o.doc FROM removal_debt AS d"
                            " JOIN removal_order AS o ON o.number = d.number"
                            " WHERE d.cell = ?1 ORDER BY d.number LIMIT ?2",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, cell);
    db_bind_u64(s, 2, ORDERS_AT_ONCE);
    while (next->count < ORDERS_AT_ONCE && (e = db_step(s, msg)) == ERR_OK) {
        struct id account;
        const struct slice doc = db_column_blob(s, 3);
        e = db_column_id(s, 1, &account);
        if (e != ERR_OK || (next->count && (!id_equal(&account, &next->account) ||
                                            next->docs.size + doc.size > ORDER_BYTES_AT_ONCE)))
            break;
        next->account = account;
        next->orders[next->count].number = db_column_u64(s, 0);
        next->orders[next->count].kind = (enum wire_order_kind)db_column_u64(s, 2);
        next->sizes[next->count++] = doc.size;
        if ((e = buf_append(&next->docs, doc.data, doc.size)) != ERR_OK)
            break;
    }
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

static enum err write_reply(struct registry *registry, struct next *next, struct buf *reply,
                            struct errmsg *msg)
{
    uint64_t number;
    size_t at = 0;
    struct wire_orders_reply answer = {.orders = next->orders, .order_count = next->count};
    if (next->count) {
        const enum err e =
            documents_manifest_get(registry->db, &next->account, &number, &next->manifest, msg);
        if (e != ERR_OK)
            return e;
        answer.manifest = buf_slice(&next->manifest);
    }
    for (size_t i = 0; i < next->count; i++) {
        next->orders[i].doc = slice_of(next->docs.data + at, next->sizes[i]);
        at += next->sizes[i];
    }
    return wire_orders_reply_encode(&answer, reply);
}

enum err registry_orders(struct registry *registry, const struct id *cell, struct wire_list *done,
                         struct buf *reply, struct errmsg *msg)
{
    const struct registry_cell *known = registry_cell_find(registry, cell);
    if (!known)
        return err_say(msg, ERR_DENIED, "this cell is no member");
    struct next *next = calloc(1, sizeof(*next));
    if (!next)
        return err_say(msg, ERR_NOMEM, "out of memory for delete orders");
    next->docs = BUF_INIT(LIMIT_MESSAGE_BYTES);
    next->manifest = BUF_INIT(LIMIT_MANIFEST_BYTES);
    enum err e = db_begin(registry->db, msg);
    if (e == ERR_OK) {
        e = forget_done(registry, known->number, done, msg);
        if (e == ERR_OK)
            e = db_commit(registry->db, msg);
        else
            db_rollback(registry->db);
    }
    if (e == ERR_OK)
        e = next_orders(registry, known->number, next, msg);
    if (e == ERR_OK)
        e = write_reply(registry, next, reply, msg);
    buf_free(&next->docs);
    buf_free(&next->manifest);
    free(next);
    return e;
}

enum err registry_is_removed(struct registry *registry, const struct id *segment, bool *out,
                             struct errmsg *msg)
{
    struct db_statement *s;
    enum err e =
        db_prepare(registry->db, "SELECT 1 FROM removed WHERE id = ?1 AND waiting = 1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    e = db_step(s, msg);
    db_done(s);
    *out = e == ERR_OK;
    return e == ERR_END ? ERR_OK : e;
}
