/*
 * What the files of this room share; nothing here is for others.
 */
#pragma once

#include <sys/stat.h>

#include "fs/fs_dir.h"
#include "fs/fs_read.h"

/* --- fs_entry.c --- */

/* All fields but name, user and group. */
void fs_entry_from_statx(const struct statx *st, struct fs_entry *out);

/* openat() that leaves the atime alone where it may, never follows the last name, never waits. -1
   and errno. */
int fs_entry_open(int dir_fd, const char *name, int flags);

/* --- fs_names.c: user and group names both ways, each looked up once; thread-safe --- */

struct fs_names;
enum fs_names_kind { FS_NAMES_USER, FS_NAMES_GROUP };

MUST_CHECK enum err fs_names_new(struct fs_names **out);
void fs_names_free(struct fs_names *names);
/* "" when it has none; lives as long as `names`. */
const char *fs_names_of(struct fs_names *names, enum fs_names_kind kind, uint32_t number);
/* false: there is nobody of that name here. */
bool fs_names_find(struct fs_names *names, enum fs_names_kind kind, const char *text,
                   uint32_t *out);

/* --- fs_list.c: the names of one directory --- */

struct fs_list_name {
    uint64_t key; /* the first 8 bytes, for the order */
    uint64_t inode;
    uint32_t offset; /* in `text` */
    uint16_t size;
    uint8_t type; /* DT_... */
};

struct fs_list {
    struct fs_list_name *names; /* owned; sorted by bytes, none twice */
    size_t count;
    char *text; /* owned; each name with its NUL */
    size_t text_size;
};

#define FS_LIST_INIT ((struct fs_list){0})

/* All names of the directory open at `fd`, from where it is read next, but "." and "..". NOMEM,
   TOO_LARGE (4 GiB of names), or an errno of the directory in *number with err_from_errno(). What
   was read before an error is there. */
MUST_CHECK enum err fs_list_read(int fd, struct fs_list *out, int *number);
void fs_list_free(struct fs_list *list);
static inline struct slice fs_list_at(const struct fs_list *list, size_t index)
{
    return slice_of(list->text + list->names[index].offset, list->names[index].size);
}
/* Its index, or `count`. */
size_t fs_list_find(const struct fs_list *list, struct slice name);

/* --- fs_dir.c --- */

/* Bits of the user's own; set before others see the directory. */
void fs_dir_mark(struct fs_dir *dir, unsigned bits);
unsigned fs_dir_marks(const struct fs_dir *dir);

/* --- fs_details.c --- */

/* An inode at hand: a descriptor, which was perhaps opened with O_PATH only (then attributes go
   through /proc). */
struct fs_inode {
    int fd;
    bool path_only;
};

enum { FS_INODE_TEXT_SIZE = 40 };
/* "/proc/self/fd/7" */
const char *fs_inode_text(struct fs_inode inode, char out[FS_INODE_TEXT_SIZE]);

/* The names of all attributes one after the other, each with its NUL, appended. No attributes where
   there can be none. Returns an errno or 0. */
int fs_inode_xattr_names(struct fs_inode inode, struct buf *out);

/* Inode flags that can be set again; false where there are none. */
bool fs_inode_flags(int fd, uint32_t *out);
uint32_t fs_inode_flags_settable(void);

/* --- fs_walk_roots.c --- */

/* The roots of a walk as absolute paths without links on the way, in the order of the walk (a path
   before what is below it, siblings by bytes), none below another. Owned. */
struct fs_walk_roots {
    char **paths;
    size_t count;
};

MUST_CHECK enum err fs_walk_roots_resolve(const char *const *given, size_t count,
                                          struct fs_walk_roots *out, struct errmsg *msg);
void fs_walk_roots_free(struct fs_walk_roots *roots);
