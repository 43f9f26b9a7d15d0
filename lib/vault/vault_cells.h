/*
 * The swarm's cells as this account sees them, and claiming one.
 */
#pragma once

#include "swarm/swarm.h"
#include "vault/vault.h"

/* After vault_connect(). For lists of members; borrowed. */
struct swarm *vault_swarm(const struct vault *vault);

/* "This cell is ours": signed here and by the cell, then told to the coordinator, and into the
   account's manifest. `code` (may be
   NULL) is from the cell's DATA/claim-code, for a cell that is not near. DENIED: it belongs to
   somebody else, or is not near and the code is wrong. */
MUST_CHECK enum err vault_claim(struct vault *vault, const struct id *cell, const char *code,
                                vault_done_fn *done, void *user, struct errmsg *msg);

/* The cell will be silent until then (at most 90 days ahead; a time that has passed takes it back):
   its silence does not make it gone. DENIED: it is not claimed by this account, or this device is
   no admin. */
MUST_CHECK enum err vault_cells_away(struct vault *vault, const struct id *cell, int64_t until_s,
                                     vault_done_fn *done, void *user, struct errmsg *msg);
