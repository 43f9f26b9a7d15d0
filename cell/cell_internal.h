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
#include "identity/ticket.h"
#include "port/net_body.h"
#include "serve/serve.h"
#include "swarm/swarm_audit.h"
#include "swarm/swarm_repair.h"
#include "wire/wire_coordinator.h"
#include "wire/wire_lease.h"
#include "wire/wire_path.h"

/* Facts in the store. */
#define CELL_FACT_MEMBERS     "members"     /* the newest member list, document */
#define CELL_FACT_COORDINATOR "coordinator" /* its certificate, document */
#define CELL_FACT_CLAIM       "claim"       /* document, signed by both */
#define CELL_FACT_VERDICTS    "verdicts"    /* on others, as POST /v1/verdicts has them */
#define CELL_FACT_STATEMENT   "statement"   /* our newest member statement */
#define CELL_FACT_LEAVING     "leaving"     /* u8 1, i64 since when: its owner wants it to leave */

/* What a handler may know of the cell, as it was when the request came. */
struct cell_view {
    const struct swarm_root *swarm; /* never changes */
    struct id coordinator;          /* zero: none known yet */
    uint32_t incarnation;
    uint64_t list_number;
    struct id account;          /* of the claim; zero: nobody's */
    int64_t now_s;              /* time of the newest signed list, and what has passed since */
    struct store_moment moment; /* for what is deleted: cell_removal.c */
    uint64_t scrub_period_ms;
    uint64_t fault_count; /* shards of this cell that were found to be missing or wrong */
    uint32_t trust;       /* as the coordinator last said; of 1000 */
    bool leaving;
    bool from_owners_cell; /* the account in the path has claimed the cell that asks */
    /* for POST /v1/audit: cell_lot_prepare() */
    bool from_member, lot_left;
    uint32_t lot_number; /* of the question */
    size_t member_count;
    uint64_t today; /* by the wall clock */
};

struct cell;

/* --- blocks of shards on their way to and from the disk: cell_blocks.c --- */

enum { CELL_BLOCK_BYTES = 256 << 10, CELL_CALM_MAX_MS = 6 * 3600000 };

struct cell_blocks {
    void *spare; /* a few that are free are kept: fresh memory costs more than what is done in it */
    size_t spare_count;
};

/* CELL_BLOCK_BYTES at an address that suits DISK_UNCACHED; NULL: no memory. Loop. */
uint8_t *cell_block_take(struct cell *cell);
void cell_block_give(struct cell *cell, uint8_t *block); /* NULL does nothing */
void cell_blocks_trim(struct cell *cell);                /* frees what is kept */

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
    uint64_t grant_list_number; /* of the list under which the coordinator signed the grant */
};

struct wire_prelude;

/* Any thread. Checks the header's name, the device's right, its record, and the grant: signed by
   the coordinator, for this cell, account and device. From a cell, a ticket that wants the shard
   here stands in the grant's place. */
MUST_CHECK enum err cell_admit(const struct cell_view *view, const struct serve_peer *peer,
                               const struct id *cell_id, const struct id *segment, unsigned index,
                               const struct wire_prelude *prelude, struct cell_admission *out,
                               struct errmsg *msg);
MUST_CHECK enum err cell_sign_receipt(const struct cell *cell, const struct cell_admission *a,
                                      unsigned index, struct buf *out, struct errmsg *msg);

/* --- tickets that were shown to us: cell_ticket.c --- */

struct cell_tickets {
    struct list list;
    size_t count;
};

void cell_tickets_clear(struct cell *cell);
/* Has this peer shown a ticket for the shard that still holds? */
bool cell_ticket_holds(const struct cell *cell, const struct serve_peer *peer,
                       const struct id *segment, unsigned index);
/* Counts what will be served; false: more than the ticket allows. */
bool cell_ticket_spend(struct cell *cell, const struct serve_peer *peer, const struct id *segment,
                       unsigned index, uint64_t bytes);

/* A lot stands for a ticket: the auditor may read one leaf of a shard of the segment. Lane; the
   effect is for the request. */
MUST_CHECK enum err cell_ticket_of_lot(const struct cell_view *view, const struct id *auditor,
                                       const struct id *segment, struct serve_effect **out,
                                       struct errmsg *msg);

/* --- proofs by lot, of us: cell_lot.c --- */

enum { CELL_LOT_PEERS = 64, CELL_LOT_ASKS = 4 };

struct cell_lots {
    uint64_t day; /* of the counts */
    struct cell_lot_peer {
        struct id id;
        unsigned asks;
    } peers[CELL_LOT_PEERS];
    size_t count;
    uint32_t number;
};

uint64_t cell_lot_day(const struct cell *cell);
/* Is the peer a cell that this account has claimed, by our member list? */
bool cell_is_of(const struct cell *cell, const struct serve_peer *peer, const struct id *account);
/* Loop, when the question comes: counts it, and fills the view. */
void cell_lot_prepare(struct cell *cell, const struct serve_peer *peer, struct cell_view *view);

/* --- proofs by lot, of others: cell_audit.c --- */

enum { CELL_AUDIT_CANDIDATES = 32 };

struct cell_audit {
    struct timer timer;
    struct work_job job;
    struct id about, from; /* who is asked; where the sample begins */
    bool for_owner;        /* a segment of our own household's is asked for */
    struct wire_lot lot;
    struct swarm_audit_candidate candidates[CELL_AUDIT_CANDIDATES];
    size_t candidate_count;
    struct swarm_audit *running;                     /* NULL: none */
    struct wire_verdict verdicts[WIRE_VERDICTS_MAX]; /* oldest first */
    size_t count;
    struct work_job keep_job;
    struct buf kept;
    bool keeping, keep_again;
    struct net_message *message; /* NULL: none is under way */
    size_t telling;              /* verdicts in it */
    struct buf body;
    struct slice body_slice;
    struct address_list coordinator_addresses;
    const char *addresses[LIMIT_ADDRESSES];
};

MUST_CHECK enum err cell_audit_load(struct cell *cell, struct errmsg *msg);
void cell_audit_start(struct cell *cell);
/* A heartbeat went well. */
void cell_audit_tell(struct cell *cell);
void cell_audit_stop(struct cell *cell);
void cell_audit_free(struct cell *cell);

/* --- tickets that we work on: cell_work.c --- */

enum cell_work_state { WORK_IDLE, WORK_ASKING, WORK_DOING, WORK_REPORTING, WORK_PAUSING };

struct cell_work {
    enum cell_work_state state;
    unsigned wanted; /* WIRE_WORK_* */
    bool many;       /* proofs: one after the other */
    struct timer timer;
    struct net_message *message; /* NULL: none is under way */
    struct buf body;
    struct slice body_slice;
    struct address_list coordinator_addresses;
    const char *addresses[LIMIT_ADDRESSES];
    struct swarm *swarm; /* owned; by the member list with `swarm_list`; NULL: none yet */
    uint64_t swarm_list;
    struct ticket ticket;
    struct swarm_repair *repair;
    struct swarm_prove *prove;
    uint64_t moved_bytes; /* by the last repair */
};

/* The coordinator says that there is work of these kinds. */
void cell_work_offered(struct cell *cell, unsigned kinds);
/* The client's side of the protocols, by our newest member list: cell->work.swarm. Not while
   anything of it runs. */
MUST_CHECK enum err cell_work_swarm(struct cell *cell, struct errmsg *msg);
void cell_work_stop(struct cell *cell);
void cell_work_free(struct cell *cell);

/* --- damage, told to the coordinator: cell_damage.c --- */

struct cell_damage {
    struct work_job job;
    struct net_message *message;
    struct buf body;
    struct slice body_slice;
    struct address_list coordinator_addresses;
    const char *addresses[LIMIT_ADDRESSES];
    bool busy, news; /* something was found that the coordinator does not know */
    enum err result;
    uint64_t listed, told; /* shards: in the report under way; in the last one that arrived */
};

/* After a heartbeat: reports when there is something new. */
void cell_damage_tell(struct cell *cell);
void cell_damage_stop(struct cell *cell);

/* --- leases: cell_lease.c --- */

struct manifest;

struct cell_lease {
    struct timer timer;
    struct work_job job;
    struct cell_view view; /* the job's */
    struct net_message *message;
    struct buf body, reply;
    struct slice body_slice;
    struct address_list coordinator_addresses;
    const char *addresses[LIMIT_ADDRESSES];
    struct store_lease leases[WIRE_RENEWALS_MAX]; /* that are being asked about */
    size_t count;
    bool announce; /* what is near its end is said this time */
    int64_t announced_s;
};

void cell_lease_start(struct cell *cell);
void cell_lease_stop(struct cell *cell);
void cell_lease_free(struct cell *cell);
/* An order of the kind RENEW. Lane. */
MUST_CHECK enum err cell_lease_renew(struct cell *cell, const struct cell_view *view,
                                     struct slice doc, const struct manifest *m, uint32_t *count,
                                     struct errmsg *msg);

/* --- the cell --- */

enum cell_membership {
    CELL_OUTSIDE,
    CELL_JOINING,
    CELL_RESTING,
    CELL_COUNTING,
    CELL_BEATING,
    CELL_FETCHING,
    CELL_FETCHING_CHANGES,
    CELL_ASKING_ORDERS,
    CELL_TAKING_ORDERS,
    CELL_GOSSIPING,
};

struct cell {
    struct cell_options options;
    struct cell_counters counters;
    struct cell_view view; /* now_s is filled in for each request */
    struct swarm_root swarm;
    struct id id;
    struct serve *serve;

    struct cell_blocks blocks;
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
    bool interval_told;         /* by the coordinator, in this life */
    unsigned early_beats;       /* heartbeats since the start, until they come at the interval */
    uint64_t heard_list_number; /* of the newest list that was asked for because of a grant */
    bool coordinator_away;
    struct net_message *message; /* to the coordinator; NULL: none is under way */
    struct buf message_body;
    struct slice message_slice;
    struct address_list message_list; /* of the coordinator, while a message is under way */
    const char *message_addresses[LIMIT_ADDRESSES];
    struct work_job usage_job;
    struct store_usage usage;
    enum err usage_result; /* BUSY: the disk is not there */
    bool disk_away;

    struct timer scrub_timer;
    struct work_job scrub_job;
    struct store_scrub scrub;
    enum err scrub_result;
    int64_t scrub_now_s;
    uint64_t scrub_job_period_ms, scrub_rest_ms; /* the job's; until the next cycle, 0: go on */
    bool scrub_busy;

    struct cell_tickets tickets;
    struct cell_lease lease;
    struct cell_lots lots;
    struct cell_work work;
    struct cell_audit audit;
    struct cell_damage damage;
    bool leaving, drained; /* cell_leave.c */
    bool left_known;       /* as the coordinator says in its answers */
    uint64_t left_count, stuck_count;
    int64_t leaving_since_s;
    bool leaving_busy, leaving_written;
    struct work_job leaving_job;

    struct timer removal_timer;
    struct work_job removal_job;
    struct store_moment removal_base; /* the clocks when this life began */
    uint64_t removal_base_mono_ms;
    struct store_moment removal_now; /* the job's */
    uint64_t removal_pause_ms;       /* set by the job; 0: nothing waits */
    bool removal_busy, removal_again;
    struct cell_orders *orders; /* owned; of the coordinator, being taken */

    bool stopping;
    struct work_job stop_job;
    struct store_moment stop_moment;
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
    cell_state, cell_ticket_shown, cell_lot, cell_delete, cell_members_put, cell_inventory,
    cell_describe;

/* What is here of a segment, as GET /v1/segments answers it; `account` (NULL: as it comes): whose
   it must be. `asker` NULL: that he may know was looked at before. */
MUST_CHECK enum err cell_segment_reply(struct cell *cell, const struct id *segment,
                                       const struct serve_peer *asker, const struct id *account,
                                       struct buf *reply, struct errmsg *msg);

MUST_CHECK enum err cell_serve(struct cell *cell, struct errmsg *msg);

/* --- membership: cell_membership.c --- */

MUST_CHECK enum err cell_membership_load(struct cell *cell, struct errmsg *msg);
/* Signs a new one and shows it on every connection from now on. */
MUST_CHECK enum err cell_make_statement(struct cell *cell, struct errmsg *msg);
/* Somebody showed what the coordinator signed under a newer member list than ours: ask for it. */
void cell_heard_list(struct cell *cell, uint64_t number);
MUST_CHECK enum err cell_membership_start(struct cell *cell, struct errmsg *msg);
/* Something has changed that the coordinator should hear before the interval is over. */
void cell_beat_soon(struct cell *cell);
void cell_membership_stop(struct cell *cell);
/* Whom to ask, with addresses that outlive the member list: `list` and `pointers` hold them. */
void cell_coordinator(const struct cell *cell, struct address_list *list,
                      const char *pointers[LIMIT_ADDRESSES], struct net_target *out);
/* Verifies a member list and takes it when it is newer than ours; kept in the store by the caller.
 */
MUST_CHECK enum err cell_take_members(struct cell *cell, struct slice doc, struct errmsg *msg);

/* --- leaving: cell_leave.c --- */

MUST_CHECK enum err cell_leaving_load(struct cell *cell, struct errmsg *msg);
/* What the coordinator's answer says about it. */
void cell_leaving_heard(struct cell *cell, const struct wire_heartbeat_reply *reply);

/* --- scrub: cell_scrub.c --- */

void cell_scrub_start(struct cell *cell);
void cell_scrub_stop(struct cell *cell);
/* When the cycle that runs is to be over, or the next one begins; 0: unknown, or no scrub. */
int64_t cell_scrub_next_s(const struct store_scrub_state *state, uint64_t period_ms);

/* --- shards that have moved: cell_drop.c. Lane. --- */

struct wire_order;
struct manifest;

/* An order of the kinds DROP and MOVED; *count: shards that were freed. DENIED for one that frees
   nothing here, whoever brings it. */
MUST_CHECK enum err cell_drop(struct cell *cell, const struct cell_view *view,
                              const struct wire_order *wire, const struct manifest *m,
                              uint32_t *count, struct errmsg *msg);

/* --- deleting: cell_removal.c --- */

MUST_CHECK enum err cell_removal_load(struct cell *cell, struct errmsg *msg);
void cell_removal_start(struct cell *cell);
void cell_removal_stop(struct cell *cell);
struct store_moment cell_removal_moment(const struct cell *cell, int64_t signed_s);
/* How long what waits for months may rest before it is looked at, and the clock written down: as
   long as this life has been already, from ten minutes to CELL_CALM_MAX_MS. So a crash costs half
   of the time that a cell ran at the most, and a disk does not wake up for nothing. */
uint64_t cell_removal_calm_ms(const struct cell *cell, const struct store_moment *now);
/* Lane: so that the next life counts on from there. With each look, and when the cell stops. */
MUST_CHECK enum err cell_removal_save_clock(struct cell *cell, const struct store_moment *now,
                                            struct errmsg *msg);
/* Something was marked: the timer looks. */
void cell_removal_soon(struct cell *cell);

/* The coordinator's orders: takes its answer (borrowed during the call), works on it on the lane,
   then calls cell_orders_taken(). FORMAT; END: there were none. */
MUST_CHECK enum err cell_orders_take(struct cell *cell, struct slice body, struct errmsg *msg);
/* The question for orders, with what is done since the last one. */
MUST_CHECK enum err cell_orders_ask(struct cell *cell, struct buf *out);
void cell_orders_free(struct cell *cell);
void cell_orders_taken(struct cell *cell); /* cell_membership.c */
