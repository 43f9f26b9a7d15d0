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
#include "registry_internal.h"

#include "identity/receipt.h"
#include "wire/wire_repair.h"

#include <stdlib.h>

enum {
    SWEEP_ROWS = 4096,      /* a slice: some 10 ms */
    SWEEP_PERIOD_S = 86400, /* also without a reason */
    SWEEP_DRAIN_S = 1800,   /* while somebody leaves, for what was registered meanwhile */
    TAKE_TRIES = 32,        /* rows looked at for one ticket */
    RETRY_S = 300,          /* after a failure; doubles with each one, up to */
    RETRY_MAX_S = 6 * 3600,
    NO_SOURCES_S = 900, /* fewer than k sources are awake just now */
    PROOF_LOT = 4, /* one of so many heartbeats: or the first one of every round would do it all */
    OFFERS_MAX = 1000, /* cells told of work in one period */
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
        return cell->trust < REGISTRY_TRUST_KEEP ? REGISTRY_MOVES : REGISTRY_HOLDS;
    }
}

/* --- what a segment needs --- */

struct need {
    unsigned alive, reachable; /* shards that are somewhere; on cells that are awake */
    bool moving;               /* some are only on cells whose shards are to go */
    struct registry_cell *sources[LIMIT_SHARDS]; /* awake; NULL: none */
    struct registry_cell *holders[LIMIT_SHARDS]; /* of what is somewhere; NULL: lost */
    uint8_t missing[LIMIT_SHARDS];               /* to be made: the lost ones first */
    size_t missing_count;
};

static bool is_awake(const struct registry *registry, const struct registry_cell *cell,
                     int64_t now_s)
{
    return (now_s - cell->last_seen_s) * 1000 <= (int64_t)registry->options.asleep_after_ms;
}

static void look_at_places(const struct registry *registry, const struct registry_segment *segment,
                           int64_t now_s, struct need *need, bool settled[LIMIT_SHARDS])
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

static void find_need(const struct registry *registry, const struct registry_segment *segment,
                      int64_t now_s, struct need *need)
{
    bool settled[LIMIT_SHARDS] = {false};
    const unsigned n = (unsigned)segment->k + segment->m;
    *need = (struct need){0};
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

static bool is_due(const struct registry *registry, const struct registry_segment *segment,
                   const struct need *need)
{
    const int margin = (int)need->alive - segment->k;
    return need->missing_count > 0 &&
           (need->moving || margin * 100 < (int)(segment->m * registry->options.repair_percent));
}

/* --- rows of the queue --- */

static enum err run_on_segment(struct registry *registry, const char *sql, const struct id *segment,
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

static enum err forget(struct registry *registry, const struct id *segment, struct errmsg *msg)
{
    return run_on_segment(registry, "DELETE FROM repair WHERE segment = ?1 AND ?2 = ?3", segment, 0,
                          0, msg);
}

static enum err set_state(struct registry *registry, const struct id *segment,
                          enum registry_repair_state state, int64_t due_s, struct errmsg *msg)
{
    return run_on_segment(registry,
                          "UPDATE repair SET state = ?2, due_s = ?3, repairer = NULL,"
                          " ticket = NULL, targets = NULL WHERE segment = ?1",
                          segment, state, due_s, msg);
}

/* A lease, a pause and what is inconsistent stay as they are. */
static enum err want(struct registry *registry, const struct id *segment, int margin, bool lost,
                     struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(
        registry->db,
        "INSERT INTO repair (segment, margin, state, due_s, sweep) VALUES (?1, ?2, ?3, 0, ?4)"
        " ON CONFLICT (segment) DO UPDATE SET margin = ?2, sweep = ?4,"
        " state = CASE WHEN state IN (2, 5) THEN state ELSE ?3 END",
        &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    db_bind_i64(s, 2, margin);
    db_bind_u64(s, 3, lost ? REPAIR_LOST : REPAIR_READY);
    db_bind_i64(s, 4, registry->sweep_number);
    e = db_run(s, msg);
    db_done(s);
    registry->repairs_changed = true;
    return e;
}

static enum err judge(struct registry *registry, const struct registry_segment *segment,
                      int64_t now_s, bool *wanted, struct errmsg *msg)
{
    struct need need;
    find_need(registry, segment, now_s, &need);
    *wanted = is_due(registry, segment, &need);
    if (!*wanted)
        return ERR_OK;
    return want(registry, &segment->id, (int)need.alive - segment->k, need.alive < segment->k, msg);
}

enum err registry_repair_judge(struct registry *registry, const struct id *id, int64_t now_s,
                               struct errmsg *msg)
{
    struct registry_segment segment;
    bool wanted;
    enum err e = registry_segment_get(registry, id, &segment, msg);
    if (e == ERR_OK)
        e = judge(registry, &segment, now_s, &wanted, msg);
    return e != ERR_OK || wanted ? e : forget(registry, id, msg);
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
    return changed || passed_s > SWEEP_PERIOD_S || passed_s < 0 ||
           (drains && registry->repairs[REPAIR_READY] + registry->repairs[REPAIR_LEASED] == 0 &&
            passed_s > SWEEP_DRAIN_S);
}

static void begin_sweep(struct registry *registry, int64_t now_s)
{
    registry->sweeping = true;
    registry->sweep_number++;
    memset(&registry->sweep_at, 0, sizeof(registry->sweep_at));
    registry->swept_s = now_s;
    for (size_t i = 0; i < registry->cell_count; i++) {
        registry->cells[i]->swept_as = registry_hold(registry, registry->cells[i], now_s);
        registry->cells[i]->swept_awake = is_awake(registry, registry->cells[i], now_s);
        registry->cells[i]->held_next = 0;
    }
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

static enum err sweep_rows(struct registry *registry, int64_t now_s, size_t *rows,
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
        if (e == ERR_OK)
            e = judge(registry, &segment, now_s, &wanted, msg);
        if (e != ERR_OK)
            break;
        for (size_t i = 0; i < segment.count; i++)
            segment.places[i].cell->held_next++;
        registry->sweep_at = segment.id;
    }
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

static enum err sweep_slice(struct registry *registry, int64_t now_s, struct errmsg *msg)
{
    size_t rows = 0;
    enum err e = db_begin(registry->db, msg);
    if (e != ERR_OK)
        return e;
    e = sweep_rows(registry, now_s, &rows, msg);
    if (e == ERR_OK && rows < SWEEP_ROWS)
        e = end_sweep(registry, msg);
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

static enum err give_back(struct registry *registry, const struct id *repairer, int64_t now_s,
                          struct errmsg *msg)
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

enum err registry_tick(struct registry *registry, int64_t now_s, bool *busy, struct errmsg *msg)
{
    static const struct id nobody;
    if (!registry->sweeping && cells_changed(registry, now_s))
        begin_sweep(registry, now_s);
    enum err e = registry->sweeping ? sweep_slice(registry, now_s, msg) : ERR_OK;
    *busy = registry->sweeping;
    if (e == ERR_OK)
        e = give_back(registry, &nobody, now_s, msg);
    if (e == ERR_OK && registry->repairs_changed)
        e = count_repairs(registry, msg);
    registry->offers =
        registry->repairs[REPAIR_READY] < OFFERS_MAX ? registry->repairs[REPAIR_READY] : OFFERS_MAX;
    registry_audit_tick(registry, now_s);
    return e;
}

unsigned registry_work(struct registry *registry, const struct id *id, int64_t now_s, bool *drained)
{
    struct registry_cell *cell = registry_cell_find(registry, id);
    unsigned work = 0;
    *drained = cell && cell->leaving && cell->swept_as == REGISTRY_MOVES && !registry->sweeping &&
               cell->held == 0;
    if (!cell || cell->leaving || !registry_trusted(cell) ||
        registry_cell_state(registry, cell, now_s) != WIRE_CELL_UP)
        return 0;
    if (registry->offers > 0) {
        registry->offers--;
        work |= WIRE_WORK_REPAIR;
    }
    if (registry->options.proof_period_ms &&
        registry->audit_credit_ms >= registry->options.proof_period_ms &&
        random_below(registry->options.random, PROOF_LOT) == 0)
        work |= WIRE_WORK_PROOF;
    return work;
}

/* --- tickets --- */

static size_t put_places(struct ticket_place *out, struct registry_cell *const *cells, size_t count,
                         const uint8_t *indexes)
{
    size_t placed = 0;
    for (unsigned index = 0; index < LIMIT_SHARDS; index++)
        for (size_t i = 0; i < count; i++)
            if (cells[i] && (indexes ? indexes[i] : i) == index)
                out[placed++] =
                    (struct ticket_place){.index = (uint8_t)index, .cell = cells[i]->id};
    return placed;
}

/* What of the ticket must be known when its report comes. */
static enum err lease(struct registry *registry, const struct ticket *ticket, struct errmsg *msg)
{
    uint8_t targets[LIMIT_SHARDS * SHARD_ROW_BYTES];
    size_t size = 0;
    struct db_statement *s;
    enum err e = db_prepare(registry->db,
                            "UPDATE repair SET state = 2, repairer = ?2, ticket = ?3, targets = ?4,"
                            " lease_s = ?5 WHERE segment = ?1",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    for (size_t i = 0; i < ticket->target_count; i++) {
        targets[size] = ticket->targets[i].index;
        put_le32(targets + size + 1,
                 registry_cell_find(registry, &ticket->targets[i].cell)->number);
        size += SHARD_ROW_BYTES;
    }
    db_bind_id(s, 1, &ticket->segment);
    db_bind_id(s, 2, &ticket->repairer);
    db_bind_blob(s, 3, slice_of(ticket->id, sizeof(ticket->id)));
    db_bind_blob(s, 4, slice_of(targets, size));
    db_bind_i64(s, 5, ticket->expires_s);
    e = db_run(s, msg);
    db_done(s);
    registry->repairs_changed = true;
    return e;
}

static enum err make_ticket(struct registry *registry, const struct registry_segment *segment,
                            const struct need *need, struct registry_cell *const *targets,
                            const struct id *repairer, int64_t now_s, struct buf *out,
                            struct errmsg *msg)
{
    struct ticket *ticket = calloc(1, sizeof(*ticket));
    if (!ticket)
        return err_say(msg, ERR_NOMEM, "out of memory for a ticket");
    ticket->incarnation = registry->options.incarnation;
    ticket->repairer = *repairer;
    ticket->segment = segment->id;
    ticket->list_number = registry->list_number;
    ticket->bytes_max = 2 * (uint64_t)segment->shard_bytes + LIMIT_LEAF_BYTES;
    ticket->expires_s = now_s + (int64_t)registry->options.lease_s;
    ticket->source_count = put_places(ticket->sources, need->sources, LIMIT_SHARDS, NULL);
    ticket->target_count = put_places(ticket->targets, targets, need->missing_count, need->missing);
    random_fill(registry->options.random, ticket->id, sizeof(ticket->id));
    enum err e = registry_account_id(registry, segment->account, &ticket->account, msg);
    if (e == ERR_OK) {
        e = ticket_make(ticket, registry->options.swarm, registry->options.key, out);
        if (e != ERR_OK)
            err_say(msg, e, "a ticket cannot be signed");
    }
    if (e == ERR_OK)
        e = lease(registry, ticket, msg);
    free(ticket);
    return e;
}

/* A ticket for this segment, or what is in the way is written down: then NOT_FOUND. */
static enum err take_one(struct registry *registry, const struct id *id, const struct id *repairer,
                         int64_t now_s, struct buf *out, struct errmsg *msg)
{
    struct registry_segment segment;
    struct registry_cell *targets[LIMIT_SHARDS];
    struct need need;
    size_t placed;
    enum err e = registry_segment_get(registry, id, &segment, msg);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? forget(registry, id, msg) : e;
    find_need(registry, &segment, now_s, &need);
    if (!is_due(registry, &segment, &need))
        e = forget(registry, id, msg);
    else if (need.alive < segment.k)
        e = set_state(registry, id, REPAIR_LOST, 0, msg);
    else if (need.reachable < segment.k)
        e = set_state(registry, id, REPAIR_READY, now_s + NO_SOURCES_S, msg);
    else {
        e = registry_targets(registry, &segment, need.holders, need.missing, need.missing_count,
                             now_s, targets, &placed, msg);
        if (e == ERR_OK && placed > 0)
            return make_ticket(registry, &segment, &need, targets, repairer, now_s, out, msg);
        if (e == ERR_OK)
            e = set_state(registry, id, REPAIR_WAITING, 0, msg);
    }
    return e == ERR_OK ? ERR_NOT_FOUND : e;
}

/* The rows that may be taken now, most urgent first. */
static enum err list_ready(struct registry *registry, int64_t now_s, struct id out[TAKE_TRIES],
                           size_t *count, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db,
                            "SELECT segment FROM repair WHERE state = 1 AND due_s <= ?1"
                            " ORDER BY margin LIMIT ?2",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_i64(s, 1, now_s);
    db_bind_u64(s, 2, TAKE_TRIES);
    *count = 0;
    while (*count < TAKE_TRIES && (e = db_step(s, msg)) == ERR_OK)
        if ((e = db_column_id(s, 0, &out[(*count)++])) != ERR_OK)
            break;
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

enum err registry_repair_take(struct registry *registry, const struct id *repairer, int64_t now_s,
                              struct buf *out, struct errmsg *msg)
{
    struct id ready[TAKE_TRIES];
    size_t count = 0;
    const struct registry_cell *cell = registry_cell_find(registry, repairer);
    if (!cell || cell->leaving || !registry_trusted(cell))
        return err_say(msg, ERR_DENIED, "only members that stay and are trusted get tickets");
    enum err e = db_begin(registry->db, msg);
    if (e != ERR_OK)
        return e;
    e = give_back(registry, repairer, now_s, msg);
    if (e == ERR_OK)
        e = list_ready(registry, now_s, ready, &count, msg);
    enum err taken = ERR_NOT_FOUND;
    for (size_t i = 0; i < count && e == ERR_OK && taken == ERR_NOT_FOUND; i++) {
        taken = take_one(registry, &ready[i], repairer, now_s, out, msg);
        e = taken == ERR_NOT_FOUND ? ERR_OK : taken;
    }
    if (e == ERR_OK)
        e = db_commit(registry->db, msg);
    else
        db_rollback(registry->db);
    return e == ERR_OK ? taken : e;
}

/* --- reports --- */

struct leased {
    uint8_t targets[LIMIT_SHARDS * SHARD_ROW_BYTES];
    size_t target_bytes;
    uint64_t tries;
    bool doubted; /* somebody else has called it inconsistent */
};

static enum err find_lease(struct registry *registry, const struct id *from,
                           const struct wire_report *report, struct leased *out, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db,
                            "SELECT targets, tries, doubter IS NOT NULL AND doubter != ?2"
                            " FROM repair WHERE segment = ?1 AND state = 2 AND repairer = ?2"
                            " AND ticket = ?3",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, &report->segment);
    db_bind_id(s, 2, from);
    db_bind_blob(s, 3, slice_of(report->ticket, sizeof(report->ticket)));
    e = db_step(s, msg);
    if (e == ERR_OK) {
        const struct slice targets = db_column_blob(s, 0);
        out->target_bytes = targets.size < sizeof(out->targets) ? targets.size : 0;
        memcpy(out->targets, targets.data, out->target_bytes);
        out->tries = db_column_u64(s, 1);
        out->doubted = db_column_bool(s, 2);
    } else if (e == ERR_END) {
        e = err_say(msg, ERR_STALE, "the lease of this ticket is over");
    }
    db_done(s);
    return e;
}

/* The shard is at the receipt's cell now, and nowhere else that we know of. */
static void move_place(struct registry *registry, struct registry_segment *segment, uint8_t index,
                       struct registry_cell *cell)
{
    size_t kept = 0;
    for (size_t i = 0; i < segment->count; i++) {
        if (segment->places[i].index == index)
            registry_held(registry, &segment->id, segment->places[i].cell, -1);
        else
            segment->places[kept++] = segment->places[i];
    }
    segment->places[kept] = (struct registry_place){.index = index, .cell = cell};
    segment->count = kept + 1;
    registry_held(registry, &segment->id, cell, 1);
}

static bool is_target(const struct leased *leased, uint8_t index, uint32_t cell)
{
    for (size_t at = 0; at < leased->target_bytes; at += SHARD_ROW_BYTES)
        if (leased->targets[at] == index && get_le32(leased->targets + at + 1) == cell)
            return true;
    return false;
}

static enum err take_receipt(struct registry *registry, const struct wire_report *report,
                             const struct leased *leased, struct registry_segment *segment,
                             struct slice doc, struct errmsg *msg)
{
    struct receipt receipt;
    enum err e = receipt_open(doc, registry->options.swarm, NULL, &receipt, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "a receipt of a repair");
    struct registry_cell *cell = registry_cell_find(registry, &receipt.cell);
    if (!cell || !id_equal(&receipt.segment, &segment->id) ||
        receipt.shard_bytes != segment->shard_bytes ||
        memcmp(receipt.grant, report->ticket, sizeof(receipt.grant)) != 0 ||
        !is_target(leased, receipt.index, cell->number))
        return err_say(msg, ERR_DENIED, "a receipt is not one of this ticket's");
    e = registry_damage_clear(registry, &segment->id, receipt.index, NULL, msg);
    if (e == ERR_OK)
        move_place(registry, segment, receipt.index, cell);
    return e;
}

static enum err take_receipts(struct registry *registry, struct wire_report *report,
                              const struct leased *leased, size_t *count, struct errmsg *msg)
{
    struct registry_segment segment;
    struct slice doc;
    enum err e = registry_segment_get(registry, &report->segment, &segment, msg);
    *count = 0;
    while (e == ERR_OK && wire_report_receipts_next(&report->receipt_list, &doc)) {
        e = take_receipt(registry, report, leased, &segment, doc, msg);
        (*count)++;
    }
    return e == ERR_OK && *count ? registry_segment_put(registry, &segment, msg) : e;
}

/* What sources did is one voice against them each; proofs decide. */
static enum err take_faults(struct registry *registry, struct wire_report *report,
                            const struct id *from, int64_t now_s, struct errmsg *msg)
{
    struct wire_fault fault;
    enum err e = ERR_OK;
    while (e == ERR_OK && wire_report_faults_next(&report->fault_list, &fault)) {
        struct registry_cell *cell = registry_cell_find(registry, &fault.cell);
        if (cell)
            e = registry_doubt(registry, &report->segment, fault.index, cell, from, now_s, msg);
    }
    return e;
}

static enum err call_inconsistent(struct registry *registry, const struct id *segment,
                                  const struct id *from, const struct leased *leased, int64_t now_s,
                                  struct errmsg *msg)
{
    struct db_statement *s;
    if (leased->doubted)
        return set_state(registry, segment, REPAIR_INCONSISTENT, 0, msg);
    enum err e =
        db_prepare(registry->db, "UPDATE repair SET doubter = ?2 WHERE segment = ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    db_bind_id(s, 2, from);
    e = db_run(s, msg);
    db_done(s);
    return e == ERR_OK ? set_state(registry, segment, REPAIR_READY, now_s + RETRY_S, msg) : e;
}

static enum err put_off(struct registry *registry, const struct id *segment, uint64_t tries,
                        int64_t now_s, struct errmsg *msg)
{
    int64_t pause_s = RETRY_S;
    for (uint64_t i = 0; i < tries && pause_s < RETRY_MAX_S; i++)
        pause_s *= 2;
    pause_s = pause_s < RETRY_MAX_S ? pause_s : RETRY_MAX_S;
    const enum err e = set_state(registry, segment, REPAIR_READY, now_s + pause_s, msg);
    return e != ERR_OK ? e
                       : run_on_segment(registry,
                                        "UPDATE repair SET tries = tries + ?2"
                                        " WHERE segment = ?1 AND ?3 = 0",
                                        segment, 1, 0, msg);
}

enum err registry_repair_report(struct registry *registry, const struct id *from,
                                struct wire_report *report, int64_t now_s, struct errmsg *msg)
{
    struct leased leased;
    size_t receipts = 0;
    enum err e = db_begin(registry->db, msg);
    if (e != ERR_OK)
        return e;
    e = find_lease(registry, from, report, &leased, msg);
    if (e == ERR_OK)
        e = take_receipts(registry, report, &leased, &receipts, msg);
    if (e == ERR_OK && report->outcome == WIRE_OUTCOME_INCONSISTENT)
        e = call_inconsistent(registry, &report->segment, from, &leased, now_s, msg);
    else if (e == ERR_OK && receipts > 0)
        e = set_state(registry, &report->segment, REPAIR_READY, 0, msg);
    else if (e == ERR_OK)
        e = put_off(registry, &report->segment, leased.tries, now_s, msg);
    if (e == ERR_OK)
        e = take_faults(registry, report, from, now_s, msg);
    if (e == ERR_OK && receipts > 0)
        e = registry_repair_judge(registry, &report->segment, now_s, msg);
    if (e == ERR_OK)
        return db_commit(registry->db, msg);
    db_rollback(registry->db);
    return e;
}

/* --- what cells say about themselves --- */

static enum err take_damage(struct registry *registry, struct registry_cell *cell,
                            const struct wire_damaged *damaged, int64_t now_s, struct errmsg *msg)
{
    struct registry_segment segment;
    enum err e = registry_segment_get(registry, &damaged->segment, &segment, msg);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    for (size_t i = 0; i < segment.count && e == ERR_OK; i++)
        if (segment.places[i].index == damaged->index && segment.places[i].cell == cell)
            e = registry_damage_mark(registry, &segment.id, damaged->index, cell, msg);
    return e == ERR_OK ? registry_repair_judge(registry, &segment.id, now_s, msg) : e;
}

enum err registry_damage(struct registry *registry, const struct id *id, struct wire_list *shards,
                         int64_t now_s, struct errmsg *msg)
{
    struct registry_cell *cell = registry_cell_find(registry, id);
    struct wire_damaged damaged;
    if (!cell)
        return err_say(msg, ERR_NOT_FOUND, "this cell is no member");
    enum err e = db_begin(registry->db, msg);
    if (e != ERR_OK)
        return e;
    while (e == ERR_OK && wire_damage_next(shards, &damaged))
        e = take_damage(registry, cell, &damaged, now_s, msg);
    if (e == ERR_OK)
        return db_commit(registry->db, msg);
    db_rollback(registry->db);
    return e;
}

enum err registry_away(struct registry *registry, const struct id *account, const struct id *id,
                       int64_t until_s, int64_t now_s, struct errmsg *msg)
{
    struct registry_cell *cell = registry_cell_find(registry, id);
    if (!cell || !cell->claimed || !id_equal(&cell->household, account))
        return err_say(msg, ERR_DENIED, "the cell is not claimed by this account");
    cell->away_until_s =
        until_s < now_s + REGISTRY_AWAY_S ? until_s : now_s + (int64_t)REGISTRY_AWAY_S;
    return registry_cell_write(registry, cell, msg);
}
