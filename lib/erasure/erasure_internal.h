/* Shared between erasure.c and erasure_plan.c. */
#pragma once

#include "erasure/erasure.h"
#include "erasure/program.h"

#include <pthread.h>

enum { PLAN_CACHE = 16 };

/* How lost shards are made. */
enum erasure_way {
    WAY_BEST,
    WAY_DENSE,  /* all in one product */
    WAY_ENCODE, /* lost data in one product, then lost parity from all data */
    WAY_SOLVE,  /* solve.h */
};

struct erasure {
    unsigned k, m;
    const struct kernel *kernel;
    struct program *tiles;     /* owned */
    struct program *transform; /* owned; NULL where tiles are faster */
    uint8_t *tables;           /* owned; of constant (row i, column j) at j * m + i, for updates */
    pthread_mutex_t lock;      /* guards the following; plans themselves never change */
    struct erasure_plan *plans[PLAN_CACHE]; /* a reference each; the last used first */
    enum erasure_way way; /* for tests: take this one where it can be, instead of the best */
};

/* erasure_encode_range() on a part of what the caller works on together, `of_size` bytes a shard.
 */
void erasure_encode_part(const struct erasure *code, const uint8_t *const data[],
                         uint8_t *const parity[], size_t offset, size_t size, size_t of_size);
/* The program that makes `wanted` of the parity rows. */
const struct program *erasure_encoder(const struct erasure *code, unsigned wanted);
/* Vector operations for a column. Dense: for each tile some 20 to start and to store and 3 to split
   each source, and 4 a product. A product of a transform comes with some 8 (docs/erasure.md). */
unsigned erasure_dense_work(unsigned sources, unsigned rows);
unsigned erasure_transform_work(const struct program *transform);
/* Columns in bytes, so that a block of all shards fits half of the second-level cache. */
size_t erasure_block(const struct erasure *code);
