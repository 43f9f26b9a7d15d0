/*
 * The walk over a snapshot's tree, depth first, in the order of names. It runs
 * inside a reader's steps (vault_reader.h) and goes on where it stood after ERR_BUSY.
 *
 *     ENTER /            the root, with an empty name
 *     ENTER /home        a directory, before what is in it
 *     ENTRY /home/x      anything else
 *     LEAVE /home
 *     PROBLEM /home/y    a piece of this directory cannot be had; the walk goes on behind it
 */
#pragma once

#include "snapshot/snapshot_entry.h"
#include "vault/vault_reader.h"

enum vault_tree_kind { VAULT_TREE_ENTER, VAULT_TREE_ENTRY, VAULT_TREE_LEAVE, VAULT_TREE_PROBLEM };

/* Slices are borrowed until the next call. */
struct vault_tree_event {
    enum vault_tree_kind kind;
    struct slice path;           /* absolute: "/", "/home/x" */
    struct snapshot_entry entry; /* ENTER, ENTRY */
    struct slice bytes;          /* the entry's own bytes */
    unsigned depth;              /* of directories above it; 0 for the root */
    enum err e;                  /* PROBLEM */
};

enum { VAULT_TREE_DEPTH_MAX = 4096, VAULT_TREE_PATH_MAX = 1 << 20 };

struct vault_tree;

/* `root`: the entry of "/" as a snapshot has it; copied. `path` is how its events call it ("/"). */
MUST_CHECK enum err vault_tree_new(struct vault_reader *reader, struct slice root,
                                   struct slice path, struct vault_tree **out, struct errmsg *msg);
void vault_tree_free(struct vault_tree *tree);

/* ERR_OK and an event; ERR_END; ERR_BUSY. `msg` is the sentence of a PROBLEM too. */
MUST_CHECK enum err vault_tree_next(struct vault_tree *tree, struct vault_tree_event *out,
                                    struct errmsg *msg);
/* After an ENTER: nothing of the directory follows, not its LEAVE either. */
void vault_tree_skip(struct vault_tree *tree);
