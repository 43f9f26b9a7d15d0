/*
 * The ledger: what accounts give and take.
 *
 * A line is (account, cell, bytes): how much of the account's rests at the cell by the directory's
 * rows. It is changed in the transaction that changes a row, and can be counted again from the rows
 * at any time. A shard counts once, however many cells the row names for it (it moved, or somebody
 * registered it twice): at the one with the smallest ID, so that the answer does not depend on the
 * order in which things became known.
 *
 * Promises: grants that may still be spent, in two generations. A generation lasts as long as a
 * grant holds; when it ends, the one before is forgotten. So nothing that may still be spent is
 * forgotten, and nothing is remembered for longer than two such times. Kept in memory and written
 * with the heartbeats: a crash forgets the grants of a few seconds.
 */
#include "registry_internal.h"

#include "base/cursor.h"
#include "base/planted.h"

#include <inttypes.h>
#include <stdlib.h>

enum { HOLDS_AT_ONCE = 256 };
#define LEDGER_FACT "ledger" /* says that the lines have been counted once */

struct promise {
    struct id account;
    int64_t began_s; /* the newer generation */
    uint64_t bytes, bytes_before;
    bool unwritten;
};

/* --- one row's shards, each at one cell --- */

struct counted {
    const struct registry_cell *at[LIMIT_SHARDS];
};

static enum err count_row(const struct registry *registry, struct slice rows, struct counted *out)
{
    struct cursor c = cursor_over(rows);
    memset(out, 0, sizeof(*out));
    while (cursor_left(&c)) {
        uint8_t index;
        uint32_t number;
        if (cursor_u8(&c, &index) || cursor_le32(&c, &number) || number == 0 ||
            number > registry->cell_count || index >= LIMIT_SHARDS)
            return ERR_CORRUPT;
        const struct registry_cell *cell = registry->cells[number - 1];
        if (!out->at[index] || id_compare(&cell->id, &out->at[index]->id) < 0)
            out->at[index] = cell;
    }
    return ERR_OK;
}

/* --- changing the lines --- */

static enum err add(struct registry *registry, int64_t account, const struct registry_cell *cell,
                    int64_t bytes, struct errmsg *msg)
{
    static const char *const texts[] = {
        "INSERT INTO ledger (cell, bytes, account) VALUES (?1, ?2, ?3)"
        " ON CONFLICT (account, cell) DO UPDATE SET bytes = bytes + ?2",
        "INSERT INTO ledger_cell (cell, bytes) SELECT ?1, ?2 WHERE ?3 IS NOT NULL"
        " ON CONFLICT (cell) DO UPDATE SET bytes = bytes + ?2",
    };
    enum err e = ERR_OK;
    for (size_t i = 0; i < ARRAY_COUNT(texts) && e == ERR_OK; i++) {
        struct db_statement *s;
        e = db_prepare(registry->db, texts[i], &s, msg);
        if (e != ERR_OK)
            return e;
        db_bind_u64(s, 1, cell->number);
        db_bind_i64(s, 2, bytes);
        db_bind_i64(s, 3, account);
        e = db_run(s, msg);
        db_done(s);
    }
    return e;
}

enum err registry_ledger_change(struct registry *registry, int64_t account, uint32_t shard_bytes,
                                struct slice before, struct slice after, struct errmsg *msg)
{
    struct counted old, new;
    if (slice_equal(before, after))
        return ERR_OK;
    enum err e = count_row(registry, before, &old);
    if (e == ERR_OK)
        e = count_row(registry, after, &new);
    if (e != ERR_OK)
        return err_say(msg, e, "a row of the directory is not what was written");
    for (unsigned i = 0; i < LIMIT_SHARDS && e == ERR_OK; i++) {
        if (old.at[i] == new.at[i])
            continue;
        if (old.at[i] && !PLANTED(UNEVEN_LEDGER))
            e = add(registry, account, old.at[i], -(int64_t)shard_bytes, msg);
        if (e == ERR_OK && new.at[i])
            e = add(registry, account, new.at[i], shard_bytes, msg);
    }
    return e;
}

/* --- deleted segments whose hold is over --- */

struct held_over {
    struct id id;
    int64_t account;
    uint32_t shard_bytes;
};

static enum err list_over(struct registry *registry, int64_t now_s, struct held_over *out,
                          size_t *count, struct buf *rows, size_t *ends, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db,
                            "SELECT id, account, shard_bytes, shards FROM removed"
                            " WHERE counted = 1 AND hold_end_s < ?1 LIMIT ?2",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_i64(s, 1, now_s);
    db_bind_u64(s, 2, HOLDS_AT_ONCE);
    while (*count < HOLDS_AT_ONCE && (e = db_step(s, msg)) == ERR_OK) {
        const struct slice bytes = db_column_blob(s, 3);
        struct held_over *over = &out[*count];
        over->account = db_column_i64(s, 1);
        over->shard_bytes = (uint32_t)db_column_u64(s, 2);
        e = db_column_id(s, 0, &over->id);
        if (e == ERR_OK)
            e = buf_append(rows, bytes.data, bytes.size);
        if (e != ERR_OK)
            break;
        ends[(*count)++] = rows->size;
    }
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

static enum err let_go(struct registry *registry, const struct held_over *over, struct slice rows,
                       struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = registry_ledger_change(registry, over->account, over->shard_bytes, rows,
                                        slice_of(NULL, 0), msg);
    if (e == ERR_OK)
        e = registry_unproven_leave(registry, &over->id, over->shard_bytes, rows, slice_of(NULL, 0),
                                    msg);
    if (e == ERR_OK)
        e = db_prepare(registry->db, "UPDATE removed SET counted = 0 WHERE id = ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, &over->id);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

enum err registry_ledger_tick(struct registry *registry, int64_t now_s, struct errmsg *msg)
{
    struct buf rows = BUF_INIT((size_t)HOLDS_AT_ONCE * WIRE_FOUND_SHARDS * SHARD_ROW_BYTES);
    struct held_over *over = calloc(HOLDS_AT_ONCE, sizeof(*over));
    size_t ends[HOLDS_AT_ONCE], count = 0;
    enum err e = over ? ERR_OK : err_say(msg, ERR_NOMEM, "out of memory for the ledger");
    if (e == ERR_OK)
        e = list_over(registry, now_s, over, &count, &rows, ends, msg);
    if (e == ERR_OK && count) {
        e = db_begin(registry->db, msg);
        for (size_t i = 0; i < count && e == ERR_OK; i++) {
            const size_t begin = i ? ends[i - 1] : 0;
            e = let_go(registry, &over[i], slice_of(rows.data + begin, ends[i] - begin), msg);
        }
        if (e == ERR_OK)
            e = db_commit(registry->db, msg);
        else
            db_rollback(registry->db);
    }
    free(over);
    buf_free(&rows);
    return e;
}

/* --- counting all of it again --- */

struct line {
    int64_t account;
    uint32_t cell;
    uint64_t bytes;
};

/* Lines by (account, cell): the map's key holds both, mixed into the bytes that it hashes by. */
static struct id line_key(int64_t account, uint32_t cell)
{
    struct id key = {0};
    uint64_t mixed = ((uint64_t)account << 32 ^ cell) * UINT64_C(0x9e3779b97f4a7c15);
    mixed ^= mixed >> 29;
    put_le64(key.bytes, mixed);
    put_le64(key.bytes + 8, (uint64_t)account);
    put_le32(key.bytes + 16, cell);
    return key;
}

static void free_lines(struct idmap *lines)
{
    size_t at = 0;
    void *line;
    while ((line = idmap_next(lines, &at, NULL)))
        free(line);
    idmap_free(lines);
}

static enum err add_line(struct idmap *lines, int64_t account, uint32_t cell, uint64_t bytes)
{
    const struct id key = line_key(account, cell);
    struct line *line = idmap_get(lines, &key);
    if (line) {
        line->bytes += bytes;
        return ERR_OK;
    }
    line = malloc(sizeof(*line));
    if (!line)
        return ERR_NOMEM;
    *line = (struct line){account, cell, bytes};
    const enum err e = idmap_set(lines, &key, line);
    if (e != ERR_OK)
        free(line);
    return e;
}

static enum err count_all(struct registry *registry, struct idmap *lines, struct errmsg *msg)
{
    struct counted counted;
    struct db_statement *s;
    enum err e = db_prepare(registry->db,
                            "SELECT account, shard_bytes, shards FROM segment UNION ALL"
                            " SELECT account, shard_bytes, shards FROM removed WHERE counted = 1",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    while ((e = db_step(s, msg)) == ERR_OK) {
        e = count_row(registry, db_column_blob(s, 2), &counted);
        for (unsigned i = 0; i < LIMIT_SHARDS && e == ERR_OK; i++)
            if (counted.at[i])
                e = add_line(lines, db_column_i64(s, 0), counted.at[i]->number,
                             db_column_u64(s, 1));
        if (e != ERR_OK) {
            err_say(msg, e, "the ledger cannot be counted: %s", err_words(e));
            break;
        }
    }
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

static enum err write_lines(struct registry *registry, const struct idmap *lines,
                            struct errmsg *msg)
{
    static const uint8_t counted = 1;
    const struct line *line;
    size_t at = 0;
    enum err e =
        db_exec(registry->db, "DELETE FROM ledger; UPDATE ledger_cell SET bytes = 0 WHERE 1", msg);
    while (e == ERR_OK && (line = idmap_next(lines, &at, NULL)))
        e = add(registry, line->account, registry->cells[line->cell - 1], (int64_t)line->bytes,
                msg);
    if (e == ERR_OK)
        e = documents_fact_put(registry->db, LEDGER_FACT, slice_of(&counted, 1), msg);
    return e;
}

enum err registry_ledger_count(struct registry *registry, struct errmsg *msg)
{
    struct idmap lines = IDMAP_INIT;
    enum err e = db_begin(registry->db, msg);
    if (e != ERR_OK)
        return e;
    e = count_all(registry, &lines, msg);
    if (e == ERR_OK)
        e = write_lines(registry, &lines, msg);
    if (e == ERR_OK)
        e = db_commit(registry->db, msg);
    else
        db_rollback(registry->db);
    free_lines(&lines);
    return e;
}

enum err registry_ledger_check(struct registry *registry, struct errmsg *msg)
{
    struct idmap lines = IDMAP_INIT;
    struct db_statement *s;
    size_t met = 0;
    enum err e = count_all(registry, &lines, msg);
    if (e == ERR_OK)
        e = db_prepare(registry->db,
                       "SELECT account, l.cell, l.bytes, c.bytes,"
                       " (SELECT sum(bytes) FROM ledger AS o WHERE o.cell = l.cell)"
                       " FROM ledger AS l JOIN ledger_cell AS c ON c.cell = l.cell"
                       " WHERE l.bytes <> 0",
                       &s, msg);
    if (e != ERR_OK) {
        free_lines(&lines);
        return e;
    }
    while ((e = db_step(s, msg)) == ERR_OK) {
        const struct id key = line_key(db_column_i64(s, 0), (uint32_t)db_column_u64(s, 1));
        const struct line *line = idmap_get(&lines, &key);
        if (!line || line->bytes != db_column_u64(s, 2) ||
            db_column_i64(s, 3) != db_column_i64(s, 4))
            break;
        met++;
    }
    db_done(s);
    if (e == ERR_OK || (e == ERR_END && met != lines.count))
        e = err_say(msg, ERR_CORRUPT, "the ledger is not what the directory's rows add up to");
    free_lines(&lines);
    return e == ERR_END ? ERR_OK : e;
}

enum err registry_ledger(struct registry *registry, registry_ledger_fn *each, void *user,
                         struct errmsg *msg)
{
    struct db_statement *s;
    struct id account;
    enum err e = db_prepare(registry->db,
                            "SELECT a.id, l.cell, l.bytes FROM ledger AS l JOIN account AS a"
                            " ON a.number = l.account WHERE l.bytes <> 0",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    while ((e = db_step(s, msg)) == ERR_OK) {
        const uint64_t cell = db_column_u64(s, 1);
        e = db_column_id(s, 0, &account);
        if (e == ERR_OK && (cell == 0 || cell > registry->cell_count))
            e = err_say(msg, ERR_CORRUPT, "a line of the ledger names no cell");
        if (e == ERR_OK)
            e = each(user, &account, &registry->cells[cell - 1]->id, db_column_u64(s, 2));
        if (e != ERR_OK)
            break;
    }
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

/* --- an account's standing --- */

/* The bytes that one number of the database adds up to; both parameters are optional. */
static enum err sum(struct registry *registry, const char *sql, int64_t first, int64_t second,
                    uint64_t *out, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db, sql, &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_i64(s, 1, first);
    db_bind_i64(s, 2, second);
    e = db_step(s, msg);
    *out = e == ERR_OK ? db_column_u64(s, 0) : 0;
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

static enum err given_by(struct registry *registry, const struct registry_cell *cell,
                         int64_t account, uint64_t *out, struct errmsg *msg)
{
    uint64_t held, own, damaged = 0;
    enum err e =
        sum(registry,
            "SELECT max(bytes - unproven_bytes, 0) FROM ledger_cell WHERE cell = ?1 AND ?2 = 0",
            cell->number, 0, &held, msg);
    if (e == ERR_OK)
        e = sum(registry, "SELECT bytes FROM ledger WHERE cell = ?1 AND account = ?2", cell->number,
                account, &own, msg);
    if (e == ERR_OK && registry->damage_rows)
        e = sum(registry,
                "SELECT coalesce(sum(g.shard_bytes), 0) FROM damage AS d JOIN segment AS g"
                " ON g.id = d.segment WHERE d.cell = ?1 AND g.account <> ?2",
                cell->number, account, &damaged, msg);
    *out = e == ERR_OK && held > own + damaged ? held - own - damaged : 0;
    return e;
}

static enum err given(struct registry *registry, const struct id *account, int64_t number,
                      int64_t now_s, uint64_t *out, struct errmsg *msg)
{
    struct db_statement *s;
    *out = 0;
    enum err e = db_prepare(registry->db, "SELECT number FROM cell WHERE household = ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, account);
    while ((e = db_step(s, msg)) == ERR_OK) {
        const uint64_t cell_number = db_column_u64(s, 0);
        uint64_t bytes = 0;
        if (cell_number == 0 || cell_number > registry->cell_count)
            continue;
        const struct registry_cell *cell = registry->cells[cell_number - 1];
        if (cell->claimed && id_equal(&cell->household, account) && registry_trusted(cell) &&
            registry_cell_state(registry, cell, now_s) != WIRE_CELL_GONE)
            e = given_by(registry, cell, number, &bytes, msg);
        if (e != ERR_OK)
            break;
        *out += bytes;
    }
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

static uint64_t promised(const struct registry *registry, const struct id *account, int64_t now_s)
{
    const struct promise *p = idmap_get(&registry->promises, account);
    const int64_t age_s = p ? now_s - p->began_s : 0;
    if (!p || age_s > 2 * (int64_t)registry->options.grant_s)
        return 0;
    return age_s > (int64_t)registry->options.grant_s ? p->bytes : p->bytes + p->bytes_before;
}

enum err registry_standing(struct registry *registry, const struct id *account, int64_t now_s,
                           struct registry_standing *out, struct errmsg *msg)
{
    int64_t number;
    *out = (struct registry_standing){0};
    enum err e = registry_account_number(registry, account, &number, msg);
    if (e == ERR_OK)
        e = sum(registry,
                "SELECT coalesce(sum(bytes), 0) FROM ledger WHERE account = ?1 AND ?2 = 0", number,
                0, &out->used_bytes, msg);
    if (e == ERR_OK)
        e = given(registry, account, number, now_s, &out->given_bytes, msg);
    out->allowed_bytes = out->given_bytes / 100 * registry->options.quota_percent +
                         out->given_bytes % 100 * registry->options.quota_percent / 100 +
                         registry->options.starter_bytes;
    out->promised_bytes = promised(registry, account, now_s);
    return e;
}

/* --- promises --- */

enum err registry_ledger_left(struct registry *registry, const struct id *account, int64_t now_s,
                              uint64_t *left, struct errmsg *msg)
{
    struct registry_standing s;
    const enum err e = registry_standing(registry, account, now_s, &s, msg);
    const uint64_t taken = s.used_bytes + s.promised_bytes;
    *left = e == ERR_OK && taken < s.allowed_bytes ? s.allowed_bytes - taken : 0;
    return e;
}

static struct promise *promise_of(struct registry *registry, const struct id *account)
{
    struct promise *p = idmap_get(&registry->promises, account);
    if (p)
        return p;
    p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->account = *account;
    if (idmap_set(&registry->promises, account, p) == ERR_OK)
        return p;
    free(p);
    return NULL;
}

enum err registry_ledger_promise(struct registry *registry, const struct id *account,
                                 uint64_t bytes, int64_t now_s, struct errmsg *msg)
{
    struct promise *p = promise_of(registry, account);
    if (!p)
        return err_say(msg, ERR_NOMEM, "out of memory for what grants promise");
    const int64_t age_s = now_s - p->began_s;
    if (age_s > (int64_t)registry->options.grant_s || age_s < 0) {
        p->bytes_before = age_s > 2 * (int64_t)registry->options.grant_s ? 0 : p->bytes;
        p->bytes = 0;
        p->began_s = now_s;
    }
    p->bytes += bytes;
    p->unwritten = registry->promises_changed = true;
    return ERR_OK;
}

void registry_ledger_kept(struct registry *registry, const struct id *account, uint64_t bytes)
{
    struct promise *p = idmap_get(&registry->promises, account);
    if (!p)
        return;
    const uint64_t old = bytes < p->bytes_before ? bytes : p->bytes_before;
    p->bytes_before -= old;
    p->bytes -= bytes - old < p->bytes ? bytes - old : p->bytes;
    p->unwritten = registry->promises_changed = true;
}

enum err registry_ledger_flush(struct registry *registry, struct errmsg *msg)
{
    struct promise *p;
    size_t at = 0;
    enum err e = ERR_OK;
    if (!registry->promises_changed)
        return ERR_OK;
    while (e == ERR_OK && (p = idmap_next(&registry->promises, &at, NULL))) {
        struct db_statement *s;
        if (!p->unwritten)
            continue;
        e = db_prepare(registry->db,
                       "INSERT OR REPLACE INTO promise (account, began_s, bytes, bytes_before)"
                       " VALUES (?1, ?2, ?3, ?4)",
                       &s, msg);
        if (e != ERR_OK)
            return e;
        db_bind_id(s, 1, &p->account);
        db_bind_i64(s, 2, p->began_s);
        db_bind_u64(s, 3, p->bytes);
        db_bind_u64(s, 4, p->bytes_before);
        e = db_run(s, msg);
        db_done(s);
        p->unwritten = false;
    }
    registry->promises_changed = e != ERR_OK;
    return e;
}

static enum err load_promises(struct registry *registry, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db,
                            "SELECT account, began_s, bytes, bytes_before FROM promise", &s, msg);
    if (e != ERR_OK)
        return e;
    while ((e = db_step(s, msg)) == ERR_OK) {
        struct id account;
        struct promise *p = NULL;
        e = db_column_id(s, 0, &account);
        if (e == ERR_OK && !(p = promise_of(registry, &account)))
            e = ERR_NOMEM;
        if (e != ERR_OK) {
            err_say(msg, e, "what grants promise cannot be read: %s", err_words(e));
            break;
        }
        p->began_s = db_column_i64(s, 1);
        p->bytes = db_column_u64(s, 2);
        p->bytes_before = db_column_u64(s, 3);
    }
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

enum err registry_ledger_load(struct registry *registry, struct errmsg *msg)
{
    struct buf fact = BUF_INIT(16);
    enum err e = documents_fact_get(registry->db, LEDGER_FACT, &fact, msg);
    buf_free(&fact);
    if (e == ERR_NOT_FOUND) /* a registry from before there was a ledger, or a new one */
        e = registry_ledger_count(registry, msg);
    int64_t unproven = 0;
    if (e == ERR_OK)
        e = db_number(registry->db, "SELECT count(*) FROM unproven", &unproven, msg);
    registry->unproven_rows = (uint64_t)unproven;
    return e == ERR_OK ? load_promises(registry, msg) : e;
}

void registry_ledger_free(struct registry *registry)
{
    free_lines(&registry->promises);
}
