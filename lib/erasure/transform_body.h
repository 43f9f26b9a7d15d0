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

ALWAYS void BODY(source4)(const struct transform_call *call, const struct transform_op *op,
                          size_t at, unsigned width, uint8_t *to, bool zero)
{
    const uint8_t *const *s = call->sources + op->a;
    const uint8_t *w0 = op->tables, *w1 = w0 + TABLE_BYTES, *w2 = w1 + TABLE_BYTES;
    for (unsigned part = 0; part < width; part += V_BYTES) {
        V low0 = v_load(s[0] + at + part), low1 = v_load(s[2] + at + part);
        V high0 = v_xor(v_load(s[1] + at + part), low0);
        V high1 = v_xor(v_load(s[3] + at + part), low1);
        if (!zero)
            low0 = BODY(fma)(low0, w0, high0);
        low1 = BODY(fma)(low1, zero ? w0 : w1, high1);
        low1 = v_xor(low1, low0);
        high1 = v_xor(high1, high0);
        v_store(to + part, zero ? low0 : BODY(fma)(low0, w2, low1));
        v_store(to + width + part, zero ? high0 : BODY(fma)(high0, w2, high1));
        v_store(to + 2 * width + part, low1);
        v_store(to + 3 * width + part, high1);
    }
}

ALWAYS void BODY(put)(uint8_t *out, V v, bool stream)
{
    if (stream)
        v_stream(out, v);
    else
        v_store(out, v);
}

ALWAYS void BODY(rows4)(const struct transform_call *call, const struct transform_op *op, size_t at,
                        unsigned width, const uint8_t *a, bool stream)
{
    const uint8_t *w = op->tables, *s = w + TABLE_BYTES, *s0 = s + TABLE_BYTES;
    const uint8_t *s1 = s0 + TABLE_BYTES;
    uint8_t *const *rows = call->rows + op->to;
    for (unsigned part = 0; part < width; part += V_BYTES) {
        V c2 = v_load(a + 2 * width + part), c3 = v_load(a + 3 * width + part);
        V low = BODY(fma)(v_load(a + part), w, c2);
        V high = BODY(fma)(v_load(a + width + part), w, c3);
        struct split n = v_split(high);
        V out = v_add(v_add(v_zero(), s, v_split(low)), s0, n);
        BODY(put)(rows[0] + at + part, out, stream);
        BODY(put)(rows[1] + at + part, v_add(out, s, n), stream);
        low = v_xor(low, c2);
        n = v_split(v_xor(high, c3));
        out = v_add(v_add(v_zero(), s, v_split(low)), s1, n);
        BODY(put)(rows[2] + at + part, out, stream);
        BODY(put)(rows[3] + at + part, v_add(out, s, n), stream);
    }
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
                     unsigned width, uint8_t *space, bool stream)
{
    uint8_t *a = space + op->a * width, *b = space + op->b * width, *to = space + op->to * width;
    switch (op->kind) {
    case TRANSFORM_SOURCE4:
        BODY(source4)(call, op, at, width, to, false);
        break;
    case TRANSFORM_SOURCE4_ZERO:
        BODY(source4)(call, op, at, width, to, true);
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
    case TRANSFORM_ROWS4:
        BODY(rows4)(call, op, at, width, a, stream);
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

ALWAYS void BODY(columns)(const struct transform_call *call, unsigned width, bool stream)
{
    uint8_t space[TRANSFORM_SLOTS_MAX * TRANSFORM_WIDTH / 2] __attribute__((aligned(64)));
    struct BODY(fetcher) fetcher = {0, 0};
    for (size_t at = 0; at < call->size; at += width) {
        BODY(fetch)(call, &fetcher, call->ahead_count * (width / 64));
        for (const struct transform_op *op = call->ops; op < call->ops + call->op_count; op++)
            BODY(op)(call, op, at, width, space, stream);
    }
}

static void BODY(transform)(const struct transform_call *call)
{
    bool wide = call->width == TRANSFORM_WIDTH;
    if (call->stream && wide)
        BODY(columns)(call, TRANSFORM_WIDTH, true);
    else if (call->stream)
        BODY(columns)(call, TRANSFORM_WIDTH / 2, true);
    else if (wide)
        BODY(columns)(call, TRANSFORM_WIDTH, false);
    else
        BODY(columns)(call, TRANSFORM_WIDTH / 2, false);
    if (call->stream)
        v_fence();
}
