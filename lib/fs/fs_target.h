/*
 * The target of a restore: creates what a snapshot says below one directory, and nothing outside
 * it.
 *
 * Names are refused unless fs_name_allowed(); every step is openat() with O_NOFOLLOW, so that
 * neither the snapshot nor another process can lead a write out of the target by a symbolic link. A
 * file is written under a passing name (".cellar-part-...") and gets its own by rename when it is
 * whole, so that an interrupted restore leaves no half file; such left-overs are removed when their
 * directory is next restored into. A small file is made without any name (O_TMPFILE) where the file
 * system can do that, and gets its own by linkat().
 *
 * A directory that the restore makes has mode 01700 until it is finished, so nobody else looks into
 * it; in it a small file is made under its own name at once, which saves a third of the work. Its
 * mode is 01200 until it is whole: its own mode is set last of all. A restore that was killed
 * leaves as many such files as it had threads, and the next one into the directory removes them
 * like passing names, also with NEVER. (Nothing here outlives a loss of power before
 * fs_target_sync().) Order of calls:
 *
 *     fs_target_dir()   for a directory: it is made (01700) or taken as it is
 *     fs_target_file_begin(), _write() in any order and from several threads, _finish()
 *     fs_target_symlink(), fs_target_node(), fs_target_link() (a hard link, when the first name is
 * finished) fs_target_delete_others()      with --delete, when all children are there
 *     fs_target_dir_finish()         metadata last, children before their parents
 *
 * What could not be set of the metadata (an owner without being root, an attribute that the file
 * system refuses) fails nothing: it is handed to `on_note`, once for each kind and path.
 *
 * Owners: as root by name, or by number when there is no such name here or `numeric_owners` is set;
 * others keep theirs. setuid and setgid are set only when the owner or group is as recorded.
 * Devices only as root.
 *
 * What is in the way gives way: an immutable or append-only flag of it, or of a directory that is
 * restored into, is taken off first (as root). A directory in the way of something else goes only
 * when it is empty, or `replace_directories` is set; else ERR_EXISTS.
 *
 * Order of the metadata of one thing: owner, attributes (a change of owner clears
 * security.capability), times, flags, mode (the two first clear setuid or change it, and it says
 * that a file is whole); immutable and append-only when the name is there. Attributes that are
 * there and are not recorded are removed, but for labels of the system's own (security.selinux and
 * its like).
 *
 * Thread-safe, except that the calls on one file other than _write() come from one thread at a
 * time. Errors: DENIED, EXISTS, FULL, READ_ONLY, NOT_FOUND, STALE, IO, NOMEM; FORMAT for a name
 * that is refused.
 */
#pragma once

#include "fs/fs_dir.h"
#include "fs/fs_read.h"

enum fs_overwrite {
    FS_OVERWRITE_ALWAYS,
    FS_OVERWRITE_IF_CHANGED, /* a file of the same size and mtime keeps its content */
    FS_OVERWRITE_NEVER,      /* what exists stays as it is, metadata too */
};

struct fs_target_options {
    const char *path; /* made when missing, with its parents */
    enum fs_overwrite overwrite;
    bool numeric_owners;
    bool replace_directories; /* a directory with things in it gives way to a file (--delete) */
    bool dry_run; /* fs_target_wants() and fs_target_delete_others() answer, nothing is changed */
    void (*on_note)(void *user, enum err e, const char *sentence); /* may be NULL; any thread */
    void *user;
};

struct fs_target;
struct fs_file; /* being restored */

MUST_CHECK enum err fs_target_open(const struct fs_target_options *options, struct fs_target **out,
                                   struct errmsg *msg);
void fs_target_close(struct fs_target *target); /* NULL does nothing */
/* A new reference; NULL in a dry run into a directory that does not exist. */
struct fs_dir *fs_target_root(struct fs_target *target);

enum fs_want {
    FS_WANT_CREATE,   /* nothing is there */
    FS_WANT_REPLACE,  /* something is there that has to go */
    FS_WANT_METADATA, /* the content is there already: fs_target_touch() */
    FS_WANT_NOTHING,  /* policy says to leave it alone */
};

/* What the overwrite policy makes of `entry` in `dir`. Also in a dry run, where `dir` may be NULL
   for a directory that does not exist. For a directory that is there: METADATA, or NOTHING with
   NEVER (it is entered nevertheless). */
MUST_CHECK enum err fs_target_wants(struct fs_target *target, struct fs_dir *dir,
                                    const struct fs_entry *entry, enum fs_want *out,
                                    struct errmsg *msg);

/* Makes the directory, or takes the one that is there; anything else of that name is removed first
   unless the policy is NEVER (then ERR_EXISTS). With NEVER a directory that was there stays as it
   is, unless an interrupted restore made it. *out is a new reference. In a dry run *out may be
   NULL. */
MUST_CHECK enum err fs_target_dir(struct fs_target *target, struct fs_dir *parent,
                                  const struct fs_entry *entry, struct fs_dir **out,
                                  struct errmsg *msg);
/* `dir` itself: owner, mode, attributes, times, flags. */
MUST_CHECK enum err fs_target_dir_finish(struct fs_target *target, struct fs_dir *dir,
                                         const struct fs_entry *entry,
                                         const struct fs_details *details, struct errmsg *msg);

/* The whole of a small file at once; `content` is the data runs joined. `runs` NULL: no holes. Not
   NULL and `run_count` 0: all hole. ERR_USAGE when content, runs and entry->size do not agree. */
MUST_CHECK enum err fs_target_file(struct fs_target *target, struct fs_dir *dir,
                                   const struct fs_entry *entry, const struct fs_details *details,
                                   const struct fs_run *runs, size_t run_count,
                                   struct slice content, struct errmsg *msg);

/* A file in pieces. Its descriptor is closed and opened again as others need it, so that any number
   may be under way. `entry->name` is copied. */
MUST_CHECK enum err fs_target_file_begin(struct fs_target *target, struct fs_dir *dir,
                                         const struct fs_entry *entry, struct fs_file **out,
                                         struct errmsg *msg);
/* Any thread; offsets in the file. Beyond entry->size: ERR_USAGE. What is never written is a hole.
 */
MUST_CHECK enum err fs_target_file_write(struct fs_file *file, uint64_t offset, struct slice bytes,
                                         struct errmsg *msg);
/* Sets the metadata and gives it its name. `file` is gone in any case; on an error nothing is left.
 */
MUST_CHECK enum err fs_target_file_finish(struct fs_file *file, const struct fs_entry *entry,
                                          const struct fs_details *details, struct errmsg *msg);
/* Throws it away. NULL does nothing. */
void fs_target_file_abandon(struct fs_file *file);

MUST_CHECK enum err fs_target_symlink(struct fs_target *target, struct fs_dir *dir,
                                      const struct fs_entry *entry,
                                      const struct fs_details *details, struct errmsg *msg);
/* A FIFO or a device. */
MUST_CHECK enum err fs_target_node(struct fs_target *target, struct fs_dir *dir,
                                   const struct fs_entry *entry, const struct fs_details *details,
                                   struct errmsg *msg);
/* `entry` as one more name of what is `other_name` in `other_dir`. */
MUST_CHECK enum err fs_target_link(struct fs_target *target, struct fs_dir *dir,
                                   const struct fs_entry *entry, struct fs_dir *other_dir,
                                   struct slice other_name, struct errmsg *msg);

/* Metadata only, of what is there already (FS_WANT_METADATA). */
MUST_CHECK enum err fs_target_touch(struct fs_target *target, struct fs_dir *dir,
                                    const struct fs_entry *entry, const struct fs_details *details,
                                    struct errmsg *msg);

/* Removes everything in `dir` whose name is not among `names` (sorted by bytes), with all below it,
   never through a symbolic link and never on another file system. Each removal is told to `each`.
   What cannot be removed is noted; ERR_OK nevertheless. In a dry run nothing is removed, only told.
 */
typedef void fs_deleted_fn(void *user, struct fs_dir *dir, struct slice name, enum fs_type type);
MUST_CHECK enum err fs_target_delete_others(struct fs_target *target, struct fs_dir *dir,
                                            const struct slice *names, size_t name_count,
                                            fs_deleted_fn *each, void *user, struct errmsg *msg);

/* Everything written is durable after this. */
MUST_CHECK enum err fs_target_sync(struct fs_target *target, struct errmsg *msg);
