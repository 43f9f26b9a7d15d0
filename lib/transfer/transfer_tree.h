/*
 * The walk over a snapshot's tree, depth first, in the order of names. It runs
 * inside a reader's steps (transfer_reader.h) and goes on where it stood after ERR_BUSY.
 *
 *     ENTER /            the root, with an empty name
 *     ENTER /home        a directory, before what is in it
 *     ENTRY /home/x      anything else
 *     LEAVE /home
 *     PROBLEM /home/y    a piece of this directory cannot be had; the walk goes on behind it
 */
#pragma once

#include "snapshot/snapshot_entry.h"
#include "transfer/transfer_reader.h"

enum transfer_tree_kind {
    TRANSFER_TREE_ENTER,
    TRANSFER_TREE_ENTRY,
    TRANSFER_TREE_LEAVE,
    TRANSFER_TREE_PROBLEM
};

/* Slices are borrowed until the next call. */
struct transfer_tree_event {
    enum transfer_tree_kind kind;
    struct slice path;           /* absolute: "/", "/home/x" */
    struct snapshot_entry entry; /* ENTER, ENTRY */
    struct slice bytes;          /* the entry's own bytes */
    unsigned depth;              /* of directories above it; 0 for the root */
    enum err e;                  /* PROBLEM */
};

enum { TRANSFER_TREE_DEPTH_MAX = 4096, TRANSFER_TREE_PATH_MAX = 1 << 20 };

struct transfer_tree;

/* `root`: the entry of "/" as a snapshot has it; copied. `path` is how its events call it ("/"). */
MUST_CHECK enum err transfer_tree_new(struct transfer_reader *reader, struct slice root,
                                      struct slice path, struct transfer_tree **out,
                                      struct errmsg *msg);
void transfer_tree_free(struct transfer_tree *tree);

/* ERR_OK and an event; ERR_END; ERR_BUSY. `msg` is the sentence of a PROBLEM too. */
MUST_CHECK enum err transfer_tree_next(struct transfer_tree *tree, struct transfer_tree_event *out,
                                       struct errmsg *msg);
/* After an ENTER: nothing of the directory follows, not its LEAVE either. */
void transfer_tree_skip(struct transfer_tree *tree);
