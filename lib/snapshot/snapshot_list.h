/*
 * References to content: which chunks, in which order, make up a file or a directory.
 *
 * A ref is 40 bytes: chunk ID (32) ‖ le64 bytes of content that it stands for. Up to
 * SNAPSHOT_INLINE_REFS stand in the entry itself. More are cut into lists (chunks of their own),
 * whose refs are again inline or in lists: `depth` says how many steps of lists lie between. Lists
 * are cut where the content says so (a chunk ID that ends in 12 zero bits, or SNAPSHOT_LIST_REFS),
 * so that an insertion into a large file changes one list and not all.
 *
 * A list chunk is a byte 1 (the version), then its refs.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"

enum {
    SNAPSHOT_REF_SIZE = 40,
    SNAPSHOT_INLINE_REFS = 64,
    SNAPSHOT_LIST_REFS_MIN = 256,
    SNAPSHOT_LIST_REFS = 16384,
    SNAPSHOT_LIST_BYTES_MAX = 1 + SNAPSHOT_LIST_REFS * SNAPSHOT_REF_SIZE,
    SNAPSHOT_DEPTH_MAX = 4, /* 16384^4 chunks are more than there is */
};

struct snapshot_ref {
    struct id id;
    uint64_t bytes; /* of content: a file's data bytes; of a directory: its nodes' bytes */
};

struct snapshot_content {
    unsigned depth;    /* 0: refs are data (or nodes); 1: lists of such; ... */
    struct slice refs; /* SNAPSHOT_REF_SIZE each */
};

static inline size_t snapshot_ref_count(struct slice refs)
{
    return refs.size / SNAPSHOT_REF_SIZE;
}

struct snapshot_ref snapshot_ref_at(struct slice refs, size_t index);
MUST_CHECK enum err snapshot_ref_append(struct buf *refs, const struct snapshot_ref *ref);

/* The sum of the refs' bytes; ERR_FORMAT when it overflows. */
MUST_CHECK enum err snapshot_refs_bytes(struct slice refs, uint64_t *out);

/* A list chunk's refs, borrowed. ERR_VERSION; ERR_FORMAT when it is empty, cut or too long, or its
   refs do not stand for `bytes` in all. */
MUST_CHECK enum err snapshot_list_decode(struct slice bytes, uint64_t content_bytes,
                                         struct slice *out_refs);

/* Gives a finished list chunk to the caller, who names and stores it. `bytes` is borrowed. */
typedef enum err snapshot_list_emit_fn(void *user, struct slice bytes, struct id *out_id);

/* Building: init, add in order, finish. Memory: at most 640 KiB for each step. */
struct snapshot_list {
    snapshot_list_emit_fn *emit; /* public */
    void *user;                  /* public */
    struct buf levels[SNAPSHOT_DEPTH_MAX + 1];
    uint64_t bytes[SNAPSHOT_DEPTH_MAX + 1];
    unsigned depth;
};

void snapshot_list_init(struct snapshot_list *list, snapshot_list_emit_fn *emit, void *user);
MUST_CHECK enum err snapshot_list_add(struct snapshot_list *list, const struct snapshot_ref *ref);
/* `out->refs` is borrowed from the list until it is freed. */
MUST_CHECK enum err snapshot_list_finish(struct snapshot_list *list, struct snapshot_content *out);
void snapshot_list_free(struct snapshot_list *list);
