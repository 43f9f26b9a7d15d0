/*
 * The index anew, from what the swarm holds, with the vault's own keys: when index.db is damaged or
 * gone. The phrase is not needed (that is recovery, which makes a new device).
 *
 *     vault_open(&{.rebuild = true}, ...)       // the old index is not looked at
 *     ... net, vault_connect, vault_refresh ...
 *     heads_rebuild_start(vault, &events, my, msg);
 *     vault_close(vault)                        // after an error, or a kill: all is as it was
 *
 * What is not in the swarm is made anew with time: cached directories (the next backup reads every
 * file again, and sends nothing of what is there), grants.
 */
#pragma once

#include "heads/heads_sync.h"

/* As heads_sync_start(), but it fails (NOT_ENOUGH) when pieces could not be had: an index with
   holes takes nobody's place. With ERR_OK the new one is in its place, the old one, if there was
   one, is DIR/index.damaged, and the vault can only be closed. */
MUST_CHECK enum err heads_rebuild_start(struct vault *vault, const struct heads_sync_events *events,
                                        void *user, struct errmsg *msg);

/* Is there a vault in `dir` without an index? */
bool heads_rebuild_is_due(const char *dir);
