#include "daemon/daemon_main.h"

#include <stdio.h>
#include <string.h>

static const struct daemon_command *command_of(const struct daemon_main *m, const char *word)
{
    for (size_t i = 0; i < m->command_count; i++)
        if (strcmp(m->commands[i].name, word) == 0)
            return &m->commands[i];
    return NULL;
}

/* Which flags there are depends on the subcommand, wherever it stands. */
static enum err parse(const struct daemon_main *m, int argc, char **argv)
{
    const char *const *extra = m->flags;
    for (int i = 1; i < argc; i++) {
        const struct daemon_command *command = command_of(m, argv[i]);
        if (command)
            extra = command->flags;
    }
    return daemon_flags(argc, argv, m->keys, m->key_count, extra, m->given, m->msg);
}

static int fail(const struct daemon_main *m, enum err e, const char *what)
{
    fprintf(stderr, "%s: %s%s\n", m->name, what, m->msg->text);
    return e == ERR_USAGE ? 2 : 1;
}

static int serve(const struct daemon_main *m)
{
    int code = 0;
    enum err e = daemon_open(m->given, m->keys, m->key_count, m->settings, m->daemon, m->msg);
    if (e != ERR_OK)
        return fail(m, e, "");
    e = m->start(m->program);
    if (e == ERR_OK)
        uvio_run(*m->io);
    else
        code = fail(m, e, "cannot start: ");
    m->finish(m->program);
    return e == ERR_OK ? *m->exit_code : code;
}

int daemon_main(const struct daemon_main *m, int argc, char **argv)
{
    const enum err e = parse(m, argc, argv);
    if (e != ERR_OK)
        return fail(m, e, "");
    if (m->given->help) {
        fputs(m->usage, stdout);
        return 0;
    }
    if (m->given->version) {
        printf("%s " CELLAR_VERSION "\n", m->name);
        return 0;
    }
    const char *word = m->given->word_count > 0 ? m->given->words[0] : NULL;
    const struct daemon_command *command = m->given->word_count == 1 ? command_of(m, word) : NULL;
    if (word && !command)
        return fail(m, err_say(m->msg, ERR_USAGE, "there is no command '%s'; try --help", word),
                    "");
    return command && command->run ? command->run(m->program) : serve(m);
}
