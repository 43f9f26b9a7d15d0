/* Of this room only. */
#pragma once

#include "vault/vault_internal.h"
#include "vault/vault_snapshots.h"

/* On the lane. Also frees what was there when it fails. */
MUST_CHECK enum err vault_snapshots_load(struct index *index, struct vault_snapshots *out,
                                         struct errmsg *msg);
/* The same of those that are forgotten, as far as the index keeps them. */
MUST_CHECK enum err vault_snapshots_load_forgotten(struct index *index, struct vault_snapshots *out,
                                                   struct errmsg *msg);
void vault_snapshots_free(struct vault_snapshots *snapshots);
