/*
 * The account's root, from the recovery phrase: for what only it may do; and another phrase in the
 * place of the one that is (docs/devices.md).
 */
#pragma once

#include "vault/vault.h"

struct vault_root; /* secret; in locked memory */

/* SECRET: the words are none, or of another account; the sentence says which. */
MUST_CHECK enum err vault_phrase_open(const struct vault *vault, const char *words,
                                      struct vault_root **out, struct errmsg *msg);
/* NULL does nothing. Wipes it. */
void vault_phrase_close(struct vault_root *root);

/* Another phrase: its words into `words`, which is in secret memory (VAULT_PHRASE_TEXT_SIZE). It
   counts once vault_phrase_replace() has done. */
enum { VAULT_PHRASE_TEXT_SIZE = 24 * 8 + 23 + 1 };
MUST_CHECK enum err vault_phrase_new(const struct vault *vault, const struct vault_root *old,
                                     struct vault_root **out, char *words, struct errmsg *msg);
/* The words on the first line, then where the swarm is found. 0600. EXISTS. */
MUST_CHECK enum err vault_phrase_write(const struct vault *vault, const char *words,
                                       const char *file, struct errmsg *msg);

/* `next` is the account's root from now on; what is sealed to the old reading key is sealed anew,
   for the devices that are not revoked. Both borrowed until done. Errors of the change as
   devices_admit() has them: NOT_ENOUGH: it counts, but too few keep it yet. */
MUST_CHECK enum err vault_phrase_replace(struct vault *vault, const struct vault_root *old,
                                         const struct vault_root *next, vault_done_fn *done,
                                         void *user, struct errmsg *msg);
