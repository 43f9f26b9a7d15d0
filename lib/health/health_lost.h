/*
 * What cannot be had any more: chunks of segments that were given up (health_check.h), and that no
 * backup has stored again since.
 */
#pragma once

#include "vault/vault.h"

struct health_lost {
    uint64_t segments, chunks; /* segments that still have such chunks */
};

typedef void health_lost_fn(void *user, enum err e, const struct health_lost *lost,
                            const struct errmsg *msg);

MUST_CHECK enum err health_lost_count(struct vault *vault, health_lost_fn *done, void *user,
                                      struct errmsg *msg);
