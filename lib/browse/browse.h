/*
 * Directories and files of a snapshot at random, for an operation of transfer_cache.h: each
 * function is straight code that says ERR_BUSY until what it lacks is there, and is then called
 * again with the same arguments.
 *
 * A *place* says where an entry stands in its directory: node index ‖ 21 bits of byte offset in the
 * node. It is never 0 and grows along the directory, so it serves as a position in a listing.
 */
#pragma once

#include "snapshot/snapshot_entry.h"
#include "transfer/transfer_cache.h"

enum { BROWSE_PLACE_OFFSET_BITS = 21, BROWSE_PLACE_NODES_MAX = 65536 };
#define BROWSE_PLACE_FIRST 1u /* of the first entry: a node begins with its version byte */

static inline uint64_t browse_place(uint64_t node, size_t offset)
{
    return node << BROWSE_PLACE_OFFSET_BITS | offset;
}

/* The entry at `place`, or the first behind it; *place becomes that entry's, *next the one behind
   it (either may be read on with). The entry and its bytes are borrowed as chunks are. ERR_END
   behind the last. A place that is no entry's gives ERR_FORMAT or a wrong entry, never more. */
MUST_CHECK enum err browse_entry(struct transfer_cache *chunks, struct transfer_cache_op *op,
                                 const struct snapshot_content *directory, uint64_t *place,
                                 uint64_t *next, struct snapshot_entry *out,
                                 struct slice *out_bytes, struct errmsg *msg);

/* The entry with this name: ERR_END when there is none. A large directory's nodes are searched by
   halves. */
MUST_CHECK enum err browse_find(struct transfer_cache *chunks, struct transfer_cache_op *op,
                                const struct snapshot_content *directory, struct slice name,
                                uint64_t *place, struct snapshot_entry *out,
                                struct slice *out_bytes, struct errmsg *msg);

/* Bytes of a file from `offset`; *got is less than `size` at its end only. Holes are zeros. All
   chunks that are lacking are asked for at once. */
MUST_CHECK enum err browse_read(struct transfer_cache *chunks, struct transfer_cache_op *op,
                                const struct snapshot_entry *file, uint64_t offset, uint8_t *out,
                                size_t size, size_t *got, struct errmsg *msg);

/* The next data (or hole) at or behind `offset`; the file's end counts as a hole. ERR_END: none. */
MUST_CHECK enum err browse_seek(struct transfer_cache *chunks, struct transfer_cache_op *op,
                                const struct snapshot_entry *file, uint64_t offset, bool hole,
                                uint64_t *out, struct errmsg *msg);

/* These bytes will be read soon. Only what is known without waiting is asked for. */
void browse_expect(struct transfer_cache *chunks, const struct snapshot_entry *file,
                   uint64_t offset, uint64_t size);
