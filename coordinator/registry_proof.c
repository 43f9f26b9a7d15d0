/*
 * Proof and trust. Cells ask each other for random leaves, by lot; the coordinator only throws the
 * lot and counts. Every other lot falls on a segment, so that who holds much is asked much; the
 * ones between fall on a cell, so that a new one with little gets to prove itself, and first of all
 * on one whose heartbeat says that it holds less than it should. A claimed cell asks for its own
 * household's segments half of the time.
 *
 * One voice confirms nothing: auditors of two households must have failed (of one, where the swarm
 * has no second), or else one that breaks its neighbours' good name would cost them their shards. A
 * shard in doubt is looked at by others before any new lot is thrown; one of them who gets the
 * proof clears it. What follows for the cell is in registry_trust.c.
 */
#include "registry_internal.h"

#include "base/planted.h"
#include "wire/wire_repair.h"

#include <stdlib.h>

enum {
    AUDIT_S = 1800, /* how long an auditor has */
    LOTS = 8,       /* thrown for one ticket, until one falls on a shard that can be asked for */
    DOUBT_S = 30 * 86400, /* voices older than this are forgotten */
};

void registry_audit_tick(struct registry *registry, int64_t now_s)
{
    const int64_t passed_s = now_s - registry->audited_s;
    const uint64_t period_ms = registry->options.proof_period_ms;
    registry->audited_s = now_s;
    if (passed_s <= 0 || passed_s > 86400 || period_ms == 0)
        return;
    registry->audit_credit_ms += (uint64_t)passed_s * 1000 * registry->cell_count;
    if (registry->audit_credit_ms > period_ms * REGISTRY_AUDITS) /* nobody took them: no backlog */
        registry->audit_credit_ms = period_ms * REGISTRY_AUDITS;
}

/* --- doubt --- */

/* Households besides the cell's own that can be asked, or could be when they wake up: 0, 1, or 2
   for more. If only those counted that are up, one of them could slander the others in a bad night.
 */
static unsigned witnesses(const struct registry *registry, const struct registry_cell *about,
                          int64_t now_s)
{
    const struct id *first = NULL;
    for (size_t i = 0; i < registry->cell_count; i++) {
        const struct registry_cell *cell = registry->cells[i];
        const enum wire_cell_state state = registry_cell_state(registry, cell, now_s);
        if ((state != WIRE_CELL_UP && state != WIRE_CELL_ASLEEP) ||
            id_equal(registry_household(cell), registry_household(about)))
            continue;
        if (first && !id_equal(first, registry_household(cell)))
            return 2;
        first = registry_household(cell);
    }
    return first ? 1 : 0;
}

static enum err raise_voice(struct registry *registry, const struct id *segment, unsigned index,
                            const struct registry_cell *cell, const struct id *voice, int64_t now_s,
                            struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db,
                            "INSERT OR REPLACE INTO doubt (segment, idx, cell, voice, time_s)"
                            " VALUES (?1, ?2, ?3, ?4, ?5)",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    db_bind_u64(s, 2, index);
    db_bind_u64(s, 3, cell->number);
    db_bind_id(s, 4, voice);
    db_bind_i64(s, 5, now_s);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

static enum err count_voices(struct registry *registry, const struct id *segment, unsigned index,
                             const struct registry_cell *cell, int64_t now_s, unsigned *count,
                             struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db,
                            "SELECT count(*) FROM doubt WHERE segment = ?1 AND idx = ?2"
                            " AND cell = ?3 AND time_s > ?4",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    db_bind_u64(s, 2, index);
    db_bind_u64(s, 3, cell->number);
    db_bind_i64(s, 4, now_s - DOUBT_S);
    e = db_step(s, msg);
    *count = e == ERR_OK ? (unsigned)db_column_u64(s, 0) : 0;
    db_done(s);
    return e;
}

static enum err clear_doubt(struct registry *registry, const struct id *segment, unsigned index,
                            const struct registry_cell *cell, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(
        registry->db, "DELETE FROM doubt WHERE segment = ?1 AND idx = ?2 AND cell = ?3", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    db_bind_u64(s, 2, index);
    db_bind_u64(s, 3, cell->number);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

enum err registry_doubt(struct registry *registry, const struct id *segment, unsigned index,
                        struct registry_cell *cell, const struct id *by, int64_t now_s,
                        struct errmsg *msg)
{
    struct registry_segment known;
    const struct registry_cell *voice = registry_cell_find(registry, by);
    unsigned voices = 0;
    bool named = false;
    enum err e = registry_segment_get(registry, segment, &known, msg);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    for (size_t i = 0; i < known.count; i++)
        named |= known.places[i].index == index && known.places[i].cell == cell &&
                 !known.places[i].damaged;
    if (!named || !voice || id_equal(registry_household(voice), registry_household(cell)))
        return ERR_OK;
    e = raise_voice(registry, segment, index, cell, registry_household(voice), now_s, msg);
    if (e == ERR_OK)
        e = count_voices(registry, segment, index, cell, now_s, &voices, msg);
    const unsigned needed = PLANTED(ONE_VOICE) ? 1 : witnesses(registry, cell, now_s);
    if (e != ERR_OK || voices < needed || voices == 0)
        return e;
    e = registry_damage_mark(registry, segment, index, cell, msg);
    if (e == ERR_OK)
        e = clear_doubt(registry, segment, index, cell, msg);
    if (e != ERR_OK)
        return e;
    registry_fault(registry, cell, false);
    return registry_repair_judge(registry, segment, now_s, msg);
}

/* --- the lot --- */

static bool may_ask(const struct registry *registry, const struct registry_cell *auditor,
                    const struct registry_place *place, int64_t now_s)
{
    return !place->damaged &&
           !id_equal(registry_household(auditor), registry_household(place->cell)) &&
           (now_s - place->cell->last_seen_s) * 1000 <= (int64_t)registry->options.asleep_after_ms;
}

/* A shard in doubt, that the auditor has not been heard about. */
static enum err pick_doubted(struct registry *registry, const struct registry_cell *auditor,
                             int64_t now_s, struct registry_segment *segment, size_t *place,
                             struct errmsg *msg)
{
    struct db_statement *s;
    struct id id;
    enum err e = db_prepare(registry->db,
                            "SELECT segment, idx, cell FROM doubt WHERE voice != ?1 AND time_s > ?2"
                            " ORDER BY time_s LIMIT 1",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, registry_household(auditor));
    db_bind_i64(s, 2, now_s - DOUBT_S);
    uint64_t index = 0, cell = 0;
    e = db_step(s, msg);
    if (e == ERR_OK) {
        index = db_column_u64(s, 1);
        cell = db_column_u64(s, 2);
        e = db_column_id(s, 0, &id);
    }
    db_done(s);
    if (e != ERR_OK)
        return e == ERR_END ? ERR_NOT_FOUND : e;
    e = registry_segment_get(registry, &id, segment, msg);
    for (*place = 0; e == ERR_OK && *place < segment->count; (*place)++) {
        const struct registry_place *at = &segment->places[*place];
        if (at->index == index && at->cell->number == cell)
            return may_ask(registry, auditor, at, now_s) ? ERR_OK : ERR_NOT_FOUND;
    }
    return e == ERR_OK ? ERR_NOT_FOUND : e;
}

/* Segments are named by hashes: the next one behind a random ID is drawn evenly enough. */
static enum err pick_random(struct registry *registry, const struct registry_cell *auditor,
                            int64_t now_s, struct registry_segment *segment, size_t *place,
                            struct errmsg *msg)
{
    struct db_statement *s;
    struct id lot;
    random_fill(registry->options.random, lot.bytes, sizeof(lot.bytes));
    enum err e = db_prepare(registry->db,
                            "SELECT " REGISTRY_SEGMENT_COLUMNS " FROM segment WHERE id >= ?1"
                            " ORDER BY id LIMIT 1",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, &lot);
    e = db_step(s, msg);
    if (e == ERR_OK)
        e = registry_segment_read(registry, s, segment, msg);
    db_done(s);
    if (e != ERR_OK)
        return e == ERR_END ? ERR_NOT_FOUND : e;
    if (segment->count == 0)
        return ERR_NOT_FOUND;
    *place = (size_t)random_below(registry->options.random, segment->count);
    return may_ask(registry, auditor, &segment->places[*place], now_s) ? ERR_OK : ERR_NOT_FOUND;
}

/* The next cell that a lot falls on; NULL: nobody. */
static struct registry_cell *draw_cell(struct registry *registry)
{
    const uint32_t suspect = registry->suspect;
    registry->suspect = 0;
    if (suspect)
        return registry->cells[suspect - 1];
    return registry->cell_count
               ? registry->cells[random_below(registry->options.random, registry->cell_count)]
               : NULL;
}

static enum err pick_of_cell(struct registry *registry, const struct registry_cell *auditor,
                             int64_t now_s, struct registry_segment *segment, size_t *place,
                             struct errmsg *msg)
{
    struct registry_cell *cell = draw_cell(registry);
    struct id id;
    if (!cell || id_equal(registry_household(auditor), registry_household(cell)) ||
        !registry_sample_take(registry, cell, &id))
        return ERR_NOT_FOUND;
    const enum err e = registry_segment_get(registry, &id, segment, msg);
    for (*place = 0; e == ERR_OK && *place < segment->count; (*place)++)
        if (segment->places[*place].cell == cell &&
            may_ask(registry, auditor, &segment->places[*place], now_s))
            return ERR_OK;
    return e == ERR_OK ? ERR_NOT_FOUND : e;
}

/* One that a new coordinator was told of and has no proof of yet: those come without any lot. */
static enum err pick_unproven(struct registry *registry, const struct registry_cell *auditor,
                              int64_t now_s, struct registry_segment *segment, size_t *place,
                              struct errmsg *msg)
{
    struct registry_cell *cell;
    struct id id;
    unsigned index;
    enum err e =
        registry_unproven_pick(registry, registry_household(auditor), &id, &index, &cell, msg);
    if (e == ERR_OK)
        e = registry_segment_get(registry, &id, segment, msg);
    if (e == ERR_NOT_FOUND)
        return e;
    for (*place = 0; e == ERR_OK && *place < segment->count; (*place)++)
        if (segment->places[*place].cell == cell && segment->places[*place].index == index)
            return may_ask(registry, auditor, &segment->places[*place], now_s) ? ERR_OK
                                                                               : ERR_NOT_FOUND;
    return e == ERR_OK ? ERR_NOT_FOUND : e;
}

/* A segment of the auditor's own household, if a lot falls on one. */
static enum err pick_own(struct registry *registry, const struct registry_cell *auditor,
                         int64_t now_s, struct registry_segment *segment, size_t *place,
                         struct errmsg *msg)
{
    enum err e = ERR_NOT_FOUND;
    for (int lot = 0; lot < LOTS && e == ERR_NOT_FOUND; lot++) {
        struct id account;
        e = pick_random(registry, auditor, now_s, segment, place, msg);
        if (e != ERR_OK)
            continue;
        e = registry_account_id(registry, segment->account, &account, msg);
        if (e == ERR_OK && !id_equal(&account, &auditor->household))
            e = ERR_NOT_FOUND;
    }
    return e;
}

static struct registry_audit *free_audit(struct registry *registry, int64_t now_s)
{
    for (size_t i = 0; i < REGISTRY_AUDITS; i++)
        if (registry->audits[i].expires_s < now_s)
            return &registry->audits[i];
    return NULL;
}

static enum err make_ticket(struct registry *registry, const struct registry_segment *segment,
                            const struct registry_place *place, const struct id *auditor,
                            int64_t now_s, struct buf *out, struct errmsg *msg)
{
    struct registry_audit *audit = free_audit(registry, now_s);
    struct ticket *ticket = calloc(1, sizeof(*ticket));
    enum err e = ERR_OK;
    if (!ticket || !audit) {
        free(ticket);
        return err_say(msg, ticket ? ERR_NOT_FOUND : ERR_NOMEM, "no room for another proof");
    }
    ticket->incarnation = registry->options.incarnation;
    ticket->repairer = *auditor;
    ticket->segment = segment->id;
    ticket->list_number = registry->list_number;
    ticket->bytes_max = LIMIT_LEAF_BYTES;
    ticket->expires_s = now_s + AUDIT_S;
    ticket->sources[0] = (struct ticket_place){.index = place->index, .cell = place->cell->id};
    ticket->source_count = 1;
    random_fill(registry->options.random, ticket->id, sizeof(ticket->id));
    e = registry_account_id(registry, segment->account, &ticket->account, msg);
    if (e == ERR_OK) {
        e = ticket_make(ticket, registry->options.swarm, registry->options.key, out);
        if (e != ERR_OK)
            err_say(msg, e, "a ticket cannot be signed");
    }
    if (e == ERR_OK) {
        *audit = (struct registry_audit){.auditor = *auditor,
                                         .segment = segment->id,
                                         .index = place->index,
                                         .cell = place->cell->number,
                                         .expires_s = ticket->expires_s};
        memcpy(audit->ticket, ticket->id, sizeof(audit->ticket));
    }
    free(ticket);
    return e;
}

enum err registry_proof_take(struct registry *registry, const struct id *id, int64_t now_s,
                             struct buf *out, struct errmsg *msg)
{
    struct registry_segment segment;
    size_t place = 0;
    const uint64_t period_ms = registry->options.proof_period_ms;
    const struct registry_cell *auditor = registry_cell_find(registry, id);
    if (!auditor || auditor->leaving || !registry_trusted(auditor))
        return err_say(msg, ERR_DENIED, "only members that stay and are trusted get tickets");
    const bool credit = period_ms > 0 && registry->audit_credit_ms >= period_ms;
    if (!credit && (period_ms == 0 || registry->unproven_rows == 0))
        return ERR_NOT_FOUND;
    enum err e = pick_unproven(registry, auditor, now_s, &segment, &place, msg);
    if (e == ERR_OK)
        return make_ticket(registry, &segment, &segment.places[place], id, now_s, out, msg);
    if (e != ERR_NOT_FOUND || !credit)
        return e;
    e = pick_doubted(registry, auditor, now_s, &segment, &place, msg);
    /* whose own data it is has the best reason to ask */
    if (e == ERR_NOT_FOUND && auditor->claimed && random_below(registry->options.random, 2) == 0)
        e = pick_own(registry, auditor, now_s, &segment, &place, msg);
    registry->cells_turn = !registry->cells_turn;
    for (int lot = 0; registry->cells_turn && lot < LOTS && e == ERR_NOT_FOUND; lot++)
        e = pick_of_cell(registry, auditor, now_s, &segment, &place, msg);
    for (int lot = 0; lot < LOTS && e == ERR_NOT_FOUND; lot++)
        e = pick_random(registry, auditor, now_s, &segment, &place, msg);
    if (e == ERR_OK)
        e = make_ticket(registry, &segment, &segment.places[place], id, now_s, out, msg);
    if (e == ERR_OK)
        registry->audit_credit_ms -= period_ms;
    return e;
}

/* --- what came of it --- */

static struct registry_audit *find_audit(struct registry *registry, const struct id *from,
                                         const struct wire_report *report, int64_t now_s)
{
    for (size_t i = 0; i < REGISTRY_AUDITS; i++) {
        struct registry_audit *audit = &registry->audits[i];
        if ((audit->expires_s >= now_s || PLANTED(OLD_PROOF)) && id_equal(&audit->auditor, from) &&
            id_equal(&audit->segment, &report->segment) &&
            memcmp(audit->ticket, report->ticket, sizeof(audit->ticket)) == 0)
            return audit;
    }
    return NULL;
}

static enum err prove_row(struct registry *registry, const struct registry_audit *audit,
                          const struct registry_cell *cell, struct errmsg *msg)
{
    struct registry_segment segment;
    if (registry->unproven_rows == 0)
        return ERR_OK;
    const enum err e = registry_segment_get(registry, &audit->segment, &segment, msg);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    return registry_unproven_clear(registry, &segment.id, audit->index, cell, segment.shard_bytes,
                                   msg);
}

static enum err take_proof(struct registry *registry, const struct registry_audit *audit,
                           enum wire_outcome outcome, int64_t now_s, struct errmsg *msg)
{
    struct registry_cell *cell = registry->cells[audit->cell - 1];
    enum err e = db_begin(registry->db, msg);
    if (e != ERR_OK)
        return e;
    if (outcome == WIRE_OUTCOME_DONE) {
        registry_trust_proven(registry, cell);
        e = clear_doubt(registry, &audit->segment, audit->index, cell, msg);
        if (e == ERR_OK)
            e = prove_row(registry, audit, cell, msg);
    } else if (outcome == WIRE_OUTCOME_DISPROVED) {
        e = registry_doubt(registry, &audit->segment, audit->index, cell, &audit->auditor, now_s,
                           msg);
    }
    registry->proofs_passed += outcome == WIRE_OUTCOME_DONE;
    registry->proofs_failed += outcome == WIRE_OUTCOME_DISPROVED;
    if (e == ERR_OK)
        return db_commit(registry->db, msg);
    db_rollback(registry->db);
    return e;
}

enum err registry_report(struct registry *registry, const struct id *from,
                         struct wire_report *report, int64_t now_s, struct errmsg *msg)
{
    struct registry_audit *audit = find_audit(registry, from, report, now_s);
    if (!audit)
        return registry_repair_report(registry, from, report, now_s, msg);
    const struct registry_audit taken = *audit;
    *audit = (struct registry_audit){0};
    return take_proof(registry, &taken, report->outcome, now_s, msg);
}

enum err registry_cell_info(const struct registry *registry, const struct id *id,
                            struct registry_cell_info *out)
{
    const struct registry_cell *cell = registry_cell_find(registry, id);
    if (!cell)
        return ERR_NOT_FOUND;
    *out = (struct registry_cell_info){.trust = cell->trust,
                                       .proof_count = cell->proof_count,
                                       .fault_count = cell->fault_count,
                                       .held = cell->held};
    return ERR_OK;
}
