/*
 * The tombstones of one publishing: from inside prepare() (vault_publish.h).
 */
#pragma once

#include "vault/vault_publish.h"

/* As many as it takes for these snapshots (any order, none twice; sorted in place). */
MUST_CHECK enum err vault_tombstone_add(struct vault *vault, struct vault_publish *publish,
                                        struct id *snapshots, size_t count, struct errmsg *msg);
