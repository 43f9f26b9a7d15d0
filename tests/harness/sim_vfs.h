/*
 * SQLite on a simulated disk: each node registers a VFS over its own, under node->vfs.
 *
 *     struct db_options o = {.path = "catalogue.db", .vfs = node->vfs, .exclusive = true, ...};
 *
 * Paths are those of the disk port. The write-ahead log works in exclusive locking mode only (there
 * is no shared memory), so open with `exclusive`; a second opener gets ERR_LOCKED. A power cut
 * treats database and log like any file; locks end with the process. The journal's and the log's
 * names are made durable with their first sync, as SQLite's own unix VFS does. Time and randomness
 * are the node's; sleeping takes no time.
 */
#pragma once

#include "harness/sim_node.h"

/* Files that SQLite has open on this node now: 0 after everything is closed. */
unsigned sim_vfs_open_files(const struct sim_node *node);
