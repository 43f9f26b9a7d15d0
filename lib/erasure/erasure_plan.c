#include "erasure/erasure_internal.h"

#include "erasure/gf256.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/*
 * The lost data shards come first, by a dense program. Lost parity is made in the same program, or,
 * where that is less work, from the data again by the encoder, whose programs have structure.
 */
struct erasure_plan {
    atomic_uint references;
    const struct erasure *code;
    unsigned k;
    struct erasure_set sources, targets;
    uint8_t from[LIMIT_SHARDS]; /* source number -> shard */
    uint8_t to[LIMIT_SHARDS];   /* row -> shard */
    unsigned target_count;
    unsigned dense_count;    /* the first targets, which the program makes; the encoder the rest */
    struct program *program; /* owned; NULL: nothing to do for it */
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

/* Vector operations for a column: a source is split once for a tile, then 4 a product. */
static unsigned dense_work(unsigned k, unsigned rows)
{
    return k * (3 * ((rows + DENSE_ROWS - 1) / DENSE_ROWS) + 4 * rows);
}

/* Leaves lost parity to the encoder where all data is there by then and it is less work. A product
   of a transform comes with some 8 operations, one of a tile with some 6 (docs/erasure.md). */
static void plan_split(struct erasure_plan *plan)
{
    unsigned data_lost = 0, data_there = 0;
    for (unsigned i = 0; i < plan->k; i++) {
        data_lost += erasure_set_has(&plan->targets, i);
        data_there += erasure_set_has(&plan->sources, i);
    }
    unsigned parity_lost = plan->target_count - data_lost;
    plan->dense_count = plan->target_count;
    if (data_lost + data_there < plan->k || parity_lost == 0)
        return;
    const struct program *encoder = erasure_encoder(plan->code, parity_lost);
    unsigned work = program_products(encoder) * (encoder == plan->code->transform ? 8 : 6);
    if (dense_work(plan->k, data_lost) + work < dense_work(plan->k, plan->target_count))
        plan->dense_count = data_lost;
}

static enum err plan_compile(const struct erasure *code, struct erasure_plan *plan)
{
    unsigned k = code->k;
    enum err e = ERR_NOMEM;
    plan_split(plan);
    if (plan->dense_count == 0)
        return ERR_OK;
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
    e = program_new_dense(code->kernel, rows, plan->dense_count, k, &plan->program);
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
    erasure_encode_part(plan->code, (const uint8_t *const *)shards, parity, offset, size, of_size);
}

void erasure_plan_run_range(const struct erasure_plan *plan, uint8_t *const shards[], size_t offset,
                            size_t size)
{
    const uint8_t *from[LIMIT_SHARDS];
    uint8_t *to[LIMIT_SHARDS];
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
