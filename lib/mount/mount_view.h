/*
 * Of this room only. The directories above the snapshots, made anew whenever the list of snapshots
 * is read again:
 *
 *     ids/<id>                    the first ten characters
 *     snapshots/<time>  latest    mount_names.h
 *     hosts/<host>/<time>  latest
 *     tags/<tag>/<time>  latest
 *     @GMT-.../
 *
 * Each of these directories is a *shelf*; what stands on it is another shelf, a snapshot's root, or
 * the link "latest".
 */
#pragma once

#include "vault/vault_snapshots.h"

enum mount_shelf_kind {
    MOUNT_SHELF_ROOT = 1,
    MOUNT_SHELF_IDS,
    MOUNT_SHELF_SNAPSHOTS,
    MOUNT_SHELF_HOSTS,
    MOUNT_SHELF_HOST,
    MOUNT_SHELF_TAGS,
    MOUNT_SHELF_TAG,
};

enum mount_item_kind { MOUNT_ITEM_SHELF, MOUNT_ITEM_SNAPSHOT, MOUNT_ITEM_LATEST };

struct mount_item {
    char *name; /* owned */
    enum mount_item_kind kind;
    size_t index; /* of view->shelves, or view->snapshots; LATEST: of the item that it leads to */
};

struct mount_shelf {
    enum mount_shelf_kind kind;
    char *label;              /* owned: a host's or tag's directory name; NULL otherwise */
    struct mount_item *items; /* owned; in the order of their names */
    size_t count, capacity;
    int64_t time_ns; /* of its newest snapshot */
};

struct mount_snapshot {
    struct id id;
    int64_t time_ns;
    struct buf root; /* owned: the entry of "/" */
};

struct mount_view {
    struct mount_shelf *shelves; /* owned; [0] is the root */
    size_t shelf_count;
    struct mount_snapshot *snapshots; /* owned; oldest first */
    size_t snapshot_count;
    uint64_t bytes, files; /* in all snapshots together: for statfs */
};

/* Those of `host` (NULL: all) with `tags` as in struct vault_select. ERR_NOMEM. */
MUST_CHECK enum err mount_view_new(const struct vault_snapshots *from, const char *host,
                                   const char *const *tags, size_t tag_count,
                                   struct mount_view **out);
void mount_view_free(struct mount_view *view); /* NULL does nothing */

/* NULL: not there (any more). */
const struct mount_shelf *mount_view_shelf(const struct mount_view *view,
                                           enum mount_shelf_kind kind, const char *label);
const struct mount_item *mount_shelf_find(const struct mount_shelf *shelf, struct slice name);
