/*
 * The repair queue: which segments have lost too much, most urgent first, and who is at it.
 *
 *                 sweep, damage, proof
 *                        |
 *                        v   take: a ticket with a lease
 *      WAITING <----- READY ------------------------> LEASED --done--> gone, or READY again
 *      LOST   (no target, no k)  <----lease over, failed---'
 *      INCONSISTENT  two repairers have said so
 *
 * Happy path: a cell is gone; the tick sees that its state has changed and sweeps the directory, a
 * slice at a time; segments below their threshold go into the queue; whoever asks gets a ticket for
 * the one with the smallest margin; receipts of the targets replace the lost places in the row.
 *
 * Why a sweep and no table of "what does this cell hold": such a table has a row a shard, 120
 * million for 10 million segments, and costs k + m scattered writes for every registration; a sweep
 * costs some seconds when a cell is gone, days after it was last seen. What cells report about
 * single shards needs no sweep.
 */
#include "registry_queue.h"

#include "base/planted.h"

enum {
    SWEEP_ROWS = 4096,      /* a slice: some 10 ms */
    SWEEP_PERIOD_S = 86400, /* also without a reason */
    SWEEP_DRAIN_S = 1800,   /* while somebody leaves, for what was registered meanwhile */
    OFFERS_MAX = 1000,      /* cells told of work in one period */
    PACE_S = 600,
};

enum registry_hold registry_hold(const struct registry *registry, const struct registry_cell *cell,
                                 int64_t now_s)
{
    switch (registry_cell_state(registry, cell, now_s)) {
    case WIRE_CELL_GONE:
        return REGISTRY_LOST;
    case WIRE_CELL_LEAVING:
        return REGISTRY_MOVES;
    default:
        if (PLANTED(REPAIR_STORM) && registry_cell_state(registry, cell, now_s) == WIRE_CELL_ASLEEP)
            return REGISTRY_LOST;
        return cell->trust < REGISTRY_TRUST_KEEP ? REGISTRY_MOVES : REGISTRY_HOLDS;
    }
}

static bool is_awake(const struct registry *registry, const struct registry_cell *cell,
                     int64_t now_s)
{
    return (now_s - cell->last_seen_s) * 1000 <= (int64_t)registry->options.asleep_after_ms;
}

static void look_at_places(const struct registry *registry, const struct registry_segment *segment,
                           int64_t now_s, struct registry_need *need, bool settled[LIMIT_SHARDS])
{
    for (size_t i = 0; i < segment->count; i++) {
        const struct registry_place *place = &segment->places[i];
        const enum registry_hold hold = registry_hold(registry, place->cell, now_s);
        if (place->damaged || hold == REGISTRY_LOST || place->index >= segment->k + segment->m)
            continue;
        if (!need->holders[place->index] || hold == REGISTRY_HOLDS)
            need->holders[place->index] = place->cell;
        settled[place->index] |= hold == REGISTRY_HOLDS;
        if (is_awake(registry, place->cell, now_s))
            need->sources[place->index] = place->cell;
    }
}

void registry_need_find(const struct registry *registry, const struct registry_segment *segment,
                        int64_t now_s, struct registry_need *need)
{
    bool settled[LIMIT_SHARDS] = {false};
    const unsigned n = (unsigned)segment->k + segment->m;
    *need = (struct registry_need){0};
    look_at_places(registry, segment, now_s, need, settled);
    for (unsigned i = 0; i < n; i++) {
        need->alive += need->holders[i] != NULL;
        need->reachable += need->sources[i] != NULL;
        if (!need->holders[i])
            need->missing[need->missing_count++] = (uint8_t)i;
    }
    for (unsigned i = 0; i < n; i++) {
        if (need->holders[i] && !settled[i]) {
            need->missing[need->missing_count++] = (uint8_t)i;
            need->moving = true;
        }
    }
}

bool registry_need_is_due(const struct registry *registry, const struct registry_segment *segment,
                          const struct registry_need *need)
{
    const int margin = (int)need->alive - segment->k;
    return need->missing_count > 0 &&
           (need->moving || margin * 100 < (int)(segment->m * registry->options.repair_percent));
}

/* --- rows of the queue --- */

enum err registry_queue_run(struct registry *registry, const char *sql, const struct id *segment,
                            int64_t second, int64_t third, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db, sql, &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    db_bind_i64(s, 2, second);
    db_bind_i64(s, 3, third);
    e = db_run(s, msg);
    db_done(s);
    registry->repairs_changed = true;
    return e;
}

enum err registry_queue_forget(struct registry *registry, const struct id *segment,
                               struct errmsg *msg)
{
    return registry_queue_run(registry, "DELETE FROM repair WHERE segment = ?1 AND ?2 = ?3",
                              segment, 0, 0, msg);
}

enum err registry_queue_set(struct registry *registry, const struct id *segment,
                            enum registry_repair_state state, int64_t due_s, struct errmsg *msg)
{
    return registry_queue_run(registry,
                              "UPDATE repair SET state = ?2, due_s = ?3, repairer = NULL,"
                              " ticket = NULL, targets = NULL WHERE segment = ?1",
                              segment, state, due_s, msg);
}

/* A lease, a pause and what is inconsistent stay as they are. */
static enum err want(struct registry *registry, const struct id *segment, int margin, bool lost,
                     int64_t due_s, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(
        registry->db,
        "INSERT INTO repair (segment, margin, state, due_s, sweep) VALUES (?1, ?2, ?3, ?5, ?4)"
        " ON CONFLICT (segment) DO UPDATE SET margin = ?2, sweep = ?4,"
        " due_s = CASE WHEN ?2 < margin THEN min(due_s, ?5) ELSE due_s END,"
        " state = CASE WHEN state IN (2, 5) THEN state ELSE ?3 END",
        &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    db_bind_i64(s, 2, margin);
    db_bind_u64(s, 3, lost ? REPAIR_LOST : REPAIR_READY);
    db_bind_i64(s, 4, registry->sweep_number);
    db_bind_i64(s, 5, due_s);
    e = db_run(s, msg);
    db_done(s);
    registry->repairs_changed = true;
    return e;
}

static enum err judge(struct registry *registry, const struct registry_segment *segment,
                      int64_t now_s, bool *wanted, struct errmsg *msg)
{
    struct registry_need need;
    registry_need_find(registry, segment, now_s, &need);
    *wanted = registry_need_is_due(registry, segment, &need);
    if (!*wanted)
        return ERR_OK;
    const int margin = (int)need.alive - segment->k;
    const int64_t delay_s = (int64_t)registry->options.repair_delay_s;
    /* who leaves is not kept waiting */
    const int64_t due_s = margin > 0 && !need.moving && delay_s ? now_s + delay_s : 0;
    return want(registry, &segment->id, margin, margin < 0, due_s, msg);
}

enum err registry_repair_judge(struct registry *registry, const struct id *id, int64_t now_s,
                               struct errmsg *msg)
{
    struct registry_segment segment;
    bool wanted;
    enum err e = registry_segment_get(registry, id, &segment, msg);
    if (e == ERR_OK)
        e = judge(registry, &segment, now_s, &wanted, msg);
    return e != ERR_OK || wanted ? e : registry_queue_forget(registry, id, msg);
}

static enum err count_repairs(struct registry *registry, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e =
        db_prepare(registry->db, "SELECT state, count(*) FROM repair GROUP BY state", &s, msg);
    if (e != ERR_OK)
        return e;
    memset(registry->repairs, 0, sizeof(registry->repairs));
    while ((e = db_step(s, msg)) == ERR_OK) {
        const uint64_t state = db_column_u64(s, 0);
        if (state < REPAIR_STATE_COUNT)
            registry->repairs[state] = db_column_u64(s, 1);
    }
    db_done(s);
    registry->repairs_changed = e != ERR_END;
    return e == ERR_END ? ERR_OK : e;
}

enum err registry_repair_load(struct registry *registry, struct errmsg *msg)
{
    int64_t rows;
    enum err e = db_number(registry->db, "SELECT count(*) FROM damage", &rows, msg);
    if (e == ERR_OK)
        registry->damage_rows = (uint64_t)rows;
    if (e == ERR_OK)
        e = db_number(registry->db, "SELECT coalesce(max(sweep), 0) FROM repair", &rows, msg);
    if (e == ERR_OK)
        registry->sweep_number = rows;
    if (e == ERR_OK)
        e = db_number(registry->db, "SELECT count(*) FROM removal_order WHERE segment IS NOT NULL",
                      &rows, msg);
    if (e == ERR_OK)
        registry->moved_orders = (uint64_t)rows;
    return e == ERR_OK ? count_repairs(registry, msg) : e;
}

/* --- the sweep --- */

/* Has some cell begun or ceased to count, or is a new one here that what waits could go to? */
static bool cells_changed(struct registry *registry, int64_t now_s)
{
    bool changed = false, drains = false;
    for (size_t i = 0; i < registry->cell_count; i++) {
        const struct registry_cell *cell = registry->cells[i];
        const enum registry_hold hold = registry_hold(registry, cell, now_s);
        changed |= hold != cell->swept_as || (registry->repairs[REPAIR_WAITING] > 0 &&
                                              cell->swept_awake != is_awake(registry, cell, now_s));
        registry->list_stale |= hold != cell->swept_as && cell->swept_as != 0;
        drains |= hold == REGISTRY_MOVES && cell->held > 0;
    }
    const int64_t passed_s = now_s - registry->swept_s;
    /* a cell may have been asleep just when its place was looked for */
    if (registry->repairs[REPAIR_WAITING] > 0 && passed_s > (int64_t)registry->options.lease_s)
        return true;
    return changed || passed_s > SWEEP_PERIOD_S || passed_s < 0 ||
           (drains && registry->repairs[REPAIR_READY] + registry->repairs[REPAIR_LEASED] == 0 &&
            passed_s > SWEEP_DRAIN_S);
}

static enum err begin_sweep(struct registry *registry, int64_t now_s, struct errmsg *msg)
{
    registry->sweeping = true;
    registry->sweep_number++;
    memset(&registry->sweep_at, 0, sizeof(registry->sweep_at));
    registry->swept_s = now_s;
    registry->sample_state = random_u64(registry->options.random);
    for (size_t i = 0; i < registry->cell_count; i++) {
        registry->cells[i]->swept_as = registry_hold(registry, registry->cells[i], now_s);
        registry->cells[i]->swept_awake = is_awake(registry, registry->cells[i], now_s);
        registry->cells[i]->held_next = 0;
        registry->cells[i]->sample_count = registry->cells[i]->sample_seen = 0;
    }
    return registry_leases_over(registry, now_s, msg);
}

/* What the sweep did not meet needs nothing any more. */
static enum err end_sweep(struct registry *registry, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db,
                            "DELETE FROM repair WHERE sweep < ?1 AND state IN (1, 3, 4)", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_i64(s, 1, registry->sweep_number);
    e = db_run(s, msg);
    db_done(s);
    registry->sweeping = false;
    registry->swept = true;
    registry->repairs_changed = true;
    for (size_t i = 0; i < registry->cell_count; i++)
        registry->cells[i]->held = registry->cells[i]->held_next;
    return e;
}

/* Those of accounts whose lease is over go to `over`, id and le64 account each. */
static enum err sweep_rows(struct registry *registry, int64_t now_s, size_t *rows, struct buf *over,
                           struct errmsg *msg)
{
    struct db_statement *s;
    struct registry_segment segment;
    bool wanted;
    enum err e = db_prepare(registry->db,
                            "SELECT " REGISTRY_SEGMENT_COLUMNS
                            " FROM segment WHERE id > ?1 ORDER BY id LIMIT ?2",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, &registry->sweep_at);
    db_bind_u64(s, 2, SWEEP_ROWS);
    for (*rows = 0; (e = db_step(s, msg)) == ERR_OK; (*rows)++) {
        e = registry_segment_read(registry, s, &segment, msg);
        registry->sweep_at = segment.id;
        if (e == ERR_OK && registry_lease_is_over(registry, segment.account)) {
            e = buf_append(over, segment.id.bytes, ID_SIZE);
            if (e == ERR_OK)
                e = buf_append_le64(over, (uint64_t)segment.account);
            if (e == ERR_OK)
                continue;
        }
        if (e == ERR_OK)
            e = judge(registry, &segment, now_s, &wanted, msg);
        if (e != ERR_OK)
            break;
        for (size_t i = 0; i < segment.count; i++) {
            segment.places[i].cell->held_next++;
            registry_sample(registry, segment.places[i].cell, &segment.id);
        }
    }
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

static enum err let_go(struct registry *registry, struct slice over, int64_t now_s,
                       struct errmsg *msg)
{
    enum { ROW = ID_SIZE + 8 };
    enum err e = ERR_OK;
    for (size_t at = 0; at < over.size && e == ERR_OK; at += ROW) {
        struct id segment;
        memcpy(segment.bytes, over.data + at, ID_SIZE);
        e = registry_lease_remove(registry, (int64_t)get_le64(over.data + at + ID_SIZE), &segment,
                                  now_s, msg);
    }
    return e;
}

static enum err sweep_slice(struct registry *registry, int64_t now_s, struct errmsg *msg)
{
    struct buf over = BUF_INIT((size_t)SWEEP_ROWS * (ID_SIZE + 8));
    size_t rows = 0;
    enum err e = db_begin(registry->db, msg);
    if (e != ERR_OK)
        return e;
    e = sweep_rows(registry, now_s, &rows, &over, msg);
    if (e == ERR_OK)
        e = let_go(registry, buf_slice(&over), now_s, msg);
    buf_free(&over);
    if (e == ERR_OK && rows < SWEEP_ROWS)
        e = end_sweep(registry, msg);
    if (e == ERR_OK && rows < SWEEP_ROWS)
        e = registry_moved_expire(registry, now_s, msg);
    if (e == ERR_OK && rows < SWEEP_ROWS)
        e = registry_lease_announce(registry, now_s, msg);
    if (e == ERR_OK)
        e = db_commit(registry->db, msg);
    if (e != ERR_OK) { /* from the beginning, with the next tick */
        db_rollback(registry->db);
        registry->sweeping = false;
        registry->swept_s = 0;
    }
    return e;
}

/* --- leases --- */

enum err registry_queue_give_back(struct registry *registry, const struct id *repairer,
                                  int64_t now_s, struct errmsg *msg)
{
    struct db_statement *s;
    if (registry->repairs[REPAIR_LEASED] == 0 && !registry->repairs_changed)
        return ERR_OK;
    enum err e = db_prepare(registry->db,
                            "UPDATE repair SET state = 1, repairer = NULL, ticket = NULL,"
                            " targets = NULL, tries = tries + 1"
                            " WHERE state = 2 AND (lease_s < ?2 OR repairer = ?1)",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, repairer);
    db_bind_i64(s, 2, now_s);
    e = db_run(s, msg);
    db_done(s);
    registry->repairs_changed |= db_changes(registry->db) > 0;
    return e;
}

/* For the forecast: how many a second, a mean of the last PACE_S or since there is work. */
static void keep_pace(struct registry *registry, int64_t now_s)
{
    const int64_t passed_s = now_s - registry->pace_s;
    const double done = (double)(registry->repaired_count - registry->pace_count);
    if (passed_s == 0)
        return;
    registry->pace_s = now_s;
    registry->pace_count = registry->repaired_count;
    if (registry->repairs[REPAIR_READY] + registry->repairs[REPAIR_LEASED] == 0) {
        registry->busy_s = 0;
        registry->pace = 0;
    } else if (registry->busy_s == 0 || now_s <= registry->busy_s) {
        registry->busy_s = now_s;
    } else {
        const int64_t busy_s = now_s - registry->busy_s;
        const double span = (double)(busy_s < PACE_S ? busy_s : PACE_S);
        registry->pace += (done - registry->pace * (double)passed_s) / span;
    }
}

enum err registry_tick(struct registry *registry, int64_t now_s, bool *busy, struct errmsg *msg)
{
    static const struct id nobody;
    enum err e = ERR_OK;
    registry_watch_tick(registry, now_s);
    if (!registry->sweeping && cells_changed(registry, now_s))
        e = begin_sweep(registry, now_s, msg);
    if (e == ERR_OK)
        e = registry->sweeping ? sweep_slice(registry, now_s, msg) : ERR_OK;
    *busy = registry->sweeping;
    if (e == ERR_OK)
        e = registry_queue_give_back(registry, &nobody, now_s, msg);
    if (e == ERR_OK && registry->repairs_changed)
        e = count_repairs(registry, msg);
    registry->offers =
        registry->repairs[REPAIR_READY] < OFFERS_MAX ? registry->repairs[REPAIR_READY] : OFFERS_MAX;
    registry_audit_tick(registry, now_s);
    registry_trust_tick(registry, now_s);
    keep_pace(registry, now_s);
    return e == ERR_OK ? registry_ledger_tick(registry, now_s, msg) : e;
}
