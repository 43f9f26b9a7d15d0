/*
 * Dense tiles over the vector type of kernel_body.h: every source times a constant for each row.
 *
 * From a cache, one or two rows keep their tables in registers over eight or four vectors, so that
 * loads and the loop cost little. From memory these are too many lines of one shard at once: what
 * hardware fetches ahead suffers from 16 shards on, so few rows walk a line of each shard at a
 * time there. More rows share the nibbles of a vector, and read their tables again for the next:
 * loads are not what is short then.
 */

enum { WIDE_MAX = 8, FETCH_AHEAD = 256 };

/* A third to two thirds faster from memory with 16 sources and more, which are more streams than
   hardware follows. The address may lie behind the shard: fetching touches nothing. */
ALWAYS void BODY(fetch_ahead)(const uint8_t *source, unsigned wide)
{
    for (unsigned at = 0; at < wide * V_BYTES; at += 64)
        __builtin_prefetch((const void *)((uintptr_t)source + FETCH_AHEAD + at), 0, 3);
}

ALWAYS void BODY(dense_start)(const struct tile_call *call, V sums[DENSE_ROWS][WIDE_MAX],
                              unsigned rows, unsigned wide, size_t at)
{
    KERNEL_UNROLL
    for (unsigned r = 0; r < rows; r++) {
        KERNEL_UNROLL
        for (unsigned w = 0; w < wide; w++)
            sums[r][w] = call->init_count ? v_load(call->inits[0][r] + at + w * V_BYTES) : v_zero();
    }
}

/* `rows`, `wide` (vectors side by side), `fetch` and `stream` are constants once inlined; rows *
   wide sums. */
ALWAYS void BODY(dense_column)(const struct tile_call *call, uint8_t *const *out, unsigned rows,
                               unsigned wide, size_t at, bool fetch, bool stream)
{
    V sums[DENSE_ROWS][WIDE_MAX];
    BODY(dense_start)(call, sums, rows, wide, at);
    const uint8_t *t = call->tile->tables;
    unsigned count = call->tile->runs[0].count;
    for (unsigned i = 0; i < count; i++, t += rows * TABLE_BYTES) {
        const uint8_t *source = call->sources[i] + at;
        if (fetch)
            BODY(fetch_ahead)(source, wide);
        if (wide == 2) { /* each table is loaded once for two vectors */
            struct split first = v_split(v_load(source));
            struct split second = v_split(v_load(source + V_BYTES));
            KERNEL_UNROLL
            for (unsigned r = 0; r < rows; r++) {
                sums[r][0] = v_add(sums[r][0], t + r * TABLE_BYTES, first);
                sums[r][1] = v_add(sums[r][1], t + r * TABLE_BYTES, second);
            }
            continue;
        }
        KERNEL_UNROLL
        for (unsigned w = 0; w < wide; w++) {
            struct split n = v_split(v_load(source + w * V_BYTES));
            KERNEL_UNROLL
            for (unsigned r = 0; r < rows; r++)
                sums[r][w] = v_add(sums[r][w], t + r * TABLE_BYTES, n);
        }
    }
    KERNEL_UNROLL
    for (unsigned r = 0; r < rows; r++) {
        KERNEL_UNROLL
        for (unsigned w = 0; w < wide; w++)
            BODY(put)(out[r] + at + w * V_BYTES, sums[r][w], stream);
    }
}

ALWAYS void BODY(dense_walk)(const struct tile_call *call, unsigned rows, unsigned wide, bool fetch,
                             bool stream)
{
    uint8_t *out[DENSE_ROWS];
    size_t at = 0;
    KERNEL_UNROLL
    for (unsigned r = 0; r < rows; r++)
        out[r] = call->out[r];
    for (; at + wide * V_BYTES <= call->size; at += wide * V_BYTES)
        BODY(dense_column)(call, out, rows, wide, at, fetch, stream);
    for (; at < call->size; at += V_BYTES)
        BODY(dense_column)(call, out, rows, 1, at, false, stream);
}

/* One row of four sources, from a cache: the tables stay in registers for good. */
ALWAYS void BODY(dense_one_of_four)(const struct tile_call *call)
{
    const uint8_t *const *s = call->sources, *t0 = call->tile->tables, *t1 = t0 + TABLE_BYTES;
    const uint8_t *s0 = s[0], *s1 = s[1], *s2 = s[2], *s3 = s[3];
    const uint8_t *t2 = t1 + TABLE_BYTES, *t3 = t2 + TABLE_BYTES;
    uint8_t *restrict out = call->out[0]; /* else tables are read again after each store */
    for (size_t at = 0; at < call->size; at += KERNEL_COLUMN) {
        KERNEL_UNROLL
        for (size_t part = 0; part < KERNEL_COLUMN; part += V_BYTES) {
            const size_t i = at + part;
            V sum = v_add(v_zero(), t0, v_split(v_load(s0 + i)));
            sum = v_add(sum, t1, v_split(v_load(s1 + i)));
            sum = v_add(sum, t2, v_split(v_load(s2 + i)));
            v_store(out + i, v_add(sum, t3, v_split(v_load(s3 + i))));
        }
    }
}

ALWAYS void BODY(dense_tile)(const struct tile_call *call, unsigned rows)
{
    const unsigned line = KERNEL_COLUMN / V_BYTES <= WIDE_MAX ? KERNEL_COLUMN / V_BYTES : WIDE_MAX;
    const unsigned wide = rows == 1 ? WIDE_MAX : rows == 2 ? 4 : rows <= 4 ? 2 : 1;
    if (rows == 1 && call->tile->runs[0].count == 4 && !call->far && !call->init_count)
        BODY(dense_one_of_four)(call);
    else if (!call->far)
        BODY(dense_walk)(call, rows, wide, false, false); /* fetching ahead costs 3 % there */
    else if (!call->stream)
        BODY(dense_walk)(call, rows, rows <= 2 && line < wide ? line : wide, true, false);
    else
        BODY(dense_walk)(call, rows, rows <= 2 && line < wide ? line : wide, true, true);
    if (call->stream)
        v_fence();
}

static void BODY(dense)(const struct tile_call *call)
{
    switch (call->tile->rows) {
#define ROWS(n)                    \
    case n:                        \
        BODY(dense_tile)(call, n); \
        break;
        ROWS(1)
        ROWS(2)
        ROWS(3)
        ROWS(4)
        ROWS(5)
        ROWS(6)
        ROWS(7)
        ROWS(8)
#undef ROWS
    }
}
