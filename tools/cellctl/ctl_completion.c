/* cellctl completion: scripts for shells, made from the table of commands. */
#include "ctl.h"

#include <string.h>

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

/* --- zsh and fish show what each thing is for --- */

/* Inside of '...' of both shells; a `special` character gets a backslash in front. */
static void quoted(const char *text, const char *special)
{
    for (; *text; text++) {
        if (*text == '\'')
            printf("'\\''");
        else if (strchr(special, *text))
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}

static void zsh_flags(const struct ctl_flag *flags, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        printf(" \\\n      '%s--%s%s[", flags[i].kind == CTL_LIST ? "*" : "", flags[i].name,
               flags[i].value ? "=" : "");
        quoted(flags[i].help, "[]:\\");
        printf("]");
        if (flags[i].value) {
            printf(":");
            quoted(flags[i].value, "[]:\\");
            printf(":_files");
        }
        printf("'");
    }
}

static void zsh(const struct ctl_command *commands, size_t count, const struct ctl_flag *common,
                size_t common_count)
{
    printf("#compdef cellctl\n_cellctl() {\n  local -a commands=(\n");
    for (size_t i = 0; i < count; i++) {
        printf("    '%s:", commands[i].name);
        quoted(commands[i].summary, ":\\");
        printf("'\n");
    }
    printf("  )\n  if (( CURRENT == 2 )); then\n    _describe command commands\n    return\n  fi\n"
           "  case $words[2] in\n");
    for (size_t i = 0; i < count; i++) {
        printf("    %s) _arguments -s", commands[i].name);
        zsh_flags(commands[i].flags, commands[i].flag_count);
        zsh_flags(common, common_count);
        printf(" \\\n      '*:file:_files' ;;\n");
    }
    printf("  esac\n}\ncompdef _cellctl cellctl\n");
}

static void fish_flags(const char *command, const struct ctl_flag *flags, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        printf("complete -c cellctl");
        if (command)
            printf(" -n '__fish_seen_subcommand_from %s'", command);
        if (flags[i].letter)
            printf(" -s %c", flags[i].letter);
        printf(" -l %s%s -d '", flags[i].name, flags[i].value ? " -r" : "");
        quoted(flags[i].help, "\\");
        printf("'\n");
    }
}

static void fish(const struct ctl_command *commands, size_t count, const struct ctl_flag *common,
                 size_t common_count)
{
    for (size_t i = 0; i < count; i++) {
        printf("complete -c cellctl -n __fish_use_subcommand -f -a %s -d '", commands[i].name);
        quoted(commands[i].summary, "\\");
        printf("'\n");
        fish_flags(commands[i].name, commands[i].flags, commands[i].flag_count);
    }
    fish_flags(NULL, common, common_count);
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
