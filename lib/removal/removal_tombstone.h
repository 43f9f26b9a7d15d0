/*
 * The tombstones of one publishing: from inside prepare() (heads_publish.h).
 */
#pragma once

#include "heads/heads_publish.h"

/* As many as it takes for these snapshots (any order, none twice; sorted in place). */
MUST_CHECK enum err removal_tombstone_add(struct vault *vault, struct heads_publish *publish,
                                          struct id *snapshots, size_t count, struct errmsg *msg);
