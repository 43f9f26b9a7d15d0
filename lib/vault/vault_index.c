#include "vault/vault_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const suffixes[] = {"", "-wal", "-shm"};

#define ASIDE     "index.damaged"
#define NEW_INDEX "index.new"

enum err vault_index_open(struct vault *vault, const char *name, bool create, struct errmsg *msg)
{
    char *path = vault_path(vault, name);
    if (!path)
        return err_say(msg, ERR_NOMEM, "out of memory");
    const struct index_options options = {
        .path = path, .create = create, .read_only = vault->access == VAULT_READ};
    enum err e = index_open(&options, &vault->index, msg);
    free(path);
    return e;
}

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

enum err vault_index_renew(struct vault *vault, struct errmsg *msg)
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

void vault_index_renew_undo(struct vault *vault)
{
    index_close(vault->index);
    vault->index = NULL;
    remove_all(vault, NEW_INDEX);
    vault->rebuilding = false;
}

/* A kill between the two moves leaves no index: then one is made again. */
enum err vault_index_take_place(struct vault *vault, struct errmsg *msg)
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
