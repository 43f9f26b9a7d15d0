#include "erasure/program_internal.h"

#include "erasure/gf256.h"

#include <stdlib.h>
#include <string.h>

/*
 * Rows and sources are points of the field, addresses in a vector space over GF(2). A block of rows
 * is a coset r + <g0, g1, ..>; its row number i has the point r + (sum of the g's at the bits of
 * i). Sources that form a coset of the same space meet it in a matrix of 2^level constants only,
 * d[i ^ j], a *term*. Terms go down level by level, by Karatsuba's trick, to tiles of four rows.
 */

enum {
    LEVEL_TILE = 2, /* four rows */
    LEVEL_MAX = 4,  /* 16 rows; at 32 the sums of 8 sources eat what the trick saves */

};

struct term {
    unsigned sums; /* sources in each input */
    uint8_t inputs[1 << LEVEL_MAX][1 << (LEVEL_MAX - LEVEL_TILE)];
    uint8_t constants[1 << LEVEL_MAX];
};

struct block {
    unsigned level;
    uint8_t point;                 /* of row 0 */
    uint8_t g[LEVEL_MAX];          /* generators */
    unsigned outs[1 << LEVEL_MAX]; /* row numbers, ROW_SCRATCH + .. in scratch, or ROW_NONE */
    unsigned inits[TILE_INITS];
    unsigned init_count;
    unsigned scratch; /* first free scratch slot */
    const bool *open; /* by point: sources yet to be counted in; NULL: none */
    const struct term *terms;
    unsigned term_count;
};

struct builder {
    const struct kernel *kernel;
    struct program *program;
    unsigned capacity;
    uint8_t number[256]; /* point -> source number */
};

static uint8_t combine(const uint8_t *g, unsigned bits)
{
    uint8_t sum = 0;
    for (unsigned i = 0; bits >> i; i++)
        if (bits >> i & 1)
            sum ^= g[i];
    return sum;
}

static enum err builder_grow(struct builder *b)
{
    struct program *p = b->program;
    if (p->tile_count < b->capacity)
        return ERR_OK;
    unsigned capacity = b->capacity ? 2 * b->capacity : 16;
    struct program_tile *tiles = realloc(p->tiles, capacity * sizeof(*tiles));
    if (!tiles)
        return ERR_NOMEM;
    p->tiles = tiles;
    b->capacity = capacity;
    return ERR_OK;
}

/* Puts the steps in order of kind and makes their tables. */
static enum err builder_tile(struct builder *b, struct program_tile *t, const struct step *steps,
                             unsigned count)
{
    size_t table_size = b->kernel->table_size, products = 0, sources = 0;
    for (unsigned i = 0; i < count; i++) {
        products += steps[i].product_count;
        sources += steps[i].source_count;
    }
    uint8_t *tables = NULL;
    if (builder_grow(b) != ERR_OK ||
        posix_memalign((void **)&tables, 64, products * table_size + 64) != 0)
        return ERR_NOMEM;
    t->sources = malloc(sources + 1);
    if (!t->sources) {
        free(tables);
        return ERR_NOMEM;
    }
    t->tile.tables = tables;
    t->source_count = 0;
    t->tile.run_count = 0;
    for (unsigned kind = 0; kind < RUN_KINDS; kind++) {
        unsigned n = 0;
        for (unsigned i = 0; i < count; i++) {
            if (steps[i].kind != kind)
                continue;
            n++;
            memcpy(t->sources + t->source_count, steps[i].sources, steps[i].source_count);
            t->source_count += steps[i].source_count;
            for (unsigned c = 0; c < steps[i].product_count; c++, tables += table_size)
                b->kernel->table(steps[i].constants[c], tables);
        }
        if (n)
            t->tile.runs[t->tile.run_count++] = (struct tile_run){(enum run_kind)kind, n};
    }
    b->program->products += (unsigned)products;
    b->program->tiles[b->program->tile_count++] = *t;
    return ERR_OK;
}

/* --- the four rows of one tile */

static void step_quad(struct step *step, const struct term *term)
{
    const uint8_t *d = term->constants;
    *step = (struct step){
        .kind = term->sums == 1   ? RUN_QUAD1
                : term->sums == 2 ? RUN_QUAD2
                                  : RUN_QUAD4,
        .constants = {d[0] ^ d[1] ^ d[2] ^ d[3], d[0] ^ d[1], d[2] ^ d[3], d[0] ^ d[2], d[1] ^ d[3],
                      d[0], d[1], d[2], d[3]},
        .product_count = 9,
    };
    for (unsigned i = 0; i < 4; i++)
        for (unsigned n = 0; n < term->sums; n++)
            step->sources[step->source_count++] = term->inputs[i][n];
}

static bool all_open(const bool *open, uint8_t point, const uint8_t *g, unsigned level)
{
    for (unsigned i = 0; i < 1u << level; i++)
        if (!open[point ^ combine(g, i)])
            return false;
    return true;
}

/* The term of the sources at point + <g0, .., g(level-1)>, which are no longer open after it. */
static void term_take(const struct builder *b, const struct block *block, bool *open, uint8_t point,
                      struct term *term)
{
    *term = (struct term){.sums = 1};
    for (unsigned i = 0; i < 1u << block->level; i++) {
        uint8_t at = point ^ combine(block->g, i);
        term->inputs[i][0] = b->number[at];
        term->constants[i] = gf256_inverse(block->point ^ at);
        open[at] = false;
    }
}

static unsigned terms_collect(const struct builder *b, const struct block *block, bool *open,
                              struct term *terms)
{
    unsigned count = 0;
    for (unsigned point = 0; point < 256; point++)
        if (all_open(open, (uint8_t)point, block->g, block->level))
            term_take(b, block, open, (uint8_t)point, &terms[count++]);
    return count;
}

static unsigned steps_of_rest(const struct builder *b, const struct block *block, bool *open,
                              struct step *steps)
{
    unsigned count = 0;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned point = 0; point < 256; point++) {
            uint8_t other = (uint8_t)point ^ block->g[0];
            if (!open[point] || (pass == 0 && !open[other]))
                continue;
            uint8_t d[4];
            for (unsigned i = 0; i < 4; i++)
                d[i] = gf256_inverse(block->point ^ (uint8_t)point ^ combine(block->g, i));
            struct step *step = &steps[count++];
            if (pass == 0) {
                *step =
                    (struct step){.kind = RUN_PAIR,
                                  .sources = {b->number[point], b->number[other]},
                                  .source_count = 2,
                                  .constants = {d[0] ^ d[1], d[2] ^ d[3], d[0], d[1], d[2], d[3]},
                                  .product_count = 6};
                open[other] = false;
            } else {
                *step = (struct step){.kind = RUN_ONE,
                                      .sources = {b->number[point]},
                                      .source_count = 1,
                                      .constants = {d[0], d[1], d[2], d[3]},
                                      .product_count = 4};
            }
            open[point] = false;
        }
    }
    return count;
}

static enum err build_tile(struct builder *b, const struct block *block, struct term *terms,
                           unsigned term_count, bool *open)
{
    struct step *steps = calloc(term_count + 256, sizeof(*steps));
    if (!steps)
        return ERR_NOMEM;
    unsigned count = term_count;
    for (unsigned i = 0; i < term_count; i++)
        step_quad(&steps[i], &terms[i]);
    if (open)
        count += steps_of_rest(b, block, open, steps + count);
    struct program_tile t = {.tile = {.kind = TILE_QUAD, .rows = TILE_ROWS},
                             .init_count = block->init_count};
    memcpy(t.inits, block->inits, sizeof(t.inits));
    memcpy(t.outs, block->outs, TILE_ROWS * sizeof(t.outs[0]));
    enum err e = builder_tile(b, &t, steps, count);
    free(steps);
    return e;
}

/* --- blocks of more rows */

static enum err build_block(struct builder *b, const struct block *block);

/* With x the lower and y the upper half of a term's inputs, and its matrix of blocks A B / B A: the
   half-size terms of A (x + y) and B (x + y), or of (A + B) y. */
enum half { HALF_A, HALF_B, HALF_T };

static void term_halve(const struct term *term, unsigned level, enum half half, struct term *out)
{
    unsigned h = 1u << (level - 1);
    *out = (struct term){.sums = half == HALF_T ? term->sums : 2 * term->sums};
    for (unsigned i = 0; i < h; i++) {
        const uint8_t *d = term->constants;
        out->constants[i] = half == HALF_A   ? d[i]
                            : half == HALF_B ? d[h + i]
                                             : (uint8_t)(d[i] ^ d[h + i]);
        memcpy(out->inputs[i], term->inputs[h + i], term->sums);
        if (half != HALF_T)
            memcpy(out->inputs[i] + term->sums, term->inputs[i], term->sums);
    }
}

static enum err build_half(struct builder *b, const struct block *whole, const struct term *terms,
                           unsigned term_count, const bool *open, enum half half, bool scratch)
{
    unsigned level = whole->level - 1, h = 1u << level, slots = h / TILE_ROWS;
    struct block block = *whole;
    struct term *halves = calloc(term_count + 1, sizeof(*halves));
    if (!halves)
        return ERR_NOMEM;
    for (unsigned i = 0; i < term_count; i++)
        term_halve(&terms[i], whole->level, half, &halves[i]);
    block.level = level;
    block.terms = halves;
    block.term_count = term_count;
    block.open = half == HALF_T ? NULL : open;
    if (scratch)
        block.scratch += slots;
    if (half == HALF_T) {
        block.init_count = 0;
        for (unsigned i = 0; i < h; i++)
            block.outs[i] = ROW_SCRATCH + whole->scratch * TILE_ROWS + i;
    } else if (half == HALF_B) {
        block.point ^= whole->g[level];
        memcpy(block.outs, whole->outs + h, h * sizeof(block.outs[0]));
        for (unsigned i = 0; i < block.init_count; i++)
            block.inits[i] += slots;
    }
    if (half != HALF_T && scratch)
        block.inits[block.init_count++] = whole->scratch;
    if (b->program->scratch_count < block.scratch)
        b->program->scratch_count = block.scratch;
    enum err e = build_block(b, &block);
    free(halves);
    return e;
}

static enum err build_block(struct builder *b, const struct block *block)
{
    bool open[256] = {false};
    struct term *terms = calloc(block->term_count + 256, sizeof(*terms));
    if (!terms)
        return ERR_NOMEM;
    unsigned count = block->term_count;
    for (unsigned i = 0; i < count; i++)
        terms[i] = block->terms[i];
    if (block->open) {
        memcpy(open, block->open, sizeof(open));
        count += terms_collect(b, block, open, terms + count);
    }
    enum err e;
    if (block->level == LEVEL_TILE) {
        e = build_tile(b, block, terms, count, block->open ? open : NULL);
    } else {
        bool scratch = count > 0;
        const bool *rest = block->open ? open : NULL;
        e = scratch ? build_half(b, block, terms, count, NULL, HALF_T, true) : ERR_OK;
        if (e == ERR_OK)
            e = build_half(b, block, terms, count, rest, HALF_A, scratch);
        if (e == ERR_OK)
            e = build_half(b, block, terms, count, rest, HALF_B, scratch);
    }
    free(terms);
    return e;
}

/* --- which rows go together */

/* Cosets of <g0, g1> among the sources. */
static unsigned count_cosets(const bool *sources, const uint8_t *g)
{
    unsigned count = 0;
    for (unsigned point = 0; point < 256; point++)
        count += all_open(sources, (uint8_t)point, g, LEVEL_TILE);
    return count / TILE_ROWS;
}

/* The best company for row `first`: rows first ^ g0, first ^ g1, and first ^ g0 ^ g1, which may be
   no row when `virtual` (its result is thrown away). False: not worth a quad tile. */
static bool find_company(const bool *rows, const bool *sources, unsigned source_count,
                         unsigned first, bool virtual, uint8_t *best)
{
    unsigned best_score = 0;
    for (unsigned second = first + 1; second < 256; second++) {
        for (unsigned third = second + 1; rows[second] && third < 256; third++) {
            uint8_t g[2] = {(uint8_t)(first ^ second), (uint8_t)(first ^ third)};
            if (!rows[third] || (!virtual && !rows[second ^ g[1]]))
                continue;
            unsigned score = count_cosets(sources, g);
            if (score > best_score) {
                best_score = score;
                memcpy(best, g, 2);
            }
            if (score >= source_count / TILE_ROWS)
                return score > 0;
        }
    }
    return best_score >= (virtual ? source_count / TILE_ROWS : 1) && best_score > 0;
}

static enum err build_rows(struct builder *b, const unsigned *number, bool *rows,
                           const bool *sources, uint8_t point, const uint8_t *g, unsigned level)
{
    struct block block = {.level = level, .point = point, .open = sources};
    memcpy(block.g, g, level);
    for (unsigned i = 0; i < 1u << level; i++) {
        uint8_t at = point ^ combine(g, i);
        block.outs[i] = rows[at] ? number[at] : ROW_NONE;
        rows[at] = false;
    }
    return build_block(b, &block);
}

static enum err build_rest(struct builder *b, const unsigned *number, const bool *rows,
                           const uint8_t *sources, unsigned source_count)
{
    struct step steps[255];
    struct program_tile t = {.tile = {.kind = TILE_DENSE}};
    enum err e = ERR_OK;
    for (unsigned i = 0; i < DENSE_ROWS; i++)
        t.outs[i] = ROW_NONE;
    for (unsigned point = 0, left = 256; e == ERR_OK && point < 256; point++) {
        left = 0;
        for (unsigned later = point + 1; later < 256; later++)
            left += rows[later];
        if (rows[point]) {
            for (unsigned j = 0; j < source_count; j++) {
                if (t.tile.rows == 0)
                    steps[j] =
                        (struct step){.kind = RUN_ONE, .sources = {(uint8_t)j}, .source_count = 1};
                steps[j].constants[steps[j].product_count++] =
                    gf256_inverse((uint8_t)point ^ sources[j]);
            }
            t.outs[t.tile.rows++] = number[point];
        }
        if (t.tile.rows == DENSE_ROWS || (t.tile.rows && left == 0)) {
            e = builder_tile(b, &t, steps, source_count);
            t.tile.rows = 0;
        }
    }
    return e;
}

static enum err build_cauchy(struct builder *b, const unsigned *number, bool *rows,
                             const bool *is_source, const uint8_t *sources, unsigned source_count)
{
    static const uint8_t aligned[LEVEL_MAX] = {1, 2, 4, 8};
    enum err e = ERR_OK;
    for (unsigned level = LEVEL_MAX; level >= LEVEL_TILE; level--)
        for (unsigned at = 0; e == ERR_OK && at < 256; at += 1u << level)
            if (all_open(rows, (uint8_t)at, aligned, level) && count_cosets(is_source, aligned))
                e = build_rows(b, number, rows, is_source, (uint8_t)at, aligned, level);
    for (unsigned pass = 0; pass < 2; pass++) {
        uint8_t g[2];
        for (unsigned at = 0; e == ERR_OK && at < 256; at++)
            if (rows[at] && find_company(rows, is_source, source_count, at, pass == 1, g))
                e = build_rows(b, number, rows, is_source, (uint8_t)at, g, LEVEL_TILE);
    }
    return e == ERR_OK ? build_rest(b, number, rows, sources, source_count) : e;
}

static struct program *program_alloc(const struct kernel *kernel, unsigned rows, unsigned sources)
{
    struct program *program = calloc(1, sizeof(*program));
    if (program) {
        program->kernel = kernel;
        program->row_count = rows;
        program->source_count = sources;
        program_set_block(program, kernels_cache_l1());
    }
    return program;
}

enum err program_new_cauchy(const struct kernel *kernel, const uint8_t *rows, unsigned row_count,
                            const uint8_t *sources, unsigned source_count, struct program **out)
{
    struct builder b = {.kernel = kernel,
                        .program = program_alloc(kernel, row_count, source_count)};
    unsigned number[256] = {0};
    bool is_row[256] = {false}, is_source[256] = {false};
    if (!b.program)
        return ERR_NOMEM;
    for (unsigned i = 0; i < row_count; i++) {
        number[rows[i]] = i;
        is_row[rows[i]] = true;
    }
    for (unsigned i = 0; i < source_count; i++) {
        b.number[sources[i]] = (uint8_t)i;
        is_source[sources[i]] = true;
    }
    enum err e = build_cauchy(&b, number, is_row, is_source, sources, source_count);
    if (e != ERR_OK) {
        program_free(b.program);
        return e;
    }
    *out = b.program;
    return ERR_OK;
}

enum err program_new_dense(const struct kernel *kernel, const uint8_t *matrix, unsigned row_count,
                           unsigned source_count, bool onto, struct program **out)
{
    struct builder b = {.kernel = kernel,
                        .program = program_alloc(kernel, row_count, source_count)};
    struct step steps[255];
    enum err e = b.program ? ERR_OK : ERR_NOMEM;
    if (b.program) {
        b.program->onto = onto;
        program_set_block(b.program, kernels_cache_l2());
    }
    for (unsigned row = 0; e == ERR_OK && row < row_count; row += DENSE_ROWS) {
        struct program_tile t = {.tile = {.kind = TILE_DENSE}};
        for (unsigned i = 0; i < DENSE_ROWS; i++)
            t.outs[i] = row + i < row_count ? row + i : ROW_NONE;
        t.tile.rows = row_count - row < DENSE_ROWS ? row_count - row : DENSE_ROWS;
        for (unsigned j = 0; j < source_count; j++) {
            steps[j] = (struct step){.kind = RUN_ONE, .sources = {(uint8_t)j}, .source_count = 1};
            for (unsigned i = 0; i < t.tile.rows; i++)
                steps[j].constants[i] = matrix[(row + i) * source_count + j];
            steps[j].product_count = (uint8_t)t.tile.rows;
        }
        e = builder_tile(&b, &t, steps, source_count);
    }
    if (e != ERR_OK) {
        program_free(b.program);
        return e;
    }
    *out = b.program;
    return ERR_OK;
}
