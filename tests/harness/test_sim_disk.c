/* sim_disk and sim_vfs: what survives a power cut and what does not, faults, space, images. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/sim_disk.h"
#include "harness/sim_vfs.h"

#include "db/db.h"

#include <stdio.h>
#include <stdlib.h>

struct fixture {
    struct sim_world *world;
    struct sim_node *node;
    struct disk *disk;
};

static struct fixture make(uint64_t seed)
{
    struct fixture f = {.world = sim_world_new(seed)};
    f.node = sim_node_new(f.world, &(struct sim_identity){.name = "n"});
    f.disk = &f.node->disk;
    return f;
}

static struct disk_file *opened(struct fixture *f, const char *path, unsigned flags)
{
    struct disk_file *file;
    struct errmsg msg;
    assert_int_equal(disk_open(f->disk, path, flags, &file, &msg), ERR_OK);
    return file;
}

static void fill(struct fixture *f, const char *path, uint8_t value, size_t size, bool sync)
{
    struct disk_file *file = opened(f, path, DISK_READ | DISK_WRITE | DISK_CREATE);
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    memset(bytes, value, size);
    assert_int_equal(disk_write_at(file, 0, bytes, size, NULL), ERR_OK);
    if (sync)
        assert_int_equal(disk_sync(file, NULL), ERR_OK);
    free(bytes);
    disk_close(file);
}

static bool exists(struct fixture *f, const char *path)
{
    struct disk_info info;
    return disk_info(f->disk, path, &info, NULL) == ERR_OK;
}

/* Counts bytes of the value; the size goes to *out_size. */
static size_t count_bytes(struct fixture *f, const char *path, uint8_t value, size_t *out_size)
{
    struct disk_file *file = opened(f, path, DISK_READ);
    uint8_t bytes[65536];
    size_t count = 0;
    assert_int_equal(disk_read_at(file, 0, bytes, sizeof(bytes), out_size, NULL), ERR_OK);
    for (size_t i = 0; i < *out_size; i++)
        count += bytes[i] == value;
    disk_close(file);
    return count;
}

static void test_sim_disk_reads_what_was_written(void **state)
{
    (void)state;
    struct fixture f = make(1);
    struct disk_file *file = opened(&f, "x", DISK_READ | DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE);
    struct disk_file *again;
    assert_int_equal(
        disk_open(f.disk, "x", DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE, &again, NULL),
        ERR_EXISTS);
    assert_int_equal(disk_open(f.disk, "y", DISK_READ, &again, NULL), ERR_NOT_FOUND);
    assert_int_equal(disk_open(f.disk, "../y", DISK_READ, &again, NULL), ERR_USAGE);
    assert_int_equal(disk_open(f.disk, "/y", DISK_READ, &again, NULL), ERR_USAGE);
    assert_int_equal(disk_write_at(file, 5000, "hello", 5, NULL), ERR_OK);
    uint8_t bytes[8];
    size_t got;
    assert_int_equal(disk_read_at(file, 4998, bytes, sizeof(bytes), &got, NULL), ERR_OK);
    assert_int_equal(got, 7);
    assert_memory_equal(bytes, "\0\0hello", 7);
    assert_int_equal(disk_read_at(file, 5005, bytes, sizeof(bytes), &got, NULL), ERR_OK);
    assert_int_equal(got, 0);
    assert_int_equal(disk_truncate(file, 5002, NULL), ERR_OK);
    assert_int_equal(disk_truncate(file, 5004, NULL), ERR_OK);
    assert_int_equal(disk_read_at(file, 5000, bytes, sizeof(bytes), &got, NULL), ERR_OK);
    assert_int_equal(got, 4);
    assert_memory_equal(bytes, "he\0\0", 4);
    disk_close(file);
    disk_close(NULL);
    sim_world_free(f.world);
}

static enum err count_name(void *user, const char *name, bool is_directory)
{
    assert_int_equal(is_directory, strcmp(name, "d") == 0);
    (*(int *)user)++;
    return ERR_OK;
}

static void test_sim_disk_names(void **state)
{
    (void)state;
    struct fixture f = make(2);
    assert_int_equal(disk_make_dir(f.disk, "a", NULL), ERR_OK);
    assert_int_equal(disk_make_dir(f.disk, "a", NULL), ERR_OK);
    assert_int_equal(disk_make_dir(f.disk, "a/d", NULL), ERR_OK);
    assert_int_equal(disk_make_dir(f.disk, "b/c", NULL), ERR_NOT_FOUND);
    fill(&f, "a/x", 1, 10, false);
    fill(&f, "a/y", 2, 10, false);
    int count = 0;
    assert_int_equal(disk_list(f.disk, "a", count_name, &count, NULL), ERR_OK);
    assert_int_equal(count, 3);
    assert_int_equal(disk_rename(f.disk, "a/x", "a/y", NULL), ERR_OK);
    size_t size;
    assert_int_equal(count_bytes(&f, "a/y", 1, &size), 10);
    assert_false(exists(&f, "a/x"));
    assert_int_equal(disk_rename(f.disk, "a/x", "a/z", NULL), ERR_NOT_FOUND);
    assert_int_equal(disk_rename(f.disk, "a", "a/d/e", NULL), ERR_USAGE);
    assert_int_equal(disk_remove(f.disk, "a", NULL), ERR_EXISTS);
    assert_int_equal(disk_remove(f.disk, "a/d", NULL), ERR_OK);
    assert_int_equal(disk_remove(f.disk, "a/d", NULL), ERR_NOT_FOUND);
    struct disk_file *file = opened(&f, "a/y", DISK_READ); /* stays readable when removed */
    assert_int_equal(disk_remove(f.disk, "a/y", NULL), ERR_OK);
    uint8_t byte;
    assert_int_equal(disk_read_at(file, 9, &byte, 1, &size, NULL), ERR_OK);
    assert_int_equal(size, 1);
    disk_close(file);
    sim_world_free(f.world);
}

/* What was synced is there after every crash; what was not is lost in some and torn in some. */
static void test_sim_disk_crash_keeps_what_was_synced(void **state)
{
    (void)state;
    int lost = 0, kept = 0, torn = 0, no_name = 0, name = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct fixture f = make(seed);
        fill(&f, "synced", 1, 30000, true);
        assert_int_equal(disk_sync_dir(f.disk, "", NULL), ERR_OK);
        fill(&f, "synced", 2, 30000, false); /* over it, not synced */
        fill(&f, "new", 3, 20000, true);     /* its name is not synced */
        struct disk_file *file = opened(&f, "synced", DISK_READ);
        sim_node_crash(f.node, SIM_POWER);
        sim_node_start(f.node);
        size_t size;
        uint8_t byte;
        assert_int_equal(disk_read_at(file, 0, &byte, 1, &size, NULL), ERR_IO);
        disk_close(file);
        size_t new_bytes = count_bytes(&f, "synced", 2, &size);
        assert_int_equal(size, 30000);
        assert_int_equal(new_bytes + count_bytes(&f, "synced", 1, &size), 30000);
        assert_true(new_bytes % 512 == 0 || new_bytes % 512 == 30000 % 512);
        lost += new_bytes == 0;
        kept += new_bytes == 30000;
        torn += new_bytes % 4096 != 0 && new_bytes % 4096 != 30000 % 4096;
        if (exists(&f, "new")) {
            name++; /* its bytes were synced, so they came with the name */
            assert_int_equal(count_bytes(&f, "new", 3, &size), 20000);
        } else
            no_name++;
        sim_world_free(f.world);
    }
    assert_true(lost > 40 && kept > 40 && torn > 40 && name > 40 && no_name > 40);
}

/* The commit of a store: write, sync, rename, sync both directories. At any crash the old or the
   new file is whole; after the last sync it is the new one. Without the syncs it is not: the
   simulator would catch that. */
static void test_sim_disk_rename_is_atomic_and_needs_sync(void **state)
{
    (void)state;
    int old = 0, renamed = 0, broken = 0;
    for (uint64_t seed = 0; seed < 600; seed++) {
        struct fixture f = make(seed);
        bool sync_bytes = seed % 3 != 0, sync_name = seed % 3 == 2;
        assert_int_equal(disk_make_dir(f.disk, "t", NULL), ERR_OK);
        assert_int_equal(disk_make_dir(f.disk, "s", NULL), ERR_OK);
        fill(&f, "s/x", 1, 9000, true);
        assert_int_equal(disk_sync_dir(f.disk, "", NULL), ERR_OK);
        assert_int_equal(disk_sync_dir(f.disk, "s", NULL), ERR_OK);
        fill(&f, "t/x", 2, 9000, sync_bytes);
        assert_int_equal(disk_rename(f.disk, "t/x", "s/x", NULL), ERR_OK);
        if (sync_name)
            assert_int_equal(disk_sync_dir(f.disk, "s", NULL), ERR_OK);
        sim_node_crash(f.node, SIM_POWER);
        sim_node_start(f.node);
        size_t size;
        size_t ones = count_bytes(&f, "s/x", 1, &size);
        bool is_old = size == 9000 && ones == 9000;
        bool is_new = size == 9000 && count_bytes(&f, "s/x", 2, &size) == 9000;
        if (sync_bytes)
            assert_true(is_old || is_new);
        if (sync_name)
            assert_true(is_new);
        else
            assert_false(is_new && exists(&f, "t/x")); /* one change: both names or none */
        old += is_old;
        renamed += is_new;
        broken += !is_old && !is_new;
        sim_world_free(f.world);
    }
    assert_true(old > 50 && renamed > 50 && broken > 20);
}

/* Linux: a failed fsync is reported once, the next one lies, the bytes are gone. */
static void test_sim_disk_failed_sync_loses_the_pages(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct fixture f = make(seed);
        fill(&f, "x", 1, 8192, true);
        assert_int_equal(disk_sync_dir(f.disk, "", NULL), ERR_OK);
        struct disk_file *file = opened(&f, "x", DISK_READ | DISK_WRITE);
        uint8_t twos[4096];
        memset(twos, 2, sizeof(twos));
        assert_int_equal(disk_write_at(file, 0, twos, sizeof(twos), NULL), ERR_OK);
        struct fault fault = FAULT_INIT(0, false);
        sim_disk_fail(f.node, SIM_DISK_SYNC, &fault, ERR_IO);
        assert_int_equal(disk_sync(file, NULL), ERR_IO);
        assert_int_equal(disk_sync(file, NULL), ERR_OK);
        size_t size;
        assert_int_equal(count_bytes(&f, "x", 2, &size), 4096); /* still in the cache */
        disk_close(file);
        sim_node_crash(f.node, SIM_POWER);
        sim_node_start(f.node);
        assert_int_equal(count_bytes(&f, "x", 1, &size), 8192);
        sim_world_free(f.world);
    }
}

static void test_sim_disk_space(void **state)
{
    (void)state;
    struct fixture f = make(4);
    sim_disk_set_capacity(f.node, 40960);
    fill(&f, "a", 1, 20000, false);
    struct disk_space space;
    assert_int_equal(disk_space(f.disk, &space, NULL), ERR_OK);
    assert_int_equal(space.total_bytes, 40960);
    assert_int_equal(space.free_bytes, 20480);
    struct disk_file *file = opened(&f, "b", DISK_READ | DISK_WRITE | DISK_CREATE);
    assert_int_equal(disk_allocate(file, 20481, NULL), ERR_FULL);
    assert_int_equal(disk_allocate(file, 20480, NULL), ERR_OK);
    fill(&f, "a", 1, 20000, false); /* in place: no new blocks */
    struct errmsg msg;
    struct disk_file *third = opened(&f, "c", DISK_WRITE | DISK_CREATE);
    assert_int_equal(disk_write_at(third, 0, "x", 1, &msg), ERR_FULL);
    disk_close(third);
    assert_int_equal(disk_write_at(file, 0, "x", 1, NULL), ERR_OK); /* reserved */
    disk_close(file);
    assert_int_equal(disk_remove(f.disk, "a", NULL), ERR_OK);
    assert_int_equal(disk_space(f.disk, &space, NULL), ERR_OK);
    assert_int_equal(space.free_bytes, 20480);
    sim_disk_set_read_only(f.node, true);
    assert_int_equal(disk_open(f.disk, "d", DISK_WRITE | DISK_CREATE, &file, NULL), ERR_READ_ONLY);
    assert_int_equal(disk_remove(f.disk, "b", NULL), ERR_READ_ONLY);
    sim_world_free(f.world);
}

static void test_sim_disk_hide_rot_and_images(void **state)
{
    (void)state;
    struct fixture f = make(5);
    assert_int_equal(disk_make_dir(f.disk, "d", NULL), ERR_OK);
    fill(&f, "d/x", 1, 5000, false);
    struct sim_disk_image *image = sim_disk_save(f.node);
    fill(&f, "d/y", 2, 100, false);
    sim_disk_hide(f.node, true);
    assert_false(exists(&f, "d"));
    fill(&f, "under", 3, 100, true);
    sim_disk_hide(f.node, false);
    assert_true(exists(&f, "d/y"));
    assert_false(exists(&f, "under"));
    size_t size;
    assert_int_equal(sim_disk_rot(f.node, "d/x", 4990, 11), ERR_USAGE);
    assert_int_equal(sim_disk_rot(f.node, "d/x", 4990, 10), ERR_OK);
    assert_int_equal(count_bytes(&f, "d/x", 1, &size), 4990);
    char path[64];
    sim_disk_rot_any(f.node, 5000, path, sizeof(path));
    assert_string_equal(path, "d/x");
    sim_disk_rot_any(f.node, 6000, path, sizeof(path));
    assert_string_equal(path, "");
    sim_disk_load(f.node, image);
    sim_disk_image_free(image);
    assert_false(exists(&f, "d/y"));
    sim_disk_crash(f.node);
    assert_int_equal(count_bytes(&f, "d/x", 1, &size), 5000);
    sim_world_free(f.world);
}

/* --- SQLite over it --- */

static const char *const schema[] = {"CREATE TABLE t (n INTEGER PRIMARY KEY, data BLOB)"};

static enum err open_db(struct fixture *f, struct db **out, struct errmsg *msg)
{
    struct db_options options = {.path = "test.db",
                                 .vfs = f->node->vfs,
                                 .what = "the test's database",
                                 .application_id = 0x51,
                                 .migrations = schema,
                                 .migration_count = 1,
                                 .create = true,
                                 .exclusive = true,
                                 .busy_timeout_ms = 100,
                                 .checkpoint_pages = 20};
    return db_open(&options, out, msg);
}

/* Commits rows 1, 2, … until `until` or an error; returns the last one that was committed. */
static int64_t commit_rows(struct db *db, int64_t from, int64_t until)
{
    static const uint8_t data[3000] = {1, 2, 3};
    for (int64_t n = from; n <= until; n++) {
        struct db_statement *s;
        struct errmsg msg;
        if (db_begin(db, &msg) != ERR_OK)
            return n - 1;
        enum err e = db_prepare(db, "INSERT INTO t VALUES (?1, ?2)", &s, &msg);
        if (e == ERR_OK) {
            db_bind_i64(s, 1, n);
            db_bind_blob(s, 2, slice_of(data, sizeof(data)));
            e = db_run(s, &msg);
            db_done(s);
        }
        if (e == ERR_OK)
            e = db_commit(db, &msg);
        db_rollback(db);
        if (e != ERR_OK)
            return n - 1;
    }
    return until;
}

/* Power is cut in the middle of a series of commits, with a write failing somewhere before it:
   every commit that said ERR_OK is there afterwards, and the file is sound. */
static void test_sim_vfs_commits_survive_power_cuts(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct fixture f = make(seed);
        int64_t committed = 0;
        for (int round = 0; round < 3; round++) {
            struct db *db;
            struct errmsg msg = {.text = ""};
            struct fault fault = FAULT_INIT(20 + sim_world_below(f.world, 150), true);
            assert_int_equal(open_db(&f, &db, &msg), ERR_OK);
            int64_t rows = 0, last = 0;
            assert_int_equal(db_check(db, false, &msg), ERR_OK);
            assert_int_equal(db_number(db, "SELECT count(*) FROM t", &rows, &msg), ERR_OK);
            assert_int_equal(db_number(db, "SELECT coalesce(max(n), 0) FROM t", &last, &msg),
                             ERR_OK);
            assert_int_equal(rows, last);
            /* the commit that the cut interrupted may have got through */
            assert_true(rows == committed || rows == committed + 1);
            sim_disk_fail(f.node, SIM_DISK_WRITE | SIM_DISK_SYNC, &fault, ERR_IO);
            committed = commit_rows(db, rows + 1, rows + 60);
            sim_disk_fail(f.node, 0, NULL, ERR_IO);
            sim_node_crash(f.node, SIM_POWER);
            db_close(db);
            assert_int_equal(sim_vfs_open_files(f.node), 0);
            sim_node_start(f.node);
        }
        sim_world_free(f.world);
    }
}

/* Every disk operation of opening, committing and closing fails, once and for good; whatever was
   committed is there after the power cut that follows. */
static bool commit_with_fault(void *user, uint64_t at, bool for_good)
{
    struct fixture f = make(*(uint64_t *)user + at);
    struct fault fault = FAULT_INIT(at, for_good);
    struct errmsg msg = {.text = ""};
    struct db *db;
    int64_t committed = 0, rows = -1;
    sim_disk_fail(f.node, SIM_DISK_ANY, &fault, at % 3 ? ERR_IO : ERR_FULL);
    if (open_db(&f, &db, &msg) == ERR_OK) {
        committed = commit_rows(db, 1, 12);
        db_close(db);
    }
    bool met = fault.failed > 0;
    if (!met)
        assert_int_equal(committed, 12);
    sim_disk_fail(f.node, 0, NULL, ERR_IO);
    sim_node_crash(f.node, SIM_POWER);
    sim_node_start(f.node);
    assert_int_equal(open_db(&f, &db, &msg), ERR_OK);
    assert_int_equal(db_number(db, "SELECT count(*) FROM t", &rows, &msg), ERR_OK);
    /* one more may have got to the disk before its commit failed */
    assert_true(rows == committed || rows == committed + 1);
    assert_int_equal(db_check(db, false, &msg), ERR_OK);
    db_close(db);
    sim_world_free(f.world);
    return met;
}

static void test_sim_vfs_every_failing_operation(void **state)
{
    (void)state;
    uint64_t seed = sim_world_test_seed(11);
    assert_true(fault_loop(commit_with_fault, &seed, 2000) > 40);
}

static void test_sim_vfs_locks(void **state)
{
    (void)state;
    struct fixture f = make(9);
    struct db *db, *second;
    struct errmsg msg;
    assert_int_equal(open_db(&f, &db, &msg), ERR_OK);
    assert_int_equal(open_db(&f, &second, &msg), ERR_LOCKED);
    int64_t now = 0;
    assert_int_equal(db_number(db, "SELECT strftime('%s')", &now, &msg), ERR_OK);
    assert_int_equal(now, SIM_WALL_START_NS / 1000000000);
    assert_int_equal(commit_rows(db, 1, 100), 100); /* past a checkpoint */
    assert_int_equal(db_copy(db, "copy.db", &msg), ERR_OK);
    db_close(db);
    assert_true(exists(&f, "copy.db"));
    assert_false(exists(&f, "test.db-wal"));
    assert_int_equal(open_db(&f, &second, &msg), ERR_OK);
    db_close(second);
    sim_world_free(f.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sim_disk_reads_what_was_written),
        cmocka_unit_test(test_sim_disk_names),
        cmocka_unit_test(test_sim_disk_crash_keeps_what_was_synced),
        cmocka_unit_test(test_sim_disk_rename_is_atomic_and_needs_sync),
        cmocka_unit_test(test_sim_disk_failed_sync_loses_the_pages),
        cmocka_unit_test(test_sim_disk_space),
        cmocka_unit_test(test_sim_disk_hide_rot_and_images),
        cmocka_unit_test(test_sim_vfs_commits_survive_power_cuts),
        cmocka_unit_test(test_sim_vfs_every_failing_operation),
        cmocka_unit_test(test_sim_vfs_locks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
