/*
 * Compiling a matrix product into tiles for a kernel (kernel.h), and running it over shards block
 * by block. Internal to the room.
 */
#pragma once

#include "base/err.h"
#include "erasure/kernel.h"

#include <stddef.h>
#include <stdint.h>

struct program; /* immutable */

/* Row i is the sum over j of source j / (rows[i] XOR sources[j]); all points are different. The
   structure of the Cauchy matrix is put to use. ERR_NOMEM. */
MUST_CHECK enum err program_new_cauchy(const struct kernel *kernel, const uint8_t *rows,
                                       unsigned row_count, const uint8_t *sources,
                                       unsigned source_count, struct program **out);

/* Row i is the sum over j of matrix[i * source_count + j] times source j, added to what it is if
   `onto`. ERR_NOMEM. */
MUST_CHECK enum err program_new_dense(const struct kernel *kernel, const uint8_t *matrix,
                                      unsigned row_count, unsigned source_count, bool onto,
                                      struct program **out);

/* program_new_cauchy() of sources 0..k-1 and rows k..k+m-1, by additive FFTs (transform_build.c). k
   must be a multiple of 4 and k + m at most 252. ERR_NOMEM. */
MUST_CHECK enum err transform_build_new(const struct kernel *kernel, unsigned k, unsigned m,
                                        struct program **out);
/* The same for the sources in `have` (k flags), the others being zero, and at least the rows in
   `want` (m flags); whole fours of neither cost nothing. NULL: all. At least one source. */
MUST_CHECK enum err transform_build_part(const struct kernel *kernel, unsigned k, unsigned m,
                                         const bool *have, const bool *want, struct program **out);
/* From `count` sources that are the sums over j of row j / (sources[i] XOR rows[j]) back to the
   rows. Both are ascending points that fill aligned fours (transform_build_can_solve()). */
MUST_CHECK enum err transform_build_solver(const struct kernel *kernel, const uint8_t *sources,
                                           const uint8_t *rows, unsigned count,
                                           struct program **out);
bool transform_build_can_solve(const uint8_t *sources, const uint8_t *rows, unsigned count);
/* Whether it can be and was measured to be faster than tiles. */
bool transform_build_pays(unsigned k, unsigned m);

void program_free(struct program *program);

/* How many products of a constant with a source it takes (one column), for tests and the curious.
 */
unsigned program_products(const struct program *program);

/* Bytes offset..offset+size-1 of each; outs[i] NULL is not wanted. `of_size`: bytes of each that
   the caller works on together, of which this is a part; it decides what is worth keeping in
   caches. A transform takes a source that is NULL for zeros. */
void program_run(const struct program *program, const uint8_t *const sources[],
                 uint8_t *const outs[], size_t offset, size_t size, size_t of_size);

/* A transform over `size` bytes (a multiple of KERNEL_COLUMN) at the pointers; adds[i] is added to
   row i, NULL: nothing. Bytes that are far from the caches and follow, `after` of them, are fetched
   meanwhile. */
void program_run_add(const struct program *program, const uint8_t *const sources[],
                     uint8_t *const outs[], const uint8_t *const adds[], size_t size, size_t after);
