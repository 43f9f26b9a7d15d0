/*
 * Changing snapshots' tags. A snapshot never changes: one with other tags is made, under the same
 * time and with the first one's ID as its `original`, and a tombstone takes the old one's place.
 */
#pragma once

#include "vault/vault_select.h"

struct removal_tag_options {
    struct vault_select select;
    /* "a,b": both. `set` (when set_count > 0) takes the place of all that is there; [""]: none */
    const char *const *set, *const *add, *const *remove;
    size_t set_count, add_count, remove_count;
};
/* All options are borrowed until done. */

struct removal_tag_events {
    void (*changed)(void *user, const struct id *old, const struct id *now);
    void (*done)(void *user, enum err e, uint64_t changed, const struct errmsg *msg);
};

struct removal_tag;

/* As removal_forget_start(). A snapshot that has just these tags already is left alone. */
MUST_CHECK enum err removal_tag_start(struct vault *vault,
                                      const struct removal_tag_options *options,
                                      const struct removal_tag_events *events, void *user,
                                      struct removal_tag **out, struct errmsg *msg);
void removal_tag_cancel(struct removal_tag *tag);
