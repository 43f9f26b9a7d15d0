/*
 * "This cell is mine": an account's admin signs, the cell agrees when the word comes from its own
 * machine or network, or with the code that stands in its data directory, and signs too.
 */
#include "cell_internal.h"

#include "crypto/secret.h"
#include "identity/claim.h"
#include "identity/manifest.h"
#include "wire/wire_cell.h"

#include <stdlib.h>

static void apply(struct cell *cell, struct cell_query *query, struct cell_effect *effect,
                  bool connected)
{
    (void)query;
    (void)connected;
    cell->view.account = effect->account;
    free(effect);
}

static bool code_is_right(const struct cell *cell, struct slice code)
{
    const char *wanted = cell->options.claim_code;
    const size_t size = wanted ? strlen(wanted) : 0;
    return size && code.size == size && secret_equal(code.data, wanted, size);
}

static enum err check_claim(struct cell_query *query, const struct claim *claim, struct slice code,
                            struct errmsg *msg)
{
    const struct cell_peer *peer = &query->peer;
    const struct id *owner = &query->view.account;
    if (!id_equal(&claim->cell, &query->cell->id))
        return err_say(msg, ERR_DENIED, "the claim names another cell");
    if (peer->kind != CELL_PEER_DEVICE || !id_equal(&claim->account, &peer->account) ||
        !(peer->capabilities & MANIFEST_ADMIN) || !id_equal(&claim->signer, &peer->id))
        return err_say(msg, ERR_DENIED, "only an admin device of the account claims cells for it");
    if (!id_is_zero(owner) && !id_equal(owner, &claim->account))
        return err_say(msg, ERR_DENIED, "this cell belongs to another account already");
    if (!peer->near_us && !code_is_right(query->cell, code))
        return err_say(msg, ERR_DENIED,
                       "the claim comes from outside the cell's own network: give the code that "
                       "stands in the file claim-code in the cell's data directory");
    return ERR_OK;
}

enum err cell_claim(struct cell_query *query, struct slice body, struct buf *reply,
                    struct errmsg *msg)
{
    struct wire_claim wire;
    struct claim claim;
    enum err e = wire_claim_decode(body, &wire);
    if (e != ERR_OK)
        return err_say(msg, e, "the claim cannot be read");
    e = claim_open(wire.claim, query->view.swarm, &claim, msg);
    if (e == ERR_OK)
        e = check_claim(query, &claim, wire.code, msg);
    if (e == ERR_OK)
        e = claim_countersign(wire.claim, query->view.swarm, query->cell->options.key, reply);
    if (e == ERR_OK)
        e = store_fact_put(query->cell->options.store, CELL_FACT_CLAIM, buf_slice(reply), msg);
    if (e != ERR_OK)
        return e;
    query->effect = calloc(1, sizeof(*query->effect));
    if (!query->effect)
        return err_say(msg, ERR_NOMEM, "out of memory for a claim");
    query->effect->apply = apply;
    if (!claim.released)
        query->effect->account = claim.account;
    return ERR_OK;
}
