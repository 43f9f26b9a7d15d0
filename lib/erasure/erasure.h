/*
 * Reed-Solomon over GF(2^8)/0x11D: k data shards give m parity shards, any k of the k + m give all.
 *
 *     e = erasure_new(16, 8, NULL, &code, msg);             // once; share it between threads
 *     erasure_encode(code, data, parity, size);             // data[16], parity[8]: caller's
 * buffers
 *
 *     e = erasure_plan_new(code, &present, &wanted, &plan, msg);
 *     erasure_plan_run(plan, shards, size);                 // shards[24]: reads k, writes the
 * wanted
 *
 * The parity equals, byte for byte, that of ISA-L with its Cauchy matrix (liberasurecode's
 * `isa_l_rs_cauchy`): parity i = sum over j of data j / ((k + i) XOR j). docs/erasure.md has the
 * field, the matrix, the kernels and the measurements.
 *
 * Shapes. All shards of one call have the same `size` in bytes (any, 0 too), at any alignment; they
 * must not overlap. Shards are numbered 0..k-1 (data) and k..k+m-1 (parity). Calls that move bytes
 * allocate nothing, cannot fail and keep no state, so any number of threads may use one context or
 * plan at once, on different byte ranges of the same shards too (erasure_split()). They use up to
 * 160 KiB of stack.
 *
 * Where the memory lies matters: shards that start at equal addresses modulo 4 KiB fight for the
 * same few cache lines. Who lays out shards himself sets them erasure_stride(size) apart.
 */
#pragma once

#include "base/err.h"
#include "base/limits.h"

#include <stddef.h>
#include <stdint.h>

/* The `matrix` byte of formats. Others are free for later; readers refuse what they do not know. */
enum erasure_matrix {
    ERASURE_MATRIX_CAUCHY = 1, /* isa_l_rs_cauchy */
};

/* --- sets of shards */

struct erasure_set {
    uint64_t words[4]; /* bit i % 64 of word i / 64: shard i is in the set */
};

static inline void erasure_set_add(struct erasure_set *set, unsigned index)
{
    set->words[index / 64 % 4] |= (uint64_t)1 << index % 64;
}

static inline void erasure_set_remove(struct erasure_set *set, unsigned index)
{
    set->words[index / 64 % 4] &= ~((uint64_t)1 << index % 64);
}

static inline bool erasure_set_has(const struct erasure_set *set, unsigned index)
{
    return set->words[index / 64 % 4] >> index % 64 & 1;
}

static inline unsigned erasure_set_count(const struct erasure_set *set)
{
    int count = 0;
    for (int i = 0; i < 4; i++)
        count += __builtin_popcountll(set->words[i]);
    return (unsigned)count;
}

/* --- contexts */

struct erasure; /* immutable once made */

struct erasure_options {
    enum erasure_matrix matrix; /* 0: ERASURE_MATRIX_CAUCHY */
    const char *kernel;         /* a name of erasure_kernel_name(); NULL: the fastest usable one */
    bool unproven; /* with `kernel` NULL: also consider kernels that never ran on hardware */
};

/* 1 <= k, 1 <= m, k + m <= LIMIT_SHARDS, else ERR_USAGE. ERR_UNSUPPORTED: unknown matrix, unknown
   kernel, or one that this CPU cannot run. `options` NULL: all defaults. ERR_NOMEM. */
MUST_CHECK enum err erasure_new(unsigned k, unsigned m, const struct erasure_options *options,
                                struct erasure **out, struct errmsg *msg);

/* Plans made from it must be freed first. NULL does nothing. */
void erasure_free(struct erasure *code);

unsigned erasure_k(const struct erasure *code);
unsigned erasure_m(const struct erasure *code);
/* The name of the kernel in use ("avx2", ...). */
const char *erasure_kernel(const struct erasure *code);
/* What data shard `column` is multiplied with in parity shard k + `row`. */
uint8_t erasure_coefficient(const struct erasure *code, unsigned row, unsigned column);

/* The kernels compiled in, slowest first; NULL past the last. */
const char *erasure_kernel_name(unsigned index);
/* Whether this CPU can run it; `*proven` (may be NULL): whether it ever ran on real hardware. Those
   that did not are never chosen unless options say so. */
bool erasure_kernel_usable(const char *name, bool *proven);

/* --- encoding */

/* data[k] gives parity[m]. A parity pointer that is NULL is a row that is not wanted; it costs
   nothing when its neighbours are not wanted either. */
void erasure_encode(const struct erasure *code, const uint8_t *const data[],
                    uint8_t *const parity[], size_t size);

/* The same for bytes offset..offset+size-1 of every shard alone; the pointers are the shards'
   starts. */
void erasure_encode_range(const struct erasure *code, const uint8_t *const data[],
                          uint8_t *const parity[], size_t offset, size_t size);

/* Encoding with something done to every shard's bytes while they are hot (Merkle leaves hashed).
   The shards are walked in blocks of `block` bytes. For each block, in order of offset: first
   on_block(user, 0, k, offset, size) for the data, which pulls it from memory at the pace of the
   hash; then the block is encoded, from cache; then on_block(user, k, m, offset, size) for the
   parity that was just written. Rows that are not wanted are still reported. A leaf longer than a
   block is hashed in pieces. */
struct erasure_fuse {
    size_t block; /* 0: erasure_fuse_block(); a divisor of the leaf size, or the leaf size */
    void (*on_block)(void *user, unsigned first, unsigned count, size_t offset, size_t size);
    void *user;
};

void erasure_encode_fused(const struct erasure *code, const uint8_t *const data[],
                          uint8_t *const parity[], size_t size, const struct erasure_fuse *fuse);

/* What measured fastest: a whole leaf (64 KiB) where parity is stored around the caches and read
   back at the hash's pace, else the largest power of two from 1 KiB on with which a block of all k
   + m shards fits half of this CPU's second-level cache. */
size_t erasure_fuse_block(const struct erasure *code);

/* Adds data shard `index` to the parity, for shards that arrive one at a time: start with parity of
   zeros, call it once for each data shard, in any order. With old XOR new bytes it replaces a
   shard. parity[i] NULL: not wanted. */
void erasure_update(const struct erasure *code, unsigned index, const uint8_t *data,
                    uint8_t *const parity[], size_t size);

/* --- threads and memory */

struct erasure_range {
    size_t offset, size;
};

/* Part `index` of `parts` of 0..size-1, cut at multiples of 4 KiB: for a caller's own threads, each
   of which calls a ..._range function with it. Late parts may be empty. */
struct erasure_range erasure_split(size_t size, unsigned parts, unsigned index);

/* The smallest distance of at least `size`, a multiple of 64, at which shards laid out in a row do
   not collide in the caches. */
size_t erasure_stride(size_t size);

/* --- reconstruction */

struct erasure_plan; /* immutable */

/* How to make the `wanted` shards from the `present` ones. Wanted shards that are present cost
   nothing and are not touched. Only k of the present ones are read: data first, since it needs
   least work. ERR_NOT_ENOUGH: fewer than k present and something wanted that is not. ERR_USAGE: a
   number of k + m or more in a set. ERR_NOMEM. Plans are counted references into a cache of the
   last inverse matrices in the context, so asking again for the same losses is cheap. */
MUST_CHECK enum err erasure_plan_new(struct erasure *code, const struct erasure_set *present,
                                     const struct erasure_set *wanted, struct erasure_plan **out,
                                     struct errmsg *msg);
void erasure_plan_free(struct erasure_plan *plan); /* NULL does nothing */

/* The k shards that are read (none when nothing needs making), and those that are written. */
struct erasure_set erasure_plan_sources(const struct erasure_plan *plan);
struct erasure_set erasure_plan_targets(const struct erasure_plan *plan);

/* shards[k + m]: the sources are read, the targets written, all others may be NULL. What it is
   given it believes: check shards against their Merkle roots first, or use erasure_verify(). */
void erasure_plan_run(const struct erasure_plan *plan, uint8_t *const shards[], size_t size);
void erasure_plan_run_range(const struct erasure_plan *plan, uint8_t *const shards[], size_t offset,
                            size_t size);

/* --- checking without hashes */

/* Whether the shards agree with each other. shards[k + m], NULL: absent. Needs at least k + 1, else
   ERR_NOT_ENOUGH. ERR_CORRUPT: exactly one is wrong and `*bad` names it (needs k + 2 present).
   ERR_INCONSISTENT: they disagree and it cannot be told which is wrong. `bad` is empty unless
   ERR_CORRUPT. Slow on purpose-built attacks only: the first pass is one reconstruction. */
MUST_CHECK enum err erasure_verify(struct erasure *code, const uint8_t *const shards[], size_t size,
                                   struct erasure_set *bad, struct errmsg *msg);
