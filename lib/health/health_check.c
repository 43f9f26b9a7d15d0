#include "health/health_check.h"

#include "swarm/swarm_have.h"
#include "transfer/transfer_segment.h"
#include "vault/vault_members.h"

#include <stdio.h>
#include <stdlib.h>

enum { PAGE_SEGMENTS = 64, READ_AT_ONCE = 2, SHORT_ID = 10 };

/* What is known of one shard now. */
enum shard_now { SHARD_SILENT, SHARD_HERE, SHARD_MISSING, SHARD_DAMAGED };

struct checked {
    struct health_check *check;
    struct transfer_segment *segment; /* owned */
    uint8_t now[LIMIT_SHARDS];        /* enum shard_now */
    struct swarm_gather *gather;
    uint8_t *payload, *parity; /* owned */
};

struct health_check {
    struct vault *vault;
    struct health_check_options options;
    struct health_check_events events;
    void *user;
    struct health_check_summary summary;
    struct vault_members members;
    bool *answered; /* of members.list */
    uint64_t total, done;
    /* the page */
    struct checked page[PAGE_SEGMENTS];
    struct id ids[PAGE_SEGMENTS];
    size_t count, reading, read_next;
    uint64_t after;
    bool last, index_checked, cancelled;
    struct swarm_have *have;
    struct work_job job;
    enum err e;
    struct errmsg msg, index_msg;
    enum err index_e;
};

static void checked_clear(struct checked *c)
{
    if (c->segment)
        transfer_segment_clear(c->segment);
    free(c->segment);
    free(c->payload);
    free(c->parity);
    *c = (struct checked){0};
}

static void page_clear(struct health_check *check)
{
    for (size_t i = 0; i < check->count; i++)
        checked_clear(&check->page[i]);
    check->count = 0;
}

static void check_end(struct health_check *check, enum err e)
{
    const struct health_check_events events = check->events;
    const struct health_check_summary summary = check->summary;
    const struct errmsg msg = check->msg;
    void *user = check->user;
    page_clear(check);
    vault_members_free(&check->members);
    free(check->answered);
    free(check);
    events.done(user, e, &summary, &msg);
}

static void problem(struct health_check *check, const struct checked *c, unsigned index,
                    const char *words)
{
    char segment[ID_TEXT_SIZE], cell[ID_TEXT_SIZE], text[256];
    id_format(&c->segment->row.id, segment);
    id_format(&c->segment->shards[index].cell, cell);
    snprintf(text, sizeof(text), "shard %u of segment %.*s at cell %.*s %s", index, SHORT_ID,
             segment, SHORT_ID, cell, words);
    check->events.problem(check->user, ERR_CORRUPT, text);
}

/* --- the page, on the lane --- */

static void load_page(struct work_job *job)
{
    struct health_check *check = container_of(job, struct health_check, job);
    struct index *index = check->vault->index;
    struct index_segment rows[PAGE_SEGMENTS];
    struct index_segment_filter filter = {.states = 1u << INDEX_COMMITTED | 1u << INDEX_LOST,
                                          .after_number = check->after};
    struct index_totals totals;
    size_t count = 0;
    enum err e = ERR_OK;
    if (!check->index_checked) {
        check->index_checked = true;
        check->index_e = index_check(index, &check->index_msg);
        e = index_totals(index, &totals, &check->msg);
        check->total = totals.segments;
    }
    if (e == ERR_OK)
        e = index_segments(index, &filter, rows, PAGE_SEGMENTS, &count, &check->msg);
    check->last = count < PAGE_SEGMENTS;
    for (size_t i = 0; e == ERR_OK && i < count; i++) {
        struct checked *c = &check->page[check->count];
        check->after = rows[i].number;
        if (check->options.parts &&
            rows[i].number % check->options.parts != check->options.part - 1)
            continue;
        *c = (struct checked){.check = check, .segment = malloc(sizeof(*c->segment))};
        check->count++;
        e = c->segment ? transfer_segment_load(index, rows[i].number, c->segment, &check->msg)
                       : ERR_NOMEM;
    }
    check->e = e;
}

/* Lost when even with those who do not answer too few shards are left; not lost when k answer. */
static enum err mark_segment(struct health_check *check, const struct checked *c)
{
    const struct index_segment *row = &c->segment->row;
    unsigned here = 0, silent = 0;
    for (unsigned s = 0; s < row->k + row->m; s++) {
        here += c->now[s] == SHARD_HERE;
        silent += c->now[s] == SHARD_SILENT;
    }
    enum index_segment_state state = row->state;
    if (here >= row->k)
        state = INDEX_COMMITTED;
    else if (here + silent < row->k)
        state = INDEX_LOST;
    check->summary.given_up += state == INDEX_LOST;
    if (state == row->state)
        return ERR_OK;
    return index_segment_set_state(check->vault->index, row->number, state, &check->msg);
}

/* Notes what is missing for sure, so that the next backup makes it again. */
static void mark_page(struct work_job *job)
{
    struct health_check *check = container_of(job, struct health_check, job);
    struct index *index = check->vault->index;
    check->e = index_begin(index, &check->msg);
    for (size_t i = 0; check->e == ERR_OK && i < check->count; i++) {
        const struct checked *c = &check->page[i];
        for (unsigned s = 0; check->e == ERR_OK && s < c->segment->row.k + c->segment->row.m; s++) {
            struct index_shard shard = c->segment->shards[s];
            if (shard.state != INDEX_SHARD_STORED ||
                (c->now[s] != SHARD_MISSING && c->now[s] != SHARD_DAMAGED))
                continue;
            shard.state = INDEX_SHARD_MISSING;
            check->summary.marked = true;
            check->e =
                index_segment_set_shard(index, c->segment->row.number, s, &shard, &check->msg);
        }
        if (check->e == ERR_OK && check->options.give_up)
            check->e = mark_segment(check, c);
    }
    if (check->e == ERR_OK)
        check->e = index_commit(index, &check->msg);
    else
        index_rollback(index);
}

/* --- margins --- */

static void next_page(struct health_check *check);

static void count_shards(struct health_check *check, struct checked *c)
{
    struct placement_shard places[LIMIT_SHARDS];
    const struct transfer_segment *s = c->segment;
    const unsigned n = s->row.k + s->row.m;
    for (unsigned i = 0; i < n; i++) {
        places[i] = (struct placement_shard){
            .household = vault_members_household(&check->members, &s->shards[i].cell),
            .alive = c->now[i] == SHARD_HERE,
        };
        if (c->now[i] == SHARD_DAMAGED) {
            check->summary.shards_damaged++;
            problem(check, c, i, "is damaged");
        } else if (c->now[i] == SHARD_MISSING && s->shards[i].state == INDEX_SHARD_STORED) {
            check->summary.shards_missing++;
            problem(check, c, i, "is missing");
        } else if (c->now[i] == SHARD_MISSING) {
            check->summary.shards_missing++;
        } else if (c->now[i] == SHARD_SILENT) {
            check->summary.shards_unreachable++;
        }
    }
    const int32_t margin = placement_margin(places, n, s->row.k);
    check->summary.segments++;
    check->summary.segments_below_target += margin < (int32_t)s->row.m;
    check->summary.segments_lost += margin < 0;
    if (margin < check->summary.margin_min)
        check->summary.margin_min = margin;
    if (margin < 0) {
        char segment[ID_TEXT_SIZE], text[160];
        snprintf(text, sizeof(text), "segment %.*s: %d more shards are needed than can be had now",
                 SHORT_ID, id_format(&s->row.id, segment), -margin);
        check->events.problem(check->user, ERR_NOT_ENOUGH, text);
    }
}

static void marked(struct work_job *job)
{
    struct health_check *check = container_of(job, struct health_check, job);
    if (check->e != ERR_OK)
        check_end(check, check->e);
    else
        next_page(check);
}

static void page_end(struct health_check *check)
{
    for (size_t i = 0; i < check->count; i++)
        count_shards(check, &check->page[i]);
    check->done += check->count;
    const struct health_check_progress progress = {check->done, check->total,
                                                   check->summary.bytes_read};
    if (check->events.progress)
        check->events.progress(check->user, &progress);
    if (check->vault->access != VAULT_WRITE) {
        next_page(check);
        return;
    }
    check->job = (struct work_job){.run = mark_page, .done = marked};
    work_submit(check->vault->ports.work, check->vault->lane, &check->job);
}

/* --- reading --- */

static void read_more(struct health_check *check);

static void gathered(void *user, enum err e, const struct swarm_gather_result *result,
                     const struct errmsg *msg)
{
    struct checked *c = user;
    struct health_check *check = c->check;
    (void)msg;
    c->gather = NULL;
    check->reading--;
    if (result) {
        check->summary.bytes_read += result->fetched_bytes;
        for (size_t i = 0; i < result->fault_count; i++) {
            const struct swarm_fault *fault = &result->faults[i];
            uint8_t *now = &c->now[fault->index];
            if (!id_equal(&fault->cell, &c->segment->shards[fault->index].cell))
                continue;
            if (fault->kind == SWARM_FAULT_LIED || fault->kind == SWARM_FAULT_DAMAGED)
                *now = SHARD_DAMAGED;
            else if (fault->kind == SWARM_FAULT_MISSING)
                *now = SHARD_MISSING;
            else if (*now == SHARD_HERE)
                *now = SHARD_SILENT;
        }
    }
    if (e == ERR_INCONSISTENT) {
        char segment[ID_TEXT_SIZE], text[160];
        snprintf(text, sizeof(text), "the shards of segment %.*s contradict each other", SHORT_ID,
                 id_format(&c->segment->row.id, segment));
        check->events.problem(check->user, e, text);
    }
    free(c->payload);
    free(c->parity);
    c->payload = c->parity = NULL;
    read_more(check);
}

static enum err read_one(struct checked *c, struct errmsg *msg)
{
    const struct transfer_segment *s = c->segment;
    struct swarm_holder holders[LIMIT_SHARDS];
    uint8_t shards[LIMIT_SHARDS];
    size_t count = 0;
    for (unsigned i = 0; i < s->row.k + s->row.m; i++) {
        if (c->now[i] != SHARD_HERE)
            continue;
        holders[count] = (struct swarm_holder){s->shards[i].cell, (uint8_t)i};
        shards[count++] = (uint8_t)i;
    }
    if (count < s->row.k)
        return ERR_NOT_ENOUGH;
    c->payload = malloc((size_t)s->row.k * s->row.shard_bytes);
    c->parity = malloc((size_t)s->row.m * s->row.shard_bytes + 1);
    if (!c->payload || !c->parity)
        return err_say(msg, ERR_NOMEM, "out of memory");
    const struct swarm_gather_request request = {
        .segment = s->row.id,
        .header = &s->header,
        .holders = holders,
        .holder_count = count,
        .shards = shards,
        .shard_count = count,
        .payload = c->payload,
        .parity = c->parity,
        .net_class = NET_OTHER,
        .check_decoded = true,
        .known_only = true,
        .every = true,
    };
    c->check->summary.shards_read += count;
    return swarm_gather_start(c->check->vault->swarm, &request, gathered, c, &c->gather, msg);
}

static void read_more(struct health_check *check)
{
    while (check->reading < READ_AT_ONCE && check->read_next < check->count && !check->cancelled) {
        struct checked *c = &check->page[check->read_next++];
        if (read_one(c, &check->msg) == ERR_OK) {
            check->reading++;
            continue;
        }
        free(c->payload); /* margins tell what is wrong with it */
        free(c->parity);
        c->payload = c->parity = NULL;
    }
    if (check->reading > 0)
        return;
    if (check->cancelled)
        check_end(check, ERR_CANCELLED);
    else
        page_end(check);
}

/* --- asking --- */

static void on_held(void *user, const struct id *cell, const struct wire_held *held)
{
    struct health_check *check = user;
    struct checked *c = &check->page[held->position];
    if (held->index >= c->segment->row.k + c->segment->row.m ||
        !id_equal(&c->segment->shards[held->index].cell, cell))
        return; /* one more copy than the index knows of */
    c->now[held->index] = held->state == WIRE_SHARD_STORED ? SHARD_HERE : SHARD_DAMAGED;
}

static void on_cell(void *user, const struct id *cell, enum err e)
{
    struct health_check *check = user;
    const struct vault_member *member = idmap_get(&check->members.by_id, cell);
    if (member && e == ERR_OK)
        check->answered[member - check->members.list] = true;
}

static bool cell_answered(const struct health_check *check, const struct id *cell)
{
    const struct vault_member *member = idmap_get(&check->members.by_id, cell);
    return member && check->answered[member - check->members.list];
}

static void asked(void *user, enum err e, const struct swarm_have_result *result,
                  const struct errmsg *msg)
{
    struct health_check *check = user;
    check->have = NULL;
    if (e != ERR_OK) {
        check->msg = *msg;
        check_end(check, e);
        return;
    }
    check->summary.cells_asked = result->asked;
    check->summary.cells_answered = result->answered;
    for (size_t i = 0; i < check->count; i++) {
        struct checked *c = &check->page[i];
        for (unsigned s = 0; s < c->segment->row.k + c->segment->row.m; s++) {
            const struct id *cell = &c->segment->shards[s].cell;
            if (c->now[s] == SHARD_SILENT && (id_is_zero(cell) || cell_answered(check, cell)))
                c->now[s] = SHARD_MISSING;
        }
    }
    check->read_next = 0;
    if (check->options.read_data)
        read_more(check);
    else
        page_end(check);
}

static void page_loaded(struct work_job *job)
{
    struct health_check *check = container_of(job, struct health_check, job);
    if (check->index_e != ERR_OK) {
        check->summary.errors++;
        check->events.problem(check->user, check->index_e, check->index_msg.text);
        check->index_e = ERR_OK;
    }
    if (check->e != ERR_OK || check->count == 0) {
        if (check->e == ERR_OK && !check->last)
            next_page(check);
        else
            check_end(check, check->e);
        return;
    }
    for (size_t i = 0; i < check->count; i++)
        check->ids[i] = check->page[i].segment->row.id;
    const struct swarm_have_request request = {
        .segments = check->ids,
        .segment_count = check->count,
        .held = on_held,
        .cell = on_cell,
        .done = asked,
        .user = check,
    };
    const enum err e = swarm_have_start(check->vault->swarm, &request, &check->have, &check->msg);
    if (e != ERR_OK)
        check_end(check, e);
}

static void next_page(struct health_check *check)
{
    page_clear(check);
    if (check->cancelled || (check->last && check->index_checked)) {
        check_end(check, check->cancelled ? ERR_CANCELLED : ERR_OK);
        return;
    }
    check->job = (struct work_job){.run = load_page, .done = page_loaded};
    work_submit(check->vault->ports.work, check->vault->lane, &check->job);
}

enum err health_check_start(struct vault *vault, const struct health_check_options *options,
                            const struct health_check_events *events, void *user,
                            struct health_check **out, struct errmsg *msg)
{
    struct health_check *check = calloc(1, sizeof(*check));
    if (!check)
        return err_say(msg, ERR_NOMEM, "out of memory");
    check->vault = vault;
    check->options = *options;
    check->events = *events;
    check->user = user;
    check->summary.margin_min = INT32_MAX;
    enum err e = vault_members_copy(vault, &check->members);
    if (e == ERR_OK) {
        check->answered = calloc(check->members.count + 1, sizeof(*check->answered));
        e = check->answered ? ERR_OK : ERR_NOMEM;
    }
    if (e != ERR_OK) {
        vault_members_free(&check->members);
        free(check);
        return err_say(msg, e, "out of memory");
    }
    next_page(check);
    *out = check;
    return ERR_OK;
}

void health_check_cancel(struct health_check *check)
{
    check->cancelled = true;
    if (check->have)
        swarm_have_cancel(check->have);
    for (size_t i = 0; i < check->count; i++) {
        if (check->page[i].gather)
            swarm_gather_cancel(check->page[i].gather);
    }
}
