/*
 * Directories that stay at hand: counted references whose descriptors are opened when they are
 * needed and closed again, the longest unused first, when too many are open.
 *
 * A directory is reached from its parent by openat() with O_NOFOLLOW, step by step from the tree's
 * root, so that no symbolic link is ever followed and no path is too long. If it is not the same
 * directory any more (another device or inode than when it was first opened), that is ERR_STALE.
 *
 * All functions are thread-safe.
 */
#pragma once

#include "base/buf.h"
#include "fs/fs_entry.h"

struct fs_tree; /* a root directory and the descriptors below it */
struct fs_dir;

/* `root` is opened (not through a symbolic link at its last name). `open_max` descriptors are kept
   open at most, besides those in use (0: 192). */
MUST_CHECK enum err fs_tree_open(const char *root, unsigned open_max, struct fs_tree **out,
                                 struct errmsg *msg);
/* All its directories must have been released. NULL does nothing. */
void fs_tree_close(struct fs_tree *tree);

/* The root; a new reference. */
struct fs_dir *fs_tree_root(struct fs_tree *tree);

/* The directory `name` in `parent`; a new reference. `device` and `inode` are what it must be (0,
   0: what it is when first opened). Nothing is opened yet. ERR_NOMEM. */
MUST_CHECK enum err fs_dir_child(struct fs_dir *parent, struct slice name, uint64_t device,
                                 uint64_t inode, struct fs_dir **out);

struct fs_dir *fs_dir_ref(struct fs_dir *dir);
void fs_dir_release(struct fs_dir *dir); /* NULL does nothing */

/* The descriptor, which stays open until fs_dir_unpin(). STALE, NOT_FOUND, DENIED, IO. */
MUST_CHECK enum err fs_dir_pin(struct fs_dir *dir, int *out_fd, struct errmsg *msg);
void fs_dir_unpin(struct fs_dir *dir);

struct fs_dir *fs_dir_parent(const struct fs_dir *dir); /* borrowed; NULL of the root */
struct slice fs_dir_name(const struct fs_dir *dir); /* borrowed; of the root: its path as given */

/* Appends the path of `name` in `dir` (the directory's own path when `name` is empty), as a person
   would write it, from the root's path on; no NUL. */
MUST_CHECK enum err fs_dir_path(const struct fs_dir *dir, struct slice name, struct buf *out);

/* The same as text for a sentence: control characters and bytes that are not UTF-8 as "\x1b", cut
   in the middle with "..." when it does not fit; returns `out`. */
enum { FS_PATH_TEXT_SIZE = 512 };
const char *fs_dir_path_text(const struct fs_dir *dir, struct slice name,
                             char out[FS_PATH_TEXT_SIZE]);
