/*
 * Chunks, and groups of small ones, in and out of zstd, each by itself: no dictionary, window or
 * state is shared between two of them. docs/chunking.md says which frames are written and accepted,
 * and what shows in their lengths.
 *
 * A struct compressor keeps zstd's contexts from chunk to chunk; one thread at a time. It allocates
 * when it is first used in a direction: packing takes 2 MiB at level 3 with chunks of 1 MiB, and up
 * to 55 MiB at level 19 with chunks of 4 MiB; unpacking 160 KiB, whatever the packed bytes say.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"
#include "base/limits.h"

struct compressor;

enum {
    COMPRESS_LEVEL_OFF = 0, /* everything raw */
    COMPRESS_LEVEL_DEFAULT = 3,
    COMPRESS_LEVEL_MAX = 19
};

/* Stands in records: pinned. */
enum compress_form { COMPRESS_RAW = 0, COMPRESS_ZSTD = 1 };

/* `level`: COMPRESS_LEVEL_OFF, or 1 (fast) to COMPRESS_LEVEL_MAX (small); for packing only.
   ERR_USAGE when it is none of these; ERR_NOMEM. */
MUST_CHECK enum err compress_new(int level, struct compressor **out, struct errmsg *msg);
void compress_free(struct compressor *compressor); /* NULL does nothing; wipes nothing */

/* Small chunks packed together gain more by it than two levels would: at level 1 they come out
   smaller than each by itself at 3, in two thirds of the time (docs/benchmarks.md). */
static inline int compress_level_of_groups(int level)
{
    return level > 3 ? level - 2 : level > 0;
}
/* From the next chunk on; one that compress_new() takes. */
void compress_set_level(struct compressor *compressor, int level);

/*
 * Packs `plain` (at most LIMIT_CHUNK_BYTES, else ERR_TOO_LARGE) into `out`, which has room for
 * plain.size bytes. COMPRESS_ZSTD: *out_size bytes of `out` are the frame. COMPRESS_RAW: it does
 * not pay; store the plain bytes themselves; `out` holds nothing of use and *out_size is
 * plain.size. ERR_NOMEM.
 */
MUST_CHECK enum err compress_pack(struct compressor *compressor, struct slice plain, uint8_t *out,
                                  enum compress_form *form, size_t *out_size, struct errmsg *msg);

/*
 * Unpacks exactly `plain_size` bytes into `out`, or fails: ERR_CORRUPT when the bytes are not one
 * frame of that length (`out` may have been written to), ERR_VERSION for an unknown form,
 * ERR_TOO_LARGE when plain_size is above LIMIT_CHUNK_BYTES, ERR_NOMEM. Never writes past
 * out[plain_size - 1].
 */
MUST_CHECK enum err compress_unpack(struct compressor *compressor, unsigned form,
                                    struct slice packed, uint8_t *out, size_t plain_size,
                                    struct errmsg *msg);
