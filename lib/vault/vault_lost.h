/*
 * What cannot be had any more: chunks of segments that were given up (vault_check.h), and that no
 * backup has stored again since.
 */
#pragma once

#include "vault/vault.h"

struct vault_lost {
    uint64_t segments, chunks; /* segments that still have such chunks */
};

typedef void vault_lost_fn(void *user, enum err e, const struct vault_lost *lost,
                           const struct errmsg *msg);

MUST_CHECK enum err vault_lost_count(struct vault *vault, vault_lost_fn *done, void *user,
                                     struct errmsg *msg);
