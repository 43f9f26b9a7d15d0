/*
 * A doubtful row: some segment has stopped counting since it was written (condemned by another
 * device, or lost), so its entries may name chunks that are gone. Each entry's chunks are looked
 * up; those whose chunks all count stay, the others are left out of the row, and so are read again.
 * A row that stays whole is written again, without doubt.
 *
 * Of an entry with lists (a large file, a directory of many nodes) the index cannot say what the
 * lists name: it is left out.
 */
#include "backup/backup_internal.h"

#include <stdlib.h>

/* The chunks of one entry, in `ids` of the whole row. */
struct span {
    size_t first, end;
    bool known;
};

struct doubt {
    struct id *ids; /* owned */
    size_t count, capacity;
    struct span *spans; /* owned; one an entry */
};

static enum err add_id(struct doubt *d, const struct id *id)
{
    if (d->count == d->capacity) {
        const size_t capacity = d->capacity ? 2 * d->capacity : 256;
        struct id *grown = realloc(d->ids, capacity * sizeof(*grown));
        if (!grown)
            return ERR_NOMEM;
        d->ids = grown;
        d->capacity = capacity;
    }
    d->ids[d->count++] = *id;
    return ERR_OK;
}

static enum err add_entry(struct doubt *d, const struct index_cached *cached, struct span *span)
{
    struct snapshot_entry entry;
    enum err e = ERR_OK;
    *span = (struct span){.first = d->count, .end = d->count};
    if (snapshot_entry_decode(cached->node, &entry, NULL) != ERR_OK || entry.content.depth > 0)
        return ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < snapshot_ref_count(entry.content.refs); i++) {
        const struct snapshot_ref ref = snapshot_ref_at(entry.content.refs, i);
        e = add_id(d, &ref.id);
    }
    if (e == ERR_OK && entry.runs_ref.bytes > 0)
        e = add_id(d, &entry.runs_ref.id);
    span->end = d->count;
    span->known = e == ERR_OK;
    return e;
}

static enum err collect(struct doubt *d, struct index_dir *row)
{
    struct index_cached cached;
    size_t at = 0;
    enum err e = ERR_OK;
    d->spans = calloc((size_t)row->count + 1, sizeof(*d->spans));
    if (!d->spans)
        return ERR_NOMEM;
    index_dir_rewind(row);
    while (e == ERR_OK && at < row->count && index_dir_next(row, &cached) == ERR_OK)
        e = add_entry(d, &cached, &d->spans[at++]);
    return e;
}

static enum err look_up(struct doubt *d, struct index *index, size_t entries, struct errmsg *msg)
{
    struct index_chunk *found = calloc(d->count + 1, sizeof(*found));
    enum err e = found ? index_chunks_find(index, d->ids, d->count, false, found, msg)
                       : err_say(msg, ERR_NOMEM, "out of memory for looking up chunks");
    for (size_t i = 0; e == ERR_OK && i < entries; i++)
        for (size_t c = d->spans[i].first; c < d->spans[i].end; c++)
            d->spans[i].known &= found[c].segment != 0;
    free(found);
    return e;
}

/* The row without the entries that are in doubt still. */
static enum err rebuild(struct doubt *d, struct index_dir *row)
{
    struct buf body;
    struct index_cached cached;
    size_t at = 0;
    enum err e = index_dir_start(&body);
    index_dir_rewind(row);
    while (e == ERR_OK && at < row->count && index_dir_next(row, &cached) == ERR_OK)
        if (d->spans[at++].known)
            e = index_dir_append(&body, &cached);
    if (e != ERR_OK) {
        buf_free(&body);
        return e;
    }
    index_dir_free(row);
    return index_dir_parse(&body, row);
}

enum err backup_doubt_settle(struct index *index, struct slice path, struct index_dir *row,
                             struct errmsg *msg)
{
    struct doubt d = {0};
    const size_t entries = row->count;
    size_t known = 0;
    enum err e = collect(&d, row);
    if (e == ERR_OK)
        e = look_up(&d, index, entries, msg);
    for (size_t i = 0; e == ERR_OK && i < entries; i++)
        known += d.spans[i].known;
    if (e == ERR_OK && known == entries)
        e = index_dir_put(index, path, buf_slice(&row->body), msg);
    else if (e == ERR_OK)
        e = rebuild(&d, row);
    if (e == ERR_OK) {
        row->doubtful = false;
        index_dir_rewind(row);
    }
    free(d.ids);
    free(d.spans);
    return e;
}
