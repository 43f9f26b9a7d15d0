/*
 * How far a segment is from being lost.
 */
#pragma once

#include "base/id.h"

/* Where one shard is. */
struct placement_shard {
    struct id household; /* of the cell that holds it */
    bool alive;          /* on a cell that is up or asleep, and not known to be damaged */
};

/* How many more failure domains the segment can lose, whichever they are: the fullest are taken
   away first. With one shard a domain that is (shards alive) - k. Below zero: so many shards are
   missing. `count` at most LIMIT_SHARDS. */
int32_t placement_margin(const struct placement_shard *shards, size_t count, uint32_t k);

/* The same for a segment without two shards in one domain. */
static inline int32_t placement_margin_plain(uint32_t alive, uint32_t k)
{
    return (int32_t)alive - (int32_t)k;
}
