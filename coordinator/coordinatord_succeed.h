/*
 * How coordinatord takes a lost coordinator's place: the swarm root's sheet, and the last member
 * list that the cells have.
 */
#pragma once

#include "daemon/daemon.h"
#include "identity/coordinator_cert.h"
#include "identity/member_list.h"
#include "uvio/uvio.h"

/* The swarm root's key from its sheet: the first line in it that is 24 good words. The key is the
   caller's. FORMAT, IO, NOT_FOUND with a sentence. */
MUST_CHECK enum err coordinatord_sheet(const char *path, struct sign_key **root,
                                       struct swarm_root *swarm, struct errmsg *msg);

/* The highest member list that the cells of `from` give ("ID@host:port", several with commas; NULL
   is a USAGE error); *out is the caller's. Runs a loop of its own until they have answered.
   UNREACHABLE when none does. */
MUST_CHECK enum err coordinatord_last_list(const struct daemon *d, const struct swarm_root *swarm,
                                           const char *from, struct member_list **out,
                                           struct errmsg *msg);
