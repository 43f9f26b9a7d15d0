#include "vault/vault_cells.h"

#include "identity/claim.h"
#include "swarm/swarm_join.h"
#include "vault/vault_internal.h"
#include "wire/wire_cell.h"

#include <stdio.h>
#include <stdlib.h>

struct claiming {
    struct vault *vault;
    vault_done_fn *done;
    void *user;
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

static void claimed(void *user, enum err e, struct slice document, const struct errmsg *msg)
{
    struct claiming *c = user;
    vault_done_fn *done = c->done;
    void *done_user = c->user;
    (void)document;
    claiming_free(c);
    done(done_user, e, msg);
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
