/*
 * Snapshots as a file system (FUSE, read-only): what a person looks into with any program, and what
 * Samba shows as previous versions. docs/mount.md says what there is to see.
 *
 *     kernel ─▶ /dev/fuse ─▶ mount_pump() ─▶ a request: straight code that runs again when the
 *                            (loop thread)   chunks that it lacked are there (transfer_cache.h)
 *     kernel ◀──────────────────────────────  its answer
 *
 * There are no threads of its own: the kernel's requests are read without blocking, on the loop,
 * and each is answered when it can be. So a request that waits for a slow cell holds up nobody
 * else. At most MOUNT_REQUESTS wait; while that many do, no more are read. What cannot be had is
 * EIO for the caller and a sentence for `problem`.
 *
 *     mount_new(vault, &options, &events, my, &mount, msg);     // it is mounted
 *     uvio_watch_open(io, mount_fd(mount), pump, mount, ...)    // pump calls mount_pump()
 *     ... mount_stop(mount), or somebody unmounts it ...
 *     events.detach(my)                                         // uvio_watch_close()
 *     events.done(my, e, msg)                                   // last; it is freed
 *
 * Memory: `cache_bytes` of opened chunks, what the waiting requests hold, and some 600 bytes for
 * each directory that the kernel remembers; files cost nothing.
 *
 * A helper process of libfuse (fusermount3) unmounts when this process dies by whatever cause.
 *
 * Loop thread only.
 */
#pragma once

#include "port/clock.h"
#include "vault/vault.h"

enum { MOUNT_REQUESTS = 128 };

struct mount;

struct mount_options {
    const char *dir;         /* exists; empty, or not */
    const char *host;        /* only snapshots of this host; NULL: all */
    const char *const *tags; /* as in struct vault_select */
    size_t tag_count;
    bool allow_other;            /* other users may look in too, as the modes allow (root, or
                                    user_allow_other in /etc/fuse.conf) */
    bool no_default_permissions; /* with allow_other: whatever the modes say */
    bool owner_root;             /* everything belongs to root */
    size_t cache_bytes;          /* 0: 128 MiB */
    const struct clock *clock;
};
/* Texts are borrowed until done. */

struct mount_events {
    /* Stop, or go on, to call mount_pump() when there is something to read. */
    void (*pause)(void *user, bool paused);
    /* mount_fd() is about to be closed. */
    void (*detach)(void *user);
    /* Something could not be read: EIO for whoever wanted it. The same sentence at most every ten
       seconds. */
    void (*problem)(void *user, enum err e, struct slice name, const char *sentence);
    void (*done)(void *user, enum err e, const struct errmsg *msg);
};

/* After vault_connect(). DENIED, USAGE, IO: it cannot be mounted (libfuse says more on standard
   error). */
MUST_CHECK enum err mount_new(struct vault *vault, const struct mount_options *options,
                              const struct mount_events *events, void *user, struct mount **out,
                              struct errmsg *msg);

int mount_fd(const struct mount *mount);
/* Reads and begins what the kernel wants. */
void mount_pump(struct mount *mount);

/* Unmounts; what waits gets EIO. done() follows. Again: does nothing. */
void mount_stop(struct mount *mount);
