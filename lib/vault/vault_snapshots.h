/*
 * Which snapshots there are, and which one a person means.
 */
#pragma once

#include "snapshot/snapshot.h"
#include "vault/vault.h"

struct index;

struct vault_snapshot {
    struct id id, device;
    struct snapshot snapshot; /* its slices point into `body` */
    struct buf body;          /* owned */
};

struct vault_snapshots {
    struct vault_snapshot *list; /* oldest first */
    size_t count;
};

/* `snapshots` is NULL with an error; borrowed during the call. */
typedef void vault_snapshots_fn(void *user, enum err e, const struct vault_snapshots *snapshots,
                                const struct errmsg *msg);

/* Those of all devices of the account that the vault knows. */
MUST_CHECK enum err vault_snapshots(struct vault *vault, vault_snapshots_fn *done, void *user,
                                    struct errmsg *msg);

/* The one that `text` names: an ID, the beginning of one, or "latest": the
   newest of `host` when that is given, else this device's, else (it has none) the newest of all.
   ERR_NOT_FOUND, also when several begin like that; ERR_USAGE: `text` is empty. */
MUST_CHECK enum err vault_snapshots_pick(const struct vault_snapshots *snapshots, const char *text,
                                         const char *host, const struct id *device,
                                         size_t *out_index, struct errmsg *msg);

/* --- for the rooms above, inside jobs --- */

/* On the lane. Also frees what was there when it fails. */
MUST_CHECK enum err vault_snapshots_load(struct index *index, struct vault_snapshots *out,
                                         struct errmsg *msg);
/* The same of those that are forgotten, as far as the index keeps them. */
MUST_CHECK enum err vault_snapshots_load_forgotten(struct index *index, struct vault_snapshots *out,
                                                   struct errmsg *msg);
void vault_snapshots_free(struct vault_snapshots *snapshots);
