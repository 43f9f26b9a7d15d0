/* What the erasure tests share: seeds that are printed and can be given, shards in one allocation.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t random_state;

/* CELLAR_TEST_SEED gives the same run again. */
static inline void random_start(const char *what)
{
    const char *given = getenv("CELLAR_TEST_SEED");
    random_state = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 2654435761u;
    printf("%s: CELLAR_TEST_SEED=%llu\n", what, (unsigned long long)random_state);
    random_state |= 1;
}

static inline uint64_t random_u64(void) /* xorshift64* */
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1du;
}

static inline unsigned random_below(unsigned n)
{
    return (unsigned)(random_u64() >> 33) % n;
}

static inline void random_fill(uint8_t *out, size_t size)
{
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(random_u64() >> 56);
}

static inline int full_tier(void)
{
    return getenv("CELLAR_TEST_FULL") != NULL;
}

/* `count` shards of `size` bytes, one malloc each row of pointers; shards_free() frees both. */
struct shards {
    uint8_t *at[256];
    unsigned count;
    size_t size;
    uint8_t *memory;
};

static inline struct shards shards_new(unsigned count, size_t size)
{
    struct shards s = {.count = count, .size = size, .memory = malloc(count * size + 1)};
    if (!s.memory)
        abort();
    for (unsigned i = 0; i < count; i++)
        s.at[i] = s.memory + i * size;
    return s;
}

static inline void shards_free(struct shards *s)
{
    free(s->memory);
}
