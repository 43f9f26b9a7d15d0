/*
 * Looking into snapshots without restoring them: a walk over a tree.
 */
#pragma once

#include "vault/vault_snapshots.h"

/* Slices are borrowed during the call. */
struct browse_walk_entry {
    const struct vault_snapshot *snapshot;
    struct slice path;
    uint8_t type; /* fs/fs_entry.h's */
    uint32_t mode, uid, gid, links;
    uint64_t size, inode;
    uint64_t device; /* 0 when links is 1 */
    int64_t mtime_ns, ctime_ns;
    struct slice user, group, target;
    struct id content; /* with `contents`, of a file: the same for files of the same pieces */
};

struct browse_walk_options {
    const char *snapshot; /* as vault_snapshots_pick() takes it; NULL: every one (of `host`) */
    const char *host;
    const char *const *tags; /* without `snapshot`: as in struct vault_select */
    size_t tag_count;
    const char *path; /* absolute: only this and what is below. NULL: all */
    bool shallow;     /* of `path` only what stands in it, nothing deeper */
    /* Runs on the vault's lane and may touch nothing of the loop's. Another result than ERR_OK ends
       the walk with it. */
    enum err (*entry)(void *user, const struct browse_walk_entry *entry);
    bool contents; /* entries have `content` */
    /* Each piece of a file, in its order, behind its entry; likewise. May be NULL. */
    enum err (*piece)(void *user, const struct id *piece, uint64_t bytes);
    /* A directory that cannot be had, or a piece of it; on the lane too. */
    void (*problem)(void *user, struct slice path, enum err e, const char *sentence);
    void *user;
};

struct browse_walk;

/* After vault_connect(). All is borrowed until done. NOT_FOUND: no such snapshot or path. */
MUST_CHECK enum err browse_walk_start(struct vault *vault,
                                      const struct browse_walk_options *options,
                                      vault_done_fn *done, void *user, struct browse_walk **out,
                                      struct errmsg *msg);
void browse_walk_cancel(struct browse_walk *walk);
