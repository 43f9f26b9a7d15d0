/*
 * Asking cells what they have: of many segments at once (health of chunks that a backup wants to
 * reuse, check, recovery), and everything of an account (rebuilding an index).
 */
#pragma once

#include "swarm/swarm.h"
#include "wire/wire_cell.h"
#include "wire/wire_shard.h"

enum { SWARM_HAVE_AT_ONCE = 32 }; /* cells asked at the same time by one question */

/* One cell's answer about one shard; `position` is the segment's in the question. */
typedef void swarm_have_fn(void *user, const struct id *cell, const struct wire_held *held);

struct swarm_have_result {
    uint32_t asked;    /* cells */
    uint32_t answered; /* of them; what the others have is not known */
};

/* `answered` of a cell that said nothing about a segment: it has nothing of it. ERR_OK unless
   cancelled; it is the caller who knows whether enough have answered. */
typedef void swarm_have_done_fn(void *user, enum err e, const struct swarm_have_result *result,
                                const struct errmsg *msg);

/* For each cell that answered, after its swarm_have_fn calls. May be NULL. */
typedef void swarm_have_cell_fn(void *user, const struct id *cell, enum err e);

struct swarm_have_request {
    const struct id *segments; /* at most WIRE_HAVE_IDS; borrowed until done */
    size_t segment_count;
    const struct id *cells; /* whom to ask; NULL: every member. Copied */
    size_t cell_count;
    swarm_have_fn *held;
    swarm_have_cell_fn *cell; /* may be NULL */
    swarm_have_done_fn *done;
    void *user;
};

struct swarm_have;

MUST_CHECK enum err swarm_have_start(struct swarm *swarm, const struct swarm_have_request *request,
                                     struct swarm_have **out, struct errmsg *msg);
void swarm_have_cancel(struct swarm_have *have);

/* One cell's list of what it holds of `account`, piece after piece. */
typedef void swarm_names_fn(void *user, const struct wire_shard_name *name);

struct swarm_names;

MUST_CHECK enum err swarm_names_start(struct swarm *swarm, const struct id *cell,
                                      const struct id *account, swarm_names_fn *each,
                                      swarm_done_fn *done, void *user, struct swarm_names **out,
                                      struct errmsg *msg);
void swarm_names_cancel(struct swarm_names *names);

/* Header, record and indexes of one segment from one cell. `segment` is NULL with an error;
   borrowed during the call. The header is checked to be the one that the ID names. */
typedef void swarm_segment_fn(void *user, enum err e, const struct wire_segment *segment,
                              const struct errmsg *msg);
MUST_CHECK enum err swarm_segment_ask(struct swarm *swarm, const struct id *cell,
                                      const struct id *segment, swarm_segment_fn *done, void *user,
                                      struct errmsg *msg);
