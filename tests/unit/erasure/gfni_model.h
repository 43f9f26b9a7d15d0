/*
 * GF2P8AFFINEQB and 512-bit vectors in plain words, after Intel's manual, for kernels that neither
 * this CPU nor the emulator can run: the kernels' own source is compiled over them and must pass
 * what all kernels pass. It shows that their logic is right, not that the instructions do what the
 * manual says.
 */
#pragma once

#include <immintrin.h>

#include <stdint.h>
#include <string.h>

/* For each byte, bit i of the result is the parity of (byte 7 - i of the matrix AND the byte). */
static inline __attribute__((target("avx2"))) __m256i model_affine(__m256i v, __m256i matrix)
{
    uint8_t bytes[32], rows[32], out[32];
    memcpy(bytes, &v, 32);
    memcpy(rows, &matrix, 32);
    for (unsigned n = 0; n < 32; n++) {
        unsigned result = 0;
        for (unsigned i = 0; i < 8; i++)
            result |= (unsigned)__builtin_parity(rows[n / 8 * 8 + 7 - i] & bytes[n]) << i;
        out[n] = (uint8_t)result;
    }
    memcpy(&v, out, 32);
    return v;
}

#define AFFINE256(v, m) model_affine(v, m)

struct model_512 {
    __m256i low, high;
};

static inline __attribute__((target("avx2"))) struct model_512 model_load(const uint8_t *p)
{
    struct model_512 v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline __attribute__((target("avx2"))) void model_store(uint8_t *p, struct model_512 v)
{
    memcpy(p, &v, sizeof(v));
}

static inline __attribute__((target("avx2"))) struct model_512 model_xor(struct model_512 a,
                                                                         struct model_512 b)
{
    return (struct model_512){_mm256_xor_si256(a.low, b.low), _mm256_xor_si256(a.high, b.high)};
}

static inline __attribute__((target("avx2"))) struct model_512 model_affine512(struct model_512 v,
                                                                               struct model_512 m)
{
    return (struct model_512){model_affine(v.low, m.low), model_affine(v.high, m.high)};
}

static inline __attribute__((target("avx2"))) struct model_512 model_broadcast(const uint8_t *p)
{
    long long word;
    memcpy(&word, p, 8);
    return (struct model_512){_mm256_set1_epi64x(word), _mm256_set1_epi64x(word)};
}

#define V512            struct model_512
#define ZERO512()       ((struct model_512){_mm256_setzero_si256(), _mm256_setzero_si256()})
#define LOAD512(p)      model_load(p)
#define STORE512(p, v)  model_store(p, v)
#define STREAM512(p, v) model_store(p, v)
#define XOR512(a, b)    model_xor(a, b)
#define AFFINE512(v, m) model_affine512(v, m)
#define BROADCAST512(p) model_broadcast(p)
