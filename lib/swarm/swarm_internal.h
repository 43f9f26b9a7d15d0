/*
 * Of this room only. The swarm itself.
 */
#pragma once

#include "base/idmap.h"
#include "crypto/sha256.h"
#include "erasure/erasure.h"
#include "identity/member_list.h"
#include "swarm/swarm.h"
#include "swarm/swarm_peer.h"
#include "swarm/swarm_task.h"

enum { SWARM_CODES = 4 };

/* A context that is made once and kept: coding tables of a k and m. */
struct swarm_code {
    struct erasure *code;
    uint64_t used_at; /* a counter, for which one to give up */
    unsigned users;
};

/* What is usual here, so that "slow" has a meaning: a moving average over all cells. */
struct swarm_pace {
    double leaf_ms; /* of 64 KiB, all in; 0: nothing measured yet */
};

/* What the coordinator says of a member. */
struct swarm_cell_state {
    enum wire_cell_state state; /* 0: not told */
    int64_t last_seen_s;
    uint64_t free_bytes, used_bytes;
    uint64_t observed_s, up_s;
};

struct swarm {
    struct net *net;
    const struct clock *clock;
    const struct random *random;
    const struct work *work;
    const struct log *log;
    struct swarm_root root;
    struct id account;
    uint64_t grant_bytes;
    uint32_t hedge_min_ms, states_whole;
    struct id *watched; /* owned */
    size_t watched_count;
    bool some_states; /* the last answer told of some members only; then so many are up: */
    uint32_t up_count;

    struct idmap peers;             /* owns them */
    struct swarm_peer *coordinator; /* one of them, or NULL */
    bool coordinator_up;
    bool introduced; /* something was shown of us */

    struct member_list *list;        /* NULL: none yet */
    struct swarm_cell_state *states; /* of list->members, in their order */
    struct placement_group group;    /* of `account`, from the list */
    struct swarm_peer *group_peers[LIMIT_GROUP_CELLS];
    struct swarm_losses losses;
    int64_t clock_ahead_s; /* of the coordinator's clock against ours */

    struct swarm_pace upload_pace, fetch_pace;
    struct swarm_code codes[SWARM_CODES];
    uint64_t code_clock;

    struct timer ticker;
    bool ticker_runs;
    struct list ticking; /* tasks */
    struct swarm_refresh_task *refreshing;
    struct swarm_grants_task *granting;
    uint64_t grants_after_ms; /* no new question for grants before; the last one failed */
    struct errmsg grants_why;
    enum err grants_e;
    unsigned operations;
};

static inline uint64_t swarm_now_ms(const struct swarm *swarm)
{
    return clock_mono_ms(swarm->clock);
}

/* The coding context for k and m; ERR_NOMEM. Give it back with swarm_code_release(). */
MUST_CHECK enum err swarm_code_take(struct swarm *swarm, unsigned k, unsigned m,
                                    struct erasure **out, struct errmsg *msg);
void swarm_code_release(struct swarm *swarm, struct erasure *code);

/* A transfer of `bytes` took `ms`. */
void swarm_pace_add(struct swarm_pace *pace, uint64_t bytes, uint64_t ms);

/* How long a transfer of `bytes` may take before it is called slow. */
uint64_t swarm_pace_slow_ms(const struct swarm *swarm, const struct swarm_pace *pace,
                            uint64_t bytes);

/* Verifies a list and puts it in the place of the old one, when it is newer (else nothing changes,
   and ERR_OK for the same one, ERR_STALE for an older one). */
MUST_CHECK enum err swarm_members_take(struct swarm *swarm, struct slice document,
                                       struct errmsg *msg);
void swarm_members_free(struct swarm *swarm);
/* The body of the question how some members are. */
MUST_CHECK enum err swarm_members_ask(const struct swarm *swarm, struct buf *body);

/* The cells for an account's shards and heads, best first. ERR_NOMEM. */
MUST_CHECK enum err swarm_members_group(const struct swarm *swarm, const struct id *account,
                                        struct placement_group *out);

/* What the list says of a peer that is new to us. */
MUST_CHECK enum err swarm_members_fill(struct swarm *swarm, struct swarm_peer *peer);

/* The answer of GET /v1/cells. */
void swarm_members_states(struct swarm *swarm, struct wire_list *cells);

/* The wall clock, as the coordinator's. */
int64_t swarm_time_s(const struct swarm *swarm);

/* Wakes every operation that ticks. */
void swarm_task_wake_all(struct swarm *swarm);
