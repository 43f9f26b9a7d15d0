/* db/: opening, migrating, statements, transactions, and files that are not what they should be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "db/db.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const schema[] = {
    ("CREATE TABLE thing (id BLOB PRIMARY KEY, size INTEGER NOT NULL CHECK (size < 1000), name "
     "TEXT)"),
    "ALTER TABLE thing ADD COLUMN colour TEXT; CREATE INDEX thing_size ON thing (size)",
    "CREATE TABLE more (n INTEGER PRIMARY KEY)",
};

struct fixture {
    char dir[64], path[96];
    struct db_options options;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/cellar-db-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->path, sizeof(f->path), "%s/test.db", f->dir);
    f->options = (struct db_options){.path = f->path,
                                     .what = "the test's database",
                                     .application_id = 0x9e11a001,
                                     .migrations = schema,
                                     .migration_count = 2,
                                     .create = true,
                                     .busy_timeout_ms = 50};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"test.db", "test.db-wal", "test.db-shm", "copy.db",
                                        "a%b?#.db"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        char path[160];
        (void)snprintf(path, sizeof(path), "%s/%s", f->dir, names[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(f->dir), 0);
    free(f);
    return 0;
}

static struct db *open_db(struct fixture *f)
{
    struct db *db;
    struct errmsg msg;
    enum err e = db_open(&f->options, &db, &msg);
    if (e != ERR_OK)
        fail_msg("%s", msg.text);
    return db;
}

static enum err add(struct db *db, uint8_t key, uint64_t size, struct errmsg *msg)
{
    struct id id = {{key}};
    struct db_statement *s;
    enum err e = db_prepare(db, "INSERT INTO thing (id, size, name) VALUES (?1, ?2, ?3)", &s, msg);
    assert_int_equal(e, ERR_OK);
    db_bind_id(s, 1, &id);
    db_bind_u64(s, 2, size);
    db_bind_text(s, 3, "a name");
    e = db_run(s, msg);
    db_done(s);
    return e;
}

static int64_t count(struct db *db)
{
    int64_t n;
    assert_int_equal(db_number(db, "SELECT count(*) FROM thing", &n, NULL), ERR_OK);
    return n;
}

static void test_db_keeps_what_was_committed(void **state)
{
    struct fixture *f = *state;
    struct db *db = open_db(f);
    struct errmsg msg;
    assert_int_equal(db_version(db), 2);
    assert_int_equal(db_begin(db, &msg), ERR_OK);
    assert_int_equal(db_begin(db, &msg), ERR_STATE);
    assert_int_equal(add(db, 1, 10, &msg), ERR_OK);
    assert_int_equal(db_commit(db, &msg), ERR_OK);
    assert_int_equal(db_begin(db, &msg), ERR_OK);
    assert_int_equal(add(db, 2, 20, &msg), ERR_OK);
    db_rollback(db);
    db_rollback(db);
    assert_int_equal(db_commit(db, &msg), ERR_STATE);
    db_close(db);

    db = open_db(f);
    assert_int_equal(count(db), 1);
    struct db_statement *s;
    assert_int_equal(db_prepare(db, "SELECT id, size, name, colour FROM thing", &s, &msg), ERR_OK);
    assert_int_equal(db_step(s, &msg), ERR_OK);
    struct id id;
    assert_int_equal(db_column_id(s, 0, &id), ERR_OK);
    assert_int_equal(id.bytes[0], 1);
    assert_int_equal(db_column_id(s, 1, &id), ERR_CORRUPT);
    assert_int_equal(db_column_u64(s, 1), 10);
    assert_string_equal(db_column_text(s, 2), "a name");
    assert_true(db_column_is_null(s, 3));
    assert_string_equal(db_column_text(s, 3), "");
    assert_int_equal(db_step(s, &msg), ERR_END);
    db_done(s);
    assert_int_equal(db_check(db, false, &msg), ERR_OK);
    assert_int_equal(db_checkpoint(db, &msg), ERR_OK);
    uint64_t size;
    assert_int_equal(db_size(db, &size, &msg), ERR_OK);
    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(size, st.st_size);
    db_close(db);
}

static void test_db_translates_what_goes_wrong(void **state)
{
    struct fixture *f = *state;
    struct db *db = open_db(f);
    struct errmsg msg;
    assert_int_equal(add(db, 1, 10, &msg), ERR_OK);
    assert_int_equal(add(db, 1, 10, &msg), ERR_EXISTS);
    assert_int_equal(add(db, 2, 1000, &msg), ERR_USAGE); /* the CHECK */
    assert_non_null(strstr(msg.text, "the test's database"));
    assert_int_equal(add(db, 2, UINT64_MAX, &msg), ERR_TOO_LARGE);
    assert_int_equal(add(db, 2, 11, &msg), ERR_OK); /* the statement is whole again */
    struct db_statement *s;
    assert_int_equal(db_prepare(db, "SELECT nonsense", &s, &msg), ERR_USAGE);
    assert_null(s);
    int64_t n;
    assert_int_equal(db_number(db, "SELECT size FROM thing WHERE size = 77", &n, &msg),
                     ERR_NOT_FOUND);
    assert_int_equal(db_number(db, "SELECT max(size) FROM thing WHERE 0", &n, &msg), ERR_NOT_FOUND);
    db_close(db);
    db_close(NULL);
    db_done(NULL);
}

static void test_db_statements_may_nest_and_overflow_the_cache(void **state)
{
    struct fixture *f = *state;
    struct db *db = open_db(f);
    for (uint8_t i = 0; i < 5; i++)
        assert_int_equal(add(db, i, i, NULL), ERR_OK);
    static const char sql[] = "SELECT size FROM thing";
    struct db_statement *outer, *inner;
    int pairs = 0;
    assert_int_equal(db_prepare(db, sql, &outer, NULL), ERR_OK);
    while (db_step(outer, NULL) == ERR_OK) {
        assert_int_equal(db_prepare(db, sql, &inner, NULL), ERR_OK);
        while (db_step(inner, NULL) == ERR_OK)
            pairs++;
        db_done(inner);
    }
    db_done(outer);
    assert_int_equal(pairs, 25);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 400; i++) {
            char text[64];
            int64_t n;
            (void)snprintf(text, sizeof(text), "SELECT %d + count(*) FROM thing", i);
            assert_int_equal(db_number(db, text, &n, NULL), ERR_OK);
            assert_int_equal(n, i + 5);
        }
    }
    db_close(db);
}

static void test_db_migrates_from_every_version(void **state)
{
    struct fixture *f = *state;
    for (size_t from = 1; from <= ARRAY_COUNT(schema); from++) {
        f->options.migration_count = from;
        struct db *db = open_db(f);
        assert_int_equal(add(db, (uint8_t)from, from, NULL), ERR_OK);
        db_close(db);
        f->options.migration_count = ARRAY_COUNT(schema);
        db = open_db(f);
        assert_int_equal(db_version(db), ARRAY_COUNT(schema));
        assert_int_equal(count(db), 1);
        int64_t n;
        assert_int_equal(db_number(db, "SELECT count(*) FROM more", &n, NULL), ERR_OK);
        db_close(db);
        assert_int_equal(unlink(f->path), 0);
    }
}

static void test_db_a_failed_migration_changes_nothing(void **state)
{
    struct fixture *f = *state;
    db_close(open_db(f));
    const char *broken[] = {schema[0], schema[1], "CREATE TABLE good (x); CREATE TABLE bad ("};
    f->options.migrations = broken;
    f->options.migration_count = 3;
    struct db *db;
    struct errmsg msg;
    assert_int_equal(db_open(&f->options, &db, &msg), ERR_USAGE);
    assert_null(db);
    assert_non_null(strstr(msg.text, "from schema 2 to 3"));
    f->options.migration_count = 2;
    db = open_db(f);
    int64_t n;
    assert_int_equal(
        db_number(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'good'", &n, NULL), ERR_OK);
    assert_int_equal(n, 0);
    db_close(db);
}

static void test_db_refuses_newer_other_and_missing(void **state)
{
    struct fixture *f = *state;
    struct db *db;
    struct errmsg msg;
    f->options.create = false;
    assert_int_equal(db_open(&f->options, &db, &msg), ERR_NOT_FOUND);
    assert_null(db);
    assert_non_null(strstr(msg.text, "there is no file"));
    f->options.create = true;
    db_close(open_db(f));

    f->options.migration_count = 1;
    assert_int_equal(db_open(&f->options, &db, &msg), ERR_VERSION);
    assert_non_null(strstr(msg.text, "newer version"));
    f->options.migration_count = 2;
    f->options.application_id ^= 1;
    assert_int_equal(db_open(&f->options, &db, &msg), ERR_FORMAT);
    assert_non_null(strstr(msg.text, "another kind"));
    f->options.application_id ^= 1;
    f->options.vfs = "nonesuch";
    assert_int_equal(db_open(&f->options, &db, &msg), ERR_USAGE);
    f->options.vfs = NULL;
    f->options.read_only = true;
    f->options.migration_count = 3;
    assert_int_equal(db_open(&f->options, &db, &msg), ERR_VERSION);
    assert_non_null(strstr(msg.text, "older version"));
    f->options.path = "/nonexistent/folder/x.db";
    f->options.read_only = false;
    assert_int_equal(db_open(&f->options, &db, &msg), ERR_NOT_FOUND);
}

static void test_db_two_writers_one_waits_and_says_so(void **state)
{
    struct fixture *f = *state;
    struct db *one = open_db(f), *two = open_db(f);
    struct errmsg msg;
    assert_int_equal(db_begin(one, &msg), ERR_OK);
    assert_int_equal(db_begin(two, &msg), ERR_LOCKED);
    assert_non_null(strstr(msg.text, "another process"));
    assert_int_equal(db_commit(one, &msg), ERR_OK);
    assert_int_equal(db_begin(two, &msg), ERR_OK);
    db_rollback(two);
    db_close(two);
    db_close(one);
    f->options.exclusive = true;
    one = open_db(f);
    assert_int_equal(add(one, 1, 1, &msg), ERR_OK);
    assert_int_equal(db_open(&f->options, &two, &msg), ERR_LOCKED);
    db_close(one);
}

static void test_db_reader_sees_one_state_and_never_checkpoints(void **state)
{
    struct fixture *f = *state;
    struct db *writer = open_db(f);
    assert_int_equal(add(writer, 1, 1, NULL), ERR_OK);
    f->options.read_only = true;
    struct db *reader = open_db(f);
    struct errmsg msg;
    assert_int_equal(db_begin(reader, &msg), ERR_OK);
    assert_int_equal(count(reader), 1);
    assert_int_equal(add(writer, 2, 2, NULL), ERR_OK);
    assert_int_equal(count(reader), 1);
    assert_int_equal(db_commit(reader, &msg), ERR_OK);
    assert_int_equal(count(reader), 2);
    assert_int_equal(add(reader, 3, 3, &msg), ERR_READ_ONLY);
    assert_int_equal(db_checkpoint(reader, &msg), ERR_STATE);
    db_close(reader);

    /* the writer dies without closing: what it left is a -wal file, which a reader leaves alone */
    char wal[128], copy[128], command[512];
    (void)snprintf(wal, sizeof(wal), "%s-wal", f->path);
    (void)snprintf(copy, sizeof(copy), "%s/copy.db", f->dir);
    (void)snprintf(command, sizeof(command), "cp %s %s && cp %s %s-wal", f->path, copy, wal, copy);
    assert_int_equal(system(command), 0);
    db_close(writer);
    f->options.path = copy;
    reader = open_db(f);
    assert_int_equal(count(reader), 2);
    db_close(reader);
    struct stat st;
    (void)snprintf(wal, sizeof(wal), "%s-wal", copy);
    assert_int_equal(stat(wal, &st), 0);
    assert_true(st.st_size > 0);
    assert_int_equal(unlink(wal), 0);
    (void)snprintf(wal, sizeof(wal), "%s-shm", copy);
    (void)unlink(wal);
}

static void test_db_reads_where_nothing_can_be_written(void **state)
{
    struct fixture *f = *state;
    if (geteuid() == 0 && seteuid(65534) != 0)
        skip();
    char dir[] = "/tmp/cellar-ro-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/a%%b?#.db", dir);
    f->options.path = path;
    struct db *db = open_db(f);
    assert_int_equal(add(db, 1, 1, NULL), ERR_OK);
    db_close(db);
    assert_int_equal(chmod(dir, 0500), 0);
    assert_int_equal(chmod(path, 0400), 0);
    struct errmsg msg;
    assert_int_not_equal(db_open(&f->options, &db, &msg), ERR_OK);
    f->options.read_only = true;
    db = open_db(f);
    assert_int_equal(count(db), 1);
    db_close(db);
    assert_int_equal(chmod(dir, 0700), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
}

/* Any byte of the file may be anything: an error or an answer, never a crash. */
static void test_db_damaged_files_are_errors(void **state)
{
    struct fixture *f = *state;
    struct db *db = open_db(f);
    for (uint8_t i = 0; i < 100; i++)
        assert_int_equal(add(db, i, i, NULL), ERR_OK);
    db_close(db);
    int fd = open(f->path, O_RDWR);
    assert_true(fd >= 0);
    static uint8_t whole[1 << 20], changed[1 << 20];
    ssize_t size = read(fd, whole, sizeof(whole));
    assert_true(size > 8192 && size < (ssize_t)sizeof(whole));
    unsigned seed = 12345, refused = 0;
    for (int round = 0; round < 400; round++) {
        memcpy(changed, whole, (size_t)size);
        size_t kept = (size_t)size;
        if (round % 4 == 0)
            kept = (size_t)rand_r(&seed) % kept;
        else
            for (int i = 0; i < 1 + round % 20; i++)
                changed[(size_t)rand_r(&seed) % (round % 2 ? 200 : kept)] ^=
                    (uint8_t)(1 << round % 8);
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(pwrite(fd, changed, kept, 0), (ssize_t)kept);
        struct errmsg msg = {{0}};
        enum err e = db_open(&f->options, &db, &msg);
        if (e == ERR_OK) {
            e = db_check(db, false, &msg);
            if (e == ERR_OK)
                (void)add(db, 200, 1, &msg);
            db_close(db);
        }
        refused += e != ERR_OK;
        if (e != ERR_OK)
            assert_true(strlen(msg.text) > 20);
        char side[160];
        (void)snprintf(side, sizeof(side), "%s-wal", f->path);
        (void)unlink(side);
        (void)snprintf(side, sizeof(side), "%s-shm", f->path);
        (void)unlink(side);
    }
    assert_true(refused > 100);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(pwrite(fd, "this is no database at all, but a text", 38, 0), 38);
    struct errmsg msg;
    assert_int_equal(db_open(&f->options, &db, &msg), ERR_CORRUPT);
    (void)close(fd);
}

static void test_db_copy_is_whole(void **state)
{
    struct fixture *f = *state;
    struct db *db = open_db(f);
    for (uint8_t i = 0; i < 100; i++)
        assert_int_equal(add(db, i, i, NULL), ERR_OK);
    char copy[128];
    (void)snprintf(copy, sizeof(copy), "%s/copy.db", f->dir);
    struct errmsg msg;
    assert_int_equal(db_copy(db, copy, &msg), ERR_OK);
    assert_int_not_equal(db_copy(db, copy, &msg), ERR_OK); /* never over a file */
    db_close(db);
    f->options.path = copy;
    f->options.read_only = true;
    db = open_db(f);
    assert_int_equal(count(db), 100);
    assert_int_equal(db_check(db, true, &msg), ERR_OK);
    db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_db_keeps_what_was_committed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_db_translates_what_goes_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(test_db_statements_may_nest_and_overflow_the_cache, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_db_migrates_from_every_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_db_a_failed_migration_changes_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_db_refuses_newer_other_and_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_db_two_writers_one_waits_and_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(test_db_reader_sees_one_state_and_never_checkpoints, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_db_reads_where_nothing_can_be_written, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_db_damaged_files_are_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_db_copy_is_whole, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
