/*
 * Marks in the index everything that is still needed: the snapshots that are not
 * forgotten, of all devices, with their whole trees; this device's index objects of segments that
 * count, and its documents about removal.
 *
 * Metadata is read from the cells as the walk needs it; a directory or list that was marked is not
 * entered again, so that a hundred snapshots of one tree cost little more than one. Memory: one
 * piece of metadata for each level of the tree, and the reader's cache. What cannot be read ends
 * it: nothing may be deleted while it is not known what is needed.
 */
#pragma once

#include "vault/vault.h"

struct removal_mark;

/* Clears the marks first. On a vault that is open for writing and connected. */
MUST_CHECK enum err removal_mark_start(struct vault *vault, vault_done_fn *done, void *user,
                                       struct removal_mark **out, struct errmsg *msg);
void removal_mark_cancel(struct removal_mark *mark);
