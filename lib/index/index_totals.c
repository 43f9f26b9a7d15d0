#include "index_internal.h"

#include <limits.h>
#include <stdlib.h>

enum err index_totals(struct index *index, struct index_totals *out, struct errmsg *msg)
{
    struct db_statement *s;
    *out = (struct index_totals){.margin_min = INT_MAX};
    enum err e = db_prepare(index->db,
                            "SELECT count(*), sum(debts > 0), sum(chunk_count), sum(plain_bytes),"
                            " sum(sealed_bytes), sum((k + m - debts) * shard_bytes), min(m - debts)"
                            " FROM segment WHERE state = 2",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    e = db_step(s, msg);
    if (e == ERR_OK) {
        out->segments = db_column_u64(s, 0);
        out->segments_with_debts = db_column_u64(s, 1);
        out->chunks = db_column_u64(s, 2);
        out->plain_bytes = db_column_u64(s, 3);
        out->sealed_bytes = db_column_u64(s, 4);
        out->shard_bytes = db_column_u64(s, 5);
        int64_t margin = db_column_i64(s, 6);
        if (margin < -(int64_t)LIMIT_SHARDS || margin > (int64_t)LIMIT_SHARDS)
            e = index_damaged(msg, "a segment has %lld shards to spare", (long long)margin);
        else if (out->segments > 0)
            out->margin_min = (int)margin;
    }
    db_done(s);
    return e;
}

/* --- what each cell holds --- */

/* Counters by the number of the cell's name: their order is the order in which cells were met, so
   the table is as long as there are cells and devices. */
struct uses {
    struct index_cell_use *by_number; /* owned */
    int64_t number_max;
};

static enum err start_uses(struct index *index, struct uses *uses, struct errmsg *msg)
{
    enum err e =
        db_number(index->db, "SELECT ifnull(max(number), 0) FROM name", &uses->number_max, msg);
    if (e != ERR_OK)
        return e;
    if (uses->number_max < 0 || uses->number_max > UINT32_MAX)
        return index_damaged(msg, "a cell has the number %lld", (long long)uses->number_max);
    uses->by_number = calloc((size_t)uses->number_max + 1, sizeof(*uses->by_number));
    return uses->by_number ? ERR_OK
                           : err_say(msg, ERR_NOMEM, "cannot count the cells: out of memory");
}

static enum err add_uses(struct uses *uses, struct slice shards, uint64_t shard_bytes)
{
    if (shards.size % INDEX_SHARD_SIZE != 0)
        return ERR_CORRUPT;
    for (size_t i = 0; i < shards.size; i += INDEX_SHARD_SIZE) {
        uint32_t number = get_le32(shards.data + i + 1);
        if (number > uses->number_max)
            return ERR_CORRUPT;
        struct index_cell_use *use = &uses->by_number[number];
        if (shards.data[i] == INDEX_SHARD_STORED) {
            use->shards++;
            use->bytes += shard_bytes;
        }
        use->missing += shards.data[i] == INDEX_SHARD_MISSING;
    }
    return ERR_OK;
}

static enum err gather_uses(struct index *index, struct uses *uses, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(index->db,
                            "SELECT s.number, s.shard_bytes, h.shards FROM segment AS s"
                            " JOIN segment_shards AS h ON h.number = s.number WHERE s.state = 2",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    while ((e = db_step(s, msg)) == ERR_OK)
        if (add_uses(uses, db_column_blob(s, 2), db_column_u64(s, 1)) != ERR_OK) {
            e = index_damaged(msg, "the list of shards of segment %lld",
                              (long long)db_column_i64(s, 0));
            break;
        }
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

enum err index_cells(struct index *index, struct index_cell_use *out, size_t max, size_t *count,
                     struct errmsg *msg)
{
    struct uses uses = {0};
    struct db_statement *s = NULL;
    bool own;
    *count = 0;
    enum err e = index_enter_reading(index, &own, msg);
    if (e != ERR_OK)
        return e;
    e = start_uses(index, &uses, msg);
    if (e == ERR_OK)
        e = gather_uses(index, &uses, msg);
    if (e == ERR_OK)
        e = db_prepare(index->db, "SELECT number, id FROM name ORDER BY id", &s, msg);
    while (e == ERR_OK && *count < max && (e = db_step(s, msg)) == ERR_OK) {
        uint64_t number = db_column_u64(s, 0);
        struct index_cell_use *use =
            &uses.by_number[number <= (uint64_t)uses.number_max ? number : 0];
        if (use->shards + use->missing == 0)
            continue;
        if (db_column_id(s, 1, &use->cell) != ERR_OK)
            e = index_damaged(msg, "a cell's ID");
        else
            out[(*count)++] = *use;
    }
    db_done(s);
    free(uses.by_number);
    return index_leave(index, own, e == ERR_END ? ERR_OK : e, msg);
}
