/* config/: settings files, flags over them, and files that are wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct settings {
    char listen[CONFIG_TEXT_SIZE];
    struct config_list advertise;
    uint64_t give_bytes, scrub_ms, uses;
    bool claim;
    unsigned mode;
};

static const struct config_key keys[] = {
    CONFIG_TEXT(struct settings, listen, "listen", "0.0.0.0:7400", "address to serve at"),
    CONFIG_LIST(struct settings, advertise, "advertise", "addresses that others can dial"),
    CONFIG_SIZE(struct settings, give_bytes, "give", "10G", MIB(1), UINT64_MAX, "disk to give"),
    CONFIG_DURATION(struct settings, scrub_ms, "scrub-period", "30d", 1000, UINT64_MAX,
                    "how often"),
    CONFIG_NUMBER(struct settings, uses, "uses", NULL, 0, 9, "how many"),
    CONFIG_BOOL(struct settings, claim, "claim", "yes", "whether"),
    CONFIG_CHOICE(struct settings, mode, "mode", "local", "local|any|no", "who"),
};

static void count_line(void *context, enum log_level level, const char *line)
{
    assert_int_equal(level, LOG_WARN);
    assert_non_null(strstr(line, "here, line 4: there is no setting \"future\""));
    ++*(int *)context;
}

static void test_config_reads_all_types(void **state)
{
    (void)state;
    struct settings s;
    memset(&s, 0xaa, sizeof(s));
    config_defaults(keys, ARRAY_COUNT(keys), &s);
    assert_string_equal(s.listen, "0.0.0.0:7400");
    assert_int_equal(s.give_bytes, GIB(10));
    assert_int_equal(s.scrub_ms, UINT64_C(30) * 86400 * 1000);
    assert_int_equal(s.uses, 0);
    assert_true(s.claim);
    assert_int_equal(s.advertise.count, 0);

    int warned = 0;
    struct log log = {.write = count_line, .context = &warned, .level_max = LOG_DEBUG};
    static const char text[] = "\xef\xbb\xbf# a comment\r\n"
                               "listen = [::]:99   ; behind it\r\n"
                               "\n"
                               "future = 1\n"
                               "  give=1.5T\n"
                               "advertise = a:1\n"
                               "Scrub_Period : 90s\n"
                               "advertise = b:2\n"
                               "claim = OFF\n"
                               "mode = no\n"
                               "uses = 9";
    struct errmsg msg;
    enum err e =
        config_read_text(slice_text(text), "here", keys, ARRAY_COUNT(keys), &s, &log, &msg);
    if (e != ERR_OK)
        fail_msg("%s", msg.text);
    assert_int_equal(warned, 1);
    assert_string_equal(s.listen, "[::]:99");
    assert_int_equal(s.give_bytes, GIB(1536));
    assert_int_equal(s.scrub_ms, 90000);
    assert_int_equal(s.advertise.count, 2);
    assert_string_equal(s.advertise.items[1], "b:2");
    assert_false(s.claim);
    assert_int_equal(s.mode, 2);
    assert_int_equal(s.uses, 9);

    assert_int_equal(config_set(keys, ARRAY_COUNT(keys), &s, "give", "2M", &msg), ERR_OK);
    assert_int_equal(s.give_bytes, MIB(2));
    assert_int_equal(config_clear(keys, ARRAY_COUNT(keys), &s, "advertise"), ERR_OK);
    assert_int_equal(config_set(keys, ARRAY_COUNT(keys), &s, "advertise", "c:3", &msg), ERR_OK);
    assert_int_equal(s.advertise.count, 1);
    assert_int_equal(config_set(keys, ARRAY_COUNT(keys), &s, "nonsense", "1", &msg), ERR_NOT_FOUND);
    assert_int_equal(config_clear(keys, ARRAY_COUNT(keys), &s, "nonsense"), ERR_NOT_FOUND);
}

static void test_config_errors_name_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *sentence;
        enum err e;
    } cases[] = {
        {"\nlisten\n", "here, line 2: not of the form", ERR_FORMAT},
        {"\n[part]\n", "here, line 2: sections", ERR_FORMAT},
        {"give = 7X\n", "here, line 1: give must be a size such as", ERR_FORMAT},
        {"give = 1K\n", "here, line 1: give must be at least 1048576 bytes", ERR_FORMAT},
        {"give = -1\n", "here, line 1: give must be a size", ERR_FORMAT},
        {"scrub-period = soon", "here, line 1: scrub-period must be a time such as", ERR_FORMAT},
        {"uses = 10\n", "between 0 and 9", ERR_FORMAT},
        {"uses = \n", "a whole number", ERR_FORMAT},
        {"claim = maybe\n", "yes or no", ERR_FORMAT},
        {"mode = loc\n", "one of local|any|no", ERR_FORMAT},
        {"listen = a\x01"
         "b\n",
         "control character", ERR_FORMAT},
    };
    struct settings s;
    struct errmsg msg;
    config_defaults(keys, ARRAY_COUNT(keys), &s);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_int_equal(config_read_text(slice_text(cases[i].text), "here", keys,
                                          ARRAY_COUNT(keys), &s, NULL, &msg),
                         cases[i].e);
        if (!strstr(msg.text, cases[i].sentence))
            fail_msg("case %zu: %s", i, msg.text);
    }
    char many[CONFIG_LIST_MAX * 16 + 32] = "";
    for (int i = 0; i <= CONFIG_LIST_MAX; i++)
        strcat(many, "advertise = x\n");
    assert_int_equal(
        config_read_text(slice_text(many), "here", keys, ARRAY_COUNT(keys), &s, NULL, &msg),
        ERR_TOO_LARGE);
    char wide[4096];
    memset(wide, 'x', sizeof(wide));
    memcpy(wide, "listen=", 7);
    assert_int_equal(config_read_text(slice_of(wide, sizeof(wide)), "here", keys, ARRAY_COUNT(keys),
                                      &s, NULL, &msg),
                     ERR_TOO_LARGE);
    assert_int_equal(config_read_text(slice_of("give = 1G\0x\n", 12), "here", keys,
                                      ARRAY_COUNT(keys), &s, NULL, &msg),
                     ERR_FORMAT);
}

static void test_config_hostile_bytes_are_harmless(void **state)
{
    (void)state;
    static const char text[] =
        "# c\nlisten = [::]:99 ; x\ngive=1.5T\nadvertise = a:1\nclaim = no\n";
    struct settings s;
    config_defaults(keys, ARRAY_COUNT(keys), &s);
    for (size_t size = 0; size < sizeof(text) - 1; size++)
        (void)!config_read_text(slice_of(text, size), "here", keys, ARRAY_COUNT(keys), &s, NULL,
                                NULL);
    char changed[sizeof(text)];
    for (size_t bit = 0; bit < 8 * (sizeof(text) - 1); bit++) {
        memcpy(changed, text, sizeof(text));
        changed[bit / 8] = (char)(changed[bit / 8] ^ (1 << bit % 8));
        (void)!config_read_text(slice_of(changed, sizeof(text) - 1), "here", keys,
                                ARRAY_COUNT(keys), &s, NULL, NULL);
    }
    unsigned seed = 7;
    for (int round = 0; round < 2000; round++) {
        char noise[300];
        for (size_t i = 0; i < sizeof(noise); i++)
            noise[i] = (char)("=;#[]\n\0 \t\"give:1x\xff"[(unsigned)rand_r(&seed) % 18]);
        (void)!config_read_text(slice_of(noise, sizeof(noise)), "here", keys, ARRAY_COUNT(keys), &s,
                                NULL, NULL);
    }
    /* the struct still holds what its types promise */
    assert_true(s.advertise.count <= CONFIG_LIST_MAX);
    assert_true(s.mode <= 2);
    assert_true(memchr(s.listen, 0, sizeof(s.listen)) != NULL);
}

static void test_config_writes_what_it_reads(void **state)
{
    (void)state;
    char dir[] = "/tmp/cellar-config-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/settings.ini", dir);
    struct settings a, b;
    struct errmsg msg;
    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    config_defaults(keys, ARRAY_COUNT(keys), &a);
    config_defaults(keys, ARRAY_COUNT(keys), &b);
    assert_int_equal(config_read_file(path, keys, ARRAY_COUNT(keys), &a, NULL, &msg),
                     ERR_NOT_FOUND);
    for (int i = 0; i < 2; i++)
        assert_int_equal(config_set(keys, ARRAY_COUNT(keys), &a, "advertise", "h:1", &msg), ERR_OK);
    assert_int_equal(config_set(keys, ARRAY_COUNT(keys), &a, "give", "1536", &msg), ERR_FORMAT);
    assert_int_equal(config_set(keys, ARRAY_COUNT(keys), &a, "give", "3000000", &msg), ERR_OK);
    assert_int_equal(config_set(keys, ARRAY_COUNT(keys), &a, "scrub-period", "36h", &msg), ERR_OK);
    assert_int_equal(config_set(keys, ARRAY_COUNT(keys), &a, "mode", "any", &msg), ERR_OK);
    assert_int_equal(config_write_file(path, 0600, keys, ARRAY_COUNT(keys), &a, &msg), ERR_OK);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(config_read_file(path, keys, ARRAY_COUNT(keys), &b, NULL, &msg), ERR_OK);
    assert_memory_equal(&a, &b, sizeof(a));
    struct buf text = BUF_INIT(65536);
    assert_int_equal(config_write_text(keys, ARRAY_COUNT(keys), &a, &text), ERR_OK);
    assert_int_equal(buf_append_u8(&text, 0), ERR_OK);
    assert_non_null(strstr((char *)text.data, "# address to serve at\n# listen = 0.0.0.0:7400\n"));
    assert_non_null(strstr((char *)text.data, "\nscrub-period = 36h\n"));
    buf_free(&text);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(config_write_file(path, 0600, keys, ARRAY_COUNT(keys), &a, &msg),
                     ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_reads_all_types),
        cmocka_unit_test(test_config_errors_name_their_line),
        cmocka_unit_test(test_config_hostile_bytes_are_harmless),
        cmocka_unit_test(test_config_writes_what_it_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
