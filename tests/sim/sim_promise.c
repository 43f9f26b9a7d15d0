/*
 * What was promised, and whether it holds.
 *
 * A place (segment, index, cell) is KEPT from the moment when a receipt for it has come: to the
 * owner's device, or through the directory after a repair. It stays so until the weather takes it
 * (then it is LOST or ROTTEN, and nobody's fault), until the directory names another cell for the
 * shard, or until the owner's order to delete it is old enough. All the rest is compared with the
 * stores themselves.
 */
#include "sim_life_internal.h"

#include "cell_internal.h"
#include "documents/documents.h"
#include "identity/member_list.h"
#include "identity/ticket.h"
#include "store/store_internal.h"
#include "wire/wire_directory.h"
#include "wire/wire_ids.h"
#include "wire/wire_repair.h"

#include <stdio.h>
#include <stdlib.h>

static unsigned shards_of(const struct sim_life *l, unsigned segment)
{
    return l->backup->segments[segment].k + l->backup->segments[segment].m;
}

/* Must it be on that disk? */
static bool is_owed(const struct sim_promise *p, unsigned index, unsigned cell)
{
    return p->at[index][cell] == PLACE_KEPT && (p->named[index][cell] || !p->entered);
}

/* Must the segment be readable? */
static bool is_alive(const struct sim_promise *p)
{
    return !p->deleted;
}

void promise_receipt(struct sim_life *l, unsigned segment, unsigned index, unsigned cell)
{
    struct sim_promise *p = &l->promises[segment];
    p->at[index][cell] = PLACE_KEPT;
    p->since_ms[index][cell] = life_now_ms(l);
    if (l->cells[cell].liar || l->cells[cell].leaving)
        l->owed_repair_bytes += (uint64_t)(l->k + l->m) * l->shard_bytes * 4; /* it must move on */
}

/* For whoever looks into a broken promise. */
static void tell_places(struct sim_life *l, unsigned segment)
{
    static const char *const words[] = {"none", "kept", "rotten", "lost"};
    const struct sim_promise *p = &l->promises[segment];
    for (unsigned i = 0; i < shards_of(l, segment); i++)
        for (unsigned c = 0; c < l->options.cells; c++)
            if (p->at[i][c] != PLACE_NONE || p->named[i][c])
                life_say(l, "segment %u: shard %u at cell %u since day %.3f: %s%s%s", segment, i, c,
                         (double)p->since_ms[i][c] / (double)DAY_MS, words[p->at[i][c]],
                         p->named[i][c] ? ", named" : "", life_runs(l, c) ? "" : ", not running");
}

/* --- the directory --- */

static void see_segment(struct sim_life *l, unsigned segment, struct wire_found *found)
{
    struct sim_promise *p = &l->promises[segment];
    struct wire_shard_at at;
    bool before[SIM_BACKUP_SHARDS_MAX][SIM_SWARM_CELLS_MAX];
    memcpy(before, p->named, sizeof(before));
    memset(p->named, 0, sizeof(p->named));
    while (wire_shards_next(&found->shard_list, &at)) {
        const int cell = sim_swarm_number(l->swarm, &at.cell);
        if (cell < 0 || at.index >= shards_of(l, segment)) {
            life_break(l, "DIRECTORY", "segment %u is said to have shard %u on a stranger", segment,
                       at.index);
            return;
        }
        p->named[at.index][cell] = true;
        if (!before[at.index][cell]) /* a repairer's receipt */
            promise_receipt(l, segment, at.index, (unsigned)cell);
    }
}

void promise_look(struct sim_life *l)
{
    struct id ids[LIFE_SEGMENTS_MAX];
    bool found[LIFE_SEGMENTS_MAX] = {false};
    struct buf body = BUF_INIT(1 << 20), reply = BUF_INIT(16u << 20);
    struct wire_list list;
    struct wire_found row;
    struct errmsg msg;
    if (!l->swarm->registry)
        return;
    for (unsigned s = 0; s < l->backup->count; s++)
        ids[s] = l->backup->segments[s].id;
    if (wire_ids_encode(ids, l->backup->count, &body) != ERR_OK ||
        wire_ids_decode(buf_slice(&body), WIRE_FIND_IDS, &list) != ERR_OK ||
        registry_find(l->swarm->registry, &l->owner->account.account, &list, &reply, &msg) !=
            ERR_OK ||
        wire_found_decode(buf_slice(&reply), &list) != ERR_OK)
        abort();
    while (wire_found_next(&list, &row) && !life_over(l)) {
        found[row.position] = true;
        see_segment(l, row.position, &row);
    }
    for (unsigned s = 0; s < l->backup->count && !life_over(l); s++)
        if (!found[s] && is_alive(&l->promises[s]))
            life_break(l, "DIRECTORY", "segment %u was registered, and the directory forgot it", s);
    buf_free(&body);
    buf_free(&reply);
}

/* --- what the weather may take --- */

static bool is_readable(const struct sim_life *l, unsigned cell)
{
    const struct sim_fortune *f = &l->cells[cell];
    return f->fate == CELL_HERE && !f->liar;
}

/* Indexes of the segment that would be left without `cell`'s (newer than `since_ms`) and without
   its shard `index` (all: SIM_BACKUP_SHARDS_MAX). */
static unsigned left_without(const struct sim_life *l, unsigned segment, unsigned cell,
                             uint64_t since_ms, unsigned only)
{
    const struct sim_promise *p = &l->promises[segment];
    unsigned left = 0;
    for (unsigned i = 0; i < shards_of(l, segment); i++) {
        bool there = false;
        for (unsigned c = 0; c < l->options.cells && !there; c++) {
            const bool taken = c == cell && p->since_ms[i][c] >= since_ms &&
                               (only == SIM_BACKUP_SHARDS_MAX || only == i);
            there = is_owed(p, i, c) && is_readable(l, c) && !taken;
        }
        left += there;
    }
    return left;
}

bool promise_bears(struct sim_life *l, unsigned cell, uint64_t since_ms)
{
    promise_look(l);
    for (unsigned s = 0; s < l->backup->count; s++)
        if (is_alive(&l->promises[s]) &&
            left_without(l, s, cell, since_ms, SIM_BACKUP_SHARDS_MAX) < l->backup->segments[s].k)
            return false;
    return true;
}

bool promise_bears_one(struct sim_life *l, unsigned segment, unsigned index, unsigned cell)
{
    promise_look(l);
    return left_without(l, segment, cell, 0, index) >= l->backup->segments[segment].k;
}

void promise_excuse_one(struct sim_life *l, unsigned segment)
{
    const struct sim_segment *s = &l->backup->segments[segment];
    /* k fetched and the others sent, and again after failures */
    l->owed_repair_bytes += (uint64_t)(s->k + s->m) * s->header.shard_bytes * 4;
    l->losses++;
}

void promise_excuse(struct sim_life *l, unsigned cell)
{
    for (unsigned s = 0; s < l->backup->count; s++)
        for (unsigned i = 0; i < shards_of(l, s); i++)
            if (l->promises[s].at[i][cell] != PLACE_NONE)
                promise_excuse_one(l, s);
}

void promise_lose(struct sim_life *l, unsigned cell, uint64_t since_ms)
{
    promise_excuse(l, cell);
    for (unsigned s = 0; s < LIFE_SEGMENTS_MAX; s++)
        for (unsigned i = 0; i < SIM_BACKUP_SHARDS_MAX; i++)
            if (l->promises[s].at[i][cell] != PLACE_NONE &&
                l->promises[s].since_ms[i][cell] >= since_ms)
                l->promises[s].at[i][cell] = PLACE_LOST;
}

/* --- the stores --- */

struct look {
    struct sim_life *l;
    uint8_t state[LIFE_SEGMENTS_MAX][SIM_BACKUP_SHARDS_MAX];
};

static enum err see_shard(void *user, const struct store_shard *shard)
{
    struct look *look = user;
    for (unsigned s = 0; s < look->l->backup->count; s++)
        if (id_equal(&look->l->backup->segments[s].id, &shard->segment))
            look->state[s][shard->index] = (uint8_t)shard->state;
    return ERR_OK;
}

static enum err read_file(struct sim_life *l, unsigned cell, unsigned segment, unsigned index,
                          struct errmsg *msg)
{
    struct store *store = l->swarm->cells[cell].store;
    struct store_file *file;
    struct sha256 *hash;
    enum err e = store_file_open(store, &l->backup->segments[segment].id, index, &file, msg);
    if (e != ERR_OK)
        return e;
    if (sha256_new(&hash) != ERR_OK)
        abort();
    e = store_file_check(file, hash, msg);
    sha256_free(hash);
    store_file_close(file);
    return e;
}

/* Has the order to delete it become old enough, as far as this cell knows? */
static bool may_be_freed(const struct sim_life *l, const struct sim_promise *p, unsigned cell)
{
    return p->deleted && life_now_ms(l) >= p->ends_ms &&
           !(p->threatened && l->cells[cell].knows_revocation);
}

static void hold_place(struct sim_life *l, struct look *look, unsigned cell, unsigned segment,
                       unsigned index)
{
    const struct sim_promise *p = &l->promises[segment];
    struct errmsg msg = {.text = ""};
    if (!is_owed(p, index, cell) || may_be_freed(l, p, cell))
        return;
    const uint8_t state = look->state[segment][index];
    if (state == STORE_WHOLE &&
        (!l->cells[cell].check || read_file(l, cell, segment, index, &msg) == ERR_OK))
        return;
    tell_places(l, segment);
    if (state == STORE_WHOLE)
        life_break(l, "DURABLE", "cell %u has receipted shard %u of segment %u, after a crash: %s",
                   cell, index, segment, msg.text);
    else if (p->deleted)
        life_break(l, life_now_ms(l) < p->ends_ms ? "HOLD" : "RIGHTS",
                   "segment %u was freed on cell %u %s", segment, cell,
                   life_now_ms(l) < p->ends_ms ? "before its hold was over"
                                               : "by the order of a device that was revoked");
    else
        life_break(l, "DURABLE", "cell %u has receipted shard %u of segment %u, and %s", cell,
                   index, segment, state ? "it is damaged" : "it is not there");
}

static void look_into_store(struct sim_life *l, unsigned cell, struct look *look)
{
    struct errmsg msg;
    memset(look->state, 0, sizeof(look->state));
    if (store_list(l->swarm->cells[cell].store, &l->owner->account.account, NULL, 0, 100000,
                   see_shard, look, &msg) != ERR_OK) {
        if (!l->cells[cell].blamed)
            life_break(l, "DURABLE", "cell %u cannot read its catalogue: %s", cell, msg.text);
        return;
    }
    for (unsigned s = 0; s < l->backup->count; s++)
        for (unsigned i = 0; i < shards_of(l, s) && !life_over(l); i++)
            hold_place(l, look, cell, s, i);
    l->cells[cell].check = false;
}

/* --- domains --- */

static bool share_domain(const struct sim_life *l, unsigned a, unsigned b)
{
    const char *site = l->shapes[a].site;
    return a == b || (site[0] && strcmp(site, l->shapes[b].site) == 0) ||
           (l->cells[a].household && l->cells[a].household == l->cells[b].household);
}

static bool is_settled(const struct sim_life *l, unsigned cell)
{
    const struct sim_fortune *f = &l->cells[cell];
    return f->fate == CELL_HERE && !f->was_gone && !f->blamed && !f->leaving;
}

static void hold_domains(struct sim_life *l, unsigned segment)
{
    const struct sim_promise *p = &l->promises[segment];
    const unsigned n = shards_of(l, segment), cells = l->options.cells;
    for (unsigned at = 0; at < n * cells; at++) {
        if (!is_owed(p, at / cells, at % cells) || !is_settled(l, at % cells))
            continue;
        for (unsigned other = at + 1; other < n * cells; other++)
            if (other / cells != at / cells && is_owed(p, other / cells, other % cells) &&
                is_settled(l, other % cells) && share_domain(l, at % cells, other % cells)) {
                life_break(l, "DOMAINS",
                           "segment %u: shards %u and %u lie in one domain, on cells %u and %u",
                           segment, at / cells, other / cells, at % cells, other % cells);
                return;
            }
    }
}

/* --- heads, lists, trust --- */

struct head_look {
    struct id device;
    uint64_t sequence;
};

static enum err see_head(void *user, const struct id *device, uint64_t sequence, struct slice doc)
{
    struct head_look *look = user;
    (void)doc;
    if (id_equal(device, &look->device))
        look->sequence = sequence;
    return ERR_OK;
}

static void hold_head(struct sim_life *l, unsigned who, struct db *db)
{
    struct head_look look = {.device = l->owner->node->id};
    struct errmsg msg;
    if (documents_heads(db, &l->owner->account.account, see_head, &look, &msg) != ERR_OK)
        return;
    if (look.sequence < l->head_seen[who])
        life_break(l, "HEADS", "%s %u had head %llu, and has %llu now",
                   who == SIM_SWARM_CELLS_MAX ? "coordinator" : "cell", who,
                   (unsigned long long)l->head_seen[who], (unsigned long long)look.sequence);
    l->head_seen[who] = look.sequence;
}

/* Where the thief's revocation is known in time, nothing is lost. */
static void see_revocation(struct sim_life *l, unsigned cell)
{
    struct buf doc = BUF_INIT(LIMIT_MANIFEST_BYTES);
    uint64_t number;
    if (l->thief_revoked_ms && !l->cells[cell].knows_revocation &&
        life_now_ms(l) < l->thief_revoked_ms + l->swarm_options.hold_s * 1000 &&
        documents_manifest_get(store_db(l->swarm->cells[cell].store), &l->owner->account.account,
                               &number, &doc, NULL) == ERR_OK)
        l->cells[cell].knows_revocation = number >= l->revoked_number;
    buf_free(&doc);
}

static void hold_device_list(struct sim_life *l)
{
    const uint64_t number = swarm_list_number(l->backup->swarm);
    if (number < l->device_list_number)
        life_break(l, "LISTS", "the owner's device had member list %llu, and goes by %llu now",
                   (unsigned long long)l->device_list_number, (unsigned long long)number);
    l->device_list_number = number;
}

static void hold_list(struct sim_life *l, unsigned cell)
{
    const uint64_t number = l->swarm->cells[cell].cell->view.list_number;
    if (number < l->cells[cell].list_number)
        life_break(l, "LISTS", "cell %u had member list %llu, and goes by %llu now", cell,
                   (unsigned long long)l->cells[cell].list_number, (unsigned long long)number);
    l->cells[cell].list_number = number;
}

static void hold_trust(struct sim_life *l)
{
    struct registry_cell_info info;
    for (unsigned c = 0; c < l->options.cells; c++)
        if (l->cells[c].fate == CELL_HERE && !l->cells[c].blamed &&
            registry_cell_info(l->swarm->registry, &l->swarm->cells[c].node->id, &info) == ERR_OK &&
            info.fault_count > 0)
            life_break(l, "TRUST", "cell %u has kept all its shards, and lost trust for one", c);
}

/* Where nobody has told of the thief's revocation in time, his order was a good one: what it names
   may be gone there, and the coordinator, which never heard of the order, will ask for it. */
static void forgive_obedience(struct sim_life *l)
{
    for (unsigned s = 0; s < l->backup->count; s++) {
        struct sim_promise *p = &l->promises[s];
        if (!p->threatened || p->forgiven || life_now_ms(l) + HOUR_MS < p->ends_ms)
            continue;
        p->forgiven = true;
        for (unsigned c = 0; c < l->options.cells; c++)
            for (unsigned i = 0; i < shards_of(l, s) && !l->cells[c].knows_revocation; i++)
                if (p->at[i][c] == PLACE_KEPT) {
                    p->at[i][c] = PLACE_LOST;
                    l->cells[c].blamed = true;
                    promise_excuse_one(l, s);
                }
    }
}

/* What is counted with every change comes out the same when all of it is counted anew. */
static void hold_ledger(struct sim_life *l)
{
    struct errmsg msg = {.text = ""};
    if (registry_ledger_check(l->swarm->registry, &msg) != ERR_OK)
        life_break(l, "LEDGER", "the ledger is not what the directory gives: %s", msg.text);
}

/* All segments are good ones: whoever calls one inconsistent has believed a liar. */
static void hold_sources(struct sim_life *l)
{
    struct registry_counts counts;
    if (registry_counts(l->swarm->registry, life_now_s(l), &counts, NULL) == ERR_OK &&
        counts.segments_inconsistent > 0)
        life_break(l, "SOURCES", "a segment whose shards were good is called inconsistent");
}

void promise_check(struct sim_life *l)
{
    struct look *look = calloc(1, sizeof(*look));
    if (!look)
        abort();
    look->l = l;
    forgive_obedience(l);
    if (l->swarm->registry && !life_over(l)) {
        promise_look(l);
        hold_trust(l);
        hold_ledger(l);
        hold_sources(l);
        hold_head(l, SIM_SWARM_CELLS_MAX, registry_db(l->swarm->registry));
    }
    if (!life_over(l))
        hold_device_list(l);
    for (unsigned c = 0; c < l->options.cells && !life_over(l); c++) {
        if (!life_runs(l, c))
            continue;
        look_into_store(l, c, look);
        hold_head(l, c, store_db(l->swarm->cells[c].store));
        hold_list(l, c);
        see_revocation(l, c);
    }
    for (unsigned s = 0; s < l->backup->count && !life_over(l); s++)
        if (is_alive(&l->promises[s]))
            hold_domains(l, s);
    if (!life_over(l))
        promise_check_storm(l);
    free(look);
}

/* --- repair --- */

void promise_check_storm(struct sim_life *l)
{
    uint64_t bytes = 0;
    for (unsigned c = 0; c < l->options.cells; c++) {
        struct cell_counters counters;
        sim_swarm_cell_counters(l->swarm, c, &counters);
        bytes += counters.repair_bytes;
    }
    l->result->repair_bytes = bytes;
    if (bytes > l->owed_repair_bytes)
        life_break(l, "STORM", "repairs moved %llu bytes; %llu losses excuse %llu",
                   (unsigned long long)bytes, (unsigned long long)l->losses,
                   (unsigned long long)l->owed_repair_bytes);
}

unsigned promise_domains(const struct sim_life *l)
{
    unsigned count = 0;
    for (unsigned c = 0; c < l->options.cells; c++) {
        bool counts = life_runs(l, c) && is_settled(l, c) && l->cells[c].household != 1;
        for (unsigned other = 0; other < c && counts; other++)
            counts = !life_runs(l, other) || !is_settled(l, other) || !share_domain(l, c, other);
        count += counts;
    }
    return count;
}

/* What the coordinator says about it. */
static const char *queue_words(struct sim_life *l, char out[160])
{
    struct registry_counts counts;
    out[0] = 0;
    if (l->swarm->registry &&
        registry_counts(l->swarm->registry, life_now_s(l), &counts, NULL) == ERR_OK)
        snprintf(
            out, 160,
            " (%llu up, %llu untrusted; repairs: %llu ready, %llu leased, %llu waiting, %llu "
            "lost)",
            (unsigned long long)counts.up, (unsigned long long)counts.untrusted,
            (unsigned long long)counts.repairs_ready, (unsigned long long)counts.repairs_leased,
            (unsigned long long)counts.repairs_waiting, (unsigned long long)counts.segments_lost);
    return out;
}

void promise_check_whole(struct sim_life *l)
{
    char words[160];
    const unsigned domains = promise_domains(l);
    for (unsigned s = 0; s < l->backup->count && !life_over(l); s++) {
        const struct sim_segment *segment = &l->backup->segments[s];
        const unsigned n = segment->k + segment->m;
        struct sim_truth truth;
        bool hidden = false;
        if (!is_alive(&l->promises[s]) || domains < n + 2)
            continue;
        for (unsigned at = 0; at < n * l->options.cells; at++)
            hidden |= l->promises[s].at[at / l->options.cells][at % l->options.cells] >=
                      PLACE_ROTTEN; /* scrub and proofs may still be on their way to it */
        sim_backup_truth(l->backup, s, &truth);
        if (hidden ||
            (truth.whole - segment->k) * 100 >= segment->m * l->swarm_options.repair_percent)
            continue;
        tell_places(l, s);
        life_break(l, "WHOLE", "days after the last loss segment %u has %u of %u shards%s", s,
                   truth.whole, n, queue_words(l, words));
    }
}

/* --- what goes by --- */

struct death {
    struct sim_life *l;
    unsigned cell, ticket;
};

static void repairer_dies(void *user)
{
    struct death *death = user;
    struct sim_life *l = death->l;
    const unsigned cell = death->cell;
    struct sim_ticket *ticket = &l->tickets[death->ticket];
    free(death);
    if (!life_runs(l, cell) || !l->has[FAULT_POWER])
        return;
    ticket->repairer_died = true;
    weather_stop(l, cell, SIM_POWER,
                 l->swarm_options.lease_s * 1000 + HOUR_MS + life_below(l, HOUR_MS));
}

static void see_ticket(struct sim_life *l, struct slice body)
{
    struct wire_work_reply reply;
    struct ticket *ticket = malloc(sizeof(*ticket));
    if (!ticket)
        abort();
    if (wire_work_reply_decode(body, &reply) == ERR_OK && reply.kind == WIRE_WORK_REPAIR &&
        ticket_open(reply.ticket, &l->swarm->root, &l->swarm->coordinator_node->id, ticket, NULL) ==
            ERR_OK) {
        for (unsigned i = 0; i < LIFE_TICKETS; i++)
            if (l->tickets[i].repairer_died && life_now_ms(l) < l->tickets[i].until_ms &&
                id_equal(&l->tickets[i].segment, &ticket->segment))
                life_break(l, "LEASE", "a segment was given to a second repairer %llu s too early",
                           (unsigned long long)(l->tickets[i].until_ms - life_now_ms(l)) / 1000);
        const unsigned at = l->ticket_at++ % LIFE_TICKETS;
        l->tickets[at] = (struct sim_ticket){
            .segment = ticket->segment,
            .repairer = ticket->repairer,
            .until_ms = life_now_ms(l) + (uint64_t)(ticket->expires_s - life_now_s(l)) * 1000,
        };
        const int cell = sim_swarm_number(l->swarm, &ticket->repairer);
        if (cell >= 0 && life_chance(l, 150)) {
            struct death *death = malloc(sizeof(*death));
            if (!death)
                abort();
            *death = (struct death){l, (unsigned)cell, at};
            sim_world_plan(l->world, 2, repairer_dies, death);
        }
    }
    free(ticket);
}

/* Whoever sits on the coordinator's line shows what went by before: changes since an earlier list
   than was asked for, an earlier list. It has to be as long, as the answer's head has gone by.
   Where old changes do not fit, the true ones are spoiled: either way the whole list is asked for
   next. Was something shown? */
static bool replay(const struct sim_life *l, bool are_changes, uint8_t *bytes, size_t size)
{
    if (are_changes && size == l->changes_bytes && memcmp(bytes, l->changes, size) != 0)
        memcpy(bytes, l->changes, size);
    else if (are_changes)
        bytes[size - 1] ^= 1; /* of the signature */
    else if (size == l->old_list_bytes)
        memcpy(bytes, l->old_list, size);
    else
        return false;
    return true;
}

/* The coordinator's newest list has just been told, whole or as changes. */
static void keep_list(struct sim_life *l)
{
    struct slice list;
    uint64_t number;
    if (!l->swarm->registry ||
        registry_members(l->swarm->registry, life_now_s(l), &list, &number, NULL) != ERR_OK ||
        number <= l->list_number || list.size > LIFE_LIST_BYTES)
        return;
    memcpy(l->old_list, l->list, l->list_bytes);
    l->old_list_bytes = l->list_bytes;
    memcpy(l->list, list.data, list.size);
    l->list_bytes = list.size;
    l->list_number = number;
}

/* Keeps the newest list, of the one before it a copy to be shown again, and the last changes. */
static void see_list(struct sim_life *l, uint8_t *bytes, size_t size)
{
    enum { CBOR_MAP = 5 }; /* changes; a whole list is an array */
    const bool are_changes = size > 0 && bytes[0] >> 5 == CBOR_MAP;
    if (life_now_ms(l) < l->replay_until_ms && replay(l, are_changes, bytes, size))
        return;
    if (are_changes && size <= LIFE_LIST_BYTES) {
        memcpy(l->changes, bytes, size);
        l->changes_bytes = size;
    }
    keep_list(l);
}

void promise_watch(void *user, const char *path, uint64_t offset, uint8_t *bytes, size_t size)
{
    struct sim_life *l = user;
    if (offset == 0 && strcmp(path, "/v1/repairs") == 0)
        see_ticket(l, slice_of(bytes, size));
    else if (offset == 0 &&
             (strcmp(path, "/v1/members") == 0 || strcmp(path, "/v1/members/changes") == 0))
        see_list(l, bytes, size);
}
