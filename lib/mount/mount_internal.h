/*
 * Of this room only.
 *
 *     mount.c        the session: mounting, pumping, the list of snapshots, the end
 *     mount_dirs.c   the directories that the kernel remembers; numbers and attributes
 *     mount_ops.c    what the kernel may ask, one step function each
 *     mount_view.c   the directories above the snapshots
 *     mount_names.c  what those are called
 *
 * Node numbers (FUSE's, 64 bits): directory number ‖ place. The place (browse.h) of anything
 * but a directory says where its entry stands in its directory, so the kernel can name a file that
 * we keep nothing of. Directories have place 0 and stand in a table until the kernel forgets them.
 * Directory number 0 is the root, which FUSE calls 1.
 */
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>

#include "base/idmap.h"
#include "browse/browse.h"
#include "mount/mount.h"
#include "mount/mount_view.h"

enum { MOUNT_PLACE_BITS = 37, MOUNT_READ_MAX = 1 << 20 };
#define MOUNT_DIRS_MAX     (1u << 26)
#define MOUNT_PLACE_LATEST 1u /* of the link "latest" in its shelf */

struct mount_dir {
    struct id key;
    uint64_t number, inode, parent_inode;
    uint64_t lookups;            /* what the kernel still has to forget */
    enum mount_shelf_kind shelf; /* 0: a directory of a snapshot */
    char *label;                 /* owned; of a shelf */
    struct buf entry;            /* owned; of a snapshot's directory */
    uint64_t snapshot_inode;     /* of its snapshot's root; tells hard links of two apart */
    bool top;                    /* that root */
    int64_t time_ns;             /* of the snapshot, when it is the root */
};

/* A file that somebody has open. */
struct mount_file {
    struct list link; /* in mount->files */
    struct buf entry; /* owned */
    uint64_t next;    /* where a reader goes on that reads one byte after the other */
};

struct mount {
    struct vault *vault;
    struct mount_options options;
    struct mount_events events;
    void *user;
    struct transfer_cache *chunks;
    struct fuse_session *session;
    int fd;
    struct fuse_buf buffer; /* its memory is owned */
    bool mounted, paused, stopping, chunks_stopped;
    struct list files;    /* struct mount_file: what was not closed when it is unmounted */
    struct list requests; /* struct mount_request */
    size_t request_count;
    uint8_t *scratch; /* owned: MOUNT_READ_MAX bytes, for one answer */
    /* directories */
    struct mount_dir **dirs; /* owned; [number] */
    size_t dir_count, dir_capacity;
    uint32_t *free_numbers; /* owned; a stack */
    size_t free_count, free_capacity;
    struct idmap dirs_by_key;
    /* snapshots */
    struct mount_view *view; /* owned; NULL before the first time */
    uint64_t view_ms;        /* when it was read */
    bool view_loading;
    struct list awaiting; /* requests that wait for it */
    /* members: refreshed from time to time */
    struct timer ticker;
    bool refreshing;
    /* the last problem that was said */
    char said[ERRMSG_SIZE];
    uint64_t said_ms;
    enum err e;
    struct errmsg msg;
};

struct mount_request;
/* Answers and says ERR_OK; ERR_BUSY: run again when what it lacks is there; any other error is
   answered by the caller. */
typedef enum err mount_step_fn(struct mount_request *r, struct errmsg *msg);

struct mount_request {
    struct transfer_cache_op op;
    struct list link, view_link;
    struct mount *mount;
    fuse_req_t req;
    mount_step_fn *step;
    fuse_ino_t node;
    char *name; /* owned; may be NULL */
    size_t size;
    uint64_t offset;
    struct mount_file *file;
    bool plus, hole;
};

/* --- mount.c --- */

/* Runs its step; answers ENOMEM when there is no memory for it. `name` may be NULL; copied. */
void mount_begin(struct mount *mount, fuse_req_t req, mount_step_fn *step, fuse_ino_t node,
                 const char *name, size_t size, uint64_t offset, struct mount_file *file,
                 unsigned flags);
enum { MOUNT_PLUS = 1, MOUNT_HOLE = 2 };

/* The list of snapshots, not older than a second. ERR_BUSY: the request is told. */
MUST_CHECK enum err mount_fresh_view(struct mount_request *r, const struct mount_view **out);

/* --- mount_dirs.c --- */

MUST_CHECK enum err mount_dirs_open(struct mount *mount);
void mount_dirs_free(struct mount *mount);

static inline uint64_t mount_node(uint64_t number, uint64_t place)
{
    const uint64_t node = number << MOUNT_PLACE_BITS | place;
    return node == 0 ? FUSE_ROOT_ID : node;
}
static inline uint64_t mount_place(fuse_ino_t node)
{
    return node == FUSE_ROOT_ID ? 0 : node & (((uint64_t)1 << MOUNT_PLACE_BITS) - 1);
}
/* The directory that a node is or stands in; NULL: the kernel should have forgotten it. */
struct mount_dir *mount_dir_of(const struct mount *mount, fuse_ino_t node);

/* The directory at `place` of `parent`, whose entry has these bytes: found, or made anew. Does not
   count as a lookup. NULL: no memory. */
struct mount_dir *mount_dir_below(struct mount *mount, struct mount_dir *parent, uint64_t place,
                                  struct slice entry);
/* What stands on a shelf: another shelf, or a snapshot's root. */
struct mount_dir *mount_dir_on_shelf(struct mount *mount, struct mount_dir *parent,
                                     const struct mount_view *view, const struct mount_item *item);
void mount_dir_forget(struct mount *mount, fuse_ino_t node, uint64_t lookups);

/* --- attributes --- */

void mount_stat_entry(const struct mount *mount, const struct mount_dir *dir, uint64_t place,
                      const struct snapshot_entry *entry, struct stat *out);
MUST_CHECK enum err mount_stat_dir(const struct mount *mount, const struct mount_dir *dir,
                                   struct stat *out);
void mount_stat_latest(const struct mount *mount, const struct mount_dir *dir, size_t target_size,
                       struct stat *out);

/* --- mount_ops.c --- */

void mount_file_free(struct mount_file *file);
extern const struct fuse_lowlevel_ops mount_ops;
