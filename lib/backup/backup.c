/*
 * The happy path: the walk's batches get their cached rows in the lane, the loop compares, what
 * changed is read; when the root directory is done everything is flushed and published.
 *
 * Failing: backup_fail() keeps the first error and starts nothing more; what is under way comes
 * back; when nothing is, done() is called.
 */
#include "backup/backup_internal.h"
#include "crypto/kdf.h"
#include "placement/placement_level.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void backup_fail(struct backup *b, enum err e, const struct errmsg *msg)
{
    if (b->e != ERR_OK)
        return;
    b->e = e;
    b->msg = *msg;
    if (b->publish)
        heads_publish_stop(b->publish, e, msg);
    if (b->writer)
        transfer_writer_stop(b->writer);
    if (b->options.stream)
        b->options.stream->stop(b->options.stream->user);
}

static void no_memory(struct backup *b)
{
    struct errmsg msg;
    backup_fail(b, err_say(&msg, ERR_NOMEM, "out of memory"), &msg);
}

void backup_problem(struct backup *b, enum err e, struct fs_dir *dir, struct slice name,
                    const char *sentence)
{
    struct buf path = BUF_INIT(1 << 20);
    b->summary.problems += e != ERR_OK;
    if (fs_dir_path(dir, name, &path) == ERR_OK && buf_append_u8(&path, 0) == ERR_OK)
        b->events.problem(b->user, e, slice_of(path.data, path.size - 1), sentence);
    buf_free(&path);
}

void backup_tell_change(struct backup *b, const struct backup_file *file)
{
    struct buf path = BUF_INIT(1 << 20);
    if (!b->events.change)
        return;
    if (fs_dir_path(file->dir->fs, file->entry.name, &path) == ERR_OK) {
        const bool is_file = file->entry.type == FS_FILE;
        b->events.change(b->user, &(struct backup_change){.path = buf_slice(&path),
                                                          .known = file->known,
                                                          .is_file = is_file,
                                                          .size = is_file ? file->entry.size : 0});
    }
    buf_free(&path);
}

void backup_note(struct backup *b, struct fs_dir *dir, struct slice name, const char *what)
{
    struct errmsg msg;
    char text[FS_PATH_TEXT_SIZE];
    err_ignore(err_say(&msg, ERR_OK, "%s %s", fs_dir_path_text(dir, name, text), what));
    backup_problem(b, ERR_OK, dir, name, msg.text);
}

/* --- small things that jobs need --- */

struct backup_hasher *backup_hasher_take(struct backup *b)
{
    struct list *node = list_pop(&b->hashers);
    if (node)
        return container_of(node, struct backup_hasher, link);
    struct backup_hasher *hasher = calloc(1, sizeof(*hasher));
    if (hasher &&
        keyed_hash_new(b->vault->secrets->account.chunk_id_key, &hasher->hash) == ERR_OK) {
        list_init(&hasher->link);
        return hasher;
    }
    free(hasher);
    no_memory(b);
    return NULL;
}

void backup_hasher_return(struct backup *b, struct backup_hasher *hasher)
{
    if (hasher)
        list_append(&b->hashers, &hasher->link);
}

static void chunks_free(struct backup_chunks *chunks)
{
    transfer_chunks_clear(&chunks->chunks);
    free(chunks);
}

static void chunks_done(struct transfer_batch *batch)
{
    struct backup_chunks *chunks = container_of(batch, struct backup_chunks, chunks.batch);
    struct backup *b = chunks->backup;
    b->chunks_out--;
    chunks_free(chunks);
    backup_pump(b);
}

enum err backup_chunks_new(struct backup *b, enum index_kind kind, struct backup_chunks **out)
{
    struct backup_chunks *chunks = calloc(1, sizeof(*chunks));
    if (!chunks)
        return ERR_NOMEM;
    chunks->backup = b;
    transfer_chunks_init(&chunks->chunks, b->writer, kind);
    chunks->chunks.batch.done = chunks_done;
    *out = chunks;
    return ERR_OK;
}

enum err backup_chunks_add(struct backup_chunks *chunks, struct keyed_hash *hash, uint8_t type,
                           struct slice plain, struct id *out_id)
{
    return transfer_chunks_add(&chunks->chunks, hash, type, plain, out_id);
}

void backup_chunks_put(struct backup_chunks *chunks)
{
    if (!chunks)
        return;
    struct backup *b = chunks->backup;
    if (chunks->chunks.batch.count == 0 || b->e != ERR_OK) {
        chunks_free(chunks);
        return;
    }
    transfer_chunks_ready(&chunks->chunks);
    b->chunks_out++;
    transfer_writer_put(b->writer, &chunks->chunks.batch);
}

/* --- the walk --- */

static void step_free(struct backup_step *step)
{
    for (size_t i = 0; step->batch && step->has && i < step->batch->count; i++)
        if (step->has[i])
            index_dir_free(&step->rows[i]);
    fs_batch_free(step->batch);
    free(step->rows);
    free(step->has);
    free(step);
}

static void process_step(struct work_job *job)
{
    struct backup_step *step = container_of(job, struct backup_step, job);
    struct backup *b = step->backup;
    b->steps_out--;
    if (step->e != ERR_OK)
        backup_fail(b, step->e, &step->msg);
    const bool last = step->batch->last;
    for (size_t i = 0; b->e == ERR_OK && i < step->batch->count; i++) {
        struct index_dir *row = step->has[i] ? &step->rows[i] : NULL;
        step->has[i] = false; /* taken over */
        backup_tree_event(b, &step->batch->events[i], row);
    }
    step_free(step);
    if (last)
        b->walked = b->progress.walked = true;
    backup_pump(b);
}

/* One directory's row, if it has one. */
static enum err fetch_row(struct backup_step *step, size_t at, struct slice path)
{
    struct index *index = step->backup->vault->index;
    struct index_dir *row = &step->rows[at];
    enum err e = index_dir_get(index, path, row, &step->msg);
    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    step->has[at] = e == ERR_OK;
    return e == ERR_OK && row->doubtful ? backup_doubt_settle(index, path, row, &step->msg) : e;
}

/* In the lane: what the directories that are entered looked like last time. */
static void fetch_rows(struct work_job *job)
{
    struct backup_step *step = container_of(job, struct backup_step, job);
    struct index *index = step->backup->vault->index;
    struct buf path = BUF_INIT(1 << 20);
    step->e = index_begin_reading(index, &step->msg);
    const bool begun = step->e == ERR_OK;
    for (size_t i = 0; step->e == ERR_OK && i < step->batch->count; i++) {
        const struct fs_event *event = &step->batch->events[i];
        if (event->kind != FS_EVENT_ENTER)
            continue;
        buf_clear(&path);
        step->e = fs_dir_path(event->dir, slice_of(NULL, 0), &path);
        if (step->e == ERR_OK)
            step->e = fetch_row(step, i, buf_slice(&path));
    }
    if (step->e == ERR_OK)
        step->e = index_commit(index, &step->msg);
    else if (begun)
        index_rollback(index);
    buf_free(&path);
}

static void start_walking(struct backup *b);

static void walked(struct work_job *job)
{
    struct backup_step *step = container_of(job, struct backup_step, job);
    struct backup *b = step->backup;
    b->walking = false;
    if (step->e == ERR_OK && b->e == ERR_OK) {
        step->rows = calloc(step->batch->count + 1, sizeof(*step->rows));
        step->has = calloc(step->batch->count + 1, sizeof(*step->has));
        if (!step->rows || !step->has)
            step->e = err_say(&step->msg, ERR_NOMEM, "out of memory for the walk");
    }
    if (step->e != ERR_OK || b->e != ERR_OK) {
        if (step->e != ERR_OK)
            backup_fail(b, step->e, &step->msg);
        b->steps_out--;
        step_free(step);
        backup_pump(b);
        return;
    }
    const bool last = step->batch->last;
    job->run = fetch_rows;
    job->done = process_step;
    work_submit(b->vault->ports.work, b->vault->lane, job);
    if (last)
        b->ending = true;
    start_walking(b);
}

static void walk_on(struct work_job *job)
{
    struct backup_step *step = container_of(job, struct backup_step, job);
    step->e = fs_walk_next(step->backup->walk, &step->batch, &step->msg);
}

static void scout(struct work_job *job)
{
    (void)fs_walk_scout(container_of(job, struct backup, scout_job)->walk);
}

static void scouted(struct work_job *job)
{
    struct backup *b = container_of(job, struct backup, scout_job);
    b->scouting = false;
    backup_pump(b);
}

/* Beside each step of the walk another thread looks at what comes next. */
static void start_scout(struct backup *b)
{
    if (b->scouting)
        return;
    b->scouting = true;
    b->scout_job = (struct work_job){.run = scout, .done = scouted};
    work_submit(b->vault->ports.work, NULL, &b->scout_job);
}

static void start_walking(struct backup *b)
{
    if (b->walking || b->ending || b->e != ERR_OK || b->steps_out >= BACKUP_STEPS ||
        b->file_count > BACKUP_WAITING_FILES || b->dirs_out > BACKUP_DIRS_OUT)
        return;
    struct backup_step *step = calloc(1, sizeof(*step));
    if (!step) {
        no_memory(b);
        return;
    }
    step->backup = b;
    step->job.run = walk_on;
    step->job.done = walked;
    b->walking = true;
    b->steps_out++;
    work_submit(b->vault->ports.work, NULL, &step->job);
    start_scout(b);
}

/* --- the end --- */

static void clear_run(struct backup *b)
{
    heads_publish_free(b->publish);
    for (struct list *node; (node = list_pop(&b->hashers));) {
        struct backup_hasher *hasher = container_of(node, struct backup_hasher, link);
        keyed_hash_free(hasher->hash);
        free(hasher);
    }
    backup_file_free_all(b);
    backup_rows_free(b);
    backup_tree_free(b);
    transfer_writer_free(b->writer);
    fs_walk_close(b->walk);
    fs_tree_close(b->stream_tree);
    buf_free(&b->root);
    secret_free(b->chunker);
}

static void free_backup(struct backup *b)
{
    clear_run(b);
    free(b);
}

/* Of a run that had to be made again: what it stored counts, and what it found to be new. */
static void add_earlier(struct backup *b)
{
    const struct backup_summary *first = &b->earlier;
    struct backup_summary *s = &b->summary;
    s->files_new = first->files_new;
    s->files_changed = first->files_changed;
    s->files_unmodified = first->files_unmodified;
    s->dirs_new = first->dirs_new;
    s->dirs_changed = first->dirs_changed;
    s->dirs_unmodified = first->dirs_unmodified;
    s->data_blobs += first->data_blobs;
    s->tree_blobs += first->tree_blobs;
    s->data_added += first->data_added;
    s->data_added_packed += first->data_added_packed;
    s->bytes_sent += first->bytes_sent;
    s->debts += first->debts;
    if (first->cells_used > s->cells_used)
        s->cells_used = first->cells_used;
    if (first->margin_min < s->margin_min)
        s->margin_min = first->margin_min;
}

static void take_totals(struct backup *b)
{
    struct transfer_writer_totals totals = {.margin_min = INT32_MAX};
    if (b->writer)
        transfer_writer_totals(b->writer, &totals);
    struct backup_summary *s = &b->summary;
    s->data_blobs = totals.data_chunks;
    s->tree_blobs = totals.tree_chunks;
    s->data_added = totals.plain_bytes;
    s->data_added_packed = totals.sealed_bytes;
    s->bytes_sent = totals.sent_bytes;
    s->debts = totals.debts;
    s->cells_used = totals.cells;
    s->margin_min = totals.margin_min;
    if (b->again > 0)
        add_earlier(b);
    s->total_files_processed = s->files_new + s->files_changed + s->files_unmodified;
    s->total_bytes_processed = b->progress.bytes_done;
    s->total_duration_ms = (clock_mono_ns(b->vault->ports.clock) - b->started_ns) / 1000000;
}

static bool idle(const struct backup *b)
{
    return b->steps_out == 0 && b->dirs_out == 0 && b->readings_out == 0 && b->lookups_out == 0 &&
           b->chunks_out == 0 && !b->row_busy && !b->scouting;
}

static void backup_end(struct backup *b)
{
    timer_stop(b->vault->ports.clock, &b->timer);
    take_totals(b);
    b->events.done(b->user, b->e, &b->summary, &b->msg);
    free_backup(b);
}

static void run_again(struct backup *b);

/* As a job, so that done() never comes from inside a call of the owner's or of the writer's. */
static void end_job_done(struct work_job *job)
{
    struct backup *b = container_of(job, struct backup, row_job);
    if (b->e == ERR_STALE && b->publish && heads_publish_overtaken(b->publish) &&
        b->again < BACKUP_AGAIN_MAX && !b->options.stream)
        run_again(b);
    else
        backup_end(b);
}

static void end_soon(void *user)
{
    struct backup *b = user;
    b->row_job.done = end_job_done;
    work_post(b->vault->ports.work, &b->row_job);
}

void backup_flushed(struct backup *b)
{
    b->flushed = true;
    if (b->row_busy)
        return; /* again when the rows are in the index */
    b->flushed = false;
    if (b->e != ERR_OK) {
        end_soon(b);
        return;
    }
    b->publishing = true;
    heads_publish_start(b->publish);
}

void backup_published(struct backup *b)
{
    end_soon(b);
}

static void flushed(void *user)
{
    backup_flushed(user);
}

void backup_pump(struct backup *b)
{
    if (b->finished)
        return;
    if (b->e == ERR_OK) {
        backup_rows_checkpoint(b);
        start_walking(b);
        backup_file_pump(b);
    }
    const bool complete = b->walked && b->rooted && b->file_count == 0 && b->files_active == 0;
    if (!idle(b) || (b->e == ERR_OK && !complete))
        return;
    b->finished = true;
    if (b->writer)
        transfer_writer_flush(b->writer, flushed, b);
    else
        end_soon(b);
}

static void writer_failed(void *user, enum err e, const struct errmsg *msg)
{
    struct backup *b = user;
    if (b->e != ERR_OK)
        return;
    b->e = e;
    b->msg = *msg;
    if (b->publish)
        heads_publish_stop(b->publish, e, msg);
    if (b->options.stream)
        b->options.stream->stop(b->options.stream->user);
}

static void writer_safe(void *user)
{
    backup_rows_safe(user);
}

static void writer_committed(void *user, const struct transfer_writer_committed *segment)
{
    backup_publish_note(user, segment);
    backup_rows_committed(user, segment->row->kind);
}

static void tick(struct timer *timer)
{
    struct backup *b = container_of(timer, struct backup, timer);
    struct transfer_writer_totals totals = {0};
    if (b->writer)
        transfer_writer_totals(b->writer, &totals);
    b->progress.bytes_sent = totals.sent_bytes;
    b->events.progress(b->user, &b->progress);
    if (timer_start(b->vault->ports.clock, timer, BACKUP_PROGRESS_MS) != ERR_OK)
        log_say(b->vault->ports.log, LOG_WARN, "no timer for the progress");
}

void backup_cancel(struct backup *b)
{
    struct errmsg msg;
    (void)err_say(&msg, ERR_CANCELLED, "interrupted; the next run goes on from here");
    backup_fail(b, ERR_CANCELLED, &msg);
}

/* --- the start --- */

/* As a job, so that a dry run of a stream, which has nothing to wait for, does not end here. */
static void pump_job_done(struct work_job *job)
{
    backup_pump(container_of(job, struct backup, row_job));
}

static void start_soon(struct backup *b)
{
    b->row_job.done = pump_job_done;
    work_post(b->vault->ports.work, &b->row_job);
}

static enum err make_chunker(struct backup *b, struct errmsg *msg)
{
    uint8_t *table = secret_new(CHUNKER_KEY_SIZE);
    b->chunker = secret_new(sizeof(*b->chunker));
    enum err e = table && b->chunker ? ERR_OK : ERR_NOMEM;
    struct chunker_limits limits = CHUNKER_LIMITS_DEFAULT;
    const uint32_t most = b->writer ? transfer_writer_chunk_max(b->writer) : limits.max_bytes;
    limits.max_bytes = most < limits.max_bytes ? most : limits.max_bytes;
    if (e == ERR_OK) {
        kdf_stream(b->vault->secrets->account.cut_point_key, "cellar/chunker", table,
                   CHUNKER_KEY_SIZE);
        e = chunker_init(b->chunker, slice_of(table, CHUNKER_KEY_SIZE), &limits);
    }
    secret_free(table);
    return e == ERR_OK ? e : err_say(msg, e, "cannot prepare to cut files");
}

static enum err make_writer(struct backup *b, struct errmsg *msg)
{
    struct slice head;
    uint64_t sequence = 0;
    struct vault *vault = b->vault;
    const bool risk = b->options.accept_risk;
    struct errmsg why = {{0}};
    enum err e = swarm_enough(vault->swarm, b->summary.k, risk ? 0 : b->summary.m, &why);
    if (e != ERR_OK)
        return err_say(msg, e, "%s%s", why.text, risk ? "" : "; --accept-risk makes do with fewer");
    e = index_head_get(vault->index, vault_device(vault), &sequence, &head, msg);
    if (e != ERR_OK && e != ERR_NOT_FOUND)
        return e;
    const struct transfer_writer_options options = {
        .k = b->summary.k,
        .m = b->summary.m,
        .accept_risk = risk,
        .sequence = sequence + 1,
        .failed = writer_failed,
        .committed = writer_committed,
        .safe = writer_safe,
        .user = b,
    };
    return transfer_writer_new(vault, &options, &b->writer, msg);
}

static enum err open_walk(struct backup *b, struct errmsg *msg)
{
    const struct backup_options *o = &b->options;
    if (o->stream)
        return backup_stream_check(o->stream->path, msg);
    const struct fs_walk_options options = {
        .roots = o->paths,
        .root_count = o->path_count,
        .exclude = o->exclude,
        .exclude_if_present = o->exclude_if_present,
        .exclude_if_present_count = o->exclude_if_present_count,
        .exclude_caches = o->exclude_caches,
        .one_file_system = o->one_file_system,
    };
    return fs_walk_open(&options, &b->walk, msg);
}

/* The level in force; or, where too few households are awake to commit under it, the one that those
   allow: less safe, and said, is better than no backup. Where somebody asked for this k+m, only
   with their word. */
static void settle_level(struct backup *b)
{
    struct backup_summary *s = &b->summary;
    struct swarm_survey survey;
    vault_level(b->vault, &s->k, &s->m);
    swarm_survey(b->vault->swarm, &survey);
    const unsigned enough = b->options.accept_risk ? s->k : swarm_commit_count(s->k, s->m);
    if (s->k == 0 || survey.domains_up == 0 || survey.domains_up >= enough ||
        (vault_level_is_fixed(b->vault) && !b->options.accept_risk))
        return;
    const struct placement_level level = placement_level_for(survey.domains_up);
    s->k = level.k;
    s->m = level.m;
    s->below_level = true;
}

static void set_up(struct backup *b, struct vault *vault, const struct backup_options *options,
                   const struct backup_events *events, void *user)
{
    const unsigned threads = work_threads(vault->ports.work);
    *b = (struct backup){
        .vault = vault,
        .options = *options,
        .events = *events,
        .user = user,
        .checkpoint_ms = clock_mono_ms(vault->ports.clock),
        .timer = {.fire = tick},
        .root = BUF_INIT(SNAPSHOT_ENTRY_BYTES_MAX),
        .readings_max = threads + 1 < BACKUP_READINGS_MAX ? threads + 1 : BACKUP_READINGS_MAX,
        .small_bytes = CHUNK_MIN_BYTES,
        .rows_push_bytes = BACKUP_ROWS_BYTES,
        .summary = {.k = options->k, .m = options->m},
    };
    list_init(&b->dirs);
    list_init(&b->files);
    list_init(&b->bigs);
    list_init(&b->readings);
    list_init(&b->hashers);
    list_init(&b->rows);
    list_init(&b->row_list);
}

static enum err begin_run(struct backup *b, struct errmsg *msg)
{
    const struct backup_options *options = &b->options;
    if (options->k == 0)
        settle_level(b);
    enum err e = b->summary.k == 0 && !options->dry_run
                     ? err_say(msg, ERR_NOT_ENOUGH,
                               "there is no cell of another household in the swarm yet: invite one "
                               "(\"coordinatord invite --cell\")")
                     : open_walk(b, msg);
    if (e == ERR_OK && !options->dry_run)
        e = make_writer(b, msg);
    if (e == ERR_OK && !options->dry_run)
        e = backup_publish_new(b, msg);
    if (e == ERR_OK)
        e = make_chunker(b, msg);
    return e;
}

/* Another device has condemned something that this run may refer to, and its own cached directories
   are in doubt by now. From the start: what was stored is known, so only what is condemned is sent
   again. */
static void run_again(struct backup *b)
{
    const struct timer timer = b->timer;
    const struct backup_options options = b->options;
    const struct backup_events events = b->events;
    const uint64_t started_ns = b->started_ns;
    const unsigned again = b->again + 1;
    take_totals(b);
    const struct backup_summary earlier = b->summary;
    timer_stop(b->vault->ports.clock, &b->timer);
    clear_run(b);
    set_up(b, b->vault, &options, &events, b->user);
    b->timer = (struct timer){.fire = timer.fire};
    b->started_ns = started_ns;
    b->again = again;
    b->earlier = earlier;
    enum err e = begin_run(b, &b->msg);
    if (e == ERR_OK && events.progress)
        e = timer_start(b->vault->ports.clock, &b->timer, BACKUP_PROGRESS_MS);
    b->e = e;
    if (e == ERR_OK)
        start_walking(b);
    else
        end_soon(b);
}

enum err backup_start(struct vault *vault, const struct backup_options *options,
                      const struct backup_events *events, void *user, struct backup **out,
                      struct errmsg *msg)
{
    if (vault->access != VAULT_WRITE || !vault->swarm)
        return err_say(msg, ERR_STATE, "the vault is not open for writing");
    struct backup *b = calloc(1, sizeof(*b));
    if (!b)
        return err_say(msg, ERR_NOMEM, "out of memory");
    set_up(b, vault, options, events, user);
    b->started_ns = clock_mono_ns(vault->ports.clock);
    enum err e = begin_run(b, msg);
    if (e == ERR_OK && events->progress)
        e = timer_start(vault->ports.clock, &b->timer, BACKUP_PROGRESS_MS);
    if (e == ERR_OK && options->stream)
        e = backup_stream_start(b, msg);
    if (e != ERR_OK) {
        timer_stop(vault->ports.clock, &b->timer);
        free_backup(b);
        return e;
    }
    *out = b;
    if (options->stream)
        start_soon(b);
    else
        start_walking(b);
    return ERR_OK;
}
