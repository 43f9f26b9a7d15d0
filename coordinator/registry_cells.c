/*
 * Members: heartbeats, claims, states.
 */
#include "registry_internal.h"

#include "placement/placement.h"
#include "wire/wire_ids.h"

#include <stdio.h>
#include <stdlib.h>

struct registry_cell *registry_cell_find(const struct registry *registry, const struct id *id)
{
    return idmap_get(&registry->by_id, id);
}

enum wire_cell_state registry_cell_state(const struct registry *registry,
                                         const struct registry_cell *cell, int64_t now_s)
{
    const int64_t silent_ms = (now_s - cell->last_seen_s) * 1000;
    if (now_s > cell->away_until_s &&
        silent_ms - cell->unheard_s * 1000 > (int64_t)registry->options.gone_after_ms)
        return WIRE_CELL_GONE;
    if (cell->leaving)
        return WIRE_CELL_LEAVING;
    return silent_ms > (int64_t)registry->options.asleep_after_ms ? WIRE_CELL_ASLEEP : WIRE_CELL_UP;
}

uint16_t registry_weight(uint64_t give_bytes)
{
    const uint64_t gib = give_bytes >> 30;
    if (give_bytes == 0)
        return 0;
    return gib < 1 ? 1 : gib > PLACEMENT_WEIGHT_MAX ? PLACEMENT_WEIGHT_MAX : (uint16_t)gib;
}

enum err registry_cell_add(struct registry *registry, struct registry_cell **out)
{
    if (registry->cell_count == REGISTRY_CELLS_MAX)
        return ERR_TOO_LARGE;
    if (registry->cell_count == registry->cell_capacity) {
        const size_t capacity = registry->cell_capacity ? registry->cell_capacity * 2 : 64;
        struct registry_cell **cells = realloc(registry->cells, capacity * sizeof(*cells));
        if (!cells)
            return ERR_NOMEM;
        registry->cells = cells;
        registry->cell_capacity = capacity;
    }
    struct registry_cell *cell = calloc(1, sizeof(*cell));
    if (!cell)
        return ERR_NOMEM;
    cell->addresses = BUF_INIT(MEMBER_STATEMENT_BYTES_MAX);
    registry->cells[registry->cell_count++] = cell;
    cell->number = (uint32_t)registry->cell_count;
    cell->trust = REGISTRY_TRUST_MAX;
    *out = cell;
    return ERR_OK;
}

enum err registry_cell_take(struct registry_cell *cell, const struct member_statement *statement,
                            bool *changed)
{
    struct buf addresses = BUF_INIT(MEMBER_STATEMENT_BYTES_MAX);
    *changed = false;
    if (statement->sequence <= cell->sequence)
        return ERR_OK;
    const enum err e = address_list_encode(&statement->addresses, &addresses);
    if (e != ERR_OK)
        return e;
    *changed = !slice_equal(buf_slice(&addresses), buf_slice(&cell->addresses)) ||
               strcmp(cell->site, statement->site) != 0 ||
               registry_weight(cell->give_bytes) != registry_weight(statement->give_bytes);
    buf_free(&cell->addresses);
    cell->addresses = addresses;
    snprintf(cell->site, sizeof(cell->site), "%s", statement->site);
    cell->sequence = statement->sequence;
    cell->give_bytes = statement->give_bytes;
    return ERR_OK;
}

enum err registry_cell_write(struct registry *registry, const struct registry_cell *cell,
                             struct errmsg *msg)
{
    struct db_statement *s;
    enum err e =
        db_prepare(registry->db,
                   "INSERT OR REPLACE INTO cell (number, id, key, addresses, site, sequence,"
                   " give_bytes, household, leaving, last_seen_s, free_bytes, used_bytes,"
                   " shard_count, damaged_count, away_until_s, trust, proof_count, fault_count,"
                   " observed_s, up_s, lost, ungathered, unheard_s)"
                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15,"
                   " ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)",
                   &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, cell->number);
    db_bind_id(s, 2, &cell->id);
    db_bind_blob(s, 3, slice_of(cell->key, sizeof(cell->key)));
    db_bind_blob(s, 4, buf_slice(&cell->addresses));
    db_bind_text(s, 5, cell->site);
    db_bind_u64(s, 6, cell->sequence);
    db_bind_u64(s, 7, cell->give_bytes);
    db_bind_id(s, 8, cell->claimed ? &cell->household : NULL);
    db_bind_bool(s, 9, cell->leaving);
    db_bind_i64(s, 10, cell->last_seen_s);
    db_bind_u64(s, 11, cell->free_bytes);
    db_bind_u64(s, 12, cell->used_bytes);
    db_bind_u64(s, 13, cell->shard_count);
    db_bind_u64(s, 14, cell->damaged_count);
    db_bind_i64(s, 15, cell->away_until_s);
    db_bind_u64(s, 16, cell->trust);
    db_bind_u64(s, 17, cell->proof_count);
    db_bind_u64(s, 18, cell->fault_count);
    db_bind_u64(s, 19, cell->observed_s);
    db_bind_u64(s, 20, cell->up_s);
    db_bind_bool(s, 21, cell->lost);
    db_bind_bool(s, 22, cell->ungathered);
    db_bind_i64(s, 23, cell->unheard_s);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

/* What heartbeats change in a row that is there. */
static enum err write_heard(struct registry *registry, const struct registry_cell *cell,
                            struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db,
                            "UPDATE cell SET leaving = ?2, last_seen_s = ?3, free_bytes = ?4,"
                            " used_bytes = ?5, shard_count = ?6, damaged_count = ?7,"
                            " observed_s = ?8, up_s = ?9, lost = ?10, unheard_s = ?11"
                            " WHERE number = ?1",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, cell->number);
    db_bind_bool(s, 2, cell->leaving);
    db_bind_i64(s, 3, cell->last_seen_s);
    db_bind_u64(s, 4, cell->free_bytes);
    db_bind_u64(s, 5, cell->used_bytes);
    db_bind_u64(s, 6, cell->shard_count);
    db_bind_u64(s, 7, cell->damaged_count);
    db_bind_u64(s, 8, cell->observed_s);
    db_bind_u64(s, 9, cell->up_s);
    db_bind_bool(s, 10, cell->lost);
    db_bind_i64(s, 11, cell->unheard_s);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

static enum err read_cell(struct db_statement *s, struct registry_cell *cell)
{
    const struct slice key = db_column_blob(s, 2);
    const struct slice addresses = db_column_blob(s, 3);
    enum err e = db_column_id(s, 1, &cell->id);
    if (e != ERR_OK || key.size != sizeof(cell->key) || db_column_u64(s, 0) != cell->number)
        return ERR_CORRUPT;
    memcpy(cell->key, key.data, sizeof(cell->key));
    e = buf_append(&cell->addresses, addresses.data, addresses.size);
    snprintf(cell->site, sizeof(cell->site), "%s", db_column_text(s, 4));
    cell->sequence = db_column_u64(s, 5);
    cell->give_bytes = db_column_u64(s, 6);
    cell->claimed = !db_column_is_null(s, 7);
    if (e == ERR_OK && cell->claimed)
        e = db_column_id(s, 7, &cell->household);
    cell->leaving = db_column_bool(s, 8);
    cell->last_seen_s = db_column_i64(s, 9);
    cell->free_bytes = db_column_u64(s, 10);
    cell->used_bytes = db_column_u64(s, 11);
    cell->shard_count = db_column_u64(s, 12);
    cell->damaged_count = db_column_u64(s, 13);
    cell->away_until_s = db_column_i64(s, 14);
    cell->trust = (uint32_t)db_column_u64(s, 15);
    cell->proof_count = db_column_u64(s, 16);
    cell->fault_count = db_column_u64(s, 17);
    cell->observed_s = db_column_u64(s, 18);
    cell->up_s = db_column_u64(s, 19);
    cell->lost = db_column_bool(s, 20);
    cell->ungathered = db_column_bool(s, 21);
    cell->unheard_s = db_column_i64(s, 22);
    return e;
}

enum err registry_cells_load(struct registry *registry, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e =
        db_prepare(registry->db,
                   "SELECT number, id, key, addresses, site, sequence, give_bytes, household,"
                   " leaving, last_seen_s, free_bytes, used_bytes, shard_count,"
                   " damaged_count, away_until_s, trust, proof_count, fault_count, observed_s,"
                   " up_s, lost, ungathered, unheard_s FROM cell ORDER BY number",
                   &s, msg);
    if (e != ERR_OK)
        return e;
    while ((e = db_step(s, msg)) == ERR_OK) {
        struct registry_cell *cell;
        e = registry_cell_add(registry, &cell);
        if (e == ERR_OK)
            e = read_cell(s, cell);
        if (e == ERR_OK)
            e = idmap_set(&registry->by_id, &cell->id, cell);
        if (e == ERR_OK && cell->last_seen_s > registry->awake_s)
            registry->awake_s = cell->last_seen_s; /* so long ago we still listened */
        if (e != ERR_OK) {
            err_say(msg, e, "a cell's row in the registry cannot be read");
            break;
        }
    }
    db_done(s);
    registry_households_changed(registry);
    return e == ERR_END ? ERR_OK : e;
}

enum err registry_heartbeat(struct registry *registry, const struct id *id,
                            const struct wire_heartbeat *beat, int64_t now_s, struct errmsg *msg)
{
    struct registry_cell *cell = registry_cell_find(registry, id);
    if (!cell)
        return err_say(msg, ERR_NOT_FOUND, "this cell is no member: it needs an invite");
    if (beat->statement.size) {
        struct member_statement statement;
        bool changed;
        enum err e =
            member_statement_open(beat->statement, registry->options.swarm, id, &statement, msg);
        if (e == ERR_OK)
            e = registry_cell_take(cell, &statement, &changed);
        if (e != ERR_OK)
            return err_wrap(msg, e, "the member statement");
        registry->list_stale |= changed;
        cell->unwritten = true;
    }
    /* who comes back from being gone may get shards again */
    registry->list_stale |= registry_cell_state(registry, cell, now_s) == WIRE_CELL_GONE;
    registry->list_stale |= cell->leaving != beat->leaving;
    registry_watch_beat(registry, cell, beat, now_s);
    cell->uninformed = false;
    cell->gather_after_s = 0; /* it is there: now it can be asked */
    cell->news |= cell->leaving != beat->leaving || cell->shard_count != beat->shard_count ||
                  cell->damaged_count != beat->damaged_count;
    cell->leaving = beat->leaving;
    cell->last_seen_s = now_s;
    cell->unheard_s = 0;
    if (cell->free_bytes < LIMIT_SHARD_BYTES && beat->free_bytes >= LIMIT_SHARD_BYTES)
        registry_look_again(registry);
    cell->free_bytes = beat->free_bytes;
    registry_trust_used(registry, cell, beat->used_bytes);
    if (beat->shard_count + beat->damaged_count < cell->held - cell->held / 8)
        registry->suspect = cell->number;
    cell->shard_count = beat->shard_count;
    cell->damaged_count = beat->damaged_count;
    cell->heard = true;
    return ERR_OK;
}

static enum err write_cells(struct registry *registry, bool all, struct errmsg *msg)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < registry->cell_count && e == ERR_OK; i++) {
        struct registry_cell *cell = registry->cells[i];
        if (!cell->unwritten && !cell->news && !(all && cell->heard))
            continue;
        if (!db_in_transaction(registry->db))
            e = db_begin(registry->db, msg);
        if (e == ERR_OK)
            e = cell->unwritten ? registry_cell_write(registry, cell, msg)
                                : write_heard(registry, cell, msg);
        cell->unwritten = cell->news = cell->heard = false;
    }
    return e;
}

static enum err flush(struct registry *registry, bool all, struct errmsg *msg)
{
    enum err e = write_cells(registry, all, msg);
    const bool more =
        registry->promises_changed || registry->watch_changed || (all && registry->watch_heard);
    if (e == ERR_OK && more && !db_in_transaction(registry->db))
        e = db_begin(registry->db, msg);
    if (e == ERR_OK && more)
        e = registry_ledger_flush(registry, msg);
    if (e == ERR_OK && more)
        e = registry_watch_flush(registry, msg);
    if (e == ERR_OK && db_in_transaction(registry->db))
        e = db_commit(registry->db, msg);
    if (e != ERR_OK)
        db_rollback(registry->db);
    if (e == ERR_OK && all)
        registry->heard_written_s = registry->awake_s;
    return e;
}

enum err registry_flush(struct registry *registry, struct errmsg *msg)
{
    return flush(registry, true, msg);
}

enum err registry_flush_news(struct registry *registry, struct errmsg *msg)
{
    const int64_t rest_s = (int64_t)(registry->options.asleep_after_ms / 4000);
    const int64_t since_s = registry->awake_s - registry->heard_written_s;
    return flush(registry, since_s < 0 || since_s >= rest_s, msg);
}

/* --- how they are --- */

static void fill_cell(const struct registry *registry, const struct registry_cell *cell,
                      int64_t now_s, struct wire_cell *out)
{
    *out = (struct wire_cell){
        .id = cell->id,
        .state = registry_cell_state(registry, cell, now_s),
        .last_seen_s = cell->last_seen_s,
        .free_bytes = cell->free_bytes,
        .used_bytes = cell->used_bytes,
    };
    registry_watch_read(registry, cell, now_s, &out->observed_s, &out->up_s);
}

static uint64_t count_up(const struct registry *registry, int64_t now_s)
{
    uint64_t count = 0;
    for (size_t i = 0; i < registry->cell_count; i++)
        count += registry_cell_state(registry, registry->cells[i], now_s) == WIRE_CELL_UP;
    return count;
}

enum err registry_cells(struct registry *registry, struct wire_list *asked, int64_t now_s,
                        struct buf *reply, struct errmsg *msg)
{
    const size_t room = asked ? WIRE_CELLS_ASKED : registry->cell_count + 1;
    struct wire_cell *cells = calloc(room, sizeof(*cells));
    struct id id;
    size_t count = 0;
    if (!cells)
        return err_say(msg, ERR_NOMEM, "out of memory for the list of cells");
    for (size_t i = 0; !asked && i < registry->cell_count; i++)
        fill_cell(registry, registry->cells[i], now_s, &cells[count++]);
    while (asked && count < room && wire_ids_next(asked, &id)) {
        const struct registry_cell *cell = registry_cell_find(registry, &id);
        if (cell)
            fill_cell(registry, cell, now_s, &cells[count++]);
    }
    const struct wire_cells swarm = {
        .time_s = now_s,
        .list_number = registry_list_number(registry),
        .exposure_s = registry->exposure_s,
        .loss_count = registry->loss_count,
        .gone_after_s = registry->options.gone_after_ms / 1000,
        .repair_percent = registry->options.repair_percent,
        .some = asked != NULL,
        .up_count = asked ? count_up(registry, now_s) : 0,
    };
    const enum err e = wire_cells_encode(&swarm, cells, count, reply);
    free(cells);
    return e;
}

/* --- claims --- */

enum err registry_claim(struct registry *registry, const struct id *id, const struct id *account,
                        bool released, struct slice doc, struct errmsg *msg)
{
    struct registry_cell *cell = registry_cell_find(registry, id);
    if (!cell)
        return err_say(msg, ERR_NOT_FOUND, "the claimed cell is no member of this swarm");
    if (cell->claimed && !id_equal(&cell->household, account))
        return err_say(msg, ERR_DENIED, "the cell belongs to another account already");
    const struct registry_cell before = *cell;
    struct db_statement *s = NULL;
    enum err e = db_begin(registry->db, msg);
    if (e != ERR_OK)
        return e;
    cell->claimed = !released;
    cell->household = *account;
    e = registry_cell_write(registry, cell, msg);
    if (e == ERR_OK)
        e = db_prepare(registry->db, "INSERT OR REPLACE INTO claim (cell, doc) VALUES (?1, ?2)", &s,
                       msg);
    if (e == ERR_OK) {
        db_bind_id(s, 1, id);
        db_bind_blob(s, 2, doc);
        e = db_run(s, msg);
    }
    db_done(s);
    if (e == ERR_OK)
        e = db_commit(registry->db, msg);
    if (e != ERR_OK) {
        db_rollback(registry->db);
        *cell = before;
        return e;
    }
    registry_households_changed(registry);
    registry_look_again(registry);
    registry->list_stale = true;
    return ERR_OK;
}
