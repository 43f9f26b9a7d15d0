/*
 * Registries that earlier versions of the program wrote open under this one, and are what they
 * were: the schemas stand here as they were released, and are never changed.
 */
#include "registry_fixture.h"

/* As of version 1 (the first), 2 (repair and proof), 3 (deletion). */
static const char *const released[] = {
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
    " m INTEGER NOT NULL, shard_bytes INTEGER NOT NULL, shards BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE manifest (account BLOB PRIMARY KEY, number INTEGER NOT NULL, doc BLOB NOT NULL);"
    "CREATE TABLE head (account BLOB NOT NULL, device BLOB NOT NULL, sequence INTEGER NOT NULL,"
    " doc BLOB NOT NULL, PRIMARY KEY (account, device));"
    "CREATE TABLE fact (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",

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

    "CREATE TABLE removal_order (number INTEGER PRIMARY KEY AUTOINCREMENT, account BLOB NOT NULL,"
    " kind INTEGER NOT NULL, doc BLOB NOT NULL);"
    "CREATE TABLE removal_debt (cell INTEGER NOT NULL, number INTEGER NOT NULL,"
    " PRIMARY KEY (cell, number)) WITHOUT ROWID;"
    "CREATE INDEX removal_debt_number ON removal_debt (number);"
    "CREATE TABLE removed (id BLOB PRIMARY KEY, account INTEGER NOT NULL, k INTEGER NOT NULL,"
    " m INTEGER NOT NULL, shard_bytes INTEGER NOT NULL, shards BLOB NOT NULL,"
    " signer BLOB NOT NULL, sequence INTEGER NOT NULL, until_s INTEGER NOT NULL,"
    " waiting INTEGER NOT NULL) WITHOUT ROWID",
};

enum { CELLS = 3, SEGMENTS = 4, SHARD = 8192 };

static struct db *old_db(struct fixture *f, size_t versions)
{
    const struct db_options options = {
        .path = f->path,
        .what = "an old registry",
        .application_id = 0x434c5247,
        .migrations = released,
        .migration_count = versions,
        .create = true,
        .exclusive = true,
    };
    struct db *db;
    OK(db_open(&options, &db, &f->msg));
    return db;
}

static void insert(struct db *db, const char *sql, struct fixture *f, const struct id *id,
                   struct slice blob, struct slice second, const struct id *household)
{
    struct db_statement *s;
    OK(db_prepare(db, sql, &s, &f->msg));
    db_bind_id(s, 1, id);
    db_bind_blob(s, 2, blob);
    db_bind_blob(s, 3, second);
    db_bind_id(s, 4, household);
    OK(db_run(s, &f->msg));
    db_done(s);
}

/* Cell 0 is account 0's; segment i has shards 0 and 1 at cells 1 and 2, or at 0 and 1. */
static void write_rows(struct fixture *f, struct db *db)
{
    struct address_list one = {0};
    struct buf addresses = BUF_INIT(512);
    OK(address_list_add(&one, "cell:1"));
    OK(address_list_encode(&one, &addresses));
    for (size_t i = 0; i < CELLS; i++) {
        f->cells[i] = fixture_key(1000 + i);
        insert(db,
               "INSERT INTO cell (id, key, addresses, site, sequence, give_bytes, household,"
               " leaving, last_seen_s, free_bytes, used_bytes, shard_count, damaged_count)"
               " VALUES (?1, ?2, ?3, 'attic', 7, 1000000000, ?4, 0, 1800000000, 1, 2, 3, 0)",
               f, cell_id(f, i), slice_of(sign_key_public(f->cells[i]), SIGN_PUBLIC_SIZE),
               buf_slice(&addresses), i == 0 ? &f->accounts[0].keys.account : NULL);
    }
    for (size_t i = 0; i < 2; i++)
        insert(db,
               "INSERT INTO account (id, joined_s) SELECT ?1, 1800000000 WHERE ?2 IS NOT NULL"
               " AND ?3 IS NOT NULL AND ?4 IS NULL",
               f, &f->accounts[i].keys.account, slice_text("x"), slice_text("x"), NULL);
    for (uint64_t i = 0; i < SEGMENTS; i++) {
        const struct id id = segment_id(i);
        uint8_t rows[2 * SHARD_ROW_BYTES] = {0};
        const uint32_t first = i % 2 ? 1 : 2; /* numbers of cells count from 1 */
        put_le32(rows + 1, first);
        rows[SHARD_ROW_BYTES] = 1;
        put_le32(rows + SHARD_ROW_BYTES + 1, first + 1);
        insert(db,
               i % 2 ? "INSERT INTO segment SELECT ?1, 2, 1, 1, 8192, ?2 WHERE ?3 <> ?4 IS NULL"
                     : "INSERT INTO segment SELECT ?1, 1, 1, 1, 8192, ?2 WHERE ?3 <> ?4 IS NULL",
               f, &id, slice_of(rows, sizeof(rows)), slice_text("x"), NULL);
    }
    buf_free(&addresses);
}

static void test_old_registries_open_and_are_what_they_were(void **state)
{
    (void)state;
    for (size_t versions = 1; versions <= ARRAY_COUNT(released); versions++) {
        struct fixture *f = fixture_new(5);
        struct registry_counts counts;
        make_account(f, 0);
        make_account(f, 1);
        struct db *db = old_db(f, versions);
        write_rows(f, db);
        db_close(db);
        fixture_open(f);
        OK(registry_counts(f->registry, f->now_s, &counts, &f->msg));
        assert_int_equal(counts.cells, CELLS);
        assert_int_equal(counts.up, CELLS);
        assert_int_equal(counts.accounts, 2);
        assert_int_equal(counts.segments, SEGMENTS);
        assert_int_equal(counts.ungathered + counts.unproven, 0);
        /* the ledger is counted from the rows: two segments of each account, two shards each; of
           account 1's, one shard a segment is at account 0's cell */
        OK(registry_ledger_check(f->registry, &f->msg));
        assert_int_equal(standing(f, 0).used_bytes, 4 * SHARD);
        assert_int_equal(standing(f, 1).used_bytes, 4 * SHARD);
        assert_int_equal(standing(f, 0).given_bytes, 2 * SHARD);
        assert_int_equal(standing(f, 1).given_bytes, 0);
        beat(f, 0, 1);
        OK(registry_flush(f->registry, &f->msg));
        registry_close(f->registry); /* and once more, now that it is new */
        fixture_open(f);
        assert_int_equal(standing(f, 0).given_bytes, 2 * SHARD);
        fixture_free(f);
    }
}

/* A registry of a later version is refused, not guessed at. */
static void test_a_newer_registry_is_refused(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(6);
    fixture_open(f);
    OK(db_exec(registry_db(f->registry), "PRAGMA user_version = 1000", &f->msg));
    registry_close(f->registry);
    f->registry = NULL;
    assert_int_equal(registry_open(&f->options, &f->registry, &f->msg), ERR_VERSION);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_old_registries_open_and_are_what_they_were),
        cmocka_unit_test(test_a_newer_registry_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
