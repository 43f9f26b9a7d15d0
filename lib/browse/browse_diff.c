#include "browse/browse_diff_internal.h"

#include "browse/browse_ids.h"
#include "vault/vault_snapshots.h"

#include <stdlib.h>

#define CACHE_BYTES MIB(48)

/* One of the two walks. */
struct side {
    struct transfer_tree *tree;
    struct transfer_tree_event event;
    bool here, ended; /* here: `event` is not told yet */
    /* the pieces of what was just told */
    struct transfer_content content;
    bool in_content, of_tree;
    struct browse_ids *blobs; /* owned; with blob_value() */
    struct browse_diff_side counts;
};

struct browse_diff {
    struct vault *vault;
    struct browse_diff_options options;
    struct transfer_reader *reader;
    struct vault_snapshots all;
    struct side sides[2]; /* old, new */
    bool loaded;
    struct side *draining; /* below what only this side has; NULL: side by side */
    unsigned drain_depth;
    struct buf path; /* with its '/' */
    struct browse_diff_summary summary;
};

/* --- pure --- */

static int compare(struct slice a, struct slice b)
{
    const size_t size = a.size < b.size ? a.size : b.size;
    const int order = size ? memcmp(a.data, b.data, size) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

enum browse_diff_turn browse_diff_turn(const struct transfer_tree_event *old_event,
                                       const struct transfer_tree_event *new_event)
{
    if (!old_event || !new_event)
        return old_event ? BROWSE_DIFF_OLD : new_event ? BROWSE_DIFF_NEW : BROWSE_DIFF_END;
    if (old_event->kind == TRANSFER_TREE_PROBLEM)
        return BROWSE_DIFF_OLD;
    if (new_event->kind == TRANSFER_TREE_PROBLEM)
        return BROWSE_DIFF_NEW;
    /* leaving comes behind everything that is in the directory */
    const bool old_leaves = old_event->kind == TRANSFER_TREE_LEAVE;
    const bool new_leaves = new_event->kind == TRANSFER_TREE_LEAVE;
    if (old_leaves || new_leaves)
        return !new_leaves ? BROWSE_DIFF_NEW : !old_leaves ? BROWSE_DIFF_OLD : BROWSE_DIFF_BOTH;
    const int order = compare(old_event->entry.name, new_event->entry.name);
    return order < 0 ? BROWSE_DIFF_OLD : order > 0 ? BROWSE_DIFF_NEW : BROWSE_DIFF_BOTH;
}

static bool same_content(const struct snapshot_entry *a, const struct snapshot_entry *b)
{
    return a->content.depth == b->content.depth && slice_equal(a->content.refs, b->content.refs) &&
           a->sparse == b->sparse && slice_equal(a->runs, b->runs) &&
           a->runs_ref.bytes == b->runs_ref.bytes && id_equal(&a->runs_ref.id, &b->runs_ref.id) &&
           slice_equal(a->target, b->target);
}

/* All but the content: the entries' bytes without it. */
static enum err same_metadata(struct snapshot_entry a, struct snapshot_entry b, bool *out)
{
    struct buf first = BUF_INIT(SNAPSHOT_ENTRY_BYTES_MAX);
    struct buf second = BUF_INIT(SNAPSHOT_ENTRY_BYTES_MAX);
    a.content = b.content;
    a.sparse = b.sparse;
    a.runs = b.runs;
    a.runs_ref = b.runs_ref;
    a.target = b.target;
    enum err e = snapshot_entry_encode(&a, &first);
    if (e == ERR_OK)
        e = snapshot_entry_encode(&b, &second);
    *out = e == ERR_OK && slice_equal(buf_slice(&first), buf_slice(&second));
    buf_free(&first);
    buf_free(&second);
    return e;
}

enum err browse_diff_modifier(const struct snapshot_entry *old_entry,
                              const struct snapshot_entry *new_entry, bool metadata,
                              char out[BROWSE_DIFF_MODIFIER_SIZE])
{
    bool same = true;
    size_t size = 0;
    enum err e = ERR_OK;
    if (old_entry->type != new_entry->type)
        out[size++] = 'T';
    if (old_entry->type == new_entry->type && new_entry->type != SNAPSHOT_TYPE_DIRECTORY &&
        !same_content(old_entry, new_entry)) {
        out[size++] = 'M';
        e = same_metadata(*old_entry, *new_entry, &same);
        if (e == ERR_OK && same)
            out[size++] = '?';
    } else if (metadata) {
        e = same_metadata(*old_entry, *new_entry, &same);
        if (e == ERR_OK && !same)
            out[size++] = 'U';
    }
    out[size] = 0;
    return e;
}

/* --- what was told: counts and pieces --- */

static void count_entry(struct browse_diff_side *counts, const struct snapshot_entry *entry)
{
    if (entry->type == SNAPSHOT_TYPE_FILE)
        counts->files++;
    else if (entry->type == SNAPSHOT_TYPE_DIRECTORY)
        counts->dirs++;
    else
        counts->others++;
}

/* A piece's bytes and whether it is a tree's; never 0. */
static uintptr_t blob_value(uint64_t bytes, bool of_tree)
{
    return (uintptr_t)(bytes << 2 | (of_tree ? 2 : 0) | 1);
}

static void blobs_unknown(struct browse_diff *d, const struct errmsg *why)
{
    if (d->summary.blobs_known)
        d->summary.blobs_why = *why;
    d->summary.blobs_known = false;
}

static enum err begin_content(struct side *side)
{
    const struct snapshot_entry *entry = &side->event.entry;
    if (entry->type != SNAPSHOT_TYPE_FILE && entry->type != SNAPSHOT_TYPE_DIRECTORY)
        return ERR_OK;
    side->of_tree = entry->type == SNAPSHOT_TYPE_DIRECTORY;
    const enum err e = transfer_content_start(&side->content, &entry->content);
    side->in_content = e == ERR_OK;
    return e;
}

/* All pieces of what `side` has just told, into its set. */
static enum err take_content(struct browse_diff *d, struct side *side, struct errmsg *msg)
{
    struct snapshot_ref ref;
    enum err e = ERR_OK;
    while (side->in_content && e == ERR_OK) {
        e = transfer_content_next(&side->content, d->reader, &ref, msg);
        if (e == ERR_BUSY || e == ERR_NOMEM)
            return e;
        if (e == ERR_OK && d->summary.blobs_known)
            e = browse_ids_add(side->blobs, &ref.id, blob_value(ref.bytes, side->of_tree), msg);
        if (e != ERR_OK)
            side->in_content = false;
        if (e != ERR_OK && e != ERR_END)
            blobs_unknown(d, msg);
    }
    return e == ERR_NOMEM ? e : ERR_OK;
}

static void count_blobs(const struct idmap *of, const struct idmap *without,
                        struct browse_diff_side *counts)
{
    const struct id *id;
    size_t at = 0;
    void *value;
    while ((value = idmap_next(of, &at, &id)) != NULL) {
        const uint64_t number = (uintptr_t)value;
        if (idmap_get(without, id))
            continue;
        if (number & 2)
            counts->tree_blobs++;
        else
            counts->data_blobs++;
        counts->bytes += number >> 2;
    }
}

/* Part by part, so that few of them are in memory at once. */
static void count_all_blobs(struct browse_diff *d, struct errmsg *msg)
{
    struct side *a = &d->sides[0], *b = &d->sides[1];
    for (unsigned part = 0; d->summary.blobs_known && part < BROWSE_IDS_PARTS; part++) {
        struct idmap of_a = IDMAP_INIT, of_b = IDMAP_INIT;
        enum err e = browse_ids_part(a->blobs, part, &of_a, msg);
        if (e == ERR_OK)
            e = browse_ids_part(b->blobs, part, &of_b, msg);
        if (e == ERR_OK) {
            count_blobs(&of_a, &of_b, &a->counts);
            count_blobs(&of_b, &of_a, &b->counts);
        } else {
            blobs_unknown(d, msg);
        }
        idmap_free(&of_a);
        idmap_free(&of_b);
    }
    for (unsigned i = 0; !d->summary.blobs_known && i < 2; i++) {
        struct browse_diff_side *counts = &d->sides[i].counts;
        counts->data_blobs = counts->tree_blobs = counts->bytes = 0;
    }
}

/* --- telling --- */

static enum err tell(struct browse_diff *d, const char *modifier, struct slice path, bool directory)
{
    buf_clear(&d->path);
    enum err e = buf_append(&d->path, path.data, path.size);
    if (e == ERR_OK && directory && path.size > 1)
        e = buf_append_u8(&d->path, '/');
    return e == ERR_OK ? d->options.change(d->options.user, modifier, buf_slice(&d->path)) : e;
}

static bool is_entry(const struct transfer_tree_event *event)
{
    return event->kind == TRANSFER_TREE_ENTER || event->kind == TRANSFER_TREE_ENTRY;
}

/* The event of one side that the other does not have. */
static enum err tell_one(struct browse_diff *d, struct side *side)
{
    const struct transfer_tree_event *event = &side->event;
    side->here = false;
    if (event->kind == TRANSFER_TREE_LEAVE && d->draining && event->depth == d->drain_depth)
        d->draining = NULL;
    if (!is_entry(event))
        return ERR_OK;
    if (event->kind == TRANSFER_TREE_ENTER && !d->draining) {
        d->draining = side;
        d->drain_depth = event->depth;
    }
    count_entry(&side->counts, &event->entry);
    const enum err e =
        tell(d, side == &d->sides[0] ? "-" : "+", event->path, event->kind == TRANSFER_TREE_ENTER);
    return e == ERR_OK ? begin_content(side) : e;
}

static enum err tell_both(struct browse_diff *d)
{
    struct side *a = &d->sides[0], *b = &d->sides[1];
    char modifier[BROWSE_DIFF_MODIFIER_SIZE];
    a->here = b->here = false;
    if (!is_entry(&a->event))
        return ERR_OK;
    const bool a_enters = a->event.kind == TRANSFER_TREE_ENTER;
    const bool b_enters = b->event.kind == TRANSFER_TREE_ENTER;
    enum err e =
        browse_diff_modifier(&a->event.entry, &b->event.entry, d->options.metadata, modifier);
    if (e == ERR_OK && modifier[0])
        e = tell(d, modifier, b->event.path, b_enters);
    if (e == ERR_OK && modifier[0] == 'M')
        d->summary.changed_files++;
    const bool same = a_enters && b_enters && same_content(&a->event.entry, &b->event.entry);
    if (a_enters && (same || !b_enters))
        transfer_tree_skip(a->tree);
    if (b_enters && (same || !a_enters))
        transfer_tree_skip(b->tree);
    if (e == ERR_OK && !same)
        e = begin_content(a);
    return e == ERR_OK && !same ? begin_content(b) : e;
}

/* --- the walk --- */

static enum err load_side(struct browse_diff *d, unsigned which, const char *text, struct id *out,
                          struct errmsg *msg)
{
    size_t index;
    enum err e =
        vault_snapshots_pick(&d->all, text, d->options.host, vault_device(d->vault), &index, msg);
    if (e != ERR_OK)
        return e;
    *out = d->all.list[index].id;
    return transfer_tree_new(d->reader, d->all.list[index].snapshot.root, slice_text("/"),
                             &d->sides[which].tree, msg);
}

static enum err load(struct browse_diff *d, struct errmsg *msg)
{
    enum err e = vault_snapshots_load(transfer_reader_index(d->reader), &d->all, msg);
    if (e == ERR_OK)
        e = load_side(d, 0, d->options.old_snapshot, &d->summary.old_snapshot, msg);
    if (e == ERR_OK)
        e = load_side(d, 1, d->options.new_snapshot, &d->summary.new_snapshot, msg);
    d->loaded = e == ERR_OK;
    return e;
}

/* Takes in the pieces of what was told, then the next event. */
static enum err advance(struct browse_diff *d, struct side *side, struct errmsg *msg)
{
    enum err e = take_content(d, side, msg);
    if (e != ERR_OK || side->here || side->ended)
        return e;
    e = transfer_tree_next(side->tree, &side->event, msg);
    side->here = e == ERR_OK;
    side->ended = e == ERR_END;
    if (e == ERR_OK && side->event.kind == TRANSFER_TREE_PROBLEM)
        d->options.problem(d->options.user, side->event.path, side->event.e, msg->text);
    return e == ERR_END ? ERR_OK : e;
}

static enum err step(void *user, struct errmsg *msg)
{
    struct browse_diff *d = user;
    struct side *a = &d->sides[0], *b = &d->sides[1];
    enum err e = d->loaded ? ERR_OK : load(d, msg);
    while (e == ERR_OK) {
        e = advance(d, a, msg);
        if (e == ERR_OK)
            e = advance(d, b, msg);
        if (e != ERR_OK)
            break;
        if (d->draining) {
            e = tell_one(d, d->draining);
            continue;
        }
        switch (browse_diff_turn(a->here ? &a->event : NULL, b->here ? &b->event : NULL)) {
        case BROWSE_DIFF_OLD:
            e = tell_one(d, a);
            break;
        case BROWSE_DIFF_NEW:
            e = tell_one(d, b);
            break;
        case BROWSE_DIFF_BOTH:
            e = tell_both(d);
            break;
        case BROWSE_DIFF_END:
            count_all_blobs(d, msg);
            return ERR_OK;
        }
    }
    return e;
}

/* --- beginning and end --- */

static void diff_free(struct browse_diff *d)
{
    for (unsigned i = 0; i < 2; i++) {
        transfer_tree_free(d->sides[i].tree);
        transfer_content_free(&d->sides[i].content);
        browse_ids_free(d->sides[i].blobs);
    }
    vault_snapshots_free(&d->all);
    transfer_reader_free(d->reader);
    buf_free(&d->path);
    free(d);
}

static void ended(void *user, enum err e, const struct errmsg *why)
{
    struct browse_diff *d = user;
    d->summary.removed = d->sides[0].counts;
    d->summary.added = d->sides[1].counts;
    const struct browse_diff_summary summary = d->summary;
    const struct browse_diff_options options = d->options;
    const struct errmsg msg = *why;
    diff_free(d);
    options.done(options.user, e, &summary, &msg);
}

enum err browse_diff_start(struct vault *vault, const struct browse_diff_options *options,
                           struct browse_diff **out, struct errmsg *msg)
{
    struct browse_diff *d = calloc(1, sizeof(*d));
    if (!d)
        return err_say(msg, ERR_NOMEM, "out of memory");
    d->vault = vault;
    d->options = *options;
    d->summary.blobs_known = true;
    d->path = BUF_INIT(TRANSFER_TREE_PATH_MAX + 1);
    enum err e = browse_ids_new(vault_dir(vault), &d->sides[0].blobs);
    if (e == ERR_OK)
        e = browse_ids_new(vault_dir(vault), &d->sides[1].blobs);
    if (e != ERR_OK)
        (void)err_say(msg, e, "out of memory");
    if (e == ERR_OK)
        e = transfer_reader_new(vault, CACHE_BYTES, &d->reader, msg);
    if (e == ERR_OK)
        e = transfer_reader_run(d->reader, step, ended, d, msg);
    if (e != ERR_OK) {
        diff_free(d);
        return e;
    }
    *out = d;
    return ERR_OK;
}

void browse_diff_cancel(struct browse_diff *d)
{
    transfer_reader_cancel(d->reader);
}
