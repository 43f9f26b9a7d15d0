/*
 * Publishing without a backup: a writer, for whatever has to be stored first,
 * and then a head (vault_publish.h). What forget, tag, prune and undelete have in common.
 *
 *     vault_edit_new(vault, &options, &edit, msg);
 *     ... vault_writer_put(vault_edit_writer(edit), ...) ...     // prune
 *     vault_edit_publish(edit);                                  // done() follows; then it is gone
 */
#pragma once

#include "vault/vault_publish.h"

struct vault_edit;

struct vault_edit_options {
    /* As in vault_publish_options. */
    enum err (*prepare)(void *user, struct vault_publish *publish, struct errmsg *msg);
    enum err (*store)(void *user, struct vault_publish *publish, struct errmsg *msg);
    void (*done)(void *user, enum err e, const struct errmsg *msg);
    void *user;
};

/* NOT_ENOUGH: too few cells for the level in force. */
MUST_CHECK enum err vault_edit_new(struct vault *vault, const struct vault_edit_options *options,
                                   struct vault_edit **out, struct errmsg *msg);
struct vault_writer *vault_edit_writer(struct vault_edit *edit);
/* What has gone wrong so far. */
enum err vault_edit_error(const struct vault_edit *edit, struct errmsg *msg);

/* No batch may be out. `done` comes, not from inside this call, and the edit is freed. */
void vault_edit_publish(struct vault_edit *edit);
/* One that never published, with no batch out; `done` follows with this error, and it is freed. */
void vault_edit_abandon(struct vault_edit *edit, enum err e, const struct errmsg *msg);
/* Nothing more is sent; done(ERR_CANCELLED) follows once it is published or abandoned. */
void vault_edit_cancel(struct vault_edit *edit);
