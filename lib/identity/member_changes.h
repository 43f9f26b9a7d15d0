/*
 * What turns one member list into a later one, so that a swarm of a hundred thousand cells does not
 * send them all when one moves. It needs no trust of its own: whoever applies it makes the later
 * list's exact bytes anew, and these are verified as if they had come whole.
 *
 *     CBOR map: 0 number of the earlier list · 1 .. 4 as in the list's payload: the coordinator's
 *     certificate, number, hash of the list before (optional), time · 5 array of cells, as in the
 *     list: new or changed · 6 array of IDs: left · 7 signer's key, bytes(32) · 8 signature,
 * bytes(64)
 */
#pragma once

#include "identity/member_list.h"

/* What must not differ for a member to be the same: of its encoding, not for adversaries. */
uint64_t member_changes_digest(const struct member *member);

/* Is `member` another one than in the earlier list? */
typedef bool member_changes_fn(void *user, const struct member *member);

/* Appends what turns list number `since` into `list` (opened): those of its members of which
   `differs` is true, and the `gone_count` IDs, ascending, that are not in it any more. Errors:
   NOMEM, TOO_LARGE, FORMAT. */
MUST_CHECK enum err member_changes_make(const struct member_list *list, uint64_t since,
                                        member_changes_fn *differs, void *user,
                                        const struct id *gone, size_t gone_count, struct buf *out);

/* The later list, verified. `answer` is either changes since `base` (whose number they must name:
   else STATE), or a whole list. After any error the whole list is to be fetched. `base` is not
   changed. */
MUST_CHECK enum err member_changes_apply(struct slice answer, const struct member_list *base,
                                         const struct swarm_root *swarm, struct member_list **out,
                                         struct errmsg *msg);
