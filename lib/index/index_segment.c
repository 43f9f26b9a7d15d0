#include "index_internal.h"

#define SELECT_SEGMENT                                                                          \
    "SELECT s.number, s.id, s.device, n.id, s.kind, s.state, s.k, s.m, s.shard_bytes, s.epoch," \
    " s.plain_bytes, s.sealed_bytes, s.chunk_count, s.created_s, s.published, s.debts"          \
    " FROM segment AS s LEFT JOIN name AS n ON n.number = s.device "

static enum err read_segment(struct db_statement *s, void *row, struct errmsg *msg)
{
    struct index_segment *out = row;
    uint32_t kind = 0, state = 0, published = 0, debts = 0, k = 0, m = 0;
    *out = (struct index_segment){.number = db_column_u64(s, 0)};
    enum err e = db_column_id(s, 1, &out->id);
    if (e == ERR_OK && db_column_i64(s, 2) != 0)
        e = db_column_id(s, 3, &out->device);
    if (e == ERR_OK)
        e = index_column_u32(s, 4, INDEX_DATA, INDEX_METADATA, &kind);
    if (e == ERR_OK)
        e = index_column_u32(s, 5, INDEX_BUILDING, INDEX_DELETED, &state);
    if (e == ERR_OK)
        e = index_column_u32(s, 6, 1, LIMIT_SHARDS, &k);
    if (e == ERR_OK)
        e = index_column_u32(s, 7, 0, LIMIT_SHARDS - k, &m);
    if (e == ERR_OK)
        e = index_column_u32(s, 8, 0, UINT32_MAX, &out->shard_bytes);
    if (e == ERR_OK)
        e = index_column_u32(s, 9, 0, UINT32_MAX, &out->epoch);
    if (e == ERR_OK && (db_column_i64(s, 10) < 0 || db_column_i64(s, 11) < 0))
        e = ERR_CORRUPT;
    if (e == ERR_OK)
        e = index_column_u32(s, 12, 0, UINT32_MAX, &out->chunk_count);
    if (e == ERR_OK)
        e = index_column_u32(s, 14, 0, 1, &published);
    if (e == ERR_OK)
        e = index_column_u32(s, 15, 0, k + m, &debts);
    if (e != ERR_OK)
        return index_damaged(msg, "segment %llu has a row that nobody wrote",
                             (unsigned long long)out->number);
    out->kind = kind;
    out->state = state;
    out->k = k;
    out->m = m;
    out->plain_bytes = db_column_u64(s, 10);
    out->sealed_bytes = db_column_u64(s, 11);
    out->created_s = db_column_i64(s, 13);
    out->published = published != 0;
    out->debt_count = debts;
    return ERR_OK;
}

static enum err say_unknown(struct errmsg *msg, uint64_t number)
{
    return err_say(msg, ERR_NOT_FOUND, "the vault's index has no segment %llu",
                   (unsigned long long)number);
}

/* --- shards --- */

static unsigned count_debts(const uint8_t *shards, size_t count)
{
    unsigned debts = 0;
    for (size_t i = 0; i < count; i++)
        debts += shards[i * INDEX_SHARD_SIZE] != INDEX_SHARD_STORED;
    return debts;
}

static enum err encode_shard(struct index *index, const struct index_shard *shard, uint8_t *out,
                             struct errmsg *msg)
{
    if ((unsigned)shard->state > INDEX_SHARD_MISSING)
        return err_say(msg, ERR_USAGE, "there is no state %u of a shard", (unsigned)shard->state);
    int64_t cell = 0;
    enum err e = index_name_number(index, &shard->cell, &cell, msg);
    if (e == ERR_OK) {
        out[0] = (uint8_t)shard->state;
        put_le32(out + 1, (uint32_t)cell);
    }
    return e;
}

static enum err encode_shards(struct index *index, const struct index_shard *shards, size_t count,
                              uint8_t *out, struct errmsg *msg)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < count && e == ERR_OK; i++)
        e = encode_shard(index, &shards[i], out + i * INDEX_SHARD_SIZE, msg);
    return e;
}

/* *count is k + m; ERR_NOT_FOUND when the segment is unknown. */
static enum err load_shards(struct index *index, uint64_t number,
                            uint8_t out[LIMIT_SHARDS * INDEX_SHARD_SIZE], size_t *count,
                            struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(index->db,
                            "SELECT k + m, shards FROM segment AS s LEFT JOIN segment_shards AS h"
                            " ON h.number = s.number WHERE s.number = ?1",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, number);
    e = db_step(s, msg);
    if (e == ERR_END)
        e = say_unknown(msg, number);
    if (e == ERR_OK) {
        uint32_t shards = 0;
        struct slice bytes = db_column_blob(s, 1);
        e = index_column_u32(s, 0, 1, LIMIT_SHARDS, &shards);
        for (size_t i = 0; i < bytes.size && e == ERR_OK; i += INDEX_SHARD_SIZE)
            if (bytes.data[i] > INDEX_SHARD_MISSING)
                e = ERR_CORRUPT;
        if (e != ERR_OK || bytes.size != (size_t)shards * INDEX_SHARD_SIZE)
            e = index_damaged(msg, "the list of shards of segment %llu",
                              (unsigned long long)number);
        else
            memcpy(out, bytes.data, bytes.size);
        *count = shards;
    }
    db_done(s);
    return e;
}

static enum err store_shards(struct index *index, uint64_t number, const uint8_t *shards,
                             size_t count, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(
        index->db, "INSERT OR REPLACE INTO segment_shards (number, shards) VALUES (?1, ?2)", &s,
        msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, number);
    db_bind_blob(s, 2, slice_of(shards, count * INDEX_SHARD_SIZE));
    e = db_run(s, msg);
    db_done(s);
    if (e != ERR_OK)
        return e;
    e = db_prepare(index->db, "UPDATE segment SET debts = ?2 WHERE number = ?1 AND debts <> ?2", &s,
                   msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, number);
    db_bind_u64(s, 2, count_debts(shards, count));
    e = db_run(s, msg);
    db_done(s);
    return e;
}

enum err index_segment_shards(struct index *index, uint64_t number, struct index_shard *out,
                              size_t *count, struct errmsg *msg)
{
    uint8_t shards[LIMIT_SHARDS * INDEX_SHARD_SIZE];
    bool own;
    *count = 0;
    enum err e = index_enter_reading(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = load_shards(index, number, shards, count, msg);
    for (size_t i = 0; i < *count && e == ERR_OK; i++) {
        out[i].state = shards[i * INDEX_SHARD_SIZE];
        e = index_name_id(index, get_le32(shards + i * INDEX_SHARD_SIZE + 1), &out[i].cell, msg);
    }
    if (e != ERR_OK)
        *count = 0;
    return index_leave(index, own, e, msg);
}

enum err index_segment_set_shards(struct index *index, uint64_t number,
                                  const struct index_shard *shards, size_t count,
                                  struct errmsg *msg)
{
    uint8_t bytes[LIMIT_SHARDS * INDEX_SHARD_SIZE];
    struct index_segment segment;
    bool own;
    enum err e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = index_segment_by_number(index, number, &segment, msg);
    if (e == ERR_OK && count != segment.k + segment.m)
        e = err_say(msg, ERR_USAGE, "segment %llu has %u shards, not %zu",
                    (unsigned long long)number, segment.k + segment.m, count);
    if (e == ERR_OK)
        e = encode_shards(index, shards, count, bytes, msg);
    if (e == ERR_OK)
        e = store_shards(index, number, bytes, count, msg);
    return index_leave(index, own, e, msg);
}

enum err index_segment_set_shard(struct index *index, uint64_t number, unsigned shard,
                                 const struct index_shard *value, struct errmsg *msg)
{
    uint8_t bytes[LIMIT_SHARDS * INDEX_SHARD_SIZE];
    size_t count = 0;
    bool own;
    enum err e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = load_shards(index, number, bytes, &count, msg);
    if (e == ERR_OK && shard >= count)
        e = err_say(msg, ERR_USAGE, "segment %llu has %zu shards, no shard %u",
                    (unsigned long long)number, count, shard);
    if (e == ERR_OK)
        e = encode_shard(index, value, bytes + (size_t)shard * INDEX_SHARD_SIZE, msg);
    if (e == ERR_OK)
        e = store_shards(index, number, bytes, count, msg);
    return index_leave(index, own, e, msg);
}

/* --- segments --- */

static enum err insert_segment(struct index *index, struct index_segment *segment, int64_t device,
                               struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(index->db,
                            "INSERT INTO segment (state, kind, published, debts, k, m, shard_bytes,"
                            " epoch, device, plain_bytes, sealed_bytes, chunk_count, created_s, id)"
                            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, segment->state);
    db_bind_u64(s, 2, segment->kind);
    db_bind_bool(s, 3, segment->published);
    db_bind_u64(s, 4, segment->debt_count);
    db_bind_u64(s, 5, segment->k);
    db_bind_u64(s, 6, segment->m);
    db_bind_u64(s, 7, segment->shard_bytes);
    db_bind_u64(s, 8, segment->epoch);
    db_bind_i64(s, 9, device);
    db_bind_u64(s, 10, segment->plain_bytes);
    db_bind_u64(s, 11, segment->sealed_bytes);
    db_bind_u64(s, 12, segment->chunk_count);
    db_bind_i64(s, 13, segment->created_s);
    db_bind_id(s, 14, &segment->id);
    e = db_run(s, msg);
    db_done(s);
    if (e == ERR_OK)
        segment->number = (uint64_t)db_last_rowid(index->db);
    return e;
}

static enum err insert_part(struct index *index, uint64_t number, struct slice header,
                            struct slice record, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(index->db,
                            "INSERT INTO segment_part (number, header, record) VALUES (?1, ?2, ?3)",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, number);
    db_bind_blob(s, 2, header);
    db_bind_blob(s, 3, record);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

static enum err check_new(const struct index_segment *segment, struct slice header,
                          struct slice record, struct errmsg *msg)
{
    if (segment->k < 1 || segment->k > LIMIT_SHARDS || segment->m > LIMIT_SHARDS - segment->k ||
        (segment->kind != INDEX_DATA && segment->kind != INDEX_METADATA) ||
        (unsigned)segment->state < INDEX_BUILDING || (unsigned)segment->state > INDEX_DELETED)
        return err_say(msg, ERR_USAGE, "no segment is like this one: %u+%u, kind %u, state %u",
                       segment->k, segment->m, (unsigned)segment->kind, (unsigned)segment->state);
    if (header.size > INDEX_BODY_BYTES_MAX || record.size > INDEX_BODY_BYTES_MAX)
        return err_say(msg, ERR_TOO_LARGE, "a segment's header and record have at most %d bytes",
                       INDEX_BODY_BYTES_MAX);
    return ERR_OK;
}

enum err index_segment_add(struct index *index, struct index_segment *segment, struct slice header,
                           struct slice record, const struct index_shard *shards,
                           struct errmsg *msg)
{
    uint8_t bytes[LIMIT_SHARDS * INDEX_SHARD_SIZE];
    int64_t device = 0;
    bool own;
    enum err e = check_new(segment, header, record, msg);
    if (e == ERR_OK)
        e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    size_t count = segment->k + segment->m;
    e = index_name_number(index, &segment->device, &device, msg);
    if (e == ERR_OK)
        e = encode_shards(index, shards, count, bytes, msg);
    if (e == ERR_OK) {
        segment->debt_count = count_debts(bytes, count);
        e = insert_segment(index, segment, device, msg);
    }
    if (e == ERR_OK)
        e = insert_part(index, segment->number, header, record, msg);
    if (e == ERR_OK)
        e = store_shards(index, segment->number, bytes, count, msg);
    return index_leave(index, own, e, msg);
}

enum err index_segment_get(struct index *index, const struct id *id, struct index_segment *out,
                           struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(index->db, SELECT_SEGMENT "WHERE s.id = ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, id);
    e = db_step(s, msg);
    char text[ID_TEXT_SIZE];
    if (e == ERR_END)
        e = err_say(msg, ERR_NOT_FOUND, "the vault's index has no segment %s", id_format(id, text));
    if (e == ERR_OK)
        e = read_segment(s, out, msg);
    db_done(s);
    return e;
}

enum err index_segment_by_number(struct index *index, uint64_t number, struct index_segment *out,
                                 struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(index->db, SELECT_SEGMENT "WHERE s.number = ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, number);
    e = db_step(s, msg);
    if (e == ERR_END)
        e = say_unknown(msg, number);
    if (e == ERR_OK)
        e = read_segment(s, out, msg);
    db_done(s);
    return e;
}

enum err index_segment_header(struct index *index, uint64_t number, struct slice *out_header,
                              struct slice *out_record, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e =
        db_prepare(index->db, "SELECT header, record FROM segment_part WHERE number = ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, number);
    e = db_step(s, msg);
    if (e == ERR_END)
        e = say_unknown(msg, number);
    if (e == ERR_OK)
        e = index_hold(index, db_column_blob(s, 0), out_header, db_column_blob(s, 1), out_record,
                       msg);
    db_done(s);
    return e;
}

enum err index_segment_set_state(struct index *index, uint64_t number,
                                 enum index_segment_state state, struct errmsg *msg)
{
    struct index_segment old;
    struct db_statement *s = NULL;
    bool own;
    if ((unsigned)state < INDEX_BUILDING || (unsigned)state > INDEX_DELETED)
        return err_say(msg, ERR_USAGE, "there is no state %u of a segment", (unsigned)state);
    enum err e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = index_segment_by_number(index, number, &old, msg);
    if (e == ERR_OK && old.state == INDEX_DELETED && state != INDEX_DELETED)
        e = err_say(msg, ERR_STATE, "segment %llu is deleted, which is for good",
                    (unsigned long long)number);
    if (e == ERR_OK)
        e = db_prepare(index->db, "UPDATE segment SET state = ?2 WHERE number = ?1", &s, msg);
    if (e == ERR_OK) {
        db_bind_u64(s, 1, number);
        db_bind_u64(s, 2, state);
        e = db_run(s, msg);
    }
    db_done(s);
    if (e == ERR_OK && old.state == INDEX_COMMITTED && state != INDEX_COMMITTED)
        e = index_make_doubtful(index, msg);
    return index_leave(index, own, e, msg);
}

enum err index_segment_set_published(struct index *index, uint64_t number, struct errmsg *msg)
{
    struct db_statement *s = NULL;
    bool own;
    enum err e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = db_prepare(index->db, "UPDATE segment SET published = 1 WHERE number = ?1", &s, msg);
    if (e == ERR_OK) {
        db_bind_u64(s, 1, number);
        e = db_run(s, msg);
    }
    db_done(s);
    if (e == ERR_OK && db_changes(index->db) == 0)
        e = say_unknown(msg, number);
    return index_leave(index, own, e, msg);
}

static enum err remove_rows(struct index *index, uint64_t number, struct errmsg *msg)
{
    static const char *const from[] = {
        "DELETE FROM segment_part WHERE number = ?1",
        "DELETE FROM segment_shards WHERE number = ?1",
        "DELETE FROM segment_chunks WHERE number = ?1",
        "DELETE FROM live WHERE number = ?1",
        "DELETE FROM listed WHERE number = ?1",
        "DELETE FROM segment WHERE number = ?1",
    };
    enum err e = ERR_OK;
    for (size_t i = 0; i < ARRAY_COUNT(from) && e == ERR_OK; i++) {
        struct db_statement *s;
        e = db_prepare(index->db, from[i], &s, msg);
        if (e != ERR_OK)
            break;
        db_bind_u64(s, 1, number);
        e = db_run(s, msg);
        db_done(s);
    }
    return e;
}

enum err index_segment_remove(struct index *index, uint64_t number, struct errmsg *msg)
{
    struct index_segment old;
    bool own;
    enum err e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = index_segment_by_number(index, number, &old, msg);
    if (e == ERR_OK)
        e = index_chunks_remove(index, number, msg);
    if (e == ERR_OK)
        e = remove_rows(index, number, msg);
    if (e == ERR_OK && old.state == INDEX_COMMITTED)
        e = index_make_doubtful(index, msg);
    return index_leave(index, own, e, msg);
}

/* The conditions that have an index stand in the text, so that SQLite can see them. */
static const char *list_sql(const struct index_segment_filter *filter)
{
#define LIST(more)                                                           \
    SELECT_SEGMENT "WHERE s.number > ?1 AND (?2 = 0 OR (?2 >> s.state) & 1)" \
                   " AND (?3 = 0 OR s.kind = ?3)" more " ORDER BY s.number LIMIT ?4"
    if (filter->with_debts)
        return filter->unpublished ? LIST(" AND s.debts > 0 AND s.published = 0")
                                   : LIST(" AND s.debts > 0");
    return filter->unpublished ? LIST(" AND s.published = 0") : LIST("");
#undef LIST
}

enum err index_segments(struct index *index, const struct index_segment_filter *filter,
                        struct index_segment *out, size_t max, size_t *count, struct errmsg *msg)
{
    struct db_statement *s;
    *count = 0;
    enum err e = db_prepare(index->db, list_sql(filter), &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, filter->after_number);
    db_bind_u64(s, 2, filter->states);
    db_bind_u64(s, 3, filter->kind);
    db_bind_u64(s, 4, max);
    return index_page(s, read_segment, out, sizeof(*out), max, count, msg);
}
