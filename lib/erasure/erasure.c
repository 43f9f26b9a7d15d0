#include "erasure/erasure_internal.h"

#include "erasure/gf256.h"

#include <stdlib.h>
#include <string.h>

static enum err pick_kernel(const struct erasure_options *options, const struct kernel **out,
                            struct errmsg *msg)
{
    if (!options || !options->kernel) {
        *out = kernels_best(options && options->unproven);
        return ERR_OK;
    }
    *out = kernels_find(options->kernel);
    if (!*out)
        return err_say(msg, ERR_UNSUPPORTED, "there is no erasure kernel named %s",
                       options->kernel);
    if (!(*out)->usable())
        return err_say(msg, ERR_UNSUPPORTED, "this CPU cannot run the erasure kernel %s",
                       options->kernel);
    return ERR_OK;
}

static enum err make_tables(struct erasure *code)
{
    code->tables = malloc((size_t)code->k * code->m * code->kernel->table_size);
    if (!code->tables)
        return ERR_NOMEM;
    for (unsigned j = 0; j < code->k; j++)
        for (unsigned i = 0; i < code->m; i++)
            code->kernel->table(erasure_coefficient(code, i, j),
                                code->tables + (j * code->m + i) * code->kernel->table_size);
    return ERR_OK;
}

enum err erasure_new(unsigned k, unsigned m, const struct erasure_options *options,
                     struct erasure **out, struct errmsg *msg)
{
    uint8_t points[LIMIT_SHARDS];
    if (k < 1 || m < 1 || k > LIMIT_SHARDS || m > LIMIT_SHARDS - k)
        return err_say(msg, ERR_USAGE, "%u+%u shards cannot be: at least 1+1, at most %u together",
                       k, m, LIMIT_SHARDS);
    if (options && options->matrix && options->matrix != ERASURE_MATRIX_CAUCHY)
        return err_say(msg, ERR_UNSUPPORTED, "erasure matrix %u is not known",
                       (unsigned)options->matrix);
    struct erasure *code = calloc(1, sizeof(*code));
    if (!code)
        return err_say(msg, ERR_NOMEM, "no memory for a %u+%u code", k, m);
    pthread_mutex_init(&code->lock, NULL);
    code->k = k;
    code->m = m;
    for (unsigned i = 0; i < k + m; i++)
        points[i] = (uint8_t)i;
    enum err e = pick_kernel(options, &code->kernel, msg);
    if (e != ERR_OK)
        goto fail;
    e = make_tables(code);
    if (e == ERR_OK)
        e = program_new_cauchy(code->kernel, points + k, m, points, k, &code->tiles);
    if (e == ERR_OK && transform_build_pays(k, m))
        e = transform_build_new(code->kernel, k, m, &code->transform);
    if (e != ERR_OK) {
        err_say(msg, e, "no memory for a %u+%u code", k, m);
        goto fail;
    }
    *out = code;
    return ERR_OK;
fail:
    erasure_free(code);
    return e;
}

void erasure_free(struct erasure *code)
{
    if (!code)
        return;
    for (unsigned i = 0; i < PLAN_CACHE; i++)
        erasure_plan_free(code->plans[i]);
    program_free(code->tiles);
    program_free(code->transform);
    free(code->tables);
    pthread_mutex_destroy(&code->lock);
    free(code);
}

unsigned erasure_k(const struct erasure *code)
{
    return code->k;
}

unsigned erasure_m(const struct erasure *code)
{
    return code->m;
}

const char *erasure_kernel(const struct erasure *code)
{
    return code->kernel->name;
}

uint8_t erasure_coefficient(const struct erasure *code, unsigned row, unsigned column)
{
    return gf256_inverse((uint8_t)((code->k + row) ^ column));
}

const char *erasure_kernel_name(unsigned index)
{
    const struct kernel *kernel = kernels_at(index);
    return kernel ? kernel->name : NULL;
}

bool erasure_kernel_usable(const char *name, bool *proven)
{
    const struct kernel *kernel = kernels_find(name);
    if (proven)
        *proven = kernel && kernel->proven;
    return kernel && kernel->usable();
}

/* A transform makes all rows at once; where few are wanted, tiles make those alone. */
const struct program *erasure_encoder(const struct erasure *code, unsigned wanted)
{
    return code->transform && wanted * 2 > code->m ? code->transform : code->tiles;
}

void erasure_encode_part(const struct erasure *code, const uint8_t *const data[],
                         uint8_t *const parity[], size_t offset, size_t size, size_t of_size)
{
    unsigned wanted = 0;
    for (unsigned i = 0; i < code->m; i++)
        wanted += parity[i] != NULL;
    program_run(erasure_encoder(code, wanted), data, parity, offset, size, of_size);
}

void erasure_encode(const struct erasure *code, const uint8_t *const data[],
                    uint8_t *const parity[], size_t size)
{
    erasure_encode_part(code, data, parity, 0, size, size);
}

void erasure_encode_range(const struct erasure *code, const uint8_t *const data[],
                          uint8_t *const parity[], size_t offset, size_t size)
{
    erasure_encode_part(code, data, parity, offset, size, size);
}

size_t erasure_block(const struct erasure *code)
{
    size_t block = 65536;
    while (block > 1024 && block * (code->k + code->m) > kernels_cache_l2() / 2)
        block /= 2;
    return block;
}

size_t erasure_fuse_block(const struct erasure *code)
{
    return code->transform ? 65536 : erasure_block(code);
}

void erasure_encode_fused(const struct erasure *code, const uint8_t *const data[],
                          uint8_t *const parity[], size_t size, const struct erasure_fuse *fuse)
{
    size_t block = fuse->block ? fuse->block : erasure_fuse_block(code);
    for (size_t offset = 0; offset < size; offset += block) {
        size_t count = size - offset < block ? size - offset : block;
        fuse->on_block(fuse->user, 0, code->k, offset, count);
        erasure_encode_part(code, data, parity, offset, count, code->transform ? size : count);
        fuse->on_block(fuse->user, code->k, code->m, offset, count);
    }
}

/* One source into up to eight rows, which start from what they are. */
static void update_rows(const struct erasure *code, const struct tile *tile, const uint8_t *data,
                        uint8_t *const rows[], size_t size)
{
    size_t whole = size & ~(size_t)(KERNEL_COLUMN - 1), rest = size - whole;
    uint8_t in[KERNEL_COLUMN] = {0}, narrow[DENSE_ROWS][KERNEL_COLUMN] = {{0}};
    struct tile_call call = {.tile = tile, .sources = &data, .init_count = 1, .size = whole};
    for (unsigned r = 0; r < tile->rows; r++)
        call.inits[0][r] = call.out[r] = rows[r];
    if (whole)
        code->kernel->run(&call);
    if (rest == 0)
        return;
    const uint8_t *source = in;
    memcpy(in, data + whole, rest);
    for (unsigned r = 0; r < tile->rows; r++) {
        memcpy(narrow[r], rows[r] + whole, rest);
        call.inits[0][r] = call.out[r] = narrow[r];
    }
    call.sources = &source;
    call.size = KERNEL_COLUMN;
    code->kernel->run(&call);
    for (unsigned r = 0; r < tile->rows; r++)
        memcpy(rows[r] + whole, narrow[r], rest);
}

void erasure_update(const struct erasure *code, unsigned index, const uint8_t *data,
                    uint8_t *const parity[], size_t size)
{
    size_t table_size = code->kernel->table_size;
    uint8_t tables[DENSE_ROWS * KERNEL_TABLE_MAX] __attribute__((aligned(64)));
    uint8_t *rows[DENSE_ROWS];
    struct tile tile = {
        .kind = TILE_DENSE, .run_count = 1, .runs = {{RUN_ONE, 1}}, .tables = tables};
    for (unsigned i = 0; i < code->m; i++) {
        if (parity[i]) {
            memcpy(tables + tile.rows * table_size,
                   code->tables + (index * code->m + i) * table_size, table_size);
            rows[tile.rows++] = parity[i];
        }
        if (tile.rows == DENSE_ROWS || (tile.rows && i + 1 == code->m)) {
            update_rows(code, &tile, data, rows, size);
            tile.rows = 0;
        }
    }
}

struct erasure_range erasure_split(size_t size, unsigned parts, unsigned index)
{
    enum { CUT = 4096 };
    size_t cuts = size / CUT + (size % CUT != 0);
    size_t each = cuts / parts, more = cuts % parts;
    size_t first = each * index + (index < more ? index : more);
    size_t last = first + each + (index < more);
    struct erasure_range range = {first * CUT, 0};
    if (range.offset > size)
        range.offset = size;
    range.size = (last * CUT < size ? last * CUT : size) - range.offset;
    return range;
}

/* The next size that is 17 lines after a page's start: an odd number of lines, so that shards in a
   row get all cache sets in turn. */
size_t erasure_stride(size_t size)
{
    enum { PAGE = 4096, APART = 17 * 64 };
    size_t page = size < APART ? 0 : (size - APART + PAGE - 1) / PAGE * PAGE;
    return page + APART;
}
