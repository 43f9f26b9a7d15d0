/*
 * The contestants of `cellbench erasure`, all with one shape: a code, shards in memory, one call
 * that encodes them or makes the lost ones again. What a peer needs beforehand (matrices,
 * instances) is made once; what it does in each call (liberasurecode allocates and copies) is part
 * of its time.
 */
#pragma once

#include "base/err.h"
#include "erasure/erasure.h"

struct coder_case {
    unsigned k, m;
    unsigned lost; /* 0: encode; else data shards 0, 1, .. are made again from the next k */
    size_t size;   /* of a shard */
    const char *kernel;
};

struct coder;

enum coder_kind {
    CODER_OURS,
    CODER_ISAL,
    CODER_JERASURE,
    CODER_LIBERASURECODE,
    CODER_MEMCPY,
    CODER_XOR,
    CODER_XOR_STREAM,
    CODER_KINDS
};

extern const char *const coder_names[CODER_KINDS];

/* ERR_UNSUPPORTED: it cannot do this case. */
MUST_CHECK enum err coder_new(enum coder_kind kind, const struct coder_case *c, struct coder **out);
void coder_free(struct coder *coder);

/* Bytes offset..offset+size-1 of each of the k + m shards; safe from several threads. */
void coder_run(const struct coder *coder, uint8_t *const shards[], size_t offset, size_t size);

/* The kernel that is in use (ours). */
const char *coder_kernel(const struct coder *coder);
const struct erasure *coder_code(const struct coder *coder);
