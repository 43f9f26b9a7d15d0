/*
 * Which cells hold a segment's shards, as an object lists it: a table of the cells' IDs, and for
 * each segment its *holders*, a le16 number in that table a shard (SNAPSHOT_NO_CELL: none is
 * known). Where shards are may change after the object was written: it is where to ask first.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "base/idmap.h"
#include "base/limits.h"

enum { SNAPSHOT_NO_CELL = 0xffff, SNAPSHOT_CELLS_MAX = 0xffff };

/* A table being made. */
struct snapshot_cells {
    struct buf table;    /* the IDs, one behind the other */
    struct idmap places; /* ID -> number + 1 */
};

void snapshot_cells_init(struct snapshot_cells *cells);
void snapshot_cells_free(struct snapshot_cells *cells);

/* Appends the holders of `count` shards; a zero ID is no cell. TOO_LARGE when the table is full. */
MUST_CHECK enum err snapshot_cells_add(struct snapshot_cells *cells, const struct id *shards,
                                       size_t count, struct buf *out_holders);

/* Reading: is every number within a table of `table` bytes? */
MUST_CHECK bool snapshot_cells_valid(struct slice table, struct slice holders);

/* The cell of shard `index`, zero when none is known. */
struct id snapshot_cells_at(struct slice table, struct slice holders, size_t index);
