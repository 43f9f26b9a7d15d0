#include "index_internal.h"

static enum err put_start(struct index *index, const char *name, bool *own, struct db_statement **s,
                          struct errmsg *msg)
{
    *s = NULL;
    if (!*name || strlen(name) > LIMIT_NAME_BYTES)
        return err_say(msg, ERR_TOO_LARGE, "a fact's name has 1 to %u bytes", LIMIT_NAME_BYTES);
    enum err e = index_enter(index, own, msg);
    if (e != ERR_OK)
        return e;
    e = db_prepare(index->db, "INSERT OR REPLACE INTO fact (name, value) VALUES (?1, ?2)", s, msg);
    if (e != ERR_OK)
        return index_leave(index, *own, e, msg);
    db_bind_text(*s, 1, name);
    return ERR_OK;
}

static enum err put_end(struct index *index, bool own, struct db_statement *s, struct errmsg *msg)
{
    enum err e = db_run(s, msg);
    db_done(s);
    return index_leave(index, own, e, msg);
}

enum err index_fact_put(struct index *index, const char *name, struct slice value,
                        struct errmsg *msg)
{
    struct db_statement *s;
    bool own;
    if (value.size > INDEX_FACT_BYTES_MAX)
        return err_say(msg, ERR_TOO_LARGE, "the fact \"%s\" of %zu bytes: at most %d are kept",
                       name, value.size, INDEX_FACT_BYTES_MAX);
    enum err e = put_start(index, name, &own, &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_blob(s, 2, value);
    return put_end(index, own, s, msg);
}

enum err index_fact_put_number(struct index *index, const char *name, int64_t value,
                               struct errmsg *msg)
{
    struct db_statement *s;
    bool own;
    enum err e = put_start(index, name, &own, &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_i64(s, 2, value);
    return put_end(index, own, s, msg);
}

/* A row is there when it says ERR_OK; `type` is SQLite's word for what is asked for. */
static enum err get_start(struct index *index, const char *name, const char *type,
                          struct db_statement **s, struct errmsg *msg)
{
    enum err e =
        db_prepare(index->db, "SELECT value, typeof(value) FROM fact WHERE name = ?1", s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_text(*s, 1, name);
    e = db_step(*s, msg);
    if (e == ERR_END)
        e = err_say(msg, ERR_NOT_FOUND, "the vault's index knows nothing of \"%s\"", name);
    if (e == ERR_OK && strcmp(db_column_text(*s, 1), type) != 0)
        e = index_damaged(msg, "the fact \"%s\" is no %s", name, type);
    return e;
}

enum err index_fact_get(struct index *index, const char *name, struct slice *out,
                        struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = get_start(index, name, "blob", &s, msg);
    if (e == ERR_OK)
        e = index_hold(index, db_column_blob(s, 0), out, slice_of(NULL, 0), NULL, msg);
    db_done(s);
    return e;
}

enum err index_fact_get_number(struct index *index, const char *name, int64_t *out,
                               struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = get_start(index, name, "integer", &s, msg);
    if (e == ERR_OK)
        *out = db_column_i64(s, 0);
    db_done(s);
    return e;
}
