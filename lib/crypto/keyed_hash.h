/*
 * Chunk IDs: HMAC-SHA-256 (RFC 2104) under the account's or device's 32-byte chunk-id key, so that
 * a name tells nobody but the key's holders what the chunk holds. One object a thread; the bulk
 * runs at the speed of sha256.h.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

enum { KEYED_HASH_KEY_SIZE = 32, KEYED_HASH_SIZE = 32 };

struct keyed_hash;

/* Keeps what it needs of the key in locked memory. ERR_NOMEM. */
MUST_CHECK enum err keyed_hash_new(const uint8_t key[KEYED_HASH_KEY_SIZE], struct keyed_hash **out);
void keyed_hash_free(struct keyed_hash *h);

void keyed_hash(struct keyed_hash *h, struct slice bytes, uint8_t out[KEYED_HASH_SIZE]);
