/*
 * Small files of a program's own: keys, documents, settings. Whole, and durable when a call
 * returns. (What a cell stores for others goes through port/disk.h.)
 */
#pragma once

#include "base/buf.h"

/* Appends the whole file. NOT_FOUND; DENIED; IO; TOO_LARGE above out->size_max. What passed through
   is wiped: it may have been a key. */
MUST_CHECK enum err file_read(const char *path, struct buf *out, struct errmsg *msg);

/* A new file, fsync, fsync of the folder. EXISTS when there is one; nothing is left on an error. */
MUST_CHECK enum err file_create(const char *path, unsigned mode, struct slice bytes,
                                struct errmsg *msg);

/* Atomically: a new file beside it ("PATH.new"), fsync, rename, fsync of the folder. */
MUST_CHECK enum err file_write(const char *path, unsigned mode, struct slice bytes,
                               struct errmsg *msg);
