/*
 * The scratch folder of a drill: what was restored there is compared with this machine's own files,
 * and removed again.
 */
#pragma once

#include "base/err.h"

#include <stdint.h>

/* A new folder, 0700, in $TMPDIR or /tmp; owned by the caller (free, after ctl_scratch_remove). */
MUST_CHECK enum err ctl_scratch_new(char **out, struct errmsg *msg);

struct ctl_scratch_events {
    /* `path`: on this machine. */
    void (*different)(void *user, const char *path);
    void *user;
};

struct ctl_scratch_counts {
    uint64_t compared, different;
    uint64_t skipped; /* gone or changed since, by size or time; or not to be read */
};

/* Each regular file below `dir` with the one that has the rest of its path, when that one's size
   and mtime are the same. */
MUST_CHECK enum err ctl_scratch_compare(const char *dir, const struct ctl_scratch_events *events,
                                        struct ctl_scratch_counts *out, struct errmsg *msg);

/* It and all below; what cannot be removed is left. Never follows links, stays on its file system.
 */
void ctl_scratch_remove(const char *dir);
