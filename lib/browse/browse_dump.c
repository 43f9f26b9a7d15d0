#include "browse/browse_dump.h"

#include "browse/browse.h"
#include "vault/vault_parts.h"
#include "vault/vault_snapshots.h"

#include <stdlib.h>

#define CACHE_BYTES MIB(48)

enum {
    PIECE_BYTES = 1 << 20,  /* read and handed over at once */
    AHEAD_BYTES = 8 << 20,  /* of a large file */
    AHEAD_ENTRIES = 16,     /* files of a directory whose first pieces are asked for early */
    WINDOW_BYTES = 1 << 20, /* of data and of metadata: all of it will be wanted */
    PATH_BYTES_MAX = 1 << 20,
    DEPTH_MAX = 4096,
};

/* A directory that is being dumped. */
struct frame {
    struct buf entry; /* owned */
    uint64_t place;   /* of the next entry */
    size_t path_size;
};

/*     FIND ─▶ TELL ─▶ DATA ─▶ WALK ─▶ TELL ...      each may wait for chunks, or for the job
 *      name by name             │ nothing left
 *                               ▼
 *                              END
 */
enum phase { PHASE_FIND, PHASE_TELL, PHASE_DATA, PHASE_WALK, PHASE_END };

struct browse_dump {
    struct vault *vault;
    struct browse_dump_options options;
    vault_done_fn *done;
    void *user;
    struct transfer_cache *cache;
    struct transfer_cache_op op;
    struct work_lane *lane; /* owned */
    struct work_job job;
    bool working, cancelled, ended, single;
    enum phase phase;
    size_t followed;    /* bytes of options.path */
    struct buf current; /* the entry that is told */
    struct buf path;    /* of it */
    struct frame *frames;
    size_t depth, capacity;
    /* content of the current one */
    uint64_t at;
    uint8_t *piece; /* owned: PIECE_BYTES */
    /* what the job is to hand over */
    bool tell, content;
    struct buf runs;
    size_t piece_size;
    enum err e;
    struct errmsg msg;
};

static void run(struct browse_dump *d);

/* --- the end --- */

static void dump_free(struct browse_dump *d)
{
    transfer_cache_free(d->cache);
    work_lane_free(d->vault->ports.work, d->lane);
    for (size_t i = 0; i < d->depth; i++)
        buf_free(&d->frames[i].entry);
    free(d->frames);
    buf_free(&d->current);
    buf_free(&d->path);
    buf_free(&d->runs);
    free(d->piece);
    free(d);
}

static void cache_stopped(void *user)
{
    struct browse_dump *d = user;
    vault_done_fn *done = d->done;
    void *done_user = d->user;
    const struct errmsg msg = d->msg;
    const enum err e = d->e;
    dump_free(d);
    done(done_user, e, &msg);
}

static void end(struct browse_dump *d, enum err e)
{
    if (d->ended)
        return;
    d->ended = true;
    d->e = e;
    transfer_cache_release(d->cache, &d->op);
    transfer_cache_stop(d->cache, cache_stopped, d);
}

/* --- handing over, on the lane --- */

static enum err hand_over(struct browse_dump *d, struct errmsg *msg)
{
    struct snapshot_entry entry;
    enum err e = snapshot_entry_decode(buf_slice(&d->current), &entry, msg);
    if (e == ERR_OK && d->tell) {
        const struct browse_dump_entry told = {
            .path = buf_slice(&d->path), .entry = &entry, .runs = buf_slice(&d->runs)};
        d->content = entry.type == SNAPSHOT_TYPE_FILE;
        e = d->options.entry(d->options.user, &told, &d->content, msg);
    }
    if (e == ERR_OK && d->piece_size > 0 && d->content)
        e = d->options.bytes(d->options.user, slice_of(d->piece, d->piece_size), msg);
    return e;
}

static void job_run(struct work_job *job)
{
    struct browse_dump *d = container_of(job, struct browse_dump, job);
    d->e = hand_over(d, &d->msg);
}

static void job_done(struct work_job *job)
{
    struct browse_dump *d = container_of(job, struct browse_dump, job);
    d->working = false;
    d->at += d->piece_size;
    d->tell = false;
    d->piece_size = 0;
    if (d->cancelled)
        d->e = err_say(&d->msg, ERR_CANCELLED, "interrupted");
    if (d->e != ERR_OK)
        end(d, d->e);
    else
        run(d);
}

static void submit(struct browse_dump *d)
{
    transfer_cache_release(d->cache, &d->op);
    d->working = true;
    d->msg.text[0] = 0;
    d->job = (struct work_job){.run = job_run, .done = job_done};
    work_submit(d->vault->ports.work, d->lane, &d->job);
}

/* --- finding --- */

static enum err set_current(struct browse_dump *d, struct slice bytes)
{
    buf_clear(&d->current);
    return buf_append(&d->current, bytes.data, bytes.size);
}

static enum err set_path(struct browse_dump *d, size_t parent_size, struct slice name)
{
    d->path.size = parent_size;
    enum err e = parent_size == 1 ? ERR_OK : buf_append_u8(&d->path, '/');
    return e == ERR_OK ? buf_append(&d->path, name.data, name.size) : e;
}

/* The next name of the path; size 0 at its end. */
static struct slice next_name(struct browse_dump *d)
{
    const char *path = d->options.path;
    while (path[d->followed] == '/')
        d->followed++;
    return slice_of(path + d->followed, strcspn(path + d->followed, "/"));
}

static enum err find(struct browse_dump *d, struct errmsg *msg)
{
    struct snapshot_entry entry, found;
    struct slice bytes, name;
    uint64_t place;
    while ((name = next_name(d)).size > 0) {
        enum err e = snapshot_entry_decode(buf_slice(&d->current), &entry, msg);
        if (e == ERR_OK && entry.type != SNAPSHOT_TYPE_DIRECTORY)
            e = ERR_END;
        if (e == ERR_OK)
            e = browse_find(d->cache, &d->op, &entry.content, name, &place, &found, &bytes, msg);
        if (e == ERR_END)
            return err_say(msg, ERR_NOT_FOUND, "there is no %s in the snapshot", d->options.path);
        if (e == ERR_OK)
            e = set_path(d, d->path.size, name);
        if (e == ERR_OK)
            e = set_current(d, bytes);
        if (e != ERR_OK)
            return e;
        d->followed += name.size;
        transfer_cache_release(d->cache, &d->op);
    }
    d->phase = PHASE_TELL;
    return snapshot_entry_decode(buf_slice(&d->current), &entry, msg);
}

/* --- walking --- */

static enum err push(struct browse_dump *d)
{
    if (d->depth == DEPTH_MAX)
        return ERR_TOO_LARGE;
    if (d->depth == d->capacity) {
        const size_t capacity = d->capacity ? d->capacity * 2 : 16;
        struct frame *more = realloc(d->frames, capacity * sizeof(*more));
        if (!more)
            return ERR_NOMEM;
        d->frames = more;
        d->capacity = capacity;
    }
    d->frames[d->depth++] =
        (struct frame){.entry = d->current, .place = BROWSE_PLACE_FIRST, .path_size = d->path.size};
    d->current = BUF_INIT(SNAPSHOT_ENTRY_BYTES_MAX);
    return ERR_OK;
}

static void pop(struct browse_dump *d)
{
    buf_free(&d->frames[--d->depth].entry);
}

/* The rest of the directory cannot be had. */
static void give_up_directory(struct browse_dump *d, enum err e, const struct errmsg *msg)
{
    d->path.size = d->frames[d->depth - 1].path_size;
    d->options.problem(d->options.user, buf_slice(&d->path), e, msg->text);
    pop(d);
}

static enum err walk(struct browse_dump *d, struct errmsg *msg)
{
    struct snapshot_entry directory, entry;
    struct slice bytes;
    uint64_t next;
    transfer_cache_release(d->cache, &d->op);
    if (d->depth == 0) {
        d->phase = PHASE_END;
        return ERR_OK;
    }
    struct frame *frame = &d->frames[d->depth - 1];
    enum err e = snapshot_entry_decode(buf_slice(&frame->entry), &directory, msg);
    if (e == ERR_OK)
        e = browse_entry(d->cache, &d->op, &directory.content, &frame->place, &next, &entry, &bytes,
                         msg);
    if (e == ERR_BUSY || e == ERR_NOMEM || e == ERR_CANCELLED)
        return e;
    if (e == ERR_END)
        pop(d);
    else if (e != ERR_OK)
        give_up_directory(d, e, msg);
    if (e != ERR_OK)
        return ERR_OK;
    frame->place = next;
    e = set_path(d, frame->path_size, entry.name);
    if (e == ERR_OK)
        e = set_current(d, bytes);
    d->phase = PHASE_TELL;
    return e;
}

/* The files behind this one in its directory, as far as its node is at hand. */
static void expect_neighbours(struct browse_dump *d)
{
    struct snapshot_entry directory, entry;
    if (d->depth == 0 || snapshot_entry_decode(buf_slice(&d->frames[d->depth - 1].entry),
                                               &directory, NULL) != ERR_OK)
        return;
    uint64_t place = d->frames[d->depth - 1].place, next;
    for (unsigned i = 0; i < AHEAD_ENTRIES; i++, place = next) {
        if (browse_entry(d->cache, &d->op, &directory.content, &place, &next, &entry, NULL, NULL) !=
            ERR_OK)
            return;
        if (entry.type == SNAPSHOT_TYPE_FILE)
            browse_expect(d->cache, &entry, 0, PIECE_BYTES);
    }
}

/* --- an entry and its content --- */

/* The next piece of the current file into d->piece. */
static enum err read_piece(struct browse_dump *d, const struct snapshot_entry *entry,
                           struct errmsg *msg)
{
    enum err e =
        browse_read(d->cache, &d->op, entry, d->at, d->piece, PIECE_BYTES, &d->piece_size, msg);
    browse_expect(d->cache, entry, d->at + PIECE_BYTES, AHEAD_BYTES);
    if (e == ERR_BUSY && entry->size <= PIECE_BYTES)
        expect_neighbours(d);
    if (e == ERR_OK || e == ERR_BUSY || e == ERR_NOMEM || e == ERR_CANCELLED || d->single)
        return e;
    d->options.problem(d->options.user, buf_slice(&d->path), e, msg->text);
    const uint64_t left = entry->size - d->at;
    d->piece_size = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
    memset(d->piece, 0, d->piece_size);
    return ERR_OK;
}

static enum err load_runs(struct browse_dump *d, const struct snapshot_entry *entry,
                          struct errmsg *msg)
{
    struct slice runs = entry->runs;
    enum err e = ERR_OK;
    buf_clear(&d->runs);
    if (entry->sparse && entry->runs_ref.bytes > 0)
        e = transfer_cache_get(d->cache, &d->op, &entry->runs_ref.id, &runs, msg);
    return e == ERR_OK ? buf_append(&d->runs, runs.data, runs.size) : e;
}

/* A small file goes with its content; of a hard link it is asked first whether it is wanted. */
static enum err tell(struct browse_dump *d, struct errmsg *msg)
{
    struct snapshot_entry entry;
    enum err e = snapshot_entry_decode(buf_slice(&d->current), &entry, msg);
    if (e == ERR_OK)
        e = load_runs(d, &entry, msg);
    d->single = d->depth == 0 && e == ERR_OK && entry.type != SNAPSHOT_TYPE_DIRECTORY;
    d->at = 0;
    if (e == ERR_OK && entry.type == SNAPSHOT_TYPE_FILE && entry.links <= 1 &&
        entry.size <= PIECE_BYTES)
        e = read_piece(d, &entry, msg);
    if (e != ERR_OK)
        return e;
    d->phase = PHASE_DATA;
    d->tell = true;
    submit(d);
    return ERR_BUSY;
}

static enum err data(struct browse_dump *d, struct errmsg *msg)
{
    struct snapshot_entry entry;
    enum err e = snapshot_entry_decode(buf_slice(&d->current), &entry, msg);
    if (e != ERR_OK)
        return e;
    if (entry.type == SNAPSHOT_TYPE_FILE && d->content && d->at < entry.size) {
        e = read_piece(d, &entry, msg);
        if (e == ERR_OK) {
            submit(d);
            return ERR_BUSY;
        }
        return e;
    }
    d->phase = PHASE_WALK;
    return entry.type == SNAPSHOT_TYPE_DIRECTORY ? push(d) : ERR_OK;
}

static void run(struct browse_dump *d)
{
    enum err e = ERR_OK;
    d->msg.text[0] = 0;
    while (e == ERR_OK && d->phase != PHASE_END) {
        if (d->phase == PHASE_FIND)
            e = find(d, &d->msg);
        else if (d->phase == PHASE_TELL)
            e = tell(d, &d->msg);
        else if (d->phase == PHASE_DATA)
            e = data(d, &d->msg);
        else
            e = walk(d, &d->msg);
    }
    if (e != ERR_BUSY)
        end(d, e);
}

static void ready(struct transfer_cache_op *op)
{
    run(container_of(op, struct browse_dump, op));
}

/* --- the beginning --- */

static void on_snapshots(void *user, enum err e, const struct vault_snapshots *snapshots,
                         const struct errmsg *why)
{
    struct browse_dump *d = user;
    size_t index = 0;
    d->msg = *why;
    d->working = false;
    if (d->cancelled)
        e = err_say(&d->msg, ERR_CANCELLED, "interrupted");
    if (e == ERR_OK)
        e = vault_snapshots_pick(snapshots, d->options.snapshot, d->options.host,
                                 vault_device(d->vault), &index, &d->msg);
    if (e == ERR_OK)
        e = set_current(d, snapshots->list[index].snapshot.root);
    if (e == ERR_OK)
        e = buf_append_u8(&d->path, '/');
    if (e == ERR_OK)
        run(d);
    else
        end(d, e);
}

enum err browse_dump_start(struct vault *vault, const struct browse_dump_options *options,
                           vault_done_fn *done, void *user, struct browse_dump **out,
                           struct errmsg *msg)
{
    static const struct transfer_cache_options cache = {
        .cache_bytes = CACHE_BYTES, .data_window = WINDOW_BYTES, .metadata_window = WINDOW_BYTES};
    struct browse_dump *d = calloc(1, sizeof(*d));
    if (!d)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *d = (struct browse_dump){
        .vault = vault,
        .options = *options,
        .done = done,
        .user = user,
        .op = {.ready = ready},
        .current = BUF_INIT(SNAPSHOT_ENTRY_BYTES_MAX),
        .path = BUF_INIT(PATH_BYTES_MAX),
        .runs = BUF_INIT(SNAPSHOT_RUNS_MAX * SNAPSHOT_RUN_SIZE),
        .piece = malloc(PIECE_BYTES),
        .lane = work_lane_new(vault->ports.work, "dump"),
        .working = true,
    };
    transfer_cache_op_init(&d->op);
    enum err e = d->piece && d->lane ? ERR_OK : err_say(msg, ERR_NOMEM, "out of memory");
    if (e == ERR_OK)
        e = transfer_cache_new(vault, &cache, &d->cache, msg);
    if (e == ERR_OK)
        e = vault_snapshots(vault, on_snapshots, d, msg);
    if (e != ERR_OK) {
        dump_free(d);
        return e;
    }
    *out = d;
    return ERR_OK;
}

void browse_dump_cancel(struct browse_dump *d)
{
    if (d->cancelled || d->ended)
        return;
    d->cancelled = true;
    if (!d->working)
        end(d, err_say(&d->msg, ERR_CANCELLED, "interrupted"));
}
