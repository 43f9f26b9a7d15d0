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
