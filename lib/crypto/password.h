/*
 * Keys from passphrases: Argon2id (RFC 9106, version 1.3, one lane).
 *
 * The parameters rest beside what the key wraps. They come from a disk, so they are bounded before
 * any memory is taken: a hostile file costs at most 64 MiB and a few seconds.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"

enum { PASSWORD_SALT_SIZE = 16, PASSWORD_KEY_SIZE = 32 };

struct password_cost {
    uint32_t passes;     /* PASSWORD_PASSES_MIN .. _MAX */
    uint32_t memory_kib; /* PASSWORD_MEMORY_MIN_KIB .. _MAX_KIB */
};

enum {
    PASSWORD_PASSES_MIN = 1,
    PASSWORD_PASSES_MAX = 16,
    PASSWORD_MEMORY_MIN_KIB = 1024,
    PASSWORD_MEMORY_MAX_KIB = 65536,
};

/* 3 passes over 64 MiB, RFC 9106's second choice: about 0.15 s. */
#define PASSWORD_COST_DEFAULT ((struct password_cost){.passes = 3, .memory_kib = 65536})

/* ERR_TOO_LARGE when the cost is out of bounds (either side); ERR_NOMEM. */
MUST_CHECK enum err password_key(struct slice passphrase, const uint8_t salt[PASSWORD_SALT_SIZE],
                                 struct password_cost cost, uint8_t out[PASSWORD_KEY_SIZE]);
