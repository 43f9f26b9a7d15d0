/*
 * What a recovery begins with: the 24 words and whom to ask, from the phrase's file (the words on
 * its first line, then "at ID@host:port" lines) or from the terminal and --from.
 */
#pragma once

#include "ctl.h"

struct ctl_words {
    struct buf text;      /* of the file; a secret. Owned */
    const char *words;    /* in `text` */
    struct ctl_list from; /* those of --from first; owned array */
};

/* USAGE: there is neither a file nor a terminal. `out` needs ctl_words_free() in any case. */
MUST_CHECK enum err ctl_words_read(struct ctl *ctl, struct ctl_words *out);
/* Wipes it. */
void ctl_words_free(struct ctl_words *words);
