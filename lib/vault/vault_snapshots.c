#include "vault/vault_snapshots.h"

#include "vault/vault_manifest.h"

#include <stdlib.h>

enum { LOAD_AT_ONCE = 64 };

void vault_snapshots_free(struct vault_snapshots *snapshots)
{
    for (size_t i = 0; i < snapshots->count; i++) {
        snapshot_free(&snapshots->list[i].snapshot);
        buf_free(&snapshots->list[i].body);
    }
    free(snapshots->list);
    *snapshots = (struct vault_snapshots){0};
}

static enum err load_one(struct index *index, const struct index_snapshot *row,
                         struct vault_snapshot *out, struct errmsg *msg)
{
    struct index_snapshot again;
    struct slice body;
    *out = (struct vault_snapshot){
        .id = row->id, .device = row->device, .body = BUF_INIT(SNAPSHOT_BYTES_MAX)};
    enum err e = index_snapshot_get(index, &row->id, &again, &body, msg);
    if (e == ERR_OK)
        e = buf_append(&out->body, body.data, body.size);
    if (e == ERR_OK)
        e = snapshot_decode(buf_slice(&out->body), &out->snapshot, msg);
    return e;
}

static enum err load(struct index *index, bool forgotten, struct vault_snapshots *out,
                     struct errmsg *msg)
{
    struct index_snapshot rows[LOAD_AT_ONCE];
    size_t count, skip = 0;
    enum err e;
    *out = (struct vault_snapshots){0};
    do {
        e = index_snapshots(index, forgotten, skip, rows, LOAD_AT_ONCE, &count, msg);
        if (e != ERR_OK)
            break;
        skip += count;
        struct vault_snapshot *more =
            realloc(out->list, (out->count + count + 1) * sizeof(*out->list));
        if (!more) {
            e = err_say(msg, ERR_NOMEM, "out of memory");
            break;
        }
        out->list = more;
        for (size_t i = 0; e == ERR_OK && i < count; i++)
            if (rows[i].forgotten == forgotten)
                e = load_one(index, &rows[i], &out->list[out->count++], msg);
    } while (e == ERR_OK && count == LOAD_AT_ONCE);
    if (e != ERR_OK) {
        vault_snapshots_free(out);
        return err_wrap(msg, e, "cannot read the list of snapshots");
    }
    return ERR_OK;
}

enum err vault_snapshots_load(struct index *index, struct vault_snapshots *out, struct errmsg *msg)
{
    return load(index, false, out, msg);
}

enum err vault_snapshots_load_forgotten(struct index *index, struct vault_snapshots *out,
                                        struct errmsg *msg)
{
    return load(index, true, out, msg);
}

/* --- for others --- */

struct loading {
    struct work_job job;
    struct vault *vault;
    struct vault_snapshots snapshots;
    struct buf manifest; /* of a reader: the one that the index has now */
    vault_snapshots_fn *done;
    void *user;
    enum err e;
    struct errmsg msg;
};

static void load_run(struct work_job *job)
{
    struct loading *loading = container_of(job, struct loading, job);
    struct slice manifest;
    loading->e = vault_snapshots_load(loading->vault->index, &loading->snapshots, &loading->msg);
    if (loading->vault->access == VAULT_READ &&
        index_fact_get(loading->vault->index, "manifest", &manifest, NULL) == ERR_OK)
        err_ignore(buf_append(&loading->manifest, manifest.data, manifest.size));
}

static void load_done(struct work_job *job)
{
    struct loading *loading = container_of(job, struct loading, job);
    /* A reader that stays (a mount) must open what a device wrote that came to the account since:
       whoever put its snapshots into the index put its manifest there too. */
    if (loading->manifest.size > 0)
        err_ignore(vault_manifest_seen(loading->vault, buf_slice(&loading->manifest), NULL, NULL));
    loading->done(loading->user, loading->e, loading->e == ERR_OK ? &loading->snapshots : NULL,
                  &loading->msg);
    vault_snapshots_free(&loading->snapshots);
    buf_free(&loading->manifest);
    free(loading);
}

enum err vault_snapshots(struct vault *vault, vault_snapshots_fn *done, void *user,
                         struct errmsg *msg)
{
    struct loading *loading = calloc(1, sizeof(*loading));
    if (!loading)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *loading = (struct loading){.job = {.run = load_run, .done = load_done},
                                .vault = vault,
                                .manifest = BUF_INIT(LIMIT_MANIFEST_BYTES),
                                .done = done,
                                .user = user};
    work_submit(vault->ports.work, vault->lane, &loading->job);
    return ERR_OK;
}

static enum err pick_latest(const struct vault_snapshots *snapshots, const char *host,
                            const struct id *device, size_t *out, struct errmsg *msg)
{
    size_t any = SIZE_MAX, own = SIZE_MAX;
    for (size_t i = 0; i < snapshots->count; i++) {
        const struct vault_snapshot *s = &snapshots->list[i];
        if (host && !slice_equal(s->snapshot.host, slice_text(host)))
            continue;
        any = i;
        if (id_equal(&s->device, device))
            own = i;
    }
    if (any == SIZE_MAX)
        return err_say(msg, ERR_NOT_FOUND,
                       "no snapshot%s%s is known here; \"cellctl backup\" makes one",
                       host ? " of host " : "", host ? host : "");
    *out = host || own == SIZE_MAX ? any : own;
    return ERR_OK;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool begins_with(const struct id *id, const char *text)
{
    char full[ID_TEXT_SIZE];
    id_format(id, full);
    for (size_t i = 0; text[i]; i++) {
        if (i >= ID_TEXT_LENGTH || full[i] != lower(text[i]))
            return false;
    }
    return true;
}

enum err vault_snapshots_pick(const struct vault_snapshots *snapshots, const char *text,
                              const char *host, const struct id *device, size_t *out_index,
                              struct errmsg *msg)
{
    size_t found = 0;
    if (!strcmp(text, "latest"))
        return pick_latest(snapshots, host, device, out_index, msg);
    if (!text[0])
        return err_say(msg, ERR_USAGE, "'' names no snapshot: give an ID, or \"latest\"");
    for (size_t i = 0; i < snapshots->count; i++) {
        if (begins_with(&snapshots->list[i].id, text)) {
            found++;
            *out_index = i;
        }
    }
    if (found == 0)
        return err_say(msg, ERR_NOT_FOUND,
                       "there is no snapshot '%s'; \"cellctl snapshots\" lists them", text);
    if (found > 1)
        return err_say(msg, ERR_NOT_FOUND,
                       "the IDs of %zu snapshots begin with '%s': give more of it", found, text);
    return ERR_OK;
}
