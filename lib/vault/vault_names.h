/*
 * Is this chunk what its name says? Names are keyed hashes: under the account's
 * key, or, of a device that may only put, under its own (vault_own_keys).
 */
#pragma once

#include "vault/vault_internal.h"

struct vault_names;

/* The keys are copied. NOMEM. One thread at a time. */
MUST_CHECK enum err vault_names_new(const struct vault *vault, struct vault_names **out);
void vault_names_free(struct vault_names *names); /* NULL does nothing */

bool vault_names_match(struct vault_names *names, struct slice plain, const struct id *name);
