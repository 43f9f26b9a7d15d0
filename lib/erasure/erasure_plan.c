#include "erasure/erasure_internal.h"

#include "erasure/gf256.h"
#include "erasure/solve.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/*
 * Three ways (erasure_internal.h), whichever is least work: all lost shards in one dense product;
 * the lost data alone in it, and lost parity from the data again by an encoder, whose programs have
 * structure; or all from the syndromes of what is there.
 */
struct erasure_plan {
    atomic_uint references;
    const struct erasure *code;
    unsigned k;
    struct erasure_set sources, targets;
    uint8_t from[LIMIT_SHARDS]; /* source number -> shard */
    uint8_t to[LIMIT_SHARDS];   /* row -> shard */
    unsigned target_count;
    unsigned dense_count;    /* the first targets, which the product makes; the encoder the rest */
    struct program *program; /* owned; NULL: nothing to do for it */
    struct program *transform; /* owned; makes lost parity alone; NULL: code's programs do */
    struct solve *solve;       /* owned; NULL: another way; else it makes all */
};

static bool set_equal(const struct erasure_set *a, const struct erasure_set *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* Data first: a row that is 1 in one place costs nothing to invert. */
static unsigned pick_sources(const struct erasure *code, const struct erasure_set *present,
                             struct erasure_plan *plan)
{
    unsigned count = 0;
    for (unsigned i = 0; i < code->k + code->m && count < code->k; i++) {
        if (!erasure_set_has(present, i))
            continue;
        erasure_set_add(&plan->sources, i);
        plan->from[count++] = (uint8_t)i;
    }
    return count;
}

/* Row `shard` of the generator: the identity, then the Cauchy matrix. */
static void generator_row(const struct erasure *code, unsigned shard, uint8_t *row)
{
    for (unsigned j = 0; j < code->k; j++)
        row[j] = shard < code->k ? shard == j : erasure_coefficient(code, shard - code->k, j);
}

static void target_row(const struct erasure *code, unsigned shard, const uint8_t *inverse,
                       uint8_t *row)
{
    uint8_t generator[LIMIT_SHARDS];
    generator_row(code, shard, generator);
    memset(row, 0, code->k);
    for (unsigned j = 0; j < code->k; j++)
        if (generator[j])
            gf256_row_add(row, &inverse[j * code->k], code->k, generator[j]);
}

unsigned erasure_dense_work(unsigned sources, unsigned rows)
{
    return (20 + 3 * sources) * ((rows + DENSE_ROWS - 1) / DENSE_ROWS) + 4 * sources * rows;
}

unsigned erasure_transform_work(const struct program *transform)
{
    return 8 * program_products(transform);
}

/* Lost parity from all data: a transform of its rows alone, or tiles, of which a product comes with
   some 6 operations. */
static enum err plan_encoder(struct erasure_plan *plan, unsigned *work)
{
    const struct erasure *code = plan->code;
    bool want[LIMIT_SHARDS] = {false};
    *work = 6 * program_products(code->tiles);
    if (!code->transform)
        return ERR_OK;
    for (unsigned i = 0; i < code->m; i++)
        want[i] = erasure_set_has(&plan->targets, plan->k + i);
    enum err e = transform_build_part(code->kernel, plan->k, code->m, NULL, want, &plan->transform);
    if (e != ERR_OK)
        return e;
    if (erasure_transform_work(plan->transform) < *work) {
        *work = erasure_transform_work(plan->transform);
    } else {
        program_free(plan->transform);
        plan->transform = NULL;
    }
    return ERR_OK;
}

/* All data from parity that fills aligned fours: by a transform, if that is less work. */
static enum err plan_solver(struct erasure_plan *plan, unsigned *work)
{
    if (!plan->code->transform || !transform_build_can_solve(plan->from, plan->to, plan->k))
        return ERR_OK;
    enum err e =
        transform_build_solver(plan->code->kernel, plan->from, plan->to, plan->k, &plan->program);
    if (e != ERR_OK)
        return e;
    if (erasure_transform_work(plan->program) < *work) {
        *work = erasure_transform_work(plan->program);
    } else {
        program_free(plan->program);
        plan->program = NULL;
    }
    return ERR_OK;
}

static enum err plan_choose(struct erasure_plan *plan)
{
    unsigned data_lost = 0, data_there = 0, encoding = 0;
    for (unsigned i = 0; i < plan->k; i++) {
        data_lost += erasure_set_has(&plan->targets, i);
        data_there += erasure_set_has(&plan->sources, i);
    }
    enum erasure_way way = plan->code->way;
    unsigned work = erasure_dense_work(plan->k, plan->target_count);
    unsigned data_work = erasure_dense_work(plan->k, data_lost);
    enum err e = ERR_OK;
    plan->dense_count = plan->target_count;
    if (data_lost == plan->k && way != WAY_DENSE)
        e = plan_solver(plan, &data_work);
    bool parity_lost = plan->target_count > data_lost;
    bool can = data_lost + data_there == plan->k && (parity_lost || plan->program);
    if (e == ERR_OK && can && parity_lost)
        e = plan_encoder(plan, &encoding);
    encoding += data_work;
    if (can && (way == WAY_ENCODE || (way != WAY_DENSE && encoding < work))) {
        plan->dense_count = data_lost;
        work = encoding;
    } else {
        program_free(plan->program);
        plan->program = NULL;
    }
    if (e != ERR_OK || (way != WAY_BEST && way != WAY_SOLVE))
        return e;
    struct solve_shards shards = {&plan->sources, &plan->targets};
    e = solve_new(plan->code, &shards, &plan->solve);
    if (e == ERR_OK && way == WAY_BEST && plan->solve && solve_work(plan->solve) >= work) {
        solve_free(plan->solve);
        plan->solve = NULL;
    }
    return e;
}

static enum err plan_compile(const struct erasure *code, struct erasure_plan *plan)
{
    unsigned k = code->k;
    enum err e = plan_choose(plan);
    if (e != ERR_OK || plan->dense_count == 0 || plan->solve || plan->program)
        return e;
    uint8_t *space = malloc((size_t)k * k * 2 + (size_t)plan->dense_count * k);
    if (!space)
        return ERR_NOMEM;
    uint8_t *matrix = space, *inverse = space + k * k, *rows = space + 2 * k * k;
    for (unsigned i = 0; i < k; i++)
        generator_row(code, plan->from[i], &matrix[i * k]);
    if (!gf256_invert(matrix, inverse, k)) { /* cannot be: every square part of it has an inverse */
        e = ERR_INCONSISTENT;
        goto done;
    }
    for (unsigned i = 0; i < plan->dense_count; i++)
        target_row(code, plan->to[i], inverse, &rows[i * k]);
    e = program_new_dense(code->kernel, rows, plan->dense_count, k, false, &plan->program);
done:
    free(space);
    return e;
}

static struct erasure_plan *cache_take(struct erasure *code, const struct erasure_plan *like)
{
    struct erasure_plan *found = NULL;
    pthread_mutex_lock(&code->lock);
    for (unsigned i = 0; i < PLAN_CACHE && code->plans[i] && !found; i++) {
        struct erasure_plan *plan = code->plans[i];
        if (!set_equal(&plan->sources, &like->sources) ||
            !set_equal(&plan->targets, &like->targets))
            continue;
        memmove(&code->plans[1], &code->plans[0], i * sizeof(code->plans[0]));
        code->plans[0] = found = plan;
        atomic_fetch_add(&found->references, 1);
    }
    pthread_mutex_unlock(&code->lock);
    return found;
}

static void cache_put(struct erasure *code, struct erasure_plan *plan)
{
    atomic_fetch_add(&plan->references, 1);
    pthread_mutex_lock(&code->lock);
    struct erasure_plan *oldest = code->plans[PLAN_CACHE - 1];
    memmove(&code->plans[1], &code->plans[0], (PLAN_CACHE - 1) * sizeof(code->plans[0]));
    code->plans[0] = plan;
    pthread_mutex_unlock(&code->lock);
    erasure_plan_free(oldest);
}

enum err erasure_plan_new(struct erasure *code, const struct erasure_set *present,
                          const struct erasure_set *wanted, struct erasure_plan **out,
                          struct errmsg *msg)
{
    for (unsigned i = code->k + code->m; i < 256; i++)
        if (erasure_set_has(present, i) || erasure_set_has(wanted, i))
            return err_say(msg, ERR_USAGE, "a %u+%u code has no shard %u", code->k, code->m, i);
    struct erasure_plan *plan = calloc(1, sizeof(*plan));
    if (!plan)
        return err_say(msg, ERR_NOMEM, "no memory for a plan of reconstruction");
    atomic_init(&plan->references, 1);
    plan->code = code;
    plan->k = code->k;
    for (unsigned i = 0; i < code->k + code->m; i++) {
        if (erasure_set_has(wanted, i) && !erasure_set_has(present, i)) {
            erasure_set_add(&plan->targets, i);
            plan->to[plan->target_count++] = (uint8_t)i;
        }
    }
    enum err e = ERR_OK;
    if (plan->target_count) {
        if (pick_sources(code, present, plan) < code->k) {
            e = err_say(msg, ERR_NOT_ENOUGH, "%u shards are here and it takes %u to make others",
                        erasure_set_count(present), code->k);
            goto fail;
        }
        struct erasure_plan *known = cache_take(code, plan);
        if (known) {
            erasure_plan_free(plan);
            *out = known;
            return ERR_OK;
        }
        e = plan_compile(code, plan);
        if (e != ERR_OK) {
            err_say(msg, e, "cannot make a plan of reconstruction: %s", err_words(e));
            goto fail;
        }
        cache_put(code, plan);
    }
    *out = plan;
    return ERR_OK;
fail:
    erasure_plan_free(plan);
    return e;
}

void erasure_plan_free(struct erasure_plan *plan)
{
    if (!plan || atomic_fetch_sub(&plan->references, 1) != 1)
        return;
    program_free(plan->program);
    program_free(plan->transform);
    solve_free(plan->solve);
    free(plan);
}

struct erasure_set erasure_plan_sources(const struct erasure_plan *plan)
{
    return plan->sources;
}

struct erasure_set erasure_plan_targets(const struct erasure_plan *plan)
{
    return plan->targets;
}

/* The encoder's share, from data that is there by now. */
static void run_encoder(const struct erasure_plan *plan, uint8_t *const shards[], size_t offset,
                        size_t size, size_t of_size)
{
    uint8_t *parity[LIMIT_SHARDS] = {NULL};
    for (unsigned i = plan->dense_count; i < plan->target_count; i++)
        parity[plan->to[i] - plan->k] = shards[plan->to[i]];
    program_run(plan->transform ? plan->transform : plan->code->tiles,
                (const uint8_t *const *)shards, parity, offset, size, of_size);
}

void erasure_plan_run_range(const struct erasure_plan *plan, uint8_t *const shards[], size_t offset,
                            size_t size)
{
    const uint8_t *from[LIMIT_SHARDS];
    uint8_t *to[LIMIT_SHARDS];
    if (plan->solve) {
        solve_run(plan->solve, shards, offset, size, size);
        return;
    }
    bool both = plan->program && plan->dense_count < plan->target_count;
    size_t block = both ? erasure_block(plan->code) : size; /* the encoder finds it in a cache */
    for (unsigned i = 0; i < plan->k; i++)
        from[i] = shards[plan->from[i]];
    for (unsigned i = 0; i < plan->dense_count; i++)
        to[i] = shards[plan->to[i]];
    for (size_t done = 0; done < size && plan->target_count; done += block) {
        size_t count = size - done < block ? size - done : block;
        if (plan->program)
            program_run(plan->program, from, to, offset + done, count, both ? count : size);
        if (plan->dense_count < plan->target_count)
            run_encoder(plan, shards, offset + done, count, size);
    }
}

void erasure_plan_run(const struct erasure_plan *plan, uint8_t *const shards[], size_t size)
{
    erasure_plan_run_range(plan, shards, 0, size);
}
