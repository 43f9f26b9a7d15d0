#include "vault/vault_select.h"

#include <string.h>

enum { TAGS_MAX = 64 };

size_t vault_select_cut(const char *text, struct slice *out, size_t max)
{
    size_t count = 0;
    while (count < max) {
        const size_t size = strcspn(text, ",");
        out[count++] = slice_of(text, size);
        if (!text[size])
            break;
        text += size + 1;
    }
    return count;
}

static bool has(const struct slice *list, size_t count, struct slice wanted)
{
    for (size_t i = 0; i < count; i++)
        if (slice_equal(list[i], wanted))
            return true;
    return false;
}

static bool has_tags(const struct snapshot *s, const char *tags)
{
    struct slice wanted[TAGS_MAX];
    const size_t count = vault_select_cut(tags, wanted, TAGS_MAX);
    for (size_t i = 0; i < count; i++) {
        /* "" stands for a snapshot without tags */
        if (wanted[i].size == 0 && count == 1)
            return s->tag_count == 0;
        if (!has(s->tags, s->tag_count, wanted[i]))
            return false;
    }
    return true;
}

bool vault_select_host_and_tags(const struct snapshot *s, const char *host, const char *const *tags,
                                size_t tag_count)
{
    if (host && !slice_equal(s->host, slice_text(host)))
        return false;
    for (size_t i = 0; i < tag_count; i++)
        if (has_tags(s, tags[i]))
            return true;
    return tag_count == 0;
}

static bool passes(const struct snapshot *s, const struct vault_select *select)
{
    for (size_t i = 0; i < select->path_count; i++)
        if (!has(s->paths, s->path_count, slice_text(select->paths[i])))
            return false;
    return vault_select_host_and_tags(s, select->host, select->tags, select->tag_count);
}

enum err vault_select(const struct vault_snapshots *snapshots, const struct vault_select *select,
                      const struct id *device, bool *chosen, struct errmsg *msg)
{
    for (size_t i = 0; i < snapshots->count; i++)
        chosen[i] = select->snapshot_count == 0 && passes(&snapshots->list[i].snapshot, select);
    for (size_t i = 0; i < select->snapshot_count; i++) {
        size_t at;
        const enum err e =
            vault_snapshots_pick(snapshots, select->snapshots[i], select->host, device, &at, msg);
        if (e != ERR_OK)
            return e;
        chosen[at] = true;
    }
    return ERR_OK;
}
