/*
 * Content-defined cut points: the same bytes are cut at the same places wherever they stand in a
 * file, so an insertion changes the chunks around it and no others.
 *
 * A keyed Gear hash with normalised chunking (Xia et al., "The Design of Fast Content-Defined
 * Chunking for Data Deduplication Based Storage Systems", 2020): a chunk ends behind the first
 * byte, from `min_bytes` on, where the hash of the 64 bytes before the cut is below a bound; the
 * bound is 16 times stricter before the switch point than after it, which draws the sizes together
 * around the average. docs/chunking.md gives it byte by byte, and says what the key is for.
 *
 * Pure and without state: a struct chunker never changes once made, so any number of threads share
 * one. The first `min_bytes` of a chunk are not looked at (docs/benchmarks.md has the speed).
 *
 *     while (size > 0) {
 *         size_t cut = chunker_cut(&chunker, slice_of(data, size), at_end_of_file);
 *         if (cut == 0)
 *             ... read more behind these bytes (never needed when size >= max_bytes)
 *         ... the chunk is data[0 .. cut)
 *     }
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"
#include "base/limits.h"

enum {
    CHUNKER_KEY_SIZE = 2048,  /* 256 words of 64 bits, little-endian */
    CHUNKER_WINDOW_BYTES = 64 /* the hash forgets what is older, as its bits are shifted out */
};

struct chunker_limits {
    uint32_t min_bytes; /* at least CHUNKER_WINDOW_BYTES; no chunk but a file's last is smaller */
    uint32_t average_bytes; /* a power of two above min_bytes, at most 2^30 */
    uint32_t max_bytes;     /* above average_bytes; no chunk is larger */
};

#define CHUNKER_LIMITS_DEFAULT                                     \
    ((struct chunker_limits){.min_bytes = CHUNK_MIN_BYTES,         \
                             .average_bytes = CHUNK_AVERAGE_BYTES, \
                             .max_bytes = LIMIT_CHUNK_BYTES})

/* Holds key material: as secret as the key, to be kept and wiped like it. */
struct chunker {
    uint64_t gear[256]; /* what each byte adds to the hash */
    struct chunker_limits limits;
    uint32_t switch_bytes;  /* from this size on the loose bound */
    uint64_t strict, loose; /* a cut is where the hash is below */
};

/*
 * `key`: CHUNKER_KEY_SIZE bytes of the account's (or device's) cut-point key, expanded by
 * lib/crypto's keyed stream; this room makes no key material of its own. ERR_USAGE when a limit is
 * not as above, or the key is not CHUNKER_KEY_SIZE bytes.
 */
MUST_CHECK enum err chunker_init(struct chunker *chunker, struct slice key,
                                 const struct chunker_limits *limits);

/*
 * The size of the chunk at the start of `bytes`. `last`: nothing follows them, so what is left over
 * is a chunk whatever its size. 0: no cut in these bytes, call again with more behind them (only
 * when !last and bytes.size < max_bytes), or there are no bytes at all. What was looked at is
 * looked at again then, so hand in max_bytes where they are to be had.
 */
size_t chunker_cut(const struct chunker *chunker, struct slice bytes, bool last);
