#include "removal/removal_tombstone.h"

#include "identity/tombstone.h"
#include "vault/vault_deed.h"

#include <stdlib.h>

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, ID_SIZE);
}

static enum err add_one(struct vault *vault, struct heads_publish *publish,
                        const struct id *snapshots, size_t count, struct errmsg *msg)
{
    struct buf bytes = BUF_INIT(TOMBSTONE_BYTES_MAX);
    struct heads_publish_item *item;
    struct deed deed;
    struct id *named = calloc(count, sizeof(*named));
    enum err e = named ? vault_deed_next(vault, &deed, msg) : ERR_NOMEM;
    if (e == ERR_OK)
        e = tombstone_make(&deed, snapshots, count, &vault->swarm_root, vault->device, &bytes);
    if (e == ERR_OK)
        e = heads_publish_add(publish, SEGMENT_TOMBSTONE, &bytes, &item);
    if (e == ERR_OK) {
        memcpy(named, snapshots, count * sizeof(*named));
        item->named = named;
        item->named_count = count;
        item->time_s = deed.time_s;
        named = NULL;
    }
    buf_free(&bytes);
    free(named);
    return e;
}

enum err removal_tombstone_add(struct vault *vault, struct heads_publish *publish,
                               struct id *snapshots, size_t count, struct errmsg *msg)
{
    enum err e = ERR_OK;
    qsort(snapshots, count, sizeof(*snapshots), compare_ids);
    for (size_t at = 0; e == ERR_OK && at < count; at += TOMBSTONE_SNAPSHOTS_MAX) {
        const size_t left = count - at;
        e = add_one(vault, publish, snapshots + at,
                    left < TOMBSTONE_SNAPSHOTS_MAX ? left : TOMBSTONE_SNAPSHOTS_MAX, msg);
    }
    return e;
}
