/* Small files: whole or not at all, and never one over another by mistake. */
#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static const char *in_folder(const char *name, char out[128])
{
    snprintf(out, 128, "%s/%s", folder, name);
    return out;
}

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/cellar-file-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    char path[128];
    (void)state;
    unlink(in_folder("a", path));
    return rmdir(folder);
}

static void assert_holds(const char *path, const char *text)
{
    struct buf got = BUF_INIT(100);
    assert_int_equal(file_read(path, &got, NULL), ERR_OK);
    assert_true(slice_equal(buf_slice(&got), slice_text(text)));
    buf_free(&got);
}

static void test_file_is_created_once_and_replaced_whole(void **state)
{
    char path[128], beside[128];
    struct stat info;
    struct errmsg msg;
    (void)state;
    in_folder("a", path);
    in_folder("a.new", beside);
    assert_int_equal(file_create(path, 0600, slice_text("first"), &msg), ERR_OK);
    assert_int_equal(file_create(path, 0600, slice_text("other"), &msg), ERR_EXISTS);
    assert_holds(path, "first");
    assert_int_equal(file_create(beside, 0644, slice_text("of a run that was killed"), &msg),
                     ERR_OK);
    assert_int_equal(file_write(path, 0600, slice_text("second"), &msg), ERR_OK);
    assert_holds(path, "second");
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_not_equal(access(beside, F_OK), 0);
}

static void test_file_errors_name_the_file(void **state)
{
    char path[128], nowhere[128];
    struct buf small = BUF_INIT(3);
    struct errmsg msg;
    (void)state;
    in_folder("a", path);
    in_folder("none/a", nowhere);
    assert_int_equal(file_read(path, &small, &msg), ERR_NOT_FOUND);
    assert_non_null(strstr(msg.text, path));
    assert_int_equal(file_write(nowhere, 0600, slice_text("x"), &msg), ERR_NOT_FOUND);
    assert_non_null(strstr(msg.text, nowhere));
    assert_int_equal(file_write(path, 0600, slice_text("four"), &msg), ERR_OK);
    assert_int_equal(file_read(path, &small, &msg), ERR_TOO_LARGE);
    assert_non_null(strstr(msg.text, path));
    buf_free(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_file_is_created_once_and_replaced_whole, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_file_errors_name_the_file, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
