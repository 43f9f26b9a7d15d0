/*
 * Is this chunk what its name says? Names are keyed hashes: under the account's
 * key, or, of a device that may only put, under its own (vault_own_keys).
 */
#pragma once

#include "vault/vault_parts.h"

struct restore_names;

/* The keys are copied. NOMEM. One thread at a time. */
MUST_CHECK enum err restore_names_new(const struct vault *vault, struct restore_names **out);
void restore_names_free(struct restore_names *names); /* NULL does nothing */

bool restore_names_match(struct restore_names *names, struct slice plain, const struct id *name);
