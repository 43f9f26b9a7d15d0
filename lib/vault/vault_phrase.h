/*
 * The account's root, from the recovery phrase: for what only it may do.
 */
#pragma once

#include "vault/vault.h"

struct vault_root; /* secret; in locked memory */

/* SECRET: the words are none, or of another account; the sentence says which. */
MUST_CHECK enum err vault_phrase_open(const struct vault *vault, const char *words,
                                      struct vault_root **out, struct errmsg *msg);
/* NULL does nothing. Wipes it. */
void vault_phrase_close(struct vault_root *root);
