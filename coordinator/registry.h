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
};

enum { REGISTRY_GRANT_S = 7 * 86400, REGISTRY_CELLS_MAX = 1000000 };

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

/* The newest member list, signed anew when something changed; borrowed until the next call. */
MUST_CHECK enum err registry_members(struct registry *registry, int64_t now_s, struct slice *out,
                                     uint64_t *number, struct errmsg *msg);
uint64_t registry_list_number(const struct registry *registry);

/* The states of all members, as GET /v1/cells says them. */
MUST_CHECK enum err registry_cells(struct registry *registry, int64_t now_s, struct buf *reply,
                                   struct errmsg *msg);

/* A claim that both have signed. DENIED: the cell belongs to another account; NOT_FOUND: it is no
   member. */
MUST_CHECK enum err registry_claim(struct registry *registry, const struct id *cell,
                                   const struct id *account, bool released, struct slice doc,
                                   struct errmsg *msg);

struct registry_counts {
    uint64_t cells, up, asleep, gone, accounts, segments;
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
