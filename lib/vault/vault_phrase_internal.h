/* Of this room only. */
#pragma once

#include "vault/vault_internal.h"
#include "vault/vault_phrase.h"

struct vault_root {
    struct account_keys keys;
};

/* The keys that a phrase gives are those of an account of its own. When it stands in the place of
   another one (manifest.h), the account's ID and its chunk-id and cut-point keys are the first's.
 */
MUST_CHECK enum err vault_root_adapt(const struct manifest *m, struct account_keys *keys);
