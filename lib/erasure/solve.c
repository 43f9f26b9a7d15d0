#include "erasure/solve.h"

#include "erasure/gf256.h"

#include <stdlib.h>
#include <string.h>

enum {
    SPACE = 16384, /* of syndromes: half of the first-level cache, they are read at once again */
    BLOCK_MIN = 256,
    BLOCK_MAX = 1024,
    FAR_MIN = 8 << 20, /* bytes that are worked on together and then come from memory */
};

struct solve {
    unsigned k, m, lost_count, data_count, parity_count;
    struct erasure_set present;   /* sources among the data */
    uint8_t rows[SOLVE_LOST_MAX]; /* of parity that are read; syndrome i is that of rows[i] */
    uint8_t data[SOLVE_LOST_MAX]; /* shards made by `solver`, row by row */
    uint8_t parity[LIMIT_SHARDS]; /* rows of parity made by `onto` */
    struct program *sums;         /* owned; the transform of what is there */
    struct program *solver;       /* owned; syndromes to lost data; NULL: none wanted */
    struct program *onto;         /* owned; syndromes to what sums lack; NULL: none wanted */
    unsigned solver_work, work;
};

void solve_free(struct solve *solve)
{
    if (!solve)
        return;
    program_free(solve->sums);
    program_free(solve->solver);
    program_free(solve->onto);
    free(solve);
}

unsigned solve_work(const struct solve *solve)
{
    return solve->work;
}

/* Constants of the rows that are read (or made) against the lost data. */
static void lost_matrix(const struct erasure *code, const uint8_t *rows, unsigned row_count,
                        const uint8_t *lost, unsigned lost_count, uint8_t *out)
{
    for (unsigned i = 0; i < row_count; i++)
        for (unsigned j = 0; j < lost_count; j++)
            out[i * lost_count + j] = erasure_coefficient(code, rows[i], lost[j]);
}

struct work {
    uint8_t lost[SOLVE_LOST_MAX];
    uint8_t matrix[SOLVE_LOST_MAX * SOLVE_LOST_MAX], inverse[SOLVE_LOST_MAX * SOLVE_LOST_MAX];
    uint8_t wanted[SOLVE_LOST_MAX * SOLVE_LOST_MAX];
    uint8_t parity[LIMIT_SHARDS * SOLVE_LOST_MAX], product[LIMIT_SHARDS * SOLVE_LOST_MAX];
};

/* Lost shards and rows that fill aligned fours are solved by a transform, if that is less work. */
static enum err build_structured(const struct erasure *code, struct solve *s, const struct work *w)
{
    uint8_t points[SOLVE_LOST_MAX];
    struct program *program;
    for (unsigned i = 0; i < s->lost_count; i++)
        points[i] = (uint8_t)(s->k + s->rows[i]);
    if (!transform_build_can_solve(points, w->lost, s->lost_count))
        return ERR_OK;
    enum err e = transform_build_solver(code->kernel, points, w->lost, s->lost_count, &program);
    if (e != ERR_OK)
        return e;
    unsigned work = erasure_transform_work(program);
    if (work >= s->solver_work && code->way == WAY_BEST) {
        program_free(program);
        return ERR_OK;
    }
    s->solver = program;
    s->solver_work = work;
    return ERR_OK;
}

static enum err build_solver(const struct erasure *code, struct solve *s, const bool *wanted,
                             struct work *w)
{
    unsigned n = s->lost_count;
    enum err e = ERR_OK;
    lost_matrix(code, s->rows, n, w->lost, n, w->matrix);
    if (!gf256_invert(w->matrix, w->inverse, n)) /* cannot be: a square part of a Cauchy matrix */
        return ERR_INCONSISTENT;
    for (unsigned i = 0; i < n; i++) {
        if (!wanted[w->lost[i]])
            continue;
        memcpy(w->wanted + s->data_count * n, w->inverse + i * n, n);
        s->data[s->data_count++] = w->lost[i];
    }
    s->solver_work = erasure_dense_work(n, s->data_count);
    if (s->data_count == n)
        e = build_structured(code, s, w);
    if (e == ERR_OK && s->data_count && !s->solver)
        e = program_new_dense(code->kernel, w->wanted, s->data_count, n, false, &s->solver);
    if (e != ERR_OK || s->parity_count == 0)
        return e;
    lost_matrix(code, s->parity, s->parity_count, w->lost, n, w->parity);
    memset(w->product, 0, sizeof(w->product));
    for (unsigned i = 0; i < s->parity_count; i++)
        for (unsigned j = 0; j < n; j++)
            gf256_row_add(w->product + i * n, w->inverse + j * n, n, w->parity[i * n + j]);
    return program_new_dense(code->kernel, w->product, s->parity_count, n, true, &s->onto);
}

static enum err build_all(const struct erasure *code, struct solve *s,
                          const struct solve_shards *shards)
{
    bool have[LIMIT_SHARDS] = {false}, used[LIMIT_SHARDS] = {false}, wanted[LIMIT_SHARDS] = {false};
    struct work *w = malloc(sizeof(*w));
    if (!w)
        return ERR_NOMEM;
    unsigned lost_count = 0, row_count = 0;
    for (unsigned i = 0; i < s->k; i++) {
        have[i] = erasure_set_has(shards->sources, i);
        wanted[i] = erasure_set_has(shards->targets, i);
        if (have[i])
            erasure_set_add(&s->present, i);
        else
            w->lost[lost_count++] = (uint8_t)i;
    }
    for (unsigned i = 0; i < s->m; i++) {
        used[i] = true;
        if (erasure_set_has(shards->sources, s->k + i))
            s->rows[row_count++] = (uint8_t)i;
        else if (erasure_set_has(shards->targets, s->k + i))
            s->parity[s->parity_count++] = (uint8_t)i;
        else
            used[i] = false;
    }
    enum err e = transform_build_part(code->kernel, s->k, s->m, have, used, &s->sums);
    if (e == ERR_OK)
        e = build_solver(code, s, wanted, w);
    free(w);
    return e;
}

enum err solve_new(const struct erasure *code, const struct solve_shards *shards,
                   struct solve **out)
{
    unsigned there = 0;
    *out = NULL;
    for (unsigned i = 0; i < code->k; i++)
        there += erasure_set_has(shards->sources, i);
    if (!code->transform || there == 0 || there == code->k || code->k - there > SOLVE_LOST_MAX)
        return ERR_OK;
    struct solve *s = calloc(1, sizeof(*s));
    if (!s)
        return ERR_NOMEM;
    s->k = code->k;
    s->m = code->m;
    s->lost_count = code->k - there;
    enum err e = build_all(code, s, shards);
    if (e != ERR_OK) {
        solve_free(s);
        return e;
    }
    s->work = erasure_transform_work(s->sums) + 6 * s->lost_count + s->solver_work +
              erasure_dense_work(s->lost_count, s->parity_count);
    *out = s;
    return ERR_OK;
}

/* One block of columns; `after` bytes follow it. */
static void run_block(const struct solve *s, uint8_t *const shards[], size_t offset, size_t size,
                      size_t after, size_t of_size, uint8_t *space)
{
    const uint8_t *from[LIMIT_SHARDS], *adds[LIMIT_SHARDS], *syndromes[SOLVE_LOST_MAX];
    uint8_t *sums[LIMIT_SHARDS], *data[SOLVE_LOST_MAX], *parity[LIMIT_SHARDS];
    for (unsigned i = 0; i < s->k; i++)
        from[i] = erasure_set_has(&s->present, i) ? shards[i] + offset : NULL;
    for (unsigned i = 0; i < s->m; i++) {
        sums[i] = NULL;
        adds[i] = NULL;
    }
    for (unsigned i = 0; i < s->lost_count; i++) {
        syndromes[i] = sums[s->rows[i]] = space + i * size;
        adds[s->rows[i]] = shards[s->k + s->rows[i]] + offset;
    }
    for (unsigned i = 0; i < s->parity_count; i++)
        parity[i] = sums[s->parity[i]] = shards[s->k + s->parity[i]] + offset;
    for (unsigned i = 0; i < s->data_count; i++)
        data[i] = shards[s->data[i]] + offset;
    program_run_add(s->sums, from, sums, adds, size, after);
    if (s->solver)
        program_run(s->solver, syndromes, data, 0, size, of_size);
    if (s->onto)
        program_run(s->onto, syndromes, parity, 0, size, size);
}

/* Fewer columns than a kernel takes: through buffers. */
static void run_narrow(const struct solve *s, uint8_t *const shards[], size_t offset, size_t size,
                       uint8_t *space)
{
    uint8_t columns[LIMIT_SHARDS][KERNEL_COLUMN] = {{0}}, *at[LIMIT_SHARDS];
    for (unsigned i = 0; i < s->k + s->m; i++)
        at[i] = columns[i];
    for (unsigned i = 0; i < s->k; i++)
        if (erasure_set_has(&s->present, i))
            memcpy(at[i], shards[i] + offset, size);
    for (unsigned i = 0; i < s->lost_count; i++)
        memcpy(at[s->k + s->rows[i]], shards[s->k + s->rows[i]] + offset, size);
    run_block(s, at, 0, KERNEL_COLUMN, 0, KERNEL_COLUMN, space);
    for (unsigned i = 0; i < s->data_count; i++)
        memcpy(shards[s->data[i]] + offset, at[s->data[i]], size);
    for (unsigned i = 0; i < s->parity_count; i++)
        memcpy(shards[s->k + s->parity[i]] + offset, at[s->k + s->parity[i]], size);
}

void solve_run(const struct solve *solve, uint8_t *const shards[], size_t offset, size_t size,
               size_t of_size)
{
    uint8_t space[SPACE] __attribute__((aligned(64)));
    size_t whole = size & ~(size_t)(KERNEL_COLUMN - 1);
    size_t block = SPACE / solve->lost_count & ~(size_t)(BLOCK_MIN - 1);
    bool far = of_size * (solve->k + solve->m) >= FAR_MIN;
    if (block > BLOCK_MAX)
        block = BLOCK_MAX;
    if (size == 0)
        return;
    if (whole == 0) {
        run_narrow(solve, shards, offset, size, space);
        return;
    }
    for (size_t done = 0; done < whole; done += block) {
        size_t count = whole - done < block ? whole - done : block;
        size_t after = far ? whole - done - count : 0;
        run_block(solve, shards, offset + done, count, after, of_size, space);
    }
    if (whole < size) /* the last column again, shifted to the end */
        run_block(solve, shards, offset + size - KERNEL_COLUMN, KERNEL_COLUMN, 0, KERNEL_COLUMN,
                  space);
}
