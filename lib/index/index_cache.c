#include "index/index_cache.h"

#include "index_internal.h"

/* Not against an enemy (who can write here can write anything), but against a bit that flips: what
   stands in a row is copied into new trees without being looked at. */
static uint64_t sum_of(struct slice bytes)
{
    uint64_t h = 0x9e3779b97f4a7c15U ^ bytes.size;
    size_t at = 0;
    for (; bytes.size - at >= 8; at += 8) {
        h = (h ^ get_le64(bytes.data + at)) * 0xff51afd7ed558ccdU;
        h ^= h >> 32;
    }
    for (; at < bytes.size; at++) {
        h = (h ^ bytes.data[at]) * 0xff51afd7ed558ccdU;
        h ^= h >> 32;
    }
    return h;
}

static enum err check_path(struct slice path, struct errmsg *msg)
{
    if (path.size == 0 || path.size > INDEX_PATH_BYTES_MAX)
        return err_say(msg, ERR_TOO_LARGE, "a path of %zu bytes: 1 to %d can be kept", path.size,
                       INDEX_PATH_BYTES_MAX);
    return ERR_OK;
}

static enum err say_unknown(struct errmsg *msg, struct slice path)
{
    return err_say(msg, ERR_NOT_FOUND, "nothing is known of %.*s", (int)path.size,
                   (const char *)path.data);
}

/* --- directories --- */

enum err index_dir_get(struct index *index, struct slice path, struct index_dir *out,
                       struct errmsg *msg)
{
    struct buf body = BUF_INIT(INDEX_DIR_BYTES_MAX);
    struct db_statement *s;
    *out = (struct index_dir){0};
    enum err e = check_path(path, msg);
    if (e == ERR_OK)
        e = db_prepare(index->db,
                       "SELECT generation = (SELECT generation FROM state), sum, body"
                       " FROM dir WHERE path = ?1",
                       &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_blob(s, 1, path);
    e = db_step(s, msg);
    if (e == ERR_END)
        e = say_unknown(msg, path);
    if (e == ERR_OK) {
        bool fresh = db_column_bool(s, 0);
        struct slice bytes = db_column_blob(s, 2);
        if ((uint64_t)db_column_i64(s, 1) != sum_of(bytes))
            e = say_unknown(msg, path);
        else if (buf_append(&body, bytes.data, bytes.size) != ERR_OK)
            e = err_say(msg, ERR_NOMEM, "cannot read the vault's index: out of memory");
        else if (index_dir_parse(&body, out) != ERR_OK)
            e = say_unknown(msg, path);
        out->doubtful = !fresh;
    }
    buf_free(&body);
    db_done(s);
    return e;
}

enum err index_dir_put(struct index *index, struct slice path, struct slice row, struct errmsg *msg)
{
    struct db_statement *s = NULL;
    bool own;
    enum err e = check_path(path, msg);
    if (e == ERR_OK && row.size > INDEX_DIR_BYTES_MAX)
        e = err_say(msg, ERR_TOO_LARGE, "a directory's row of %zu bytes", row.size);
    if (e == ERR_OK)
        e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = db_prepare(index->db,
                   "INSERT INTO dir (generation, sum, path, body)"
                   " VALUES ((SELECT generation FROM state), ?1, ?2, ?3)"
                   " ON CONFLICT (path) DO UPDATE SET generation = excluded.generation,"
                   " sum = excluded.sum, body = excluded.body",
                   &s, msg);
    if (e == ERR_OK) {
        db_bind_i64(s, 1, (int64_t)sum_of(row));
        db_bind_blob(s, 2, path);
        db_bind_blob(s, 3, row);
        e = db_run(s, msg);
    }
    db_done(s);
    return index_leave(index, own, e, msg);
}

/* All that begins with the path and a slash: '/' + 1 is '0'. */
static enum err remove_below(struct index *index, struct slice path, struct errmsg *msg)
{
    struct db_statement *s = NULL;
    struct buf low = BUF_INIT(INDEX_PATH_BYTES_MAX + 1), high = BUF_INIT(INDEX_PATH_BYTES_MAX + 1);
    size_t stem = path.data[path.size - 1] == '/' ? path.size - 1 : path.size;
    enum err e = buf_append(&low, path.data, stem);
    if (e == ERR_OK)
        e = buf_append_u8(&low, '/');
    if (e == ERR_OK)
        e = buf_append(&high, path.data, stem);
    if (e == ERR_OK)
        e = buf_append_u8(&high, '/' + 1);
    if (e != ERR_OK)
        (void)err_say(msg, e, "cannot write to the vault's index: %s", err_words(e));
    if (e == ERR_OK)
        e = db_prepare(index->db, "DELETE FROM dir WHERE path >= ?1 AND path < ?2", &s, msg);
    if (e == ERR_OK) {
        db_bind_blob(s, 1, buf_slice(&low));
        db_bind_blob(s, 2, buf_slice(&high));
        e = db_run(s, msg);
    }
    db_done(s);
    buf_free(&low);
    buf_free(&high);
    return e;
}

enum err index_dir_remove(struct index *index, struct slice path, struct errmsg *msg)
{
    struct db_statement *s = NULL;
    bool own;
    enum err e = check_path(path, msg);
    if (e == ERR_OK)
        e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = db_prepare(index->db, "DELETE FROM dir WHERE path = ?1", &s, msg);
    if (e == ERR_OK) {
        db_bind_blob(s, 1, path);
        e = db_run(s, msg);
    }
    db_done(s);
    if (e == ERR_OK)
        e = remove_below(index, path, msg);
    return index_leave(index, own, e, msg);
}

/* --- files on their way --- */

enum { STAT_SIZE = 40 };

static void encode_stat(const struct index_progress *p, uint8_t out[STAT_SIZE])
{
    put_le64(out, p->size);
    put_le64(out + 8, p->inode);
    put_le64(out + 16, (uint64_t)p->mtime_s);
    put_le32(out + 24, p->mtime_ns);
    put_le64(out + 28, (uint64_t)p->ctime_s);
    put_le32(out + 36, p->ctime_ns);
}

enum err index_progress_put(struct index *index, struct slice path,
                            const struct index_progress *progress, struct slice body,
                            struct errmsg *msg)
{
    struct db_statement *s = NULL;
    uint8_t stat[STAT_SIZE];
    bool own;
    enum err e = check_path(path, msg);
    if (e == ERR_OK && body.size > INDEX_DIR_BYTES_MAX)
        e = err_say(msg, ERR_TOO_LARGE, "a file's progress of %zu bytes", body.size);
    if (e == ERR_OK)
        e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = db_prepare(index->db,
                   "INSERT OR REPLACE INTO progress (offset, sum, stat, path, body)"
                   " VALUES (?1, ?2, ?3, ?4, ?5)",
                   &s, msg);
    if (e == ERR_OK) {
        encode_stat(progress, stat);
        db_bind_u64(s, 1, progress->offset);
        db_bind_i64(s, 2, (int64_t)sum_of(body));
        db_bind_blob(s, 3, slice_of(stat, sizeof(stat)));
        db_bind_blob(s, 4, path);
        db_bind_blob(s, 5, body);
        e = db_run(s, msg);
    }
    db_done(s);
    return index_leave(index, own, e, msg);
}

enum err index_progress_get(struct index *index, struct slice path, struct index_progress *out,
                            struct buf *body, struct errmsg *msg)
{
    struct db_statement *s;
    uint8_t stat[STAT_SIZE];
    enum err e = check_path(path, msg);
    if (e == ERR_OK)
        e = db_prepare(index->db,
                       "SELECT offset, sum, body FROM progress WHERE path = ?1 AND stat = ?2", &s,
                       msg);
    if (e != ERR_OK)
        return e;
    encode_stat(out, stat);
    db_bind_blob(s, 1, path);
    db_bind_blob(s, 2, slice_of(stat, sizeof(stat)));
    e = db_step(s, msg);
    struct slice bytes = {NULL, 0};
    if (e == ERR_OK) {
        bytes = db_column_blob(s, 2);
        if (db_column_i64(s, 0) < 0 || db_column_u64(s, 0) > out->size ||
            (uint64_t)db_column_i64(s, 1) != sum_of(bytes))
            e = ERR_END;
    }
    if (e == ERR_END)
        e = say_unknown(msg, path);
    if (e == ERR_OK) {
        e = buf_append(body, bytes.data, bytes.size);
        if (e != ERR_OK)
            (void)err_say(msg, e, "cannot read how far a file had come: %s", err_words(e));
        else
            out->offset = db_column_u64(s, 0);
    }
    db_done(s);
    return e;
}

enum err index_progress_clear(struct index *index, struct errmsg *msg)
{
    bool own;
    enum err e = index_enter(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = db_exec(index->db, "DELETE FROM progress", msg);
    return index_leave(index, own, e, msg);
}
