#include "bench_coders.h"

#include <isa-l/erasure_code.h>
#include <jerasure.h>
#include <liberasurecode/erasurecode.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

const char *const coder_names[CODER_KINDS] = {"ours",   "isal", "jerasure",  "liberasurecode",
                                              "memcpy", "xor",  "xor-stream"};

struct coder {
    enum coder_kind kind;
    struct coder_case c;
    struct erasure *code;      /* owned; ours, and for the matrix of others */
    struct erasure_plan *plan; /* owned */
    uint8_t *isal_tables;      /* owned */
    int *jerasure_matrix;      /* owned */
    int peer;                  /* liberasurecode's instance */
};

static unsigned rows_of(const struct coder_case *c)
{
    return c->lost ? c->lost : c->m;
}

/* --- making */

static enum err new_ours(struct coder *coder)
{
    const struct coder_case *c = &coder->c;
    struct erasure_set present = {{0}}, wanted = {{0}};
    if (!c->lost)
        return ERR_OK;
    for (unsigned i = 0; i < c->k + c->m; i++)
        erasure_set_add(i < c->lost ? &wanted : &present, i);
    return erasure_plan_new(coder->code, &present, &wanted, &coder->plan, NULL);
}

/* As ISA-L's own examples do it: invert the k rows that are there, and take the rows of what is
 * lost. */
static enum err new_isal(struct coder *coder)
{
    const struct coder_case *c = &coder->c;
    unsigned k = c->k;
    uint8_t *space = malloc((size_t)(k + c->m) * k + 2 * (size_t)k * k);
    coder->isal_tables = malloc((size_t)k * rows_of(c) * 32);
    if (!space || !coder->isal_tables) {
        free(space);
        return ERR_NOMEM;
    }
    uint8_t *generator = space, *taken = generator + (k + c->m) * k, *inverse = taken + k * k;
    gf_gen_cauchy1_matrix(generator, (int)(k + c->m), (int)k);
    uint8_t *rows = generator + k * k;
    if (c->lost) {
        memcpy(taken, generator + c->lost * k, (size_t)k * k);
        gf_invert_matrix(taken, inverse, (int)k);
        rows = inverse;
    }
    ec_init_tables((int)k, (int)rows_of(c), rows, coder->isal_tables);
    free(space);
    return ERR_OK;
}

static enum err new_jerasure(struct coder *coder)
{
    const struct coder_case *c = &coder->c;
    coder->jerasure_matrix = malloc((size_t)c->k * c->m * sizeof(int));
    if (!coder->jerasure_matrix)
        return ERR_NOMEM;
    for (unsigned i = 0; i < c->m; i++)
        for (unsigned j = 0; j < c->k; j++)
            coder->jerasure_matrix[i * c->k + j] = erasure_coefficient(coder->code, i, j);
    return ERR_OK;
}

static enum err new_liberasurecode(struct coder *coder)
{
    const struct coder_case *c = &coder->c;
    struct ec_args args = {.k = (int)c->k, .m = (int)c->m, .hd = (int)c->m + 1, .ct = CHKSUM_NONE};
    if (c->k + c->m > 32 || c->lost)
        return ERR_UNSUPPORTED;
    coder->peer = liberasurecode_instance_create(EC_BACKEND_ISA_L_RS_CAUCHY, &args);
    return coder->peer > 0 ? ERR_OK : ERR_UNSUPPORTED;
}

enum err coder_new(enum coder_kind kind, const struct coder_case *c, struct coder **out)
{
    struct erasure_options options = {.kernel = c->kernel};
    struct coder *coder = calloc(1, sizeof(*coder));
    if (!coder)
        return ERR_NOMEM;
    coder->kind = kind;
    coder->c = *c;
    enum err e = erasure_new(c->k, c->m, &options, &coder->code, NULL);
    if (e == ERR_OK)
        e = kind == CODER_OURS             ? new_ours(coder)
            : kind == CODER_ISAL           ? new_isal(coder)
            : kind == CODER_JERASURE       ? new_jerasure(coder)
            : kind == CODER_LIBERASURECODE ? new_liberasurecode(coder)
                                           : ERR_OK;
    if (e != ERR_OK) {
        coder_free(coder);
        return e;
    }
    *out = coder;
    return ERR_OK;
}

void coder_free(struct coder *coder)
{
    if (!coder)
        return;
    if (coder->peer > 0)
        liberasurecode_instance_destroy(coder->peer);
    erasure_plan_free(coder->plan);
    erasure_free(coder->code);
    free(coder->isal_tables);
    free(coder->jerasure_matrix);
    free(coder);
}

const char *coder_kernel(const struct coder *coder)
{
    return erasure_kernel(coder->code);
}

const struct erasure *coder_code(const struct coder *coder)
{
    return coder->code;
}

/* --- running */

static void run_jerasure(const struct coder *coder, char **shards, size_t size)
{
    const struct coder_case *c = &coder->c;
    int erased[256];
    if (!c->lost) {
        jerasure_matrix_encode((int)c->k, (int)c->m, 8, coder->jerasure_matrix, shards,
                               shards + c->k, (int)size);
        return;
    }
    for (unsigned i = 0; i < c->lost; i++)
        erased[i] = (int)i;
    erased[c->lost] = -1;
    jerasure_matrix_decode((int)c->k, (int)c->m, 8, coder->jerasure_matrix, 0, erased, shards,
                           shards + c->k, (int)size);
}

/* It takes the data in one piece: where the shards' memory is, whatever lies there. */
static void run_liberasurecode(const struct coder *coder, uint8_t *const *shards, size_t size)
{
    char **data, **parity;
    uint64_t fragment_size;
    if (liberasurecode_encode(coder->peer, (const char *)shards[0], size * coder->c.k, &data,
                              &parity, &fragment_size) == 0)
        liberasurecode_encode_cleanup(coder->peer, data, parity);
}

static void run_memcpy(const struct coder *coder, uint8_t *const *at, size_t size)
{
    const struct coder_case *c = &coder->c;
    for (unsigned i = 0; i < c->k; i++)
        memcpy(at[c->k + i % c->m], at[i], size);
}

#if defined(__x86_64__)
/* What no coder can beat: every source read once, XORed, every row written once. */
__attribute__((target("avx2"))) static void run_xor(const uint8_t *const *from, unsigned from_count,
                                                    uint8_t *const *to, unsigned to_count,
                                                    size_t size, bool stream)
{
    for (size_t at = 0; at + 64 <= size; at += 64) {
        __m256i a = _mm256_setzero_si256(), b = a;
        for (unsigned i = 0; i < from_count; i++) {
            const __m256i *p = (const __m256i *)(const void *)(from[i] + at);
            a = _mm256_xor_si256(a, _mm256_loadu_si256(p));
            b = _mm256_xor_si256(b, _mm256_loadu_si256(p + 1));
        }
        for (unsigned i = 0; i < to_count; i++) {
            __m256i *p = (__m256i *)(void *)(to[i] + at);
            if (stream) {
                _mm256_stream_si256(p, a);
                _mm256_stream_si256(p + 1, b);
            } else {
                _mm256_storeu_si256(p, a);
                _mm256_storeu_si256(p + 1, b);
            }
        }
    }
    _mm_sfence();
}
#else
static void run_xor(const uint8_t *const *from, unsigned from_count, uint8_t *const *to,
                    unsigned to_count, size_t size, bool stream)
{
    (void)stream;
    for (size_t at = 0; at + 8 <= size; at += 8) {
        uint64_t sum = 0, word;
        for (unsigned i = 0; i < from_count; i++) {
            memcpy(&word, from[i] + at, 8);
            sum ^= word;
        }
        for (unsigned i = 0; i < to_count; i++)
            memcpy(to[i] + at, &sum, 8);
    }
}
#endif

void coder_run(const struct coder *coder, uint8_t *const shards[], size_t offset, size_t size)
{
    const struct coder_case *c = &coder->c;
    uint8_t *at[256];
    for (unsigned i = 0; i < c->k + c->m; i++)
        at[i] = shards[i] + offset;
    /* the k that are read, the rows that are written */
    uint8_t **from = c->lost ? at + c->lost : at, **to = c->lost ? at : at + c->k;
    switch (coder->kind) {
    case CODER_OURS:
        if (c->lost)
            erasure_plan_run_range(coder->plan, shards, offset, size);
        else
            erasure_encode_range(coder->code, (const uint8_t *const *)shards, shards + c->k, offset,
                                 size);
        break;
    case CODER_ISAL:
        ec_encode_data((int)size, (int)c->k, (int)rows_of(c), coder->isal_tables, from, to);
        break;
    case CODER_JERASURE:
        run_jerasure(coder, (char **)at, size);
        break;
    case CODER_LIBERASURECODE:
        run_liberasurecode(coder, at, size);
        break;
    case CODER_MEMCPY:
        run_memcpy(coder, at, size);
        break;
    default:
        run_xor((const uint8_t *const *)from, c->k, to, rows_of(c), size,
                coder->kind == CODER_XOR_STREAM);
    }
}
