/*
 * The order of things:
 *
 *     plan a batch (lane) ─▶ fetch and write ─▶ links, directories ─▶ ... ─▶ sync ─▶ done
 *                              all released        (pool)           the last one's
 *
 * The next batch is planned, and its segments are fetched, while the first one is written; they
 * end one after the other. Whatever ends the restore before its time, what is under way is awaited.
 */
#include "restore/restore_internal.h"

#include <stdlib.h>

enum { TICK_MS = 100 };

static void restore_free(struct restore *r)
{
    restore_plan_free(r);
    restore_tools_free(r);
    restore_fetch_free(r);
    transfer_reader_free(r->reader);
    if (r->sync_lane)
        work_lane_free(r->vault->ports.work, r->sync_lane);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* Problems that jobs have noted, told on the loop. */
static void tell_notes(struct restore *r)
{
    pthread_mutex_lock(&r->lock);
    struct restore_note *notes = r->notes;
    r->notes = NULL;
    r->notes_end = &r->notes;
    pthread_mutex_unlock(&r->lock);
    while (notes) {
        struct restore_note *note = notes;
        notes = note->next;
        if (!r->cancelled || note->e != ERR_CANCELLED)
            r->events.problem(r->user, note->minor ? ERR_OK : note->e,
                              slice_of(note->path, note->size), note->msg.text);
        free(note);
    }
}

static void fill_summary(struct restore *r, struct restore_summary *out)
{
    *out = (struct restore_summary){
        .snapshot = r->snapshot.id,
        .files_restored = atomic_load(&r->files_done),
        .files_skipped = atomic_load(&r->skipped),
        .files_deleted = atomic_load(&r->deleted),
        .files_failed = atomic_load(&r->failed),
        .files_lost = atomic_load(&r->lost),
        .bytes_restored = atomic_load(&r->bytes_done),
        .bytes_fetched = r->fetched_bytes + transfer_reader_fetched_bytes(r->reader),
        .total_duration_ms = clock_mono_ms(r->vault->ports.clock) - r->started_ms,
    };
}

static void restore_end(struct restore *r, enum err e, const struct errmsg *why)
{
    struct restore_summary summary;
    const struct errmsg msg = *why;
    timer_stop(r->vault->ports.clock, &r->ticker);
    tell_notes(r);
    fill_summary(r, &summary);
    const struct restore_events events = r->events;
    void *user = r->user;
    restore_free(r);
    events.done(user, e, &summary, &msg);
}

static void tick(struct timer *timer)
{
    struct restore *r = container_of(timer, struct restore, ticker);
    const struct snapshot_totals *totals = &r->snapshot.snapshot.totals;
    const struct restore_progress progress = {
        .files_done = atomic_load(&r->files_done) + atomic_load(&r->skipped),
        .bytes_done = atomic_load(&r->bytes_done),
        .files_total = r->planned ? totals->files + totals->others : 0,
        .bytes_total = r->planned ? totals->bytes : 0,
    };
    tell_notes(r);
    if (r->events.progress)
        r->events.progress(r->user, &progress);
    err_ignore(timer_start(r->vault->ports.clock, &r->ticker, TICK_MS));
}

/* --- what is written is made durable on the way, so that the end has little left to wait for ---
 */

static void sync_run(struct work_job *job)
{
    struct restore *r = container_of(job, struct restore, sync_job);
    if (r->sync_e == ERR_OK) /* the kernel tells of an error once */
        r->sync_e = fs_target_sync(r->target, &r->sync_msg);
}

static void sync_done(struct work_job *job)
{
    struct restore *r = container_of(job, struct restore, sync_job);
    r->sync_busy = false;
    restore_go_on(r);
}

static void sync_on_the_way(struct restore *r)
{
    const uint64_t bytes = atomic_load(&r->bytes_done);
    if (r->sync_busy || r->options.dry_run || restore_fetch_idle(r) ||
        bytes - r->synced_bytes < RESTORE_SYNC_BYTES)
        return; /* idle: the sync at the end comes next */
    r->synced_bytes = bytes;
    r->sync_busy = true;
    r->sync_job = (struct work_job){.run = sync_run, .done = sync_done};
    work_submit(r->vault->ports.work, r->sync_lane, &r->sync_job);
}

/* --- the end of a batch, and of all --- */

static void batch_end_run(struct work_job *job)
{
    struct restore *r = container_of(job, struct restore, job);
    restore_batch_end(r, container_of(r->batches.next, struct restore_batch, link));
}

static void batch_end_done(struct work_job *job)
{
    struct restore *r = container_of(job, struct restore, job);
    r->ending = false;
    r->batch_count--;
    restore_batch_free(container_of(list_pop(&r->batches), struct restore_batch, link));
    tell_notes(r);
    restore_go_on(r);
}

static void end_run(struct work_job *job)
{
    struct restore *r = container_of(job, struct restore, job);
    r->e = r->sync_e;
    if (r->e != ERR_OK)
        r->msg = r->sync_msg;
    else if (!r->options.dry_run)
        r->e = fs_target_sync(r->target, &r->msg);
}

static void end_done(struct work_job *job)
{
    struct restore *r = container_of(job, struct restore, job);
    restore_end(r, r->e, &r->msg);
}

/* Nothing is under way. */
static void end(struct restore *r)
{
    if (r->cancelled) {
        err_ignore(err_say(&r->msg, ERR_CANCELLED, "interrupted"));
        restore_end(r, ERR_CANCELLED, &r->msg);
    } else if (atomic_load(&r->fatal) != ERR_OK) {
        const struct errmsg msg = r->fatal_msg;
        restore_end(r, (enum err)atomic_load(&r->fatal), &msg);
    } else if (r->e != ERR_OK) {
        restore_end(r, r->e, &r->msg);
    } else {
        r->ending = true;
        r->job = (struct work_job){.run = end_run, .done = end_done};
        work_submit(r->vault->ports.work, NULL, &r->job);
    }
}

/* --- what happens next --- */

static void count_dry_run(struct restore *r, struct restore_batch *batch)
{
    for (size_t i = 0; i < batch->use_count; i++) {
        atomic_fetch_add(&r->bytes_done, batch->uses[i].plain_bytes);
        restore_release(batch->uses[i].file);
    }
    batch->next_use = batch->use_count;
    batch->left = 0;
}

static void planned(void *user, enum err e, const struct errmsg *msg)
{
    struct restore *r = user;
    r->planning = false;
    r->planned = r->planned || e == ERR_OK;
    if (e != ERR_OK) {
        r->over = true;
        r->e = e;
        r->msg = *msg;
    } else if (r->batch->planned) {
        r->over = r->walked;
        if (r->options.dry_run)
            count_dry_run(r, r->batch);
        list_append(&r->batches, &r->batch->link);
        r->batch_count++;
        r->last_limit = r->batch->limit;
        r->batch = NULL;
    }
    restore_go_on(r);
}

/* Goes on with planning when there is room for one more batch. */
static void plan_more(struct restore *r)
{
    if (r->planning || r->over || (!r->batch && r->batch_count >= RESTORE_BATCHES))
        return;
    if (r->cancelled || atomic_load(&r->fatal) != ERR_OK) {
        r->over = true;
        return;
    }
    if (!r->batch)
        r->batch = restore_batch_new(r->last_limit);
    r->planning = r->batch != NULL;
    r->e = r->batch ? transfer_reader_run(r->reader, restore_plan, planned, r, &r->msg)
                    : err_say(&r->msg, ERR_NOMEM, "out of memory");
    if (r->e != ERR_OK) {
        r->planning = false;
        r->over = true;
    }
}

void restore_go_on(struct restore *r)
{
    restore_fetch_more(r);
    plan_more(r);
    sync_on_the_way(r);
    if (r->ending)
        return;
    const struct restore_batch *first =
        list_empty(&r->batches) ? NULL : container_of(r->batches.next, struct restore_batch, link);
    if (first && first->left == 0) {
        r->ending = true;
        r->job = (struct work_job){.run = batch_end_run, .done = batch_end_done};
        work_submit(r->vault->ports.work, NULL, &r->job);
    } else if (!first && r->over && !r->planning && !r->sync_busy) {
        end(r);
    }
}

enum err restore_start(struct vault *vault, const struct restore_options *options,
                       const struct restore_events *events, void *user, struct restore **out,
                       struct errmsg *msg)
{
    if (options->delete_others && (options->include || options->exclude))
        return err_say(msg, ERR_USAGE, "--delete goes with neither --include nor --exclude");
    struct restore *r = calloc(1, sizeof(*r));
    if (!r)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *r = (struct restore){
        .vault = vault,
        .options = *options,
        .events = *events,
        .user = user,
        .started_ms = clock_mono_ms(vault->ports.clock),
        .root = BUF_INIT(SNAPSHOT_ENTRY_BYTES_MAX),
        .root_path = BUF_INIT(TRANSFER_TREE_PATH_MAX),
        .ticker = {.fire = tick},
    };
    pthread_mutex_init(&r->lock, NULL);
    list_init(&r->flight);
    list_init(&r->batches);
    r->notes_end = &r->notes;
    r->sync_lane = work_lane_new(vault->ports.work, "sync");
    enum err e = r->sync_lane ? ERR_OK : err_say(msg, ERR_NOMEM, "out of memory");
    if (e == ERR_OK)
        e = transfer_reader_new(vault, RESTORE_METADATA_BYTES, &r->reader, msg);
    if (e == ERR_OK)
        e = timer_start(vault->ports.clock, &r->ticker, TICK_MS);
    if (e == ERR_OK) {
        plan_more(r);
        e = r->e;
        *msg = e == ERR_OK ? *msg : r->msg;
    }
    if (e != ERR_OK) {
        timer_stop(vault->ports.clock, &r->ticker);
        restore_free(r);
        return e;
    }
    *out = r;
    return ERR_OK;
}

void restore_cancel(struct restore *r)
{
    r->cancelled = true;
    transfer_reader_cancel(r->reader);
    restore_fetch_cancel(r);
}
