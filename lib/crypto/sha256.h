/*
 * SHA-256: names of segments, IDs, Merkle trees of shards.
 *
 * sha256() needs no object and is for small things (libsodium's portable code, some 0.2 GB/s). Bulk
 * goes through a struct sha256, which has the processor's instructions (OpenSSL, about 1.5 GB/s)
 * and is used again and again: a start costs no allocation.
 *
 * Merkle trees have the shape of RFC 6962: leaf = H(0x00 ‖ data), node = H(0x01 ‖ left ‖ right).
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

enum { SHA256_SIZE = 32 };

void sha256(struct slice bytes, uint8_t out[SHA256_SIZE]);

struct sha256;

/* ERR_NOMEM. After it nothing fails: the functions below have no error. */
MUST_CHECK enum err sha256_new(struct sha256 **out);
void sha256_free(struct sha256 *h);

/* One hash at a time: start, add any number of times, finish. A start forgets what was added. */
void sha256_start(struct sha256 *h);
void sha256_add(struct sha256 *h, struct slice bytes);
void sha256_finish(struct sha256 *h, uint8_t out[SHA256_SIZE]);

/* All three at once. */
void sha256_once(struct sha256 *h, struct slice bytes, uint8_t out[SHA256_SIZE]);

/* H(0x00 ‖ data) without a copy of the data. */
void sha256_leaf(struct sha256 *h, struct slice data, uint8_t out[SHA256_SIZE]);

/* The same for data that comes in pieces: this instead of sha256_start, then add and finish. */
void sha256_start_leaf(struct sha256 *h);

/* H(0x01 ‖ left ‖ right). `out` may be `left` or `right`. */
void sha256_node(struct sha256 *h, const uint8_t left[SHA256_SIZE],
                 const uint8_t right[SHA256_SIZE], uint8_t out[SHA256_SIZE]);
