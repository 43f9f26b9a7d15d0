/*
 * This device's data keys, one an epoch: what it stores from a rotation on is under a new one. Old
 * data stays readable, as the old keys stay in the manifest, sealed to the account's reading key.
 *
 *     new key into DIR/keys ─▶ sealed into the manifest (by an admin; else as a request to one)
 *     ─▶ written under from then on
 */
#pragma once

#include "vault/vault.h"

typedef void vault_epoch_fn(void *user, enum err e, uint32_t epoch, bool in_force,
                            const struct errmsg *msg);

/* `in_force`: the manifest has it; else an admin device has to take it in first, as it does with a
   device that joins. A rotation that was broken off is gone on with. TOO_LARGE: there were too
   many. After vault_refresh(), on a vault that may write. */
MUST_CHECK enum err vault_epoch_rotate(struct vault *vault, vault_epoch_fn *done, void *user,
                                       struct errmsg *msg);
/* The one that is written under now. */
uint32_t vault_epoch_now(const struct vault *vault);
