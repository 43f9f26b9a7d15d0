/* Shared by the files of the registry only. */
#pragma once

#include "db/db.h"
#include "documents/documents.h"
#include "identity/ticket.h"
#include "placement/placement.h"
#include "registry.h"

enum { REGISTRY_CHANGES = 8 }; /* answers kept: most who ask have one of the last few lists */
enum { REGISTRY_SAMPLES = 4, REGISTRY_OVER_ACCOUNTS = 16 };

/* How far a cell's shards count. */
enum registry_hold {
    REGISTRY_HOLDS = 1, /* up or asleep */
    REGISTRY_MOVES,     /* leaving, or not trusted any more: readable, and to be made elsewhere */
    REGISTRY_LOST,      /* gone beyond the grace time */
};

struct registry_cell {
    uint32_t number; /* of its row; what the directory says for it */
    struct id id;
    uint8_t key[SIGN_PUBLIC_SIZE];
    struct buf addresses; /* owned; CBOR, address_list_encode() */
    char site[LIMIT_NAME_BYTES + 1];
    uint64_t sequence; /* of its statement */
    uint64_t give_bytes;
    bool claimed, leaving;
    struct id household;
    int64_t last_seen_s;
    uint64_t free_bytes, used_bytes, shard_count, damaged_count;
    bool heard;         /* that it was heard again is not in the database yet, */
    bool news;          /* nor is what it said, or what follows from its silence, */
    bool unwritten;     /* nor is more than that */
    int64_t missed_s;   /* when a repair could not store there; 0: not since it did, or the start */
    uint64_t no_orders; /* registry.orders_number when nothing waited for it; 0: unknown */
    int64_t away_until_s; /* its owner has said that it will be silent till then */
    uint32_t trust;       /* registry_proof.c */
    uint64_t proof_count, fault_count;
    uint64_t observed_s, up_s; /* registry_watch.c */
    bool lost;                 /* gone, and counted as that */
    bool ungathered; /* a new coordinator has not heard yet what it holds: registry_gather.c */
    bool uninformed; /* it may not know of this coordinator, or of where it is now */
    bool gathering;  /* it is being asked */
    int64_t gather_after_s;
    int64_t unheard_s; /* of the time since last_seen_s: in which nobody here was listening */
    enum registry_hold swept_as; /* when the last sweep began; 0: no sweep since it is here */
    bool swept_awake;
    struct id
        samples[REGISTRY_SAMPLES]; /* segments with a shard here, drawn by lot, not used yet */
    uint32_t sample_count, sample_seen;
    uint64_t listed_number, listed_digest; /* registry_list.c: the list that first said so of it */
    uint64_t held, held_next; /* shards that the directory names here, by the last sweep and what
                                 came since; by the sweep that is running */
};

/* A proof that somebody is to take. */
struct registry_audit {
    uint8_t ticket[TICKET_ID_SIZE];
    struct id auditor, segment;
    uint8_t index;
    uint32_t cell;
    int64_t expires_s; /* 0: nobody's */
};

enum { REGISTRY_AUDITS = 256, SHARD_ROW_BYTES = 5 };

/* Repairs by state, as registry_repair.c counts them. */
enum registry_repair_state {
    REPAIR_READY = 1,        /* can be taken from due_s on */
    REPAIR_LEASED = 2,       /* somebody has a ticket, until lease_s */
    REPAIR_WAITING = 3,      /* no cell of another domain can take a shard: waits for a new one */
    REPAIR_LOST = 4,         /* fewer than k shards are left: somebody must come back */
    REPAIR_INCONSISTENT = 5, /* told to the owner, never tried again */
    REPAIR_STATE_COUNT,
};

struct registry {
    struct registry_options options;
    struct db *db;
    struct registry_cell **cells; /* owned; by number - 1, no holes */
    size_t cell_count, cell_capacity;
    struct idmap by_id; /* -> struct registry_cell */

    struct buf list; /* the signed member list */
    struct id list_hash;
    uint64_t list_number;
    bool list_stale;
    uint64_t changes_from; /* since this list's number it is known what has changed; 0: none */
    struct registry_changes {
        uint64_t since;
        struct buf bytes; /* owned; of the newest list, as it is answered */
    } changes[REGISTRY_CHANGES];
    size_t changes_next;

    /* repair: registry_repair.c */
    uint64_t repairs[REPAIR_STATE_COUNT]; /* rows by state */
    bool repairs_changed;                 /* since they were counted */
    uint64_t damage_rows;
    uint64_t orders_number; /* counts the orders that cells were given; 0 is none of them */
    uint64_t moved_orders;  /* rows of removal_order about moved shards; too high, never too low */
    uint64_t offers;        /* tickets that no heartbeat has been told of yet */
    bool sweeping, swept;
    struct id sweep_at; /* the last segment that was looked at */
    int64_t sweep_number, swept_s;
    uint64_t repaired_count; /* reports with receipts, since the start */
    uint64_t pace_count;     /* of them when the pace was last looked at, */
    int64_t pace_s;          /* then; */
    int64_t busy_s; /* since when there has been something to repair; 0: there is nothing */
    double pace;    /* segments a second, lately */
    struct placement_group *group; /* owned; of `group_account`, by list number `group_list` */
    struct id group_account;
    uint64_t group_list;

    struct idmap promises; /* struct promise of registry_ledger.c, by account; owned */
    bool promises_changed; /* since they were written */

    uint64_t unproven_rows; /* registry_gather.c */
    size_t unproven_turn;

    /* how cells do: registry_watch.c */
    int64_t awake_s, awake_since_s; /* when we were last alive, and since when without a pause */
    uint64_t exposure_s, loss_count;
    int64_t deaf_from_s, deaf_until_s; /* the last time that we were away */
    bool watch_changed;                /* since it was written, */
    bool watch_heard;                  /* but only by cells that were heard */
    int64_t heard_written_s;           /* when all that was heard was written; registry_cells.c */

    /* accounts whose lease is over, the latest ones, as the sweep began */
    int64_t over[REGISTRY_OVER_ACCOUNTS];
    size_t over_count;
    int64_t leases_said_s; /* when the log last told of leases near their end */

    /* proof: registry_proof.c */
    struct registry_audit audits[REGISTRY_AUDITS];
    uint64_t audit_credit_ms; /* collected by cells and time, spent on proofs */
    int64_t audited_s;
    uint64_t proofs_passed, proofs_failed; /* since the start */
    uint32_t suspect; /* number of a cell that says to hold less than it should; 0: none */
    bool cells_turn;  /* the next lot falls on a cell, not on a segment */

    /* trust: registry_trust.c */
    bool large;            /* so many households that nobody in particular is needed */
    uint64_t sample_state; /* of the lots for samples */
    int64_t forgiven_s;
};

/* One shard of a segment, as the directory has it. */
struct registry_place {
    uint8_t index;
    bool damaged; /* the cell has said so, or failed to prove it */
    struct registry_cell *cell;
};

struct registry_segment {
    struct id id;
    int64_t account; /* its number */
    uint8_t k, m;
    uint32_t shard_bytes;
    struct registry_place places[WIRE_FOUND_SHARDS];
    size_t count;
};

/* --- registry_segment.c: a segment's row --- */

#define REGISTRY_SEGMENT_COLUMNS "id, account, k, m, shard_bytes, shards"
/* From a statement that selects REGISTRY_SEGMENT_COLUMNS; the damaged ones are marked. */
MUST_CHECK enum err registry_segment_read(struct registry *registry, struct db_statement *s,
                                          struct registry_segment *out, struct errmsg *msg);
/* NOT_FOUND. */
MUST_CHECK enum err registry_segment_get(struct registry *registry, const struct id *id,
                                         struct registry_segment *out, struct errmsg *msg);
/* Puts the places into the row. */
MUST_CHECK enum err registry_segment_put(struct registry *registry,
                                         const struct registry_segment *segment,
                                         struct errmsg *msg);
MUST_CHECK enum err registry_account_id(struct registry *registry, int64_t number, struct id *out,
                                        struct errmsg *msg);
/* DENIED: it is none of this swarm's. */
MUST_CHECK enum err registry_account_number(struct registry *registry, const struct id *account,
                                            int64_t *out, struct errmsg *msg);
MUST_CHECK enum err registry_damage_mark(struct registry *registry, const struct id *segment,
                                         unsigned index, const struct registry_cell *cell,
                                         struct errmsg *msg);
/* `cell` NULL: at every one. */
MUST_CHECK enum err registry_damage_clear(struct registry *registry, const struct id *segment,
                                          unsigned index, const struct registry_cell *cell,
                                          struct errmsg *msg);
/* A shard more or less of this segment at the cell. */
void registry_held(struct registry *registry, const struct id *segment, struct registry_cell *cell,
                   int change);

/* --- registry_ledger.c --- */

MUST_CHECK enum err registry_ledger_load(struct registry *registry, struct errmsg *msg);
void registry_ledger_free(struct registry *registry);
/* Counts all of it again from the rows. */
MUST_CHECK enum err registry_ledger_count(struct registry *registry, struct errmsg *msg);
/* A segment's row changes from these places to those (SHARD_ROW_BYTES each). Inside the caller's
   transaction. */
MUST_CHECK enum err registry_ledger_change(struct registry *registry, int64_t account,
                                           uint32_t shard_bytes, struct slice before,
                                           struct slice after, struct errmsg *msg);
/* Takes a few of the deleted segments out whose hold is over. */
MUST_CHECK enum err registry_ledger_tick(struct registry *registry, int64_t now_s,
                                         struct errmsg *msg);
/* How much may be promised by new grants; then what was, in memory till the next flush. */
MUST_CHECK enum err registry_ledger_left(struct registry *registry, const struct id *account,
                                         int64_t now_s, uint64_t *left, struct errmsg *msg);
MUST_CHECK enum err registry_ledger_promise(struct registry *registry, const struct id *account,
                                            uint64_t bytes, int64_t now_s, struct errmsg *msg);
/* What was promised is stored now. */
void registry_ledger_kept(struct registry *registry, const struct id *account, uint64_t bytes);
/* Inside a transaction of registry_flush(). */
MUST_CHECK enum err registry_ledger_flush(struct registry *registry, struct errmsg *msg);

/* --- registry_gather.c: proofs of what cells said --- */

/* A receipt or a proof is here now. */
MUST_CHECK enum err registry_unproven_clear(struct registry *registry, const struct id *segment,
                                            unsigned index, const struct registry_cell *cell,
                                            uint32_t shard_bytes, struct errmsg *msg);
/* Places of a row that are no more in it. */
MUST_CHECK enum err registry_unproven_leave(struct registry *registry, const struct id *segment,
                                            uint32_t shard_bytes, struct slice before,
                                            struct slice after, struct errmsg *msg);
/* A shard without proof, at a cell of another household. NOT_FOUND. */
MUST_CHECK enum err registry_unproven_pick(struct registry *registry, const struct id *not_of,
                                           struct id *segment, unsigned *index,
                                           struct registry_cell **cell, struct errmsg *msg);

/* --- registry_watch.c --- */

MUST_CHECK enum err registry_watch_load(struct registry *registry, struct errmsg *msg);
MUST_CHECK enum err registry_watch_flush(struct registry *registry, struct errmsg *msg);
/* Before a heartbeat is taken over into the cell. */
void registry_watch_beat(struct registry *registry, struct registry_cell *cell,
                         const struct wire_heartbeat *beat, int64_t now_s);
/* Counts those that have gone. */
void registry_watch_tick(struct registry *registry, int64_t now_s);
/* Was the coordinator away on that day since 1970, or for a part of it? */
bool registry_watch_was_deaf(const struct registry *registry, uint64_t day);
/* It was away, between these times. */
void registry_watch_deaf(struct registry *registry, int64_t from_s, int64_t until_s);
/* With the silence that lasts. */
void registry_watch_read(const struct registry *registry, const struct registry_cell *cell,
                         int64_t now_s, uint64_t *observed_s, uint64_t *up_s);

/* --- registry_repair.c --- */

enum registry_hold registry_hold(const struct registry *registry, const struct registry_cell *cell,
                                 int64_t now_s);
/* Looks at the segment again, and puts it into the queue or takes it out; keeps a lease. */
MUST_CHECK enum err registry_repair_judge(struct registry *registry, const struct id *segment,
                                          int64_t now_s, struct errmsg *msg);
/* What waits for a cell may have one now: the next tick begins a sweep. */
static inline void registry_look_again(struct registry *registry)
{
    if (registry->repairs[REPAIR_WAITING] > 0)
        registry->swept_s = 0;
}
MUST_CHECK enum err registry_repair_load(struct registry *registry, struct errmsg *msg);

struct wire_report;
/* Of a repair ticket. */
MUST_CHECK enum err registry_repair_report(struct registry *registry, const struct id *from,
                                           struct wire_report *report, int64_t now_s,
                                           struct errmsg *msg);

/* --- registry_moved.c: inside the caller's transaction --- */

/* `index` was made anew at `to`, under this ticket, as its receipt says: every other place of it in
   `segment` is told, now or when it comes back. */
MUST_CHECK enum err registry_moved(struct registry *registry,
                                   const struct registry_segment *segment, uint8_t index,
                                   const struct registry_cell *to, struct slice ticket,
                                   struct slice receipt, int64_t now_s, struct errmsg *msg);
/* The shard is at the cell (again): what it was to be told of it counts no more. */
MUST_CHECK enum err registry_moved_back(struct registry *registry, const struct id *segment,
                                        uint8_t index, const struct registry_cell *cell,
                                        struct errmsg *msg);
MUST_CHECK enum err registry_moved_expire(struct registry *registry, int64_t now_s,
                                          struct errmsg *msg);

/* --- registry_lease.c --- */

/* Fills `over`. */
MUST_CHECK enum err registry_leases_over(struct registry *registry, int64_t now_s,
                                         struct errmsg *msg);
/* Says in the log, once a day, how many accounts are near the end of their lease. */
MUST_CHECK enum err registry_lease_announce(struct registry *registry, int64_t now_s,
                                            struct errmsg *msg);
bool registry_lease_is_over(const struct registry *registry, int64_t account);
/* Accounts in the last part of their lease, or beyond it. */
MUST_CHECK enum err registry_leases_ending(struct registry *registry, int64_t now_s, uint64_t *out,
                                           struct errmsg *msg);

/* registry_removal.c, inside the caller's transaction: out of the directory, as by nobody's order;
   and back into it, what is still known. */
MUST_CHECK enum err registry_lease_remove(struct registry *registry, int64_t account,
                                          const struct id *segment, int64_t now_s,
                                          struct errmsg *msg);
MUST_CHECK enum err registry_lease_return(struct registry *registry, int64_t account, int64_t now_s,
                                          struct errmsg *msg);

/* --- registry_target.c --- */

/* Cells for the shards `indexes` of the segment; where none fits: NULL. Returns how many have one.
 */
MUST_CHECK enum err registry_targets(struct registry *registry,
                                     const struct registry_segment *segment,
                                     struct registry_cell *const holders[LIMIT_SHARDS],
                                     const uint8_t *indexes, size_t count, int64_t now_s,
                                     struct registry_cell **out, size_t *placed,
                                     struct errmsg *msg);

/* --- registry_trust.c --- */

enum {
    REGISTRY_TRUST_MAX = 1000,
    REGISTRY_TRUST_FULL = 750, /* on trial below this: few new shards */
    REGISTRY_TRUST_NEW = 500,  /* none */
    REGISTRY_TRUST_KEEP = 250, /* none left with it */
};
static inline bool registry_trusted(const struct registry_cell *cell)
{
    return cell->trust >= REGISTRY_TRUST_NEW;
}
/* May it get new shards, as far as trust, its gift and its wish to leave go? */
bool registry_takes_new(const struct registry *registry, const struct registry_cell *cell);
/* For placement: less than registry_weight() while it is on trial. */
uint16_t registry_cell_weight(const struct registry *registry, const struct registry_cell *cell);
/* Members or claims have changed. */
void registry_households_changed(struct registry *registry);
/* Of a new member. */
void registry_trust_begin(struct registry *registry, struct registry_cell *cell, bool stranger);
void registry_trust_proven(struct registry *registry, struct registry_cell *cell);
/* A shard is confirmed to be missing or wrong; `says_so`: by the cell itself. */
void registry_fault(struct registry *registry, struct registry_cell *cell, bool says_so);
/* What it uses, by its heartbeat. */
void registry_trust_used(struct registry *registry, struct registry_cell *cell,
                         uint64_t used_bytes);
void registry_trust_tick(struct registry *registry, int64_t now_s);
/* The cell has a shard of the segment: it may become one of its samples. */
void registry_sample(struct registry *registry, struct registry_cell *cell,
                     const struct id *segment);
/* Takes a sample out by lot; false: there is none. */
bool registry_sample_take(struct registry *registry, struct registry_cell *cell,
                          struct id *segment);

/* --- registry_proof.c --- */

/* One voice that a shard is not there; when enough agree it counts as damaged. */
MUST_CHECK enum err registry_doubt(struct registry *registry, const struct id *segment,
                                   unsigned index, struct registry_cell *cell, const struct id *by,
                                   int64_t now_s, struct errmsg *msg);
void registry_audit_tick(struct registry *registry, int64_t now_s);

/* Facts. */
#define REGISTRY_FACT_LIST "members"

/* The cell's owner; the cell itself while nobody has claimed it. */
static inline const struct id *registry_household(const struct registry_cell *cell)
{
    return cell->claimed ? &cell->household : &cell->id;
}
struct registry_cell *registry_cell_find(const struct registry *registry, const struct id *id);
/* Gone is who was silent for the grace time while the coordinator listened. */
enum wire_cell_state registry_cell_state(const struct registry *registry,
                                         const struct registry_cell *cell, int64_t now_s);
/* In memory; its number becomes the next one. */
MUST_CHECK enum err registry_cell_add(struct registry *registry, struct registry_cell **out);
/* Takes what a newer statement says; nothing when it is older. True when placement reads it. */
MUST_CHECK enum err registry_cell_take(struct registry_cell *cell,
                                       const struct member_statement *statement, bool *changed);
MUST_CHECK enum err registry_cell_write(struct registry *registry, const struct registry_cell *cell,
                                        struct errmsg *msg);
MUST_CHECK enum err registry_cells_load(struct registry *registry, struct errmsg *msg);
/* Whole GiB of the gift, at least 1 (0 without a gift), at most PLACEMENT_WEIGHT_MAX. */
uint16_t registry_weight(uint64_t give_bytes);

/* --- registry_list.c --- */

/* At the start: what the list in the database says. */
void registry_list_known(struct registry *registry, const struct member_list *list);
void registry_list_forget_changes(struct registry *registry);
