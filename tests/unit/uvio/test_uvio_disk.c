/* The disk port on a real file system: what port/disk.h promises, and that nothing leads out of it.
 */
#include "uvio/uvio_disk.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
    char root[64];
    struct disk *disk;
};

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof(*p));
    struct errmsg msg;
    assert_non_null(p);
    (void)strcpy(p->root, "/tmp/cellar-disk-XXXXXX");
    assert_non_null(mkdtemp(p->root));
    assert_int_equal(uvio_disk_open(p->root, 0, &p->disk, &msg), ERR_OK);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    char command[128];
    uvio_disk_close(p->disk);
    (void)snprintf(command, sizeof(command), "rm -rf %s", p->root);
    assert_int_equal(system(command), 0);
    free(p);
    return 0;
}

static struct disk_file *must_open(struct disk *d, const char *path, unsigned flags)
{
    struct disk_file *file;
    struct errmsg msg;
    enum err e = disk_open(d, path, flags, &file, &msg);
    if (e != ERR_OK)
        fail_msg("%s", msg.text);
    return file;
}

static void test_disk_writes_reads_and_renames(void **state)
{
    struct disk *d = ((struct place *)*state)->disk;
    char got[64] = {0};
    size_t size;
    uint64_t length;
    struct disk_info info;
    assert_int_equal(disk_make_dir(d, "shards", NULL), ERR_OK);
    assert_int_equal(disk_make_dir(d, "shards", NULL), ERR_OK);
    assert_int_equal(disk_make_dir(d, "shards/ab", NULL), ERR_OK);
    struct disk_file *file = must_open(d, "shards/ab/x", DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE);
    assert_int_equal(disk_allocate(file, 1 << 20, NULL), ERR_OK);
    assert_int_equal(disk_size(file, &length, NULL), ERR_OK);
    assert_int_equal(length, 0); /* reserved, not grown */
    assert_int_equal(disk_write_at(file, 3, "cellar", 6, NULL), ERR_OK);
    assert_int_equal(disk_sync(file, NULL), ERR_OK);
    assert_int_equal(disk_read_at(file, 0, got, sizeof(got), &size, NULL), ERR_OK);
    assert_int_equal(size, 9);
    assert_memory_equal(got, "\0\0\0cellar", 9);
    assert_int_equal(disk_truncate(file, 5, NULL), ERR_OK);
    assert_int_equal(disk_size(file, &length, NULL), ERR_OK);
    assert_int_equal(length, 5);
    disk_close(file);
    disk_close(NULL);
    assert_int_equal(disk_rename(d, "shards/ab/x", "y", NULL), ERR_OK);
    assert_int_equal(disk_sync_dir(d, "shards/ab", NULL), ERR_OK);
    assert_int_equal(disk_sync_dir(d, "", NULL), ERR_OK);
    assert_int_equal(disk_info(d, "y", &info, NULL), ERR_OK);
    assert_true(info.size_bytes == 5 && !info.is_directory);
    assert_int_equal(disk_info(d, "shards", &info, NULL), ERR_OK);
    assert_true(info.is_directory);
    assert_int_equal(disk_remove(d, "shards/ab", NULL), ERR_OK);
    assert_int_equal(disk_remove(d, "shards/ab", NULL), ERR_NOT_FOUND);
    struct disk_space space;
    assert_int_equal(disk_space(d, &space, NULL), ERR_OK);
    assert_true(space.total_bytes >= space.free_bytes && space.total_bytes > 0);
}

static void test_disk_says_what_is_wrong_and_where(void **state)
{
    struct place *p = *state;
    struct disk *d = p->disk;
    struct disk_file *file;
    struct errmsg msg;
    assert_int_equal(disk_open(d, "missing", DISK_READ, &file, &msg), ERR_NOT_FOUND);
    assert_non_null(strstr(msg.text, "missing"));
    assert_non_null(strstr(msg.text, p->root));
    disk_close(must_open(d, "there", DISK_WRITE | DISK_CREATE));
    assert_int_equal(disk_open(d, "there", DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE, &file, &msg),
                     ERR_EXISTS);
    assert_int_equal(disk_make_dir(d, "there", &msg), ERR_EXISTS);
    assert_int_equal(disk_make_dir(d, "no/parent", &msg), ERR_NOT_FOUND);
    assert_int_equal(disk_sync_dir(d, "nowhere", &msg), ERR_NOT_FOUND);
    assert_int_equal(disk_make_dir(d, "full", &msg), ERR_OK);
    disk_close(must_open(d, "full/x", DISK_WRITE | DISK_CREATE));
    assert_int_equal(disk_remove(d, "full", &msg), ERR_EXISTS);
    struct disk *none;
    assert_int_equal(uvio_disk_open("/nonexistent/x", UVIO_DISK_CREATE, &none, &msg),
                     ERR_NOT_FOUND);
    assert_int_equal(uvio_disk_open("/dev/null", 0, &none, &msg), ERR_USAGE);
}

static void test_disk_nothing_leads_out_of_the_root(void **state)
{
    struct place *p = *state;
    struct disk *d = p->disk;
    struct disk_file *file;
    struct disk_info info;
    char link_name[128];
    (void)snprintf(link_name, sizeof(link_name), "%s/link", p->root);
    assert_int_equal(symlink("/etc", link_name), 0);
    const char *const bad[] = {"../etc/passwd", "link/passwd", "/etc/passwd", "a/../../x", "link"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        assert_int_not_equal(disk_open(d, bad[i], DISK_READ, &file, NULL), ERR_OK);
        assert_int_not_equal(disk_open(d, bad[i], DISK_WRITE | DISK_CREATE, &file, NULL), ERR_OK);
    }
    assert_int_not_equal(disk_info(d, "link/passwd", &info, NULL), ERR_OK);
    assert_int_not_equal(disk_remove(d, "link/motd", NULL), ERR_OK);
    assert_int_not_equal(disk_rename(d, "..", "x", NULL), ERR_OK);
    assert_int_not_equal(disk_make_dir(d, "link/new", NULL), ERR_OK);
}

struct names {
    unsigned count, directories, stop_after;
};

static enum err each(void *user, const char *name, bool is_directory)
{
    struct names *n = user;
    assert_true(strcmp(name, ".") != 0 && strcmp(name, "..") != 0);
    n->count++;
    n->directories += is_directory;
    return n->count == n->stop_after ? ERR_CANCELLED : ERR_OK;
}

static void test_disk_lists_and_stops_when_told(void **state)
{
    struct disk *d = ((struct place *)*state)->disk;
    struct names all = {0}, some = {.stop_after = 3};
    char name[16];
    for (int i = 0; i < 20; i++) {
        (void)snprintf(name, sizeof(name), "f%d", i);
        disk_close(must_open(d, name, DISK_WRITE | DISK_CREATE));
    }
    assert_int_equal(disk_make_dir(d, "dir", NULL), ERR_OK);
    assert_int_equal(disk_list(d, "", each, &all, NULL), ERR_OK);
    assert_int_equal(all.count, 21);
    assert_int_equal(all.directories, 1);
    assert_int_equal(disk_list(d, "", each, &some, NULL), ERR_CANCELLED);
    assert_int_equal(some.count, 3);
}

/* The file size limit stands in for a full disk: a write that cannot be whole fails. */
static void test_disk_write_that_does_not_fit_fails(void **state)
{
    struct disk *d = ((struct place *)*state)->disk;
    static uint8_t data[200000];
    struct errmsg msg;
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 100000;
    (void)signal(SIGXFSZ, SIG_IGN);
    struct disk_file *file = must_open(d, "x", DISK_WRITE | DISK_CREATE);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum err e = disk_write_at(file, 0, data, sizeof(data), &msg);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(e, ERR_FULL);
    disk_close(file);
}

/* A descriptor that cannot be synced (a pipe's end in the file's place): told, with the name. */
static void test_disk_sync_that_fails_is_told(void **state)
{
    struct place *p = *state;
    struct errmsg msg;
    char name[128];
    (void)snprintf(name, sizeof(name), "%s/fifo", p->root);
    assert_int_equal(mkfifo(name, 0600), 0);
    struct disk_file *file = must_open(p->disk, "fifo", DISK_WRITE);
    assert_int_not_equal(disk_sync(file, &msg), ERR_OK);
    assert_non_null(strstr(msg.text, "fifo"));
    disk_close(file);
}

static void test_disk_uncached_reads_the_same(void **state)
{
    struct disk *d = ((struct place *)*state)->disk;
    enum { SIZE = 300000 };
    static uint8_t data[SIZE], got[SIZE];
    size_t size;
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)(i * 7);
    struct disk_file *file = must_open(d, "x", DISK_WRITE | DISK_CREATE);
    assert_int_equal(disk_write_at(file, 0, data, SIZE, NULL), ERR_OK);
    assert_int_equal(disk_sync(file, NULL), ERR_OK);
    disk_close(file);
    file = must_open(d, "x", DISK_READ | DISK_UNCACHED);
    for (size_t at = 0; at < SIZE; at += size)
        assert_int_equal(
            disk_read_at(file, at, got + at, 65536 < SIZE - at ? 65536 : SIZE - at, &size, NULL),
            ERR_OK);
    assert_memory_equal(data, got, SIZE);
    disk_close(file);
}

/* What goes around the page cache and what goes through it are the same file: aligned pieces, an
 * odd end, a head that is written last, as the store does it. */
static void test_disk_uncached_pieces_of_any_kind_make_one_file(void **state)
{
    struct disk *d = ((struct place *)*state)->disk;
    enum { UNIT = DISK_UNCACHED_ALIGN, SIZE = 67 * UNIT + 777 };
    uint8_t *data = aligned_alloc(UNIT, 68 * UNIT), *got = aligned_alloc(UNIT, 68 * UNIT);
    const size_t cuts[] = {UNIT, 33 * UNIT, 33 * UNIT + 5, 34 * UNIT, 66 * UNIT, SIZE};
    size_t size, at = UNIT;
    assert_true(data && got);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)(i * 7 + i / UNIT);
    struct disk_file *file =
        must_open(d, "x", DISK_READ | DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE | DISK_UNCACHED);
    assert_int_equal(disk_allocate(file, SIZE, NULL), ERR_OK);
    for (size_t i = 1; i < ARRAY_COUNT(cuts); at = cuts[i++])
        assert_int_equal(disk_write_at(file, at, data + at, cuts[i] - at, NULL), ERR_OK);
    assert_int_equal(disk_write_at(file, 0, data, UNIT, NULL), ERR_OK);
    assert_int_equal(disk_sync(file, NULL), ERR_OK);
    disk_close(file);
    const unsigned how[] = {DISK_READ, DISK_READ | DISK_UNCACHED};
    for (size_t i = 0; i < ARRAY_COUNT(how); i++) {
        memset(got, 0, SIZE);
        file = must_open(d, "x", how[i]);
        assert_int_equal(disk_read_at(file, 0, got, 10 * UNIT, &size, NULL), ERR_OK);
        assert_int_equal(size, 10 * UNIT);
        assert_int_equal(disk_read_at(file, 10 * UNIT, got + 10 * UNIT, 7, &size, NULL), ERR_OK);
        assert_int_equal(size, 7);
        assert_int_equal(disk_read_at(file, 10 * UNIT, got + 10 * UNIT, 58 * UNIT, &size, NULL),
                         ERR_OK);
        assert_int_equal(size, SIZE - 10 * UNIT); /* over the end */
        assert_memory_equal(got, data, SIZE);
        disk_close(file);
    }
    free(data);
    free(got);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_disk_writes_reads_and_renames),
        CASE(test_disk_says_what_is_wrong_and_where),
        CASE(test_disk_nothing_leads_out_of_the_root),
        CASE(test_disk_lists_and_stops_when_told),
        CASE(test_disk_write_that_does_not_fit_fails),
        CASE(test_disk_sync_that_fails_is_told),
        CASE(test_disk_uncached_reads_the_same),
        CASE(test_disk_uncached_pieces_of_any_kind_make_one_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
