/*
 * The coordinator's registry: members, accounts, invites, the directory of segments. All of it is
 * one thread's (the coordinator's lane), so nothing here is asynchronous and nothing does network;
 * times are arguments (seconds since 1970, by the coordinator's clock).
 *
 * Members are kept in memory as well as in SQLite: a heartbeat changes memory only, and is written
 * with others in one transaction by registry_flush(). What members and accounts may be told of is
 * derived: the member list is signed anew when something that placement reads has changed.
 *
 * The directory has a row a segment: ID, account, k, m, shard size, and five bytes a shard (index,
 * number of the cell).
 */
#pragma once

#include "base/idmap.h"
#include "base/log.h"
#include "crypto/sign.h"
#include "identity/invite.h"
#include "identity/manifest.h"
#include "identity/member_list.h"
#include "identity/member_statement.h"
#include "port/random.h"
#include "wire/wire_coordinator.h"
#include "wire/wire_directory.h"

struct registry;
struct db;

#define REGISTRY_FILE "registry.db" /* below DATA */

struct registry_options {
    const char *path; /* for SQLite, through `vfs` (NULL: the system's) */
    const char *vfs;
    const struct sign_key *key; /* the coordinator's; borrowed, as all below */
    const struct swarm_root *swarm;
    struct slice certificate; /* ours, document */
    uint32_t incarnation;
    const struct random *random;
    const struct log *log;
    uint64_t asleep_after_ms, gone_after_ms;
    uint64_t grant_s; /* how long a grant holds; 0: REGISTRY_GRANT_S */
    /* A segment is repaired when fewer than k + m * percent / 100 of its shards are left. 0:
       REGISTRY_REPAIR_PERCENT; 100: at the first loss. */
    unsigned repair_percent;
    uint64_t lease_s; /* how long a repairer has a ticket for itself; 0: REGISTRY_LEASE_S */
    /* The owner's device has so long for a loss before any cell may take it; where one more loss
       would lose data, nobody waits. */
    uint64_t repair_delay_s;
    uint64_t account_lease_s; /* an account's, from its last renewal on; 0: REGISTRY_ACCOUNT_S */
    uint64_t proof_period_ms; /* each cell proves a shard about so often; 0: never */
    uint64_t beat_ms; /* how often cells are told to send heartbeats; 0: asleep_after_ms / 4 */
    /* What an account may use without giving anything, once for the invite that it came with; 0:
       REGISTRY_STARTER_BYTES. And how much of what it gives comes on top, in percent, at most 100
       (more would promise space that nobody has); 0: 100. */
    uint64_t starter_bytes;
    unsigned quota_percent;
};

/* The times and limits of `options` (asleep_after_ms to proof_period_ms, but for grant_s) count
   from now on; 0 stands for the defaults as in registry_open(). */
void registry_set_timers(struct registry *registry, const struct registry_options *options);

#define REGISTRY_STARTER_BYTES GIB(100)

/* 75: with 8+4 at the second loss, with two parity shards or fewer at the first. One download of k
   then serves several losses, and a single sleeper too many costs nothing. */
enum {
    REGISTRY_GRANT_S = 7 * 86400,
    REGISTRY_REPAIR_PERCENT = 75,
    REGISTRY_LEASE_S = 3600,
    REGISTRY_ACCOUNT_S = 365 * 86400,
    REGISTRY_AWAY_S = 90 * 86400, /* the longest announced absence */
    REGISTRY_CELLS_MAX = 1000000,
};

MUST_CHECK enum err registry_open(const struct registry_options *options, struct registry **out,
                                  struct errmsg *msg);
void registry_close(struct registry *registry); /* flushes; NULL does nothing */

/* For documents/: manifests and heads rest in the same database. */
struct db *registry_db(struct registry *registry);

/* --- joining --- */

/* A cell with a valid invite becomes a member; one that is a member already is told so again. The
   statement's signer must be `peer`. DENIED: the invite is used up, over, of another kind or of an
   older coordinator; the sentence says which. */
MUST_CHECK enum err registry_join_cell(struct registry *registry, const struct id *peer,
                                       struct slice invite, struct slice statement, int64_t now_s,
                                       struct errmsg *msg);
/* An account: its first manifest, which must name `peer`. Keeping the manifest is the caller's
   (serve/). */
MUST_CHECK enum err registry_join_account(struct registry *registry, const struct id *peer,
                                          struct slice invite, const struct manifest *manifest,
                                          int64_t now_s, struct errmsg *msg);
/* Is the account one of this swarm's? */
MUST_CHECK enum err registry_account_known(struct registry *registry, const struct id *account,
                                           bool *out, struct errmsg *msg);

/* --- members --- */

/* NOT_FOUND for a cell that is no member. */
MUST_CHECK enum err registry_heartbeat(struct registry *registry, const struct id *cell,
                                       const struct wire_heartbeat *beat, int64_t now_s,
                                       struct errmsg *msg);
/* Writes what heartbeats said since the last time. */
MUST_CHECK enum err registry_flush(struct registry *registry, struct errmsg *msg);
/* The same, but that cells were heard again, and have other free space now, waits for up to a
   quarter of the time after which silence is sleep: a swarm where nothing happens does not wake the
   coordinator's disk. After a crash all seem to have been silent since then, for which nobody is
   blamed. */
MUST_CHECK enum err registry_flush_news(struct registry *registry, struct errmsg *msg);

/* The newest member list, signed anew when something changed; borrowed until the next call. */
MUST_CHECK enum err registry_members(struct registry *registry, int64_t now_s, struct slice *out,
                                     uint64_t *number, struct errmsg *msg);
/* What has changed since list `since` (member_changes.h), or the whole list when that is not known
   or not shorter; borrowed until the next call. */
MUST_CHECK enum err registry_changes(struct registry *registry, uint64_t since, int64_t now_s,
                                     struct slice *out, struct errmsg *msg);
uint64_t registry_list_number(const struct registry *registry);

/* The states of all members, as GET /v1/cells says them. */
/* Appends the answer about the cells in `asked` (wire_ids.h), or about all when it is NULL. */
MUST_CHECK enum err registry_cells(struct registry *registry, struct wire_list *asked,
                                   int64_t now_s, struct buf *reply, struct errmsg *msg);

/* A claim that both have signed. DENIED: the cell belongs to another account; NOT_FOUND: it is no
   member. */
MUST_CHECK enum err registry_claim(struct registry *registry, const struct id *cell,
                                   const struct id *account, bool released, struct slice doc,
                                   struct errmsg *msg);

struct registry_counts {
    uint64_t cells, up, asleep, gone, leaving, accounts, segments;
    uint64_t ungathered; /* cells that a rebuilt coordinator has not heard all of yet */
    uint64_t unproven;   /* shards that it was told of and has no proof of yet */
    uint64_t untrusted;  /* cells that get no new shards before they have proven more */
    /* segments of the repair queue */
    uint64_t repairs_ready, repairs_leased;
    uint64_t repairs_waiting; /* for a new cell */
    uint64_t segments_lost;   /* fewer than k shards left */
    uint64_t segments_inconsistent;
    uint64_t repaired_count; /* segments, since the coordinator started */
    uint64_t repair_left_s;  /* until nothing is ready, at the pace of the last hour; 0: unknown */
    uint64_t proofs_passed, proofs_failed; /* since it started */
    uint64_t refused_count; /* requests since it started; coordinator_count() fills it in */
    uint64_t leases_ending; /* accounts that have not renewed for 11/12 of the term, or longer */
    int64_t swept_s;        /* when the directory was last gone through; 0: not yet */
};
MUST_CHECK enum err registry_counts(struct registry *registry, int64_t now_s,
                                    struct registry_counts *out, struct errmsg *msg);

/* --- grants --- */

/* Signs a grant for each of `wants` that may be had: a member, eligible, not the account's own. */
MUST_CHECK enum err registry_place(struct registry *registry, const struct id *account,
                                   const struct id *device, struct wire_list *wants, int64_t now_s,
                                   struct buf *reply, struct errmsg *msg);

/* --- the directory --- */

/* Takes what the device registers: its signed record, and receipts of members. Shards that are
   known already stay; a shard that is somewhere else now is added. *taken: segments. */
MUST_CHECK enum err registry_register(struct registry *registry, const struct id *account,
                                      const struct id *device, struct wire_list *segments,
                                      uint32_t *taken, struct errmsg *msg);
/* Where `ids` are, of this account's segments. */
MUST_CHECK enum err registry_find(struct registry *registry, const struct id *account,
                                  struct wire_list *ids, struct buf *reply, struct errmsg *msg);

/* --- the life of what is stored: repair, proof, leaving ---
 *
 * The queue is derived: a sweep goes through the directory when a cell's state has changed, and
 * puts in what has lost too much. What cells say about their own shards goes in at once. */

/* Every few seconds: counts, lets a sweep go on. *busy: call again soon. */
MUST_CHECK enum err registry_tick(struct registry *registry, int64_t now_s, bool *busy,
                                  struct errmsg *msg);

/* What a cell is told in the answer to its heartbeat: work (bits of wire_repair.h, a few cells for
   each ticket), its trust, and how far it is with leaving. The other fields are the caller's. */
void registry_answer(struct registry *registry, const struct id *cell, int64_t now_s,
                     struct wire_heartbeat_reply *answer);

/* A signed ticket for `repairer`, appended to `ticket`: the most urgent repair that can be done
   just now. What it had before goes back to the queue. `account` (NULL: a cell asks): the repairer
   is a device of it, gets its segments alone, and those for which cells still have to wait.
   NOT_FOUND: nothing. DENIED: the cell is no member, leaves, or is not trusted. */
MUST_CHECK enum err registry_repair_take(struct registry *registry, const struct id *repairer,
                                         const struct id *account, int64_t now_s,
                                         struct buf *ticket, struct errmsg *msg);
/* The same for a proof. */
MUST_CHECK enum err registry_proof_take(struct registry *registry, const struct id *auditor,
                                        int64_t now_s, struct buf *ticket, struct errmsg *msg);

struct wire_report;
/* STALE: the lease is over and the work somebody else's. DENIED for receipts that are none. */
MUST_CHECK enum err registry_report(struct registry *registry, const struct id *from,
                                    struct wire_report *report, int64_t now_s, struct errmsg *msg);

/* What a cell has learnt of others by lot while the coordinator was away (wire_verdicts_next).
 *taken: how many count. DENIED: it is no member, or not trusted. */
MUST_CHECK enum err registry_verdicts(struct registry *registry, const struct id *from,
                                      struct wire_list *verdicts, int64_t now_s, uint32_t *taken,
                                      struct errmsg *msg);

/* What a cell says about its own shards (wire_damage_next). */
MUST_CHECK enum err registry_damage(struct registry *registry, const struct id *cell,
                                    struct wire_list *shards, int64_t now_s, struct errmsg *msg);

/* The cell's owner says that it will be silent until then (at most REGISTRY_AWAY_S from now).
   DENIED: it is not this account's. */
MUST_CHECK enum err registry_away(struct registry *registry, const struct id *account,
                                  const struct id *cell, int64_t until_s, int64_t now_s,
                                  struct errmsg *msg);

/* What is known of one member: for status and tests. NOT_FOUND. */
struct registry_cell_info {
    uint32_t trust; /* of 1000; no new shards below 500, none left with it below 250 */
    uint64_t proof_count, fault_count, held;
};
MUST_CHECK enum err registry_cell_info(const struct registry *registry, const struct id *cell,
                                       struct registry_cell_info *out);

/* --- what accounts give and take: registry_ledger.c, docs/operations.md ---
 *
 * An account *uses* the shards of its segments, each index once, deleted ones until their hold is
 * over. It *gives* what its claimed cells hold for others by the receipts in the directory, without
 * what is damaged, not proven yet, or on a cell that is gone or not trusted. What a cell says of
 * its free space counts for nothing. allowed = given * percent / 100 + one starter: so the sum over
 * all accounts is never above the bytes proven plus one starter for each invite that was used. */

struct registry_standing {
    uint64_t used_bytes, given_bytes, allowed_bytes;
    uint64_t promised_bytes; /* by grants that may still be spent */
};
/* DENIED for an account that is none of this swarm's. */
MUST_CHECK enum err registry_standing(struct registry *registry, const struct id *account,
                                      int64_t now_s, struct registry_standing *out,
                                      struct errmsg *msg);

/* One line of the ledger. Return ERR_OK to go on; anything else ends the call and is returned. */
typedef enum err registry_ledger_fn(void *user, const struct id *account, const struct id *cell,
                                    uint64_t bytes);
MUST_CHECK enum err registry_ledger(struct registry *registry, registry_ledger_fn *each, void *user,
                                    struct errmsg *msg);
/* Counts the directory again from its first row to its last: CORRUPT when the ledger says something
   else. */
MUST_CHECK enum err registry_ledger_check(struct registry *registry, struct errmsg *msg);

/* --- a registry that was lost: registry_gather.c, docs/operations.md --- */

struct member_list;

/* A new coordinator, before it serves: the members of the list that its predecessor signed last,
   not gathered yet. STATE: this registry has members. */
MUST_CHECK enum err registry_adopt(struct registry *registry, const struct member_list *list,
                                   int64_t now_s, struct errmsg *msg);

struct registry_gather {
    struct id cell;
    struct address_list addresses;
    bool gather; /* false: it only has to be told of the newest member list */
};
/* A cell that is to be told, or asked; it is until registry_gather_end(). */
bool registry_gather_next(struct registry *registry, int64_t now_s, struct registry_gather *out);
/* Cells that have not been asked for all yet; of them, *tried: they do not answer. */
uint64_t registry_gather_left(const struct registry *registry, uint64_t *tried);

/* One page of a cell's inventory: appends the IDs of segments that are not in the directory yet,
   and of accounts not in `accounts` yet. Then the answers about those, then the same page's places.
   What does not verify is left out and counted. */
MUST_CHECK enum err registry_gather_page(struct registry *registry, struct wire_list items,
                                         struct buf *segments, struct buf *accounts,
                                         struct errmsg *msg);
/* The account in a claim document, when it is one. */
MUST_CHECK enum err registry_gather_claimant(struct registry *registry, struct slice doc,
                                             struct buf *accounts);
MUST_CHECK enum err registry_gather_heads(struct registry *registry, const struct id *account,
                                          struct slice body, struct errmsg *msg);
MUST_CHECK enum err registry_gather_claim(struct registry *registry, const struct id *cell,
                                          struct slice doc, int64_t now_s, struct errmsg *msg);
MUST_CHECK enum err registry_gather_segments(struct registry *registry, struct slice ids,
                                             struct wire_list described, int64_t now_s,
                                             uint64_t *refused, struct errmsg *msg);
MUST_CHECK enum err registry_gather_places(struct registry *registry, const struct id *cell,
                                           struct wire_list items, struct errmsg *msg);
/* The cell has said all (ERR_OK), or does not answer and is asked again later. */
MUST_CHECK enum err registry_gather_end(struct registry *registry, const struct id *cell,
                                        enum err how, int64_t now_s, struct errmsg *msg);

/* --- deleting: registry_removal.c --- */

struct delete_order;
struct wire_order;

/* A verified order of the account: its segments leave the directory (or come back into it), and
   every cell that holds one of them is told when it asks. *count: the segments that did. One that
   was taken back leaves again only by an order of a higher sequence, or another signer. */
MUST_CHECK enum err registry_order_take(struct registry *registry, const struct wire_order *wire,
                                        const struct delete_order *order, uint64_t hold_s,
                                        int64_t now_s, uint32_t *count, struct errmsg *msg);
struct deed;
/* A verified renewal: the account's lease begins anew. *count: 1, or 0 for one that was known. */
MUST_CHECK enum err registry_renew(struct registry *registry, const struct deed *deed,
                                   struct slice doc, int64_t now_s, uint32_t *count,
                                   struct errmsg *msg);
/* What a cell asks about accounts' leases (wire_lease.h). */
MUST_CHECK enum err registry_renewals(struct registry *registry, struct wire_list *accounts,
                                      int64_t now_s, struct buf *reply, struct errmsg *msg);

struct drop_order;
/* A verified drop order of the account: the shard's place at that cell leaves the directory, and
   the cell is told. *count: 1 when it was there. DENIED: the shard has no other place. */
MUST_CHECK enum err registry_drop_take(struct registry *registry, struct slice doc,
                                       const struct drop_order *order, int64_t now_s,
                                       uint32_t *count, struct errmsg *msg);
/* Does an order wait for this cell? */
MUST_CHECK enum err registry_orders_waiting(struct registry *registry, const struct id *cell,
                                            bool *out, struct errmsg *msg);
/* Forgets what `done` says is done, and gives the next ones with their account's manifest. */
MUST_CHECK enum err registry_orders(struct registry *registry, const struct id *cell,
                                    struct wire_list *done, struct buf *reply, struct errmsg *msg);
/* Was it deleted? Then its name is never used again. */
MUST_CHECK enum err registry_is_removed(struct registry *registry, const struct id *segment,
                                        bool *out, struct errmsg *msg);
