/*
 * Delete and undelete orders on their way: to every cell that holds something of
 * what they name, and to the coordinator (which tells those that are away). Each waits in the index
 * until it is answered, so whatever becomes of this process, a later run tells the rest.
 */
#pragma once

#include "vault/vault.h"

struct removal_orders_summary {
    uint64_t answered, waiting; /* by a cell or the coordinator, one order each */
};

typedef void removal_orders_fn(void *user, enum err e, const struct removal_orders_summary *summary,
                               const struct errmsg *msg);

struct removal_orders;

/* After vault_refresh(), on a vault opened for writing. Sends all that wait, to all at once. That
 * somebody does not answer is no error. */
MUST_CHECK enum err removal_orders_send(struct vault *vault, removal_orders_fn *done, void *user,
                                        struct removal_orders **out, struct errmsg *msg);
/* Waits no longer: done(ERR_OK) follows when what is under way has come back. */
void removal_orders_cancel(struct removal_orders *orders);
