/*
 * What every kernel must pass, without any test library, so that it also runs on another machine or
 * under an emulator. A kernel is held against the portable one (which test_erasure.c holds against
 * ISA-L), through the programs of all kinds, in memory with guard pages on both sides.
 */
#pragma once

#include "erasure/kernel.h"
#include "erasure/program.h"
#include "erasure_fixture.h"

#include <sys/mman.h>

#define CHECK(condition, ...)                               \
    do {                                                    \
        if (!(condition)) {                                 \
            fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
            fprintf(stderr, __VA_ARGS__);                   \
            fprintf(stderr, "\n");                          \
            abort();                                        \
        }                                                   \
    } while (0)

enum { GUARDED_SIZE = 8192, GUARD_PAGE = 4096, CHECK_LENGTH_MAX = 1030, CHECK_SHARDS_MAX = 64 };

/* GUARDED_SIZE bytes between two pages that may not be touched. */
static inline uint8_t *guarded_new(void)
{
    uint8_t *at =
        mmap(NULL, GUARDED_SIZE + 2 * GUARD_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED, "no memory");
    CHECK(mprotect(at + GUARD_PAGE, GUARDED_SIZE, PROT_READ | PROT_WRITE) == 0, "mprotect");
    return at + GUARD_PAGE;
}

/* One shape of program, compiled for the kernel under test and for the portable one. */
struct check {
    const char *name;
    unsigned k, m;
    struct program *tested, *portable;
    uint8_t *guarded[CHECK_SHARDS_MAX];
    uint8_t expected[CHECK_SHARDS_MAX][CHECK_LENGTH_MAX];
};

enum check_effort { CHECK_QUICK, CHECK_NORMAL, CHECK_FULL };
enum check_shape { CHECK_TILES, CHECK_TRANSFORM, CHECK_DENSE, CHECK_SHAPES };

static inline struct program *check_compile(const struct kernel *kernel, enum check_shape shape,
                                            unsigned k, unsigned m)
{
    static uint8_t points[256], matrix[256 * 256];
    struct program *program = NULL;
    enum err e;
    for (unsigned i = 0; i < 256; i++)
        points[i] = (uint8_t)i;
    for (unsigned i = 0; i < k * m; i++)
        matrix[i] = (uint8_t)(i * 151 + i / 7);
    if (shape == CHECK_TILES)
        e = program_new_cauchy(kernel, points + k, m, points, k, &program);
    else if (shape == CHECK_TRANSFORM)
        e = transform_build_new(kernel, k, m, &program);
    else
        e = program_new_dense(kernel, matrix, m, k, false, &program);
    CHECK(e == ERR_OK, "cannot compile %u+%u", k, m);
    return program;
}

/* Shards start `misalignment` (and a little more each) after the lower guard, or, when it is
   negative, end at the upper guard. Nothing outside of them may change. */
static inline void check_length(struct check *c, size_t length, int misalignment)
{
    uint8_t *at[CHECK_SHARDS_MAX];
    for (unsigned i = 0; i < c->k + c->m; i++) {
        size_t start = misalignment < 0
                           ? GUARDED_SIZE - length
                           : ((unsigned)misalignment + 5 * i * (misalignment > 0)) % 64;
        at[i] = c->guarded[i] + start;
        if (i >= c->k)
            memset(c->guarded[i], 0xa5, GUARDED_SIZE);
    }
    program_run(c->tested, (const uint8_t *const *)at, at + c->k, 0, length, length);
    uint8_t *expected[CHECK_SHARDS_MAX];
    for (unsigned i = 0; i < c->m; i++)
        expected[i] = c->expected[i];
    program_run(c->portable, (const uint8_t *const *)at, expected, 0, length, length);
    for (unsigned i = 0; i < c->m; i++) {
        uint8_t *row = at[c->k + i], *low = c->guarded[c->k + i], *high = low + GUARDED_SIZE;
        CHECK(memcmp(row, expected[i], length) == 0, "%s %u+%u: row %u differs, %zu bytes at %d",
              c->name, c->k, c->m, i, length, misalignment);
        for (uint8_t *p = low; p < high; p++)
            if (p < row || p >= row + length)
                CHECK(*p == 0xa5, "%s %u+%u: wrote outside of row %u, %zu bytes at %d", c->name,
                      c->k, c->m, i, length, misalignment);
    }
}

static inline void check_shape(const struct kernel *kernel, enum check_shape shape, unsigned k,
                               unsigned m, enum check_effort effort)
{
    static struct check c;
    c = (struct check){.name = kernel->name, .k = k, .m = m};
    c.tested = check_compile(kernel, shape, k, m);
    c.portable = check_compile(&kernel_portable, shape, k, m);
    for (unsigned i = 0; i < k + m; i++) {
        c.guarded[i] = guarded_new();
        random_fill(c.guarded[i], GUARDED_SIZE);
    }
    for (size_t length = 0; length <= CHECK_LENGTH_MAX; length++) {
        if (effort == CHECK_QUICK && length % 37 && length > 66)
            continue;
        check_length(&c, length, -1);
        if (effort == CHECK_FULL)
            for (int misalignment = 0; misalignment < 64; misalignment++)
                check_length(&c, length, misalignment);
        else if (length % 8 == 0 || length < 130)
            check_length(&c, length, (int)random_below(64));
    }
    for (unsigned i = 0; i < k + m; i++)
        munmap(c.guarded[i] - GUARD_PAGE, GUARDED_SIZE + 2 * GUARD_PAGE);
    program_free(c.tested);
    program_free(c.portable);
}

/* Every constant times every byte: the table and the multiplication itself. */
static inline void check_products(const struct kernel *kernel)
{
    uint8_t all[256], out[256], expected[256];
    const uint8_t *source = all;
    uint8_t *row = out;
    for (unsigned i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    for (unsigned constant = 0; constant < 256; constant++) {
        uint8_t matrix = (uint8_t)constant;
        struct program *program;
        CHECK(program_new_dense(kernel, &matrix, 1, 1, false, &program) == ERR_OK, "no memory");
        program_run(program, &source, &row, 0, 256, 256);
        program_free(program);
        for (unsigned i = 0; i < 256; i++) { /* as polynomials, bit by bit */
            unsigned a = constant, product = 0;
            for (unsigned b = i; b; b >>= 1, a = a << 1 ^ (a & 128 ? 0x11d : 0))
                product ^= b & 1 ? a : 0;
            expected[i] = (uint8_t)product;
        }
        CHECK(memcmp(out, expected, 256) == 0, "%s: products with %u", kernel->name, constant);
    }
}

/* Large enough to be stored around the caches, if the rows start at a line. */
static inline void check_far(const struct kernel *kernel, enum check_shape shape, unsigned k,
                             unsigned m, unsigned misalignment)
{
    size_t size = (size_t)(9 << 20) / (k + m) / 64 * 64 + 100;
    uint8_t *memory = aligned_alloc(64, (size + 64) / 64 * 64 * (k + 2 * m) + 64),
            *at[CHECK_SHARDS_MAX];
    CHECK(memory, "no memory");
    for (unsigned i = 0; i < k + 2 * m; i++)
        at[i] = memory + i * ((size + 64) / 64 * 64) + misalignment;
    for (size_t i = 0; i < size * k; i++)
        at[0][i] = (uint8_t)(i * 2654435761u >> 15);
    struct program *tested = check_compile(kernel, shape, k, m);
    struct program *portable = check_compile(&kernel_portable, shape, k, m);
    program_run(tested, (const uint8_t *const *)at, at + k, 0, size, size);
    program_run(portable, (const uint8_t *const *)at, at + k + m, 0, size, 0);
    for (unsigned i = 0; i < m; i++)
        CHECK(memcmp(at[k + i], at[k + m + i], size) == 0, "%s: far row %u", kernel->name, i);
    program_free(tested);
    program_free(portable);
    free(memory);
}

/* A transform of some sources to some rows, to which something is added, against the portable one
   of all with zeros for what is absent. */
static inline void check_part(const struct kernel *kernel, unsigned k, unsigned m, unsigned absent)
{
    enum { SIZE = 704 };
    static uint8_t in[CHECK_SHARDS_MAX][SIZE], adds[CHECK_SHARDS_MAX][SIZE];
    static uint8_t out[CHECK_SHARDS_MAX][SIZE], expected[CHECK_SHARDS_MAX][SIZE];
    const uint8_t *from[CHECK_SHARDS_MAX], *all[CHECK_SHARDS_MAX], *add[CHECK_SHARDS_MAX];
    uint8_t *to[CHECK_SHARDS_MAX], *to_expected[CHECK_SHARDS_MAX];
    bool have[CHECK_SHARDS_MAX], want[CHECK_SHARDS_MAX];
    struct program *tested, *portable = check_compile(&kernel_portable, CHECK_TRANSFORM, k, m);
    for (unsigned i = 0; i < k; i++) {
        have[i] = i >= absent && i % 5;
        random_fill(in[i], SIZE);
        if (!have[i])
            memset(in[i], 0, SIZE);
        all[i] = in[i];
        from[i] = have[i] ? in[i] : NULL;
    }
    for (unsigned i = 0; i < m; i++) {
        want[i] = i < 3 || i % 7 == 4;
        to[i] = want[i] ? out[i] : NULL;
        to_expected[i] = expected[i];
        random_fill(adds[i], SIZE);
        add[i] = i % 2 ? adds[i] : NULL;
    }
    CHECK(transform_build_part(kernel, k, m, have, want, &tested) == ERR_OK, "no memory");
    program_run_add(tested, from, to, add, SIZE, 0);
    program_run(portable, all, to_expected, 0, SIZE, SIZE);
    for (unsigned i = 0; i < m; i++)
        for (unsigned n = 0; want[i] && n < SIZE; n++)
            CHECK(out[i][n] == (uint8_t)(expected[i][n] ^ (add[i] ? add[i][n] : 0)),
                  "%s: part of %u+%u, row %u", kernel->name, k, m, i);
    program_free(tested);
    program_free(portable);
}

/* The solver takes what the Cauchy matrix of sources 0 .. and rows `apart` on made back to what it
   was made of. */
static inline void check_solver(const struct kernel *kernel, unsigned count, unsigned apart)
{
    enum { SIZE = 448 };
    static uint8_t in[CHECK_SHARDS_MAX][SIZE], sums[CHECK_SHARDS_MAX][SIZE];
    static uint8_t out[CHECK_SHARDS_MAX][SIZE];
    const uint8_t *from[CHECK_SHARDS_MAX], *middle[CHECK_SHARDS_MAX];
    uint8_t *to[CHECK_SHARDS_MAX], *to_middle[CHECK_SHARDS_MAX];
    uint8_t sources[CHECK_SHARDS_MAX], rows[CHECK_SHARDS_MAX];
    struct program *tested, *cauchy;
    for (unsigned i = 0; i < count; i++) {
        random_fill(in[i], SIZE);
        sources[i] = (uint8_t)i;
        rows[i] = (uint8_t)(apart + i);
        from[i] = in[i];
        middle[i] = to_middle[i] = sums[i];
        to[i] = out[i];
    }
    CHECK(program_new_cauchy(&kernel_portable, rows, count, sources, count, &cauchy) == ERR_OK,
          "no memory");
    CHECK(transform_build_can_solve(rows, sources, count), "no fours");
    CHECK(transform_build_solver(kernel, rows, sources, count, &tested) == ERR_OK, "no memory");
    program_run(cauchy, from, to_middle, 0, SIZE, SIZE);
    program_run(tested, middle, to, 0, SIZE, SIZE);
    for (unsigned i = 0; i < count; i++)
        CHECK(memcmp(out[i], in[i], SIZE) == 0, "%s: %u solved, row %u", kernel->name, count, i);
    program_free(tested);
    program_free(cauchy);
}

static inline void check_kernel(const struct kernel *kernel, enum check_effort effort)
{
    static const struct {
        enum check_shape shape;
        unsigned k, m;
    } shapes[] = {
        {CHECK_DENSE, 1, 1},      {CHECK_DENSE, 4, 1},       {CHECK_DENSE, 9, 1},
        {CHECK_DENSE, 3, 2},      {CHECK_DENSE, 5, 7},       {CHECK_TILES, 10, 4},
        {CHECK_TILES, 8, 8},      {CHECK_TILES, 17, 3},      {CHECK_TILES, 32, 16},
        {CHECK_TILES, 7, 9},      {CHECK_TRANSFORM, 4, 4},   {CHECK_TRANSFORM, 8, 5},
        {CHECK_TRANSFORM, 16, 8}, {CHECK_TRANSFORM, 20, 12}, {CHECK_TRANSFORM, 40, 20},
    };
    check_products(kernel);
    for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        check_shape(kernel, shapes[i].shape, shapes[i].k, shapes[i].m, effort);
    check_part(kernel, 16, 8, 0);
    check_part(kernel, 16, 8, 8);
    check_part(kernel, 24, 12, 12);
    check_part(kernel, 32, 16, 9);
    check_part(kernel, 20, 40, 3);
    check_solver(kernel, 4, 16);
    check_solver(kernel, 8, 20);
    check_solver(kernel, 12, 24);
    check_solver(kernel, 40, 44);
    check_far(kernel, CHECK_DENSE, 4, 1, 0);
    check_far(kernel, CHECK_DENSE, 17, 2, 0);
    check_far(kernel, CHECK_DENSE, 17, 2, 1);
    check_far(kernel, CHECK_DENSE, 5, 3, 0);
    check_far(kernel, CHECK_TILES, 10, 4, 0);
    check_far(kernel, CHECK_TRANSFORM, 16, 8, 0);
    check_far(kernel, CHECK_TRANSFORM, 24, 12, 0);
}
