#include "erasure/erasure.h"

#include <stdlib.h>
#include <string.h>

/*
 * The first k shards that are there give all others; those that are there too must be equal. When
 * they are not, each shard is left out in turn: if the rest agrees with itself and is enough to say
 * so (k + 1), it was that one. Two such answers cannot be when k + 2 are present: leaving out a
 * right shard keeps the wrong one in, with k + 1 others that it would have to agree with.
 */

enum { PIECE = 4096 }; /* bytes of each shard compared at a time */

/* ERR_OK they agree; ERR_INCONSISTENT they do not. `space`: PIECE bytes for each shard. */
static enum err agree(struct erasure *code, const struct erasure_set *present,
                      const uint8_t *const shards[], size_t size, uint8_t *space,
                      struct errmsg *msg)
{
    unsigned n = erasure_k(code) + erasure_m(code), sources = 0;
    struct erasure_set first = {{0}}, rest = {{0}};
    for (unsigned i = 0; i < n; i++)
        if (erasure_set_has(present, i))
            erasure_set_add(sources++ < erasure_k(code) ? &first : &rest, i);
    struct erasure_plan *plan;
    enum err e = erasure_plan_new(code, &first, &rest, &plan, msg);
    if (e != ERR_OK)
        return e;
    for (size_t offset = 0; e == ERR_OK && offset < size; offset += PIECE) {
        size_t count = size - offset < PIECE ? size - offset : PIECE;
        uint8_t *at[LIMIT_SHARDS];
        for (unsigned i = 0; i < n; i++)
            at[i] = erasure_set_has(&rest, i)    ? space + (size_t)i * PIECE
                    : erasure_set_has(&first, i) ? (uint8_t *)shards[i] + offset
                                                 : NULL;
        erasure_plan_run(plan, at, count);
        for (unsigned i = 0; i < n; i++)
            if (erasure_set_has(&rest, i) && memcmp(at[i], shards[i] + offset, count) != 0)
                e = ERR_INCONSISTENT;
    }
    erasure_plan_free(plan);
    return e;
}

static enum err find_wrong(struct erasure *code, const struct erasure_set *present,
                           const uint8_t *const shards[], size_t size, uint8_t *space,
                           struct erasure_set *bad, struct errmsg *msg)
{
    unsigned n = erasure_k(code) + erasure_m(code);
    for (unsigned i = 0; erasure_set_count(present) >= erasure_k(code) + 2 && i < n; i++) {
        struct erasure_set others = *present;
        if (!erasure_set_has(present, i))
            continue;
        erasure_set_remove(&others, i);
        enum err e = agree(code, &others, shards, size, space, msg);
        if (e == ERR_INCONSISTENT)
            continue;
        if (e != ERR_OK)
            return e;
        erasure_set_add(bad, i);
        return err_say(msg, ERR_CORRUPT, "shard %u does not fit the %u others", i,
                       erasure_set_count(&others));
    }
    return err_say(msg, ERR_INCONSISTENT,
                   "the %u shards contradict each other and it cannot be told which are wrong",
                   erasure_set_count(present));
}

enum err erasure_verify(struct erasure *code, const uint8_t *const shards[], size_t size,
                        struct erasure_set *bad, struct errmsg *msg)
{
    unsigned n = erasure_k(code) + erasure_m(code);
    struct erasure_set present = {{0}};
    *bad = present;
    for (unsigned i = 0; i < n; i++)
        if (shards[i])
            erasure_set_add(&present, i);
    if (erasure_set_count(&present) <= erasure_k(code))
        return err_say(msg, ERR_NOT_ENOUGH,
                       "%u shards have nothing to be compared with (it takes %u)",
                       erasure_set_count(&present), erasure_k(code) + 1);
    uint8_t *space = malloc((size_t)n * PIECE);
    if (!space)
        return err_say(msg, ERR_NOMEM, "no memory to compare shards in");
    enum err e = agree(code, &present, shards, size, space, msg);
    if (e == ERR_INCONSISTENT)
        e = find_wrong(code, &present, shards, size, space, bad, msg);
    free(space);
    return e;
}
