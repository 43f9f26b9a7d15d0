#include "swarm/swarm_decode.h"

struct sets {
    struct erasure_set present, wanted;
};

static struct sets sets_of(const struct swarm_decode *decode, uint32_t leaf)
{
    struct sets sets = {0};
    const unsigned n = (unsigned)decode->header->k + decode->header->m;
    for (unsigned i = 0; i < n; i++) {
        if (decode->have[i] >> leaf & 1)
            erasure_set_add(&sets.present, i);
        if (decode->missing[i] >> leaf & 1)
            erasure_set_add(&sets.wanted, i);
    }
    return sets;
}

static bool same(const struct sets *a, const struct sets *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static enum err make(struct swarm_decode *decode, const struct sets *sets, uint32_t first,
                     uint32_t count)
{
    struct erasure_plan *plan;
    enum err e = erasure_plan_new(decode->code, &sets->present, &sets->wanted, &plan, NULL);
    if (e != ERR_OK)
        return e;
    erasure_plan_run_range(plan, decode->shards, (size_t)first * LIMIT_LEAF_BYTES,
                           segment_leaves_bytes(decode->header->shard_bytes, first, count));
    erasure_plan_free(plan);
    decode->made += count * erasure_set_count(&sets->wanted);
    return ERR_OK;
}

/* Columns one beside the other that lack the same shards are made in one go. */
static enum err make_all(struct swarm_decode *decode)
{
    const uint32_t leaves = segment_leaf_count(decode->header->shard_bytes);
    uint32_t first = 0;
    while (first < leaves) {
        const struct sets sets = sets_of(decode, first);
        uint32_t end = first + 1;
        while (end < leaves) {
            const struct sets next = sets_of(decode, end);
            if (!same(&sets, &next))
                break;
            end++;
        }
        if (erasure_set_count(&sets.wanted) > 0) {
            const enum err e = make(decode, &sets, first, end - first);
            if (e != ERR_OK)
                return e;
        }
        first = end;
    }
    return ERR_OK;
}

/* All of a shard is here, and some of it was made: is it the one that the header names? */
static enum err check_all(const struct swarm_decode *decode)
{
    const unsigned n = (unsigned)decode->header->k + decode->header->m;
    const uint32_t leaves = segment_leaf_count(decode->header->shard_bytes);
    struct sha256 *h;
    enum err e = sha256_new(&h);
    if (e != ERR_OK)
        return e;
    for (unsigned i = 0; i < n && e == ERR_OK; i++) {
        if (!decode->missing[i] ||
            (decode->missing[i] | decode->have[i]) != swarm_leaves_run(0, leaves))
            continue;
        e = segment_leaves_verify(h, decode->header, i, 0, leaves,
                                  slice_of(decode->shards[i], decode->header->shard_bytes),
                                  slice_of(NULL, 0));
        if (e == ERR_CORRUPT)
            e = ERR_INCONSISTENT;
    }
    sha256_free(h);
    return e;
}

static void run(struct work_job *job)
{
    struct swarm_decode *decode = container_of(job, struct swarm_decode, job);
    decode->e = make_all(decode);
    if (decode->e == ERR_OK && decode->check)
        decode->e = check_all(decode);
}

static void done(struct work_job *job)
{
    struct swarm_decode *decode = container_of(job, struct swarm_decode, job);
    decode->done(decode);
}

void swarm_decode_start(struct swarm_decode *decode, const struct work *work)
{
    decode->made = 0;
    decode->job = (struct work_job){.run = run, .done = done};
    work_submit(work, NULL, &decode->job);
}
