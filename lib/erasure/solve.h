/*
 * Reconstruction by syndromes: the encoder's transform over the data that is there gives the sums
 * of all parity rows; a surviving row of parity added to its sum leaves what the e lost data shards
 * give to it; e of these are solved by an e x e matrix, and lost parity comes from its sum and the
 * same e. With many lost it is less work than k products for each. Internal to the room.
 */
#pragma once

#include "erasure/erasure_internal.h"

enum { SOLVE_LOST_MAX = 32 }; /* data shards lost */

struct solve; /* immutable */

/* What to make of what. */
struct solve_shards {
    const struct erasure_set *sources; /* k shards that are read */
    const struct erasure_set *targets; /* those that are made: none of the sources */
};

/* NULL in `*out`: the code has no transform, no data is there, or no or too many of it are lost.
   ERR_NOMEM. */
MUST_CHECK enum err solve_new(const struct erasure *code, const struct solve_shards *shards,
                              struct solve **out);
void solve_free(struct solve *solve);

/* Vector operations for a column, as a dense product is counted by erasure_dense_work(). */
unsigned solve_work(const struct solve *solve);

/* Bytes offset..offset+size-1; `of_size` as in program_run(). */
void solve_run(const struct solve *solve, uint8_t *const shards[], size_t offset, size_t size,
               size_t of_size);
