/*
 * Grants, and the directory of segments.
 */
#include "registry_internal.h"

#include "base/cursor.h"
#include "base/planted.h"
#include "identity/grant.h"
#include "identity/receipt.h"
#include "identity/signed_record.h"

#include <stdlib.h>

enum {
    GRANT_BUDGET_SHIFT = 50, /* no grant is above 1 PiB */
    QUOTA_PART =
        4, /* of what is left of a quota, one question gets so much, but room for a shard */
    QUOTA_LEAST_BYTES = 65536, /* smaller grants are of no use */
};

/* --- grants --- */

static bool may_get(const struct registry *registry, const struct registry_cell *cell,
                    const struct id *account, int64_t now_s)
{
    return cell && registry_takes_new(registry, cell) &&
           !(cell->claimed && id_equal(&cell->household, account)) &&
           registry_cell_state(registry, cell, now_s) != WIRE_CELL_GONE;
}

static enum err sign_grant(struct registry *registry, const struct id *account,
                           const struct id *device, const struct wire_want *want, uint64_t most,
                           int64_t now_s, uint64_t *promised, struct buf *out)
{
    struct grant grant = {
        .incarnation = registry->options.incarnation,
        .account = *account,
        .device = *device,
        .cell = want->cell,
        .list_number = registry->list_number,
        .expires_s = now_s + (int64_t)registry->options.grant_s,
        .budget_bytes = want->bytes < most ? want->bytes : most,
    };
    if (grant.budget_bytes >> GRANT_BUDGET_SHIFT)
        grant.budget_bytes = UINT64_C(1) << GRANT_BUDGET_SHIFT;
    *promised += grant.budget_bytes;
    random_fill(registry->options.random, grant.id, sizeof(grant.id));
    return grant_make(&grant, registry->options.swarm, registry->options.key, out);
}

/* The most that one grant of this question may be for, so that all together keep within the quota:
   a device that spends its grants unevenly finds something left for the next question. */
static enum err grant_limit(struct registry *registry, const struct id *account, size_t count,
                            int64_t now_s, uint64_t *most, struct errmsg *msg)
{
    uint64_t left;
    const enum err e = registry_ledger_left(registry, account, now_s, &left, msg);
    if (e != ERR_OK || count == 0)
        return e;
    /* as if all cells were asked for at once, however many are: whole shards, so that none is lost
       to a remainder at every cell */
    const size_t all =
        registry->cell_count < LIMIT_GROUP_CELLS ? registry->cell_count : LIMIT_GROUP_CELLS;
    const uint64_t share = left / count;
    *most = left / (all > count ? all : count) / QUOTA_PART;
    *most -= *most % LIMIT_SHARD_BYTES;
    if (*most == 0)
        *most = share < LIMIT_SHARD_BYTES ? share : LIMIT_SHARD_BYTES;
    return *most >= QUOTA_LEAST_BYTES
               ? ERR_OK
               : err_say(msg, ERR_QUOTA,
                         "the account's quota is used up: it may use more when its own cells hold "
                         "more for others, or when it deletes");
}

enum err registry_place(struct registry *registry, const struct id *account,
                        const struct id *device, struct wire_list *wants, int64_t now_s,
                        struct buf *reply, struct errmsg *msg)
{
    struct buf docs = BUF_INIT(WIRE_GRANTS_BYTES);
    size_t ends[WIRE_PLACE_CELLS];
    struct slice grants[WIRE_PLACE_CELLS];
    size_t count = 0;
    uint64_t most = 0, promised = 0;
    struct wire_want want;
    enum err e = grant_limit(registry, account, wants->count, now_s, &most, msg);
    if (e != ERR_OK)
        return e;
    while (e == ERR_OK && count < WIRE_PLACE_CELLS && wire_place_next(wants, &want)) {
        if (!may_get(registry, registry_cell_find(registry, &want.cell), account, now_s))
            continue;
        e = sign_grant(registry, account, device, &want, most, now_s, &promised, &docs);
        ends[count++] = docs.size;
    }
    if (e == ERR_OK)
        e = registry_ledger_promise(registry, account, promised, now_s, msg);
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        const size_t begin = i ? ends[i - 1] : 0;
        grants[i] = slice_of(docs.data + begin, ends[i] - begin);
    }
    if (e == ERR_OK)
        e = wire_grants_encode(grants, count, reply);
    buf_free(&docs);
    return e == ERR_OK ? e : err_say(msg, e, "grants cannot be signed");
}

/* --- the directory --- */

/* A segment's row: appends its shards' bytes. NOT_FOUND; DENIED when it is another account's. */
static enum err read_segment(struct registry *registry, int64_t account, const struct id *segment,
                             struct wire_found *out, struct buf *shards, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e =
        db_prepare(registry->db,
                   "SELECT account, k, m, shard_bytes, shards FROM segment WHERE id = ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    e = db_step(s, msg);
    if (e == ERR_OK) {
        const struct slice bytes = db_column_blob(s, 4);
        out->k = (uint8_t)db_column_u64(s, 1);
        out->m = (uint8_t)db_column_u64(s, 2);
        out->shard_bytes = (uint32_t)db_column_u64(s, 3);
        e = db_column_i64(s, 0) == account ? buf_append(shards, bytes.data, bytes.size)
                                           : err_say(msg, ERR_DENIED, "another account's segment");
    } else if (e == ERR_END) {
        e = ERR_NOT_FOUND;
    }
    db_done(s);
    return e;
}

/* ERR_EXISTS: it stands there already. */
static enum err add_shard(struct buf *shards, uint8_t index, uint32_t cell)
{
    uint8_t row[SHARD_ROW_BYTES];
    row[0] = index;
    put_le32(row + 1, cell);
    for (size_t at = 0; at + sizeof(row) <= shards->size; at += sizeof(row))
        if (memcmp(shards->data + at, row, sizeof(row)) == 0)
            return ERR_EXISTS;
    if (shards->size >= (size_t)WIRE_FOUND_SHARDS * sizeof(row))
        return ERR_TOO_LARGE;
    return buf_append(shards, row, sizeof(row));
}

/* The receipts of members for this segment; one that is wrong refuses the whole registration, since
   the device has checked them before. */
static enum err take_receipts(struct registry *registry, const struct wire_registration *in,
                              const struct signed_record *record, struct buf *shards,
                              uint64_t *added_bytes, struct errmsg *msg)
{
    struct wire_list list = in->receipt_list;
    struct slice doc;
    while (wire_receipts_next(&list, &doc)) {
        struct receipt receipt;
        enum err e = receipt_open(doc, registry->options.swarm, NULL, &receipt, msg);
        if (e != ERR_OK)
            return err_wrap(msg, e, "a receipt");
        struct registry_cell *cell = registry_cell_find(registry, &receipt.cell);
        if (!cell) { /* known to a coordinator before this one, perhaps: the others count */
            log_say(registry->options.log, LOG_INFO,
                    "a receipt is left out: it is from a cell that is no member");
            continue;
        }
        if (!id_equal(&receipt.segment, &record->segment) ||
            !id_equal(&receipt.account, &record->account) || receipt.index >= in->k + in->m ||
            receipt.shard_bytes != in->shard_bytes)
            return err_say(msg, ERR_DENIED, "a receipt is for another shard");
        e = add_shard(shards, receipt.index, cell->number);
        if (e == ERR_OK) {
            registry_held(registry, &record->segment, cell, 1);
            *added_bytes += in->shard_bytes;
        } else if (e != ERR_EXISTS)
            return err_say(msg, e, "the segment has more shards than the directory holds");
        e = registry_damage_clear(registry, &record->segment, receipt.index, cell, msg);
        if (e == ERR_OK)
            e = registry_unproven_clear(registry, &record->segment, receipt.index, cell,
                                        receipt.shard_bytes, msg);
        if (e == ERR_OK)
            e = registry_moved_back(registry, &record->segment, receipt.index, cell, msg);
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

static enum err write_segment(struct registry *registry, int64_t account,
                              const struct wire_registration *in, const struct id *segment,
                              struct slice shards, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e =
        db_prepare(registry->db,
                   "INSERT OR REPLACE INTO segment (id, account, k, m, shard_bytes, shards)"
                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                   &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    db_bind_i64(s, 2, account);
    db_bind_u64(s, 3, in->k);
    db_bind_u64(s, 4, in->m);
    db_bind_u64(s, 5, in->shard_bytes);
    db_bind_blob(s, 6, shards);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

static enum err register_one(struct registry *registry, const struct id *account, int64_t number,
                             const struct id *device, const struct wire_registration *in,
                             uint64_t *added_bytes, struct errmsg *msg)
{
    struct signed_record record;
    struct wire_found known = {0};
    struct buf shards = BUF_INIT((size_t)WIRE_FOUND_SHARDS * SHARD_ROW_BYTES);
    struct buf before = BUF_INIT((size_t)WIRE_FOUND_SHARDS * SHARD_ROW_BYTES);
    enum err e = signed_record_open(in->record, registry->options.swarm, device, &record, msg);
    if (e == ERR_OK && !id_equal(&record.account, account))
        e = err_say(msg, ERR_DENIED, "a segment record is another account's");
    if (e == ERR_OK && (in->k == 0 || in->k + in->m > (int)LIMIT_SHARDS))
        e = err_say(msg, ERR_FORMAT, "a segment cannot have %u+%u shards", in->k, in->m);
    bool removed = false;
    if (e == ERR_OK)
        e = registry_is_removed(registry, &record.segment, &removed, msg);
    if (e == ERR_OK && removed)
        e = err_say(msg, ERR_DENIED, "a segment was deleted, its name is not used again");
    if (e == ERR_OK)
        e = read_segment(registry, number, &record.segment, &known, &shards, msg);
    if (e == ERR_OK &&
        (known.k != in->k || known.m != in->m || known.shard_bytes != in->shard_bytes))
        e = err_say(msg, ERR_DENIED, "a segment is known with another number or size of shards");
    if (e == ERR_NOT_FOUND)
        e = ERR_OK;
    if (e == ERR_OK)
        e = buf_append(&before, shards.data, shards.size);
    if (e == ERR_OK)
        e = take_receipts(registry, in, &record, &shards, added_bytes, msg);
    if (e == ERR_OK)
        e = registry_ledger_change(registry, number, in->shard_bytes, buf_slice(&before),
                                   buf_slice(&shards), msg);
    if (e == ERR_OK)
        e = write_segment(registry, number, in, &record.segment, buf_slice(&shards), msg);
    buf_free(&before);
    buf_free(&shards);
    return e;
}

enum err registry_register(struct registry *registry, const struct id *account,
                           const struct id *device, struct wire_list *segments, uint32_t *taken,
                           struct errmsg *msg)
{
    struct wire_registration segment;
    uint64_t added_bytes = 0;
    int64_t number;
    *taken = 0;
    enum err e = registry_account_number(registry, account, &number, msg);
    if (e == ERR_OK)
        e = db_begin(registry->db, msg);
    if (e != ERR_OK)
        return e;
    while (e == ERR_OK && wire_register_next(segments, &segment)) {
        e = register_one(registry, account, number, device, &segment, &added_bytes, msg);
        (*taken)++;
    }
    if (e == ERR_OK && !(PLANTED(LOST_REGISTRATION) && registry->list_number % 4 == 0))
        e = db_commit(registry->db, msg);
    else
        db_rollback(registry->db);
    if (e == ERR_OK)
        registry_ledger_kept(registry, account, added_bytes);
    else
        *taken = 0;
    return e;
}

/* The cells' numbers back to their IDs. */
static enum err shards_of(const struct registry *registry, struct slice rows, struct buf *out,
                          uint32_t *count)
{
    struct cursor c = cursor_over(rows);
    *count = 0;
    while (cursor_left(&c)) {
        struct wire_shard_at at = {0};
        uint32_t number;
        if (cursor_u8(&c, &at.index) || cursor_le32(&c, &number) || number == 0 ||
            number > registry->cell_count)
            return ERR_CORRUPT;
        at.cell = registry->cells[number - 1]->id;
        const enum err e = buf_append(out, &at, sizeof(at));
        if (e != ERR_OK)
            return e;
        (*count)++;
    }
    return ERR_OK;
}

struct find {
    struct wire_found found[WIRE_FIND_IDS];
    size_t begins[WIRE_FIND_IDS];
    size_t count;
    struct buf shards; /* struct wire_shard_at each */
};

static enum err find_one(struct registry *registry, int64_t account, const struct id *id,
                         uint32_t position, struct find *find, struct errmsg *msg)
{
    struct buf rows = BUF_INIT((size_t)WIRE_FOUND_SHARDS * SHARD_ROW_BYTES);
    struct wire_found *found = &find->found[find->count];
    *found = (struct wire_found){.position = position};
    enum err e = read_segment(registry, account, id, found, &rows, msg);
    if (e == ERR_OK) {
        find->begins[find->count] = find->shards.size;
        e = shards_of(registry, buf_slice(&rows), &find->shards, &found->shard_count);
        find->count++;
    }
    buf_free(&rows);
    return e == ERR_NOT_FOUND || e == ERR_DENIED ? ERR_OK : e;
}

enum err registry_find(struct registry *registry, const struct id *account, struct wire_list *ids,
                       struct buf *reply, struct errmsg *msg)
{
    int64_t number;
    struct id id;
    uint32_t position = 0;
    enum err e = registry_account_number(registry, account, &number, msg);
    if (e != ERR_OK)
        return e;
    struct find *find = calloc(1, sizeof(*find));
    if (!find)
        return err_say(msg, ERR_NOMEM, "out of memory for an answer");
    find->shards = BUF_INIT(WIRE_FOUND_BYTES);
    while (e == ERR_OK && wire_ids_next(ids, &id))
        e = find_one(registry, number, &id, position++, find, msg);
    for (size_t i = 0; i < find->count; i++)
        find->found[i].shards =
            (const struct wire_shard_at *)(const void *)(find->shards.data + find->begins[i]);
    if (e == ERR_OK)
        e = wire_found_encode(find->found, find->count, reply);
    buf_free(&find->shards);
    free(find);
    return e;
}
