/*
 * A snapshot: one backup at one time. Its ID is its chunk ID. (docs/format-snapshot.md)
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"

enum { SNAPSHOT_BYTES_MAX = 4 << 20, SNAPSHOT_LIST_MAX = 65536, SNAPSHOT_TEXT_MAX = 65536 };

struct snapshot_totals {
    uint64_t files, directories, others; /* entries in it */
    uint64_t bytes;                      /* of files, holes included */
    uint64_t unreadable;                 /* what could not be read and is missing */
};

struct snapshot {
    int64_t time_ns;
    struct slice host, user; /* bytes as the system has them */
    uint32_t uid, gid;
    /* absolute paths; texts; patterns. Arrays: owned when decoded (snapshot_free), else borrowed */
    const struct slice *paths, *tags, *excludes;
    size_t path_count, tag_count, exclude_count;
    struct slice
        root; /* the entry of "/", as snapshot_entry_encode() made it: with an empty name */
    struct slice program; /* "cellctl 0.1.0" */
    struct id parent;     /* the one before, of this device; zero: none */
    /* of one that was made from another, with other tags: the first of them, and how often it was
       changed since. Zero: it is what a backup made */
    struct id original;
    uint64_t revision;
    struct snapshot_totals totals;
    void *memory; /* private */
};

MUST_CHECK enum err snapshot_encode(const struct snapshot *snapshot, struct buf *out);
/* Slices point into `bytes`. NOMEM, VERSION, FORMAT, TOO_LARGE. */
MUST_CHECK enum err snapshot_decode(struct slice bytes, struct snapshot *out, struct errmsg *msg);
void snapshot_free(struct snapshot *snapshot); /* of a decoded one, also after an error */
