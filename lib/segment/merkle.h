/*
 * Merkle trees over the leaves of a shard, in the shape of RFC 6962 (section 2.1): a leaf's hash is
 * H(0x00 ‖ leaf), a node's H(0x01 ‖ left ‖ right), H is SHA-256, and the left half of a tree of n
 * leaves has the largest power of two below n. No leaf is doubled.
 *
 * A run of leaves is proved by its *path*: the hashes of the largest subtrees that hold no leaf of
 * the run, from left to right. For all leaves the path is empty, for one leaf it is RFC 6962's
 * audit path read from left to right.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"
#include "crypto/sha256.h"

/* Leaves of one tree; a shard has at most 64 (LIMIT_SHARD_BYTES / LIMIT_LEAF_BYTES). A path has at
   most 2 * MERKLE_DEPTH_MAX hashes. */
enum { MERKLE_LEAVES_MAX = 65536, MERKLE_DEPTH_MAX = 16, MERKLE_PATH_MAX = 2 * MERKLE_DEPTH_MAX };

struct merkle_hash {
    uint8_t bytes[SHA256_SIZE];
};

/* The root over `count` leaf hashes, 1..MERKLE_LEAVES_MAX. */
void merkle_root(struct sha256 *h, const struct merkle_hash *leaves, size_t count,
                 struct merkle_hash *out);

/* Hashes in the path of leaves first..first+run-1 of `count`; run > 0, first + run <= count. */
size_t merkle_path_count(size_t count, size_t first, size_t run);

/* Writes them: `out` holds merkle_path_count() of them, at most MERKLE_PATH_MAX. */
void merkle_path(struct sha256 *h, const struct merkle_hash *leaves, size_t count, size_t first,
                 size_t run, struct merkle_hash *out);

/* Do `run` leaf hashes stand at `first` in the tree of `count` leaves with this root? ERR_FORMAT
   when the path has not merkle_path_count() hashes or the run is not within the tree; ERR_CORRUPT
   when the root comes out differently. */
MUST_CHECK enum err merkle_verify(struct sha256 *h, const struct merkle_hash *root, size_t count,
                                  size_t first, size_t run, const struct merkle_hash *leaves,
                                  const struct merkle_hash *path, size_t path_count);
