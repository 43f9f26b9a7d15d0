#include "heads/heads_rebuild.h"

#include "vault/vault_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct heads_rebuild {
    struct vault *vault;
    struct heads_sync_events events;
    void *user;
};

static void rebuilt(void *user, enum err e, const struct heads_sync_summary *summary,
                    const struct errmsg *msg)
{
    struct heads_rebuild *r = user;
    struct errmsg own = *msg;
    if (e == ERR_OK && summary->problems > 0)
        e = err_say(&own, ERR_NOT_ENOUGH,
                    "%llu pieces of the index could not be had; try again when more cells are "
                    "awake",
                    (unsigned long long)summary->problems);
    if (e == ERR_OK)
        e = vault_index_take_place(r->vault, &own);
    r->events.done(r->user, e, summary, &own);
    free(r);
}

static void problem_seen(void *user, enum err e, const char *sentence)
{
    struct heads_rebuild *r = user;
    if (r->events.problem)
        r->events.problem(r->user, e, sentence);
}

enum err heads_rebuild_start(struct vault *vault, const struct heads_sync_events *events,
                             void *user, struct errmsg *msg)
{
    static const struct heads_sync_events own = {.problem = problem_seen, .done = rebuilt};
    if (!vault->rebuilding)
        return err_say(msg, ERR_STATE, "the vault was not opened to be rebuilt");
    struct heads_rebuild *r = malloc(sizeof(*r));
    if (!r)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *r = (struct heads_rebuild){.vault = vault, .events = *events, .user = user};
    const enum err e = heads_sync_start(vault, &own, r, msg);
    if (e != ERR_OK)
        free(r);
    return e;
}

bool heads_rebuild_is_due(const char *dir)
{
    char path[4096];
    const int size = snprintf(path, sizeof(path), "%s/settings.ini", dir);
    if (size < 0 || (size_t)size >= sizeof(path) - sizeof(INDEX_FILE) || access(path, F_OK) != 0)
        return false;
    snprintf(path, sizeof(path), "%s/" INDEX_FILE, dir);
    return access(path, F_OK) != 0 && errno == ENOENT;
}
