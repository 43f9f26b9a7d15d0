/* Of this room only. */
#pragma once

#include "vault/vault_internal.h"
#include "vault/vault_phrase.h"

struct vault_root {
    struct account_keys keys;
};
