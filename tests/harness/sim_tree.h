/*
 * The names of a simulated disk: directories as they are and as they are on the platter, and the
 * changes between the two. For sim_disk only.
 */
#pragma once

#include "harness/sim_file.h"

#include "base/err.h"
#include "base/list.h"

struct sim_name {
    char *name;              /* owned */
    struct sim_inode *inode; /* referenced */
};

struct sim_names {
    struct sim_name *items; /* owned, sorted */
    size_t count, capacity;
};

struct sim_inode {
    struct list link; /* in sim_tree.inodes */
    unsigned references;
    bool is_directory;
    bool marked; /* scratch */
    struct sim_file file;
    struct sim_names now, platter; /* of a directory */
};

struct sim_tree {
    struct sim_inode *root;
    struct list inodes;
    struct list changes; /* oldest first */
    size_t change_count;
};

void sim_tree_init(struct sim_tree *tree);
void sim_tree_free(struct sim_tree *tree);

void sim_tree_ref(struct sim_inode *inode);
void sim_tree_unref(struct sim_inode *inode);

/* "" is the root. NOT_FOUND; USAGE for a path that the port does not allow. */
MUST_CHECK enum err sim_tree_find(const struct sim_tree *tree, const char *path,
                                  struct sim_inode **out);
/* The directory of the last component, and where that begins in `path`. */
MUST_CHECK enum err sim_tree_find_parent(const struct sim_tree *tree, const char *path,
                                         struct sim_inode **out_directory, const char **out_name);
struct sim_inode *sim_tree_child(const struct sim_inode *directory, const char *name);

struct sim_inode *sim_tree_make(struct sim_tree *tree, struct sim_inode *directory,
                                const char *name, bool is_directory);
/* One change: both names, or one (`from` NULL: only `to`; `inode` NULL: the name goes). */
void sim_tree_change(struct sim_tree *tree, struct sim_inode *from_directory, const char *from,
                     struct sim_inode *directory, const char *name, struct sim_inode *inode);

void sim_tree_sync(struct sim_tree *tree, struct sim_inode *directory);
void sim_tree_sync_all(struct sim_tree *tree);
void sim_tree_crash(struct sim_tree *tree, uint64_t random_state[4]);

/* A durable copy into an uninitialised tree. */
void sim_tree_copy(const struct sim_tree *from, struct sim_tree *to);
