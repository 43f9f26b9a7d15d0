/* Flags, settings, the lock and the key of a data directory. */
#include "daemon/daemon.h"

#include "base/file.h"
#include "harness/temp_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

struct settings {
    uint64_t give_bytes;
    struct config_list advertise;
};

static const struct config_key keys[] = {
    CONFIG_SIZE(struct settings, give_bytes, "give", "100G", 0, UINT64_C(1) << 60, "space"),
    CONFIG_LIST(struct settings, advertise, "advertise", "addresses"),
};

static const char *const extra[] = {"cell", "uses=", NULL};

/* argv in writable memory, as main() has it. */
static enum err parse(const char *line, struct daemon_flags *out, struct errmsg *msg)
{
    static char text[512];
    static char *argv[32];
    int argc = 0;
    argv[argc++] = text;
    snprintf(text, sizeof(text), "program %s", line);
    for (char *p = text; *p; p++)
        if (*p == ' ') {
            *p = 0;
            argv[argc++] = p + 1;
        }
    return daemon_flags(argc, argv, keys, ARRAY_COUNT(keys), extra, out, msg);
}

static void test_flags_are_taken_apart(void **state)
{
    (void)state;
    struct daemon_flags flags;
    struct errmsg msg;
    assert_int_equal(
        parse("--data /x invite --cell --give=5G --advertise a:1 --advertise b:2", &flags, &msg),
        ERR_OK);
    assert_string_equal(flags.data, "/x");
    assert_int_equal(flags.word_count, 1);
    assert_string_equal(flags.words[0], "invite");
    assert_string_equal(daemon_flag(&flags, "give"), "5G");
    assert_string_equal(daemon_flag(&flags, "cell"), "");
    assert_null(daemon_flag(&flags, "account"));
    assert_int_equal(flags.given_count, 4);
    assert_int_equal(parse("--uses 3 --cell", &flags, &msg), ERR_OK);
    assert_string_equal(daemon_flag(&flags, "uses"), "3");
    assert_string_equal(daemon_flag(&flags, "cell"), "");
    assert_int_equal(parse("--uses", &flags, &msg), ERR_USAGE);
    assert_int_equal(parse("--use 3", &flags, &msg), ERR_USAGE);
    assert_int_equal(parse("--give", &flags, &msg), ERR_USAGE);
    assert_non_null(strstr(msg.text, "--give"));
    assert_int_equal(parse("--no-such 1", &flags, &msg), ERR_USAGE);
    assert_non_null(strstr(msg.text, "--no-such"));
    assert_int_equal(parse("--help", &flags, &msg), ERR_OK);
    assert_true(flags.help);
}

/* The first start keeps what was given; later starts find it; a flag wins; two never run at once.
 */
static void test_a_data_directory_lives_on(void **state)
{
    (void)state;
    char dir[TEMP_DIR_SIZE], path[DAEMON_PATH_SIZE], line[256];
    struct settings settings;
    struct daemon_flags flags;
    struct daemon one, two;
    struct errmsg msg;
    struct stat info;
    temp_dir_make(dir);
    snprintf(line, sizeof(line), "--data %s/d --give 5G --advertise a:1", dir);
    assert_int_equal(parse(line, &flags, &msg), ERR_OK);
    assert_int_equal(daemon_open(&flags, keys, 2, &settings, &one, &msg), ERR_OK);
    assert_true(one.first_start);
    assert_int_equal(stat(daemon_path(&one, "identity.key", path), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    const struct id id = *sign_key_id(one.key);
    assert_int_equal(daemon_open(&flags, keys, 2, &settings, &two, &msg), ERR_LOCKED);
    assert_int_equal(daemon_say_address(&one, "a:1", &msg), ERR_OK);
    daemon_close(&one);
    snprintf(line, sizeof(line), "--data %s/d", dir);
    assert_int_equal(parse(line, &flags, &msg), ERR_OK);
    assert_int_equal(daemon_open(&flags, keys, 2, &settings, &one, &msg), ERR_OK);
    assert_false(one.first_start);
    assert_int_equal(settings.give_bytes, UINT64_C(5) << 30);
    assert_string_equal(settings.advertise.items[0], "a:1");
    assert_true(id_equal(sign_key_id(one.key), &id));
    daemon_close(&one);
    snprintf(line, sizeof(line), "--data %s/d --give 7G", dir);
    assert_int_equal(parse(line, &flags, &msg), ERR_OK);
    assert_int_equal(daemon_open(&flags, keys, 2, &settings, &one, &msg), ERR_OK);
    assert_int_equal(settings.give_bytes, UINT64_C(7) << 30);
    daemon_close(&one);
    temp_dir_remove(dir);
}

/* A damaged key or settings file is a sentence, and nothing is written over it. */
static void test_damaged_files_are_said(void **state)
{
    (void)state;
    char dir[TEMP_DIR_SIZE], path[256], line[256];
    struct settings settings;
    struct daemon_flags flags;
    struct daemon d;
    struct errmsg msg;
    struct buf now = BUF_INIT(100);
    temp_dir_make(dir);
    snprintf(line, sizeof(line), "--data %s", dir);
    snprintf(path, sizeof(path), "%s/identity.key", dir);
    assert_int_equal(file_write(path, 0600, slice_text("short"), &msg), ERR_OK);
    assert_int_equal(parse(line, &flags, &msg), ERR_OK);
    assert_int_equal(daemon_open(&flags, keys, 2, &settings, &d, &msg), ERR_CORRUPT);
    assert_non_null(strstr(msg.text, "identity.key"));
    assert_int_equal(file_read(path, &now, &msg), ERR_OK);
    assert_true(slice_equal(buf_slice(&now), slice_text("short")));
    snprintf(path, sizeof(path), "%s/settings.ini", dir);
    assert_int_equal(file_write(path, 0600, slice_text("give = a lot\n"), &msg), ERR_OK);
    assert_int_not_equal(daemon_open(&flags, keys, 2, &settings, &d, &msg), ERR_OK);
    assert_non_null(strstr(msg.text, "settings.ini"));
    buf_free(&now);
    temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flags_are_taken_apart),
        cmocka_unit_test(test_a_data_directory_lives_on),
        cmocka_unit_test(test_damaged_files_are_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
