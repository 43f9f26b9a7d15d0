/*
 * Shared by the files of libcell only.
 *
 * The loop owns struct cell. Handlers run on the store's lane and see none of it: what they need is
 * copied for them when their request comes (struct cell_view, struct serve_peer).
 */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "cell.h"
#include "documents/documents.h"
#include "identity/member_list.h"
#include "port/net_body.h"
#include "serve/serve.h"
#include "wire/wire_coordinator.h"
#include "wire/wire_path.h"

/* Facts in the store. */
#define CELL_FACT_MEMBERS     "members"     /* the newest member list, document */
#define CELL_FACT_COORDINATOR "coordinator" /* its certificate, document */
#define CELL_FACT_CLAIM       "claim"       /* document, signed by both */
#define CELL_FACT_STATEMENT   "statement"   /* our newest member statement */

/* What a handler may know of the cell, as it was when the request came. */
struct cell_view {
    const struct swarm_root *swarm; /* never changes */
    struct id coordinator;          /* zero: none known yet */
    uint32_t incarnation;
    uint64_t list_number;
    struct id account; /* of the claim; zero: nobody's */
    int64_t now_s;     /* time of the newest signed list, and what has passed since */
};

/* --- rights: cell_rights.c --- */

/* May the peer read shards of a segment that device `slot` of `account` wrote? */
MUST_CHECK enum err cell_may_get(const struct serve_peer *peer, const struct id *account,
                                 uint32_t slot, struct errmsg *msg);
/* May it store into segments of `account` as device `slot`? */
MUST_CHECK enum err cell_may_put(const struct serve_peer *peer, const struct id *account,
                                 uint32_t slot, struct errmsg *msg);
/* --- admission and receipts: cell_admission.c --- */

/* What was found to be in order about a PUT. */
struct cell_admission {
    struct id segment, account;
    uint32_t slot; /* of the device */
    uint32_t shard_bytes;
    uint8_t grant[STORE_GRANT_ID_SIZE];
    uint64_t grant_bytes;
    int64_t grant_expires_s;
    uint64_t list_number;
    int64_t now_s;
};

struct wire_prelude;

/* Any thread. Checks the header's name, the device's right, its record, and the grant: signed by
   the coordinator, for this cell, account and device. */
MUST_CHECK enum err cell_admit(const struct cell_view *view, const struct serve_peer *peer,
                               const struct id *cell_id, const struct id *segment,
                               const struct wire_prelude *prelude, struct cell_admission *out,
                               struct errmsg *msg);
MUST_CHECK enum err cell_sign_receipt(const struct cell *cell, const struct cell_admission *a,
                                      unsigned index, struct buf *out, struct errmsg *msg);

/* --- the cell --- */

enum cell_membership {
    CELL_OUTSIDE,
    CELL_JOINING,
    CELL_RESTING,
    CELL_COUNTING,
    CELL_BEATING,
    CELL_FETCHING,
};

struct cell {
    struct cell_options options;
    struct cell_counters counters;
    struct cell_view view; /* now_s is filled in for each request */
    struct swarm_root swarm;
    struct id id;
    struct serve *serve;

    struct list commit_queue; /* sealed puts: cell_put.c */
    bool commit_busy;

    struct member_list *members; /* owned; NULL: none yet */
    uint64_t list_received_mono_ms;
    struct buf statement; /* our own, signed */
    uint64_t statement_sequence;
    bool statement_changed; /* since the coordinator last heard it */

    enum cell_membership membership;
    struct timer heartbeat_timer;
    uint64_t interval_ms, retry_ms;
    bool coordinator_away;
    struct net_message *message; /* to the coordinator; NULL: none is under way */
    struct buf message_body;
    struct slice message_slice;
    const char *message_addresses[2 * LIMIT_ADDRESSES];
    struct work_job usage_job;
    struct store_usage usage;

    struct timer scrub_timer;
    struct work_job scrub_job;
    struct store_scrub scrub;
    enum err scrub_result;
    int64_t scrub_now_s;

    bool stopping;
    struct work_job stop_job;
    unsigned under_way; /* shard exchanges, jobs, messages that still refer to the cell */
    cell_joined_fn *on_joined;
    void *joined_user;
    cell_stopped_fn *on_stopped;
    void *stopped_user;
};

/* Everything asynchronous is counted, so that cell_stop() knows when the last has ended. */
void cell_work_began(struct cell *cell);
void cell_work_ended(struct cell *cell);

struct cell_view cell_view_now(const struct cell *cell);

/* --- shards in and out: exchanges of their own --- */

extern const struct serve_events cell_put_events, cell_get_events;

MUST_CHECK enum err cell_put_start(struct cell *cell, const struct serve_peer *peer,
                                   struct net_exchange *x, const struct net_incoming *request,
                                   const struct id *segment, unsigned index, void **out);
MUST_CHECK enum err cell_get_start(struct cell *cell, const struct serve_peer *peer,
                                   struct net_exchange *x, const struct net_incoming *request,
                                   const struct id *segment, unsigned index, void **out);

/* --- small requests: on the lane --- */

static inline const struct cell_view *cell_view_of(const struct serve_request *request)
{
    return (const struct cell_view *)request->context;
}

/* The owner is the cell; of it they use `store`, `key`, `id` and what never changes. */
serve_fn cell_info, cell_members, cell_segment, cell_have, cell_account_shards, cell_claim,
    cell_state;

MUST_CHECK enum err cell_serve(struct cell *cell, struct errmsg *msg);

/* --- membership: cell_membership.c --- */

MUST_CHECK enum err cell_membership_load(struct cell *cell, struct errmsg *msg);
/* Signs a new one and shows it on every connection from now on. */
MUST_CHECK enum err cell_make_statement(struct cell *cell, struct errmsg *msg);
MUST_CHECK enum err cell_membership_start(struct cell *cell, struct errmsg *msg);
void cell_membership_stop(struct cell *cell);
/* Verifies a member list and takes it when it is newer than ours; kept in the store by the caller.
 */
MUST_CHECK enum err cell_take_members(struct cell *cell, struct slice doc, struct errmsg *msg);

/* --- scrub: cell_scrub.c --- */

void cell_scrub_start(struct cell *cell);
void cell_scrub_stop(struct cell *cell);
