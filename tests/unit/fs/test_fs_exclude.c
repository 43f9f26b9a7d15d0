/* fs/fs_exclude: patterns as restic has them, and that none of them can take long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "fs/fs_exclude.h"

static struct errmsg msg;

static bool one(const char *pattern, const char *path, bool ignore_case)
{
    struct fs_exclude *list;
    assert_int_equal(fs_exclude_new(&list), ERR_OK);
    assert_int_equal(fs_exclude_add(list, pattern, ignore_case, &msg), ERR_OK);
    bool matches = fs_exclude_matches(list, slice_text(path));
    fs_exclude_free(list);
    return matches;
}

struct row {
    const char *pattern, *path;
    bool matches;
};

static const struct row rows[] = {
    /* names at any depth, and what lies below */
    {"foo", "/foo", true},
    {"foo", "/a/b/foo", true},
    {"foo", "/a/foo/b", true},
    {"foo", "/a/foobar", false},
    {"foo", "/a/Foo", false},
    {"*.o", "/src/x.o", true},
    {"*.o", "/src/.o", true},
    {"*.o", "/src/x.obj", false},
    {"*", "/x", true},
    {"x*", "/a/x", true},
    {"*a*b*c*", "/zaxbyc.", true},
    {"*a*b*c*", "/zaxcyb.", false},
    {"a**b", "/axxb", true}, /* not a whole name: two stars are one */
    {"?", "/a", true},
    {"?", "/ab", false},
    {"?", "/\xc3\xa9", true}, /* one character */
    {"?", "/\xe9", true},     /* a byte that is no UTF-8 */
    {"??", "/\xc3\xa9", false},
    {"*\xc3\xa9", "/caf\xc3\xa9", true},
    {"\xff*", "/\xff\xfe", true},
    /* rows of names */
    {"cache/tmp", "/home/cache/tmp", true},
    {"cache/tmp", "/home/cache/x/tmp", false},
    {"cache/tmp", "/cache", false},
    {"cache//tmp/", "/home/cache/tmp/file", true},
    {"./cache", "/x/cache", true},
    {"*/tmp", "/tmp", false},
    {"*/tmp", "/a/tmp", true},
    /* from the root */
    {"/home/x/tmp", "/home/x/tmp", true},
    {"/home/x/tmp", "/home/x/tmp/a/b", true},
    {"/home/x/tmp", "/srv/home/x/tmp", false},
    {"/home/x/tmp", "/home/x/tmpfile", false},
    {"/home/*/tmp", "/home/y/tmp", true},
    {"/home/*/tmp", "/home/y/z/tmp", false},
    {"/", "/anything", true},
    /* any number of names */
    {"/home/**/tmp", "/home/tmp", true},
    {"/home/**/tmp", "/home/a/b/c/tmp", true},
    {"/home/**/tmp", "/srv/a/tmp", false},
    {"foo/**/bar", "/x/foo/bar", true},
    {"foo/**/bar", "/x/foo/a/b/bar/c", true},
    {"foo/**/bar", "/x/bar/foo", false},
    {"a/**/b/**/c", "/a/b/c", true},
    {"a/**/b/**/c", "/a/1/b/2/3/c", true},
    {"a/**/b/**/c", "/a/c/b", false},
    {"**/x", "/x", true},
    {"/**/x/y", "/a/x/x/y", true},
    {"**", "/a", true},
    {"a/**", "/a/b", true},
    /* sets */
    {"[abc]", "/b", true},
    {"[abc]", "/d", false},
    {"[a-cx-z]1", "/y1", true},
    {"[a-cx-z]1", "/d1", false},
    {"[^a-c]", "/d", true},
    {"[^a-c]", "/b", false},
    {"[\\]]", "/]", true},
    {"[\\^a]", "/^", true},
    {"[\xc3\xa0-\xc3\xbc]", "/\xc3\xa9", true},
    {"x[0-9]*[!]", "/x7yy!", true},
    {"[\x02]*", "/\x02xyz", true},
    /* plain by '\' */
    {"\\*", "/*", true},
    {"\\*", "/x", false},
    {"\\!x", "/!x", true},
    {"a\\?b", "/a?b", true},
    {"a\\?b", "/axb", false},
    {"a\\\\b", "/a\\b", true},
};

static void test_exclude_matches_as_documented(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        if (one(rows[i].pattern, rows[i].path, false) != rows[i].matches)
            fail_msg("\"%s\" and \"%s\": should%s match", rows[i].pattern, rows[i].path,
                     rows[i].matches ? "" : " not");
}

static void test_exclude_ignores_case_when_asked(void **state)
{
    (void)state;
    assert_true(one("FOO/*.Jpg", "/a/foo/X.jPG", true));
    assert_true(one("[A-C]x", "/bX", true));
    assert_false(one("FOO", "/foo", false));
    assert_false(one("\xc3\x89", "/\xc3\xa9", true)); /* ASCII letters only, as said */
}

static void test_exclude_last_match_decides(void **state)
{
    (void)state;
    struct fs_exclude *list;
    assert_int_equal(fs_exclude_new(&list), ERR_OK);
    assert_true(fs_exclude_empty(list));
    assert_true(fs_exclude_empty(NULL));
    assert_false(fs_exclude_matches(NULL, slice_text("/a")));
    assert_int_equal(fs_exclude_add(list, "*.o", false, &msg), ERR_OK);
    assert_int_equal(fs_exclude_add(list, "!keep.o", false, &msg), ERR_OK);
    assert_false(fs_exclude_empty(list));
    assert_true(fs_exclude_matches(list, slice_text("/a/x.o")));
    assert_false(fs_exclude_matches(list, slice_text("/a/keep.o")));
    assert_int_equal(fs_exclude_add(list, "/a/keep.o", false, &msg), ERR_OK);
    assert_true(fs_exclude_matches(list, slice_text("/a/keep.o")));
    assert_false(fs_exclude_matches(list, slice_text("/b/keep.o")));
    fs_exclude_free(list);
}

static void test_exclude_may_match_below(void **state)
{
    (void)state;
    struct fs_exclude *list;
    assert_int_equal(fs_exclude_new(&list), ERR_OK);
    assert_false(fs_exclude_may_match_below(list, slice_text("/")));
    assert_int_equal(fs_exclude_add(list, "/home/*/docs/**/x", false, &msg), ERR_OK);
    assert_true(fs_exclude_may_match_below(list, slice_text("/")));
    assert_true(fs_exclude_may_match_below(list, slice_text("/home")));
    assert_true(fs_exclude_may_match_below(list, slice_text("/home/u/docs")));
    assert_true(fs_exclude_may_match_below(list, slice_text("/home/u/docs/deep/er")));
    assert_false(fs_exclude_may_match_below(list, slice_text("/srv")));
    assert_false(fs_exclude_may_match_below(list, slice_text("/home/u/music")));
    assert_int_equal(fs_exclude_add(list, "!*.o", false, &msg), ERR_OK);
    assert_false(fs_exclude_may_match_below(list, slice_text("/srv")));
    assert_int_equal(fs_exclude_add(list, "*.c", false, &msg), ERR_OK);
    assert_true(fs_exclude_may_match_below(list, slice_text("/srv")));
    fs_exclude_free(list);
}

static void test_exclude_refuses_what_is_no_pattern(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    "!",    "[",       "[a",  "[]",  "[^]",
                                      "[a-", "[a-]", "x/[a/b]", "a\\", "[\\", "."};
    struct fs_exclude *list;
    assert_int_equal(fs_exclude_new(&list), ERR_OK);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        if (fs_exclude_add(list, bad[i], false, &msg) != ERR_FORMAT)
            fail_msg("\"%s\" was taken", bad[i]);
    char large[FS_EXCLUDE_PATTERN_MAX + 2];
    memset(large, 'a', sizeof(large) - 1);
    large[sizeof(large) - 1] = 0;
    assert_int_equal(fs_exclude_add(list, large, false, &msg), ERR_TOO_LARGE);
    assert_true(fs_exclude_empty(list));
    fs_exclude_free(list);
}

/* What makes a matcher with a call for each star run for ages. */
static void test_exclude_time_is_bounded(void **state)
{
    (void)state;
    char pattern[512] = "", path[4000] = "", deep[4000] = "";
    for (size_t i = 0; i < 60; i++)
        strcat(pattern, "a*");
    strcat(pattern, "b");
    path[0] = '/';
    memset(path + 1, 'a', 255);
    clock_t start = clock();
    assert_false(one(pattern, path, false));
    pattern[0] = 0;
    for (size_t i = 0; i < 100; i++)
        strcat(pattern, "**/a/");
    strcat(pattern, "b");
    for (size_t i = 0; i < 1500; i++)
        strcat(deep, "/a");
    assert_false(one(pattern, deep, false));
    assert_true(one("**/a/**/a/**/a", deep, false));
    assert_true(clock() - start < CLOCKS_PER_SEC);
}

/* Random patterns from an alphabet that is all meaning, on random paths: nothing may crash, and a
   path taken literally must match itself. */
static void test_exclude_random(void **state)
{
    (void)state;
    const char *given = getenv("CELLAR_TEST_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    srand(seed);
    static const char letters[] = "ab*?[]^-\\/!.\xc3\xa9\xff";
    for (size_t round = 0; round < 50000; round++) {
        char pattern[24], path[24], literal[64];
        size_t size = (size_t)rand() % (sizeof(pattern) - 1);
        for (size_t i = 0; i < size; i++)
            pattern[i] = letters[(size_t)rand() % (sizeof(letters) - 1)];
        pattern[size] = 0;
        path[0] = '/';
        size = 1 + (size_t)rand() % (sizeof(path) - 2);
        for (size_t i = 1; i < size; i++)
            path[i] = letters[(size_t)rand() % (sizeof(letters) - 1)];
        path[size] = 0;
        struct fs_exclude *list;
        assert_int_equal(fs_exclude_new(&list), ERR_OK);
        if (fs_exclude_add(list, pattern, rand() & 1, NULL) == ERR_OK) {
            (void)fs_exclude_matches(list, slice_text(path));
            (void)fs_exclude_may_match_below(list, slice_text(path));
        }
        fs_exclude_free(list);
        size_t used = 0;
        bool has_name = false,
             dots = strstr(path, "/./") || (size > 1 && strcmp(path + size - 2, "/.") == 0);
        for (size_t i = 0; i < size; i++) {
            if (strchr("*?[]^-\\!", path[i]))
                literal[used++] = '\\';
            literal[used++] = path[i];
            has_name |= path[i] != '/';
        }
        literal[used] = 0;
        if (has_name && !dots)
            assert_true(one(literal, path, false));
    }
}

static void test_exclude_file(void **state)
{
    (void)state;
    char path[] = "/tmp/cellar-exclude-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    static const char text[] =
        "# comment\n\n  *.tmp \t\r\n~/cache\n!~/cache\nend\\ \n$HOME/x\nlast";
    assert_int_equal(write(fd, text, sizeof(text) - 1), (ssize_t)sizeof(text) - 1);
    setenv("HOME", "/home/me", 1);
    struct fs_exclude *list;
    assert_int_equal(fs_exclude_new(&list), ERR_OK);
    assert_int_equal(fs_exclude_add_file(list, path, false, &msg), ERR_OK);
    assert_true(fs_exclude_matches(list, slice_text("/a/x.tmp")));
    assert_false(fs_exclude_matches(list, slice_text("/home/me/cache")));
    assert_true(fs_exclude_matches(list, slice_text("/a/end ")));
    assert_true(fs_exclude_matches(list, slice_text("/$HOME/x")));
    assert_true(fs_exclude_matches(list, slice_text("/last")));
    assert_false(fs_exclude_matches(list, slice_text("/# comment")));
    assert_int_equal(pwrite(fd, "x\n[", 3, 0), 3);
    assert_int_equal(fs_exclude_add_file(list, path, false, &msg), ERR_FORMAT);
    assert_non_null(strstr(msg.text, "line 2"));
    close(fd);
    unlink(path);
    assert_int_equal(fs_exclude_add_file(list, path, false, &msg), ERR_NOT_FOUND);
    fs_exclude_free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exclude_matches_as_documented),
        cmocka_unit_test(test_exclude_ignores_case_when_asked),
        cmocka_unit_test(test_exclude_last_match_decides),
        cmocka_unit_test(test_exclude_may_match_below),
        cmocka_unit_test(test_exclude_refuses_what_is_no_pattern),
        cmocka_unit_test(test_exclude_time_is_bounded),
        cmocka_unit_test(test_exclude_random),
        cmocka_unit_test(test_exclude_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
