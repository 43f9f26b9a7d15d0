/*
 * What cells have asked each other by lot while the coordinator was away (placement_lot.h).
 *
 * A verdict counts when the coordinator was deaf on its day, the day's lot had fallen on the two,
 * they are of two households, and the directory names the shard at that cell; one counts for each
 * day and pair. So nobody chooses whom he praises or slanders, or how often. A bad one is one voice
 * as any auditor's (registry_doubt): trust falls only when several households agree, and a shard in
 * doubt is what the next tickets are for.
 */
#include "registry_internal.h"

#include "placement/placement_lot.h"
#include "wire/wire_audit.h"

enum { KEPT_DAYS = 30 };

static uint64_t day_of(int64_t time_s)
{
    return time_s > 0 ? (uint64_t)(time_s / PLACEMENT_LOT_DAY_S) : 0;
}

static enum err forget_old(struct registry *registry, int64_t now_s, struct errmsg *msg)
{
    struct db_statement *s;
    const uint64_t today = day_of(now_s);
    enum err e = db_prepare(registry->db, "DELETE FROM verdict WHERE day < ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, today > KEPT_DAYS ? today - KEPT_DAYS : 0);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

/* *first: this pair has not been heard about that day. */
static enum err write_down(struct registry *registry, const struct registry_cell *auditor,
                           const struct registry_cell *cell, uint64_t day, bool *first,
                           struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(
        registry->db, "INSERT OR IGNORE INTO verdict (day, auditor, cell) VALUES (?1, ?2, ?3)", &s,
        msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, day);
    db_bind_u64(s, 2, auditor->number);
    db_bind_u64(s, 3, cell->number);
    e = db_run(s, msg);
    db_done(s);
    *first = e == ERR_OK && db_changes(registry->db) > 0;
    return e;
}

static bool is_about(const struct registry_place *place, const struct registry_cell *cell,
                     const struct wire_verdict *verdict)
{
    return place->cell == cell && !place->damaged &&
           (verdict->kind == WIRE_VERDICT_LACKS || verdict->index == place->index);
}

static enum err take(struct registry *registry, const struct registry_cell *auditor,
                     struct registry_cell *cell, const struct wire_verdict *verdict, int64_t now_s,
                     bool *counts, struct errmsg *msg)
{
    struct registry_segment segment;
    enum err e = registry_segment_get(registry, &verdict->segment, &segment, msg);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    for (size_t i = 0; e == ERR_OK && i < segment.count; i++) {
        if (!is_about(&segment.places[i], cell, verdict))
            continue;
        if (!*counts)
            e = write_down(registry, auditor, cell, verdict->day, counts, msg);
        if (e != ERR_OK || !*counts)
            return e;
        if (verdict->kind != WIRE_VERDICT_PROVEN)
            e = registry_doubt(registry, &segment.id, segment.places[i].index, cell, &auditor->id,
                               now_s, msg);
    }
    if (e != ERR_OK || !*counts)
        return e;
    if (verdict->kind == WIRE_VERDICT_PROVEN)
        registry_trust_proven(registry, cell);
    registry->proofs_passed += verdict->kind == WIRE_VERDICT_PROVEN;
    registry->proofs_failed += verdict->kind != WIRE_VERDICT_PROVEN;
    return ERR_OK;
}

static enum err take_all(struct registry *registry, const struct registry_cell *auditor,
                         struct wire_list *verdicts, int64_t now_s, uint32_t *taken,
                         struct errmsg *msg)
{
    struct wire_verdict verdict;
    enum err e = forget_old(registry, now_s, msg);
    while (e == ERR_OK && wire_verdicts_next(verdicts, &verdict)) {
        struct registry_cell *cell = registry_cell_find(registry, &verdict.cell);
        bool counts = false;
        if (!cell || !registry_watch_was_deaf(registry, verdict.day) ||
            verdict.day + KEPT_DAYS < day_of(now_s) ||
            id_equal(registry_household(auditor), registry_household(cell)) ||
            !placement_lot_falls(&auditor->id, &cell->id, verdict.day, registry->cell_count))
            continue;
        e = take(registry, auditor, cell, &verdict, now_s, &counts, msg);
        *taken += counts;
    }
    return e;
}

enum err registry_verdicts(struct registry *registry, const struct id *from,
                           struct wire_list *verdicts, int64_t now_s, uint32_t *taken,
                           struct errmsg *msg)
{
    const struct registry_cell *auditor = registry_cell_find(registry, from);
    *taken = 0;
    if (!auditor || !registry_trusted(auditor))
        return err_say(msg, ERR_DENIED, "only members that are trusted speak about others");
    enum err e = db_begin(registry->db, msg);
    if (e != ERR_OK)
        return e;
    e = take_all(registry, auditor, verdicts, now_s, taken, msg);
    if (e == ERR_OK)
        return db_commit(registry->db, msg);
    db_rollback(registry->db);
    return e;
}
