/* What the compiler of programs (program_build.c) hands to the runner (program.c). */
#pragma once

#include "erasure/program.h"

enum {
    ROW_NONE = 65535,         /* computed, not wanted */
    ROW_SCRATCH = 256,        /* out numbers from here on are rows of scratch memory, four a slot */
    PROGRAM_BLOCK_MAX = 2048, /* bytes of columns walked at a time */
    STEP_SOURCES = 16,
    STEP_PRODUCTS = 9,
};

struct step {
    enum run_kind kind;
    uint8_t sources[STEP_SOURCES];
    uint8_t constants[STEP_PRODUCTS];
    uint8_t source_count, product_count;
};

struct program_tile {
    struct tile tile; /* its tables are owned */
    uint8_t *sources; /* owned; source numbers in the order of steps */
    unsigned source_count;
    unsigned outs[DENSE_ROWS];
    unsigned inits[TILE_INITS]; /* scratch slots */
    unsigned init_count;
};

struct program {
    const struct kernel *kernel;
    unsigned row_count, source_count, scratch_count, products;
    struct program_tile *tiles; /* owned */
    unsigned tile_count;
    struct transform_op *ops; /* owned, with their tables; NULL in a program of tiles */
    unsigned op_count, slot_count;
    bool onto;    /* rows of a dense program start from what they are */
    size_t block; /* columns walked at a time, in bytes */
};

/* Sources of a block and a tile's rows take at most half of `cache` bytes, the other half is for
   tables, the workspace and what is fetched ahead; once the counts are known. The first-level cache
   for what reads sources fast; dense tiles of eight rows are so slow that the second level feeds
   them, and start less often with long blocks (measured: 8 %). */
void program_set_block(struct program *program, size_t cache);
