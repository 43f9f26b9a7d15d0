#include "ctl.h"

#include <stdlib.h>
#include <string.h>

static void print_flag(const struct ctl_flag *flag)
{
    char left[64], letter[8] = "    ";
    if (flag->letter)
        snprintf(letter, sizeof(letter), "-%c, ", flag->letter);
    snprintf(left, sizeof(left), "%s--%s%s%s", letter, flag->name, flag->value ? " " : "",
             flag->value ? flag->value : "");
    printf("  %-34s %s%s\n", left, flag->help,
           flag->kind == CTL_LIST ? " (may be given several times)" : "");
}

int ctl_help_command(struct ctl_output *out, const struct ctl_command *command)
{
    size_t count;
    const struct ctl_flag *common = ctl_flags_common(&count);
    (void)out;
    printf("usage: cellctl %s%s%s [flags]\n\n%s.\n", command->name,
           command->arguments[0] ? " " : "", command->arguments, command->summary);
    if (command->text)
        printf("\n%s\n", command->text);
    if (command->flag_count > 0)
        printf("\nflags:\n");
    for (size_t i = 0; i < command->flag_count; i++)
        print_flag(&command->flags[i]);
    printf("\nflags of every command:\n");
    for (size_t i = 0; i < count; i++)
        print_flag(&common[i]);
    printf("\nexample:\n  %s\n", command->example);
    return CTL_OK;
}

int ctl_help_all(struct ctl_output *out)
{
    size_t count, flags;
    const struct ctl_command *commands = ctl_commands(&count);
    const struct ctl_flag *common = ctl_flags_common(&flags);
    (void)out;
    printf(
        "usage: cellctl COMMAND [flags] [arguments]\n\n"
        "Backs up this machine's files, encrypted, onto other people's machines.\n\ncommands:\n");
    for (size_t i = 0; i < count; i++)
        printf("  %-12s %s\n", commands[i].name, commands[i].summary);
    printf("\nflags of every command:\n");
    for (size_t i = 0; i < flags; i++)
        print_flag(&common[i]);
    printf("\nexit codes: 0 done, 1 failed, 2 bad usage, 3 some source could not be read, 4 below "
           "the\n"
           "level of safety, 5 over quota, 10 no vault, 11 locked, 12 wrong passphrase or phrase,\n"
           "13 something cannot be had, 130 interrupted.\n\n"
           "\"cellctl COMMAND --help\" says more about one, with an example.\n");
    return CTL_OK;
}

int ctl_version(struct ctl *ctl)
{
    struct json_line *line;
    if (!ctl->out.json)
        printf("cellctl %s\n", CELLAR_VERSION);
    else if (json_line_new("version", &line) == ERR_OK) {
        json_line_text(line, "version", CELLAR_VERSION);
        ctl_json(&ctl->out, line);
    }
    return CTL_OK;
}
