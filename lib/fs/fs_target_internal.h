/*
 * What the files of the target share; nothing here is for others.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "fs/fs_internal.h"
#include "fs/fs_target.h"

enum { FS_PART_SIZE = 48 }; /* ".cellar-part-" 16 hex digits "-" hex digits, with its NUL */

enum {
    FS_MARK_KEPT = 1,  /* was there and stays as it is (NEVER) */
    FS_MARK_TAKEN = 2, /* was there: its files probably are, too */
    FS_MARK_FRESH = 4, /* made by this restore, and shows FS_UNFINISHED */
};

/* Mode bits of what a restore has not finished: of a directory that it made beside 0700, of a file
   in such a directory beside 0200. The sticky bit means nothing on a file, so no file of anybody
   else is taken for one. */
enum { FS_UNFINISHED = S_ISVTX, FS_UNFINISHED_FILE = S_ISVTX | 0200 };

struct fs_target {
    struct fs_target_options options; /* `path` is not kept */
    struct fs_tree *tree;             /* NULL in a dry run into nothing */
    struct fs_names *names;
    bool root; /* may change owners */
    char tag[17];
    atomic_uint parts;
    atomic_bool no_tmpfile; /* a file system here cannot make files without a name */
    pthread_mutex_t lock;   /* of the files' descriptors */
    struct list unused;     /* files open and not being written, the longest unused first */
    unsigned open_count;
};

/* --- fs_target.c --- */

/* "cannot <tried> /path: <words of errno>" to on_note. */
void fs_target_note(struct fs_target *target, int number, const struct fs_dir *dir,
                    struct slice name, const char *tried);
enum err fs_target_say(int number, const struct fs_dir *dir, struct slice name, const char *tried,
                       struct errmsg *msg);
/* Refuses names and begins: pins `dir`. */
MUST_CHECK enum err fs_target_begin(struct fs_dir *dir, const struct fs_entry *entry, int *dir_fd,
                                    struct errmsg *msg);
void fs_target_part(struct fs_target *target, char out[FS_PART_SIZE]);
/* The passing name becomes the entry's own; what is in the way goes, as the policy says. */
MUST_CHECK enum err fs_target_place(struct fs_target *target, struct fs_dir *dir, int dir_fd,
                                    const char *part, struct slice name, struct errmsg *msg);

/* --- fs_target_meta.c --- */

/* All but the flags that forbid further change. */
void fs_target_meta_apply(struct fs_target *target, struct fs_inode inode, const struct fs_dir *dir,
                          struct slice name, const struct fs_entry *entry,
                          const struct fs_details *details);
/* Immutable and append-only, when all else is done. */
void fs_target_meta_lock(struct fs_target *target, struct fs_inode inode, const struct fs_dir *dir,
                         struct slice name, const struct fs_details *details);
/* Takes those flags off; true when some were there and are off now. */
bool fs_target_meta_unlock(int fd);
bool fs_target_meta_unlock_at(int dir_fd, const char *name);
/* Those flags that matter before there is content. */
void fs_target_meta_early(int fd, const struct fs_details *details);

/* --- fs_target_delete.c --- */

/* Removes the directory `name` in `dir` with all below it. */
MUST_CHECK enum err fs_target_delete_tree(struct fs_target *target, struct fs_dir *dir,
                                          struct slice name, fs_deleted_fn *each, void *user,
                                          struct errmsg *msg);
/* What an interrupted restore left: passing names, and in a directory that it made (`unfinished`)
   also unfinished files under their own. */
void fs_target_delete_parts(struct fs_target *target, struct fs_dir *dir, bool unfinished);
