/*
 * The account's hold: how long cells keep what is deleted. A longer one is an admin's word; a
 * shorter one takes the recovery phrase, for it is what stands between a thief and the data.
 */
#pragma once

#include "vault/vault_phrase.h"

uint64_t vault_hold_s(const struct vault *vault);

/* After vault_refresh(), on a vault opened for writing. `root` may be NULL (borrowed until done):
   then `done` gets DENIED for a shorter hold, and from a device that is no admin. NOT_ENOUGH: it is
   out, but too few keep it. Cells take the new one for orders that they get from then on. */
MUST_CHECK enum err vault_hold_set(struct vault *vault, uint64_t hold_s,
                                   const struct vault_root *root, vault_done_fn *done, void *user,
                                   struct errmsg *msg);
