/* Shared between erasure.c and erasure_plan.c. */
#pragma once

#include "erasure/erasure.h"
#include "erasure/program.h"

#include <pthread.h>

enum { PLAN_CACHE = 16 };

struct erasure {
    unsigned k, m;
    const struct kernel *kernel;
    struct program *tiles;     /* owned */
    struct program *transform; /* owned; NULL where tiles are faster */
    uint8_t *tables;           /* owned; of constant (row i, column j) at j * m + i, for updates */
    pthread_mutex_t lock;      /* guards the following; plans themselves never change */
    struct erasure_plan *plans[PLAN_CACHE]; /* a reference each; the last used first */
};

/* erasure_encode_range() on a part of what the caller works on together, `of_size` bytes a shard.
 */
void erasure_encode_part(const struct erasure *code, const uint8_t *const data[],
                         uint8_t *const parity[], size_t offset, size_t size, size_t of_size);
/* The program that makes `wanted` of the parity rows. */
const struct program *erasure_encoder(const struct erasure *code, unsigned wanted);
/* Columns in bytes, so that a block of all shards fits half of the second-level cache. */
size_t erasure_block(const struct erasure *code);
