/*
 * Segments that the coordinator's directory has not been told of, because it was away or refused:
 * kept in DIR/registrations until it takes them.
 *
 * The file is a row of registrations, each le32 size ‖ body of POST /v1/segments
 * (wire_directory.h).
 */
#pragma once

#include "vault/vault.h"

/* Lane. Behind what is kept; durable. */
MUST_CHECK enum err transfer_registrations_add(struct vault *vault, struct slice body,
                                               struct errmsg *msg);

/* Tells the coordinator, when it answers; what it does not take because it is away is kept on. On a
   vault opened for writing, while no backup runs. A coordinator that is away is no error. IO,
   NOMEM. */
MUST_CHECK enum err transfer_registrations_send(struct vault *vault, vault_done_fn *done,
                                                void *user, struct errmsg *msg);
