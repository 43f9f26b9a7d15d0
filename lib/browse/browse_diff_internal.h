/* Of this room only: the pure part of a comparison. */
#pragma once

#include "browse/browse_diff.h"
#include "transfer/transfer_tree.h"

/* Which of the two walks tells the next thing, when both stand in the same directory. NULL: that
   walk has ended. */
enum browse_diff_turn { BROWSE_DIFF_OLD, BROWSE_DIFF_NEW, BROWSE_DIFF_BOTH, BROWSE_DIFF_END };
enum browse_diff_turn browse_diff_turn(const struct transfer_tree_event *old_event,
                                       const struct transfer_tree_event *new_event);

/* The modifier of a name that is in both; "" when there is nothing to tell. */
enum { BROWSE_DIFF_MODIFIER_SIZE = 4 };
MUST_CHECK enum err browse_diff_modifier(const struct snapshot_entry *old_entry,
                                         const struct snapshot_entry *new_entry, bool metadata,
                                         char out[BROWSE_DIFF_MODIFIER_SIZE]);
