/*
 * How the account's data is: from the index and the newest member list; nothing is asked of cells
 * (health_check.h does that), of the coordinator only how the account stands.
 */
#pragma once

#include "base/limits.h"
#include "vault/vault.h"

struct health_status {
    uint64_t segments, segments_below_target; /* committed ones */
    uint64_t segments_lost;                   /* with fewer than k shards */
    uint64_t debts;         /* shards that are not stored, or are on cells that are gone */
    int32_t margin_min;     /* of the worst segment; INT32_MAX when there is none */
    uint32_t margin_target; /* m of the level in force */
    unsigned k, m;
    uint64_t chunks, plain_bytes, sealed_bytes;
    uint64_t bytes_used;                       /* of shards stored on cells */
    uint64_t snapshots;                        /* of all devices */
    int64_t last_backup_s;                     /* of this device; 0: never */
    int64_t newest_s;                          /* the account's newest snapshot; 0: none is known */
    char newest_device[LIMIT_NAME_BYTES + 1];  /* who made it; empty: this device */
    int64_t lease_until_s;                     /* that this device has renewed; 0: never */
    uint32_t members, members_up, own, others; /* cells; others: domains for this account */
    bool coordinator_up;                       /* false: members_up is not known */

    /* By the coordinator's ledger; false: it was not asked, or did not answer. */
    bool standing_known;
    uint64_t bytes_given, bytes_allowed; /* and bytes_used, which is then its number */
    /* By measured uptime and losses (docs/durability.md); negative: not known yet. */
    double unavailable, loss_year;
};

typedef void health_status_fn(void *user, enum err e, const struct health_status *status,
                              const struct errmsg *msg);

/* After vault_refresh(). */
MUST_CHECK enum err health_status_ask(struct vault *vault, health_status_fn *done, void *user,
                                      struct errmsg *msg);
