#include "index_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* docs/index.md explains it. Small columns come first in a row: SQLite reads no further than it
 * must. */
static const char *const migrations[INDEX_SCHEMA_VERSION] = {
    "CREATE TABLE state ("
    " one INTEGER PRIMARY KEY CHECK (one = 1), generation INTEGER NOT NULL,"
    " live_ready INTEGER NOT NULL) STRICT;"
    "INSERT INTO state VALUES (1, 1, 0);"

    "CREATE TABLE name (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE) STRICT;"

    "CREATE TABLE segment ("
    " number INTEGER PRIMARY KEY AUTOINCREMENT, state INTEGER NOT NULL, kind INTEGER NOT NULL,"
    " published INTEGER NOT NULL, debts INTEGER NOT NULL, k INTEGER NOT NULL, m INTEGER NOT NULL,"
    " shard_bytes INTEGER NOT NULL, epoch INTEGER NOT NULL, device INTEGER NOT NULL,"
    " plain_bytes INTEGER NOT NULL, sealed_bytes INTEGER NOT NULL, chunk_count INTEGER NOT NULL,"
    " created_s INTEGER NOT NULL, id BLOB NOT NULL UNIQUE) STRICT;"
    "CREATE INDEX segment_debts ON segment (number) WHERE debts > 0;"
    "CREATE INDEX segment_unpublished ON segment (number) WHERE published = 0;"
    "CREATE TABLE segment_part ("
    " number INTEGER PRIMARY KEY, header BLOB NOT NULL, record BLOB NOT NULL) STRICT;"
    "CREATE TABLE segment_shards (number INTEGER PRIMARY KEY, shards BLOB NOT NULL) STRICT;"
    "CREATE TABLE segment_chunks (number INTEGER PRIMARY KEY, keys BLOB NOT NULL) STRICT;"

    "CREATE TABLE chunk ("
    " id BLOB PRIMARY KEY, segment INTEGER NOT NULL, record INTEGER NOT NULL,"
    " offset INTEGER NOT NULL, sealed_bytes INTEGER NOT NULL, plain_bytes INTEGER NOT NULL,"
    " type INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE mark (id BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;"
    "CREATE TABLE live ("
    " number INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, chunks INTEGER NOT NULL) STRICT;"

    "CREATE TABLE snapshot ("
    " number INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, device INTEGER NOT NULL,"
    " forgotten INTEGER NOT NULL, id BLOB NOT NULL UNIQUE, body BLOB NOT NULL) STRICT;"
    "CREATE INDEX snapshot_time ON snapshot (time_ns, id);"
    "CREATE TABLE head ("
    " device INTEGER PRIMARY KEY, sequence INTEGER NOT NULL, body BLOB NOT NULL) STRICT;"
    "CREATE TABLE fact (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;"

    "CREATE TABLE dir ("
    " number INTEGER PRIMARY KEY, generation INTEGER NOT NULL, sum INTEGER NOT NULL,"
    " path BLOB NOT NULL UNIQUE, body BLOB NOT NULL) STRICT;"
    "CREATE TABLE progress ("
    " number INTEGER PRIMARY KEY, offset INTEGER NOT NULL, sum INTEGER NOT NULL, stat BLOB NOT "
    "NULL,"
    " path BLOB NOT NULL UNIQUE, body BLOB NOT NULL) STRICT;",

    /* 2: removal. Which object lists a segment was not kept before: the next backup lists them all
       again. */
    "CREATE TABLE listed (number INTEGER PRIMARY KEY, object BLOB NOT NULL) STRICT;"
    "CREATE INDEX listed_object ON listed (object);"
    "CREATE TABLE pin (device INTEGER NOT NULL, segment BLOB NOT NULL,"
    " PRIMARY KEY (device, segment)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE record ("
    " number INTEGER PRIMARY KEY, type INTEGER NOT NULL, device INTEGER NOT NULL,"
    " head INTEGER NOT NULL, time_s INTEGER NOT NULL, lifted INTEGER NOT NULL,"
    " orders_s INTEGER NOT NULL, hash BLOB NOT NULL UNIQUE, id BLOB NOT NULL,"
    " body BLOB NOT NULL) STRICT;"
    "CREATE TABLE named (id BLOB NOT NULL, record INTEGER NOT NULL,"
    " PRIMARY KEY (id, record)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX named_record ON named (record);"
    "CREATE TABLE lift (hash BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;"
    "CREATE TABLE removal (number INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL,"
    " made_s INTEGER NOT NULL, doc BLOB NOT NULL) STRICT;"
    "CREATE TABLE removal_peer (number INTEGER NOT NULL, peer INTEGER NOT NULL,"
    " PRIMARY KEY (number, peer)) STRICT, WITHOUT ROWID;"
    "UPDATE segment SET published = 0 WHERE device = 0;",

    /* 3: chunks that share a record. None did before. */
    "ALTER TABLE chunk ADD COLUMN group_bytes INTEGER NOT NULL DEFAULT 0;",
};

enum err index_open(const struct index_options *options, struct index **out, struct errmsg *msg)
{
    *out = NULL;
    struct index *index = calloc(1, sizeof(*index));
    if (!index)
        return err_say(msg, ERR_NOMEM, "cannot open the vault's index: out of memory");
    index->held = BUF_INIT(2 * (size_t)INDEX_BODY_BYTES_MAX);
    index->read_only = options->read_only;
    const struct db_options db_options = {
        .path = options->path,
        .vfs = options->vfs,
        .what = "the vault's index",
        .application_id = INDEX_APPLICATION_ID,
        .migrations = migrations,
        .migration_count = INDEX_SCHEMA_VERSION,
        .create = options->create,
        .read_only = options->read_only,
        .exclusive = options->exclusive,
        .cache_bytes = options->cache_bytes ? options->cache_bytes : (size_t)3 << 20,
        .checkpoint_pages = 8192,
    };
    enum err e = db_open(&db_options, &index->db, msg);
    if (e != ERR_OK) {
        index_close(index);
        index = NULL;
    }
    *out = index;
    return e;
}

void index_close(struct index *index)
{
    if (!index)
        return;
    db_close(index->db);
    buf_free(&index->held);
    free(index);
}

enum err index_begin(struct index *index, struct errmsg *msg)
{
    return db_begin(index->db, msg);
}

enum err index_begin_reading(struct index *index, struct errmsg *msg)
{
    bool own;
    enum err e = index_enter_reading(index, &own, msg);
    return e == ERR_OK && !own ? err_say(msg, ERR_STATE, "the index is in a transaction") : e;
}

enum err index_commit(struct index *index, struct errmsg *msg)
{
    return db_commit(index->db, msg);
}

void index_rollback(struct index *index)
{
    db_rollback(index->db);
}

static enum err check_none(struct index *index, const char *sql, const char *what,
                           struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(index->db, sql, &s, msg);
    if (e != ERR_OK)
        return e;
    e = db_step(s, msg);
    if (e == ERR_OK)
        e = index_damaged(msg, "%s (segment %lld)", what, (long long)db_column_i64(s, 0));
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

enum err index_check(struct index *index, struct errmsg *msg)
{
    bool own;
    enum err e = index_enter_reading(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = db_check(index->db, false, msg);
    if (e == ERR_OK)
        e = check_none(index,
                       "SELECT segment FROM chunk WHERE segment NOT IN"
                       " (SELECT number FROM segment) LIMIT 1",
                       "a chunk lies in a segment that is not there", msg);
    if (e == ERR_OK)
        e = check_none(index,
                       "SELECT number FROM segment WHERE number NOT IN"
                       " (SELECT number FROM segment_shards) LIMIT 1",
                       "a segment has no list of its shards", msg);
    if (e == ERR_OK)
        e = check_none(index,
                       "SELECT number FROM segment WHERE number NOT IN"
                       " (SELECT number FROM segment_part) LIMIT 1",
                       "a segment has no header", msg);
    return index_leave(index, own, e, msg);
}

/* --- for the other files --- */

enum err index_enter(struct index *index, bool *own, struct errmsg *msg)
{
    *own = !db_in_transaction(index->db);
    if (index->read_only)
        return err_say(msg, ERR_READ_ONLY, "the vault's index is open for reading only");
    return *own ? db_begin(index->db, msg) : ERR_OK;
}

enum err index_enter_reading(struct index *index, bool *own, struct errmsg *msg)
{
    *own = !db_in_transaction(index->db);
    if (!*own)
        return ERR_OK;
    /* not db_begin(): that one asks for the writer's lock */
    struct db_statement *s;
    enum err e = db_prepare(index->db, "BEGIN", &s, msg);
    if (e == ERR_OK)
        e = db_run(s, msg);
    db_done(s);
    return e;
}

enum err index_leave(struct index *index, bool own, enum err e, struct errmsg *msg)
{
    if (!own)
        return e;
    if (e == ERR_OK)
        return db_commit(index->db, msg);
    db_rollback(index->db);
    return e;
}

enum err index_damaged(struct errmsg *msg, const char *format, ...)
{
    char what[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    return err_say(msg, ERR_CORRUPT,
                   "the vault's index is damaged: %s; it can be rebuilt from what the swarm holds",
                   what);
}

enum err index_hold(struct index *index, struct slice a, struct slice *out_a, struct slice b,
                    struct slice *out_b, struct errmsg *msg)
{
    buf_clear(&index->held);
    enum err e = buf_append(&index->held, a.data, a.size);
    if (e == ERR_OK)
        e = buf_append(&index->held, b.data, b.size);
    if (e == ERR_TOO_LARGE)
        return index_damaged(msg, "it keeps %zu bytes where at most %d belong", a.size + b.size,
                             INDEX_BODY_BYTES_MAX);
    if (e != ERR_OK)
        return err_say(msg, e, "cannot read the vault's index: %s", err_words(e));
    *out_a = slice_of(index->held.data, a.size);
    if (out_b)
        *out_b = slice_of(b.size ? index->held.data + a.size : NULL, b.size);
    return ERR_OK;
}

enum err index_name_find(struct index *index, const struct id *id, int64_t *out, struct errmsg *msg)
{
    *out = 0;
    if (id_is_zero(id))
        return ERR_OK;
    struct db_statement *s;
    enum err e = db_prepare(index->db, "SELECT number FROM name WHERE id = ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, id);
    e = db_step(s, msg);
    if (e == ERR_OK) {
        *out = db_column_i64(s, 0);
        if (*out <= 0 || *out > UINT32_MAX)
            e = index_damaged(msg, "a cell or device has the number %lld", (long long)*out);
    }
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

enum err index_name_number(struct index *index, const struct id *id, int64_t *out,
                           struct errmsg *msg)
{
    enum err e = index_name_find(index, id, out, msg);
    if (e != ERR_OK || *out != 0 || id_is_zero(id))
        return e;
    struct db_statement *s;
    e = db_prepare(index->db, "INSERT INTO name (id) VALUES (?1)", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, id);
    e = db_run(s, msg);
    db_done(s);
    *out = db_last_rowid(index->db);
    return e;
}

enum err index_name_id(struct index *index, int64_t number, struct id *out, struct errmsg *msg)
{
    *out = (struct id){{0}};
    if (number == 0)
        return ERR_OK;
    struct db_statement *s;
    enum err e = db_prepare(index->db, "SELECT id FROM name WHERE number = ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_i64(s, 1, number);
    e = db_step(s, msg);
    if (e == ERR_END || (e == ERR_OK && db_column_id(s, 0, out) != ERR_OK))
        e = index_damaged(msg, "nothing is known under the cell or device number %lld",
                          (long long)number);
    db_done(s);
    return e;
}

enum err index_page(struct db_statement *s, index_row_fn *read, void *out, size_t size, size_t max,
                    size_t *count, struct errmsg *msg)
{
    enum err e = ERR_OK;
    *count = 0;
    while (*count < max && (e = db_step(s, msg)) == ERR_OK &&
           (e = read(s, (char *)out + *count * size, msg)) == ERR_OK)
        ++*count;
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

enum err index_column_u32(struct db_statement *s, int column, uint32_t low, uint32_t high,
                          uint32_t *out)
{
    int64_t value = db_column_i64(s, column);
    if (value < (int64_t)low || value > (int64_t)high)
        return ERR_CORRUPT;
    *out = (uint32_t)value;
    return ERR_OK;
}

enum err index_make_doubtful(struct index *index, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(index->db, "UPDATE state SET generation = generation + 1", &s, msg);
    if (e == ERR_OK)
        e = db_run(s, msg);
    db_done(s);
    if (e != ERR_OK)
        return e;
    e = db_prepare(index->db, "DELETE FROM progress", &s, msg);
    if (e == ERR_OK)
        e = db_run(s, msg);
    db_done(s);
    return e;
}

struct keyed {
    const uint8_t *key;
    uint32_t position;
};

static int compare_keyed(const void *a, const void *b)
{
    const struct keyed *one = a, *two = b;
    int order = memcmp(one->key, two->key, ID_SIZE);
    if (order != 0)
        return order;
    return one->position < two->position ? -1 : one->position > two->position;
}

uint32_t *index_order(const struct id *ids, size_t stride, size_t count)
{
    struct keyed *keyed = count <= UINT32_MAX ? calloc(count + 1, sizeof(*keyed)) : NULL;
    uint32_t *order = keyed ? calloc(count + 1, sizeof(*order)) : NULL;
    if (order) {
        for (size_t i = 0; i < count; i++)
            keyed[i] = (struct keyed){(const uint8_t *)ids + i * stride, (uint32_t)i};
        qsort(keyed, count, sizeof(*keyed), compare_keyed);
        for (size_t i = 0; i < count; i++)
            order[i] = keyed[i].position;
    }
    free(keyed);
    return order;
}
