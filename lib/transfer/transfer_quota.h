/*
 * How much the account may still store, by the coordinator's ledger.
 */
#pragma once

#include "vault/vault.h"

/* From so much of what is allowed on, people are warned. */
enum { TRANSFER_QUOTA_WARN_PERCENT = 80 };

struct transfer_quota {
    bool known; /* false: the coordinator does not answer, and what follows is 0 */
    uint64_t used_bytes, given_bytes, allowed_bytes;
};

typedef void transfer_quota_fn(void *user, const struct transfer_quota *quota);

/* After vault_refresh(). NOMEM. */
MUST_CHECK enum err transfer_quota_ask(struct vault *vault, transfer_quota_fn *done, void *user,
                                       struct errmsg *msg);

/* The most that `bytes` of files can come to on the cells under k + m. */
uint64_t transfer_quota_need(uint64_t bytes, unsigned k, unsigned m);
