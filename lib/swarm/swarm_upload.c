/*
 * Happy path: each shard has one attempt at its own cell, all at once; n receipts; end.
 *
 * What can happen to a shard, and what then:
 *     its cell fails, is full, refuses       the next cell that fits, until there is none: owed
 *     the grant is spent, over, refused      another one is asked for, once a cell, then as above
 *     the cell is busy                       again a little later, a few times, then as above
 *     much slower than what is usual         a second attempt beside it at the next cell that fits;
 *                                            the first receipt counts, the other is cancelled
 * A cell fits when it shares no failure domain with any other shard's cell (placement.h).
 */
#include "swarm/swarm_upload.h"

#include "swarm/swarm_attempt.h"
#include "swarm/swarm_grant.h"

#include <stdlib.h>

enum {
    BESIDE = 2, /* attempts of one shard at once */
    BUSY_TRIES = 5,
    BUSY_WAIT_MS = 250,
    TAIL_FACTOR = 4, /* times "slow", and a committed segment does not wait any longer */
    TAIL_MS = 20000, /* and not less than so long */
};

enum shard_state {
    SHARD_WANTED = 1, /* to be sent, or under way */
    SHARD_STORED,
    SHARD_OWED,   /* no cell is left for it */
    SHARD_ABSENT, /* not to be sent */
};

struct trying {
    struct swarm_attempt attempt;
    struct swarm_upload *upload;
    struct list link; /* in upload->attempts */
    uint16_t cell;    /* number in the group */
};

struct shard {
    enum shard_state state;
    uint16_t cell; /* stored there; else what the plan says */
    uint8_t tried[LIMIT_GROUP_CELLS / 8];
    uint8_t regranted[LIMIT_GROUP_CELLS / 8]; /* its grant was refused once */
    struct trying *attempts[BESIDE];
    struct trying *winner; /* owned; until all attempts are over and the receipt is told */
    unsigned count, busy_tries;
    uint64_t not_before_ms;
};

/* A shard that rests outside of the group. */
struct outsider {
    struct id household;
    uint32_t site;
};

struct swarm_upload {
    struct swarm_task task;
    struct swarm *swarm;
    struct swarm_upload_request request;
    unsigned n;
    /* the group as it was at the start: a new list does not disturb what is under way */
    struct placement_group group;
    struct swarm_peer *peers[LIMIT_GROUP_CELLS];
    struct placement_plan plan;
    struct shard shards[LIMIT_SHARDS];
    struct outsider outsiders[LIMIT_SHARDS];
    unsigned outsider_count;
    struct list attempts;
    unsigned attempt_count;
    bool over, over_quota;
    enum err e;
    struct errmsg msg;
    struct errmsg trouble; /* of the newest attempt that failed */
    struct swarm_upload_result result;
    swarm_receipt_fn *receipted;
    swarm_upload_fn *done;
    void *user;
};

static bool bit(const uint8_t *bits, unsigned number)
{
    return bits[number / 8] >> number % 8 & 1;
}

static void set_bit(uint8_t *bits, unsigned number)
{
    bits[number / 8] |= (uint8_t)(1 << number % 8);
}

/* ---- where ---- */

/* May shard `index` go to the cell, beside those of all other shards? */
static bool fits(const struct swarm_upload *u, unsigned index, uint16_t cell)
{
    const struct placement_group *group = &u->group;
    uint16_t used[LIMIT_SHARDS * BESIDE];
    size_t count = 0;
    for (unsigned i = 0; i < u->n; i++) {
        const struct shard *shard = &u->shards[i];
        if (i == index)
            continue;
        if (shard->state == SHARD_STORED && shard->cell != PLACEMENT_NONE)
            used[count++] = shard->cell;
        else if (shard->state == SHARD_WANTED && shard->count == 0 &&
                 shard->cell != PLACEMENT_NONE && !bit(shard->tried, shard->cell))
            used[count++] = shard->cell; /* it will go there */
        for (unsigned j = 0; j < BESIDE; j++)
            if (shard->attempts[j])
                used[count++] = shard->attempts[j]->cell;
    }
    for (unsigned i = 0; i < u->outsider_count; i++)
        if (id_equal(&u->outsiders[i].household, &group->cells[cell].household) ||
            (u->outsiders[i].site != 0 && u->outsiders[i].site == group->cells[cell].site))
            return false;
    return placement_fits(group, used, count, cell);
}

static bool usable(const struct swarm_upload *u, unsigned index, uint16_t cell)
{
    const struct shard *shard = &u->shards[index];
    if (cell == PLACEMENT_NONE || bit(shard->tried, cell) ||
        !swarm_peer_takes(u->swarm, u->peers[cell]))
        return false;
    for (unsigned j = 0; j < BESIDE; j++)
        if (shard->attempts[j] && shard->attempts[j]->cell == cell)
            return false;
    return fits(u, index, cell);
}

/* The planned cell, then the spares in order. */
static uint16_t next_cell(const struct swarm_upload *u, unsigned index)
{
    if (usable(u, index, u->plan.cells[index]))
        return u->plan.cells[index];
    for (uint32_t i = 0; i < u->plan.spare_count; i++)
        if (usable(u, index, u->plan.spares[i]))
            return u->plan.spares[i];
    return PLACEMENT_NONE;
}

/* Cells that were slow just now are passed over when there are enough others. */
static void make_plan(struct swarm_upload *u)
{
    bool passed_over[LIMIT_GROUP_CELLS];
    for (int quick = 1; quick >= 0; quick--) {
        for (uint32_t i = 0; i < u->group.count; i++)
            passed_over[i] = !swarm_peer_takes(u->swarm, u->peers[i]) ||
                             (quick && !swarm_peer_quick(u->swarm, u->peers[i]));
        placement_plan(&u->group, &u->request.segment, u->n, passed_over, &u->plan);
        if (u->plan.placed == u->n)
            break;
    }
    for (unsigned i = 0; i < u->n; i++)
        if (u->shards[i].state == SHARD_WANTED)
            u->shards[i].cell = u->plan.cells[i];
}

/* Shards that rest somewhere already count for the others' domains. */
static void note_stored(struct swarm_upload *u, unsigned index, const struct id *cell)
{
    struct shard *shard = &u->shards[index];
    shard->state = SHARD_STORED;
    shard->cell = placement_find(&u->group, cell);
    u->result.receipted++;
    if (shard->cell != PLACEMENT_NONE)
        return;
    const struct member *there = u->swarm->list ? member_list_find(u->swarm->list, cell) : NULL;
    if (there)
        u->outsiders[u->outsider_count++] =
            (struct outsider){.household = there->household, .site = there->site_number};
}

/* ---- attempts ---- */

static void attempt_ended(struct swarm_attempt *attempt)
{
    struct trying *trying = container_of(attempt, struct trying, attempt);
    swarm_task_wake(&trying->upload->task);
}

static enum err attempt_start(struct swarm_upload *u, unsigned index, uint16_t cell)
{
    struct shard *shard = &u->shards[index];
    struct trying *trying = calloc(1, sizeof(*trying));
    if (!trying)
        return ERR_NOMEM;
    trying->upload = u;
    trying->cell = cell;
    trying->attempt.swarm = u->swarm;
    trying->attempt.peer = u->peers[cell];
    trying->attempt.request = &u->request;
    trying->attempt.shard = index;
    trying->attempt.ended = attempt_ended;
    shard->attempts[shard->attempts[0] ? 1 : 0] = trying;
    u->result.retries += shard->count > 0 || shard->cell != cell;
    shard->count++;
    list_append(&u->attempts, &trying->link);
    u->attempt_count++;
    swarm_attempt_start(&trying->attempt);
    return ERR_OK;
}

static void attempt_failed(struct swarm_upload *u, struct shard *shard, struct trying *trying)
{
    struct swarm_attempt *attempt = &trying->attempt;
    struct swarm_peer *peer = attempt->peer;
    char name[SWARM_PEER_NAME_SIZE];
    switch (attempt->e) {
    case ERR_CANCELLED:
        set_bit(shard->tried, trying->cell);
        return;
    case ERR_BUSY:
    case ERR_LOCKED:
        if (++shard->busy_tries < BUSY_TRIES) {
            shard->not_before_ms =
                swarm_now_ms(u->swarm) + ((uint64_t)BUSY_WAIT_MS << shard->busy_tries);
            break;
        }
        set_bit(shard->tried, trying->cell);
        break;
    case ERR_DENIED:
    case ERR_AUTH:
    case ERR_QUOTA:
    case ERR_STALE: /* most often the grant */
        if (!bit(shard->regranted, trying->cell)) {
            set_bit(shard->regranted, trying->cell);
            swarm_grant_drop(peer);
        } else {
            set_bit(shard->tried, trying->cell);
        }
        break;
    case ERR_FULL:
    case ERR_READ_ONLY:
        peer->full_until_ms = swarm_now_ms(u->swarm) + SWARM_FULL_MS;
        set_bit(shard->tried, trying->cell);
        break;
    default:
        set_bit(shard->tried, trying->cell);
    }
    u->trouble = attempt->msg;
    (void)err_wrap(&u->trouble, attempt->e, "%s", swarm_peer_name(peer, name));
    log_say(u->swarm->log, LOG_INFO, "shard %u is not stored: %s", attempt->shard, u->trouble.text);
}

static void shard_stored(struct swarm_upload *u, struct shard *shard, struct trying *trying)
{
    shard->state = SHARD_STORED;
    shard->cell = trying->cell;
    shard->winner = trying;
    u->result.receipted++;
    for (unsigned j = 0; j < BESIDE; j++)
        if (shard->attempts[j] && shard->attempts[j] != trying)
            swarm_attempt_cancel(&shard->attempts[j]->attempt);
}

/* The caller may free the shard's bytes then: not while another attempt still sends them. */
static void tell_receipt(struct swarm_upload *u, struct shard *shard)
{
    const struct swarm_attempt *attempt = &shard->winner->attempt;
    if (u->receipted)
        u->receipted(u->user, attempt->shard, &attempt->peer->id,
                     slice_of(attempt->answer, attempt->answer_size));
    free(shard->winner);
    shard->winner = NULL;
}

static void collect(struct swarm_upload *u)
{
    struct list *next;
    for (struct list *at = u->attempts.next; at != &u->attempts; at = next) {
        struct trying *trying = container_of(at, struct trying, link);
        struct shard *shard = &u->shards[trying->attempt.shard];
        next = at->next;
        if (trying->attempt.state != SWARM_ATTEMPT_ENDED)
            continue;
        if (trying->attempt.moved)
            u->result.sent_bytes += u->request.shard_bytes;
        if (trying->attempt.e == ERR_OK && shard->state != SHARD_STORED)
            shard_stored(u, shard, trying);
        else if (trying->attempt.e != ERR_OK && shard->state == SHARD_WANTED)
            attempt_failed(u, shard, trying);
        if (shard->attempts[0] == trying)
            shard->attempts[0] = shard->attempts[1];
        shard->attempts[1] = NULL;
        shard->count--;
        list_remove(&trying->link);
        u->attempt_count--;
        if (shard->winner != trying)
            free(trying);
        if (shard->winner && shard->count == 0)
            tell_receipt(u, shard);
    }
}

/* ---- deciding ---- */

static bool committed(const struct swarm_upload *u)
{
    return u->result.receipted >= swarm_commit_count(u->request.k, u->request.m);
}

/* A grant is there, or is asked for (*wait), or cannot be had: then the cell is not tried. */
static bool have_grant(struct swarm_upload *u, unsigned index, uint16_t cell, bool *wait)
{
    struct swarm_peer *peer = u->peers[cell];
    const uint32_t bytes = u->request.shard_bytes;
    *wait = false;
    if (swarm_grant_spend(u->swarm, peer, bytes)) {
        swarm_grant_return(peer, bytes); /* it is spent when the sending begins */
        return true;
    }
    const enum err e = swarm_grant_need(u->swarm, bytes, &u->trouble);
    *wait = e == ERR_OK;
    u->over_quota |= e == ERR_QUOTA;
    if (e != ERR_OK)
        set_bit(u->shards[index].tried, cell);
    return false;
}

/* Starts an attempt for the shard where one can be; without any cell left it is owed. */
static enum err shard_advance(struct swarm_upload *u, unsigned index)
{
    struct shard *shard = &u->shards[index];
    bool wait;
    if (swarm_now_ms(u->swarm) < shard->not_before_ms)
        return ERR_OK;
    for (;;) {
        const uint16_t cell = next_cell(u, index);
        if (cell == PLACEMENT_NONE) {
            shard->state = SHARD_OWED;
            return ERR_OK;
        }
        if (have_grant(u, index, cell, &wait))
            return attempt_start(u, index, cell);
        if (wait)
            return ERR_OK;
    }
}

/* Slow ones get company, or are left behind when the segment counts without them. */
static enum err look_at_slow(struct swarm_upload *u)
{
    struct swarm *swarm = u->swarm;
    const uint64_t now_ms = swarm_now_ms(swarm);
    const uint64_t slow_ms = swarm_pace_slow_ms(swarm, &swarm->upload_pace, u->request.shard_bytes);
    const uint64_t tail_ms = slow_ms * TAIL_FACTOR > TAIL_MS ? slow_ms * TAIL_FACTOR : TAIL_MS;
    bool wait;
    for (unsigned i = 0; i < u->n; i++) {
        struct shard *shard = &u->shards[i];
        struct trying *trying = shard->attempts[0];
        if (shard->state != SHARD_WANTED || shard->count != 1 ||
            trying->attempt.state == SWARM_ATTEMPT_ENDED || u->result.receipted * 2 < u->n)
            continue;
        const bool moving = trying->attempt.state == SWARM_ATTEMPT_MOVING;
        const uint64_t moving_ms = moving ? now_ms - trying->attempt.moving_since_ms : 0;
        if (moving && moving_ms >= slow_ms)
            swarm_peer_slow(swarm, trying->attempt.peer);
        else if (moving || swarm_peer_quick(swarm, trying->attempt.peer))
            continue; /* or it waits for its turn at a cell that is slow */
        const uint16_t cell = next_cell(u, i);
        if (cell != PLACEMENT_NONE && have_grant(u, i, cell, &wait)) {
            const enum err e = attempt_start(u, i, cell);
            if (e != ERR_OK)
                return e;
        } else if (cell == PLACEMENT_NONE && committed(u) && moving_ms > tail_ms) {
            swarm_attempt_cancel(&trying->attempt);
        }
    }
    return ERR_OK;
}

static void give_up(struct swarm_upload *u, enum err e)
{
    u->over = true;
    u->e = e;
    for (struct list *at = u->attempts.next; at != &u->attempts; at = at->next)
        swarm_attempt_cancel(&container_of(at, struct trying, link)->attempt);
}

static void conclude(struct swarm_upload *u)
{
    char id[ID_TEXT_SIZE];
    enum err e = ERR_OK;
    const unsigned enough =
        u->request.enough ? u->request.enough : swarm_commit_count(u->request.k, u->request.m);
    if (u->result.receipted < enough && u->over_quota) {
        u->msg = u->trouble;
        e = ERR_QUOTA;
    } else if (u->result.receipted < enough) {
        e = err_say(&u->msg, ERR_NOT_ENOUGH,
                    "only %u of the %u cells that segment %.8s needs took a shard: %s",
                    u->result.receipted, enough, id_format(&u->request.segment, id),
                    u->trouble.text[0] ? u->trouble.text
                                       : "there are no others outside your own household");
    }
    give_up(u, e);
}

static void finish(struct swarm_upload *u)
{
    for (unsigned i = 0; i < u->n; i++)
        u->result.owed += u->shards[i].state == SHARD_WANTED || u->shards[i].state == SHARD_OWED;
    if (u->e != ERR_OK && !u->msg.text[0])
        (void)err_say(&u->msg, u->e, "%s", err_words(u->e));
    swarm_task_end(&u->task);
    u->done(u->user, u->e, &u->result, &u->msg);
    free(u);
}

static void advance(struct swarm_upload *u)
{
    enum err e = ERR_OK;
    unsigned wanted = 0;
    for (unsigned i = 0; i < u->n && e == ERR_OK; i++) {
        if (u->shards[i].state == SHARD_WANTED && u->shards[i].count == 0)
            e = shard_advance(u, i);
        wanted += u->shards[i].state == SHARD_WANTED;
    }
    if (e == ERR_OK)
        e = look_at_slow(u);
    if (e != ERR_OK)
        give_up(u, e);
    else if (wanted == 0)
        conclude(u);
}

static void step(struct swarm_task *task)
{
    struct swarm_upload *u = container_of(task, struct swarm_upload, task);
    collect(u);
    if (!u->over)
        advance(u);
    if (u->over)
        collect(u);
    if (u->over && u->attempt_count == 0 && !task->posted && swarm_grant_settle(u->swarm, task))
        finish(u);
}

/* ---- start and cancel ---- */

enum err swarm_upload_start(struct swarm *swarm, const struct swarm_upload_request *request,
                            swarm_receipt_fn *receipted, swarm_upload_fn *done, void *user,
                            struct swarm_upload **out, struct errmsg *msg)
{
    const unsigned n = request->k + request->m;
    if (!swarm->list)
        return err_say(msg, ERR_STATE, "there is no member list yet: nobody to send to");
    if (n == 0 || n > LIMIT_SHARDS)
        return err_say(msg, ERR_USAGE, "%u+%u is no way to cut a segment", request->k, request->m);
    struct swarm_upload *u = calloc(1, sizeof(*u));
    if (!u)
        return err_say(msg, ERR_NOMEM, "out of memory");
    u->swarm = swarm;
    u->request = *request;
    u->n = n;
    u->receipted = receipted;
    u->done = done;
    u->user = user;
    u->group = swarm->group;
    memcpy(u->peers, swarm->group_peers, sizeof(u->peers));
    list_init(&u->attempts);
    for (unsigned i = 0; i < n; i++) {
        u->shards[i].cell = PLACEMENT_NONE;
        if (request->shards[i].size > 0)
            u->shards[i].state = SHARD_WANTED;
        else if (request->stored && !id_is_zero(&request->stored[i]))
            note_stored(u, i, &request->stored[i]);
        else
            u->shards[i].state = SHARD_ABSENT;
    }
    make_plan(u);
    swarm_task_begin(&u->task, swarm, step);
    swarm_task_tick(&u->task);
    swarm_task_wake(&u->task);
    if (out)
        *out = u;
    return ERR_OK;
}

void swarm_upload_cancel(struct swarm_upload *u)
{
    if (!u->over)
        give_up(u, ERR_CANCELLED);
    swarm_task_wake(&u->task);
}
