/* cellctl completion bash: made from the table of commands. */
#include "ctl.h"

#include <string.h>

static void print_flags(const struct ctl_flag *flags, size_t count)
{
    for (size_t i = 0; i < count; i++)
        printf(" --%s", flags[i].name);
}

int ctl_completion(struct ctl *ctl)
{
    size_t count, common_count;
    const struct ctl_command *commands = ctl_commands(&count);
    const struct ctl_flag *common = ctl_flags_common(&common_count);
    if (strcmp(ctl->options.arguments.items[0], "bash") != 0)
        return ctl_fail(&ctl->out, CTL_USAGE, "there is a completion script for bash only");
    printf("_cellctl() {\n  local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} words=\n"
           "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n    words='");
    for (size_t i = 0; i < count; i++)
        printf("%s%s", i ? " " : "", commands[i].name);
    printf("'\n  elif [[ $word == -* ]]; then\n    case $command in\n");
    for (size_t i = 0; i < count; i++) {
        printf("    %s) words='", commands[i].name);
        print_flags(commands[i].flags, commands[i].flag_count);
        print_flags(common, common_count);
        printf("' ;;\n");
    }
    printf("    esac\n  else\n    COMPREPLY=($(compgen -f -- \"$word\"))\n    return\n  fi\n"
           "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n}\n"
           "complete -o filenames -F _cellctl cellctl\n");
    return CTL_OK;
}
