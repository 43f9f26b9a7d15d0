#include "removal/removal_prune_internal.h"

#include "heads/heads_sync.h"
#include "identity/condemned.h"
#include "removal/removal_mark.h"
#include "removal/removal_orders.h"
#include "removal/removal_repack.h"
#include "vault/vault_deed.h"

#include <stdlib.h>

struct removal_prune {
    struct vault *vault;
    struct removal_prune_options options;
    struct removal_prune_events events;
    void *user;
    struct removal_prune_summary summary;
    struct removal_prune_plan plan;
    struct removal_prune_numbers moved; /* repack and rescue together */
    bool unkept;
    struct removal_mark *mark;
    struct heads_edit *edit;
    struct removal_repack *repack;
    struct removal_orders *orders;
    void (*then)(struct removal_prune *p);
    struct work_job job;
    bool cancelled;
    enum err e;
    struct errmsg msg;
};

static void prune_end(struct removal_prune *p)
{
    const struct errmsg msg = p->msg;
    const struct removal_prune_events events = p->events;
    const struct removal_prune_summary summary = p->summary;
    const enum err e = p->e;
    void *user = p->user;
    removal_prune_plan_free(&p->plan);
    free(p->moved.list);
    free(p);
    events.done(user, e, &summary, &msg);
}

static void stage(struct removal_prune *p, const char *words)
{
    if (p->events.stage)
        p->events.stage(p->user, words);
}

static bool stopped(struct removal_prune *p)
{
    if (p->e == ERR_OK && p->cancelled)
        p->e = err_say(&p->msg, ERR_CANCELLED, "interrupted");
    return p->e != ERR_OK;
}

static void lane_done(struct work_job *job)
{
    struct removal_prune *p = container_of(job, struct removal_prune, job);
    if (!p->edit && stopped(p))
        prune_end(p);
    else
        p->then(p);
}

static void in_lane(struct removal_prune *p, void (*run)(struct work_job *job),
                    void (*then)(struct removal_prune *p))
{
    p->then = then;
    p->job = (struct work_job){.run = run, .done = lane_done};
    work_submit(p->vault->ports.work, p->vault->lane, &p->job);
}

/* --- orders --- */

static void orders_sent(void *user, enum err e, const struct removal_orders_summary *summary,
                        const struct errmsg *msg)
{
    struct removal_prune *p = user;
    p->orders = NULL;
    p->e = e;
    p->msg = *msg;
    p->summary.orders_answered = summary->answered;
    p->summary.orders_waiting = summary->waiting;
    prune_end(p);
}

static void send_orders(struct removal_prune *p)
{
    stage(p, "telling the cells what to delete");
    p->e = removal_orders_send(p->vault, orders_sent, p, &p->orders, &p->msg);
    if (p->e != ERR_OK)
        prune_end(p);
}

static void make_orders(struct work_job *job)
{
    struct removal_prune *p = container_of(job, struct removal_prune, job);
    p->e = removal_prune_acks_order(p->vault, &p->options, &p->summary, &p->msg);
}

/* --- the condemned list, and the head that publishes it --- */

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, ID_SIZE);
}

static enum err collect(struct removal_prune *p, const struct removal_prune_numbers *from,
                        struct id *ids, size_t *count, struct errmsg *msg)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < from->count; i++) {
        struct index_segment row;
        e = index_segment_by_number(p->vault->index, from->list[i], &row, msg);
        ids[(*count)++] = row.id;
    }
    return e;
}

static void exclude(const struct removal_prune *p, struct condemned *condemned)
{
    const struct manifest *m = p->vault->manifest;
    for (size_t i = 0; i < m->device_count; i++)
        if (removal_prune_is_excluded(&p->options, &m->devices[i]))
            condemned->excluded[condemned->excluded_count++] = m->devices[i].slot;
}

static enum err add_list(struct removal_prune *p, struct heads_publish *publish,
                         const struct id *ids, size_t count, struct errmsg *msg)
{
    struct condemned *condemned = calloc(1, sizeof(*condemned));
    struct id *named = calloc(count, sizeof(*named));
    struct buf bytes = BUF_INIT(CONDEMNED_BYTES_MAX);
    struct heads_publish_item *item;
    enum err e = condemned && named ? vault_deed_next(p->vault, &condemned->deed, msg) : ERR_NOMEM;
    if (e == ERR_OK) {
        exclude(p, condemned);
        e = condemned_make(condemned, ids, count, &p->vault->swarm_root, p->vault->device, &bytes);
    }
    if (e == ERR_OK)
        e = heads_publish_add(publish, SEGMENT_CONDEMNED, &bytes, &item);
    if (e == ERR_OK) {
        memcpy(named, ids, count * sizeof(*named));
        item->named = named;
        item->named_count = count;
        item->time_s = condemned->deed.time_s;
        named = NULL;
    }
    buf_free(&bytes);
    free(named);
    free(condemned);
    return e;
}

static enum err prepare(void *user, struct heads_publish *publish, struct errmsg *msg)
{
    struct removal_prune *p = user;
    const size_t all = p->plan.dead.count + p->plan.repack.count;
    struct id *ids = calloc(all + 1, sizeof(*ids));
    size_t count = 0;
    enum err e = ids ? ERR_OK : err_say(msg, ERR_NOMEM, "out of memory for a condemned list");
    if (e == ERR_OK)
        e = collect(p, &p->plan.dead, ids, &count, msg);
    if (e == ERR_OK)
        e = collect(p, &p->plan.repack, ids, &count, msg);
    if (e == ERR_OK)
        qsort(ids, count, sizeof(*ids), compare_ids);
    for (size_t at = 0; e == ERR_OK && at < count; at += CONDEMNED_SEGMENTS_MAX)
        e = add_list(p, publish, ids + at,
                     count - at < CONDEMNED_SEGMENTS_MAX ? count - at : CONDEMNED_SEGMENTS_MAX,
                     msg);
    free(ids);
    return e;
}

static void edited(void *user, enum err e, const struct errmsg *msg)
{
    struct removal_prune *p = user;
    p->edit = NULL;
    p->e = e;
    p->msg = *msg;
    if (stopped(p))
        prune_end(p);
    else
        in_lane(p, make_orders, send_orders);
}

/* --- condemned in the index, then moved --- */

static void repacked(void *user, enum err e, const struct errmsg *msg)
{
    struct removal_prune *p = user;
    p->repack = NULL;
    if (e != ERR_OK || p->cancelled) {
        heads_edit_abandon(p->edit, e == ERR_OK ? ERR_CANCELLED : e, msg);
        return;
    }
    stage(p, "publishing what is condemned");
    heads_edit_publish(p->edit);
}

static void start_repack(struct removal_prune *p)
{
    if (p->e == ERR_OK && p->moved.count > 0) {
        stage(p, "repacking");
        p->e = removal_repack_start(p->vault, heads_edit_writer(p->edit), p->moved.list,
                                    p->moved.count, repacked, p, &p->repack, &p->msg);
        if (p->e == ERR_OK)
            return;
    }
    if (p->e != ERR_OK || p->cancelled)
        heads_edit_abandon(p->edit, p->e == ERR_OK ? ERR_CANCELLED : p->e, &p->msg);
    else
        heads_edit_publish(p->edit);
}

static enum err condemn(struct removal_prune *p, const struct removal_prune_numbers *numbers)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < numbers->count; i++)
        e = index_segment_condemn(p->vault->index, numbers->list[i], &p->msg);
    return e;
}

static void condemn_run(struct work_job *job)
{
    struct removal_prune *p = container_of(job, struct removal_prune, job);
    struct index *index = p->vault->index;
    p->e = index_begin(index, &p->msg);
    if (p->e != ERR_OK)
        return;
    p->e = index_dirs_doubt_unmarked(index, &p->msg);
    if (p->e == ERR_OK)
        p->e = condemn(p, &p->plan.dead);
    if (p->e == ERR_OK)
        p->e = condemn(p, &p->plan.repack);
    if (p->e == ERR_OK)
        p->e = index_commit(index, &p->msg);
    else
        index_rollback(index);
}

/* --- the plan --- */

static enum err join_moved(struct removal_prune *p)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < p->plan.rescue.count; i++)
        e = removal_prune_numbers_add(&p->moved, p->plan.rescue.list[i]);
    for (size_t i = 0; e == ERR_OK && i < p->plan.repack.count; i++)
        e = removal_prune_numbers_add(&p->moved, p->plan.repack.list[i]);
    return e;
}

static void plan_run(struct work_job *job)
{
    struct removal_prune *p = container_of(job, struct removal_prune, job);
    p->e = removal_prune_plan_make(p->vault, &p->options, &p->plan, &p->summary, &p->msg);
    if (p->e == ERR_OK)
        p->e = join_moved(p);
    if (p->e == ERR_OK)
        p->e = removal_prune_acks_unkept(p->vault, &p->unkept, &p->msg);
}

static void planned(struct removal_prune *p)
{
    const struct heads_edit_options options = {.prepare = prepare, .done = edited, .user = p};
    if (p->options.dry_run) {
        prune_end(p);
        return;
    }
    if (p->plan.dead.count + p->moved.count == 0 && !p->unkept) {
        in_lane(p, make_orders, send_orders);
        return;
    }
    p->e = heads_edit_new(p->vault, &options, &p->edit, &p->msg);
    if (p->e != ERR_OK)
        prune_end(p);
    else
        in_lane(p, condemn_run, start_repack);
}

static void marked(void *user, enum err e, const struct errmsg *msg)
{
    struct removal_prune *p = user;
    p->mark = NULL;
    p->e = e;
    p->msg = *msg;
    if (stopped(p))
        prune_end(p);
    else
        in_lane(p, plan_run, planned);
}

static void start_mark(struct removal_prune *p)
{
    stage(p, "reading what is needed");
    p->e = removal_mark_start(p->vault, marked, p, &p->mark, &p->msg);
    if (p->e != ERR_OK)
        prune_end(p);
}

static void tidy_run(struct work_job *job)
{
    struct removal_prune *p = container_of(job, struct removal_prune, job);
    p->e = removal_prune_plan_tidy(p->vault, &p->msg);
}

/* --- the others' heads: even when none are known, for it is from here that one learns of them ---
 */

/* A snapshot that cannot be seen cannot be marked: what it needs would be condemned. */
static enum err check_all_read(struct removal_prune *p, const struct heads_sync_summary *summary)
{
    const struct manifest *m = p->vault->manifest;
    for (size_t i = 0; i < m->device_count; i++) {
        const struct manifest_device *device = &m->devices[i];
        for (uint32_t at = 0; at < summary->unread; at++)
            if (summary->unread_slots[at] == device->slot &&
                !removal_prune_is_excluded(&p->options, device))
                return err_say(&p->msg, ERR_NOT_ENOUGH,
                               "some of what device %u (%s) has published cannot be had now, and "
                               "what it needs is not known: nothing is deleted",
                               device->slot, device->name);
    }
    return ERR_OK;
}

static void synced(void *user, enum err e, const struct heads_sync_summary *summary,
                   const struct errmsg *msg)
{
    struct removal_prune *p = user;
    p->e = e;
    p->msg = *msg;
    if (e == ERR_OK)
        p->e = check_all_read(p, summary);
    if (stopped(p))
        prune_end(p);
    else
        in_lane(p, tidy_run, start_mark);
}

static void say_problem(void *user, enum err e, const char *sentence)
{
    struct removal_prune *p = user;
    (void)e;
    log_say(p->vault->ports.log, LOG_WARN, "%s", sentence);
}

/* Parity shards of the level in force. While too many cells sleep to place it, nothing is gained by
   re-encoding. */
static unsigned level_to_reach(const struct vault *vault)
{
    struct swarm_survey survey;
    unsigned k, m;
    vault_level(vault, &k, &m);
    swarm_survey(vault->swarm, &survey);
    return survey.domains_up >= k + m ? m : 0;
}

enum err removal_prune_start(struct vault *vault, const struct removal_prune_options *options,
                             const struct removal_prune_events *events, void *user,
                             struct removal_prune **out, struct errmsg *msg)
{
    if (vault->access != VAULT_WRITE || !vault->swarm)
        return err_say(msg, ERR_STATE, "the vault is not open for writing");
    static const struct heads_sync_events sync = {.problem = say_problem, .done = synced};
    enum err e = vault_deed_allowed(vault, msg);
    if (e != ERR_OK)
        return e;
    struct removal_prune *p = calloc(1, sizeof(*p));
    if (!p)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *p = (struct removal_prune){
        .vault = vault, .options = *options, .events = *events, .user = user};
    p->summary.hold_s = vault->manifest->hold_s;
    p->plan.level_m = level_to_reach(vault);
    e = heads_sync_start(vault, &sync, p, msg);
    if (e != ERR_OK) {
        free(p);
        return e;
    }
    *out = p;
    return ERR_OK;
}

void removal_prune_cancel(struct removal_prune *p)
{
    p->cancelled = true;
    if (p->mark)
        removal_mark_cancel(p->mark);
    if (p->repack)
        removal_repack_cancel(p->repack);
    if (p->edit)
        heads_edit_cancel(p->edit);
    if (p->orders)
        removal_orders_cancel(p->orders);
}
