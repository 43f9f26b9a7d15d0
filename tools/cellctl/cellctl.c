#include "ctl.h"

#include <locale.h>
#include <malloc.h>
#include <string.h>

/* Also where the words before it make no sense. */
static bool asks_for_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
        if (!strcmp(argv[i], "--json"))
            return true;
    }
    return false;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
    const enum err e = ctl_flags_parse(argc - 1, argv + 1, &ctl->command, &ctl->options, &ctl->msg);
    if (e != ERR_OK)
        ctl->options.json = asks_for_json(argc, argv);
    ctl_output_init(&ctl->out, ctl->options.json, ctl->options.quiet, ctl->options.verbose);
    if (e != ERR_OK)
        return ctl_fail(&ctl->out, e == ERR_USAGE ? CTL_USAGE : CTL_FAILED, ctl->msg.text);
    if (!ctl->command) {
        ctl_help_all(&ctl->out);
        return ctl->options.help ? CTL_OK : CTL_USAGE;
    }
    if (ctl->options.help)
        return ctl_help_command(&ctl->out, ctl->command);
    return ctl->command->run(ctl);
}

/* Buffers of megabytes come and go between the threads: glibc would keep what each of them has
   freed in an arena of its own (measured: 20 MiB of the peak of a backup, and no time gained). */
static void keep_memory_small(void)
{
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_MMAP_THRESHOLD, 256 << 10);
    (void)mallopt(M_TRIM_THRESHOLD, 256 << 10);
}

int main(int argc, char **argv)
{
    struct ctl ctl = {0};
    keep_memory_small();
    setlocale(LC_TIME, "");
    int code = run(&ctl, argc, argv);
    ctl_close(&ctl);
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == CTL_OK && !ctl_reader_gone())
        code = ctl_fail(&ctl.out, CTL_FAILED, "cannot write to standard output");
    ctl_flags_free(&ctl.options);
    return code;
}
