/*
 * What a kernel does, and the programs it is fed with. Internal to the room.
 *
 * A product of a matrix with shards is cut into tiles of a few output rows, because not more
 * accumulators fit the registers. A kernel runs one tile over one block of columns: for each vector
 * of columns it walks the tile's steps, keeps the sums in registers and stores each output once.
 *
 * Two kinds of tile:
 *
 * TILE_DENSE   up to eight rows, every step is one source times a constant for each row.
 *
 * TILE_QUAD    four rows whose points are r, r^a, r^b, r^a^b. Against four sources at j, j^a, j^b,
 *              j^a^b the Cauchy constants 1/(r^j) are only four different ones, d[0..3], placed as
 *                  d0 d1 d2 d3
 *                  d1 d0 d3 d2
 *                  d2 d3 d0 d1
 *                  d3 d2 d1 d0
 *              and Karatsuba's trick, which over a field of characteristic 2 reads
 *                  A x + B y = A (x + y) + (A + B) y,    B x + A y = B (x + y) + (A + B) y,
 *              used twice takes 9 products instead of 16, of 4 inputs that are sums of the sources.
 *              The nine sums of products are kept apart over all steps ("accumulators", named by
 *              A, B and T = A + B for the outer and the inner level) and put together at the end:
 *                  row[p][q] = acc[p][q] + acc[p][T] + acc[T][q] + acc[T][T]     p, q in {A, B}
 *              Sources that have no such company come in pairs (6 products) or alone (4).
 *
 * The same trick between whole tiles makes 8 rows of 3 tiles instead of 4 and 16 of 9 instead of
 * 16: there the inputs are sums of two or four sources each (RUN_QUAD2, RUN_QUAD4), a tile's result
 * goes to scratch memory, and other tiles start from it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KERNEL_COLUMN = 64,        /* kernels are called with multiples of so many bytes */
    KERNEL_TABLE_MAX = 32,     /* bytes of the table of one constant */
    TILE_ROWS = 4,             /* of a quad */
    DENSE_ROWS = 8,            /* at most */
    TRANSFORM_SLOTS_MAX = 384, /* of a transform's workspace */
    TRANSFORM_WIDTH = 256, /* columns in bytes that a transform walks at a time; or half, or .. */
    TRANSFORM_WIDTH_MIN = 64, /* .. a quarter of it */
    TILE_INITS = 2,
};

enum tile_kind { TILE_DENSE, TILE_QUAD };

/* Steps of one kind in a row. Steps of a dense tile have tile.rows products each. */
enum run_kind {
    RUN_ONE,   /* 1 source; products AA AB BA BB */
    RUN_PAIR,  /* 2 sources j, j^a; products AT BT, AA AB BA BB */
    RUN_QUAD1, /* 4 sources; products TT, AT BT, TA TB, AA AB BA BB */
    RUN_QUAD2, /* 4 inputs, each the sum of 2 sources; products as above */
    RUN_QUAD4, /* 4 inputs of 4 sources */
    RUN_KINDS,
};

struct tile_run {
    enum run_kind kind;
    unsigned count; /* steps */
};

struct tile {
    enum tile_kind kind;
    unsigned rows; /* dense: 1..8; quad: 4 */
    unsigned run_count;
    struct tile_run runs[RUN_KINDS];
    const uint8_t *tables; /* in the order of steps and products, table_size bytes each */
};

struct tile_call {
    const struct tile *tile;
    const uint8_t *const *sources; /* in the order of steps, at the block's first column */
    unsigned init_count;           /* the rows start from the sum of so many others, or from zero */
    const uint8_t *inits[TILE_INITS][DENSE_ROWS];
    uint8_t *out[DENSE_ROWS];
    size_t size; /* of the block; a multiple of KERNEL_COLUMN */
    bool far;    /* a dense tile's sources come from memory, not from a cache */
    bool stream; /* store around the cache; only if far, and rows are aligned to KERNEL_COLUMN */
};

/*
 * The other kind of program: additive FFTs (docs/erasure.md). Its operations work on a workspace of
 * slots, each one `width` bytes of columns; a polynomial's coefficients stand in consecutive slots.
 * Twiddles w, w0, .. are tables, one after the other.
 */
enum transform_kind {
    /* sources s, s+1, s+2, s+3 -> slots to .. to+3: two layers of the inverse transform, w: first
       layer first pair, second pair, second layer; ..ZERO: the block at 0, where only one is not 0
     */
    TRANSFORM_SOURCE4,
    TRANSFORM_SOURCE4_ZERO,
    /* the same with each source multiplied by a constant of its own; their tables come first */
    TRANSFORM_SOURCE4_SCALED,
    /* in place: b += a, a += w b; ..ZERO: w = 0 */
    TRANSFORM_INVERSE,
    TRANSFORM_INVERSE_ZERO,
    /* to = a + w b, the next `count` slots after it = that + b */
    TRANSFORM_FORWARD,
    /* to = a + w b */
    TRANSFORM_ADD,
    /* to = a + w (a + b): the last inverse layer and the first forward one at once */
    TRANSFORM_MERGE,
    /* slots a .. a+3 -> rows row .. row+3: two forward layers and the scaling by s; tables: w of
       the first layer, s, s * w of the first pair, s * w of the second */
    TRANSFORM_ROWS4,
    /* the same, scaled by a constant for each row; tables: w of the first layer, of the first pair,
       of the second pair, the four constants */
    TRANSFORM_ROWS4_SCALED,
    /* sources 0 .. 15 -> rows 0 .. 7, the whole of 16+8 in 24 slots: SOURCE4_ZERO, three SOURCE4,
       what lies between the quads (INVERSE_ZERO on two of them, INVERSE by w0 on the others, MERGE
       by w1 of both pairs, FORWARD by w2), two ROWS4; their tables one after the other */
    TRANSFORM_16_TO_8,
};

struct transform_op {
    enum transform_kind kind;
    unsigned a, b, to; /* slots, or for sources and rows the first of four */
    unsigned count;    /* slots in each operand */
    const uint8_t *tables;
};

/* How rows are stored. */
enum transform_put {
    PUT_STORE,
    PUT_STREAM, /* around the cache; rows are aligned to KERNEL_COLUMN then */
    PUT_ADD,    /* with `adds` added to them */
};

struct transform_call {
    const struct transform_op *ops;
    unsigned op_count;
    unsigned width; /* TRANSFORM_WIDTH, half or a quarter of it */
    const uint8_t *const *sources;
    uint8_t *const *rows;
    size_t size;                 /* a multiple of width */
    const uint8_t *const *ahead; /* what comes next, fetched meanwhile: `size` bytes of each */
    unsigned ahead_count;
    enum transform_put how;
    const uint8_t *const *adds; /* PUT_ADD: one for each row */
};

struct kernel {
    const char *name;
    bool proven; /* has run on real hardware */
    bool (*usable)(void);
    size_t table_size;
    void (*table)(uint8_t constant, uint8_t *out);
    void (*run)(const struct tile_call *call);
    void (*transform)(const struct transform_call *call);
};

extern const struct kernel kernel_portable, kernel_ssse3, kernel_avx2, kernel_avx2_gfni,
    kernel_avx512_gfni, kernel_neon;

/* Compiled in, slowest first; NULL past the last. */
const struct kernel *kernels_at(unsigned index);
const struct kernel *kernels_find(const char *name);   /* NULL: none of that name */
const struct kernel *kernels_best(bool even_unproven); /* the fastest that this CPU can run */

bool kernels_have_gfni(void);

/* Data-cache sizes of this CPU in bytes, with guesses where the system does not say. */
size_t kernels_cache_l1(void);
size_t kernels_cache_l2(void);
size_t kernels_cache_l3(void);
