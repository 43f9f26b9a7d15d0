/*
 * A file descriptor of somebody else (a FUSE session's) whose readability the loop waits for.
 *
 * Loop thread only. `fn` runs while there is something to read, or when the other end is gone; it
 * must read until there is nothing left, or pause.
 */
#pragma once

#include "uvio/uvio.h"

struct uvio_watch;

typedef void uvio_watch_fn(void *user);

/* Begins to watch. The descriptor is borrowed, and made non-blocking. */
MUST_CHECK enum err uvio_watch_open(struct uvio *io, int fd, uvio_watch_fn *fn, void *user,
                                    struct uvio_watch **out, struct errmsg *msg);

/* `fn` does not run while it is paused. */
void uvio_watch_pause(struct uvio_watch *watch, bool paused);

/* Before the descriptor is closed and before uvio_free(). `fn` does not run any more. NULL does
   nothing. */
void uvio_watch_close(struct uvio_watch *watch);
