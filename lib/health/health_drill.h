/*
 * The record of the last recovery drill: DIR/drill, a small file of settings beside the index,
 * which can be written while another process backs up. The drill itself is a rehearsal of a
 * recovery (devices_recover.h), a restore (restore.h) and a comparison.
 */
#pragma once

#include "vault/vault.h"

struct health_drill {
    uint64_t time_s; /* since 1970, when it ended; 0: there was none */
    bool passed;     /* all of the sample came back, and nothing differed */
    uint64_t sample_percent;
    uint64_t files, bytes; /* restored */
    uint64_t compared;     /* of them, with files of this machine that did not change since */
    uint64_t different;    /* of those, with other bytes */
    uint64_t failed;       /* not restored */
    uint64_t problems;     /* pieces of the index that could not be had */
    uint64_t duration_ms;
};

/* Durable when it returns. `dir`: the vault's. */
MUST_CHECK enum err health_drill_write(const char *dir, const struct health_drill *drill,
                                       struct errmsg *msg);
/* time_s is 0 when there was none. */
MUST_CHECK enum err health_drill_read(const char *dir, struct health_drill *out,
                                      struct errmsg *msg);
