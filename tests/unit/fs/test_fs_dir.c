/* fs/fs_dir: descriptors that come and go, directories that were exchanged, paths as text. */
#include "fs_test.h"

#include <pthread.h>

static void test_dir_deep_with_few_descriptors(void **state)
{
    (void)state;
    enum { DEPTH = 300 };
    struct fs_tree *tree;
    struct fs_dir *chain[DEPTH + 1];
    char name[64];
    int fd = open(".", O_RDONLY | O_DIRECTORY);
    OK(fs_tree_open(scratch, 8, &tree, &msg));
    chain[0] = fs_tree_root(tree);
    for (size_t i = 0; i < DEPTH; i++) {
        (void)snprintf(name, sizeof(name), "%063zu", i); /* 19 kB of path */
        assert_int_equal(mkdirat(fd, name, 0700), 0);
        int below = openat(fd, name, O_RDONLY | O_DIRECTORY);
        close(fd);
        fd = below;
        OK(fs_dir_child(chain[i], slice_text(name), 0, 0, &chain[i + 1]));
    }
    struct stat there, got;
    assert_int_equal(fstat(fd, &there), 0);
    close(fd);
    for (size_t round = 0; round < 2; round++) {
        OK(fs_dir_pin(chain[DEPTH], &fd, &msg));
        assert_int_equal(fstat(fd, &got), 0);
        assert_int_equal(got.st_ino, there.st_ino);
        fs_dir_unpin(chain[DEPTH]);
        for (size_t i = DEPTH; i > 0; i -= 10) { /* upwards, against the order of opening */
            OK(fs_dir_pin(chain[i - 1], &fd, &msg));
            fs_dir_unpin(chain[i - 1]);
        }
    }
    int open_now = run("exit $(ls /proc/%d/fd | wc -l)", getpid()) >> 8;
    assert_true(open_now < 8 + 10);
    struct buf path = BUF_INIT(1 << 20);
    OK(fs_dir_path(chain[DEPTH], slice_text("f"), &path));
    assert_int_equal(path.size, strlen(scratch) + DEPTH * 64 + 2);
    assert_memory_equal(path.data, scratch, strlen(scratch));
    assert_memory_equal(path.data + path.size - 3, "9/f", 3);
    buf_free(&path);
    char text[FS_PATH_TEXT_SIZE];
    assert_true(strlen(fs_dir_path_text(chain[DEPTH], slice_text("f"), text)) < sizeof(text));
    assert_non_null(strstr(text, "..."));
    assert_memory_equal(text, scratch, strlen(scratch));
    /* the last reference frees the whole chain */
    for (size_t i = 0; i < DEPTH; i++)
        fs_dir_release(chain[i]);
    fs_dir_release(chain[DEPTH]);
    fs_tree_close(tree);
}

static void test_dir_exchanged_is_stale(void **state)
{
    (void)state;
    struct fs_tree *tree;
    struct fs_dir *a, *b;
    int fd;
    assert_int_equal(run("mkdir -p a/b other/b"), 0);
    OK(fs_tree_open(scratch, 1, &tree, &msg));
    struct fs_dir *root = fs_tree_root(tree);
    OK(fs_dir_child(root, slice_text("a"), 0, 0, &a));
    OK(fs_dir_child(a, slice_text("b"), 0, 0, &b));
    OK(fs_dir_pin(b, &fd, &msg));
    fs_dir_unpin(b);
    OK(fs_dir_pin(a, &fd, &msg)); /* one is kept: `b` is closed by this */
    fs_dir_unpin(a);
    assert_int_equal(run("mkdir x && rmdir a/b && mv x a/b"), 0);
    assert_int_equal(fs_dir_pin(b, &fd, &msg), ERR_STALE);
    assert_int_equal(run("rmdir a/b && ln -s ../other/b a/b"), 0);
    assert_int_equal(fs_dir_pin(b, &fd, &msg), ERR_STALE);
    assert_int_equal(run("rm a/b"), 0);
    assert_int_equal(fs_dir_pin(b, &fd, &msg), ERR_NOT_FOUND);
    assert_non_null(strstr(msg.text, "/a/b"));
    fs_dir_release(b);
    OK(fs_dir_child(a, slice_text("b"), 1, 2, &b)); /* what was said beforehand counts too */
    assert_int_equal(run("mkdir a/b"), 0);
    assert_int_equal(fs_dir_pin(b, &fd, &msg), ERR_STALE);
    fs_dir_release(b);
    fs_dir_release(a);
    fs_dir_release(root);
    fs_tree_close(tree);
    assert_int_equal(fs_tree_open("nothing", 0, &tree, &msg), ERR_NOT_FOUND);
    assert_int_equal(symlink("a", "l"), 0);
    assert_int_not_equal(fs_tree_open("l", 0, &tree, &msg), ERR_OK);
}

static void test_dir_text_is_safe_to_show(void **state)
{
    (void)state;
    struct fs_tree *tree;
    char text[FS_PATH_TEXT_SIZE];
    OK(fs_tree_open("/", 0, &tree, &msg));
    struct fs_dir *root = fs_tree_root(tree);
    assert_string_equal(fs_dir_path_text(root, slice_of(NULL, 0), text), "/");
    static const struct {
        const char *name, *shown;
    } rows[] = {
        {"plain", "/plain"},
        {"\x1b[31mred\n", "/\\x1b[31mred\\x0a"},
        {"caf\xc3\xa9", "/caf\xc3\xa9"},
        {"\xff\xc3", "/\\xff\\xc3"},
        {"\xed\xa0\x80", "/\\xed\\xa0\\x80"}, /* a surrogate */
        {"\xc0\xaf", "/\\xc0\\xaf"},          /* overlong */
        {"\xc2\x9b", "/\\xc2\\x9b"},          /* a control character of 8 bits */
        {"\x7f", "/\\x7f"},
        {"\xf0\x9f\x8d\xb7", "/\xf0\x9f\x8d\xb7"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        assert_string_equal(fs_dir_path_text(root, slice_text(rows[i].name), text), rows[i].shown);
    char wide[256];
    memset(wide, 1, 255);
    wide[255] = 0;
    assert_true(strlen(fs_dir_path_text(root, slice_text(wide), text)) < sizeof(text));
    assert_non_null(strstr(text, "\\x01...\\x01"));
    fs_dir_release(root);
    fs_tree_close(tree);
}

enum { DIRS = 40, THREADS = 4 };
static struct fs_dir *dirs[DIRS];

static void *pin_all(void *given)
{
    size_t *bad = given;
    for (size_t i = 0; i < 4000; i++) {
        struct fs_dir *dir = dirs[(i * 7 + *bad) % DIRS];
        struct stat st;
        int fd;
        if (fs_dir_pin(dir, &fd, NULL) != ERR_OK || fstat(fd, &st) != 0 || !S_ISDIR(st.st_mode))
            *bad += 1000000;
        else
            fs_dir_unpin(dir);
    }
    return NULL;
}

static void test_dir_from_threads(void **state)
{
    (void)state;
    struct fs_tree *tree;
    char name[16];
    OK(fs_tree_open(scratch, 4, &tree, &msg));
    struct fs_dir *at = fs_tree_root(tree);
    int fd = open(".", O_RDONLY | O_DIRECTORY);
    for (size_t i = 0; i < DIRS; i++) {
        (void)snprintf(name, sizeof(name), "d%zu", i);
        assert_int_equal(mkdirat(fd, name, 0700), 0);
        OK(fs_dir_child(at, slice_text(name), 0, 0, &dirs[i]));
        if (i % 5 == 4) {
            int below = openat(fd, name, O_RDONLY | O_DIRECTORY);
            close(fd);
            fd = below;
            fs_dir_release(at);
            at = fs_dir_ref(dirs[i]);
        }
    }
    close(fd);
    fs_dir_release(at);
    pthread_t threads[THREADS];
    size_t bad[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        bad[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, pin_all, &bad[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(bad[i] < 1000000);
    }
    for (size_t i = 0; i < DIRS; i++)
        fs_dir_release(dirs[i]);
    fs_tree_close(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_dir_deep_with_few_descriptors, scratch_make,
                                        scratch_remove),
        cmocka_unit_test_setup_teardown(test_dir_exchanged_is_stale, scratch_make, scratch_remove),
        cmocka_unit_test_setup_teardown(test_dir_text_is_safe_to_show, scratch_make,
                                        scratch_remove),
        cmocka_unit_test_setup_teardown(test_dir_from_threads, scratch_make, scratch_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
