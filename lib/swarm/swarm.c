#include "swarm/swarm_internal.h"

#include "swarm/swarm_grant.h"
#include "wire/wire_path.h"

#include <assert.h>
#include <stdlib.h>

enum err swarm_open(const struct swarm_options *options, struct swarm **out, struct errmsg *msg)
{
    struct swarm *swarm = calloc(1, sizeof(*swarm));
    struct errmsg why = {0};
    if (!swarm)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *swarm = (struct swarm){
        .net = options->net,
        .clock = options->clock,
        .random = options->random,
        .work = options->work,
        .log = options->log,
        .root = *options->root,
        .account = options->account,
        .grant_bytes = options->grant_bytes ? options->grant_bytes : GIB(4),
        .hedge_min_ms = options->hedge_min_ms ? options->hedge_min_ms : SWARM_HEDGE_MIN_MS,
        .states_whole = options->states_whole ? options->states_whole : SWARM_STATES_WHOLE,
        .peers = IDMAP_INIT,
    };
    list_init(&swarm->ticking);
    enum err e = ERR_OK;
    if (!id_is_zero(&options->coordinator)) {
        swarm->coordinator = swarm_peer_get(swarm, &options->coordinator);
        if (!swarm->coordinator)
            e = ERR_NOMEM;
        else
            e = swarm_peer_set_addresses(swarm->coordinator, options->coordinator_addresses,
                                         options->coordinator_address_count);
        if (e == ERR_OK)
            swarm->coordinator->is_coordinator = true;
    }
    if (e == ERR_OK && options->members.size > 0) {
        e = swarm_members_take(swarm, options->members, &why);
        if (e != ERR_OK && e != ERR_NOMEM) {
            log_say(options->log, LOG_WARN, "the cached member list is of no use: %s", why.text);
            e = ERR_OK;
        }
    }
    if (e != ERR_OK) {
        swarm_close(swarm);
        return err_say(msg, e, "%s", err_words(e));
    }
    *out = swarm;
    return ERR_OK;
}

void swarm_close(struct swarm *swarm)
{
    size_t at = 0;
    struct swarm_peer *peer;
    if (!swarm)
        return;
    assert(swarm->operations == 0);
    if (swarm->ticker_runs)
        timer_stop(swarm->clock, &swarm->ticker);
    while ((peer = idmap_next(&swarm->peers, &at, NULL)))
        swarm_peer_free(peer);
    idmap_free(&swarm->peers);
    swarm_members_free(swarm);
    free(swarm->watched);
    for (size_t i = 0; i < SWARM_CODES; i++)
        erasure_free(swarm->codes[i].code);
    free(swarm);
}

enum err swarm_introduce(struct swarm *swarm, const struct wire_hello *hello, struct errmsg *msg)
{
    struct buf body = BUF_INIT(WIRE_HELLO_BYTES);
    enum err e = wire_hello_encode(hello, &body);
    if (e == ERR_OK)
        e = net_introduce(swarm->net, wire_path_plain(WIRE_HELLO), buf_slice(&body));
    buf_free(&body);
    swarm->introduced |= e == ERR_OK;
    return e == ERR_OK ? e : err_say(msg, e, "cannot introduce ourselves: %s", err_words(e));
}

bool swarm_time(const struct swarm *swarm, int64_t *earlier_s, int64_t *later_s)
{
    const int64_t own_s = clock_wall_ns(swarm->clock) / 1000000000, theirs_s = swarm_time_s(swarm);
    *earlier_s = own_s < theirs_s ? own_s : theirs_s;
    *later_s = own_s < theirs_s ? theirs_s : own_s;
    return swarm->coordinator_up;
}

bool swarm_coordinator_up(const struct swarm *swarm)
{
    return swarm->coordinator_up;
}

/* ---- pace ---- */

enum {
    PACE_NEW = 8,               /* one measurement moves the average by an eighth */
    PACE_UNKNOWN_MS = 3000,     /* before anything was measured, */
    PACE_UNKNOWN_LEAF_MS = 250, /* and for each leaf */
};

static uint64_t leaves_of(uint64_t bytes)
{
    return bytes / LIMIT_LEAF_BYTES + 1;
}

void swarm_pace_add(struct swarm_pace *pace, uint64_t bytes, uint64_t ms)
{
    const double leaf_ms = (double)(ms + 1) / (double)leaves_of(bytes);
    if (pace->leaf_ms > 0)
        pace->leaf_ms += (leaf_ms - pace->leaf_ms) / PACE_NEW;
    else
        pace->leaf_ms = leaf_ms;
}

uint64_t swarm_pace_slow_ms(const struct swarm *swarm, const struct swarm_pace *pace,
                            uint64_t bytes)
{
    const uint64_t leaves = leaves_of(bytes);
    if (pace->leaf_ms <= 0)
        return PACE_UNKNOWN_MS + PACE_UNKNOWN_LEAF_MS * leaves;
    return swarm->hedge_min_ms + (uint64_t)(SWARM_HEDGE_FACTOR * pace->leaf_ms * (double)leaves);
}

/* ---- coding contexts ---- */

enum err swarm_code_take(struct swarm *swarm, unsigned k, unsigned m, struct erasure **out,
                         struct errmsg *msg)
{
    struct swarm_code *victim = NULL;
    for (size_t i = 0; i < SWARM_CODES; i++) {
        struct swarm_code *at = &swarm->codes[i];
        if (at->code && erasure_k(at->code) == k && erasure_m(at->code) == m) {
            at->users++;
            at->used_at = ++swarm->code_clock;
            *out = at->code;
            return ERR_OK;
        }
        if (at->users == 0 && (!victim || at->used_at < victim->used_at))
            victim = at;
    }
    struct erasure *code;
    enum err e = erasure_new(k, m, NULL, &code, msg);
    if (e != ERR_OK)
        return e;
    if (victim) { /* with every place in use it is the caller's alone */
        erasure_free(victim->code);
        *victim = (struct swarm_code){code, ++swarm->code_clock, 1};
    }
    *out = code;
    return ERR_OK;
}

void swarm_code_release(struct swarm *swarm, struct erasure *code)
{
    for (size_t i = 0; i < SWARM_CODES; i++) {
        if (swarm->codes[i].code == code) {
            swarm->codes[i].users--;
            return;
        }
    }
    erasure_free(code);
}
