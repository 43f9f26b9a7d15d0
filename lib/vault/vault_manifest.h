/*
 * The account's manifest: taking up a newer one, and changing it.
 *
 *     newest of all who keep it ─▶ edit a copy ─▶ sign ─▶ coordinator ─▶ cells ─▶ into the index
 *          ▲                                                 │ somebody else was quicker (STALE)
 *          └─────────────────────────────────────────────────┘
 *
 * The coordinator gets a changed manifest before anybody else: of two admins who change it at once,
 * one comes too late and changes the other's. Without a coordinator both can be told apart only by
 * the root (docs/devices.md).
 */
#pragma once

#include "vault/vault_parts.h"

/* Changes `m`, the newest manifest; may be asked again with another one. ERR_END: there is nothing
   to change. */
typedef enum err vault_manifest_edit_fn(void *user, struct manifest *m, struct errmsg *msg);

struct vault_manifest_change {
    vault_manifest_edit_fn *edit;
    const struct sign_key *root; /* borrowed until done; NULL: this device signs, as admin */
    vault_done_fn *done;
    void *user;
};

/* done: ERR_OK when committed or when there was nothing to change. NOT_ENOUGH: it is out, but with
   too few who keep it. DENIED: this device may not change it. */
MUST_CHECK enum err vault_manifest_change(struct vault *vault,
                                          const struct vault_manifest_change *change,
                                          struct errmsg *msg);

/* A document that somebody showed: ERR_OK when it is the vault's manifest now (and is shown to all
   from now on, and is in the index once vault_manifest_save() is done) or was before; errors of
   manifest_open() and manifest_follows() but for STALE, which is no error. *taken (may be NULL): it
   is a new one. */
MUST_CHECK enum err vault_manifest_seen(struct vault *vault, struct slice document, bool *taken,
                                        struct errmsg *msg);
/* Into the index; a reader keeps it in memory only. */
MUST_CHECK enum err vault_manifest_save(struct vault *vault, vault_done_fn *done, void *user,
                                        struct errmsg *msg);

/* How this device stands in the newest manifest; NULL: it is not in it. */
const struct manifest_device *vault_manifest_self(const struct vault *vault);
/* Keeps the copy beside the index; a writer's, when it differs. */
void vault_manifest_keep(const struct vault *vault);
