#include "ctl_words.h"

#include <stdlib.h>
#include <string.h>

/* Words on the first line, then "at ID@host:port" lines; cut up in place. */
static enum err take_file(struct ctl *ctl, struct ctl_words *out)
{
    const struct ctl_list *given = &ctl->options.from;
    char *at = (char *)out->text.data;
    out->from.items = calloc(CTL_PHRASE_FILE_MAX / 4, sizeof(char *));
    if (!out->from.items)
        return ERR_NOMEM;
    for (size_t i = 0; i < given->count && i < 64; i++)
        out->from.items[out->from.count++] = given->items[i];
    out->words = at;
    while ((at = strchr(at, '\n'))) {
        *at++ = 0;
        if (strncmp(at, "at ", 3) == 0)
            out->from.items[out->from.count++] = at + 3;
    }
    /* the last line may have no end, and a line its carriage return */
    for (size_t i = 0; i < out->from.count; i++) {
        char *end = strpbrk((char *)(uintptr_t)out->from.items[i], " \r\n");
        if (end && i >= given->count)
            *end = 0;
    }
    return ERR_OK;
}

enum err ctl_words_read(struct ctl *ctl, struct ctl_words *out)
{
    out->text = BUF_INIT(CTL_PHRASE_FILE_MAX);
    const enum err e = ctl_phrase_text(&ctl->options, &out->text, &ctl->msg);
    if (e == ERR_USAGE)
        return err_say(&ctl->msg, e,
                       "%s needs --phrase-file FILE, or a terminal to type the words at",
                       ctl->command->name);
    return e == ERR_OK ? take_file(ctl, out) : e;
}

void ctl_words_free(struct ctl_words *words)
{
    ctl_secret_clear(&words->text);
    free(words->from.items);
}
