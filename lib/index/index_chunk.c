#include "index_internal.h"

#include <stdlib.h>

#define CHUNK_COLUMNS \
    "c.id, c.segment, c.record, c.offset, c.sealed_bytes, c.plain_bytes, c.type, c.group_bytes"
enum { AFTER_CHUNK_COLUMNS = 8 };

static enum err read_chunk(struct db_statement *s, void *row, struct errmsg *msg)
{
    struct index_chunk *out = row;
    uint32_t type = 0;
    int64_t segment = db_column_i64(s, 1);
    *out = (struct index_chunk){.segment = (uint64_t)segment};
    enum err e = segment > 0 ? db_column_id(s, 0, &out->id) : ERR_CORRUPT;
    if (e == ERR_OK)
        e = index_column_u32(s, 2, 0, UINT32_MAX, &out->record);
    if (e == ERR_OK)
        e = index_column_u32(s, 3, 0, UINT32_MAX, &out->offset);
    if (e == ERR_OK)
        e = index_column_u32(s, 4, 0, UINT32_MAX, &out->sealed_bytes);
    if (e == ERR_OK)
        e = index_column_u32(s, 5, 0, UINT32_MAX, &out->plain_bytes);
    if (e == ERR_OK)
        e = index_column_u32(s, 6, 0, UINT8_MAX, &type);
    if (e == ERR_OK)
        e = index_column_u32(s, 7, 0, UINT32_MAX, &out->group_bytes);
    out->type = (uint8_t)type;
    return e == ERR_OK ? e
                       : index_damaged(msg, "a chunk of segment %lld has a row that nobody wrote",
                                       (long long)segment);
}

/* --- finding --- */

static enum err find_one(struct db_statement *s, const struct id *id, bool any_state,
                         struct index_chunk *out, struct errmsg *msg)
{
    db_rebind(s);
    db_bind_id(s, 1, id);
    enum err e = db_step(s, msg);
    if (e == ERR_OK) {
        e = read_chunk(s, out, msg);
        /* NULL (reads as 0) when the segment is not there: as good as not known */
        int64_t state = db_column_i64(s, AFTER_CHUNK_COLUMNS);
        if (e == ERR_OK && (state == 0 || (!any_state && state != INDEX_COMMITTED)))
            e = ERR_END;
    }
    if (e == ERR_END) {
        *out = (struct index_chunk){.id = *id};
        e = ERR_OK;
    }
    return e;
}

static enum err find_in_order(struct index *index, const struct id *ids, const uint32_t *order,
                              size_t count, bool any_state, struct index_chunk *out,
                              struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(index->db,
                            "SELECT " CHUNK_COLUMNS ", s.state FROM chunk AS c LEFT JOIN segment"
                            " AS s ON s.number = c.segment WHERE c.id = ?1",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        size_t at = order[i];
        if (i > 0 && id_equal(&ids[at], &ids[order[i - 1]]))
            out[at] = out[order[i - 1]];
        else
            e = find_one(s, &ids[at], any_state, &out[at], msg);
    }
    db_done(s);
    return e;
}

enum err index_chunks_find(struct index *index, const struct id *ids, size_t count, bool any_state,
                           struct index_chunk *out, struct errmsg *msg)
{
    bool own;
    enum err e = index_enter_reading(index, &own, msg);
    if (e != ERR_OK)
        return e;
    uint32_t *order = index_order(ids, sizeof(*ids), count);
    if (!order)
        e = err_say(msg, ERR_NOMEM, "cannot look %zu chunks up: out of memory", count);
    if (e == ERR_OK)
        e = find_in_order(index, ids, order, count, any_state, out, msg);
    free(order);
    return index_leave(index, own, e, msg);
}

enum err index_chunks(struct index *index, struct id *after, struct index_chunk *out, size_t max,
                      size_t *count, struct errmsg *msg)
{
    struct db_statement *s;
    *count = 0;
    enum err e = db_prepare(
        index->db,
        "SELECT " CHUNK_COLUMNS " FROM chunk AS c WHERE c.id > ?1 ORDER BY c.id LIMIT ?2", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, after);
    db_bind_u64(s, 2, max);
    e = index_page(s, read_chunk, out, sizeof(*out), max, count, msg);
    if (e == ERR_OK && *count > 0)
        *after = out[*count - 1].id;
    return e;
}

/* --- the keys of a segment's chunks: the first 8 bytes of their ids --- */

static void key_range(uint64_t key, uint8_t low[INDEX_KEY_SIZE], uint8_t high[ID_SIZE])
{
    memset(high, 0xff, ID_SIZE);
    for (unsigned i = 0; i < INDEX_KEY_SIZE; i++)
        low[i] = high[i] = (uint8_t)(key >> (56 - 8 * i));
}

static int compare_keys(const void *a, const void *b)
{
    const uint64_t *one = a, *two = b;
    return *one < *two ? -1 : *one > *two;
}

/* Sorted and without repeats; owned by the caller. */
static enum err parse_keys(struct slice bytes, uint64_t **out, size_t *out_count)
{
    if (bytes.size % INDEX_KEY_SIZE != 0)
        return ERR_CORRUPT;
    size_t count = bytes.size / INDEX_KEY_SIZE, kept = 0;
    uint64_t *keys = calloc(count + 1, sizeof(*keys));
    if (!keys)
        return ERR_NOMEM;
    for (size_t i = 0; i < bytes.size; i++)
        keys[i / INDEX_KEY_SIZE] = keys[i / INDEX_KEY_SIZE] << 8 | bytes.data[i];
    qsort(keys, count, sizeof(*keys), compare_keys);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || keys[i] != keys[i - 1])
            keys[kept++] = keys[i];
    *out = keys;
    *out_count = kept;
    return ERR_OK;
}

static enum err load_keys(struct index *index, uint64_t segment, uint64_t **out, size_t *out_count,
                          struct errmsg *msg)
{
    *out = NULL;
    *out_count = 0;
    struct db_statement *s;
    enum err e =
        db_prepare(index->db, "SELECT keys FROM segment_chunks WHERE number = ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, segment);
    e = db_step(s, msg);
    if (e == ERR_OK) {
        e = parse_keys(db_column_blob(s, 0), out, out_count);
        if (e == ERR_CORRUPT)
            e = index_damaged(msg, "the list of chunks of segment %llu",
                              (unsigned long long)segment);
        else if (e != ERR_OK)
            e = err_say(msg, e, "cannot list the chunks of a segment: out of memory");
    }
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

enum err index_chunks_remove(struct index *index, uint64_t segment, struct errmsg *msg)
{
    uint64_t *keys;
    size_t count;
    struct db_statement *s = NULL;
    enum err e = load_keys(index, segment, &keys, &count, msg);
    if (e == ERR_OK)
        e = db_prepare(index->db, "DELETE FROM chunk WHERE id > ?1 AND id <= ?2 AND segment = ?3",
                       &s, msg);
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        uint8_t low[INDEX_KEY_SIZE], high[ID_SIZE];
        key_range(keys[i], low, high);
        db_bind_blob(s, 1, slice_of(low, sizeof(low)));
        db_bind_blob(s, 2, slice_of(high, sizeof(high)));
        db_bind_u64(s, 3, segment);
        e = db_run(s, msg);
    }
    db_done(s);
    free(keys);
    return e;
}

static int compare_records(const void *a, const void *b)
{
    const struct index_chunk *one = a, *two = b;
    if (one->record != two->record)
        return one->record < two->record ? -1 : 1;
    return memcmp(one->id.bytes, two->id.bytes, ID_SIZE);
}

/* Rows of one key: usually one. Counts on behind `max`. */
static enum err list_key(struct db_statement *s, uint64_t key, uint64_t segment,
                         struct index_chunk *out, size_t max, size_t *count, struct errmsg *msg)
{
    uint8_t low[INDEX_KEY_SIZE], high[ID_SIZE];
    struct index_chunk chunk;
    enum err e;
    key_range(key, low, high);
    db_rebind(s);
    db_bind_blob(s, 1, slice_of(low, sizeof(low)));
    db_bind_blob(s, 2, slice_of(high, sizeof(high)));
    db_bind_u64(s, 3, segment);
    while ((e = db_step(s, msg)) == ERR_OK && (e = read_chunk(s, &chunk, msg)) == ERR_OK) {
        if (*count < max)
            out[*count] = chunk;
        ++*count;
    }
    return e == ERR_END ? ERR_OK : e;
}

enum err index_segment_chunks(struct index *index, uint64_t number, struct index_chunk *out,
                              size_t max, size_t *count, struct errmsg *msg)
{
    uint64_t *keys = NULL;
    size_t key_count = 0;
    struct db_statement *s = NULL;
    bool own;
    *count = 0;
    enum err e = index_enter_reading(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = load_keys(index, number, &keys, &key_count, msg);
    if (e == ERR_OK)
        e = db_prepare(index->db,
                       "SELECT " CHUNK_COLUMNS " FROM chunk AS c WHERE c.id > ?1 AND c.id <= ?2"
                       " AND c.segment = ?3",
                       &s, msg);
    for (size_t i = 0; i < key_count && e == ERR_OK; i++)
        e = list_key(s, keys[i], number, out, max, count, msg);
    db_done(s);
    free(keys);
    if (e == ERR_OK && *count > max)
        e = err_say(msg, ERR_TOO_LARGE, "segment %llu has %zu chunks and there is room for %zu",
                    (unsigned long long)number, *count, max);
    if (e == ERR_OK)
        qsort(out, *count, sizeof(*out), compare_records);
    return index_leave(index, own, e, msg);
}

/* --- adding --- */

static enum err check_segment(struct index *index, uint64_t number, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(index->db, "SELECT 1 FROM segment WHERE number = ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, number);
    e = db_step(s, msg);
    db_done(s);
    return e != ERR_END
               ? e
               : err_say(msg, ERR_NOT_FOUND, "chunks of a segment that is not there (%llu)",
                         (unsigned long long)number);
}

/* The positions of those that were added or moved are left at the start of `order`. */
static enum err insert_in_order(struct index *index, const struct index_chunk *chunks,
                                uint32_t *order, size_t count, size_t *added, struct errmsg *msg)
{
    struct db_statement *s;
    *added = 0;
    enum err e = db_prepare(
        index->db,
        "INSERT INTO chunk (id, segment, record, offset, sealed_bytes, plain_bytes, type,"
        " group_bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO UPDATE SET"
        " segment = excluded.segment, record = excluded.record, offset = excluded.offset,"
        " sealed_bytes = excluded.sealed_bytes, plain_bytes = excluded.plain_bytes,"
        " type = excluded.type, group_bytes = excluded.group_bytes"
        " WHERE (SELECT state FROM segment WHERE number = chunk.segment) IS NOT 2",
        &s, msg);
    if (e != ERR_OK)
        return e;
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        const struct index_chunk *chunk = &chunks[order[i]];
        db_bind_id(s, 1, &chunk->id);
        db_bind_u64(s, 2, chunk->segment);
        db_bind_u64(s, 3, chunk->record);
        db_bind_u64(s, 4, chunk->offset);
        db_bind_u64(s, 5, chunk->sealed_bytes);
        db_bind_u64(s, 6, chunk->plain_bytes);
        db_bind_u64(s, 7, chunk->type);
        db_bind_u64(s, 8, chunk->group_bytes);
        e = db_run(s, msg);
        if (e == ERR_OK && db_changes(index->db) > 0)
            order[(*added)++] = order[i];
    }
    db_done(s);
    return e;
}

static enum err append_keys(struct index *index, uint64_t segment, struct slice keys,
                            struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(index->db,
                            "INSERT INTO segment_chunks (number, keys) VALUES (?1, ?2)"
                            " ON CONFLICT (number) DO UPDATE SET"
                            " keys = CAST(keys || excluded.keys AS BLOB)",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, segment);
    db_bind_blob(s, 2, keys);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

struct added {
    uint64_t segment;
    uint8_t key[INDEX_KEY_SIZE];
};

static int compare_added(const void *a, const void *b)
{
    const struct added *one = a, *two = b;
    if (one->segment != two->segment)
        return one->segment < two->segment ? -1 : 1;
    return memcmp(one->key, two->key, INDEX_KEY_SIZE);
}

/* One append a segment, whatever the order in which its chunks came. */
static enum err note_keys(struct index *index, const struct index_chunk *chunks,
                          const uint32_t *order, size_t count, struct errmsg *msg)
{
    struct added *added = calloc(count + 1, sizeof(*added));
    struct buf keys = BUF_INIT(count * INDEX_KEY_SIZE);
    enum err e = added ? ERR_OK : ERR_NOMEM;
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        added[i].segment = chunks[order[i]].segment;
        memcpy(added[i].key, chunks[order[i]].id.bytes, INDEX_KEY_SIZE);
    }
    if (e == ERR_OK)
        qsort(added, count, sizeof(*added), compare_added);
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        e = buf_append(&keys, added[i].key, INDEX_KEY_SIZE);
        if (e == ERR_OK && (i + 1 == count || added[i + 1].segment != added[i].segment)) {
            e = append_keys(index, added[i].segment, buf_slice(&keys), msg);
            buf_clear(&keys);
        }
    }
    if (e == ERR_NOMEM)
        (void)err_say(msg, e, "cannot add %zu chunks to the vault's index: out of memory", count);
    buf_free(&keys);
    free(added);
    return e;
}

enum err index_chunks_add(struct index *index, const struct index_chunk *chunks, size_t count,
                          struct errmsg *msg)
{
    uint32_t *order = NULL;
    size_t added = 0;
    bool own;
    enum err e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    if (count > 0 && !(order = index_order(&chunks[0].id, sizeof(*chunks), count)))
        e = err_say(msg, ERR_NOMEM, "cannot add %zu chunks to the vault's index: out of memory",
                    count);
    for (size_t i = 0; i < count && e == ERR_OK; i++)
        if (i == 0 || chunks[i].segment != chunks[i - 1].segment)
            e = check_segment(index, chunks[i].segment, msg);
    if (e == ERR_OK && count > 0)
        e = insert_in_order(index, chunks, order, count, &added, msg);
    if (e == ERR_OK && added > 0)
        e = note_keys(index, chunks, order, added, msg);
    if (e == ERR_OK && added > 0)
        e = index_marks_changed(index, msg);
    free(order);
    return index_leave(index, own, e, msg);
}
