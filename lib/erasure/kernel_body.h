/*
 * The one algorithm of all kernels (kernel.h says what it computes), written over a vector type
 * that the including file defines:
 *
 *     V, V_BYTES                     the vector and its size, a divisor of KERNEL_COLUMN
 *     v_zero() v_load(p) v_store(p, v) v_stream(p, v) v_xor(a, b) v_fence()
 *     struct split, v_split(v)       a source made ready for products (its nibbles, for a shuffle)
 *     v_add(acc, table, split)       acc + constant * source
 *     TABLE_BYTES                    size of one constant's table
 *     BODY(name)                     a name for this file's functions
 *
 * Quad tiles are here, dense ones in dense_body.h.
 *
 * The loops are written so that a kernel with 16 registers keeps all nine accumulators of a quad
 * tile in registers: inputs are formed one after the other from memory operands and die at once.
 */

#include "erasure/kernel_target.h"

#define ALWAYS static inline __attribute__((always_inline))

ALWAYS void BODY(put)(uint8_t *out, V v, bool stream)
{
    if (stream)
        v_stream(out, v);
    else
        v_store(out, v);
}

#include "erasure/dense_body.h"

struct quad_accumulators {
    V aa, ab, at, ba, bb, bt, ta, tb, tt;
};

/* The products of one step's inputs. `t` walks through the tables. */
ALWAYS const uint8_t *BODY(four)(struct quad_accumulators *s, V x, const uint8_t *t)
{
    struct split n = v_split(x);
    s->aa = v_add(s->aa, t, n);
    s->ab = v_add(s->ab, t + TABLE_BYTES, n);
    s->ba = v_add(s->ba, t + 2 * TABLE_BYTES, n);
    s->bb = v_add(s->bb, t + 3 * TABLE_BYTES, n);
    return t + 4 * TABLE_BYTES;
}

ALWAYS const uint8_t *BODY(two)(V *first, V *second, V x, const uint8_t *t)
{
    struct split n = v_split(x);
    *first = v_add(*first, t, n);
    *second = v_add(*second, t + TABLE_BYTES, n);
    return t + 2 * TABLE_BYTES;
}

/* Input i of a step, each the sum of `sums` sources. */
ALWAYS V BODY(input)(const uint8_t *const *sources, unsigned i, unsigned sums, size_t at)
{
    V x = v_load(sources[i * sums] + at);
    for (unsigned n = 1; n < sums; n++)
        x = v_xor(x, v_load(sources[i * sums + n] + at));
    return x;
}

ALWAYS V BODY(plus)(V x, const uint8_t *const *sources, unsigned i, unsigned sums, size_t at)
{
    for (unsigned n = 0; n < sums; n++)
        x = v_xor(x, v_load(sources[i * sums + n] + at));
    return x;
}

ALWAYS const uint8_t *BODY(quads)(struct quad_accumulators *s, const uint8_t *const **sources,
                                  unsigned count, unsigned sums, size_t at, const uint8_t *t)
{
    const uint8_t *const *source = *sources;
    for (unsigned i = 0; i < count; i++) {
        V x3 = BODY(input)(source, 3, sums, at);
        s->tt = v_add(s->tt, t, v_split(x3));
        t = BODY(two)(&s->at, &s->bt, BODY(plus)(x3, source, 1, sums, at), t + TABLE_BYTES);
        V y = BODY(plus)(x3, source, 2, sums, at);
        t = BODY(two)(&s->ta, &s->tb, y, t);
        y = BODY(plus)(BODY(plus)(y, source, 0, sums, at), source, 1, sums, at);
        t = BODY(four)(s, y, t);
        source += 4 * sums;
    }
    *sources = source;
    return t;
}

/* One vector of columns through all steps. */
ALWAYS void BODY(quad_sums)(struct quad_accumulators *s, const struct tile *tile,
                            const uint8_t *const *source, size_t at)
{
    const uint8_t *t = tile->tables;
    for (const struct tile_run *run = tile->runs; run < tile->runs + tile->run_count; run++) {
        switch (run->kind) {
        case RUN_QUAD1:
            t = BODY(quads)(s, &source, run->count, 1, at, t);
            break;
        case RUN_QUAD2:
            t = BODY(quads)(s, &source, run->count, 2, at, t);
            break;
        case RUN_QUAD4:
            t = BODY(quads)(s, &source, run->count, 4, at, t);
            break;
        case RUN_PAIR:
            for (unsigned i = 0; i < run->count; i++, source += 2) {
                V x1 = v_load(source[1] + at);
                t = BODY(two)(&s->at, &s->bt, x1, t);
                t = BODY(four)(s, v_xor(x1, v_load(source[0] + at)), t);
            }
            break;
        default:
            for (unsigned i = 0; i < run->count; i++, source++)
                t = BODY(four)(s, v_load(source[0] + at), t);
        }
    }
}

ALWAYS void BODY(quad_column)(const struct tile_call *call, size_t at)
{
    V zero = v_zero();
    struct quad_accumulators s = {zero, zero, zero, zero, zero, zero, zero, zero, zero};
    for (unsigned i = 0; i < call->init_count; i++) {
        s.aa = v_xor(s.aa, v_load(call->inits[i][0] + at));
        s.ab = v_xor(s.ab, v_load(call->inits[i][1] + at));
        s.ba = v_xor(s.ba, v_load(call->inits[i][2] + at));
        s.bb = v_xor(s.bb, v_load(call->inits[i][3] + at));
    }
    BODY(quad_sums)(&s, call->tile, call->sources, at);
    V ta = v_xor(s.ta, s.tt), tb = v_xor(s.tb, s.tt);
    v_store(call->out[0] + at, v_xor(v_xor(s.aa, s.at), ta));
    v_store(call->out[1] + at, v_xor(v_xor(s.ab, s.at), tb));
    v_store(call->out[2] + at, v_xor(v_xor(s.ba, s.bt), ta));
    v_store(call->out[3] + at, v_xor(v_xor(s.bb, s.bt), tb));
}

ALWAYS void BODY(quad_tile)(const struct tile_call *call)
{
    for (size_t at = 0; at < call->size; at += KERNEL_COLUMN) {
        for (size_t part = 0; part < KERNEL_COLUMN; part += V_BYTES)
            BODY(quad_column)(call, at + part);
    }
}

static void BODY(run)(const struct tile_call *call)
{
    if (call->tile->kind == TILE_QUAD) {
        BODY(quad_tile)(call);
        return;
    }
    BODY(dense)(call);
}
