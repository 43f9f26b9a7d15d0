/*
 * The account's lease: cells keep its shards for a year from its last word on. One document renews
 * it for all of them; the coordinator hands it to whoever asks.
 */
#pragma once

#include "vault/vault.h"

enum {
    HEALTH_LEASE_S = 365 * 86400,
    HEALTH_LEASE_WARN_S = 30 * 86400, /* so long before its end status says so */
};

/* Renews when the last time is a day ago; when the coordinator is away, a later run does. On a
   vault opened for writing, after vault_refresh(). `done` gets ERR_OK also then; else the index's
   errors.
 */
MUST_CHECK enum err health_renew(struct vault *vault, vault_done_fn *done, void *user,
                                 struct errmsg *msg);
