#include "ctl_flags.h"

#include <stdlib.h>
#include <string.h>

#define COMMON(name_, letter_, value_, kind_, field_, help_)                      \
    {                                                                             \
        .name = (name_), .letter = (letter_), .value = (value_), .kind = (kind_), \
        .offset = offsetof(struct ctl_options, field_), .help = (help_)           \
    }

static const struct ctl_flag common[] = {
    COMMON("vault", 0, "DIR", CTL_TEXT, vault,
           "the vault (default: $CELLAR_VAULT, else $XDG_DATA_HOME/cellar/vault)"),
    COMMON(
        "passphrase-file", 'p', "FILE", CTL_TEXT, passphrase_file,
        "read the passphrase from FILE (also $CELLAR_PASSPHRASE_FILE, $CELLAR_PASSPHRASE_COMMAND)"),
    COMMON("json", 0, NULL, CTL_BOOL, json, "print one JSON object a line"),
    COMMON("quiet", 'q', NULL, CTL_BOOL, quiet, "print errors only"),
    COMMON("verbose", 'v', NULL, CTL_BOOL, verbose, "say more"),
    COMMON("help", 'h', NULL, CTL_BOOL, help, "show this"),
};

const struct ctl_flag *ctl_flags_common(size_t *count)
{
    *count = ARRAY_COUNT(common);
    return common;
}

static enum err list_add(struct ctl_list *list, const char *text)
{
    const char **more = realloc(list->items, (list->count + 1) * sizeof(*more));
    if (!more)
        return ERR_NOMEM;
    list->items = more;
    more[list->count++] = text;
    return ERR_OK;
}

static const struct ctl_flag *find_in(const struct ctl_flag *flags, size_t count, const char *name,
                                      size_t length, char letter)
{
    for (size_t i = 0; i < count; i++) {
        if (letter ? flags[i].letter == letter
                   : strlen(flags[i].name) == length && !memcmp(flags[i].name, name, length))
            return &flags[i];
    }
    return NULL;
}

static const struct ctl_flag *find_flag(const struct ctl_command *command, const char *name,
                                        size_t length, char letter)
{
    const struct ctl_flag *flag = find_in(common, ARRAY_COUNT(common), name, length, letter);
    if (!flag && command)
        flag = find_in(command->flags, command->flag_count, name, length, letter);
    return flag;
}

struct parser {
    int argc, at;
    char *const *argv;
    const struct ctl_command *command;
    struct ctl_options *out;
    struct errmsg *msg;
};

static enum err unknown_flag(const struct parser *p, const char *given)
{
    if (!p->command)
        return err_say(p->msg, ERR_USAGE,
                       "there is no flag '%s' before a command; see: cellctl --help", given);
    return err_say(p->msg, ERR_USAGE, "%s has no flag '%s'; see: cellctl %s --help",
                   p->command->name, given, p->command->name);
}

static enum err set_flag(struct parser *p, const struct ctl_flag *flag, const char *given,
                         const char *value)
{
    void *field = (char *)p->out + flag->offset;
    if (flag->kind == CTL_BOOL) {
        if (value)
            return err_say(p->msg, ERR_USAGE, "--%s takes no value", flag->name);
        *(bool *)field = true;
        return ERR_OK;
    }
    if (!value) {
        if (p->at + 1 >= p->argc)
            return err_say(p->msg, ERR_USAGE, "%s needs a value: %s", given, flag->value);
        value = p->argv[++p->at];
    }
    if (flag->kind == CTL_LIST)
        return list_add(field, value);
    *(const char **)field = value;
    return ERR_OK;
}

static enum err parse_word(struct parser *p, const char *word)
{
    if (p->command)
        return list_add(&p->out->arguments, word);
    if (!strcmp(word, "help") && !p->out->help) { /* "help backup" is "backup --help" */
        p->out->help = true;
        return ERR_OK;
    }
    p->command = ctl_command_find(word);
    if (!p->command)
        return err_say(p->msg, ERR_USAGE, "there is no command '%s'; see: cellctl --help", word);
    return ERR_OK;
}

static enum err parse_long(struct parser *p, const char *given)
{
    const char *name = given + 2, *equals = strchr(name, '=');
    const size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const struct ctl_flag *flag = find_flag(p->command, name, length, 0);
    if (!p->command && !strcmp(name, "version"))
        return parse_word(p, name);
    if (!flag)
        return unknown_flag(p, given);
    return set_flag(p, flag, given, equals ? equals + 1 : NULL);
}

static enum err parse_short(struct parser *p, const char *given)
{
    for (const char *letter = given + 1; *letter; letter++) {
        const struct ctl_flag *flag = find_flag(p->command, NULL, 0, *letter);
        if (!flag)
            return unknown_flag(p, given);
        const bool value_here = flag->kind != CTL_BOOL && letter[1];
        const enum err e = set_flag(p, flag, given, value_here ? letter + 1 : NULL);
        if (e != ERR_OK || value_here)
            return e;
    }
    return ERR_OK;
}

static enum err check_arguments(const struct parser *p)
{
    const struct ctl_command *command = p->command;
    const size_t count = p->out->arguments.count;
    if (!command || p->out->help)
        return ERR_OK;
    if (count < command->arguments_min)
        return err_say(p->msg, ERR_USAGE, "%s needs %s; see: cellctl %s --help", command->name,
                       command->arguments, command->name);
    if (count > command->arguments_max)
        return err_say(
            p->msg, ERR_USAGE, "%s does not know what to do with '%s'; see: cellctl %s --help",
            command->name, p->out->arguments.items[command->arguments_max], command->name);
    return ERR_OK;
}

enum err ctl_flags_parse(int argc, char *const *argv, const struct ctl_command **command,
                         struct ctl_options *out, struct errmsg *msg)
{
    struct parser p = {.argc = argc, .argv = argv, .out = out, .msg = msg};
    bool flags_end = false;
    enum err e = ERR_OK;
    for (; e == ERR_OK && p.at < argc; p.at++) {
        const char *word = argv[p.at];
        if (flags_end || word[0] != '-' || !word[1])
            e = parse_word(&p, word);
        else if (!strcmp(word, "--"))
            flags_end = true;
        else if (word[1] == '-')
            e = parse_long(&p, word);
        else
            e = parse_short(&p, word);
    }
    if (e == ERR_OK)
        e = check_arguments(&p);
    *command = p.command;
    return e;
}

/* Whatever command they belong to. */
static void free_lists(struct ctl_options *options, const struct ctl_flag *flags, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (flags[i].kind == CTL_LIST) {
            struct ctl_list *list = (void *)((char *)options + flags[i].offset);
            free(list->items);
            *list = (struct ctl_list){0};
        }
    }
}

void ctl_flags_free(struct ctl_options *options)
{
    size_t count;
    const struct ctl_command *commands = ctl_commands(&count);
    for (size_t i = 0; i < count; i++)
        free_lists(options, commands[i].flags, commands[i].flag_count);
    free(options->arguments.items);
    memset(options, 0, sizeof(*options));
}
