/*
 * What came of a repair, and what cells and their owners say of themselves.
 */
#include "registry_queue.h"

#include "identity/receipt.h"
#include "wire/wire_repair.h"

enum {
    RETRY_S = 300, /* after a failure, if a lease is not shorter; doubles with each one, up to */
    RETRY_MAX_S = 6 * 3600,
};

static int64_t retry_s(const struct registry *registry)
{
    return registry->options.lease_s < RETRY_S ? (int64_t)registry->options.lease_s : RETRY_S;
}

/* --- reports --- */

struct leased {
    uint8_t targets[LIMIT_SHARDS * SHARD_ROW_BYTES];
    size_t target_bytes;
    uint64_t tries;
    bool doubted;      /* somebody else has called it inconsistent */
    struct buf ticket; /* owned; the document */
};

static enum err find_lease(struct registry *registry, const struct id *from,
                           const struct wire_report *report, struct leased *out, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db,
                            "SELECT targets, tries, doubter IS NOT NULL AND doubter != ?2,"
                            " ticket_doc"
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
        const struct slice ticket = db_column_blob(s, 3);
        if ((e = buf_append(&out->ticket, ticket.data, ticket.size)) != ERR_OK)
            err_say(msg, e, "out of memory for a ticket");
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

/* All of the ticket's, until their receipts are seen. */
static void miss_targets(struct registry *registry, const struct leased *leased, int64_t now_s)
{
    for (size_t at = 0; at + SHARD_ROW_BYTES <= leased->target_bytes; at += SHARD_ROW_BYTES) {
        const uint32_t number = get_le32(leased->targets + at + 1);
        if (number >= 1 && number <= registry->cell_count)
            registry->cells[number - 1]->missed_s = now_s;
    }
}

static enum err take_receipt(struct registry *registry, const struct wire_report *report,
                             const struct leased *leased, struct registry_segment *segment,
                             struct slice doc, int64_t now_s, struct errmsg *msg)
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
    for (size_t i = 0; e == ERR_OK && i < segment->count; i++)
        if (segment->places[i].index == receipt.index)
            e = registry_unproven_clear(registry, &segment->id, receipt.index,
                                        segment->places[i].cell, segment->shard_bytes, msg);
    if (e == ERR_OK)
        e = registry_moved(registry, segment, receipt.index, cell, buf_slice(&leased->ticket), doc,
                           now_s, msg);
    if (e == ERR_OK)
        move_place(registry, segment, receipt.index, cell);
    if (e == ERR_OK)
        cell->missed_s = 0;
    return e;
}

static enum err take_receipts(struct registry *registry, struct wire_report *report,
                              const struct leased *leased, int64_t now_s, size_t *count,
                              struct errmsg *msg)
{
    struct registry_segment segment;
    struct slice doc;
    enum err e = registry_segment_get(registry, &report->segment, &segment, msg);
    *count = 0;
    while (e == ERR_OK && wire_report_receipts_next(&report->receipt_list, &doc)) {
        e = take_receipt(registry, report, leased, &segment, doc, now_s, msg);
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
        return registry_queue_set(registry, segment, REPAIR_INCONSISTENT, 0, msg);
    enum err e =
        db_prepare(registry->db, "UPDATE repair SET doubter = ?2 WHERE segment = ?1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    db_bind_id(s, 2, from);
    e = db_run(s, msg);
    db_done(s);
    return e == ERR_OK
               ? registry_queue_set(registry, segment, REPAIR_READY, now_s + retry_s(registry), msg)
               : e;
}

static enum err put_off(struct registry *registry, const struct id *segment, uint64_t tries,
                        int64_t now_s, struct errmsg *msg)
{
    int64_t pause_s = retry_s(registry);
    for (uint64_t i = 0; i < tries && pause_s < RETRY_MAX_S; i++)
        pause_s *= 2;
    pause_s = pause_s < RETRY_MAX_S ? pause_s : RETRY_MAX_S;
    const enum err e = registry_queue_set(registry, segment, REPAIR_READY, now_s + pause_s, msg);
    return e != ERR_OK ? e
                       : registry_queue_run(registry,
                                            "UPDATE repair SET tries = tries + ?2"
                                            " WHERE segment = ?1 AND ?3 = 0",
                                            segment, 1, 0, msg);
}

enum err registry_repair_report(struct registry *registry, const struct id *from,
                                struct wire_report *report, int64_t now_s, struct errmsg *msg)
{
    struct leased leased = {.ticket = BUF_INIT(TICKET_BYTES_MAX)};
    size_t receipts = 0;
    enum err e = db_begin(registry->db, msg);
    if (e != ERR_OK)
        return e;
    e = find_lease(registry, from, report, &leased, msg);
    if (e == ERR_OK && report->outcome != WIRE_OUTCOME_INCONSISTENT)
        miss_targets(registry, &leased, now_s);
    if (e == ERR_OK)
        e = take_receipts(registry, report, &leased, now_s, &receipts, msg);
    if (e == ERR_OK && report->outcome == WIRE_OUTCOME_INCONSISTENT)
        e = call_inconsistent(registry, &report->segment, from, &leased, now_s, msg);
    else if (e == ERR_OK && receipts > 0)
        e = registry_queue_set(registry, &report->segment, REPAIR_READY, 0, msg);
    else if (e == ERR_OK)
        e = put_off(registry, &report->segment, leased.tries, now_s, msg);
    if (e == ERR_OK)
        e = take_faults(registry, report, from, now_s, msg);
    if (e == ERR_OK && receipts > 0)
        e = registry_repair_judge(registry, &report->segment, now_s, msg);
    if (e == ERR_OK)
        e = db_commit(registry->db, msg);
    registry->repaired_count += e == ERR_OK && receipts > 0;
    if (e != ERR_OK)
        db_rollback(registry->db);
    buf_free(&leased.ticket);
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
    for (size_t i = 0; i < segment.count && e == ERR_OK; i++) {
        const struct registry_place *place = &segment.places[i];
        if (place->index != damaged->index || place->cell != cell || place->damaged)
            continue;
        registry_fault(registry, cell, true);
        e = registry_damage_mark(registry, &segment.id, damaged->index, cell, msg);
    }
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