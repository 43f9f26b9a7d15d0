#include "swarm/swarm_heads.h"

#include "swarm/swarm_keepers.h"

#include <stdlib.h>

struct swarm_heads {
    struct swarm_keepers keepers; /* first */
    bool is_put;
    unsigned losses;
    uint16_t stored[SWARM_KEEPERS_MAX]; /* cells that did, for counting domains */
    unsigned stored_count;
    struct swarm_heads_result result;
    swarm_heads_fn *each;
    swarm_newer_fn *newer;
    swarm_heads_done_fn *done;
    void *user;
};

static struct swarm_heads *heads_of(struct swarm_keepers *keepers)
{
    return container_of(keepers, struct swarm_heads, keepers);
}

static bool got(struct swarm_keepers *keepers, const struct swarm_keeper *from, enum err e,
                struct slice body)
{
    struct swarm_heads *heads = heads_of(keepers);
    struct wire_heads found;
    if (e == ERR_OK && (e = wire_heads_decode(body, &found)) == ERR_OK)
        heads->each(heads->user, &from->peer->id, &found);
    return e == ERR_OK || e == ERR_NOT_FOUND;
}

/* A domain is new when its cell could have held a shard beside the others. */
static void count_stored(struct swarm_heads *heads, const struct swarm_keeper *at)
{
    if (at->cell == PLACEMENT_NONE) {
        heads->result.domains++;
        return;
    }
    if (!placement_fits(&heads->keepers.group, heads->stored, heads->stored_count, at->cell))
        return;
    heads->stored[heads->stored_count++] = at->cell;
    heads->result.domains++;
}

static bool was_put(struct swarm_keepers *keepers, const struct swarm_keeper *from, enum err e,
                    struct slice body)
{
    struct swarm_heads *heads = heads_of(keepers);
    struct wire_list held;
    uint64_t number;
    if (e == ERR_STALE) {
        heads->result.stale++;
        if (heads->newer && body.size > 0)
            heads->newer(heads->user, &from->peer->id, body);
    }
    if (e == ERR_OK)
        e = wire_heads_reply_decode(body, &number, &held);
    if (e == ERR_OK)
        count_stored(heads, from);
    return e == ERR_OK;
}

/* Domains that there are: all of them, when that is fewer than m + 1. */
static unsigned domains_needed(const struct swarm_heads *heads)
{
    const struct swarm_keepers *k = &heads->keepers;
    uint16_t used[SWARM_KEEPERS_MAX];
    unsigned count = 0, there = 0;
    for (unsigned i = 0; i < k->count; i++) {
        const uint16_t cell = k->peers[i].cell;
        if (cell == PLACEMENT_NONE)
            there++;
        else if (placement_fits(&k->group, used, count, cell))
            used[count++] = cell;
    }
    there += count;
    return heads->losses + 1 < there ? heads->losses + 1 : there;
}

/* ---- the end ---- */

static enum err outcome(struct swarm_heads *heads, struct errmsg *msg)
{
    const struct swarm_heads_result *result = &heads->result;
    const struct errmsg *why = &heads->keepers.why;
    if (heads->keepers.cancelled)
        return err_say(msg, ERR_CANCELLED, "cancelled");
    if (!heads->is_put) {
        if (result->answered > 0)
            return ERR_OK;
        if (heads->keepers.failed == ERR_DENIED || heads->keepers.failed == ERR_STALE) {
            *msg = *why;
            return heads->keepers.failed;
        }
        return err_say(msg, ERR_UNREACHABLE,
                       "nobody who could have heads of this account answers%s%s",
                       why->text[0] ? ": " : "", why->text);
    }
    if (result->stale > 0)
        return err_say(msg, ERR_STALE, "%u of %u hold something newer of this account",
                       result->stale, result->asked);
    if (result->domains >= result->needed && result->needed > 0)
        return ERR_OK;
    if (result->domains == 0 && heads->keepers.failed == ERR_INCONSISTENT)
        return err_say(msg, ERR_STALE, "something else of that number is kept: %s", why->text);
    return err_say(msg, ERR_NOT_ENOUGH, "the head rests with %u of the %u that it needs%s%s",
                   result->domains, result->needed, why->text[0] ? ": " : "", why->text);
}

static void heads_end(struct swarm_keepers *keepers)
{
    struct swarm_heads *heads = heads_of(keepers);
    struct errmsg msg = {0};
    heads->result.asked = keepers->asked;
    heads->result.answered = keepers->answered;
    const enum err e = outcome(heads, &msg);
    heads->done(heads->user, e, &heads->result, &msg);
    swarm_keepers_free(keepers);
    free(heads);
}

/* ---- start ---- */

static enum err heads_new(struct swarm *swarm, const struct id *account, struct swarm_heads **out,
                          struct errmsg *msg)
{
    struct swarm_heads *heads = calloc(1, sizeof(*heads));
    if (!heads)
        return err_say(msg, ERR_NOMEM, "out of memory");
    heads->keepers.body = BUF_INIT(WIRE_HEADS_BYTES);
    heads->keepers.end = heads_end;
    const enum err e = swarm_keepers_find(&heads->keepers, swarm, account, WIRE_HEADS, msg);
    if (e != ERR_OK)
        free(heads);
    else
        *out = heads;
    return e;
}

enum err swarm_heads_get(struct swarm *swarm, const struct id *account, swarm_heads_fn *each,
                         swarm_heads_done_fn *done, void *user, struct swarm_heads **out,
                         struct errmsg *msg)
{
    struct swarm_heads *heads;
    enum err e = heads_new(swarm, account, &heads, msg);
    if (e != ERR_OK)
        return e;
    heads->keepers.method = NET_GET;
    heads->keepers.reply_max = WIRE_HEADS_BYTES;
    heads->keepers.answer = got;
    heads->each = each;
    heads->done = done;
    heads->user = user;
    swarm_keepers_go(&heads->keepers);
    if (out)
        *out = heads;
    return ERR_OK;
}

enum err swarm_heads_put(struct swarm *swarm, const struct swarm_heads_put *put,
                         struct swarm_heads **out, struct errmsg *msg)
{
    struct swarm_heads *heads;
    enum err e = heads_new(swarm, &put->account, &heads, msg);
    if (e != ERR_OK)
        return e;
    heads->is_put = true;
    heads->losses = put->losses;
    heads->newer = put->newer;
    heads->done = put->done;
    heads->user = put->user;
    heads->result.needed = domains_needed(heads);
    heads->keepers.method = NET_PUT;
    heads->keepers.reply_max = WIRE_HEADS_REPLY_BYTES;
    heads->keepers.answer = was_put;
    heads->keepers.first_alone = put->coordinator_first;
    e = wire_heads_encode(put->manifest, put->heads, put->head_count, &heads->keepers.body);
    if (e != ERR_OK) {
        swarm_keepers_free(&heads->keepers);
        free(heads);
        return err_say(msg, e, "the heads cannot be sent: %s", err_words(e));
    }
    swarm_keepers_go(&heads->keepers);
    if (out)
        *out = heads;
    return ERR_OK;
}

void swarm_heads_cancel(struct swarm_heads *heads)
{
    swarm_keepers_cancel(&heads->keepers);
}
