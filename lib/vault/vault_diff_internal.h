/* Of this room only: the pure part of a comparison. */
#pragma once

#include "vault/vault_diff.h"
#include "vault/vault_tree.h"

/* Which of the two walks tells the next thing, when both stand in the same directory. NULL: that
   walk has ended. */
enum vault_diff_turn { VAULT_DIFF_OLD, VAULT_DIFF_NEW, VAULT_DIFF_BOTH, VAULT_DIFF_END };
enum vault_diff_turn vault_diff_turn(const struct vault_tree_event *old_event,
                                     const struct vault_tree_event *new_event);

/* The modifier of a name that is in both; "" when there is nothing to tell. */
enum { VAULT_DIFF_MODIFIER_SIZE = 4 };
MUST_CHECK enum err vault_diff_modifier(const struct snapshot_entry *old_entry,
                                        const struct snapshot_entry *new_entry, bool metadata,
                                        char out[VAULT_DIFF_MODIFIER_SIZE]);
