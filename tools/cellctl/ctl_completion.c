/* cellctl completion: scripts for the shells, made from the table of commands. */
#include "ctl.h"

#include <string.h>

/* --- what all of them need --- */

/* Text within single quotes, whose end `special` characters are escaped from with a backslash. */
static void put_quoted(const char *text, const char *special, const char *quote)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs(quote, stdout);
        else if (strchr(special, *text))
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}

static bool takes_a_path(const struct ctl_flag *flag)
{
    return flag->value && (!strcmp(flag->value, "DIR") || !strcmp(flag->value, "FILE"));
}

/* --- bash --- */

static void bash_flags(const struct ctl_flag *flags, size_t count)
{
    for (size_t i = 0; i < count; i++)
        printf(" --%s", flags[i].name);
}

static void bash(const struct ctl_command *commands, size_t count, const struct ctl_flag *common,
                 size_t common_count)
{
    printf("_cellctl() {\n  local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} words=\n"
           "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n    words='");
    for (size_t i = 0; i < count; i++)
        printf("%s%s", i ? " " : "", commands[i].name);
    printf("'\n  elif [[ $word == -* ]]; then\n    case $command in\n");
    for (size_t i = 0; i < count; i++) {
        printf("    %s) words='", commands[i].name);
        bash_flags(commands[i].flags, commands[i].flag_count);
        bash_flags(common, common_count);
        printf("' ;;\n");
    }
    printf("    esac\n  else\n    COMPREPLY=($(compgen -f -- \"$word\"))\n    return\n  fi\n"
           "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n}\n"
           "complete -o filenames -F _cellctl cellctl\n");
}

/* --- zsh: a specification of _arguments for each flag --- */

static void zsh_help(const char *text)
{
    put_quoted(text, "[]:\\", "'\\''");
}

static void zsh_flag(const struct ctl_flag *flag, const char *name, const char *equals)
{
    printf(" \\\n        '%s%s%s[", flag->kind == CTL_LIST ? "*" : "", name, equals);
    zsh_help(flag->help);
    putchar(']');
    if (flag->value) {
        putchar(':');
        zsh_help(flag->value);
        printf(":%s", takes_a_path(flag) ? "_files" : "");
    }
    putchar('\'');
}

static void zsh_flags(const struct ctl_flag *flags, size_t count)
{
    char name[64];
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "--%s", flags[i].name);
        zsh_flag(&flags[i], name, flags[i].value ? "=" : "");
        snprintf(name, sizeof(name), "-%c", flags[i].letter);
        if (flags[i].letter)
            zsh_flag(&flags[i], name, "");
    }
}

static void zsh(const struct ctl_command *commands, size_t count, const struct ctl_flag *common,
                size_t common_count)
{
    printf("#compdef cellctl\n_cellctl() {\n  local curcontext=\"$curcontext\" state line\n"
           "  local -a commands\n  commands=(\n");
    for (size_t i = 0; i < count; i++) {
        printf("    '%s:", commands[i].name);
        put_quoted(commands[i].summary, ":\\", "'\\''");
        printf("'\n");
    }
    printf("  )\n  _arguments -C '1:command:->command' '*::argument:->argument'\n"
           "  case $state in\n  command) _describe command commands ;;\n"
           "  argument)\n    case $words[1] in\n");
    for (size_t i = 0; i < count; i++) {
        printf("    %s)\n      _arguments", commands[i].name);
        zsh_flags(commands[i].flags, commands[i].flag_count);
        zsh_flags(common, common_count);
        printf(" \\\n        '*:file:_files' ;;\n");
    }
    /* read by eval it is registered; as a file of $fpath it is the function's own body */
    printf("    esac ;;\n  esac\n}\n"
           "if [ \"$funcstack[1]\" = _cellctl ]; then\n  _cellctl \"$@\"\nelse\n"
           "  compdef _cellctl cellctl\nfi\n");
}

/* --- fish: a line for each flag of each command --- */

static void fish_flags(const char *condition, const struct ctl_flag *flags, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        printf("complete -c cellctl -n '%s' -l %s", condition, flags[i].name);
        if (flags[i].letter)
            printf(" -s %c", flags[i].letter);
        if (flags[i].value)
            printf(takes_a_path(&flags[i]) ? " -r" : " -x");
        printf(" -d '");
        put_quoted(flags[i].help, "\\", "\\'");
        printf("'\n");
    }
}

static void fish(const struct ctl_command *commands, size_t count, const struct ctl_flag *common,
                 size_t common_count)
{
    char condition[96];
    fish_flags("not __fish_use_subcommand", common, common_count);
    for (size_t i = 0; i < count; i++) {
        printf("complete -c cellctl -f -n __fish_use_subcommand -a %s -d '", commands[i].name);
        put_quoted(commands[i].summary, "\\", "\\'");
        printf("'\n");
        snprintf(condition, sizeof(condition), "__fish_seen_subcommand_from %s", commands[i].name);
        fish_flags(condition, commands[i].flags, commands[i].flag_count);
    }
}

int ctl_completion(struct ctl *ctl)
{
    size_t count, common_count;
    const struct ctl_command *commands = ctl_commands(&count);
    const struct ctl_flag *common = ctl_flags_common(&common_count);
    const char *shell = ctl->options.arguments.items[0];
    if (!strcmp(shell, "bash"))
        bash(commands, count, common, common_count);
    else if (!strcmp(shell, "zsh"))
        zsh(commands, count, common, common_count);
    else if (!strcmp(shell, "fish"))
        fish(commands, count, common, common_count);
    else
        return ctl_fail(&ctl->out, CTL_USAGE,
                        "there are completion scripts for bash, zsh and fish only");
    return CTL_OK;
}
