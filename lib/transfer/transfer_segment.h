/*
 * One segment as the readers need it: what the index knows of it, and its key.
 */
#pragma once

#include "swarm/swarm_gather.h"
#include "vault/vault_parts.h"

/* About 17 KiB; allocate it. Holds a key: wipe it with transfer_segment_clear(). */
struct transfer_segment {
    struct index_segment row;
    struct segment_header header;
    struct index_shard shards[LIMIT_SHARDS]; /* k + m */
    struct swarm_holder holders[LIMIT_SHARDS];
    size_t holder_count;
    uint8_t data_key[SEGMENT_DATA_KEY_SIZE];
};

/* On the lane. NOT_FOUND; CORRUPT when the header is not the one that the ID names. Without the
   key. */
MUST_CHECK enum err transfer_segment_load(struct index *index, uint64_t number,
                                          struct transfer_segment *out, struct errmsg *msg);

/* On the loop: the data key. */
MUST_CHECK enum err transfer_segment_unlock(const struct vault *vault,
                                            struct transfer_segment *segment, struct errmsg *msg);
void transfer_segment_clear(struct transfer_segment *segment);

static inline size_t transfer_segment_bytes(const struct transfer_segment *segment)
{
    return (size_t)segment->header.k * segment->header.shard_bytes;
}
