/* The command line: what is taken, what is refused with which words, and that every command has its
   help. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl.h"

#include <string.h>

struct parsed {
    const struct ctl_command *command;
    struct ctl_options options;
    struct errmsg msg;
    enum err e;
};

static void parse(struct parsed *p, const char *const *words)
{
    int count = 0;
    while (words[count])
        count++;
    *p = (struct parsed){0};
    p->e =
        ctl_flags_parse(count, (char *const *)(uintptr_t)words, &p->command, &p->options, &p->msg);
}

#define PARSE(p, ...) parse(p, (const char *const[]){__VA_ARGS__, NULL})

static void test_flags_stand_anywhere(void **state)
{
    struct parsed p;
    (void)state;
    PARSE(&p, "--vault", "/v", "backup", "/a", "--tag=one", "/b", "--tag", "two", "-qx", "-e*.o");
    assert_int_equal(p.e, ERR_OK);
    assert_string_equal(p.command->name, "backup");
    assert_string_equal(p.options.vault, "/v");
    assert_int_equal(p.options.arguments.count, 2);
    assert_string_equal(p.options.arguments.items[1], "/b");
    assert_int_equal(p.options.tags.count, 2);
    assert_string_equal(p.options.tags.items[0], "one");
    assert_string_equal(p.options.exclude.items[0], "*.o");
    assert_true(p.options.quiet && p.options.one_file_system && !p.options.json);
    ctl_flags_free(&p.options);
}

static void test_help_and_version_as_others_have_them(void **state)
{
    struct parsed p;
    (void)state;
    PARSE(&p, "help", "restore");
    assert_int_equal(p.e, ERR_OK);
    assert_true(p.options.help);
    assert_string_equal(p.command->name, "restore");
    PARSE(&p, "help");
    assert_int_equal(p.e, ERR_OK);
    assert_true(p.options.help && !p.command);
    PARSE(&p, "--version");
    assert_int_equal(p.e, ERR_OK);
    assert_string_equal(p.command->name, "version");
    PARSE(&p, "backup", "--version");
    assert_int_equal(p.e, ERR_USAGE);
    PARSE(&p, "backup", "help");
    assert_int_equal(p.e, ERR_OK);
    assert_string_equal(p.options.arguments.items[0], "help");
    ctl_flags_free(&p.options);
}

static void test_two_dashes_end_the_flags(void **state)
{
    struct parsed p;
    (void)state;
    PARSE(&p, "backup", "--", "--tag", "-");
    assert_int_equal(p.e, ERR_OK);
    assert_int_equal(p.options.arguments.count, 2);
    assert_string_equal(p.options.arguments.items[0], "--tag");
    ctl_flags_free(&p.options);
}

/* A wrong line is refused, and the sentence names what is wrong. */
static void test_bad_usage_is_named(void **state)
{
    static const struct {
        const char *words[6], *named;
    } cases[] = {
        {{"no-such-command"}, "no-such-command"},
        {{"backup", "--no-such-flag", "/a"}, "--no-such-flag"},
        {{"backup", "-z", "/a"}, "-z"},
        {{"restore"}, "SNAP"},
        {{"restore", "latest", "extra", "--target", "/t"}, "extra"},
        {{"restore", "latest", "--target"}, "--target"},
        {{"restore", "latest", "--verify=yes"}, "--verify"},
        {{"--tag", "x", "backup"}, "--tag"},
        {{"snapshots", "--json=1"}, "--json"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct parsed p;
        parse(&p, cases[i].words);
        assert_int_equal(p.e, ERR_USAGE);
        assert_non_null(strstr(p.msg.text, cases[i].named));
        ctl_flags_free(&p.options);
    }
}

static void test_help_needs_no_arguments(void **state)
{
    struct parsed p;
    (void)state;
    PARSE(&p, "backup", "--help");
    assert_int_equal(p.e, ERR_OK);
    assert_true(p.options.help);
    ctl_flags_free(&p.options);
}

/* The table itself: no flag or letter twice, an example of every command that its own parser takes.
 */
static void test_every_command_is_whole(void **state)
{
    size_t count, common_count;
    const struct ctl_command *commands = ctl_commands(&count);
    const struct ctl_flag *common = ctl_flags_common(&common_count);
    (void)state;
    assert_true(count > 10);
    for (size_t i = 0; i < count; i++) {
        const struct ctl_command *c = &commands[i];
        assert_non_null(c->run);
        assert_ptr_equal(ctl_command_find(c->name), c);
        assert_non_null(strstr(c->example, c->name));
        for (size_t a = 0; a < c->flag_count; a++) {
            assert_int_equal(c->flags[a].kind == CTL_BOOL, c->flags[a].value == NULL);
            for (size_t b = 0; b < common_count; b++) {
                assert_string_not_equal(c->flags[a].name, common[b].name);
                assert_true(!c->flags[a].letter || c->flags[a].letter != common[b].letter);
            }
            for (size_t b = 0; b < a; b++) {
                assert_string_not_equal(c->flags[a].name, c->flags[b].name);
                assert_true(!c->flags[a].letter || c->flags[a].letter != c->flags[b].letter);
            }
        }
    }
}

/* What a terminal would obey never comes out of a name. */
static void test_text_is_printable(void **state)
{
    char out[CTL_TEXT_SIZE];
    (void)state;
    assert_string_equal(ctl_text(slice_text("a\x1b[2J\n\xff"), out), "a\\x1b[2J\\x0a\\xff");
    assert_string_equal(ctl_text(slice_text("gr\xc3\xbc\xc3\x9f"), out), "gr\xc3\xbc\xc3\x9f");
    assert_string_equal(ctl_text(slice_text("\xc2\x9b"), out), "\\xc2\\x9b");
    assert_string_equal(ctl_text(slice_text("\xc3"), out), "\\xc3");
    uint8_t long_text[CTL_TEXT_SIZE * 2];
    memset(long_text, 0x1b, sizeof(long_text));
    assert_true(strlen(ctl_text(slice_of(long_text, sizeof(long_text)), out)) < CTL_TEXT_SIZE);
}

static void test_the_live_line_has_all_five(void **state)
{
    char text[512];
    struct ctl_progress progress = {.verb = "restored", .started_ms = 1000};
    const struct ctl_progress_now now = {
        .bytes = 10 << 20, .bytes_total = 40 << 20, .files = 7, .files_total = 28, .now_ms = 3000};
    (void)state;
    ctl_progress_format(&progress, &now, text, sizeof(text));
    assert_non_null(strstr(text, "25.0%"));
    assert_non_null(strstr(text, "10.0 MiB of 40.0 MiB"));
    assert_non_null(strstr(text, "7 files"));
    assert_non_null(strstr(text, "5.00 MiB/s"));
    assert_non_null(strstr(text, "left"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flags_stand_anywhere),
        cmocka_unit_test(test_help_and_version_as_others_have_them),
        cmocka_unit_test(test_two_dashes_end_the_flags),
        cmocka_unit_test(test_bad_usage_is_named),
        cmocka_unit_test(test_help_needs_no_arguments),
        cmocka_unit_test(test_every_command_is_whole),
        cmocka_unit_test(test_text_is_printable),
        cmocka_unit_test(test_the_live_line_has_all_five),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
