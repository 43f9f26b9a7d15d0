/*
 * The vault's key slots: passphrases, and a key file, each of which opens the vault by itself
 * (docs/vault.md). All on a vault that was opened for writing; they block (Argon2id, files), and
 * are called while nothing is under way. What is on the disk is replaced as a whole: a crash leaves
 * the old slots or the new ones.
 */
#pragma once

#include "vault/vault.h"

enum { VAULT_KEYSLOTS_MAX = 8 };

struct vault_keyslot {
    unsigned number; /* 1 for the first; they move up when one is removed */
    bool key_file;   /* DIR/key; else a passphrase */
    bool used;       /* the one that opened the vault just now */
};

/* Fills up to VAULT_KEYSLOTS_MAX. */
MUST_CHECK enum err vault_keyslots_list(const struct vault *vault,
                                        struct vault_keyslot out[VAULT_KEYSLOTS_MAX], size_t *count,
                                        struct errmsg *msg);
/* `passphrase` of size 0: the key file; EXISTS when there is one. TOO_LARGE: all slots are used. */
MUST_CHECK enum err vault_keyslots_add(struct vault *vault, struct slice passphrase,
                                       unsigned *number, struct errmsg *msg);
/* NOT_FOUND; DENIED when it is the last one. The key file goes with its slot. */
MUST_CHECK enum err vault_keyslots_remove(struct vault *vault, unsigned number, struct errmsg *msg);
/* A new passphrase in the place of what opened the vault just now. */
MUST_CHECK enum err vault_keyslots_change(struct vault *vault, struct slice passphrase,
                                          struct errmsg *msg);
