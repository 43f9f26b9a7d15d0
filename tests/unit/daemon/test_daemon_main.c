/* What every server's main does before and after the server: which exit code comes of what, that a
   failed start is ended too, and that flags belong to their subcommand. */
#include "daemon/daemon_main.h"

#include "harness/temp_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct program {
    struct daemon d;
    struct daemon_flags flags;
    struct errmsg msg;
    struct settings {
        uint64_t give_bytes;
    } settings;
    struct uvio *io;
    enum err start_e;
    unsigned starts, finishes, commands;
    int exit_code;
};

static const struct config_key keys[] = {
    CONFIG_SIZE(struct settings, give_bytes, "give", "100G", 0, UINT64_C(1) << 60, "space"),
};

static int command(void *program)
{
    struct program *p = program;
    p->commands++;
    return 7;
}

static enum err start(void *program)
{
    struct program *p = program;
    p->starts++;
    if (p->start_e != ERR_OK)
        return err_say(&p->msg, p->start_e, "as asked for");
    const enum err e = uvio_new(&(struct uvio_options){0}, &p->io, &p->msg);
    if (e == ERR_OK)
        uvio_stop(p->io); /* the loop ends as soon as it runs */
    return e;
}

static void finish(void *program)
{
    struct program *p = program;
    p->finishes++;
    uvio_free(p->io);
    daemon_close(&p->d);
}

static int run(struct program *p, const char *line)
{
    static const char *const flags[] = {"invite=", NULL}, *const flags_of_status[] = {"json", NULL};
    const struct daemon_command commands[] = {
        {.name = "status", .flags = flags_of_status, .run = command},
        {.name = "rebuild", .flags = flags},
    };
    const struct daemon_main m = {
        .name = "testd",
        .usage = "usage: testd\n",
        .flags = flags,
        .commands = commands,
        .command_count = ARRAY_COUNT(commands),
        .keys = keys,
        .key_count = ARRAY_COUNT(keys),
        .settings = &p->settings,
        .given = &p->flags,
        .daemon = &p->d,
        .msg = &p->msg,
        .start = start,
        .io = &p->io,
        .finish = finish,
        .exit_code = &p->exit_code,
        .program = p,
    };
    char text[TEMP_DIR_SIZE + 128], *argv[16];
    int argc = 0;
    snprintf(text, sizeof(text), "testd %s", line);
    for (char *rest, *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    return daemon_main(&m, argc, argv);
}

static void test_words_and_flags_have_their_exit_codes(void **state)
{
    struct program p = {.exit_code = 5};
    (void)state;
    assert_int_equal(run(&p, "--help"), 0);
    assert_int_equal(run(&p, "--version"), 0);
    assert_int_equal(run(&p, "fly"), 2);
    assert_int_equal(run(&p, "status rebuild"), 2);
    assert_int_equal(run(&p, "--json"), 2); /* it is status's */
    assert_int_equal(run(&p, "status --invite x"), 2);
    assert_int_equal(run(&p, ""), 2); /* no --data */
    assert_int_equal(p.commands + p.starts + p.finishes, 0);
    assert_int_equal(run(&p, "status --json"), 7);
    assert_int_equal(run(&p, "--json status"), 7);
    assert_int_equal(p.commands, 2);
    assert_int_equal(p.starts + p.finishes, 0);
}

static void test_the_server_runs_and_is_ended_also_when_it_cannot_start(void **state)
{
    char dir[TEMP_DIR_SIZE], line[TEMP_DIR_SIZE + 64];
    (void)state;
    temp_dir_make(dir);
    const struct {
        const char *words;
        enum err start_e;
        int code;
    } cases[] = {
        {"", ERR_OK, 5},
        {"rebuild --invite x", ERR_OK, 5},
        {"", ERR_IO, 1},
        {"--invite y", ERR_USAGE, 2},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct program p = {.exit_code = 5, .start_e = cases[i].start_e};
        snprintf(line, sizeof(line), "--data %s %s", dir, cases[i].words);
        assert_int_equal(run(&p, line), cases[i].code);
        assert_int_equal(p.starts, 1);
        assert_int_equal(p.finishes, 1);
    }
    struct program p = {.exit_code = 5};
    snprintf(line, sizeof(line), "--data %s --give much", dir);
    assert_int_equal(run(&p, line), 2); /* it is not opened, and so not ended */
    assert_int_equal(p.starts + p.finishes, 0);
    temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_and_flags_have_their_exit_codes),
        cmocka_unit_test(test_the_server_runs_and_is_ended_also_when_it_cannot_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
