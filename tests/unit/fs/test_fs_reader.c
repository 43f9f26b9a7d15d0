/* fs/fs_read: holes, and files that do not stand still while they are read. */
#include "fs_test.h"

#include <sys/socket.h>
#include <sys/un.h>

static struct fs_tree *tree;
static struct fs_dir *root;

static int begin(void **state)
{
    if (scratch_make(state) != 0 || fs_tree_open(scratch, 0, &tree, &msg) != ERR_OK)
        return -1;
    root = fs_tree_root(tree);
    return 0;
}

static int end(void **state)
{
    fs_dir_release(root);
    fs_tree_close(tree);
    return scratch_remove(state);
}

/* What a walk would have said. */
static struct fs_entry entry_of(const char *name)
{
    struct stat st;
    assert_int_equal(lstat(name, &st), 0);
    return (struct fs_entry){
        .name = slice_text(name),
        .type = S_ISLNK(st.st_mode)    ? FS_SYMLINK
                : S_ISFIFO(st.st_mode) ? FS_FIFO
                                       : FS_FILE,
        .size = (uint64_t)st.st_size,
        .user = "me",
        .group = "us",
        .uid = st.st_uid,
        .gid = st.st_gid,
    };
}

static void test_reader_passes_over_holes(void **state)
{
    (void)state;
    int fd = open("s", O_RDWR | O_CREAT, 0600);
    assert_int_equal(pwrite(fd, "abc", 3, 1 << 20), 3);
    assert_int_equal(pwrite(fd, "def", 3, 4 << 20), 3);
    assert_int_equal(ftruncate(fd, 8 << 20), 0);
    close(fd);
    struct fs_entry entry = entry_of("s");
    struct fs_reader reader;
    const struct fs_run *runs;
    size_t count, got, total = 0;
    OK(fs_reader_open(&reader, root, &entry, &msg));
    assert_true(reader.entry.sparse);
    OK(fs_reader_runs(&reader, &runs, &count, &msg));
    assert_int_equal(count, 2);
    for (size_t i = 0; i < count; i++) {
        assert_true(runs[i].offset <= (i ? 4u << 20 : 1u << 20));
        assert_true(runs[i].size >= 3 && runs[i].size <= 65536);
        total += (size_t)runs[i].size;
    }
    static uint8_t data[1 << 18];
    OK(fs_reader_next(&reader, data, sizeof(data), &got, &msg));
    assert_int_equal(got, total);
    assert_memory_equal(data + (1 << 20) - runs[0].offset, "abc", 3);
    OK(fs_reader_next(&reader, data, sizeof(data), &got, &msg));
    assert_int_equal(got, 0);
    fs_reader_rewind(&reader);
    size_t again = 0; /* in odd pieces */
    do {
        OK(fs_reader_next(&reader, data, 7, &got, &msg));
        again += got;
    } while (got == 7);
    assert_int_equal(again, total);
    fs_reader_close(&reader);

    assert_int_equal(truncate("s", 0), 0);
    assert_int_equal(truncate("s", 1 << 20), 0);
    OK(fs_reader_open(&reader, root, &entry, &msg));
    OK(fs_reader_runs(&reader, &runs, &count, &msg));
    assert_int_equal(count, 0);
    assert_non_null(runs);
    fs_reader_close(&reader);
}

/* A backup that goes on after a kill: from wherever it skips to, the same bytes follow as when all
   is read. */
static void test_reader_skips_to_any_byte_of_the_data(void **state)
{
    (void)state;
    static uint8_t all[3 * 4096], rest[sizeof(all)];
    int fd = open("k", O_RDWR | O_CREAT, 0600);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned j = 0; j < 4096; j++)
            all[i * 4096 + j] = (uint8_t)(i * 7 + j * 13 + 1);
        assert_int_equal(pwrite(fd, all + i * 4096, 4096, (off_t)i << 20), 4096);
    }
    assert_int_equal(ftruncate(fd, 4 << 20), 0);
    close(fd);
    struct fs_entry entry = entry_of("k");
    struct fs_reader reader;
    const struct fs_run *runs;
    size_t count, got;
    OK(fs_reader_open(&reader, root, &entry, &msg));
    OK(fs_reader_runs(&reader, &runs, &count, &msg));
    assert_int_equal(count, 3);
    static const size_t places[] = {0, 1, 4095, 4096, 4097, 8191, 8192, 12287, 12288};
    for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
        const size_t from = places[i];
        fs_reader_rewind(&reader);
        fs_reader_skip(&reader, from);
        OK(fs_reader_next(&reader, rest, sizeof(rest), &got, &msg));
        assert_int_equal(got, sizeof(all) - from);
        assert_memory_equal(rest, all + from, got);
    }
    fs_reader_skip(&reader, UINT64_MAX); /* beyond the end is the end */
    OK(fs_reader_next(&reader, rest, sizeof(rest), &got, &msg));
    assert_int_equal(got, 0);
    fs_reader_close(&reader);
}

static void test_reader_joins_runs_that_are_too_many(void **state)
{
    (void)state;
    enum { RUNS = FS_RUNS_MAX + 1000 };
    if (!getenv("CELLAR_TEST_FULL")) {
        print_message("skipped: %d runs take long (CELLAR_TEST_FULL=1)\n", RUNS);
        skip();
    }
    int fd = open("many", O_RDWR | O_CREAT, 0600);
    for (off_t i = 0; i < RUNS; i++)
        assert_int_equal(pwrite(fd, "x", 1, i * (i % 2 ? 8192 : 12288)), 1);
    close(fd);
    struct fs_entry entry = entry_of("many");
    struct fs_reader reader;
    const struct fs_run *runs;
    size_t count;
    OK(fs_reader_open(&reader, root, &entry, &msg));
    OK(fs_reader_runs(&reader, &runs, &count, &msg));
    assert_true(count > 1000 && count <= FS_RUNS_MAX);
    for (size_t i = 1; i < count; i++)
        assert_true(runs[i].offset > runs[i - 1].offset + runs[i - 1].size);
    fs_reader_close(&reader);
}

static void test_reader_tells_what_changed(void **state)
{
    (void)state;
    struct fs_reader reader;
    uint8_t data[64];
    size_t got;
    bool changed;
    write_text("f", "0123456789");
    struct fs_entry entry = entry_of("f");

    OK(fs_reader_open(&reader, root, &entry, &msg));
    OK(fs_reader_next(&reader, data, 64, &got, &msg));
    OK(fs_reader_finish(&reader, &changed, &msg));
    assert_int_equal(got, 10);
    assert_false(changed);
    fs_reader_close(&reader);

    /* shrinks: the size stays what it was said to be, the rest reads as zeros */
    OK(fs_reader_open(&reader, root, &entry, &msg));
    OK(fs_reader_next(&reader, data, 2, &got, &msg));
    assert_int_equal(truncate("f", 4), 0);
    memset(data, 0xaa, sizeof(data));
    OK(fs_reader_next(&reader, data, 64, &got, &msg));
    assert_int_equal(got, 8);
    assert_memory_equal(data, "23\0\0\0\0\0\0", 8);
    OK(fs_reader_finish(&reader, &changed, &msg));
    assert_true(changed);
    assert_non_null(strstr(msg.text, "had 10 bytes and now has 4"));
    fs_reader_close(&reader);

    /* grows: no more is read than it had */
    OK(fs_reader_open(&reader, root, &entry, &msg));
    assert_int_equal(reader.entry.size, 4);
    assert_int_equal(truncate("f", 40), 0);
    OK(fs_reader_next(&reader, data, 64, &got, &msg));
    assert_int_equal(got, 4);
    OK(fs_reader_finish(&reader, &changed, &msg));
    assert_true(changed);
    fs_reader_close(&reader);

    /* metadata only */
    OK(fs_reader_open(&reader, root, &entry, &msg));
    usleep(20000);
    assert_int_equal(chmod("f", 0400), 0);
    OK(fs_reader_finish(&reader, &changed, &msg));
    assert_true(changed);
    assert_non_null(strstr(msg.text, "metadata"));
    assert_false(reader.gone);
    fs_reader_close(&reader);

    /* removed: what was read is whole */
    OK(fs_reader_open(&reader, root, &entry, &msg));
    usleep(20000);
    assert_int_equal(unlink("f"), 0);
    OK(fs_reader_next(&reader, data, 64, &got, &msg));
    assert_int_equal(got, 40);
    OK(fs_reader_finish(&reader, &changed, &msg));
    assert_false(changed);
    assert_true(reader.gone);
    fs_reader_close(&reader);
}

static void test_reader_refuses_what_is_no_file_any_more(void **state)
{
    (void)state;
    struct fs_reader reader;
    write_text("f", "x");
    write_text("other", "other file");
    struct fs_entry entry = entry_of("f");
    assert_int_equal(unlink("f"), 0);
    assert_int_equal(fs_reader_open(&reader, root, &entry, &msg), ERR_NOT_FOUND);
    assert_int_equal(symlink("other", "f"), 0);
    assert_int_equal(fs_reader_open(&reader, root, &entry, &msg), ERR_STALE);
    assert_int_equal(unlink("f"), 0);
    assert_int_equal(mkfifo("f", 0600), 0); /* and does not wait for a writer */
    assert_int_equal(fs_reader_open(&reader, root, &entry, &msg), ERR_STALE);
    assert_int_equal(unlink("f"), 0);
    assert_int_equal(mkdir("f", 0700), 0);
    assert_int_equal(fs_reader_open(&reader, root, &entry, &msg), ERR_STALE);
    assert_int_equal(rmdir("f"), 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "f"};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
    assert_int_equal(fs_reader_open(&reader, root, &entry, &msg), ERR_STALE);
    assert_int_equal(unlink("f"), 0);
    assert_int_equal(rename("other", "f"), 0); /* another file: that one is read */
    OK(fs_reader_open(&reader, root, &entry, &msg));
    assert_int_equal(reader.entry.size, 10);
    assert_string_equal(reader.entry.user, "me");
    fs_read_ahead(root, &reader.entry, 4096);
    fs_reader_close(&reader);
}

static void test_details(void **state)
{
    (void)state;
    struct fs_details details;
    write_text("f", "x");
    static uint8_t large[3000];
    memset(large, 7, sizeof(large));
    if (setxattr("f", "user.b", large, sizeof(large), 0) != 0) {
        print_message("skipped: no user.* attributes on this file system\n");
        skip();
    }
    assert_int_equal(setxattr("f", "user.a", "", 0, 0), 0);
    assert_int_equal(setxattr(".", "user.dir", "d", 1, 0), 0);
    assert_int_equal(symlink("some/where", "l"), 0);
    struct fs_entry entry = entry_of("f"), link = entry_of("l"),
                    dir = {.name = slice_of(NULL, 0), .type = FS_DIRECTORY};
    OK(fs_details_read(root, &entry, &details, &msg));
    assert_int_equal(details.xattr_count, 2);
    assert_string_equal(details.xattrs[0].name, "user.a");
    assert_int_equal(details.xattrs[0].value.size, 0);
    assert_string_equal(details.xattrs[1].name, "user.b");
    assert_int_equal(details.xattrs[1].value.size, sizeof(large));
    assert_memory_equal(details.xattrs[1].value.data, large, sizeof(large));
    fs_details_free(&details);
    OK(fs_details_read(root, &dir, &details, &msg));
    assert_int_equal(details.xattr_count, 1);
    assert_string_equal(details.xattrs[0].name, "user.dir");
    fs_details_free(&details);
    OK(fs_details_read(root, &link, &details, &msg));
    assert_true(slice_equal(details.target, slice_text("some/where")));
    fs_details_free(&details);
    fs_details_free(&details); /* twice does no harm */
    assert_int_equal(unlink("f"), 0);
    assert_int_equal(fs_details_read(root, &entry, &details, &msg), ERR_NOT_FOUND);
    assert_int_equal(mkfifo("f", 0600), 0);
    assert_int_equal(fs_details_read(root, &entry, &details, &msg), ERR_STALE);
    fs_details_free(&details);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reader_passes_over_holes, begin, end),
        cmocka_unit_test_setup_teardown(test_reader_skips_to_any_byte_of_the_data, begin, end),
        cmocka_unit_test_setup_teardown(test_reader_joins_runs_that_are_too_many, begin, end),
        cmocka_unit_test_setup_teardown(test_reader_tells_what_changed, begin, end),
        cmocka_unit_test_setup_teardown(test_reader_refuses_what_is_no_file_any_more, begin, end),
        cmocka_unit_test_setup_teardown(test_details, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
