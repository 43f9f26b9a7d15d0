/*
 * Proofs by lot, on the side of the auditor: while the coordinator is away nobody throws lots, so
 * the day does (placement_lot.h), and what comes of it is kept until the coordinator is back.
 *
 *     timer --coordinator away, nothing else to do--> a member that today's lot falls on
 *     --lane--> some of our own segments --> one of which that member should have a shard as well
 *     --> a leaf of it (swarm_audit.h) --> a verdict, kept in the store
 *     heartbeat answered again --> POST /v1/verdicts
 *
 * A cell that is claimed asks for its own household's segments every other time: of those it has
 * none, so the one who is asked says which it has.
 *
 * What can fail: everything, and then nothing is known, and nothing said. Which shards the other
 * one must have is for the coordinator's directory to say: here it is guessed from placement, and
 * "it lacks that one" of somebody who never had it counts for nothing there.
 */
#include "cell_internal.h"

#include "placement/placement_lot.h"
#include "segment/segment_header.h"
#include "wire/wire_error.h"

#include <stdlib.h>

static void set_timer(struct cell *cell)
{
    const uint64_t period_ms = cell->options.audit_period_ms;
    if (cell->stopping || period_ms == 0)
        return;
    const uint64_t pause_ms =
        period_ms / 2 + random_below(cell->options.random, period_ms / 2 + 1) + 1;
    if (timer_start(cell->options.clock, &cell->audit.timer, pause_ms) != ERR_OK)
        log_say(cell->options.log, LOG_WARN, "no proofs are asked for: no memory for a timer");
}

/* --- verdicts --- */

static void run_keep(struct work_job *job)
{
    struct cell *cell = container_of(job, struct cell, audit.keep_job);
    struct errmsg msg;
    if (documents_fact_put(store_db(cell->options.store), CELL_FACT_VERDICTS,
                           buf_slice(&cell->audit.kept), &msg) != ERR_OK)
        log_say(cell->options.log, LOG_WARN, "verdicts on others cannot be kept: %s", msg.text);
}

static void keep(struct cell *cell);

static void keep_done(struct work_job *job)
{
    struct cell *cell = container_of(job, struct cell, audit.keep_job);
    struct cell_audit *a = &cell->audit;
    a->keeping = false;
    if (a->keep_again)
        keep(cell);
    cell_work_ended(cell);
}

static void keep(struct cell *cell)
{
    struct cell_audit *a = &cell->audit;
    a->keep_again = a->keeping;
    if (a->keeping || cell->stopping)
        return;
    buf_clear(&a->kept);
    if (wire_verdicts_encode(a->verdicts, a->count, &a->kept) != ERR_OK)
        return;
    a->keeping = true;
    a->keep_job = (struct work_job){.run = run_keep, .done = keep_done};
    cell_work_began(cell);
    work_submit(cell->options.work, cell->options.lane, &a->keep_job);
}

static void forget(struct cell_audit *a, size_t at, size_t count)
{
    memmove(a->verdicts + at, a->verdicts + at + count,
            (a->count - at - count) * sizeof(a->verdicts[0]));
    a->count -= count;
}

/* When there is no room the oldest good news goes first. */
static void add(struct cell *cell, const struct wire_verdict *verdict)
{
    struct cell_audit *a = &cell->audit;
    size_t oldest = 0;
    if (a->message) /* those before it must keep their places; the coordinator is back anyway */
        return;
    while (a->count == WIRE_VERDICTS_MAX && oldest < a->count &&
           a->verdicts[oldest].kind != WIRE_VERDICT_PROVEN)
        oldest++;
    if (a->count == WIRE_VERDICTS_MAX)
        forget(a, oldest < a->count ? oldest : 0, 1);
    a->verdicts[a->count++] = *verdict;
    keep(cell);
}

enum err cell_audit_load(struct cell *cell, struct errmsg *msg)
{
    struct cell_audit *a = &cell->audit;
    struct buf fact = BUF_INIT(WIRE_VERDICTS_BYTES);
    struct wire_list list;
    a->body = BUF_INIT(WIRE_VERDICTS_BYTES);
    a->kept = BUF_INIT(WIRE_VERDICTS_BYTES);
    enum err e = documents_fact_get(store_db(cell->options.store), CELL_FACT_VERDICTS, &fact, msg);
    if (e == ERR_OK && wire_verdicts_decode(buf_slice(&fact), &list) == ERR_OK)
        while (wire_verdicts_next(&list, &a->verdicts[a->count]))
            a->count++;
    buf_free(&fact);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* --- telling them --- */

static void told(void *user, enum err e, unsigned status, struct slice body,
                 const struct errmsg *net_msg)
{
    struct cell *cell = user;
    struct cell_audit *a = &cell->audit;
    struct errmsg msg = *net_msg;
    uint32_t taken = 0;
    a->message = NULL;
    if (e == ERR_OK && wire_status_failed(status))
        e = wire_error_take(status, body, NULL, &msg);
    else if (e == ERR_OK)
        e = wire_verdicts_reply_decode(body, &taken);
    if (e == ERR_OK)
        log_say(cell->options.log, LOG_INFO, "%u of %zu verdicts by lot count for the coordinator",
                taken, a->telling);
    else
        log_say(cell->options.log, LOG_INFO, "verdicts by lot were not taken: %s", msg.text);
    if (e == ERR_OK || err_class(e) != ERR_CLASS_RETRYABLE) {
        forget(a, 0, a->telling);
        keep(cell);
    }
    cell_work_ended(cell);
}

void cell_audit_tell(struct cell *cell)
{
    struct cell_audit *a = &cell->audit;
    struct errmsg msg;
    if (a->message || a->count == 0 || cell->stopping)
        return;
    struct net_request request = {
        .method = NET_POST,
        .path = wire_path_plain(WIRE_VERDICTS),
        .net_class = NET_OTHER,
        .body = &a->body_slice,
        .body_count = 1,
    };
    buf_clear(&a->body);
    if (wire_verdicts_encode(a->verdicts, a->count, &a->body) != ERR_OK)
        return;
    a->telling = a->count;
    a->body_slice = buf_slice(&a->body);
    cell_coordinator(cell, &a->coordinator_addresses, a->addresses, &request.target);
    if (net_message_start(cell->options.net, &request, LIMIT_MESSAGE_BYTES, told, cell, &a->message,
                          &msg) == ERR_OK)
        cell_work_began(cell);
    else
        a->message = NULL;
}

/* --- one proof --- */

static void end(struct cell *cell)
{
    cell->work.state = WORK_IDLE;
    set_timer(cell);
}

static void audited(void *user, enum err e, const struct wire_verdict *verdict,
                    const struct errmsg *msg)
{
    static const char *const words[] = {"gave no proof", "has proven a shard",
                                        "could not prove a shard", "says that it lacks a shard"};
    struct cell *cell = user;
    char id[ID_TEXT_SIZE];
    cell->audit.running = NULL;
    cell->counters.proof_count += verdict->kind != 0;
    log_say(cell->options.log, LOG_INFO, "by lot: cell %.10s %s%s%s", id_format(&verdict->cell, id),
            words[verdict->kind], e == ERR_OK ? "" : ": ", e == ERR_OK ? "" : msg->text);
    if (verdict->kind != 0)
        add(cell, verdict);
    end(cell);
    cell_work_ended(cell);
}

/* *started: audited() follows. Else there was nothing to ask for. */
static enum err ask(struct cell *cell, bool *started, struct errmsg *msg)
{
    struct cell_audit *a = &cell->audit;
    struct swarm *swarm = cell->work.swarm;
    const struct member *self = member_list_find(cell->members, &cell->id);
    *started = true;
    if (a->for_owner && self && self->claimed)
        return swarm_audit_start(swarm, &a->about, &a->lot, &self->household, audited, cell,
                                 &a->running, msg);
    const size_t at = swarm_audit_pick(swarm, &a->about, a->candidates, a->candidate_count);
    *started = at < a->candidate_count;
    if (!*started)
        return ERR_OK;
    a->lot.segment = a->candidates[at].segment;
    return swarm_audit_start(swarm, &a->about, &a->lot, NULL, audited, cell, &a->running, msg);
}

static enum err see_shard(void *user, const struct store_shard *shard)
{
    struct cell_audit *a = user;
    if (shard->state == STORE_WHOLE && a->candidate_count < CELL_AUDIT_CANDIDATES)
        a->candidates[a->candidate_count++] = (struct swarm_audit_candidate){
            .segment = shard->segment, .account = shard->account, .shards = shard->index};
    return ERR_OK;
}

/* How many shards their segments have stands in the files; those that cannot be read are no matter
   here, the scrub finds them. */
static void count_shards(struct cell *cell)
{
    struct cell_audit *a = &cell->audit;
    size_t kept = 0;
    for (size_t i = 0; i < a->candidate_count; i++) {
        struct swarm_audit_candidate *one = &a->candidates[i];
        struct segment_header header = {.k = 0};
        struct store_file *file = NULL;
        enum err e = store_file_open(cell->options.store, &one->segment, one->shards, &file, NULL);
        if (e == ERR_OK)
            e = segment_header_decode(store_file_header(file), &header, NULL);
        store_file_close(file);
        one->shards = (unsigned)header.k + header.m;
        if (e == ERR_OK)
            a->candidates[kept++] = *one;
    }
    a->candidate_count = kept;
}

/* Some of what is here, from a random place on; from the first one when that is behind the last. */
static void run_sample(struct work_job *job)
{
    struct cell *cell = container_of(job, struct cell, audit.job);
    struct cell_audit *a = &cell->audit;
    struct errmsg msg;
    a->candidate_count = 0;
    enum err e = store_list(cell->options.store, NULL, &a->from, 0, CELL_AUDIT_CANDIDATES,
                            see_shard, a, &msg);
    if (e == ERR_OK && a->candidate_count == 0)
        e = store_list(cell->options.store, NULL, NULL, 0, CELL_AUDIT_CANDIDATES, see_shard, a,
                       &msg);
    if (e != ERR_OK)
        a->candidate_count = 0;
    count_shards(cell);
}

static void sampled(struct work_job *job)
{
    struct cell *cell = container_of(job, struct cell, audit.job);
    struct errmsg msg = {.text = ""};
    enum err e = cell->stopping ? ERR_CANCELLED : cell_work_swarm(cell, &msg);
    bool started = false;
    if (e == ERR_OK)
        e = ask(cell, &started, &msg);
    if (e == ERR_OK && started) {
        cell_work_began(cell);
        cell_work_ended(cell);
        return;
    }
    if (e != ERR_OK && !cell->stopping)
        log_say(cell->options.log, LOG_INFO, "no proof by lot: %s", msg.text);
    end(cell);
    cell_work_ended(cell);
}

static bool is_known(const struct cell_audit *a, const struct id *cell)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->verdicts[i].day == a->lot.day && id_equal(&a->verdicts[i].cell, cell))
            return true;
    return false;
}

/* One of the members that today's lots fall on, none of them of our own household, and none that we
   know about today. */
static bool draw(struct cell *cell)
{
    struct cell_audit *a = &cell->audit;
    const struct member_list *list = cell->members;
    const struct member *self = member_list_find(list, &cell->id);
    uint64_t seen = 0;
    a->lot.day = cell_lot_day(cell);
    for (size_t i = 0; self && i < list->count; i++) {
        const struct member *other = &list->members[i];
        if (!id_equal(&self->household, &other->household) &&
            placement_lot_falls(&cell->id, &other->id, a->lot.day, list->count) &&
            !is_known(a, &other->id) && random_below(cell->options.random, ++seen) == 0)
            a->about = other->id;
    }
    return seen > 0;
}

static void timer_fired(struct timer *timer)
{
    struct cell *cell = container_of(timer, struct cell, audit.timer);
    struct cell_audit *a = &cell->audit;
    if (!cell->coordinator_away || !cell->members || cell->leaving || cell->disk_away ||
        cell->work.state != WORK_IDLE || !draw(cell)) {
        set_timer(cell);
        return;
    }
    cell->work.state = WORK_DOING;
    a->for_owner = random_below(cell->options.random, 2) == 0; /* counts when somebody claims us */
    random_fill(cell->options.random, a->from.bytes, sizeof(a->from.bytes));
    a->job = (struct work_job){.run = run_sample, .done = sampled};
    cell_work_began(cell);
    work_submit(cell->options.work, cell->options.lane, &a->job);
}

void cell_audit_start(struct cell *cell)
{
    cell->audit.timer.fire = timer_fired;
    set_timer(cell);
}

void cell_audit_stop(struct cell *cell)
{
    timer_stop(cell->options.clock, &cell->audit.timer);
    if (cell->audit.message)
        net_message_cancel(cell->audit.message);
    if (cell->audit.running)
        swarm_audit_cancel(cell->audit.running);
}

void cell_audit_free(struct cell *cell)
{
    buf_free(&cell->audit.body);
    buf_free(&cell->audit.kept);
}
