/*
 * Writes the page cellctl(1) as scdoc reads it, from the table of commands, when Cellar is built:
 * whatever --help knows is in the page.
 */
#include "ctl.h"

#include <ctype.h>
#include <string.h>

/* Words of a paragraph: what scdoc would take for markup gets a backslash. */
static void words(const char *text)
{
    for (const char *at = text; *at; at++) {
        if (*at == '\n') { /* the tables break their lines for terminals */
            putchar(at[1] == ' ' ? ' ' : '\n');
            continue;
        }
        if (strchr("\\*_<>#[]|~+", *at) || (at > text && at[-1] == '\n' && strchr("-.';!", *at)))
            putchar('\\');
        putchar(*at);
    }
}

static void bold(const char *text)
{
    putchar('*');
    words(text);
    putchar('*');
}

static void print_flag(const struct ctl_flag *flag)
{
    if (flag->letter)
        printf("*-%c*, ", flag->letter);
    printf("*--%s*", flag->name);
    if (flag->value) {
        printf(" _");
        words(flag->value);
        printf("_");
    }
    printf("\n\t");
    words(flag->help);
    if (flag->kind == CTL_LIST)
        printf(" (may be given several times)");
    printf("\n\n");
}

static void sentence(const char *text)
{
    char first[2] = {(char)toupper((unsigned char)text[0]), 0};
    words(first);
    words(text + 1);
    printf("%s\n\n", text[strlen(text) - 1] == '?' || text[strlen(text) - 1] == ')' ? "" : ".");
}

static void print_command(const struct ctl_command *command)
{
    printf("## ");
    words(command->name);
    printf("\n\n*cellctl %s* ", command->name);
    words(command->arguments);
    printf(" [flags]\n\n");
    sentence(command->summary);
    if (command->text) {
        words(command->text);
        printf("\n\n");
    }
    for (size_t i = 0; i < command->flag_count; i++)
        print_flag(&command->flags[i]);
    printf("Example:\n\n```\n%s\n```\n\n", command->example);
}

static void print_table(const char *const (*rows)[2], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bold(rows[i][0]);
        printf("\n\t");
        words(rows[i][1]);
        printf("\n\n");
    }
}

static const char *const exits[][2] = {
    {"0", "done"},
    {"1", "failed"},
    {"2", "bad usage"},
    {"3", "done, but some source could not be read"},
    {"4", "done, but below the chosen level of safety"},
    {"5", "over quota: nothing was uploaded"},
    {"10", "there is no vault"},
    {"11", "the vault is locked by a living process"},
    {"12", "wrong passphrase or phrase"},
    {"13",
     "not enough shards for something: the rest was restored, or checked, and what is missing "
     "is listed"},
    {"130", "interrupted; a next run goes on from there"},
};

static const char *const environment[][2] = {
    {"CELLAR_VAULT", "the vault's directory, unless --vault names it"},
    {"XDG_DATA_HOME", "else it is cellar/vault in there, else in ~/.local/share"},
    {"CELLAR_PASSPHRASE_FILE", "a file with the passphrase, unless --passphrase-file names it"},
    {"CELLAR_PASSPHRASE_COMMAND", "a command that prints the passphrase"},
    {"NO_COLOR", "when it is set and not empty: no colours on a terminal"},
};

int main(void)
{
    size_t count, flags;
    const struct ctl_command *commands = ctl_commands(&count);
    const struct ctl_flag *common = ctl_flags_common(&flags);
    printf("cellctl(1) \"Cellar %s\" \"Cellar\"\n\n# NAME\n\n"
           "cellctl - back up this machine's files, encrypted, onto other people's machines\n\n"
           "# SYNOPSIS\n\n*cellctl* _COMMAND_ [flags] [arguments]\n\n# DESCRIPTION\n\n"
           "Files are encrypted here, cut into Reed-Solomon shards and pushed to cells of other "
           "households.\nAny k of n shards restore the data; the 24 words of the recovery phrase "
           "and a handful of living cells bring everything back.\n\n"
           "_SNAP_ is a snapshot's ID, the beginning of one, or \"latest\": the newest of this "
           "device, or of the host that --host names.\n\n"
           "With *--json* each line of standard output is one object with a *message\\_type*; "
           "errors are objects on standard error; a path that is not UTF-8 is also there as "
           "*path\\_b64*.\n\n# FLAGS OF EVERY COMMAND\n\n",
           CELLAR_VERSION);
    for (size_t i = 0; i < flags; i++)
        print_flag(&common[i]);
    printf("# COMMANDS\n\n");
    for (size_t i = 0; i < count; i++)
        print_command(&commands[i]);
    printf("# EXIT STATUS\n\nThe first that holds:\n\n");
    print_table(exits, ARRAY_COUNT(exits));
    printf("# ENVIRONMENT\n\n");
    print_table(environment, ARRAY_COUNT(environment));
    printf("# SEE ALSO\n\n*celld*(1), *coordinatord*(1)\n");
    return ferror(stdout) ? 1 : 0;
}
