/*
 * A registry from what cells say, for a coordinator that takes a lost one's place.
 *
 *     old member list ──▶ cells, not gathered yet
 *     each cell: accounts' manifests and heads · segments (header + the device's record) · places ·
 *                freed names ──▶ gathered
 *     after each: which accounts count, which names are dead
 *
 * Nothing counts because one cell says it. A segment is one when its header hashes to its name and
 * a device that the account's manifest names has signed its record. A cell's shard of it stands in
 * the row as *unproven*: repair and find go by it, the ledger does not, until an auditor has had a
 * leaf of it or the device brings the receipt. An account counts (invites, starter) when two
 * households hold shards of it, or a cell and it have signed a claim. A freed name is dead when two
 * households say so, or when nobody holds a shard of it; one liar alone removes nothing from the
 * directory.
 */
#include "registry_internal.h"

#include "identity/claim.h"
#include "identity/head.h"
#include "identity/signed_record.h"
#include "segment/segment_header.h"
#include "wire/wire_heads.h"
#include "wire/wire_inventory.h"

#include <stdio.h>
#include <stdlib.h>

enum { RETRY_S = 30, AGREE = 2, HOLD_FACTOR = 3, HOLD_MORE_S = 86400 };

/* --- who is to be asked --- */

static enum err adopt_member(struct registry *registry, const struct member *member, int64_t now_s,
                             struct errmsg *msg)
{
    struct registry_cell *cell;
    enum err e = registry_cell_add(registry, &cell);
    if (e == ERR_OK) {
        cell->id = member->id;
        memcpy(cell->key, member->key, sizeof(cell->key));
        e = idmap_set(&registry->by_id, &cell->id, cell);
    }
    if (e == ERR_OK)
        e = buf_append(&cell->addresses, member->addresses.data, member->addresses.size);
    if (e != ERR_OK)
        return err_say(msg, e, "out of memory for the old members");
    snprintf(cell->site, sizeof(cell->site), "%.*s", (int)member->site.size,
             member->site.size ? (const char *)member->site.data : "");
    cell->give_bytes = (uint64_t)member->weight << 30; /* until its statement comes */
    cell->claimed = member->claimed;
    cell->household = member->household;
    cell->last_seen_s = now_s; /* the grace time begins anew */
    /* of trust the list says only who got no new shards: he has to prove something first */
    if (!member->eligible && member->weight > 0)
        cell->trust = REGISTRY_TRUST_NEW - 1;
    cell->ungathered = cell->uninformed = true;
    return registry_cell_write(registry, cell, msg);
}

enum err registry_adopt(struct registry *registry, const struct member_list *list, int64_t now_s,
                        struct errmsg *msg)
{
    struct slice signed_list;
    uint64_t number;
    if (registry->cell_count)
        return err_say(msg, ERR_STATE, "this registry has members already");
    enum err e = db_begin(registry->db, msg);
    if (e != ERR_OK)
        return e;
    for (size_t i = 0; i < list->count && e == ERR_OK; i++)
        e = adopt_member(registry, &list->members[i], now_s, msg);
    registry_households_changed(registry);
    registry->list_number = list->number;
    registry->list_hash = list->hash;
    registry->list_stale = true;
    registry_watch_deaf(registry, list->time_s, now_s);
    if (e == ERR_OK)
        e = registry_members(registry, now_s, &signed_list, &number, msg);
    if (e == ERR_OK)
        return db_commit(registry->db, msg);
    db_rollback(registry->db);
    return e;
}

bool registry_gather_next(struct registry *registry, int64_t now_s, struct registry_gather *out)
{
    for (size_t i = 0; i < registry->cell_count; i++) {
        struct registry_cell *cell = registry->cells[i];
        if ((!cell->ungathered && !cell->uninformed) || cell->gathering ||
            cell->gather_after_s > now_s)
            continue;
        *out = (struct registry_gather){.cell = cell->id, .gather = cell->ungathered};
        if (address_list_decode(buf_slice(&cell->addresses), &out->addresses) != ERR_OK ||
            out->addresses.count == 0) {
            cell->gather_after_s = now_s + RETRY_S;
            continue;
        }
        cell->gathering = true;
        return true;
    }
    return false;
}

uint64_t registry_gather_left(const struct registry *registry, uint64_t *tried)
{
    uint64_t left = 0;
    *tried = 0;
    for (size_t i = 0; i < registry->cell_count; i++) {
        left += registry->cells[i]->ungathered;
        *tried += registry->cells[i]->ungathered && registry->cells[i]->gather_after_s > 0 &&
                  !registry->cells[i]->gathering;
    }
    return left;
}

/* --- rows --- */

/* Runs a statement with an ID and a number or two. */
static enum err run(struct registry *registry, const char *sql, const struct id *id, int64_t second,
                    int64_t third, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db, sql, &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, id);
    db_bind_i64(s, 2, second);
    db_bind_i64(s, 3, third);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

/* *out: the first column, or `none` without a row. */
static enum err look(struct registry *registry, const char *sql, const struct id *id, int64_t none,
                     int64_t *out, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db, sql, &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, id);
    e = db_step(s, msg);
    *out = e == ERR_OK ? db_column_i64(s, 0) : none;
    db_done(s);
    return e == ERR_END ? ERR_OK : e;
}

static bool has_id(const struct buf *ids, const struct id *id)
{
    for (size_t at = 0; at < ids->size; at += ID_SIZE)
        if (memcmp(ids->data + at, id->bytes, ID_SIZE) == 0)
            return true;
    return false;
}

enum err registry_gather_page(struct registry *registry, struct wire_list items,
                              struct buf *segments, struct buf *accounts, struct errmsg *msg)
{
    struct wire_inventory_item item;
    struct id last = {0};
    enum err e = ERR_OK;
    while (e == ERR_OK && wire_inventory_next(&items, &item)) {
        int64_t known;
        if (item.state == WIRE_SHARD_DEAD || id_equal(&item.segment, &last))
            continue;
        last = item.segment;
        if (!has_id(accounts, &item.account))
            e = buf_append(accounts, item.account.bytes, ID_SIZE);
        if (e == ERR_OK)
            e = look(registry,
                     "SELECT 1 FROM segment WHERE id = ?1 UNION ALL"
                     " SELECT 1 FROM removed WHERE id = ?1 AND waiting = 1",
                     &item.segment, 0, &known, msg);
        if (e == ERR_OK && !known)
            e = buf_append(segments, item.segment.bytes, ID_SIZE);
    }
    return e;
}

/* --- manifests and heads --- */

static enum err take_head(struct registry *registry, const struct manifest *m, struct slice doc,
                          struct errmsg *msg)
{
    struct head *head = malloc(sizeof(*head));
    if (!head)
        return err_say(msg, ERR_NOMEM, "out of memory for a head");
    enum err e = head_open(doc, registry->options.swarm, NULL, head, msg);
    const struct manifest_device *device =
        e == ERR_OK ? manifest_device_find(m, &head->device) : NULL;
    if (e == ERR_NOMEM) {
        free(head);
        return e;
    }
    const bool counts = device && device->slot == head->slot &&
                        id_equal(&head->account, &m->account) &&
                        manifest_valid(device, head->sequence);
    e = ERR_OK; /* what does not count is left out */
    if (counts)
        e = documents_head_put(registry->db, &m->account, &head->device, head->sequence, doc, msg);
    free(head);
    return e == ERR_STALE || e == ERR_EXISTS ? ERR_OK : e;
}

/* The newest manifest; *out owned, NULL when none is known. */
static enum err load_manifest(struct registry *registry, const struct id *account,
                              struct manifest **out, struct errmsg *msg)
{
    struct buf doc = BUF_INIT(LIMIT_MANIFEST_BYTES);
    uint64_t number;
    *out = NULL;
    enum err e = documents_manifest_get(registry->db, account, &number, &doc, msg);
    if (e == ERR_OK)
        e = manifest_open(buf_slice(&doc), registry->options.swarm, out, msg);
    buf_free(&doc);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err take_manifest(struct registry *registry, const struct id *account, struct slice doc,
                              struct errmsg *msg)
{
    struct manifest *m, *known;
    enum err e = manifest_open(doc, registry->options.swarm, &m, msg);
    if (e != ERR_OK)
        return e == ERR_NOMEM ? e : ERR_OK; /* what does not verify is no manifest */
    e = load_manifest(registry, account, &known, msg);
    if (e == ERR_OK && id_equal(&m->account, account) &&
        (!known || manifest_follows(known, m, NULL) == ERR_OK))
        e = documents_manifest_put(registry->db, account, m->number, doc, msg);
    manifest_free(known);
    manifest_free(m);
    return e == ERR_STALE ? ERR_OK : e;
}

enum err registry_gather_heads(struct registry *registry, const struct id *account,
                               struct slice body, struct errmsg *msg)
{
    struct wire_heads heads;
    struct manifest *m = NULL;
    struct slice doc;
    enum err e = wire_heads_decode(body, &heads);
    if (e != ERR_OK)
        return err_say(msg, e, "an account's heads cannot be read");
    if (heads.manifest.size)
        e = take_manifest(registry, account, heads.manifest, msg);
    if (e == ERR_OK)
        e = load_manifest(registry, account, &m, msg);
    while (e == ERR_OK && m && wire_heads_next(&heads.list, &doc))
        e = take_head(registry, m, doc, msg);
    manifest_free(m);
    return e;
}

enum err registry_gather_claim(struct registry *registry, const struct id *id, struct slice doc,
                               int64_t now_s, struct errmsg *msg)
{
    struct registry_cell *cell = registry_cell_find(registry, id);
    struct claim claim;
    struct manifest *m = NULL;
    bool holds = false;
    enum err e = ERR_OK;
    if (!cell)
        return ERR_OK;
    const enum err opened =
        doc.size ? claim_open(doc, registry->options.swarm, &claim, msg) : ERR_NOT_FOUND;
    if (opened == ERR_NOMEM)
        return opened;
    if (opened == ERR_OK && claim.whole && !claim.released && id_equal(&claim.cell, id)) {
        e = load_manifest(registry, &claim.account, &m, msg);
        const struct manifest_device *device = m ? manifest_device_find(m, &claim.signer) : NULL;
        holds = claim.by_root || (device && manifest_may(device, MANIFEST_ADMIN));
    }
    manifest_free(m);
    if (e != ERR_OK)
        return e;
    registry->list_stale |=
        cell->claimed != holds || (holds && !id_equal(&cell->household, &claim.account));
    cell->claimed = holds;
    cell->household = holds ? claim.account : cell->household;
    registry_households_changed(registry);
    if (holds) {
        struct db_statement *s;
        e = db_prepare(registry->db, "INSERT OR REPLACE INTO claim (cell, doc) VALUES (?1, ?2)", &s,
                       msg);
        if (e != ERR_OK)
            return e;
        db_bind_id(s, 1, id);
        db_bind_blob(s, 2, doc);
        e = db_run(s, msg);
        db_done(s);
        if (e == ERR_OK)
            e = run(registry,
                    "INSERT INTO account (id, joined_s, confirmed) VALUES (?1, ?2, ?3)"
                    " ON CONFLICT (id) DO UPDATE SET confirmed = 1",
                    &claim.account, now_s, 1, msg);
    }
    return e == ERR_OK ? registry_cell_write(registry, cell, msg) : e;
}

/* Whose manifest a claim needs: appended to `accounts`. */
enum err registry_gather_claimant(struct registry *registry, struct slice doc, struct buf *accounts)
{
    struct claim claim;
    if (!doc.size || claim_open(doc, registry->options.swarm, &claim, NULL) != ERR_OK ||
        has_id(accounts, &claim.account))
        return ERR_OK;
    return buf_append(accounts, claim.account.bytes, ID_SIZE);
}

/* --- segments --- */

struct describing {
    struct registry *registry;
    struct manifest *manifest; /* owned: of the last segment's account, or NULL */
    uint64_t refused;
    int64_t now_s;
};

static enum err account_row(struct registry *registry, const struct id *account, int64_t now_s,
                            int64_t *number, struct errmsg *msg)
{
    enum err e =
        run(registry, "INSERT OR IGNORE INTO account (id, joined_s, confirmed) VALUES (?1, ?2, ?3)",
            account, now_s, 0, msg); /* its lease begins anew */
    return e == ERR_OK
               ? look(registry, "SELECT number FROM account WHERE id = ?1", account, 0, number, msg)
               : e;
}

static enum err insert_segment(struct registry *registry, const struct id *id,
                               const struct segment_header *header, int64_t now_s,
                               struct errmsg *msg)
{
    struct db_statement *s;
    int64_t account;
    enum err e = account_row(registry, &header->account, now_s, &account, msg);
    if (e == ERR_OK)
        e = db_prepare(registry->db,
                       "INSERT OR IGNORE INTO segment (id, account, k, m, shard_bytes, shards)"
                       " VALUES (?1, ?2, ?3, ?4, ?5, x'')",
                       &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, id);
    db_bind_i64(s, 2, account);
    db_bind_u64(s, 3, header->k);
    db_bind_u64(s, 4, header->m);
    db_bind_u64(s, 5, header->shard_bytes);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

/* Is it what a device of the account has signed? */
static enum err check_record(struct describing *d, const struct id *id,
                             const struct segment_header *header, struct slice doc, bool *out,
                             struct errmsg *msg)
{
    struct signed_record record;
    enum err e = signed_record_open(doc, d->registry->options.swarm, NULL, &record, NULL);
    *out = false;
    if (e == ERR_NOMEM)
        return e;
    if (e != ERR_OK || !id_equal(&record.segment, id) ||
        !id_equal(&record.account, &header->account) || record.slot != header->device_slot)
        return ERR_OK;
    if (!d->manifest || !id_equal(&d->manifest->account, &header->account)) {
        manifest_free(d->manifest);
        d->manifest = NULL;
        e = load_manifest(d->registry, &header->account, &d->manifest, msg);
    }
    const struct manifest_device *device =
        d->manifest ? manifest_device_find(d->manifest, &record.device) : NULL;
    *out = device && device->slot == record.slot && manifest_valid(device, record.sequence);
    return e;
}

static enum err take_described(struct describing *d, const struct id *id,
                               const struct wire_described *segment, struct errmsg *msg)
{
    struct segment_header header;
    struct id name;
    bool holds = false;
    enum err e = ERR_OK;
    segment_header_id(segment->header, &name);
    if (id_equal(&name, id) && segment_header_decode(segment->header, &header, NULL) == ERR_OK)
        e = check_record(d, id, &header, segment->record, &holds, msg);
    d->refused += e == ERR_OK && !holds;
    return e == ERR_OK && holds ? insert_segment(d->registry, id, &header, d->now_s, msg) : e;
}

enum err registry_gather_segments(struct registry *registry, struct slice ids,
                                  struct wire_list described, int64_t now_s, uint64_t *refused,
                                  struct errmsg *msg)
{
    struct describing d = {.registry = registry, .now_s = now_s};
    struct wire_described segment;
    enum err e = db_begin(registry->db, msg);
    if (e != ERR_OK)
        return e;
    while (e == ERR_OK && wire_described_next(&described, &segment)) {
        struct id id;
        if ((size_t)segment.position * ID_SIZE + ID_SIZE > ids.size)
            continue;
        memcpy(id.bytes, ids.data + (size_t)segment.position * ID_SIZE, ID_SIZE);
        e = take_described(&d, &id, &segment, msg);
    }
    manifest_free(d.manifest);
    *refused += d.refused;
    if (e == ERR_OK)
        return db_commit(registry->db, msg);
    db_rollback(registry->db);
    return e;
}

/* --- places --- */

static enum err add_unproven(struct registry *registry, const struct registry_segment *segment,
                             const struct registry_place *place, struct errmsg *msg)
{
    enum err e =
        run(registry, "INSERT OR IGNORE INTO unproven (segment, cell, idx) VALUES (?1, ?2, ?3)",
            &segment->id, place->cell->number, place->index, msg);
    if (e != ERR_OK || db_changes(registry->db) == 0)
        return e;
    registry->unproven_rows++;
    return run(registry,
               "INSERT INTO ledger_cell (cell, bytes, unproven_bytes) SELECT ?2, 0, ?3"
               " WHERE ?1 IS NULL ON CONFLICT (cell) DO UPDATE SET"
               " unproven_bytes = unproven_bytes + ?3",
               NULL, place->cell->number, segment->shard_bytes, msg);
}

static enum err take_place(struct registry *registry, struct registry_cell *cell,
                           const struct wire_inventory_item *item, struct errmsg *msg)
{
    struct registry_segment segment;
    struct id account;
    enum err e = registry_segment_get(registry, &item->segment, &segment, msg);
    if (e != ERR_OK)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    e = registry_account_id(registry, segment.account, &account, msg);
    if (e != ERR_OK)
        return e;
    if (!id_equal(&account, &item->account) || item->index >= segment.k + segment.m ||
        segment.count == WIRE_FOUND_SHARDS)
        return ERR_OK;
    for (size_t i = 0; i < segment.count; i++)
        if (segment.places[i].index == item->index && segment.places[i].cell == cell)
            return ERR_OK;
    const struct registry_place place = {.index = item->index, .cell = cell};
    segment.places[segment.count++] = place;
    e = registry_segment_put(registry, &segment, msg);
    if (e == ERR_OK)
        e = add_unproven(registry, &segment, &place, msg);
    if (e == ERR_OK && item->state == WIRE_SHARD_DAMAGED)
        e = registry_damage_mark(registry, &segment.id, item->index, cell, msg);
    registry_held(registry, &segment.id, cell, 1);
    return e;
}

static enum err add_voice(struct registry *registry, const struct registry_cell *cell,
                          const struct id *segment, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db,
                            "INSERT OR IGNORE INTO dead_voice (segment, household) VALUES (?1, ?2)",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    db_bind_id(s, 2, registry_household(cell));
    e = db_run(s, msg);
    db_done(s);
    return e;
}

enum err registry_gather_places(struct registry *registry, const struct id *id,
                                struct wire_list items, struct errmsg *msg)
{
    struct registry_cell *cell = registry_cell_find(registry, id);
    struct wire_inventory_item item;
    if (!cell)
        return ERR_OK;
    enum err e = db_begin(registry->db, msg);
    if (e != ERR_OK)
        return e;
    while (e == ERR_OK && wire_inventory_next(&items, &item)) {
        if (item.state != WIRE_SHARD_DEAD)
            e = take_place(registry, cell, &item, msg);
        if (e == ERR_OK && (item.state == WIRE_SHARD_DEAD || item.state == WIRE_SHARD_WAITING))
            e = add_voice(registry, cell, &item.segment, msg);
    }
    if (e == ERR_OK)
        return db_commit(registry->db, msg);
    db_rollback(registry->db);
    return e;
}

/* --- what counts, after each cell --- */

/* Households of members: how many there are at all, 0, 1, 2 or 3 for more. */
static unsigned households(const struct registry *registry)
{
    const struct id *met[3];
    unsigned count = 0;
    for (size_t i = 0; i < registry->cell_count && count < 3; i++) {
        const struct id *household = registry_household(registry->cells[i]);
        bool known = false;
        for (unsigned j = 0; j < count; j++)
            known |= id_equal(met[j], household);
        if (!known)
            met[count++] = household;
    }
    return count;
}

static enum err confirm_accounts(struct registry *registry, struct errmsg *msg)
{
    struct db_statement *s;
    const unsigned needed = households(registry) > AGREE ? AGREE : 1;
    struct buf numbers = BUF_INIT(1u << 26);
    const struct id *first = NULL;
    int64_t at = -1;
    enum err e = db_prepare(registry->db,
                            "SELECT l.account, l.cell FROM ledger AS l JOIN account AS a"
                            " ON a.number = l.account WHERE a.confirmed = 0 AND l.bytes > 0"
                            " ORDER BY l.account",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    while ((e = db_step(s, msg)) == ERR_OK) {
        const int64_t account = db_column_i64(s, 0);
        const struct id *household = registry_household(registry->cells[db_column_u64(s, 1) - 1]);
        if (account != at)
            first = NULL;
        if ((!first && needed == 1) || (first && !id_equal(first, household)))
            e = buf_append_le64(&numbers, (uint64_t)account);
        if (e != ERR_OK)
            break;
        first = first ? first : household;
        at = account;
    }
    db_done(s);
    e = e == ERR_END ? ERR_OK : e;
    for (size_t i = 0; i < numbers.size && e == ERR_OK; i += 8)
        e = run(registry,
                "UPDATE account SET confirmed = 1 WHERE number = ?2 AND ?1 IS NULL AND ?3 = 0",
                NULL, (int64_t)get_le64(numbers.data + i), 0, msg);
    buf_free(&numbers);
    return e;
}

/* Does a household that has not said that it is dead hold a shard of it? */
static enum err is_held(struct registry *registry, const struct id *segment, bool *held,
                        struct errmsg *msg)
{
    struct registry_segment row;
    *held = false;
    enum err e = registry_segment_get(registry, segment, &row, msg);
    for (size_t i = 0; e == ERR_OK && i < row.count && !*held; i++) {
        struct db_statement *s;
        e = db_prepare(registry->db,
                       "SELECT 1 FROM dead_voice WHERE segment = ?1 AND household = ?2", &s, msg);
        if (e != ERR_OK)
            return e;
        db_bind_id(s, 1, segment);
        db_bind_id(s, 2, registry_household(row.places[i].cell));
        e = db_step(s, msg);
        db_done(s);
        *held = e == ERR_END;
        e = e == ERR_END ? ERR_OK : e;
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err bury(struct registry *registry, const struct id *segment, int64_t now_s,
                     struct errmsg *msg)
{
    static const struct id nobody;
    struct db_statement *s;
    enum err e = db_prepare(
        registry->db,
        "INSERT OR IGNORE INTO removed (id, account, k, m, shard_bytes, shards, signer, sequence,"
        " until_s, waiting, counted, hold_end_s)"
        " SELECT id, account, k, m, shard_bytes, shards, ?2, 0, ?3, 1, 1, ?4 FROM segment"
        " WHERE id = ?1 UNION ALL SELECT ?1, 0, 1, 0, 0, x'', ?2, 0, ?3, 1, 0, 0"
        " WHERE NOT EXISTS (SELECT 1 FROM segment WHERE id = ?1)",
        &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, segment);
    db_bind_id(s, 2, &nobody);
    db_bind_i64(s, 3, now_s + HOLD_FACTOR * (int64_t)MANIFEST_HOLD_DEFAULT_S + HOLD_MORE_S);
    db_bind_i64(s, 4, now_s + (int64_t)MANIFEST_HOLD_DEFAULT_S);
    e = db_run(s, msg);
    db_done(s);
    if (e == ERR_OK)
        e = run(registry, "DELETE FROM segment WHERE id = ?1 AND ?2 = ?3", segment, 0, 0, msg);
    if (e == ERR_OK)
        e = run(registry, "DELETE FROM repair WHERE segment = ?1 AND ?2 = ?3", segment, 0, 0, msg);
    registry->repairs_changed = true;
    return e == ERR_OK ? run(registry, "DELETE FROM dead_voice WHERE segment = ?1 AND ?2 = ?3",
                             segment, 0, 0, msg)
                       : e;
}

static enum err judge_dead(struct registry *registry, int64_t now_s, struct errmsg *msg)
{
    struct db_statement *s;
    struct buf ids = BUF_INIT(1u << 30);
    enum err e = db_prepare(registry->db,
                            "SELECT segment, count(*) FROM dead_voice GROUP BY segment", &s, msg);
    if (e != ERR_OK)
        return e;
    while ((e = db_step(s, msg)) == ERR_OK) {
        const struct slice id = db_column_blob(s, 0);
        const uint8_t enough = db_column_u64(s, 1) >= AGREE;
        e = id.size == ID_SIZE ? buf_append(&ids, id.data, id.size) : ERR_CORRUPT;
        if (e == ERR_OK)
            e = buf_append_u8(&ids, enough);
        if (e != ERR_OK)
            break;
    }
    db_done(s);
    e = e == ERR_END ? ERR_OK : e;
    for (size_t at = 0; at < ids.size && e == ERR_OK; at += ID_SIZE + 1) {
        struct id id;
        bool held = false;
        memcpy(id.bytes, ids.data + at, ID_SIZE);
        if (!ids.data[at + ID_SIZE])
            e = is_held(registry, &id, &held, msg);
        if (e == ERR_OK && !held)
            e = bury(registry, &id, now_s, msg);
    }
    buf_free(&ids);
    return e;
}

enum err registry_gather_end(struct registry *registry, const struct id *id, enum err how,
                             int64_t now_s, struct errmsg *msg)
{
    struct registry_cell *cell = registry_cell_find(registry, id);
    if (!cell)
        return ERR_OK;
    cell->gathering = false;
    cell->gather_after_s = now_s + RETRY_S;
    if (how != ERR_OK)
        return ERR_OK;
    const bool was = cell->ungathered;
    cell->uninformed = cell->ungathered = false;
    if (!was)
        return ERR_OK;
    uint64_t tried;
    enum err e = db_begin(registry->db, msg);
    if (e != ERR_OK)
        return e;
    e = registry_cell_write(registry, cell, msg);
    if (e == ERR_OK)
        e = confirm_accounts(registry, msg);
    /* the last one that can be had, or one of many: judged when all have spoken */
    if (e == ERR_OK && registry_gather_left(registry, &tried) == tried)
        e = judge_dead(registry, now_s, msg);
    registry->swept_s = 0; /* what is missing now may need repair */
    if (e == ERR_OK)
        return db_commit(registry->db, msg);
    db_rollback(registry->db);
    return e;
}

/* --- proofs of what cells said --- */

enum err registry_unproven_clear(struct registry *registry, const struct id *segment,
                                 unsigned index, const struct registry_cell *cell,
                                 uint32_t shard_bytes, struct errmsg *msg)
{
    if (registry->unproven_rows == 0)
        return ERR_OK;
    enum err e = run(registry, "DELETE FROM unproven WHERE segment = ?1 AND cell = ?2 AND idx = ?3",
                     segment, cell->number, index, msg);
    if (e != ERR_OK || db_changes(registry->db) == 0)
        return e;
    if (registry->unproven_rows > 1) /* a roll back leaves it too low, never 0 */
        registry->unproven_rows--;
    return run(registry,
               "UPDATE ledger_cell SET unproven_bytes = max(unproven_bytes - ?3, 0)"
               " WHERE cell = ?2 AND ?1 IS NULL",
               NULL, cell->number, shard_bytes, msg);
}

enum err registry_unproven_leave(struct registry *registry, const struct id *segment,
                                 uint32_t shard_bytes, struct slice before, struct slice after,
                                 struct errmsg *msg)
{
    enum err e = ERR_OK;
    for (size_t at = 0; registry->unproven_rows && at < before.size && e == ERR_OK;
         at += SHARD_ROW_BYTES) {
        const uint32_t number = get_le32(before.data + at + 1);
        bool stays = number == 0 || number > registry->cell_count;
        for (size_t i = 0; i < after.size && !stays; i += SHARD_ROW_BYTES)
            stays = memcmp(after.data + i, before.data + at, SHARD_ROW_BYTES) == 0;
        if (!stays)
            e = registry_unproven_clear(registry, segment, before.data[at],
                                        registry->cells[number - 1], shard_bytes, msg);
    }
    return e;
}

/* Of those in the directory: what is deleted waits for the end of its hold without a proof. */
static enum err unproven_behind(struct registry *registry, uint32_t cell, const struct id *lot,
                                struct id *segment, unsigned *index, struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db,
                            "SELECT u.segment, u.idx FROM unproven AS u JOIN segment AS g"
                            " ON g.id = u.segment WHERE u.cell = ?1 AND u.segment >= ?2"
                            " ORDER BY u.segment LIMIT 1",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_u64(s, 1, cell);
    db_bind_id(s, 2, lot);
    e = db_step(s, msg);
    if (e == ERR_OK) {
        *index = (unsigned)db_column_u64(s, 1);
        e = db_column_id(s, 0, segment);
    }
    db_done(s);
    return e;
}

/* Cells in turn, so that one that does not answer stops no other's proofs. */
enum err registry_unproven_pick(struct registry *registry, const struct id *not_of,
                                struct id *segment, unsigned *index, struct registry_cell **cell,
                                struct errmsg *msg)
{
    static const struct id first;
    struct id lot;
    random_fill(registry->options.random, lot.bytes, sizeof(lot.bytes));
    for (size_t i = 0; registry->unproven_rows && i < registry->cell_count; i++) {
        registry->unproven_turn = (registry->unproven_turn + 1) % registry->cell_count;
        *cell = registry->cells[registry->unproven_turn];
        if (id_equal(registry_household(*cell), not_of))
            continue;
        enum err e = unproven_behind(registry, (*cell)->number, &lot, segment, index, msg);
        if (e == ERR_END)
            e = unproven_behind(registry, (*cell)->number, &first, segment, index, msg);
        if (e != ERR_END)
            return e;
    }
    if (registry->unproven_rows == 1) { /* it may be 0: see registry_unproven_clear() */
        int64_t rows = 1;
        const enum err e = db_number(registry->db, "SELECT count(*) FROM unproven", &rows, msg);
        if (e != ERR_OK)
            return e;
        registry->unproven_rows = (uint64_t)rows;
    }
    return ERR_NOT_FOUND;
}
