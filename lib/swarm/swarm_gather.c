/*
 * Happy path: one fetch for each run of wanted leaves, all at once, all verify, end.
 *
 * Whatever goes wrong changes what is known of a holder or calls a fetch slow; each step then looks
 * at the whole again (plan): which wanted leaves have nobody left to come from, and which other
 * shards to take the same leaves from. When fewer than k shards can be had, more holders are looked
 * for: the directory, then everybody. The end comes when all wanted leaves are here, or can be
 * made, or nothing is left to try.
 */
#include "swarm/swarm_gather.h"

#include "swarm/swarm_ask.h"
#include "swarm/swarm_decode.h"
#include "swarm/swarm_fetch.h"
#include "swarm/swarm_have.h"
#include "wire/wire_directory.h"

#include <stdio.h>
#include <stdlib.h>

enum holder_state { HOLDER_FRESH, HOLDER_BUSY, HOLDER_DELIVERED, HOLDER_FAILED };

struct holder {
    struct swarm_peer *peer;
    uint8_t index;
    bool told; /* not by the caller */
    enum holder_state state;
};

struct shard {
    swarm_leaves wanted; /* asked for by the caller */
    swarm_leaves have;   /* verified */
    swarm_leaves busy;   /* on their way */
    swarm_leaves late;   /* of these: with a fetch that is slow */
};

struct run {
    struct swarm_fetch fetch;
    struct list link; /* in gather->runs */
    struct swarm_gather *gather;
    size_t holder;
    swarm_leaves leaves;
    bool slow;
};

/* Where more holders are looked for, one after the other. */
enum search { SEARCH_KNOWN, SEARCH_DIRECTORY, SEARCH_EVERYBODY, SEARCH_OVER };

struct swarm_gather {
    struct swarm_task task;
    struct swarm *swarm;
    struct id segment;
    struct segment_header header;
    unsigned n;
    uint32_t leaves; /* of a shard */
    struct shard shards[LIMIT_SHARDS];
    struct holder *holders; /* owned */
    size_t holder_count, holder_capacity;
    struct list runs;
    unsigned run_count, checking;
    uint8_t *payload, *parity;
    uint8_t *parity_owned;
    enum net_class net_class;
    bool check_decoded, known_only, every;

    enum search search;
    struct swarm_ask *directory; /* the question that is under way */
    struct swarm_have *everybody;

    struct erasure *code; /* taken */
    struct swarm_decode *decode;
    bool decoding;

    bool over; /* only what is under way is waited for */
    enum err e;
    struct errmsg msg;

    struct swarm_gather_result result;
    struct swarm_fault faults[SWARM_GATHER_FAULTS];
    struct swarm_holder *found; /* owned; made at the end */

    swarm_gather_fn *done;
    void *user;
};

/* ---- what is wanted, and where it goes ---- */

static uint8_t *place_of(const struct swarm_gather *g, unsigned shard)
{
    const size_t size = g->header.shard_bytes;
    if (shard < g->header.k)
        return g->payload + shard * size;
    return g->parity ? g->parity + (shard - g->header.k) * size : NULL;
}

static enum err want_ranges(struct swarm_gather *g, const struct swarm_gather_request *request,
                            struct errmsg *msg)
{
    const uint64_t payload = (uint64_t)g->header.k * g->header.shard_bytes;
    for (size_t i = 0; i < request->range_count; i++) {
        uint64_t offset = request->ranges[i].offset, left = request->ranges[i].size;
        if (left == 0 || offset + left > payload)
            return err_say(msg, ERR_USAGE, "a range outside of the segment's payload");
        while (left > 0) {
            const struct segment_piece piece =
                segment_piece_at(g->header.shard_bytes, offset, left);
            g->shards[piece.shard].wanted |= swarm_leaves_run(piece.leaf_first, piece.leaf_count);
            offset += piece.size;
            left -= piece.size;
        }
    }
    for (size_t i = 0; i < request->shard_count; i++) {
        const unsigned shard = request->shards[i];
        if (shard >= g->n || (shard >= g->header.k && !request->parity))
            return err_say(msg, ERR_USAGE, "shard %u is not one that can be gathered", shard);
        g->shards[shard].wanted = swarm_leaves_run(0, g->leaves);
    }
    return ERR_OK;
}

/* Nearly all of a shard costs no more than all of it, and saves the path. */
static void round_up(struct swarm_gather *g)
{
    for (unsigned i = 0; i < g->n; i++)
        if ((unsigned)__builtin_popcountll(g->shards[i].wanted) * 8 >= g->leaves * 7)
            g->shards[i].wanted = swarm_leaves_run(0, g->leaves);
}

/* ---- holders ---- */

static enum err add_holder(struct swarm_gather *g, const struct id *cell, uint8_t index, bool told)
{
    if (index >= g->n)
        return ERR_OK; /* of whoever told us, nonsense */
    struct swarm_peer *peer = swarm_peer_get(g->swarm, cell);
    if (!peer)
        return ERR_NOMEM;
    for (size_t i = 0; i < g->holder_count; i++)
        if (g->holders[i].peer == peer && g->holders[i].index == index)
            return ERR_OK;
    if (g->holder_count == g->holder_capacity) {
        const size_t capacity = g->holder_capacity ? g->holder_capacity * 2 : 32;
        struct holder *holders = realloc(g->holders, capacity * sizeof(*holders));
        if (!holders)
            return ERR_NOMEM;
        g->holders = holders;
        g->holder_capacity = capacity;
    }
    g->holders[g->holder_count++] = (struct holder){.peer = peer, .index = index, .told = told};
    return ERR_OK;
}

/* A holder of the shard that was not tried, or delivered before; `quick` ones only, or any. */
static size_t pick_holder(const struct swarm_gather *g, unsigned shard, bool quick)
{
    for (size_t i = 0; i < g->holder_count; i++) {
        const struct holder *holder = &g->holders[i];
        if (holder->index == shard &&
            (holder->state == HOLDER_FRESH || holder->state == HOLDER_DELIVERED) &&
            (!quick || swarm_peer_quick(g->swarm, holder->peer)))
            return i;
    }
    return SIZE_MAX;
}

static void add_fault(struct swarm_gather *g, const struct run *run)
{
    const enum err e = run->fetch.e;
    struct swarm_fault *fault = &g->faults[g->result.fault_count];
    if (g->result.fault_count == SWARM_GATHER_FAULTS)
        return;
    fault->cell = run->fetch.peer->id;
    fault->index = (uint8_t)run->fetch.shard;
    if (run->fetch.lied)
        fault->kind = SWARM_FAULT_LIED;
    else if (e == ERR_NOT_FOUND)
        fault->kind = SWARM_FAULT_MISSING;
    else if (e == ERR_CORRUPT || e == ERR_INCONSISTENT)
        fault->kind = SWARM_FAULT_DAMAGED;
    else if (e == ERR_DENIED || e == ERR_AUTH)
        fault->kind = SWARM_FAULT_REFUSED;
    else
        fault->kind = SWARM_FAULT_UNREACHABLE;
    g->result.fault_count++;
}

/* ---- fetching ---- */

static void run_ended(struct swarm_fetch *fetch)
{
    struct run *run = container_of(fetch, struct run, fetch);
    swarm_task_wake(&run->gather->task);
}

/* One run of leaves that lie together. */
static enum err run_start(struct swarm_gather *g, size_t holder, uint32_t first, uint32_t count)
{
    struct run *run = calloc(1, sizeof(*run));
    if (!run)
        return ERR_NOMEM;
    const unsigned shard = g->holders[holder].index;
    run->gather = g;
    run->holder = holder;
    run->leaves = swarm_leaves_run(first, count);
    run->fetch.swarm = g->swarm;
    run->fetch.peer = g->holders[holder].peer;
    run->fetch.header = &g->header;
    run->fetch.segment = g->segment;
    run->fetch.shard = shard;
    run->fetch.leaf_first = first;
    run->fetch.leaf_count = count;
    run->fetch.out = place_of(g, shard) + (size_t)first * LIMIT_LEAF_BYTES;
    run->fetch.net_class = g->net_class;
    run->fetch.ended = run_ended;
    g->shards[shard].busy |= run->leaves;
    g->holders[holder].state = HOLDER_BUSY;
    list_append(&g->runs, &run->link);
    g->run_count++;
    g->result.fetches++;
    swarm_fetch_start(&run->fetch);
    return ERR_OK;
}

/* Parity shards go to a place of our own unless the caller wants them. Untouched pages of it cost
   nothing. */
static enum err need_parity(struct swarm_gather *g)
{
    if (g->parity || g->header.m == 0)
        return ERR_OK;
    g->parity_owned = malloc((size_t)g->header.m * g->header.shard_bytes);
    g->parity = g->parity_owned;
    return g->parity ? ERR_OK : ERR_NOMEM;
}

/* Fetches `leaves` of the holder's shard: as few runs as there are gaps of some size. */
static enum err fetch_leaves(struct swarm_gather *g, size_t holder, swarm_leaves leaves)
{
    enum { GAP = 3 };
    const struct shard *shard = &g->shards[g->holders[holder].index];
    enum err e = g->holders[holder].index >= g->header.k ? need_parity(g) : ERR_OK;
    while (leaves && e == ERR_OK) {
        const uint32_t first = (uint32_t)__builtin_ctzll(leaves);
        uint32_t end = first + 1;
        for (uint32_t i = end; i < g->leaves && i <= end + GAP; i++) {
            if ((shard->have | shard->busy) >> i & 1)
                break; /* never over what is here or on its way */
            if (leaves >> i & 1)
                end = i + 1;
        }
        leaves &= ~swarm_leaves_run(first, end - first);
        e = run_start(g, holder, first, end - first);
    }
    return e;
}

static void run_free(struct swarm_gather *g, struct run *run)
{
    list_remove(&run->link);
    g->run_count--;
    free(run);
}

/* What has come of the runs that ended. */
static void collect(struct swarm_gather *g)
{
    struct list *next;
    g->checking = 0;
    for (struct list *at = g->runs.next; at != &g->runs; at = next) {
        struct run *run = container_of(at, struct run, link);
        struct swarm_fetch *fetch = &run->fetch;
        struct shard *shard = &g->shards[fetch->shard];
        next = at->next;
        g->checking += fetch->state == SWARM_FETCH_CHECKING;
        if (fetch->state != SWARM_FETCH_ENDED)
            continue;
        g->result.fetched_bytes += fetch->received;
        shard->busy &= ~run->leaves;
        shard->late &= ~run->leaves;
        struct holder *holder = &g->holders[run->holder];
        if (fetch->e == ERR_OK) {
            shard->have |= run->leaves;
            if (holder->state == HOLDER_BUSY)
                holder->state = HOLDER_DELIVERED;
        } else if (fetch->e != ERR_CANCELLED) {
            holder->state = HOLDER_FAILED;
            add_fault(g, run);
            if (fetch->lied)
                swarm_peer_went(g->swarm, fetch->peer, ERR_PEER);
        } else if (holder->state == HOLDER_BUSY) {
            holder->state = HOLDER_FAILED; /* it was too slow for us */
        }
        run_free(g, run);
    }
}

/* Calls runs slow that take much longer than is usual here, or wait for their turn at a cell that
   was. No more than there are parity shards: hedging costs traffic. */
static void find_slow(struct swarm_gather *g)
{
    const uint64_t now_ms = swarm_now_ms(g->swarm);
    unsigned slow = 0;
    for (struct list *at = g->runs.next; at != &g->runs; at = at->next)
        slow += container_of(at, struct run, link)->slow;
    for (struct list *at = g->runs.next; at != &g->runs && slow < g->header.m; at = at->next) {
        struct run *run = container_of(at, struct run, link);
        const struct swarm_fetch *fetch = &run->fetch;
        const uint64_t slow_ms = swarm_pace_slow_ms(g->swarm, &g->swarm->fetch_pace, fetch->size);
        const bool late =
            fetch->state == SWARM_FETCH_MOVING && now_ms - fetch->moving_since_ms >= slow_ms;
        const bool behind =
            fetch->state == SWARM_FETCH_WAITING && !swarm_peer_quick(g->swarm, fetch->peer);
        if (run->slow || (!late && !behind))
            continue;
        run->slow = true;
        slow++;
        g->shards[fetch->shard].late |= run->leaves;
        g->result.hedged++;
        if (late)
            swarm_peer_slow(g->swarm, fetch->peer);
    }
}

/* ---- the plan ---- */

/* Starts what is wanted of each shard from its own holder. Returns the leaves that have nobody who
   will bring them in time. */
static enum err plan_direct(struct swarm_gather *g, bool quick, swarm_leaves *lost)
{
    *lost = 0;
    for (unsigned i = 0; i < g->n; i++) {
        struct shard *shard = &g->shards[i];
        const swarm_leaves missing = shard->wanted & ~shard->have & ~shard->busy;
        const size_t holder = missing ? pick_holder(g, i, quick) : SIZE_MAX;
        if (missing && holder != SIZE_MAX) {
            const enum err e = fetch_leaves(g, holder, missing);
            if (e != ERR_OK)
                return e;
        } else {
            *lost |= missing;
        }
        *lost |= shard->wanted & shard->late;
    }
    return ERR_OK;
}

static bool will_have(const struct shard *shard, swarm_leaves leaves)
{
    return ((shard->have | (shard->busy & ~shard->late)) & leaves) == leaves;
}

/* Sees to it that k shards bring the lost leaves. Data shards first: what they bring is wanted more
   often, and decoding is cheaper. *short_by: shards that are not to be had. */
static enum err plan_others(struct swarm_gather *g, bool quick, swarm_leaves lost,
                            unsigned *short_by)
{
    unsigned count = 0;
    for (unsigned i = 0; i < g->n; i++)
        count += will_have(&g->shards[i], lost);
    for (unsigned i = 0; i < g->n && count < g->header.k; i++) {
        struct shard *shard = &g->shards[i];
        if (will_have(shard, lost) || shard->late & lost)
            continue;
        const size_t holder = pick_holder(g, i, quick);
        if (holder == SIZE_MAX)
            continue;
        const enum err e = fetch_leaves(g, holder, lost & ~shard->have & ~shard->busy);
        if (e != ERR_OK)
            return e;
        count++;
    }
    *short_by = count < g->header.k ? g->header.k - count : 0;
    return ERR_OK;
}

/* Quick cells first; those that sleep, failed or were slow when it cannot be done without. */
static enum err plan(struct swarm_gather *g, unsigned *short_by)
{
    swarm_leaves lost;
    *short_by = 0;
    for (int quick = !g->every; quick >= 0; quick--) {
        enum err e = plan_direct(g, quick, &lost);
        if (e == ERR_OK && lost)
            e = plan_others(g, quick, lost, short_by);
        if (e != ERR_OK || !lost || *short_by == 0)
            return e;
    }
    return ERR_OK;
}

static bool complete(const struct swarm_gather *g)
{
    for (unsigned i = 0; i < g->n; i++)
        if (g->shards[i].wanted & ~g->shards[i].have)
            return false;
    return true;
}

static bool can_decode(const struct swarm_gather *g)
{
    swarm_leaves missing = 0;
    if (g->header.m == 0)
        return false;
    for (unsigned i = 0; i < g->n; i++)
        missing |= g->shards[i].wanted & ~g->shards[i].have;
    for (; missing; missing &= missing - 1) {
        const unsigned leaf = (unsigned)__builtin_ctzll(missing);
        unsigned count = 0;
        for (unsigned i = 0; i < g->n; i++)
            count += (unsigned)(g->shards[i].have >> leaf & 1);
        if (count < g->header.k)
            return false;
    }
    return true;
}

/* ---- decoding ---- */

static void decoded(struct swarm_decode *decode)
{
    struct swarm_gather *g = container_of(decode->header, struct swarm_gather, header);
    g->decoding = false;
    swarm_task_wake(&g->task);
}

static enum err decode_start(struct swarm_gather *g)
{
    enum err e = need_parity(g);
    if (e != ERR_OK)
        return e;
    g->decode = calloc(1, sizeof(*g->decode));
    if (!g->decode)
        return ERR_NOMEM;
    e = swarm_code_take(g->swarm, g->header.k, g->header.m, &g->code, NULL);
    if (e != ERR_OK)
        return e;
    g->decode->code = g->code;
    g->decode->header = &g->header;
    g->decode->check = g->check_decoded;
    g->decode->done = decoded;
    for (unsigned i = 0; i < g->n; i++) {
        g->decode->shards[i] = place_of(g, i);
        g->decode->have[i] = g->shards[i].have;
        g->decode->missing[i] = g->shards[i].wanted & ~g->shards[i].have;
    }
    g->decoding = true;
    swarm_decode_start(g->decode, g->swarm->work);
    return ERR_OK;
}

/* ---- more holders ---- */

static void directory_answered(void *user, enum err e, struct slice body, const struct errmsg *msg)
{
    (void)msg;
    struct swarm_gather *g = user;
    struct wire_list list;
    struct wire_found found;
    struct wire_shard_at at;
    g->directory = NULL;
    if (e == ERR_OK && wire_found_decode(body, &list) == ERR_OK)
        while (wire_found_next(&list, &found))
            while (found.position == 0 && wire_shards_next(&found.shard_list, &at))
                if (add_holder(g, &at.cell, at.index, true) != ERR_OK)
                    break;
    swarm_task_wake(&g->task);
}

static void cell_has(void *user, const struct id *cell, const struct wire_held *held)
{
    struct swarm_gather *g = user;
    if (held->state == WIRE_SHARD_STORED && held->position == 0 &&
        add_holder(g, cell, held->index, true) == ERR_OK)
        swarm_task_wake(&g->task);
}

static void everybody_answered(void *user, enum err e, const struct swarm_have_result *result,
                               const struct errmsg *msg)
{
    (void)e, (void)result, (void)msg;
    struct swarm_gather *g = user;
    g->everybody = NULL;
    swarm_task_wake(&g->task);
}

/* The next place to look; one that cannot be asked is passed over. */
static void look_further(struct swarm_gather *g)
{
    struct swarm *swarm = g->swarm;
    while (!g->directory && !g->everybody && g->search < SEARCH_OVER) {
        enum err e = ERR_OK;
        switch (++g->search) {
        case SEARCH_DIRECTORY:
            if (swarm->coordinator && swarm_peer_good(swarm, swarm->coordinator)) {
                struct buf body = BUF_INIT(WIRE_FIND_BYTES);
                e = wire_ids_encode(&g->segment, 1, &body);
                if (e == ERR_OK)
                    e = swarm_ask_start(swarm, swarm->coordinator, NET_POST,
                                        wire_path_plain(WIRE_FIND), &body, WIRE_FOUND_BYTES,
                                        directory_answered, g, &g->directory, NULL);
                else
                    buf_free(&body);
            }
            break;
        case SEARCH_EVERYBODY:
            if (swarm_member_count(swarm) > 0)
                e = swarm_have_start(swarm,
                                     &(struct swarm_have_request){.segments = &g->segment,
                                                                  .segment_count = 1,
                                                                  .held = cell_has,
                                                                  .done = everybody_answered,
                                                                  .user = g},
                                     &g->everybody, NULL);
            break;
        default:
            break;
        }
        if (e != ERR_OK)
            log_say(swarm->log, LOG_WARN, "cannot look for more shards: %s", err_words(e));
    }
}

/* ---- the end ---- */

static const char *fault_words(enum swarm_fault_kind kind)
{
    switch (kind) {
    case SWARM_FAULT_MISSING:
        return "does not have it";
    case SWARM_FAULT_DAMAGED:
        return "has it damaged";
    case SWARM_FAULT_LIED:
        return "sent something else";
    case SWARM_FAULT_REFUSED:
        return "refuses";
    default:
        return "cannot be reached";
    }
}

static enum err not_enough(struct swarm_gather *g, unsigned short_by)
{
    char id[ID_TEXT_SIZE], list[512] = "";
    size_t at = 0, shown = 0;
    for (; shown < g->result.fault_count && shown < 6 && at < sizeof(list); shown++) {
        const struct swarm_fault *fault = &g->faults[shown];
        char cell[ID_TEXT_SIZE];
        at += (size_t)snprintf(list + at, sizeof(list) - at, "%s shard %u: cell %.8s %s",
                               shown ? ";" : "", fault->index, id_format(&fault->cell, cell),
                               fault_words(fault->kind));
    }
    return err_say(&g->msg, ERR_NOT_ENOUGH,
                   "only %u of the %u shards that segment %.8s needs can be had now:%s%s",
                   (unsigned)g->header.k - short_by, (unsigned)g->header.k,
                   id_format(&g->segment, id), shown ? list : " no cell is known to have more",
                   shown < g->result.fault_count ? "; and more" : "");
}

static void give_up(struct swarm_gather *g, enum err e)
{
    g->over = true;
    g->e = e;
    for (struct list *at = g->runs.next; at != &g->runs; at = at->next)
        swarm_fetch_cancel(&container_of(at, struct run, link)->fetch);
    if (g->directory)
        swarm_ask_cancel(g->directory);
    if (g->everybody)
        swarm_have_cancel(g->everybody);
}

static void gather_free(struct swarm_gather *g)
{
    if (g->code)
        swarm_code_release(g->swarm, g->code);
    free(g->decode);
    free(g->parity_owned);
    free(g->holders);
    free(g->found);
    free(g);
}

static void tell_found(struct swarm_gather *g)
{
    g->found = calloc(g->holder_count + 1, sizeof(*g->found));
    if (!g->found)
        return; /* it is a hint for the caller's index, no more */
    for (size_t i = 0; i < g->holder_count; i++)
        if (g->holders[i].told && g->holders[i].state == HOLDER_DELIVERED)
            g->found[g->result.found_count++] =
                (struct swarm_holder){.cell = g->holders[i].peer->id, .index = g->holders[i].index};
    g->result.found = g->found;
}

static void finish(struct swarm_gather *g)
{
    g->result.faults = g->faults;
    if (g->decode)
        g->result.decoded_leaves = g->decode->made;
    tell_found(g);
    if (g->e != ERR_OK && !g->msg.text[0])
        (void)err_say(&g->msg, g->e, "%s", err_words(g->e));
    swarm_task_end(&g->task);
    g->done(g->user, g->e, &g->result, &g->msg);
    gather_free(g);
}

/* Is what is wanted here, or can be made, or cannot be had? */
static void advance(struct swarm_gather *g)
{
    unsigned short_by;
    enum err e;
    if (g->decode) {
        e = g->decode->e;
        if (e == ERR_INCONSISTENT) {
            char id[ID_TEXT_SIZE];
            (void)err_say(&g->msg, e, "the shards of segment %.8s contradict each other",
                          id_format(&g->segment, id));
        }
        give_up(g, e);
        return;
    }
    if (complete(g)) {
        give_up(g, ERR_OK);
        return;
    }
    if (g->every && g->run_count > 0)
        return;
    if (can_decode(g)) {
        /* no bytes may arrive where decoding reads and writes: wait for those that do */
        for (struct list *at = g->runs.next; at != &g->runs; at = at->next)
            swarm_fetch_cancel(&container_of(at, struct run, link)->fetch);
        if (g->run_count > 0)
            return;
        e = decode_start(g);
        if (e != ERR_OK)
            give_up(g, e);
        return;
    }
    find_slow(g);
    e = plan(g, &short_by);
    if (e != ERR_OK) {
        give_up(g, e);
        return;
    }
    if (short_by > 0 && !g->known_only)
        look_further(g);
    if (g->run_count == 0 && !g->directory && !g->everybody)
        give_up(g, not_enough(g, short_by));
}

static void step(struct swarm_task *task)
{
    struct swarm_gather *g = container_of(task, struct swarm_gather, task);
    collect(g);
    if (!g->over && !g->decoding)
        advance(g);
    if (g->over)
        collect(g); /* a cancel may have ended some at once */
    if (g->over && !task->posted && g->run_count == 0 && !g->decoding && !g->directory &&
        !g->everybody)
        finish(g);
}

/* ---- start and cancel ---- */

enum err swarm_gather_start(struct swarm *swarm, const struct swarm_gather_request *request,
                            swarm_gather_fn *done, void *user, struct swarm_gather **out,
                            struct errmsg *msg)
{
    struct swarm_gather *g = calloc(1, sizeof(*g));
    if (!g)
        return err_say(msg, ERR_NOMEM, "out of memory");
    g->swarm = swarm;
    g->segment = request->segment;
    g->header = *request->header;
    g->n = (unsigned)g->header.k + g->header.m;
    g->leaves = segment_leaf_count(g->header.shard_bytes);
    g->payload = request->payload;
    g->parity = request->parity;
    g->net_class = request->net_class;
    g->check_decoded = request->check_decoded;
    g->known_only = request->known_only;
    g->every = request->every;
    g->done = done;
    g->user = user;
    list_init(&g->runs);
    enum err e = want_ranges(g, request, msg);
    for (size_t i = 0; i < request->holder_count && e == ERR_OK; i++) {
        e = add_holder(g, &request->holders[i].cell, request->holders[i].index, false);
        if (e != ERR_OK)
            (void)err_say(msg, e, "out of memory");
    }
    if (e != ERR_OK) {
        gather_free(g);
        return e;
    }
    round_up(g);
    swarm_task_begin(&g->task, swarm, step);
    swarm_task_tick(&g->task);
    swarm_task_wake(&g->task);
    if (out)
        *out = g;
    return ERR_OK;
}

void swarm_gather_cancel(struct swarm_gather *g)
{
    if (!g->over)
        give_up(g, ERR_CANCELLED);
    swarm_task_wake(&g->task);
}
