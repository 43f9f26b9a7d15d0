#include "removal/removal_undelete.h"

#include "heads/heads_edit.h"
#include "identity/condemned.h"
#include "identity/delete_order.h"
#include "identity/lift.h"
#include "index/index_removal.h"
#include "removal/removal_orders.h"
#include "removal/removal_tombstone.h"
#include "swarm/swarm_have.h"
#include "transfer/transfer_segment.h"
#include "vault/vault_deed.h"
#include "vault/vault_members.h"
#include "vault/vault_phrase.h"
#include "vault/vault_snapshots.h"
#include "wire/wire_removal.h"

#include <stdlib.h>

enum { PAGE = 64, PIECE = 256 };

struct ids {
    struct id *list; /* owned */
    size_t count, capacity;
};

/* A document that is lifted, or may be. */
struct document {
    struct index_record record;
    bool wanted;
};

struct removal_undelete {
    struct vault *vault;
    struct removal_undelete_options options;
    struct removal_undelete_events events;
    void *user;
    struct removal_undelete_summary summary;
    struct vault_snapshots forgotten, live;
    bool *chosen;               /* owned; of `forgotten` */
    struct document *documents; /* owned: what is in force */
    size_t document_count;
    struct ids gone;  /* segments that stay condemned */
    struct id *peers; /* owned: whom to tell */
    size_t peer_count;
    struct removal_orders *orders;
    struct heads_edit *edit;
    /* the page of segments that is asked about */
    struct transfer_segment *page; /* owned: PAGE of them */
    struct id page_ids[PAGE];
    uint8_t here[PAGE][LIMIT_SHARDS];
    struct vault_members members;
    bool *answered; /* owned; of members.list */
    size_t page_count;
    uint64_t after;
    struct swarm_have *have;
    void (*then)(struct removal_undelete *u);
    struct work_job job;
    bool cancelled;
    enum err e;
    struct errmsg msg;
};

static void undelete_end(struct removal_undelete *u)
{
    const struct errmsg msg = u->msg;
    const struct removal_undelete_events events = u->events;
    const struct removal_undelete_summary summary = u->summary;
    void *user = u->user;
    const enum err e = u->e;
    for (size_t i = 0; e == ERR_OK && events.returned && i < u->forgotten.count; i++)
        if (u->chosen[i])
            events.returned(user, &u->forgotten.list[i].id);
    vault_snapshots_free(&u->forgotten);
    vault_snapshots_free(&u->live);
    vault_members_free(&u->members);
    free(u->chosen);
    free(u->documents);
    free(u->gone.list);
    free(u->peers);
    free(u->page);
    free(u->answered);
    free(u);
    events.done(user, e, &summary, &msg);
}

static void lane_done(struct work_job *job)
{
    struct removal_undelete *u = container_of(job, struct removal_undelete, job);
    if (u->e == ERR_OK && u->cancelled)
        u->e = err_say(&u->msg, ERR_CANCELLED, "interrupted");
    if (u->e != ERR_OK)
        undelete_end(u);
    else
        u->then(u);
}

static void in_lane(struct removal_undelete *u, void (*run)(struct work_job *job),
                    void (*then)(struct removal_undelete *u))
{
    u->then = then;
    u->job = (struct work_job){.run = run, .done = lane_done};
    work_submit(u->vault->ports.work, u->vault->lane, &u->job);
}

static enum err ids_add(struct ids *ids, const struct id *id)
{
    if (ids->count == ids->capacity) {
        const size_t capacity = ids->capacity ? 2 * ids->capacity : 64;
        struct id *grown = realloc(ids->list, capacity * sizeof(*grown));
        if (!grown)
            return ERR_NOMEM;
        ids->list = grown;
        ids->capacity = capacity;
    }
    ids->list[ids->count++] = *id;
    return ERR_OK;
}

/* --- what is there to come back, on the lane --- */

/* Was it replaced by one with other tags? */
static bool is_replaced(const struct removal_undelete *u, const struct vault_snapshot *s)
{
    const struct id *first = s->snapshot.revision ? &s->snapshot.original : &s->id;
    for (size_t i = 0; i < u->live.count; i++)
        if (u->live.list[i].snapshot.revision > s->snapshot.revision &&
            id_equal(&u->live.list[i].snapshot.original, first))
            return true;
    return false;
}

static enum err choose(struct removal_undelete *u)
{
    u->chosen = calloc(u->forgotten.count + 1, sizeof(*u->chosen));
    if (!u->chosen)
        return err_say(&u->msg, ERR_NOMEM, "out of memory for the list of snapshots");
    const enum err e =
        vault_select(&u->forgotten, &u->options.select, vault_device(u->vault), u->chosen, &u->msg);
    for (size_t i = 0; u->options.select.snapshot_count == 0 && i < u->forgotten.count; i++)
        u->chosen[i] = u->chosen[i] && !is_replaced(u, &u->forgotten.list[i]);
    return e;
}

static enum err load_documents(struct removal_undelete *u)
{
    struct index_record rows[PIECE];
    size_t count = PIECE;
    uint64_t after = 0;
    enum err e = ERR_OK;
    while (e == ERR_OK && count == PIECE) {
        e = index_records(u->vault->index, 0, after, rows, PIECE, &count, &u->msg);
        struct document *grown =
            realloc(u->documents, (u->document_count + count + 1) * sizeof(*u->documents));
        if (!grown)
            return err_say(&u->msg, ERR_NOMEM, "out of memory for documents about removal");
        u->documents = grown;
        for (size_t i = 0; e == ERR_OK && i < count; i++) {
            after = rows[i].number;
            if (!rows[i].lifted && rows[i].type != INDEX_LIFT)
                u->documents[u->document_count++] = (struct document){.record = rows[i]};
        }
    }
    return e;
}

static enum err make_order(struct removal_undelete *u)
{
    struct buf doc = BUF_INIT(DELETE_ORDER_BYTES_MAX);
    struct deed deed;
    vault_deed_of_root(u->vault, &deed);
    enum err e = delete_order_make_undo(&deed, NULL, 0, &u->vault->swarm_root,
                                        u->options.root->keys.root, &doc);
    if (e == ERR_OK)
        e = index_begin(u->vault->index, &u->msg);
    if (e == ERR_OK) {
        e = index_orders_drop(u->vault->index, WIRE_ORDER_DELETE, &u->msg);
        if (e == ERR_OK)
            e = index_order_add(u->vault->index, WIRE_ORDER_UNDELETE, buf_slice(&doc), deed.time_s,
                                u->peers, u->peer_count, &u->msg);
        if (e == ERR_OK)
            e = index_commit(u->vault->index, &u->msg);
        else
            index_rollback(u->vault->index);
    }
    buf_free(&doc);
    return e;
}

static void gather_run(struct work_job *job)
{
    struct removal_undelete *u = container_of(job, struct removal_undelete, job);
    u->e = vault_snapshots_load(u->vault->index, &u->live, &u->msg);
    if (u->e == ERR_OK)
        u->e = vault_snapshots_load_forgotten(u->vault->index, &u->forgotten, &u->msg);
    if (u->e == ERR_OK)
        u->e = choose(u);
    if (u->e == ERR_OK)
        u->e = load_documents(u);
    if (u->e == ERR_OK && u->document_count > 0)
        u->e = make_order(u);
}

/* --- the lift, and what is named anew --- */

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, ID_SIZE);
}

static size_t find_forgotten(const struct removal_undelete *u, const struct id *id)
{
    for (size_t i = 0; i < u->forgotten.count; i++)
        if (id_equal(&u->forgotten.list[i].id, id))
            return i;
    return SIZE_MAX;
}

/* Is a chosen snapshot among those that the tombstone names? */
static enum err names_chosen(struct removal_undelete *u, struct document *d, struct errmsg *msg)
{
    struct id after = {{0}}, ids[PIECE];
    size_t count = PIECE;
    enum err e = ERR_OK;
    while (e == ERR_OK && count == PIECE && !d->wanted) {
        e = index_record_named(u->vault->index, d->record.number, &after, ids, PIECE, &count, msg);
        for (size_t i = 0; e == ERR_OK && i < count; i++) {
            const size_t at = find_forgotten(u, &ids[i]);
            d->wanted |= at != SIZE_MAX && u->chosen[at];
        }
    }
    return e;
}

/* Those of a lifted tombstone that stay forgotten. */
static enum err collect_others(struct removal_undelete *u, const struct document *d,
                               struct ids *out, struct errmsg *msg)
{
    struct id after = {{0}}, ids[PIECE];
    size_t count = PIECE;
    enum err e = ERR_OK;
    while (e == ERR_OK && count == PIECE) {
        e = index_record_named(u->vault->index, d->record.number, &after, ids, PIECE, &count, msg);
        for (size_t i = 0; e == ERR_OK && i < count; i++) {
            const size_t at = find_forgotten(u, &ids[i]);
            if (at == SIZE_MAX || !u->chosen[at])
                e = ids_add(out, &ids[i]);
        }
    }
    return e;
}

static void sort_unique(struct ids *ids)
{
    size_t kept = 0;
    if (ids->count > 0)
        qsort(ids->list, ids->count, sizeof(*ids->list), compare_ids);
    for (size_t i = 0; i < ids->count; i++)
        if (kept == 0 || !id_equal(&ids->list[kept - 1], &ids->list[i]))
            ids->list[kept++] = ids->list[i];
    ids->count = kept;
}

/* A document of these IDs, published. */
static enum err publish_ids(struct heads_publish *publish, uint8_t type, struct buf *bytes,
                            const struct id *ids, size_t count, int64_t time_s)
{
    struct heads_publish_item *item;
    enum err e = heads_publish_add(publish, type, bytes, &item);
    if (e != ERR_OK)
        return e;
    item->named = calloc(count, sizeof(*ids));
    if (!item->named)
        return ERR_NOMEM;
    memcpy(item->named, ids, count * sizeof(*ids));
    item->named_count = count;
    item->time_s = time_s;
    return ERR_OK;
}

static enum err condemn_gone(struct removal_undelete *u, struct heads_publish *publish,
                             struct errmsg *msg)
{
    struct condemned *condemned = calloc(1, sizeof(*condemned));
    enum err e = condemned ? ERR_OK : err_say(msg, ERR_NOMEM, "out of memory");
    for (size_t at = 0; e == ERR_OK && at < u->gone.count; at += CONDEMNED_SEGMENTS_MAX) {
        struct buf bytes = BUF_INIT(CONDEMNED_BYTES_MAX);
        const size_t left = u->gone.count - at;
        const size_t count = left < CONDEMNED_SEGMENTS_MAX ? left : CONDEMNED_SEGMENTS_MAX;
        e = vault_deed_next(u->vault, &condemned->deed, msg);
        if (e == ERR_OK)
            e = condemned_make(condemned, u->gone.list + at, count, &u->vault->swarm_root,
                               u->vault->device, &bytes);
        if (e == ERR_OK)
            e = publish_ids(publish, SEGMENT_CONDEMNED, &bytes, u->gone.list + at, count,
                            condemned->deed.time_s);
        buf_free(&bytes);
    }
    free(condemned);
    return e;
}

static enum err lift_all(struct removal_undelete *u, struct heads_publish *publish,
                         const struct ids *hashes)
{
    struct deed deed;
    enum err e = ERR_OK;
    vault_deed_of_root(u->vault, &deed);
    for (size_t at = 0; e == ERR_OK && at < hashes->count; at += LIFT_DOCUMENTS_MAX) {
        struct buf bytes = BUF_INIT(LIFT_BYTES_MAX);
        const size_t left = hashes->count - at;
        const size_t count = left < LIFT_DOCUMENTS_MAX ? left : LIFT_DOCUMENTS_MAX;
        e = lift_make(&deed, hashes->list + at, count, &u->vault->swarm_root,
                      u->options.root->keys.root, &bytes);
        if (e == ERR_OK)
            e = publish_ids(publish, SEGMENT_LIFT, &bytes, hashes->list + at, count, deed.time_s);
        buf_free(&bytes);
    }
    return e;
}

/* Does the list name a segment that is gone? */
static enum err names_gone(struct removal_undelete *u, const struct index_record *list, bool *out,
                           struct errmsg *msg)
{
    struct id after = {{0}}, ids[PIECE];
    size_t count = PIECE;
    enum err e = ERR_OK;
    *out = false;
    while (e == ERR_OK && count == PIECE && !*out && u->gone.count > 0) {
        e = index_record_named(u->vault->index, list->number, &after, ids, PIECE, &count, msg);
        for (size_t i = 0; e == ERR_OK && i < count && !*out; i++)
            *out = bsearch(&ids[i], u->gone.list, u->gone.count, sizeof(ids[i]), compare_ids);
    }
    return e;
}

/* Snapshots of this tombstone may be incomplete: they stay away, unless they were named. */
static enum err drop_named(struct removal_undelete *u, const struct index_record *tombstone,
                           struct errmsg *msg)
{
    struct id after = {{0}}, ids[PIECE];
    size_t count = PIECE;
    enum err e = ERR_OK;
    while (e == ERR_OK && count == PIECE) {
        e = index_record_named(u->vault->index, tombstone->number, &after, ids, PIECE, &count, msg);
        for (size_t i = 0; e == ERR_OK && i < count; i++) {
            const size_t at = find_forgotten(u, &ids[i]);
            if (at == SIZE_MAX || !u->chosen[at])
                continue;
            u->summary.snapshots_gone++;
            if (u->options.select.snapshot_count == 0)
                u->chosen[at] = false;
        }
    }
    return e;
}

/* Something of what was forgotten before a list may be gone with that list's segments. */
static enum err drop_incomplete(struct removal_undelete *u, struct errmsg *msg)
{
    int64_t gone_s = INT64_MIN;
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < u->document_count; i++) {
        const struct index_record *r = &u->documents[i].record;
        bool gone = false;
        if (r->type == INDEX_CONDEMNED_LIST && r->time_s > gone_s)
            e = names_gone(u, r, &gone, msg);
        if (gone)
            gone_s = r->time_s;
    }
    for (size_t i = 0; e == ERR_OK && i < u->document_count; i++)
        if (u->documents[i].record.type == INDEX_TOMBSTONE &&
            u->documents[i].record.time_s <= gone_s)
            e = drop_named(u, &u->documents[i].record, msg);
    return e;
}

static enum err prepare(void *user, struct heads_publish *publish, struct errmsg *msg)
{
    struct removal_undelete *u = user;
    struct ids hashes = {0}, others = {0};
    sort_unique(&u->gone);
    enum err e = drop_incomplete(u, msg);
    for (size_t i = 0; e == ERR_OK && i < u->document_count; i++) {
        struct document *d = &u->documents[i];
        d->wanted = d->record.type == INDEX_CONDEMNED_LIST;
        if (!d->wanted)
            e = names_chosen(u, d, msg);
        if (e == ERR_OK && d->wanted)
            e = ids_add(&hashes, &d->record.hash);
        if (e == ERR_OK && d->wanted && d->record.type == INDEX_TOMBSTONE)
            e = collect_others(u, d, &others, msg);
    }
    sort_unique(&hashes);
    sort_unique(&others);
    if (e == ERR_OK && others.count > 0)
        e = removal_tombstone_add(u->vault, publish, others.list, others.count, msg);
    if (e == ERR_OK)
        e = condemn_gone(u, publish, msg);
    if (e == ERR_OK)
        e = lift_all(u, publish, &hashes);
    for (size_t i = 0; i < u->forgotten.count; i++)
        u->summary.snapshots += e == ERR_OK && u->chosen[i];
    free(hashes.list);
    free(others.list);
    return e;
}

static void edited(void *user, enum err e, const struct errmsg *msg)
{
    struct removal_undelete *u = user;
    u->edit = NULL;
    u->e = e;
    u->msg = *msg;
    undelete_end(u);
}

static void publish(struct removal_undelete *u)
{
    const struct heads_edit_options options = {.prepare = prepare, .done = edited, .user = u};
    u->e = heads_edit_new(u->vault, &options, &u->edit, &u->msg);
    if (u->e != ERR_OK)
        undelete_end(u);
    else
        heads_edit_publish(u->edit);
}

/* --- which segments are there still: page by page --- */

static void next_page(struct removal_undelete *u);

static void page_run(struct work_job *job)
{
    struct removal_undelete *u = container_of(job, struct removal_undelete, job);
    const struct index_segment_filter filter = {.states = 1u << INDEX_CONDEMNED,
                                                .after_number = u->after};
    struct index_segment rows[PAGE];
    size_t count = 0;
    u->e = index_segments(u->vault->index, &filter, rows, PAGE, &count, &u->msg);
    u->page_count = 0;
    for (size_t i = 0; u->e == ERR_OK && i < count; i++) {
        u->after = rows[i].number;
        u->page_ids[i] = rows[i].id;
        u->e = transfer_segment_load(u->vault->index, rows[i].number, &u->page[u->page_count++],
                                     &u->msg);
    }
}

/* Enough of it, with those who may only have been silent? Then its shards are as they were found.
 */
static enum err judge(struct removal_undelete *u, size_t at)
{
    struct transfer_segment *s = &u->page[at];
    unsigned there = 0;
    for (unsigned i = 0; i < s->row.k + s->row.m; i++) {
        const struct vault_member *member = idmap_get(&u->members.by_id, &s->shards[i].cell);
        const bool known = !member || u->answered[member - u->members.list];
        if (s->shards[i].state != INDEX_SHARD_STORED)
            continue;
        if (known && !u->here[at][i])
            s->shards[i].state = INDEX_SHARD_MISSING;
        else
            there++;
    }
    if (there < s->row.k) {
        u->summary.segments_gone++;
        return ids_add(&u->gone, &s->row.id);
    }
    u->summary.segments++;
    return index_segment_set_shards(u->vault->index, s->row.number, s->shards, s->row.k + s->row.m,
                                    &u->msg);
}

static void judge_run(struct work_job *job)
{
    struct removal_undelete *u = container_of(job, struct removal_undelete, job);
    for (size_t i = 0; u->e == ERR_OK && i < u->page_count; i++)
        u->e = judge(u, i);
}

static void on_held(void *user, const struct id *cell, const struct wire_held *held)
{
    struct removal_undelete *u = user;
    const struct transfer_segment *s = &u->page[held->position];
    if (held->index < s->row.k + s->row.m && id_equal(&s->shards[held->index].cell, cell))
        u->here[held->position][held->index] =
            held->state == WIRE_SHARD_STORED || held->state == WIRE_SHARD_WAITING;
}

static void on_cell(void *user, const struct id *cell, enum err e)
{
    struct removal_undelete *u = user;
    const struct vault_member *member = idmap_get(&u->members.by_id, cell);
    if (member && e == ERR_OK)
        u->answered[member - u->members.list] = true;
}

static void asked(void *user, enum err e, const struct swarm_have_result *result,
                  const struct errmsg *msg)
{
    struct removal_undelete *u = user;
    (void)result;
    u->have = NULL;
    u->e = e;
    u->msg = *msg;
    if (e != ERR_OK)
        undelete_end(u);
    else
        in_lane(u, judge_run, next_page);
}

static void page_loaded(struct removal_undelete *u)
{
    if (u->page_count == 0) {
        publish(u);
        return;
    }
    memset(u->here, 0, sizeof(u->here));
    memset(u->answered, 0, u->members.count * sizeof(*u->answered));
    const struct swarm_have_request request = {
        .segments = u->page_ids,
        .segment_count = u->page_count,
        .held = on_held,
        .cell = on_cell,
        .done = asked,
        .user = u,
    };
    u->e = swarm_have_start(u->vault->swarm, &request, &u->have, &u->msg);
    if (u->e != ERR_OK)
        undelete_end(u);
}

static void next_page(struct removal_undelete *u)
{
    in_lane(u, page_run, page_loaded);
}

/* --- the order, to everybody --- */

static void orders_sent(void *user, enum err e, const struct removal_orders_summary *summary,
                        const struct errmsg *msg)
{
    struct removal_undelete *u = user;
    u->orders = NULL;
    u->e = e;
    u->msg = *msg;
    u->summary.orders_answered = summary->answered;
    u->summary.orders_waiting = summary->waiting;
    if (e != ERR_OK)
        undelete_end(u);
    else
        next_page(u);
}

static void gathered(struct removal_undelete *u)
{
    if (u->document_count == 0) { /* nothing was ever forgotten, or all is back */
        undelete_end(u);
        return;
    }
    u->e = removal_orders_send(u->vault, orders_sent, u, &u->orders, &u->msg);
    if (u->e != ERR_OK)
        undelete_end(u);
}

static enum err find_peers(struct removal_undelete *u)
{
    const size_t count = swarm_member_count(u->vault->swarm);
    u->peers = calloc(count + 1, sizeof(*u->peers)); /* the first: the coordinator, zero */
    u->page = calloc(PAGE, sizeof(*u->page));
    enum err e = u->peers && u->page ? vault_members_copy(u->vault, &u->members) : ERR_NOMEM;
    if (e == ERR_OK) {
        u->answered = calloc(u->members.count + 1, sizeof(*u->answered));
        e = u->answered ? ERR_OK : ERR_NOMEM;
    }
    u->peer_count = 1;
    for (size_t i = 0; e == ERR_OK && i < count; i++) {
        struct swarm_member member;
        swarm_member(u->vault->swarm, i, &member);
        u->peers[u->peer_count++] = member.id;
    }
    return e;
}

enum err removal_undelete_start(struct vault *vault, const struct removal_undelete_options *options,
                                const struct removal_undelete_events *events, void *user,
                                struct removal_undelete **out, struct errmsg *msg)
{
    if (vault->access != VAULT_WRITE || !vault->swarm)
        return err_say(msg, ERR_STATE, "the vault is not open for writing");
    enum err e = vault_deed_allowed(vault, msg);
    if (e != ERR_OK)
        return e;
    struct removal_undelete *u = calloc(1, sizeof(*u));
    if (!u)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *u = (struct removal_undelete){
        .vault = vault, .options = *options, .events = *events, .user = user};
    e = find_peers(u);
    if (e != ERR_OK) {
        vault_members_free(&u->members);
        free(u->answered);
        free(u->peers);
        free(u->page);
        free(u);
        return err_say(msg, e, "out of memory");
    }
    in_lane(u, gather_run, gathered);
    *out = u;
    return ERR_OK;
}

void removal_undelete_cancel(struct removal_undelete *u)
{
    u->cancelled = true;
    if (u->orders)
        removal_orders_cancel(u->orders);
    if (u->have)
        swarm_have_cancel(u->have);
    if (u->edit)
        heads_edit_cancel(u->edit);
}
