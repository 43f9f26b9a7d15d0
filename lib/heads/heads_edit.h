/*
 * Publishing without a backup: a writer, for whatever has to be stored first,
 * and then a head (heads_publish.h). What forget, tag, prune and undelete have in common.
 *
 *     heads_edit_new(vault, &options, &edit, msg);
 *     ... transfer_writer_put(heads_edit_writer(edit), ...) ...     // prune
 *     heads_edit_publish(edit);                                  // done() follows; then it is gone
 */
#pragma once

#include "heads/heads_publish.h"

struct heads_edit;

struct heads_edit_options {
    /* As in heads_publish_options. */
    enum err (*prepare)(void *user, struct heads_publish *publish, struct errmsg *msg);
    enum err (*store)(void *user, struct heads_publish *publish, struct errmsg *msg);
    void (*done)(void *user, enum err e, const struct errmsg *msg);
    void *user;
};

/* NOT_ENOUGH: too few cells for the level in force. */
MUST_CHECK enum err heads_edit_new(struct vault *vault, const struct heads_edit_options *options,
                                   struct heads_edit **out, struct errmsg *msg);
struct transfer_writer *heads_edit_writer(struct heads_edit *edit);
/* What has gone wrong so far. */
enum err heads_edit_error(const struct heads_edit *edit, struct errmsg *msg);

/* No batch may be out. `done` comes, not from inside this call, and the edit is freed. */
void heads_edit_publish(struct heads_edit *edit);
/* One that never published, with no batch out; `done` follows with this error, and it is freed. */
void heads_edit_abandon(struct heads_edit *edit, enum err e, const struct errmsg *msg);
/* Nothing more is sent; done(ERR_CANCELLED) follows once it is published or abandoned. */
void heads_edit_cancel(struct heads_edit *edit);
