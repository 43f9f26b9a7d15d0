#include "vault/vault_rebuild.h"

#include "base/file.h"
#include "vault/vault_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const suffixes[] = {"", "-wal", "-shm"};

#define ASIDE     "index.damaged"
#define NEW_INDEX "index.new"

struct vault_rebuild {
    struct vault *vault;
    struct vault_sync_events events;
    void *user;
};

static char *part(const struct vault *vault, const char *name, const char *suffix)
{
    char whole[64];
    snprintf(whole, sizeof(whole), "%s%s", name, suffix);
    return vault_path(vault, whole);
}

/* 0, or errno of the last that could not be moved; what is not there is moved already. */
static int move_all(const struct vault *vault, const char *from, const char *to)
{
    int problem = 0;
    for (size_t i = 0; i < ARRAY_COUNT(suffixes); i++) {
        char *old = part(vault, from, suffixes[i]), *new = part(vault, to, suffixes[i]);
        if (!old || !new)
            problem = ENOMEM;
        else if (rename(old, new) != 0 && errno != ENOENT)
            problem = errno;
        free(old);
        free(new);
    }
    return problem;
}

static void remove_all(const struct vault *vault, const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(suffixes); i++) {
        char *path = part(vault, name, suffixes[i]);
        if (path)
            unlink(path);
        free(path);
    }
}

/* An index of a newer version is not damaged, and not ours to replace. */
static enum err refuse_newer(struct vault *vault, struct errmsg *msg)
{
    const enum err e = vault_index_open(vault, INDEX_FILE, false, msg);
    index_close(vault->index);
    vault->index = NULL;
    return e == ERR_VERSION ? e : ERR_OK;
}

enum err vault_rebuild_begin(struct vault *vault, struct errmsg *msg)
{
    struct buf manifest = BUF_INIT(LIMIT_MANIFEST_BYTES);
    char *path = vault_path(vault, "manifest");
    enum err e = path ? refuse_newer(vault, msg) : ERR_NOMEM;
    if (e == ERR_OK)
        e = file_read(path, &manifest, msg);
    if (e == ERR_NOT_FOUND)
        e = err_say(msg, ERR_STATE,
                    "the vault has no copy of the account's manifest beside its index: move %s "
                    "away and recover with the phrase",
                    vault->dir);
    if (e == ERR_OK)
        e = vault_manifest_take(vault, buf_slice(&manifest), msg);
    if (e == ERR_OK) {
        remove_all(vault, NEW_INDEX); /* of one that was killed */
        vault->rebuilding = true;
        e = vault_index_open(vault, NEW_INDEX, true, msg);
    }
    if (e == ERR_OK)
        e = index_fact_put(vault->index, "manifest", buf_slice(&manifest), msg);
    buf_free(&manifest);
    free(path);
    return e;
}

void vault_rebuild_undo(struct vault *vault)
{
    index_close(vault->index);
    vault->index = NULL;
    remove_all(vault, NEW_INDEX);
    vault->rebuilding = false;
}

/* A kill between the two moves leaves no index: then one is made again. */
static enum err take_place(struct vault *vault, struct errmsg *msg)
{
    index_close(vault->index);
    vault->index = NULL;
    remove_all(vault, ASIDE);
    int problem = move_all(vault, INDEX_FILE, ASIDE);
    if (!problem)
        problem = move_all(vault, NEW_INDEX, INDEX_FILE);
    vault->rebuilding = problem != 0;
    return problem ? err_say_errno(msg, problem, "cannot put the new index in its place") : ERR_OK;
}

static void rebuilt(void *user, enum err e, const struct vault_sync_summary *summary,
                    const struct errmsg *msg)
{
    struct vault_rebuild *r = user;
    struct errmsg own = *msg;
    if (e == ERR_OK && summary->problems > 0)
        e = err_say(&own, ERR_NOT_ENOUGH,
                    "%llu pieces of the index could not be had; try again when more cells are "
                    "awake",
                    (unsigned long long)summary->problems);
    if (e == ERR_OK)
        e = take_place(r->vault, &own);
    r->events.done(r->user, e, summary, &own);
    free(r);
}

static void problem_seen(void *user, enum err e, const char *sentence)
{
    struct vault_rebuild *r = user;
    if (r->events.problem)
        r->events.problem(r->user, e, sentence);
}

enum err vault_rebuild_start(struct vault *vault, const struct vault_sync_events *events,
                             void *user, struct errmsg *msg)
{
    static const struct vault_sync_events own = {.problem = problem_seen, .done = rebuilt};
    if (!vault->rebuilding)
        return err_say(msg, ERR_STATE, "the vault was not opened to be rebuilt");
    struct vault_rebuild *r = malloc(sizeof(*r));
    if (!r)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *r = (struct vault_rebuild){.vault = vault, .events = *events, .user = user};
    const enum err e = vault_sync_start(vault, &own, r, msg);
    if (e != ERR_OK)
        free(r);
    return e;
}

bool vault_rebuild_is_due(const char *dir)
{
    char path[4096];
    const int size = snprintf(path, sizeof(path), "%s/settings.ini", dir);
    if (size < 0 || (size_t)size >= sizeof(path) - sizeof(INDEX_FILE) || access(path, F_OK) != 0)
        return false;
    snprintf(path, sizeof(path), "%s/" INDEX_FILE, dir);
    return access(path, F_OK) != 0 && errno == ENOENT;
}

void vault_keep_manifest(const struct vault *vault)
{
    struct buf kept = BUF_INIT(LIMIT_MANIFEST_BYTES);
    char *path = vault_path(vault, "manifest");
    if (vault->access != VAULT_WRITE || !vault->index || !vault->manifest || !path)
        goto out;
    const enum err e = file_read(path, &kept, NULL);
    if (e == ERR_OK && slice_equal(buf_slice(&kept), buf_slice(&vault->manifest_bytes)))
        goto out;
    if (file_write(path, 0600, buf_slice(&vault->manifest_bytes), NULL) != ERR_OK)
        log_say(vault->ports.log, LOG_WARN, "the manifest's copy in %s cannot be written",
                vault->dir);
out:
    buf_free(&kept);
    free(path);
}
