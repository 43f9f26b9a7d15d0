/*
 * The additive FFT operations of kernel.h over the vector type of kernel_body.h. Everything between
 * the sources and the rows stays in a workspace that fits the first-level cache, so each byte of a
 * shard is loaded or stored exactly once. Layers that share one twiddle run over all their slots
 * with its table in registers; the two layers nearest to the shards are done four shards at a time.
 */

/* x + w y */
ALWAYS V BODY(fma)(V x, const uint8_t *w, V y)
{
    return v_add(x, w, v_split(y));
}

/* `scaled` is a constant once inlined. */
ALWAYS void BODY(source4)(const struct transform_call *call, const struct transform_op *op,
                          size_t at, unsigned width, uint8_t *to, bool scaled)
{
    const uint8_t *const *s = call->sources + op->a, *t = op->tables;
    const uint8_t *s0 = s[0] + at, *s1 = s[1] + at, *s2 = s[2] + at, *s3 = s[3] + at;
    const uint8_t *w0 = scaled ? t + 4 * TABLE_BYTES : t, *w1 = w0 + TABLE_BYTES;
    const uint8_t *w2 = w1 + TABLE_BYTES;
    for (unsigned part = 0; part < width; part += V_BYTES) {
        V low0 = v_load(s0 + part), low1 = v_load(s2 + part);
        V high0 = v_load(s1 + part), high1 = v_load(s3 + part);
        if (scaled) {
            low0 = BODY(fma)(v_zero(), t, low0);
            high0 = BODY(fma)(v_zero(), t + TABLE_BYTES, high0);
            low1 = BODY(fma)(v_zero(), t + 2 * TABLE_BYTES, low1);
            high1 = BODY(fma)(v_zero(), t + 3 * TABLE_BYTES, high1);
        }
        high0 = v_xor(high0, low0);
        high1 = v_xor(high1, low1);
        low0 = BODY(fma)(low0, w0, high0);
        low1 = v_xor(BODY(fma)(low1, w1, high1), low0);
        high1 = v_xor(high1, high0);
        v_store(to + part, BODY(fma)(low0, w2, low1));
        v_store(to + width + part, BODY(fma)(high0, w2, high1));
        v_store(to + 2 * width + part, low1);
        v_store(to + 3 * width + part, high1);
    }
}

/* Unrolled: else gcc copies the first source by a loop of its own, in halves of a vector, which the
   next operation then waits for. */
ALWAYS void BODY(source4_zero)(const struct transform_call *call, const struct transform_op *op,
                               size_t at, unsigned width, uint8_t *to)
{
    const uint8_t *const *s = call->sources + op->a;
    const uint8_t *s0 = s[0] + at, *s1 = s[1] + at, *s2 = s[2] + at, *s3 = s[3] + at;
    KERNEL_UNROLL
    for (unsigned part = 0; part < width; part += V_BYTES) {
        V low0 = v_load(s0 + part), low1 = v_load(s2 + part);
        V high0 = v_xor(v_load(s1 + part), low0);
        V high1 = v_xor(v_load(s3 + part), low1);
        low1 = v_xor(BODY(fma)(low1, op->tables, high1), low0);
        v_store(to + part, low0);
        v_store(to + width + part, high0);
        v_store(to + 2 * width + part, low1);
        v_store(to + 3 * width + part, v_xor(high1, high0));
    }
}

/* Between the quads of one block of 16 sources and 8 rows: all that lies between the two layers
   next to the sources and the two next to the rows, so that four loads and two stores do what takes
   ten and seven one layer after the other. */
ALWAYS void BODY(middle)(const uint8_t *w0, unsigned width, const uint8_t *a, uint8_t *to)
{
    const uint8_t *w1 = w0 + TABLE_BYTES, *w2 = w1 + TABLE_BYTES;
    size_t quad = 4 * width;
    for (size_t at = 0; at < quad; at += V_BYTES) {
        V x0 = v_load(a + at), x1 = v_xor(v_load(a + quad + at), x0);
        V x2 = v_load(a + 2 * quad + at), x3 = v_xor(v_load(a + 3 * quad + at), x2);
        x2 = BODY(fma)(x2, w0, x3);
        x0 = BODY(fma)(x0, w1, v_xor(x2, x0));
        x1 = BODY(fma)(x1, w1, v_xor(x3, x1));
        x0 = BODY(fma)(x0, w2, x1);
        v_store(to + at, x0);
        v_store(to + quad + at, v_xor(x0, x1));
    }
}

ALWAYS void BODY(put_row)(uint8_t *out, const uint8_t *add, V v, enum transform_put how)
{
    if (how == PUT_ADD)
        v = v_xor(v, v_load(add));
    BODY(put)(out, v, how == PUT_STREAM);
}

ALWAYS void BODY(rows4)(const struct transform_call *call, const struct transform_op *op, size_t at,
                        unsigned width, const uint8_t *a, enum transform_put how)
{
    const uint8_t *w = op->tables, *s = w + TABLE_BYTES, *s0 = s + TABLE_BYTES;
    const uint8_t *s1 = s0 + TABLE_BYTES;
    uint8_t *out[4];
    const uint8_t *add[4] = {NULL};
    KERNEL_UNROLL
    for (unsigned i = 0; i < 4; i++) {
        out[i] = call->rows[op->to + i] + at;
        if (how == PUT_ADD)
            add[i] = call->adds[op->to + i] + at;
    }
    for (unsigned part = 0; part < width; part += V_BYTES) {
        V c2 = v_load(a + 2 * width + part), c3 = v_load(a + 3 * width + part);
        V low = BODY(fma)(v_load(a + part), w, c2);
        V high = BODY(fma)(v_load(a + width + part), w, c3);
        struct split n = v_split(high), m = v_split(v_xor(high, c3));
        V v0 = v_add(v_add(v_zero(), s, v_split(low)), s0, n);
        V v2 = v_add(v_add(v_zero(), s, v_split(v_xor(low, c2))), s1, m);
        V v1 = v_add(v0, s, n), v3 = v_add(v2, s, m);
        BODY(put_row)(out[0] + part, add[0] + part, v0, how);
        BODY(put_row)(out[1] + part, add[1] + part, v1, how);
        BODY(put_row)(out[2] + part, add[2] + part, v2, how);
        BODY(put_row)(out[3] + part, add[3] + part, v3, how);
    }
}

ALWAYS void BODY(rows4_scaled)(const struct transform_call *call, const struct transform_op *op,
                               size_t at, unsigned width, const uint8_t *a, enum transform_put how)
{
    const uint8_t *w = op->tables, *w0 = w + TABLE_BYTES, *w1 = w0 + TABLE_BYTES;
    const uint8_t *s = w1 + TABLE_BYTES;
    for (unsigned part = 0; part < width; part += V_BYTES) {
        V c2 = v_load(a + 2 * width + part), c3 = v_load(a + 3 * width + part), v[4];
        V low = BODY(fma)(v_load(a + part), w, c2);
        V high = BODY(fma)(v_load(a + width + part), w, c3);
        v[0] = BODY(fma)(low, w0, high);
        v[1] = v_xor(v[0], high);
        high = v_xor(high, c3);
        v[2] = BODY(fma)(v_xor(low, c2), w1, high);
        v[3] = v_xor(v[2], high);
        KERNEL_UNROLL
        for (unsigned i = 0; i < 4; i++) {
            const uint8_t *add = how == PUT_ADD ? call->adds[op->to + i] + at + part : NULL;
            BODY(put_row)
            (call->rows[op->to + i] + at + part, add,
             BODY(fma)(v_zero(), s + i * TABLE_BYTES, v[i]), how);
        }
    }
}

/* 16 sources to 8 rows without going through the list of operations. */
ALWAYS void BODY(whole_16_to_8)(const struct transform_call *call, const struct transform_op *op,
                                size_t at, unsigned width, uint8_t *space, enum transform_put how)
{
    struct transform_op part = {.a = 0, .tables = op->tables};
    uint8_t *rows = space + 16 * width;
    BODY(source4_zero)(call, &part, at, width, space);
    part.tables += TABLE_BYTES;
    for (part.a = 4; part.a < 16; part.a += 4, part.tables += 3 * TABLE_BYTES)
        BODY(source4)(call, &part, at, width, space + part.a * width, false);
    BODY(middle)(part.tables, width, space, rows);
    part.tables += 3 * TABLE_BYTES;
    for (part.to = 0; part.to < 8; part.to += 4, part.tables += 4 * TABLE_BYTES)
        BODY(rows4)(call, &part, at, width, rows + part.to * width, how);
}

/* One vector of a layer. */
ALWAYS void BODY(butterfly)(enum transform_kind kind, uint8_t *a, uint8_t *b, uint8_t *to,
                            size_t second, const uint8_t *w)
{
    V x = v_load(a), y = v_load(b);
    switch (kind) {
    case TRANSFORM_INVERSE:
        y = v_xor(x, y);
        v_store(b, y);
        v_store(a, BODY(fma)(x, w, y));
        break;
    case TRANSFORM_INVERSE_ZERO:
        v_store(b, v_xor(x, y));
        break;
    case TRANSFORM_FORWARD:
        x = BODY(fma)(x, w, y);
        v_store(to, x);
        v_store(to + second, v_xor(x, y));
        break;
    case TRANSFORM_MERGE:
        v_store(to, BODY(fma)(x, w, v_xor(x, y)));
        break;
    default:
        v_store(to, BODY(fma)(x, w, y));
    }
}

/* One layer of `count` slots in each operand. */
ALWAYS void BODY(layer)(enum transform_kind kind, uint8_t *a, uint8_t *b, uint8_t *to,
                        unsigned count, unsigned width, const uint8_t *w)
{
    size_t second = (size_t)count * width;
    for (unsigned i = 0; i < count; i++, a += width, b += width, to += width) {
        KERNEL_UNROLL
        for (unsigned part = 0; part < width; part += V_BYTES)
            BODY(butterfly)(kind, a + part, b + part, to + part, second, w);
    }
}

ALWAYS void BODY(op)(const struct transform_call *call, const struct transform_op *op, size_t at,
                     unsigned width, uint8_t *space, enum transform_put how)
{
    uint8_t *a = space + op->a * width, *b = space + op->b * width, *to = space + op->to * width;
    switch (op->kind) {
    case TRANSFORM_SOURCE4:
        BODY(source4)(call, op, at, width, to, false);
        break;
    case TRANSFORM_SOURCE4_SCALED:
        BODY(source4)(call, op, at, width, to, true);
        break;
    case TRANSFORM_SOURCE4_ZERO:
        BODY(source4_zero)(call, op, at, width, to);
        break;
    case TRANSFORM_INVERSE:
        BODY(layer)(TRANSFORM_INVERSE, a, b, to, op->count, width, op->tables);
        break;
    case TRANSFORM_INVERSE_ZERO:
        BODY(layer)(TRANSFORM_INVERSE_ZERO, a, b, to, op->count, width, op->tables);
        break;
    case TRANSFORM_FORWARD:
        BODY(layer)(TRANSFORM_FORWARD, a, b, to, op->count, width, op->tables);
        break;
    case TRANSFORM_ADD:
        BODY(layer)(TRANSFORM_ADD, a, b, to, op->count, width, op->tables);
        break;
    case TRANSFORM_MERGE:
        BODY(layer)(TRANSFORM_MERGE, a, b, to, op->count, width, op->tables);
        break;
    case TRANSFORM_16_TO_8:
        BODY(whole_16_to_8)(call, op, at, width, space, how);
        break;
    case TRANSFORM_ROWS4_SCALED:
        BODY(rows4_scaled)(call, op, at, width, a, how);
        break;
    case TRANSFORM_ROWS4:
        BODY(rows4)(call, op, at, width, a, how);
        break;
    }
}

/* Fetches `lines` more cache lines of what comes next: a whole block of one source, then of the
   next, which memory likes better than a line of each. */
struct BODY(fetcher) {
    unsigned source;
    size_t at;
};

ALWAYS void BODY(fetch)(const struct transform_call *call, struct BODY(fetcher) * f, unsigned lines)
{
    for (unsigned i = 0; i < lines && f->source < call->ahead_count; i++) {
        __builtin_prefetch(call->ahead[f->source] + f->at, 0, 3);
        f->at += 64;
        if (f->at >= call->size) {
            f->at = 0;
            f->source++;
        }
    }
}

ALWAYS void BODY(columns)(const struct transform_call *call, unsigned width, enum transform_put how)
{
    uint8_t space[TRANSFORM_SLOTS_MAX * TRANSFORM_WIDTH_MIN] __attribute__((aligned(64)));
    struct BODY(fetcher) fetcher = {0, 0};
    for (size_t at = 0; at < call->size; at += width) {
        BODY(fetch)(call, &fetcher, call->ahead_count * (width / 64));
        for (const struct transform_op *op = call->ops; op < call->ops + call->op_count; op++)
            BODY(op)(call, op, at, width, space, how);
    }
}

ALWAYS void BODY(walk)(const struct transform_call *call, enum transform_put how)
{
    if (call->width == TRANSFORM_WIDTH)
        BODY(columns)(call, TRANSFORM_WIDTH, how);
    else if (call->width == TRANSFORM_WIDTH / 2)
        BODY(columns)(call, TRANSFORM_WIDTH / 2, how);
    else
        BODY(columns)(call, TRANSFORM_WIDTH_MIN, how);
}

static void BODY(transform)(const struct transform_call *call)
{
    switch (call->how) {
    case PUT_STORE:
        BODY(walk)(call, PUT_STORE);
        break;
    case PUT_ADD:
        BODY(walk)(call, PUT_ADD);
        break;
    case PUT_STREAM:
        BODY(walk)(call, PUT_STREAM);
        v_fence();
    }
}
