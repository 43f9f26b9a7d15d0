/*
 * A file of a snapshot, or a directory with all that is in it, as a stream: entries in the order of
 * a walk, each followed by its content. Only what is wanted is fetched, some of it ahead.
 *
 *     loop: find, read (browse.h) ─▶ a thread of its own: entry(), bytes() ─▶ loop: go on
 *
 * so whoever takes the stream may be as slow as he likes, and holds up no connection.
 */
#pragma once

#include "snapshot/snapshot_entry.h"
#include "vault/vault.h"

struct browse_dump_entry {
    struct slice path; /* absolute */
    const struct snapshot_entry *entry;
    struct slice runs; /* of a sparse file, all of them: snapshot_run_at() */
};

struct browse_dump_options {
    const char *snapshot; /* as vault_snapshots_pick() takes it */
    const char *host;     /* of "latest"; may be NULL */
    const char *path;     /* absolute */
    /* On a thread of their own, one call after the other; all is borrowed during the call. Another
       result than ERR_OK ends the dump with it. *content is true for a regular file; false says
       that its bytes are not wanted. */
    enum err (*entry)(void *user, const struct browse_dump_entry *entry, bool *content,
                      struct errmsg *msg);
    enum err (*bytes)(void *user, struct slice bytes, struct errmsg *msg);
    /* On the loop. Below a directory that is dumped: the rest of a directory that cannot be had, or
       a part of a file, which is given as zeros. (A file that is dumped by itself ends the dump.)
     */
    void (*problem)(void *user, struct slice path, enum err e, const char *sentence);
    void *user;
};

struct browse_dump;

/* After vault_connect(). All is borrowed until done. NOT_FOUND: no such snapshot or path. */
MUST_CHECK enum err browse_dump_start(struct vault *vault,
                                      const struct browse_dump_options *options,
                                      vault_done_fn *done, void *user, struct browse_dump **out,
                                      struct errmsg *msg);
/* done(ERR_CANCELLED) follows. */
void browse_dump_cancel(struct browse_dump *dump);
