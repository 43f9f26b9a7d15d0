/*
 * Repair tickets: who is at what, until when. registry_repair.c has the queue.
 */
#include "registry_queue.h"

#include "base/planted.h"
#include "wire/wire_repair.h"

#include <stdlib.h>

enum {
    TAKE_TRIES = 32,    /* rows looked at for one ticket */
    NO_SOURCES_S = 900, /* fewer than k sources are awake just now */
    PROOF_LOT = 4, /* one of so many heartbeats: or the first one of every round would do it all */
};

static unsigned find_work(struct registry *registry, const struct registry_cell *cell,
                          int64_t now_s)
{
    unsigned work = 0;
    if (cell->leaving || !registry_trusted(cell) ||
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
    if (registry->options.proof_period_ms && registry->unproven_rows)
        work |= WIRE_WORK_PROOF | WIRE_WORK_MANY;
    return work;
}

void registry_answer(struct registry *registry, const struct id *id, int64_t now_s,
                     struct wire_heartbeat_reply *answer)
{
    const struct registry_cell *cell = registry_cell_find(registry, id);
    if (!cell)
        return;
    answer->work = find_work(registry, cell, now_s);
    answer->trust = cell->trust;
    answer->fault_count = cell->fault_count;
    answer->left_known = cell->leaving && cell->swept_as == REGISTRY_MOVES && !registry->sweeping;
    answer->drained = answer->left_known && cell->held == 0;
    if (answer->left_known) {
        answer->left_count = cell->held;
        answer->stuck_count = registry->repairs[REPAIR_WAITING];
    }
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
static enum err lease(struct registry *registry, const struct ticket *ticket, struct slice doc,
                      struct errmsg *msg)
{
    uint8_t targets[LIMIT_SHARDS * SHARD_ROW_BYTES];
    size_t size = 0;
    struct db_statement *s;
    enum err e = db_prepare(registry->db,
                            "UPDATE repair SET state = 2, repairer = ?2, ticket = ?3, targets = ?4,"
                            " lease_s = ?5, ticket_doc = ?6 WHERE segment = ?1",
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
    const int64_t early_s = PLANTED(SHORT_LEASE) ? (int64_t)registry->options.lease_s * 9 / 10 : 0;
    db_bind_i64(s, 5, ticket->expires_s - early_s);
    db_bind_blob(s, 6, doc);
    e = db_run(s, msg);
    db_done(s);
    registry->repairs_changed = true;
    return e;
}

static enum err make_ticket(struct registry *registry, const struct registry_segment *segment,
                            const struct registry_need *need, struct registry_cell *const *targets,
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
        e = lease(registry, ticket, buf_slice(out), msg);
    free(ticket);
    return e;
}

static int64_t no_sources_s(const struct registry *registry)
{
    return registry->options.lease_s < NO_SOURCES_S ? (int64_t)registry->options.lease_s
                                                    : NO_SOURCES_S;
}

/* A ticket for this segment, or what is in the way is written down: then NOT_FOUND. */
static enum err take_one(struct registry *registry, const struct id *id, const struct id *repairer,
                         int64_t now_s, struct buf *out, struct errmsg *msg)
{
    struct registry_segment segment;
    struct registry_cell *targets[LIMIT_SHARDS];
    struct registry_need need;
    size_t placed;
    enum err e = registry_segment_get(registry, id, &segment, msg);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? registry_queue_forget(registry, id, msg) : e;
    registry_need_find(registry, &segment, now_s, &need);
    if (!registry_need_is_due(registry, &segment, &need))
        e = registry_queue_forget(registry, id, msg);
    else if (need.alive < segment.k)
        e = registry_queue_set(registry, id, REPAIR_LOST, 0, msg);
    else if (need.reachable < segment.k)
        e = registry_queue_set(registry, id, REPAIR_READY, now_s + no_sources_s(registry), msg);
    else {
        e = registry_targets(registry, &segment, need.holders, need.missing, need.missing_count,
                             now_s, targets, &placed, msg);
        if (e == ERR_OK && placed > 0)
            return make_ticket(registry, &segment, &need, targets, repairer, now_s, out, msg);
        if (e == ERR_OK)
            e = registry_queue_set(registry, id, REPAIR_WAITING, 0, msg);
    }
    return e == ERR_OK ? ERR_NOT_FOUND : e;
}

/* The rows that may be taken now, most urgent first. */
static enum err list_ready(struct registry *registry, const struct id *account, int64_t now_s,
                           struct id out[TAKE_TRIES], size_t *count, struct errmsg *msg)
{
    struct db_statement *s;
    static const char any[] = "SELECT segment FROM repair WHERE state = 1 AND due_s <= ?1"
                              " ORDER BY margin LIMIT ?2";
    /* the owner need not wait for itself, only for what has failed */
    static const char own[] = "SELECT r.segment FROM repair AS r JOIN segment AS s"
                              " ON s.id = r.segment WHERE r.state = 1"
                              " AND (r.due_s <= ?1 OR r.tries = 0)"
                              " AND s.account = (SELECT number FROM account WHERE id = ?3)"
                              " ORDER BY r.margin LIMIT ?2";
    enum err e = db_prepare(registry->db, account ? own : any, &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_i64(s, 1, now_s);
    db_bind_u64(s, 2, TAKE_TRIES);
    if (account)
        db_bind_id(s, 3, account);
    *count = 0;
    while (*count < TAKE_TRIES && (e = db_step(s, msg)) == ERR_OK)
        if ((e = db_column_id(s, 0, &out[(*count)++])) != ERR_OK)
            break;
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

enum err registry_repair_take(struct registry *registry, const struct id *repairer,
                              const struct id *account, int64_t now_s, struct buf *out,
                              struct errmsg *msg)
{
    struct id ready[TAKE_TRIES];
    size_t count = 0;
    const struct registry_cell *cell = registry_cell_find(registry, repairer);
    if (!account && (!cell || cell->leaving || !registry_trusted(cell)))
        return err_say(msg, ERR_DENIED, "only members that stay and are trusted get tickets");
    enum err e = db_begin(registry->db, msg);
    if (e != ERR_OK)
        return e;
    e = registry_queue_give_back(registry, repairer, now_s, msg);
    if (e == ERR_OK)
        e = list_ready(registry, account, now_s, ready, &count, msg);
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
