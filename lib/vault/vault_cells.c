#include "vault/vault_cells.h"

#include "identity/claim.h"
#include "swarm/swarm_join.h"
#include "vault/vault_manifest.h"
#include "wire/wire_cell.h"

#include <stdio.h>
#include <stdlib.h>

struct claiming {
    struct vault *vault;
    vault_done_fn *done;
    void *user;
    struct id cell;
    struct buf half;
    char code[WIRE_CODE_BYTES + 1];
};

struct swarm *vault_swarm(const struct vault *vault)
{
    return vault->swarm;
}

static void claiming_free(struct claiming *c)
{
    buf_free(&c->half);
    free(c);
}

static void claiming_end(struct claiming *c, enum err e, const struct errmsg *msg)
{
    vault_done_fn *done = c->done;
    void *done_user = c->user;
    claiming_free(c);
    done(done_user, e, msg);
}

static enum err add_claim(void *user, struct manifest *m, struct errmsg *msg)
{
    const struct claiming *c = user;
    const enum err e = manifest_add_claim(m, &c->cell);
    if (e == ERR_TOO_LARGE)
        return err_say(msg, e, "the account has claimed as many cells as there can be");
    return e == ERR_EXISTS ? ERR_END : e;
}

static void noted(void *user, enum err e, const struct errmsg *msg)
{
    claiming_end(user, e, msg);
}

/* The cell and the coordinator know; the account's own document is to say it too. */
static void claimed(void *user, enum err e, struct slice document, const struct errmsg *why)
{
    struct claiming *c = user;
    struct errmsg msg = *why;
    (void)document;
    const struct vault_manifest_change change = {.edit = add_claim, .done = noted, .user = c};
    if (e == ERR_OK)
        e = vault_manifest_change(c->vault, &change, &msg);
    if (e != ERR_OK)
        claiming_end(c, e, &msg);
}

enum err vault_claim(struct vault *vault, const struct id *cell, const char *code,
                     vault_done_fn *done, void *user, struct errmsg *msg)
{
    struct claiming *c = calloc(1, sizeof(*c));
    if (!c)
        return err_say(msg, ERR_NOMEM, "out of memory");
    c->vault = vault;
    c->done = done;
    c->user = user;
    c->cell = *cell;
    c->half = BUF_INIT(CLAIM_BYTES_MAX);
    const struct claim claim = {
        .account = vault->account,
        .manifest_number = vault->manifest->number,
        .cell = *cell,
        .time_s = clock_wall_ns(vault->ports.clock) / 1000000000,
    };
    enum err e = ERR_OK;
    if (code && strlen(code) > WIRE_CODE_BYTES)
        e = err_say(msg, ERR_USAGE, "the claim code is too long");
    if (e == ERR_OK && code)
        snprintf(c->code, sizeof(c->code), "%s", code);
    if (e == ERR_OK)
        e = claim_make(&claim, &vault->swarm_root, vault->device, &c->half);
    if (e == ERR_OK)
        e = swarm_claim(vault->swarm, cell, buf_slice(&c->half), slice_text(c->code), claimed, c,
                        msg);
    if (e != ERR_OK)
        claiming_free(c);
    return e;
}

enum err vault_cells_away(struct vault *vault, const struct id *cell, int64_t until_s,
                          vault_done_fn *done, void *user, struct errmsg *msg)
{
    return swarm_away(vault->swarm, cell, until_s, done, user, msg);
}
