#include "erasure/program_internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_MIN = 256, /* columns, in bytes: what is walked at a time */
    AHEAD_MIN = 20,  /* so many streams are more than hardware fetches ahead by itself (measured) */
    SLOTS_WIDE = 32, /* a workspace so small leaves room for wide columns (measured) */
    STREAM_MIN =
        8 << 20,     /* results of so many bytes would only push other things out of the caches */
    SCRATCH_MAX = 3, /* slots: two for the upper level, one for the lower */
    POINTERS_MAX = 1024, /* of 255 sources, each in at most 4 sums */
};

void program_free(struct program *program)
{
    if (!program)
        return;
    for (unsigned i = 0; i < program->tile_count; i++) {
        free((void *)program->tiles[i].tile.tables);
        free(program->tiles[i].sources);
    }
    free(program->tiles);
    for (unsigned i = 0; i < program->op_count; i++)
        free((void *)program->ops[i].tables);
    free(program->ops);
    free(program);
}

unsigned program_products(const struct program *program)
{
    return program->products;
}

void program_set_block(struct program *program, size_t cache)
{
    size_t block = cache / 2 / (program->source_count + TILE_ROWS);
    block &= ~(size_t)(TRANSFORM_WIDTH - 1);
    program->block = block < BLOCK_MIN           ? BLOCK_MIN
                     : block > PROGRAM_BLOCK_MAX ? PROGRAM_BLOCK_MAX
                                                 : block;
}

/* What the caller works on is more than caches keep: it comes from memory and goes there. */
static bool is_far(const struct program *p, size_t of_size)
{
    return of_size * (p->source_count + p->row_count) >= STREAM_MIN;
}

/* Storing around the caches saves reading what is overwritten. It suits whole lines. */
static bool may_stream(const struct program *p, uint8_t *const outs[], size_t offset)
{
    for (unsigned i = 0; i < p->row_count; i++)
        if (outs[i] && (uintptr_t)(outs[i] + offset) % KERNEL_COLUMN)
            return false;
    return true;
}

/* Buffers of one block that are nobody's shard. */
struct scratch {
    uint8_t slots[SCRATCH_MAX][TILE_ROWS][PROGRAM_BLOCK_MAX];
    uint8_t waste[PROGRAM_BLOCK_MAX];
} __attribute__((aligned(64)));

static bool tile_wanted(const struct program_tile *t, uint8_t *const outs[])
{
    for (unsigned i = 0; i < t->tile.rows; i++)
        if (t->outs[i] != ROW_NONE && (t->outs[i] >= ROW_SCRATCH || outs[t->outs[i]]))
            return true;
    return false;
}

static void run_tile(const struct program *p, const struct program_tile *t,
                     const uint8_t *const sources[], uint8_t *const outs[], size_t offset,
                     struct scratch *scratch, struct tile_call *call)
{
    const uint8_t *at[POINTERS_MAX];
    for (unsigned i = 0; i < t->source_count; i++)
        at[i] = sources[t->sources[i]] + offset;
    call->tile = &t->tile;
    call->sources = at;
    call->init_count = t->init_count;
    for (unsigned i = 0; i < t->init_count; i++)
        for (unsigned r = 0; r < TILE_ROWS; r++)
            call->inits[i][r] = scratch->slots[t->inits[i]][r];
    for (unsigned r = 0; r < t->tile.rows; r++) {
        unsigned row = t->outs[r];
        if (row == ROW_NONE || (row < ROW_SCRATCH && !outs[row]))
            call->out[r] = scratch->waste;
        else if (row >= ROW_SCRATCH)
            call->out[r] = scratch->slots[(row - ROW_SCRATCH) / TILE_ROWS][row % TILE_ROWS];
        else
            call->out[r] = outs[row] + offset;
    }
    if (p->onto) {
        call->init_count = 1;
        memcpy(call->inits[0], call->out, sizeof(call->out));
    }
    p->kernel->run(call);
}

/* What absent sources read, and rows to which nothing is added. */
static const uint8_t zeros[PROGRAM_BLOCK_MAX] __attribute__((aligned(64)));

static unsigned width_of(const struct program *p)
{
    return p->slot_count <= SLOTS_WIDE                ? TRANSFORM_WIDTH
           : p->slot_count <= TRANSFORM_SLOTS_MAX / 2 ? TRANSFORM_WIDTH / 2
                                                      : TRANSFORM_WIDTH_MIN;
}

/* Columns at a time. Only fetching ahead needs blocks; but zeros and waste have an end. */
static size_t transform_block(const struct program *p, const uint8_t *const sources[],
                              uint8_t *const outs[], size_t size, bool fetch, bool add)
{
    bool whole = p->row_count % TILE_ROWS == 0 && !add;
    for (unsigned i = 0; i < p->source_count; i++)
        whole = whole && sources[i];
    for (unsigned i = 0; i < p->row_count; i++)
        whole = whole && outs[i];
    return fetch ? p->block : whole ? size : PROGRAM_BLOCK_MAX;
}

/* `adds`: NULL, or what is added to each row. `after`: bytes that follow, to be fetched meanwhile.
 */
static void run_transform(const struct program *p, const uint8_t *const sources[],
                          uint8_t *const outs[], const uint8_t *const adds[], size_t offset,
                          size_t size, size_t after, enum transform_put how, uint8_t *waste)
{
    const uint8_t *from[255], *ahead[255], *add[255 + TILE_ROWS];
    uint8_t *to[255 + TILE_ROWS];
    bool fetch = p->source_count >= AHEAD_MIN && (after > 0 || how == PUT_STREAM);
    size_t block = transform_block(p, sources, outs, size, fetch, adds != NULL);
    struct transform_call call = {.ops = p->ops,
                                  .op_count = p->op_count,
                                  .sources = from,
                                  .rows = to,
                                  .adds = add,
                                  .how = how,
                                  .ahead = ahead};
    while (size > 0) {
        unsigned count = 0;
        call.width = width_of(p);
        while (call.width > size)
            call.width /= 2;
        call.size = (size < block ? size : block) & ~(size_t)(call.width - 1);
        for (unsigned i = 0; i < p->source_count; i++) {
            from[i] = sources[i] ? sources[i] + offset : zeros;
            if (fetch && sources[i])
                ahead[count++] = from[i] + call.size;
        }
        for (unsigned i = 0; i < p->row_count + TILE_ROWS; i++)
            to[i] = i < p->row_count && outs[i] ? outs[i] + offset : waste;
        for (unsigned i = 0; adds && i < p->row_count + TILE_ROWS; i++)
            add[i] = i < p->row_count && adds[i] ? adds[i] + offset : zeros;
        offset += call.size;
        size -= call.size;
        call.ahead_count = size + after > 0 && count >= AHEAD_MIN ? count : 0;
        p->kernel->transform(&call);
    }
}

/* Rows nobody wants have a waste of one block, which is no place to store around caches. */
static bool all_wanted(const struct program *p, uint8_t *const outs[])
{
    for (unsigned i = 0; i < p->tile_count; i++)
        for (unsigned r = 0; r < p->tiles[i].tile.rows; r++)
            if (p->tiles[i].outs[r] == ROW_NONE ||
                (p->tiles[i].outs[r] < ROW_SCRATCH && !outs[p->tiles[i].outs[r]]))
                return false;
    return true;
}

static void run_columns(const struct program *p, const uint8_t *const sources[],
                        uint8_t *const outs[], size_t offset, size_t size, bool far,
                        struct scratch *scratch)
{
    bool stream = far && may_stream(p, outs, offset);
    if (p->ops) {
        run_transform(p, sources, outs, NULL, offset, size, 0, stream ? PUT_STREAM : PUT_STORE,
                      scratch->waste);
        return;
    }
    bool all = all_wanted(p, outs);
    /* A single tile finds nothing in the caches that it put there itself, so it is not blocked:
       long streams are what the hardware fetches ahead best. */
    size_t block = all && p->tile_count == 1 ? size : p->block;
    for (size_t done = 0; done < size; done += block) {
        struct tile_call
            call; /* the rest is set by run_tile; zeroing it all can be seen at 4 KiB */
        call.size = size - done < block ? size - done : block;
        call.far = far;
        call.stream = stream && all && !p->onto;
        for (unsigned i = 0; i < p->tile_count; i++)
            if (tile_wanted(&p->tiles[i], outs))
                run_tile(p, &p->tiles[i], sources, outs, offset + done, scratch, &call);
    }
}

/* Fewer columns than a kernel takes: through buffers. */
static void run_narrow(const struct program *p, const uint8_t *const sources[],
                       uint8_t *const outs[], size_t offset, size_t size, struct scratch *scratch)
{
    uint8_t in[255][KERNEL_COLUMN] = {{0}}, out[255][KERNEL_COLUMN];
    const uint8_t *from[255];
    uint8_t *to[255];
    for (unsigned i = 0; i < p->source_count; i++) {
        if (sources[i])
            memcpy(in[i], sources[i] + offset, size);
        from[i] = in[i];
    }
    for (unsigned i = 0; i < p->row_count; i++)
        to[i] = outs[i] ? out[i] : NULL;
    run_columns(p, from, to, 0, KERNEL_COLUMN, false, scratch);
    for (unsigned i = 0; i < p->row_count; i++)
        if (outs[i])
            memcpy(outs[i] + offset, out[i], size);
}

void program_run(const struct program *program, const uint8_t *const sources[],
                 uint8_t *const outs[], size_t offset, size_t size, size_t of_size)
{
    struct scratch scratch;
    size_t whole = size & ~(size_t)(KERNEL_COLUMN - 1);
    if (size == 0)
        return;
    if (whole == 0) {
        run_narrow(program, sources, outs, offset, size, &scratch);
        return;
    }
    run_columns(program, sources, outs, offset, whole, is_far(program, of_size), &scratch);
    if (whole < size) /* the last column again, shifted to the end */
        run_columns(program, sources, outs, offset + size - KERNEL_COLUMN, KERNEL_COLUMN, false,
                    &scratch);
}

void program_run_add(const struct program *program, const uint8_t *const sources[],
                     uint8_t *const outs[], const uint8_t *const adds[], size_t size, size_t after)
{
    uint8_t waste[PROGRAM_BLOCK_MAX];
    run_transform(program, sources, outs, adds, 0, size, after, PUT_ADD, waste);
}
