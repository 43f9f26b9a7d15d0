/*
 * Grants for the next run, so that backups go on for some days without a coordinator.
 */
#pragma once

#include "vault/vault.h"

/* So much at each cell is worth having ahead. */
#define TRANSFER_GRANTS_AHEAD_BYTES ((uint64_t)256 << 20)

/* Asks for what is low or soon over, where the coordinator answers, and keeps all of it in the
   vault. On a vault opened for writing, while no backup runs. A refusal is no error: what is here
   is kept. IO, NOMEM. */
MUST_CHECK enum err transfer_grants_keep(struct vault *vault, vault_done_fn *done, void *user,
                                         struct errmsg *msg);
