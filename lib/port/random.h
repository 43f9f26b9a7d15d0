/* Random bytes. The real port is the kernel's (through libsodium); the simulator's comes from its
 * seed. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct random {
    void (*fill)(void *context, void *out, size_t size); /* any thread; cannot fail */
    void *context;
};

static inline void random_fill(const struct random *r, void *out, size_t size)
{
    r->fill(r->context, out, size);
}

static inline uint64_t random_u64(const struct random *r)
{
    uint64_t value;
    r->fill(r->context, &value, sizeof(value));
    return value;
}

/* Uniform in 0..bound-1; bound > 0. */
static inline uint64_t random_below(const struct random *r, uint64_t bound)
{
    uint64_t reject_from = UINT64_MAX - UINT64_MAX % bound;
    uint64_t value;
    do {
        value = random_u64(r);
    } while (value >= reject_from);
    return value % bound;
}
