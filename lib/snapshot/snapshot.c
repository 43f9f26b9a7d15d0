#include "snapshot/snapshot.h"

#include "cbor/cbor_read.h"
#include "cbor/cbor_write.h"

#include <stdlib.h>

enum { VERSION = 1 };

static void write_list(struct cbor_writer *w, uint64_t key, const struct slice *list, size_t count)
{
    cbor_write_key(w, key), cbor_write_array(w);
    for (size_t i = 0; i < count; i++)
        cbor_write_bytes(w, list[i]);
    cbor_write_end(w);
}

enum err snapshot_encode(const struct snapshot *snapshot, struct buf *out)
{
    const struct snapshot_totals *totals = &snapshot->totals;
    struct cbor_writer w = cbor_write_into(out);
    cbor_write_map(&w);
    cbor_write_key(&w, 0), cbor_write_u64(&w, VERSION);
    cbor_write_key(&w, 1), cbor_write_i64(&w, snapshot->time_ns);
    cbor_write_key(&w, 2), cbor_write_bytes(&w, snapshot->host);
    cbor_write_key(&w, 3), cbor_write_bytes(&w, snapshot->user);
    cbor_write_key(&w, 4), cbor_write_u64(&w, snapshot->uid);
    cbor_write_key(&w, 5), cbor_write_u64(&w, snapshot->gid);
    write_list(&w, 6, snapshot->paths, snapshot->path_count);
    write_list(&w, 7, snapshot->tags, snapshot->tag_count);
    write_list(&w, 8, snapshot->excludes, snapshot->exclude_count);
    cbor_write_key(&w, 9), cbor_write_bytes(&w, snapshot->root);
    cbor_write_key(&w, 10), cbor_write_bytes(&w, snapshot->program);
    if (!id_is_zero(&snapshot->parent))
        cbor_write_key(&w, 11), cbor_write_id(&w, &snapshot->parent);
    cbor_write_key(&w, 12), cbor_write_array(&w);
    cbor_write_u64(&w, totals->files), cbor_write_u64(&w, totals->directories);
    cbor_write_u64(&w, totals->others), cbor_write_u64(&w, totals->bytes);
    cbor_write_u64(&w, totals->unreadable);
    cbor_write_end(&w);
    if (snapshot->revision > 0) {
        cbor_write_key(&w, 13), cbor_write_id(&w, &snapshot->original);
        cbor_write_key(&w, 14), cbor_write_u64(&w, snapshot->revision);
    }
    cbor_write_end(&w);
    return cbor_write_finish(&w);
}

/* The three lists in one allocation that grows with them. */
static enum err read_list(struct cbor_reader *r, uint64_t key, struct slice **all, size_t *used,
                          size_t *out_count)
{
    cbor_read_key(r, key);
    const size_t count = cbor_read_array(r, SNAPSHOT_LIST_MAX);
    struct slice *grown = realloc(*all, (*used + count + 1) * sizeof(**all));
    if (!grown)
        return ERR_NOMEM;
    *all = grown;
    for (size_t i = 0; i < count; i++)
        grown[*used + i] = cbor_read_bytes(r, SNAPSHOT_TEXT_MAX);
    if (r->e == ERR_OK)
        cbor_read_end(r);
    *used += count;
    *out_count = count;
    return ERR_OK;
}

static void read_totals(struct cbor_reader *r, struct snapshot_totals *out)
{
    cbor_read_key(r, 12);
    if (cbor_read_array(r, 5) != 5)
        cbor_read_refuse(r, ERR_FORMAT);
    out->files = cbor_read_u64(r, UINT64_MAX);
    out->directories = cbor_read_u64(r, UINT64_MAX);
    out->others = cbor_read_u64(r, UINT64_MAX);
    out->bytes = cbor_read_u64(r, UINT64_MAX);
    out->unreadable = cbor_read_u64(r, UINT64_MAX);
    if (r->e == ERR_OK)
        cbor_read_end(r);
}

enum err snapshot_decode(struct slice bytes, struct snapshot *out, struct errmsg *msg)
{
    struct cbor_reader r = cbor_read_over(bytes);
    struct slice *lists = NULL;
    size_t used = 0;
    *out = (struct snapshot){0};
    cbor_read_map(&r);
    cbor_read_key(&r, 0);
    const uint64_t version = cbor_read_u64(&r, UINT64_MAX);
    if (r.e == ERR_OK && version != VERSION)
        return err_say(msg, ERR_VERSION, "a snapshot of an unknown version");
    cbor_read_key(&r, 1), out->time_ns = cbor_read_i64(&r);
    cbor_read_key(&r, 2), out->host = cbor_read_bytes(&r, SNAPSHOT_TEXT_MAX);
    cbor_read_key(&r, 3), out->user = cbor_read_bytes(&r, SNAPSHOT_TEXT_MAX);
    cbor_read_key(&r, 4), out->uid = cbor_read_u32(&r, UINT32_MAX);
    cbor_read_key(&r, 5), out->gid = cbor_read_u32(&r, UINT32_MAX);
    enum err e = read_list(&r, 6, &lists, &used, &out->path_count);
    if (e == ERR_OK)
        e = read_list(&r, 7, &lists, &used, &out->tag_count);
    if (e == ERR_OK)
        e = read_list(&r, 8, &lists, &used, &out->exclude_count);
    out->memory = lists;
    if (e != ERR_OK)
        return err_say(msg, e, "out of memory for a snapshot");
    out->paths = lists;
    out->tags = lists + out->path_count;
    out->excludes = lists + out->path_count + out->tag_count;
    cbor_read_key(&r, 9), out->root = cbor_read_bytes(&r, SNAPSHOT_BYTES_MAX);
    cbor_read_key(&r, 10), out->program = cbor_read_bytes(&r, SNAPSHOT_TEXT_MAX);
    if (cbor_read_key_optional(&r, 11))
        cbor_read_id(&r, &out->parent);
    read_totals(&r, &out->totals);
    if (cbor_read_key_optional(&r, 13)) {
        cbor_read_id(&r, &out->original);
        cbor_read_key(&r, 14), out->revision = cbor_read_u64(&r, UINT64_MAX);
        if (out->revision == 0)
            cbor_read_refuse(&r, ERR_FORMAT);
    }
    cbor_read_end(&r);
    return cbor_read_finish(&r, msg, "a snapshot");
}

void snapshot_free(struct snapshot *snapshot)
{
    free(snapshot->memory);
    *snapshot = (struct snapshot){0};
}
