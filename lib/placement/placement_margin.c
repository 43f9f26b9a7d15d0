#include "placement/placement_margin.h"

#include "base/limits.h"

#include <assert.h>

int32_t placement_margin(const struct placement_shard *shards, size_t count, uint32_t k)
{
    assert(count <= LIMIT_SHARDS);
    uint32_t domain_shards[LIMIT_SHARDS]; /* alive in the domain of which this shard is the first */
    uint32_t alive = 0;
    for (size_t i = 0; i < count; i++) {
        domain_shards[i] = 0;
        if (!shards[i].alive)
            continue;
        alive++;
        size_t first = 0;
        while (!shards[first].alive || !id_equal(&shards[first].household, &shards[i].household))
            first++;
        domain_shards[first]++;
    }
    if (alive < k)
        return (int32_t)alive - (int32_t)k;
    int32_t margin = 0;
    for (;; margin++) {
        size_t fullest = 0;
        for (size_t i = 1; i < count; i++)
            if (domain_shards[i] > domain_shards[fullest])
                fullest = i;
        if (count == 0 || domain_shards[fullest] == 0 || alive - domain_shards[fullest] < k)
            return margin;
        alive -= domain_shards[fullest];
        domain_shards[fullest] = 0;
    }
}
