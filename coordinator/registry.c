#include "registry_internal.h"

#include <stdlib.h>

static const char *const migrations[] = {
    "CREATE TABLE cell (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, key BLOB NOT NULL,"
    " addresses BLOB NOT NULL, site TEXT NOT NULL, sequence INTEGER NOT NULL,"
    " give_bytes INTEGER NOT NULL, household BLOB, leaving INTEGER NOT NULL,"
    " last_seen_s INTEGER NOT NULL, free_bytes INTEGER NOT NULL, used_bytes INTEGER NOT NULL,"
    " shard_count INTEGER NOT NULL, damaged_count INTEGER NOT NULL);"
    "CREATE TABLE claim (cell BLOB PRIMARY KEY, doc BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE account (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE,"
    " joined_s INTEGER NOT NULL);"
    "CREATE TABLE invite_use (invite BLOB NOT NULL, peer BLOB NOT NULL, used_s INTEGER NOT NULL,"
    " PRIMARY KEY (invite, peer)) WITHOUT ROWID;"
    "CREATE TABLE segment (id BLOB PRIMARY KEY, account INTEGER NOT NULL, k INTEGER NOT NULL,"
    " m INTEGER NOT NULL, shard_bytes INTEGER NOT NULL, shards BLOB NOT NULL) WITHOUT "
    "ROWID;" DOCUMENTS_SCHEMA,

    /* repair and proof */
    "ALTER TABLE cell ADD COLUMN away_until_s INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE cell ADD COLUMN trust INTEGER NOT NULL DEFAULT 1000;"
    "ALTER TABLE cell ADD COLUMN proof_count INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE cell ADD COLUMN fault_count INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE repair (segment BLOB PRIMARY KEY, margin INTEGER NOT NULL,"
    " state INTEGER NOT NULL, due_s INTEGER NOT NULL, sweep INTEGER NOT NULL,"
    " tries INTEGER NOT NULL DEFAULT 0, repairer BLOB, ticket BLOB, targets BLOB,"
    " lease_s INTEGER NOT NULL DEFAULT 0, doubter BLOB) WITHOUT ROWID;"
    "CREATE INDEX repair_next ON repair (state, margin);"
    "CREATE TABLE damage (segment BLOB NOT NULL, idx INTEGER NOT NULL, cell INTEGER NOT NULL,"
    " PRIMARY KEY (segment, idx, cell)) WITHOUT ROWID;"
    "CREATE TABLE doubt (segment BLOB NOT NULL, idx INTEGER NOT NULL, cell INTEGER NOT NULL,"
    " voice BLOB NOT NULL, time_s INTEGER NOT NULL,"
    " PRIMARY KEY (segment, idx, cell, voice)) WITHOUT ROWID;",

    /* deletion: orders, the cells that have not taken them yet, and the rows of deleted segments */
    "CREATE TABLE removal_order (number INTEGER PRIMARY KEY AUTOINCREMENT, account BLOB NOT NULL,"
    " kind INTEGER NOT NULL, doc BLOB NOT NULL);"
    "CREATE TABLE removal_debt (cell INTEGER NOT NULL, number INTEGER NOT NULL,"
    " PRIMARY KEY (cell, number)) WITHOUT ROWID;"
    "CREATE INDEX removal_debt_number ON removal_debt (number);"
    "CREATE TABLE removed (id BLOB PRIMARY KEY, account INTEGER NOT NULL, k INTEGER NOT NULL,"
    " m INTEGER NOT NULL, shard_bytes INTEGER NOT NULL, shards BLOB NOT NULL,"
    " signer BLOB NOT NULL, sequence INTEGER NOT NULL, until_s INTEGER NOT NULL,"
    " waiting INTEGER NOT NULL) WITHOUT ROWID",

    DOCUMENTS_SCHEMA_REQUESTS,

    /* the ledger: bytes of an account at a cell, by what the directory says (registry_ledger.c);
       what grants promise; shards that a new coordinator was told of and has no proof of yet */
    "CREATE TABLE ledger (account INTEGER NOT NULL, cell INTEGER NOT NULL, bytes INTEGER NOT NULL,"
    " PRIMARY KEY (account, cell)) WITHOUT ROWID;"
    "CREATE TABLE ledger_cell (cell INTEGER PRIMARY KEY, bytes INTEGER NOT NULL,"
    " unproven_bytes INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE promise (account BLOB PRIMARY KEY, began_s INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL, bytes_before INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE unproven (cell INTEGER NOT NULL, segment BLOB NOT NULL, idx INTEGER NOT NULL,"
    " PRIMARY KEY (cell, segment, idx)) WITHOUT ROWID;"
    "CREATE INDEX damage_cell ON damage (cell);"
    "CREATE INDEX cell_household ON cell (household) WHERE household IS NOT NULL;"
    "ALTER TABLE removed ADD COLUMN counted INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE removed ADD COLUMN hold_end_s INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX removed_counted ON removed (hold_end_s) WHERE counted = 1;"
    /* how cells do */
    "ALTER TABLE cell ADD COLUMN observed_s INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE cell ADD COLUMN up_s INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE cell ADD COLUMN lost INTEGER NOT NULL DEFAULT 0",

    /* shards that have moved: which one an order is about, and the ticket that moves it */
    "ALTER TABLE removal_order ADD COLUMN segment BLOB;"
    "ALTER TABLE removal_order ADD COLUMN idx INTEGER;"
    "ALTER TABLE removal_order ADD COLUMN time_s INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX removal_order_segment ON removal_order (segment) WHERE segment IS NOT NULL;"
    "ALTER TABLE repair ADD COLUMN ticket_doc BLOB",

    /* leases */
    "CREATE TABLE renewal (account INTEGER PRIMARY KEY, signer BLOB NOT NULL,"
    " sequence INTEGER NOT NULL, received_s INTEGER NOT NULL, doc BLOB NOT NULL)",

    /* a registry that is rebuilt: what has not been asked, who is not believed yet */
    "ALTER TABLE cell ADD COLUMN ungathered INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE account ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 1;"
    "CREATE TABLE dead_voice (segment BLOB NOT NULL, household BLOB NOT NULL,"
    " PRIMARY KEY (segment, household)) WITHOUT ROWID",

    /* silence while the coordinator was away does not count */
    "ALTER TABLE cell ADD COLUMN unheard_s INTEGER NOT NULL DEFAULT 0",

    /* what cells have said of each other by lot: one verdict counts for a day and a pair */
    "CREATE TABLE verdict (day INTEGER NOT NULL, auditor INTEGER NOT NULL, cell INTEGER NOT NULL,"
    " PRIMARY KEY (day, auditor, cell)) WITHOUT ROWID",
};

static enum err load_list(struct registry *registry, struct errmsg *msg)
{
    struct member_list *list;
    enum err e = documents_fact_get(registry->db, REGISTRY_FACT_LIST, &registry->list, msg);
    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    if (e == ERR_OK)
        e = member_list_open(buf_slice(&registry->list), registry->options.swarm, &list, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "the member list in the registry");
    registry->list_number = list->number;
    registry->list_hash = list->hash;
    registry_list_known(registry, list);
    /* one that another incarnation signed is not ours to hand out */
    registry->list_stale = list->incarnation != registry->options.incarnation ||
                           !slice_equal(list->coordinator_doc, registry->options.certificate);
    /* we have moved: cells are told, not only answered */
    for (size_t i = 0; registry->list_stale && i < registry->cell_count; i++)
        registry->cells[i]->uninformed = true;
    member_list_free(list);
    return ERR_OK;
}

void registry_set_timers(struct registry *registry, const struct registry_options *options)
{
    struct registry_options *now = &registry->options;
    now->asleep_after_ms = options->asleep_after_ms;
    now->gone_after_ms = options->gone_after_ms;
    now->proof_period_ms = options->proof_period_ms;
    now->repair_percent =
        options->repair_percent ? options->repair_percent : REGISTRY_REPAIR_PERCENT;
    now->lease_s = options->lease_s ? options->lease_s : REGISTRY_LEASE_S;
    now->repair_delay_s = options->repair_delay_s;
    now->account_lease_s = options->account_lease_s ? options->account_lease_s : REGISTRY_ACCOUNT_S;
    now->beat_ms = options->beat_ms ? options->beat_ms : options->asleep_after_ms / 4;
    now->starter_bytes = options->starter_bytes ? options->starter_bytes : REGISTRY_STARTER_BYTES;
    now->quota_percent =
        options->quota_percent && options->quota_percent < 100 ? options->quota_percent : 100;
    registry->swept_s = 0; /* what is due may have changed */
}

enum err registry_open(const struct registry_options *options, struct registry **out,
                       struct errmsg *msg)
{
    *out = NULL;
    struct registry *registry = calloc(1, sizeof(*registry));
    if (!registry)
        return err_say(msg, ERR_NOMEM, "out of memory for a registry");
    registry->options = *options;
    if (!registry->options.grant_s)
        registry->options.grant_s = REGISTRY_GRANT_S;
    registry_set_timers(registry, options);
    registry->list = BUF_INIT(LIMIT_MEMBER_LIST_BYTES);
    registry->list_stale = true;
    registry->orders_number = 1;
    const struct db_options db = {
        .path = options->path,
        .vfs = options->vfs,
        .what = "the coordinator's registry",
        .application_id = 0x434c5247, /* "CLRG" */
        .migrations = migrations,
        .migration_count = ARRAY_COUNT(migrations),
        .create = true,
        .exclusive = true,
        .cache_bytes = 64u << 20,
    };
    enum err e = db_open(&db, &registry->db, msg);
    if (e == ERR_OK)
        e = registry_cells_load(registry, msg);
    if (e == ERR_OK)
        e = load_list(registry, msg);
    if (e == ERR_OK)
        e = registry_repair_load(registry, msg);
    if (e == ERR_OK)
        e = registry_ledger_load(registry, msg);
    if (e == ERR_OK)
        e = registry_watch_load(registry, msg);
    if (e != ERR_OK) {
        registry_close(registry);
        return e;
    }
    *out = registry;
    return ERR_OK;
}

void registry_close(struct registry *registry)
{
    if (!registry)
        return;
    struct errmsg msg;
    if (registry->db && registry_flush(registry, &msg) != ERR_OK)
        log_say(registry->options.log, LOG_WARN, "the last heartbeats are not written: %s",
                msg.text);
    for (size_t i = 0; i < registry->cell_count; i++) {
        buf_free(&registry->cells[i]->addresses);
        free(registry->cells[i]);
    }
    free(registry->cells);
    idmap_free(&registry->by_id);
    registry_list_forget_changes(registry);
    buf_free(&registry->list);
    free(registry->group);
    registry_ledger_free(registry);
    db_close(registry->db);
    free(registry);
}

struct db *registry_db(struct registry *registry)
{
    return registry->db;
}

/* --- invites --- */

static enum err count_uses(struct registry *registry, const struct invite *invite,
                           const struct id *peer, uint64_t *uses, bool *by_peer, struct errmsg *msg)
{
    struct db_statement *s;
    const enum err prepared = db_prepare(
        registry->db,
        "SELECT count(*), coalesce(sum(peer = ?2), 0) FROM invite_use WHERE invite = ?1", &s, msg);
    if (prepared != ERR_OK)
        return prepared;
    db_bind_blob(s, 1, slice_of(invite->id, sizeof(invite->id)));
    db_bind_id(s, 2, peer);
    const enum err e = db_step(s, msg);
    if (e == ERR_OK) {
        *uses = db_column_u64(s, 0);
        *by_peer = db_column_bool(s, 1);
    }
    db_done(s);
    return e;
}

/* May `peer` use it (again)? Writes the use down, inside the caller's transaction. */
static enum err redeem(struct registry *registry, struct slice doc, enum invite_kind kind,
                       const struct id *peer, int64_t now_s, bool *stranger, struct errmsg *msg)
{
    struct invite invite;
    uint64_t uses = 0;
    bool by_peer = false;
    enum err e =
        invite_open(doc, registry->options.swarm, sign_key_id(registry->options.key), &invite, msg);
    if (e != ERR_OK)
        return err_say(msg, ERR_DENIED, "the invite was not issued by this coordinator");
    if (invite.kind != kind)
        return err_say(msg, ERR_DENIED, "the invite is for %s, not for %s",
                       invite.kind == INVITE_CELL ? "a cell" : "an account",
                       kind == INVITE_CELL ? "a cell" : "an account");
    if (invite.incarnation != registry->options.incarnation)
        return err_say(msg, ERR_DENIED,
                       "the invite is of an earlier coordinator: ask for a new one");
    *stranger = invite.stranger;
    e = count_uses(registry, &invite, peer, &uses, &by_peer, msg);
    if (e != ERR_OK || by_peer)
        return e;
    if (now_s > invite.expires_s)
        return err_say(msg, ERR_DENIED, "the invite has expired: ask for a new one");
    if (uses >= invite.uses)
        return err_say(msg, ERR_DENIED, "the invite has been used already: ask for a new one");
    struct db_statement *s;
    e = db_prepare(registry->db,
                   "INSERT INTO invite_use (invite, peer, used_s) VALUES (?1, ?2, ?3)", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_blob(s, 1, slice_of(invite.id, sizeof(invite.id)));
    db_bind_id(s, 2, peer);
    db_bind_i64(s, 3, now_s);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

/* --- joining --- */

static enum err add_cell(struct registry *registry, const struct member_statement *statement,
                         bool stranger, int64_t now_s, struct errmsg *msg)
{
    struct registry_cell *cell = registry_cell_find(registry, &statement->cell);
    bool changed;
    enum err e = ERR_OK;
    if (!cell)
        e = registry_cell_add(registry, &cell);
    if (e != ERR_OK)
        return err_say(msg, e, "the swarm has as many cells as it can have");
    if (id_is_zero(&cell->id)) {
        cell->id = statement->cell;
        memcpy(cell->key, statement->key, sizeof(cell->key));
        registry_trust_begin(registry, cell, stranger);
        e = idmap_set(&registry->by_id, &cell->id, cell);
    }
    if (e == ERR_OK)
        e = registry_cell_take(cell, statement, &changed);
    cell->last_seen_s = now_s;
    cell->unheard_s = 0;
    cell->leaving = false;
    if (e == ERR_OK)
        e = registry_cell_write(registry, cell, msg);
    registry->list_stale = true;
    return e;
}

/* The cell that a rolled back transaction added is the last one in memory. */
static void forget_cell(struct registry *registry, size_t count)
{
    while (registry->cell_count > count) {
        struct registry_cell *cell = registry->cells[--registry->cell_count];
        idmap_remove(&registry->by_id, &cell->id);
        buf_free(&cell->addresses);
        free(cell);
    }
}

enum err registry_join_cell(struct registry *registry, const struct id *peer, struct slice invite,
                            struct slice doc, int64_t now_s, struct errmsg *msg)
{
    struct member_statement statement;
    const size_t count = registry->cell_count;
    bool stranger;
    enum err e = member_statement_open(doc, registry->options.swarm, peer, &statement, msg);
    if (e != ERR_OK)
        return err_wrap(msg, e, "the member statement");
    e = db_begin(registry->db, msg);
    if (e != ERR_OK)
        return e;
    e = redeem(registry, invite, INVITE_CELL, peer, now_s, &stranger, msg);
    if (e == ERR_OK)
        e = add_cell(registry, &statement, stranger, now_s, msg);
    if (e == ERR_OK)
        e = db_commit(registry->db, msg);
    if (e != ERR_OK) {
        db_rollback(registry->db);
        forget_cell(registry, count);
    }
    registry_households_changed(registry);
    return e;
}

static enum err add_account(struct registry *registry, const struct id *account, int64_t now_s,
                            struct errmsg *msg)
{
    struct db_statement *s;
    enum err e = db_prepare(registry->db,
                            "INSERT INTO account (id, joined_s) VALUES (?1, ?2)"
                            " ON CONFLICT (id) DO UPDATE SET confirmed = 1",
                            &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, account);
    db_bind_i64(s, 2, now_s);
    e = db_run(s, msg);
    db_done(s);
    return e;
}

enum err registry_join_account(struct registry *registry, const struct id *peer,
                               struct slice invite, const struct manifest *manifest, int64_t now_s,
                               struct errmsg *msg)
{
    bool stranger; /* of cells only */
    if (!manifest_device_find(manifest, peer))
        return err_say(msg, ERR_DENIED, "the manifest does not name the device that shows it");
    enum err e = db_begin(registry->db, msg);
    if (e != ERR_OK)
        return e;
    e = redeem(registry, invite, INVITE_ACCOUNT, peer, now_s, &stranger, msg);
    if (e == ERR_OK)
        e = add_account(registry, &manifest->account, now_s, msg);
    if (e == ERR_OK)
        return db_commit(registry->db, msg);
    db_rollback(registry->db);
    return e;
}

enum err registry_account_known(struct registry *registry, const struct id *account, bool *out,
                                struct errmsg *msg)
{
    struct db_statement *s;
    enum err e =
        db_prepare(registry->db, "SELECT 1 FROM account WHERE id = ?1 AND confirmed = 1", &s, msg);
    if (e != ERR_OK)
        return e;
    db_bind_id(s, 1, account);
    e = db_step(s, msg);
    db_done(s);
    *out = e == ERR_OK;
    return e == ERR_END ? ERR_OK : e;
}

enum err registry_counts(struct registry *registry, int64_t now_s, struct registry_counts *out,
                         struct errmsg *msg)
{
    int64_t number;
    *out = (struct registry_counts){.cells = registry->cell_count};
    for (size_t i = 0; i < registry->cell_count; i++) {
        const enum wire_cell_state state = registry_cell_state(registry, registry->cells[i], now_s);
        out->up += state == WIRE_CELL_UP;
        out->asleep += state == WIRE_CELL_ASLEEP;
        out->gone += state == WIRE_CELL_GONE;
        out->leaving += state == WIRE_CELL_LEAVING;
        out->untrusted += !registry_trusted(registry->cells[i]);
    }
    out->repairs_ready = registry->repairs[REPAIR_READY];
    out->repairs_leased = registry->repairs[REPAIR_LEASED];
    out->repairs_waiting = registry->repairs[REPAIR_WAITING];
    out->segments_lost = registry->repairs[REPAIR_LOST];
    uint64_t tried;
    out->ungathered = registry_gather_left(registry, &tried);
    out->unproven = registry->unproven_rows;
    out->segments_inconsistent = registry->repairs[REPAIR_INCONSISTENT];
    out->repaired_count = registry->repaired_count;
    out->proofs_passed = registry->proofs_passed;
    out->proofs_failed = registry->proofs_failed;
    out->swept_s = registry->swept ? registry->swept_s : 0;
    const enum err ending = registry_leases_ending(registry, now_s, &out->leases_ending, msg);
    if (ending != ERR_OK)
        return ending;
    if (registry->pace > 0)
        out->repair_left_s =
            (uint64_t)((double)(out->repairs_ready + out->repairs_leased) / registry->pace);
    enum err e =
        db_number(registry->db, "SELECT count(*) FROM account WHERE confirmed = 1", &number, msg);
    if (e != ERR_OK)
        return e;
    out->accounts = (uint64_t)number;
    e = db_number(registry->db, "SELECT count(*) FROM segment", &number, msg);
    out->segments = e == ERR_OK ? (uint64_t)number : 0;
    return e;
}
