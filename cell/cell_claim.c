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

struct claimed {
    struct serve_effect effect;
    struct id account; /* zero: released */
};

static void apply(void *owner, struct serve_effect *effect)
{
    struct cell *cell = owner;
    struct claimed *claimed = container_of(effect, struct claimed, effect);
    cell->view.account = claimed->account;
    free(claimed);
}

static bool code_is_right(const struct cell *cell, struct slice code)
{
    const char *wanted = cell->options.claim_code;
    const size_t size = wanted ? strlen(wanted) : 0;
    return size && code.size == size && secret_equal(code.data, wanted, size);
}

static enum err check_claim(const struct cell *cell, const struct serve_request *request,
                            const struct claim *claim, struct slice code, struct errmsg *msg)
{
    const struct serve_peer *peer = &request->peer;
    const struct id *owner = &cell_view_of(request)->account;
    if (!id_equal(&claim->cell, &cell->id))
        return err_say(msg, ERR_DENIED, "the claim names another cell");
    if (peer->kind != SERVE_DEVICE || !id_equal(&claim->account, &peer->account) ||
        !(peer->capabilities & MANIFEST_ADMIN) || !id_equal(&claim->signer, &peer->id))
        return err_say(msg, ERR_DENIED, "only an admin device of the account claims cells for it");
    if (!id_is_zero(owner) && !id_equal(owner, &claim->account))
        return err_say(msg, ERR_DENIED, "this cell belongs to another account already");
    if (!serve_address_is_near(peer->address) && !code_is_right(cell, code))
        return err_say(msg, ERR_DENIED,
                       "the claim comes from outside the cell's own network: give the code that "
                       "stands in the file claim-code in the cell's data directory");
    return ERR_OK;
}

enum err cell_claim(void *owner, struct serve_request *request, struct slice body,
                    struct buf *reply, struct errmsg *msg)
{
    struct cell *cell = owner;
    struct wire_claim wire;
    struct claim claim;
    enum err e = wire_claim_decode(body, &wire);
    if (e != ERR_OK)
        return err_say(msg, e, "the claim cannot be read");
    struct claimed *claimed = calloc(1, sizeof(*claimed));
    if (!claimed)
        return err_say(msg, ERR_NOMEM, "out of memory for a claim");
    e = claim_open(wire.claim, &cell->swarm, &claim, msg);
    if (e == ERR_OK)
        e = check_claim(cell, request, &claim, wire.code, msg);
    if (e == ERR_OK)
        e = claim_countersign(wire.claim, &cell->swarm, cell->options.key, reply);
    if (e == ERR_OK)
        e = documents_fact_put(store_db(cell->options.store), CELL_FACT_CLAIM, buf_slice(reply),
                               msg);
    if (e != ERR_OK) {
        free(claimed);
        return e;
    }
    claimed->effect.apply = apply;
    if (!claim.released)
        claimed->account = claim.account;
    request->effect = &claimed->effect;
    return ERR_OK;
}
