#include "erasure/program_internal.h"

#include "erasure/gf256.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * The Cauchy product as additive FFTs in the basis of Lin, Chung and Han ("Novel polynomial basis
 * and its application to Reed-Solomon erasure codes", 2014). For an aligned block B of 2^t source
 * points, P_B(x) = s_t(x) + s_t(b) vanishes on B, and Lagrange's formula says, for x outside of B,
 *
 *     sum over j in B of d_j / (x + j)  =  P_B' / P_B(x) * f(x),    f(j) = d_j of degree < 2^t.
 *
 * The inverse transform finds f's coefficients, a forward one its values on a coset C of rows,
 * where P_B is one constant; so a block costs two short transforms and a scaling. More than the
 * reference does: contributions of several source blocks to one block of rows are put on one scale
 * and added as coefficients, as high up as their degrees allow, so that each row block needs one
 * forward transform and one scaling whatever k is; and a block's coefficients are cut (pruned) to
 * the degree of the row block before that.
 */

enum { QUAD = 2, BLOCK_LEVEL_MAX = 5, BLOCKS_MAX = 64 };

struct block {
    unsigned base, level;
    bool open_top; /* its last inverse layer is left to TRANSFORM_MERGE */
};

struct builder {
    const struct kernel *kernel;
    struct program *program;
    unsigned capacity;
    bool source_quads[64], row_quads[64]; /* fours of points that are sources, or rows */
    uint8_t number[64];                   /* of the four's first source or row */
    unsigned slots;                       /* of sources: source number i has slot i */
    const uint8_t *factors;               /* by point, of sources and rows; NULL: none */
    struct block sources[BLOCKS_MAX];
    unsigned source_count;
    const struct block *main; /* the source block whose scale is used */
};

/* --- the polynomials */

/* s_level(x) = product over a < 2^level of (x + a): linear, and zero on the first 2^level points.
 */
static uint8_t vanishing(unsigned level, unsigned x)
{
    uint8_t product = 1;
    for (unsigned a = 0; a < 1u << level; a++)
        product = gf256_multiply(product, (uint8_t)(x ^ a));
    return product;
}

static uint8_t twiddle(unsigned level, unsigned base)
{
    return gf256_multiply(vanishing(level, base), gf256_inverse(vanishing(level, 1u << level)));
}

static uint8_t scale(const struct block *source, unsigned row)
{
    uint8_t derivative = 1;
    for (unsigned a = 1; a < 1u << source->level; a++)
        derivative = gf256_multiply(derivative, (uint8_t)a);
    uint8_t value = vanishing(source->level, row) ^ vanishing(source->level, source->base);
    return gf256_multiply(derivative, gf256_inverse(value));
}

/* --- operations */

static enum err emit(struct builder *b, struct transform_op op, const uint8_t *constants,
                     unsigned constant_count)
{
    struct program *p = b->program;
    uint8_t *tables = NULL;
    size_t size = b->kernel->table_size;
    if (p->op_count == b->capacity) {
        unsigned capacity = b->capacity ? 2 * b->capacity : 64;
        struct transform_op *ops = realloc(p->ops, capacity * sizeof(*ops));
        if (!ops)
            return ERR_NOMEM;
        p->ops = ops;
        b->capacity = capacity;
    }
    if (posix_memalign((void **)&tables, 64, constant_count * size + 64) != 0)
        return ERR_NOMEM;
    for (unsigned i = 0; i < constant_count; i++)
        b->kernel->table(constants[i], tables + i * size);
    op.tables = tables;
    p->ops[p->op_count++] = op;
    static const uint8_t products[] = {
        [TRANSFORM_SOURCE4] = 4,      [TRANSFORM_SOURCE4_ZERO] = 1, [TRANSFORM_INVERSE] = 1,
        [TRANSFORM_FORWARD] = 1,      [TRANSFORM_ADD] = 1,          [TRANSFORM_MERGE] = 1,
        [TRANSFORM_ROWS4] = 8,        [TRANSFORM_16_TO_8] = 45,     [TRANSFORM_SOURCE4_SCALED] = 8,
        [TRANSFORM_ROWS4_SCALED] = 8,
    };
    p->products += products[op.kind] * (op.count ? op.count : 1);
    return ERR_OK;
}

static enum err emit_layer(struct builder *b, enum transform_kind kind, unsigned a, unsigned other,
                           unsigned to, unsigned count, uint8_t w)
{
    struct transform_op op = {.kind = kind, .a = a, .b = other, .to = to, .count = count};
    unsigned end = to + (kind == TRANSFORM_FORWARD ? 2 * count : count);
    if (end > b->program->slot_count)
        b->program->slot_count = end;
    assert(end <= TRANSFORM_SLOTS_MAX);
    return emit(b, op, &w, 1);
}

/* --- sources to coefficients; source i has slot i */

static unsigned slot_of(const struct builder *b, unsigned point)
{
    return b->number[point / 4] + point % 4;
}

static enum err build_source4(struct builder *b, unsigned at)
{
    unsigned number = slot_of(b, at), count = 0;
    struct transform_op op = {.kind = TRANSFORM_SOURCE4, .a = number, .to = number};
    uint8_t w[7];
    if (at == 0 && !b->factors) {
        op.kind = TRANSFORM_SOURCE4_ZERO;
        w[0] = twiddle(0, 2);
        return emit(b, op, w, 1);
    }
    for (; b->factors && count < 4; count++)
        w[count] = b->factors[at + count];
    if (b->factors)
        op.kind = TRANSFORM_SOURCE4_SCALED;
    w[count++] = twiddle(0, at);
    w[count++] = twiddle(0, at + 2);
    w[count++] = twiddle(1, at);
    return emit(b, op, w, count);
}

static enum err build_inverse(struct builder *b, const struct block *block)
{
    enum err e = ERR_OK;
    unsigned end = block->base + (1u << block->level);
    for (unsigned at = block->base; e == ERR_OK && at < end; at += 4)
        e = build_source4(b, at);
    for (unsigned level = QUAD; level + block->open_top < block->level; level++) {
        unsigned half = 1u << level;
        for (unsigned at = block->base; e == ERR_OK && at < end; at += 2 * half) {
            uint8_t w = twiddle(level, at);
            unsigned slot = slot_of(b, at);
            e = emit_layer(b, w ? TRANSFORM_INVERSE : TRANSFORM_INVERSE_ZERO, slot, slot + half,
                           slot, half, w);
        }
    }
    return e;
}

/* --- coefficients to rows */

/* Cuts a block's coefficients to those of degree < 2^level on the coset of `row`. `*slot` says
   where they are then: where they were, or at `*free`, which moves on. */
static enum err build_prune(struct builder *b, const struct block *source, unsigned level,
                            unsigned row, unsigned *slot, unsigned *free)
{
    enum err e = ERR_OK;
    *slot = slot_of(b, source->base);
    for (unsigned i = source->level; e == ERR_OK && i-- > level;) {
        unsigned half = 1u << i, to = *free;
        bool merge = source->open_top && i + 1 == source->level;
        e = emit_layer(b, merge ? TRANSFORM_MERGE : TRANSFORM_ADD, *slot, *slot + half, to, half,
                       twiddle(i, merge ? row ^ source->base : row));
        *slot = to;
    }
    if (*slot == *free)
        *free += 1u << level;
    return e;
}

/* Adds what source blocks of this node's degree (at the top: or more) give, on the main scale. */
static enum err build_others(struct builder *b, unsigned row, unsigned level, bool top,
                             unsigned *slot, unsigned *free)
{
    enum err e = ERR_OK;
    for (unsigned i = 0; e == ERR_OK && i < b->source_count; i++) {
        const struct block *source = &b->sources[i];
        if (source == b->main || (top ? source->level < level : source->level != level))
            continue;
        unsigned with, to = *slot;
        if (*slot < b->slots) { /* a source block's own coefficients are needed again */
            to = *free;
            *free += 1u << level;
        }
        unsigned cut = *free;
        e = build_prune(b, source, level, row, &with, &cut);
        uint8_t ratio = gf256_multiply(scale(source, row), gf256_inverse(scale(b->main, row)));
        if (e == ERR_OK)
            e = emit_layer(b, TRANSFORM_ADD, *slot, with, to, 1u << level, ratio);
        *slot = to;
    }
    return e;
}

static void rows4_constants(const struct builder *b, unsigned row, uint8_t constants[4])
{
    uint8_t s = scale(b->main, row);
    constants[0] = twiddle(1, row);
    constants[1] = s;
    constants[2] = gf256_multiply(s, twiddle(0, row));
    constants[3] = gf256_multiply(s, twiddle(0, row + 2));
}

/* 16 sources and at most 8 rows, the size that most segments have: one operation. */
static enum err build_16_to_8(struct builder *b)
{
    uint8_t w[21], *next = w;
    unsigned row = 16;
    b->sources[0] = (struct block){.base = 0, .level = 4};
    b->main = b->sources;
    b->program->slot_count = 24;
    *next++ = twiddle(0, 2);
    for (unsigned at = 4; at < 16; at += 4) {
        *next++ = twiddle(0, at);
        *next++ = twiddle(0, at + 2);
        *next++ = twiddle(1, at);
    }
    *next++ = twiddle(2, 8);
    *next++ = twiddle(3, row);
    *next++ = twiddle(2, row);
    rows4_constants(b, row, next);
    rows4_constants(b, row + 4, next + 4);
    return emit(b, (struct transform_op){.kind = TRANSFORM_16_TO_8}, w, sizeof(w));
}

static enum err build_rows4(struct builder *b, unsigned row, unsigned slot)
{
    uint8_t constants[7];
    struct transform_op op = {.kind = TRANSFORM_ROWS4, .a = slot, .to = b->number[row / 4]};
    if (!b->factors) {
        rows4_constants(b, row, constants);
        return emit(b, op, constants, 4);
    }
    op.kind = TRANSFORM_ROWS4_SCALED;
    constants[0] = twiddle(1, row);
    constants[1] = twiddle(0, row);
    constants[2] = twiddle(0, row + 2);
    for (unsigned i = 0; i < 4; i++)
        constants[3 + i] = gf256_multiply(scale(b->main, row), b->factors[row + i]);
    return emit(b, op, constants, 7);
}

static enum err build_node(struct builder *b, unsigned row, unsigned level, bool top, unsigned slot,
                           unsigned free)
{
    enum err e = build_others(b, row, level, top, &slot, &free);
    if (e != ERR_OK)
        return e;
    if (level == QUAD)
        return build_rows4(b, row, slot);
    unsigned half = 1u << (level - 1);
    e = emit_layer(b, TRANSFORM_FORWARD, slot, slot + half, free, half, twiddle(level - 1, row));
    if (e == ERR_OK)
        e = build_node(b, row, level - 1, false, free, free + 2 * half);
    if (e == ERR_OK)
        e = build_node(b, row + half, level - 1, false, free + half, free + 2 * half);
    return e;
}

static bool is_block(const bool *quads, unsigned low, unsigned level)
{
    unsigned end = low + (1u << level);
    bool used = low % (1u << level) == 0 && end <= 256;
    for (unsigned at = low; used && at < end; at += 4)
        used = quads[at / 4];
    return used;
}

/* The largest aligned blocks of fours. */
static unsigned cut_blocks(const bool *quads, unsigned level_max, struct block *out)
{
    unsigned count = 0;
    for (unsigned at = 0; at < 256;) {
        unsigned level = level_max;
        if (!quads[at / 4]) {
            at += 4;
            continue;
        }
        while (!is_block(quads, at, level))
            level--;
        out[count++] = (struct block){.base = at, .level = level};
        at += 1u << level;
    }
    return count;
}

static enum err build_all(struct builder *b)
{
    struct block rows[BLOCKS_MAX];
    enum err e = ERR_OK;
    b->source_count = cut_blocks(b->source_quads, BLOCK_LEVEL_MAX, b->sources);
    b->main = b->sources;
    for (unsigned i = 1; i < b->source_count; i++)
        if (b->sources[i].level > b->main->level)
            b->main = &b->sources[i];
    unsigned row_count = cut_blocks(b->row_quads, b->main->level, rows);
    b->program->slot_count = b->slots;
    for (unsigned i = 0; e == ERR_OK && i < b->source_count; i++) {
        b->sources[i].open_top =
            row_count == 1 && b->sources[i].level > QUAD && b->sources[i].level > rows[0].level;
        e = build_inverse(b, &b->sources[i]);
    }
    for (unsigned i = 0; e == ERR_OK && i < row_count; i++) {
        unsigned slot, free = b->slots;
        e = build_prune(b, b->main, rows[i].level, rows[i].base, &slot, &free);
        if (e == ERR_OK)
            e = build_node(b, rows[i].base, rows[i].level, true, slot, free);
    }
    return e;
}

bool transform_build_pays(unsigned k, unsigned m)
{
    return k % 4 == 0 && k + m <= 252 && (m > TILE_ROWS || (k == 4 && m > 2));
}

static enum err builder_start(struct builder *b, const struct kernel *kernel, unsigned k,
                              unsigned m)
{
    *b = (struct builder){.kernel = kernel, .slots = k};
    b->program = calloc(1, sizeof(*b->program));
    if (!b->program)
        return ERR_NOMEM;
    b->program->kernel = kernel;
    b->program->source_count = k;
    b->program->row_count = m;
    program_set_block(b->program, kernels_cache_l1());
    return ERR_OK;
}

static enum err builder_finish(struct builder *b, enum err e, struct program **out)
{
    if (e == ERR_OK)
        *out = b->program;
    else
        program_free(b->program);
    return e;
}

/* `have` and `want` NULL: all. */
static enum err build(const struct kernel *kernel, unsigned k, unsigned m, const bool *have,
                      const bool *want, struct program **out)
{
    struct builder b;
    enum err e = builder_start(&b, kernel, k, m);
    if (e != ERR_OK)
        return e;
    bool whole = true;
    for (unsigned i = 0; i < k + m; i++) {
        if (i < k && (!have || have[i]))
            b.source_quads[i / 4] = true;
        if (i >= k && (!want || want[i - k]))
            b.row_quads[i / 4] = true;
    }
    for (unsigned i = 0; i < k + m; i += 4) {
        b.number[i / 4] = (uint8_t)(i < k ? i : i - k);
        whole = whole && (b.source_quads[i / 4] || b.row_quads[i / 4]);
    }
    e = whole && k == 16 && m > 4 && m <= 8 ? build_16_to_8(&b) : build_all(&b);
    return builder_finish(&b, e, out);
}

enum err transform_build_new(const struct kernel *kernel, unsigned k, unsigned m,
                             struct program **out)
{
    return build(kernel, k, m, NULL, NULL, out);
}

/* Absent fours can be left out or taken for zeros, which keeps the others in larger blocks. */
enum err transform_build_part(const struct kernel *kernel, unsigned k, unsigned m, const bool *have,
                              const bool *want, struct program **out)
{
    struct program *zeros, *left_out;
    enum err e = build(kernel, k, m, NULL, want, &zeros);
    if (e != ERR_OK)
        return e;
    e = build(kernel, k, m, have, want, &left_out);
    if (e != ERR_OK) {
        program_free(zeros);
        return e;
    }
    bool better = left_out->products < zeros->products;
    program_free(better ? zeros : left_out);
    *out = better ? left_out : zeros;
    return ERR_OK;
}

/* Whether they are, in this order, whole aligned fours. */
static bool are_fours(const uint8_t *points, unsigned count)
{
    bool fours = count % 4 == 0;
    for (unsigned i = 0; fours && i < count; i++)
        fours = points[i] % 4 == i % 4 && points[i] == points[i / 4 * 4] + i % 4;
    return fours;
}

/* product of (point + others[i]) over those that are not the point itself */
static uint8_t distances(uint8_t point, const uint8_t *others, unsigned count)
{
    uint8_t product = 1;
    for (unsigned i = 0; i < count; i++)
        if (others[i] != point)
            product = gf256_multiply(product, point ^ others[i]);
    return product;
}

bool transform_build_can_solve(const uint8_t *sources, const uint8_t *rows, unsigned count)
{
    return are_fours(sources, count) && are_fours(rows, count) && count > 0;
}

/* The inverse of a Cauchy matrix is one too, of the same points, with rows and columns scaled. */
enum err transform_build_solver(const struct kernel *kernel, const uint8_t *sources,
                                const uint8_t *rows, unsigned count, struct program **out)
{
    struct builder b;
    uint8_t factors[256] = {0};
    enum err e = builder_start(&b, kernel, count, count);
    if (e != ERR_OK)
        return e;
    b.factors = factors;
    for (unsigned i = 0; i < count; i++) {
        uint8_t s = sources[i], r = rows[i];
        factors[s] =
            gf256_multiply(distances(s, rows, count), gf256_inverse(distances(s, sources, count)));
        factors[r] =
            gf256_multiply(distances(r, sources, count), gf256_inverse(distances(r, rows, count)));
        b.source_quads[s / 4] = b.row_quads[r / 4] = true;
        b.number[s / 4] = b.number[r / 4] = (uint8_t)(i / 4 * 4);
    }
    return builder_finish(&b, build_all(&b), out);
}
