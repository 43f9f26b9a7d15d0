/*
 * What every directory looked like when it was last backed up: one row a directory, holding all its
 * entries in the order of their names, so that an unchanged tree costs one look-up a directory and
 * a merge of two sorted lists.
 *
 * For each entry the row keeps what tells a change (size, mtime, ctime, inode) and the entry as it
 * is encoded in the tree node (`node`, opaque here: snapshot/'s bytes), so that an unchanged entry
 * is copied into the new node without being looked at; and for the directory the ID of its tree
 * node, so that an unchanged directory is not even encoded.
 *
 * A row may be written once all chunks that its entries name lie in committed segments: then it
 * also serves a backup that goes on after it was killed. When a segment stops being committed
 * (lost, condemned) every row written before is *doubtful*: its entries' chunks must be looked up
 * again before they are used.
 *
 * Body of a row, fixed width, little-endian:
 *     u8 version = 1 | tree ID (32) | u32 count | count entries
 *     entry: u16 name size | name | u8 type | u64 size | i64 mtime s | u32 mtime ns | i64 ctime s |
 *            u32 ctime ns | u64 inode | u32 node size | node
 */
#pragma once

#include "base/buf.h"
#include "base/cursor.h"
#include "index/index.h"

struct index_cached {
    struct slice name;
    uint8_t type; /* fs/fs_entry.h's */
    uint64_t size;
    int64_t mtime_s, ctime_s;
    uint32_t mtime_ns, ctime_ns;
    uint64_t inode;
    struct slice node;
};

enum { INDEX_DIR_BYTES_MAX = 1 << 30 }; /* of one row's body */

/* Building a row: start, one append an entry in the order of names, set the tree, put. */
MUST_CHECK enum err index_dir_start(struct buf *row);
MUST_CHECK enum err index_dir_append(struct buf *row, const struct index_cached *entry);
void index_dir_set_tree(struct buf *row, const struct id *tree);

/* Reading one. ERR_FORMAT when it is not whole, or its names are not in order. */
struct index_dir {
    struct id tree;
    uint32_t count;
    bool doubtful;
    struct buf body; /* owned */
    struct cursor at;
};
/* ERR_OK and the next entry, borrowed from the row; ERR_END; ERR_FORMAT. */
MUST_CHECK enum err index_dir_next(struct index_dir *dir, struct index_cached *out);
void index_dir_rewind(struct index_dir *dir);
void index_dir_free(struct index_dir *dir);
/* Takes over `body`, whatever it returns. */
MUST_CHECK enum err index_dir_parse(struct buf *body, struct index_dir *out);

/* `path`: the directory's absolute path, any bytes, at most 64 KiB. ERR_NOT_FOUND. A row that
 * cannot be read is not found. */
MUST_CHECK enum err index_dir_get(struct index *index, struct slice path, struct index_dir *out,
                                  struct errmsg *msg);
MUST_CHECK enum err index_dir_put(struct index *index, struct slice path, struct slice row,
                                  struct errmsg *msg);
/* This directory and all below it. */
MUST_CHECK enum err index_dir_remove(struct index *index, struct slice path, struct errmsg *msg);

/* Large files on their way: what is already cut and committed of a file that the last run did not
   finish. `body` is the caller's; `stat` must be equal for a row to be found. */
struct index_progress {
    uint64_t size, inode;
    int64_t mtime_s, ctime_s;
    uint32_t mtime_ns, ctime_ns;
    uint64_t offset; /* all before this is in committed segments */
};
MUST_CHECK enum err index_progress_put(struct index *index, struct slice path,
                                       const struct index_progress *progress, struct slice body,
                                       struct errmsg *msg);
/* size, inode and times of `out` go in, its offset comes out. body: appended to. ERR_NOT_FOUND when
   there is none, or the file is another by now. */
MUST_CHECK enum err index_progress_get(struct index *index, struct slice path,
                                       struct index_progress *out, struct buf *body,
                                       struct errmsg *msg);
MUST_CHECK enum err index_progress_clear(struct index *index, struct errmsg *msg); /* all of them */
