/*
 * One frame for each directory that is entered and not left:
 *
 *     enter ──▶ its scan (fs_scan.h): names, sorted; the first of them looked at ──▶ deliver by
 * name ▲                                                    │ │ └─ a directory: a frame above └────
 * the next of them are looked at ◀───────────────┘
 *
 * What fails: a directory that cannot be opened or listed is entered, complained about and left; a
 * name that cannot be looked at is a complaint in its place.
 */
#include "fs/fs_walk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fs/fs_scan.h"

enum {
    BATCH_EVENTS = 1024,
    NAME_ROOM = FS_SCAN_NAME_MAX + 1, /* a name's bytes with its NUL, at most */
    WINDOW_MAX = 8192,
    WINDOW_MIN = 256,
    AHEAD_MAX = 65536, /* entries looked at and not delivered, of all frames */
};

struct frame {
    struct fs_dir *dir;          /* a reference */
    struct fs_list names;        /* what is to be delivered, by name */
    size_t at;                   /* of `names` */
    struct fs_scan_name *window; /* owned; of names[window_first] on */
    size_t window_first, window_count;
    size_t path_size;             /* of its own path in walk->path */
    size_t root_first, root_last; /* partial: the roots below it */
    uint64_t device, inode;
    uint64_t root_device; /* of the root it lies below */
    bool partial;
};

struct fs_walk {
    struct fs_tree *tree;
    struct fs_names *users; /* NULL: no names */
    struct fs_walk_roots roots;
    struct fs_scan_rules rules; /* markers are owned */
    struct fs_scan_queue queue;
    bool started;
    struct frame *frames;
    size_t frame_count, frame_capacity;
    size_t ahead_count;
    struct buf path; /* of the directory on top, without a slash at its end */
};

/* A batch with the memory of its names behind it. */
struct batch {
    struct fs_batch is;
    size_t names_used;
    struct fs_event events[BATCH_EVENTS];
    char names[BATCH_EVENTS * NAME_ROOM];
};

/* --- options --- */

static enum err add_marker(struct fs_walk *walk, const char *name, size_t name_size,
                           const char *header)
{
    struct fs_scan_marker *marker = &walk->rules.markers[walk->rules.marker_count++];
    marker->name = strndup(name, name_size);
    marker->header = strdup(header);
    return marker->name && marker->header ? ERR_OK : ERR_NOMEM;
}

static enum err add_markers(struct fs_walk *walk, const struct fs_walk_options *options)
{
    walk->rules.markers =
        calloc(options->exclude_if_present_count + 1, sizeof(*walk->rules.markers));
    if (!walk->rules.markers)
        return ERR_NOMEM;
    enum err e = ERR_OK;
    for (size_t i = 0; i < options->exclude_if_present_count && e == ERR_OK; i++) {
        const char *text = options->exclude_if_present[i], *colon = strchr(text, ':');
        e = add_marker(walk, text, colon ? (size_t)(colon - text) : strlen(text),
                       colon ? colon + 1 : "");
    }
    if (e == ERR_OK && options->exclude_caches) /* https://bford.info/cachedir/ */
        e = add_marker(walk, "CACHEDIR.TAG", 12, "Signature: 8a477f597d28d172789f06886806bc55");
    return e;
}

enum err fs_walk_open(const struct fs_walk_options *options, struct fs_walk **out,
                      struct errmsg *msg)
{
    if (options->root_count == 0)
        return err_say(msg, ERR_USAGE, "nothing was named to back up");
    struct fs_walk *walk = calloc(1, sizeof(*walk));
    if (!walk)
        return ERR_NOMEM;
    walk->path = BUF_INIT(SIZE_MAX);
    walk->rules.exclude = options->exclude;
    walk->rules.one_file_system = options->one_file_system;
    fs_scan_queue_init(&walk->queue, &walk->rules);
    enum err e = fs_walk_roots_resolve(options->roots, options->root_count, &walk->roots, msg);
    if (e == ERR_OK)
        e = add_markers(walk, options);
    if (e == ERR_OK && !options->no_names)
        e = fs_names_new(&walk->users);
    if (e == ERR_OK)
        e = fs_tree_open("/", 0, &walk->tree, msg);
    if (e != ERR_OK) {
        fs_walk_close(walk);
        return e;
    }
    *out = walk;
    return ERR_OK;
}

size_t fs_walk_roots(const struct fs_walk *walk, const char *const **out)
{
    *out = (const char *const *)walk->roots.paths;
    return walk->roots.count;
}

/* Of directories in it that were not entered something is left only when the walk ends early. */
static void drop_window(struct fs_walk *walk, struct frame *frame)
{
    for (size_t i = 0; i < frame->window_count; i++)
        fs_scan_free(&walk->queue, frame->window[i].scan);
    free(frame->window);
    walk->ahead_count -= frame->window_count;
    frame->window = NULL;
    frame->window_count = 0;
}

static void pop_frame(struct fs_walk *walk)
{
    struct frame *frame = &walk->frames[--walk->frame_count];
    drop_window(walk, frame);
    fs_list_free(&frame->names);
    fs_dir_release(frame->dir);
}

void fs_walk_close(struct fs_walk *walk)
{
    if (!walk)
        return;
    while (walk->frame_count > 0)
        pop_frame(walk);
    free(walk->frames);
    fs_tree_close(walk->tree);
    fs_names_free(walk->users);
    fs_walk_roots_free(&walk->roots);
    fs_scan_queue_destroy(&walk->queue);
    for (size_t i = 0; i < walk->rules.marker_count; i++) {
        free(walk->rules.markers[i].name);
        free(walk->rules.markers[i].header);
    }
    free(walk->rules.markers);
    buf_free(&walk->path);
    free(walk);
}

/* --- events --- */

void fs_batch_free(struct fs_batch *given)
{
    if (!given)
        return;
    struct batch *batch = container_of(given, struct batch, is);
    for (size_t i = 0; i < given->count; i++) {
        fs_dir_release(given->events[i].dir);
        free((char *)(uintptr_t)given->events[i].problem);
    }
    free(batch);
}

static struct fs_event *add_event(struct batch *batch, enum fs_event_kind kind, struct fs_dir *dir,
                                  struct slice name)
{
    assert(batch->is.count < BATCH_EVENTS && name.size < NAME_ROOM);
    char *copy = batch->names + batch->names_used;
    if (name.size > 0)
        memcpy(copy, name.data, name.size);
    copy[name.size] = 0;
    batch->names_used += name.size + 1;
    struct fs_event *event = &batch->events[batch->is.count++];
    *event = (struct fs_event){.kind = kind, .dir = fs_dir_ref(dir)};
    event->entry.name = slice_of(copy, name.size);
    event->entry.user = event->entry.group = "";
    return event;
}

/* All but the name, which stands in the event. */
static void fill_entry(struct fs_walk *walk, const struct fs_entry *found, struct fs_event *event)
{
    const struct slice name = event->entry.name;
    event->entry = *found;
    event->entry.name = name;
    event->entry.user = event->entry.group = "";
    if (walk->users) {
        event->entry.user = fs_names_of(walk->users, FS_NAMES_USER, found->uid);
        event->entry.group = fs_names_of(walk->users, FS_NAMES_GROUP, found->gid);
    }
}

/* ERR_NOMEM when the sentence cannot be kept. */
static enum err add_problem(struct batch *batch, struct fs_dir *dir, struct slice name, enum err e,
                            const char *sentence)
{
    struct fs_event *event =
        add_event(batch, FS_EVENT_PROBLEM, dir, name.size < NAME_ROOM ? name : slice_of(NULL, 0));
    event->error = e;
    event->problem = strdup(sentence);
    return event->problem ? ERR_OK : ERR_NOMEM;
}

/* --- entering --- */

/* The last frame of the walk is not moved while it is used: frames grow before one is pushed. */
static struct frame *push_frame(struct fs_walk *walk)
{
    if (walk->frame_count == walk->frame_capacity) {
        size_t capacity = walk->frame_capacity ? walk->frame_capacity * 2 : 64;
        struct frame *frames = reallocarray(walk->frames, capacity, sizeof(*frames));
        if (!frames)
            return NULL;
        walk->frames = frames;
        walk->frame_capacity = capacity;
    }
    struct frame *frame = &walk->frames[walk->frame_count];
    *frame = (struct frame){.names = FS_LIST_INIT};
    return frame;
}

/* Where a name that leads to roots ends in the root's path. */
static struct slice next_name(const char *root, size_t path_size)
{
    const char *name = root + path_size;
    name += *name == '/';
    return slice_of(name, strcspn(name, "/"));
}

/* Names of a partial directory: what its roots have next in their paths. */
static enum err list_partial(struct fs_walk *walk, struct frame *frame)
{
    size_t count = frame->root_last - frame->root_first, size = 0;
    for (size_t i = frame->root_first; i < frame->root_last; i++)
        size += next_name(walk->roots.paths[i], frame->path_size).size + 1;
    frame->names.names = calloc(count, sizeof(*frame->names.names));
    frame->names.text = malloc(size);
    if (!frame->names.names || !frame->names.text)
        return ERR_NOMEM;
    struct fs_list *list = &frame->names;
    for (size_t i = frame->root_first; i < frame->root_last; i++) {
        struct slice name = next_name(walk->roots.paths[i], frame->path_size);
        if (list->count > 0 && slice_equal(fs_list_at(list, list->count - 1), name))
            continue;
        list->names[list->count++] = (struct fs_list_name){
            .offset = (uint32_t)list->text_size,
            .size = (uint16_t)name.size,
        };
        memcpy(list->text + list->text_size, name.data, name.size);
        list->text[list->text_size + name.size] = 0;
        list->text_size += name.size + 1;
    }
    return ERR_OK;
}

/* A file system that shows a directory inside itself would never end. */
static bool lies_in_itself(const struct fs_walk *walk, const struct frame *frame)
{
    for (size_t i = 0; i < walk->frame_count; i++)
        if (walk->frames[i].inode == frame->inode && walk->frames[i].device == frame->device)
            return true;
    return false;
}

static enum err add_error(struct batch *batch, struct fs_dir *dir, enum err e, const char *sentence)
{
    return add_problem(batch, dir, slice_of(NULL, 0), e, sentence);
}

/* What the scan has found becomes the frame's. */
static enum err take_scan(struct fs_walk *walk, struct frame *frame, struct fs_scan *scan,
                          struct batch *batch)
{
    char text[FS_PATH_TEXT_SIZE];
    struct errmsg msg;
    fs_scan_get(&walk->queue, scan);
    if (scan->e != ERR_OK)
        return scan->e;
    if (!scan->closed && lies_in_itself(walk, frame)) {
        (void)fs_dir_path_text(frame->dir, slice_of(NULL, 0), text);
        (void)err_say(&msg, ERR_UNSUPPORTED, "%s contains itself and is not entered again", text);
        return add_error(batch, frame->dir, ERR_UNSUPPORTED, msg.text);
    }
    frame->names = scan->names;
    frame->window = scan->window;
    frame->window_count = scan->window_count;
    walk->ahead_count += scan->window_count;
    batch->is.excluded += scan->excluded;
    scan->names = FS_LIST_INIT;
    scan->window = NULL;
    scan->window_count = 0;
    return scan->problem ? add_error(batch, frame->dir, scan->error, scan->problem) : ERR_OK;
}

static struct frame *top(struct fs_walk *walk)
{
    return &walk->frames[walk->frame_count - 1];
}

/* Enters the directory `name` of the frame on top (NULL: "/"), whose path is in walk->path: up to
   two events. `found` is what it is; `scan` is taken over in any case. */
static enum err enter(struct fs_walk *walk, struct batch *batch, struct fs_scan *scan,
                      struct slice name, const struct fs_entry *found,
                      const struct frame *new_roots)
{
    struct frame *frame = push_frame(walk);
    if (!frame) {
        fs_scan_free(&walk->queue, scan);
        return ERR_NOMEM;
    }
    struct fs_event *event = add_event(batch, FS_EVENT_ENTER, scan->dir, name);
    fill_entry(walk, found, event);
    event->partial = new_roots->partial;
    *frame = *new_roots;
    frame->dir = fs_dir_ref(scan->dir);
    frame->device = found->device;
    frame->inode = found->inode;
    frame->path_size = walk->path.size;
    enum err e = frame->partial ? list_partial(walk, frame) : take_scan(walk, frame, scan, batch);
    fs_scan_free(&walk->queue, scan);
    walk->frame_count++;
    return e;
}

/* --- looking ahead --- */

/* Looks at the next names of the frame. */
static enum err look_ahead(struct fs_walk *walk, struct frame *frame)
{
    size_t left = frame->names.count - frame->at, count = WINDOW_MIN;
    drop_window(walk, frame);
    if (walk->ahead_count + WINDOW_MIN < AHEAD_MAX)
        count = AHEAD_MAX - walk->ahead_count;
    count = count > WINDOW_MAX ? WINDOW_MAX : count;
    count = count > left ? left : count;
    frame->window = malloc(count * sizeof(*frame->window));
    if (!frame->window)
        return ERR_NOMEM;
    const enum err e = fs_scan_look(&walk->rules, frame->dir, frame->root_device, &frame->names,
                                    frame->at, count, frame->window);
    frame->window_first = frame->at;
    frame->window_count = count;
    walk->ahead_count += count;
    if (e == ERR_OK && !frame->partial)
        fs_scan_want(&walk->queue, frame->window, count);
    return e;
}

/* --- delivering --- */

static enum err append_name(struct fs_walk *walk, struct slice name)
{
    enum err e = buf_append(&walk->path, "/", 1);
    return e == ERR_OK ? buf_append(&walk->path, name.data, name.size) : e;
}

/* Which roots lie at or below `name` of the partial frame; the frame of a directory of that name.
   Returns whether it is left out by the patterns (a root may be; its parents never are). */
static bool find_roots(const struct fs_walk *walk, const struct frame *frame, struct slice name,
                       const struct fs_entry *found, struct frame *out)
{
    size_t first = frame->root_first;
    while (!slice_equal(next_name(walk->roots.paths[first], frame->path_size), name))
        first++;
    size_t last = first;
    while (last < frame->root_last &&
           slice_equal(next_name(walk->roots.paths[last], frame->path_size), name))
        last++;
    out->root_first = first;
    out->root_last = last;
    const char *path = walk->roots.paths[first];
    out->partial = path[walk->path.size] != 0;
    out->root_device = found->device;
    return !out->partial && fs_exclude_matches(walk->rules.exclude, slice_text(path));
}

/* The next name of the frame on top: at most two events. */
static enum err deliver(struct fs_walk *walk, struct batch *batch)
{
    struct frame *frame = top(walk);
    struct fs_scan_name *found = &frame->window[frame->at - frame->window_first];
    struct slice name = fs_list_at(&frame->names, frame->at++);
    struct frame below = {.names = FS_LIST_INIT, .root_device = frame->root_device};
    char text[FS_PATH_TEXT_SIZE];
    struct errmsg msg = {{0}};
    if (found->problem) {
        (void)err_say_errno(&msg, found->problem, "cannot look at %s",
                            fs_dir_path_text(frame->dir, name, text));
        enum err e = found->problem == ESTALE ? ERR_STALE : err_from_errno(found->problem);
        return add_problem(batch, frame->dir, name, e, msg.text);
    }
    walk->path.size = frame->path_size;
    enum err e = append_name(walk, name);
    if (e != ERR_OK)
        return e;
    if (frame->partial && find_roots(walk, frame, name, &found->entry, &below)) {
        batch->is.excluded++;
        return ERR_OK;
    }
    if (found->scan) {
        const struct fs_entry entry = found->entry;
        struct fs_scan *scan = found->scan;
        found->scan = NULL;
        if (frame->partial) { /* nobody has wanted it yet; a root is on no other file system */
            scan->root_device = below.root_device;
            scan->closed = false;
        }
        return enter(walk, batch, scan, name, &entry, &below);
    }
    if (below.partial) { /* a parent of a root became something else */
        (void)err_say(&msg, ERR_STALE, "%s is not a directory any more",
                      fs_dir_path_text(frame->dir, name, text));
        return add_problem(batch, frame->dir, name, ERR_STALE, msg.text);
    }
    fill_entry(walk, &found->entry, add_event(batch, FS_EVENT_ENTRY, frame->dir, name));
    return ERR_OK;
}

static void leave(struct fs_walk *walk, struct batch *batch)
{
    (void)add_event(batch, FS_EVENT_LEAVE, top(walk)->dir, slice_of(NULL, 0));
    pop_frame(walk);
    if (walk->frame_count > 0)
        walk->path.size = top(walk)->path_size;
}

static enum err start(struct fs_walk *walk, struct batch *batch)
{
    struct statx st;
    struct fs_entry found = {0};
    struct frame frame = {.names = FS_LIST_INIT, .root_last = walk->roots.count};
    walk->started = true;
    if (statx(AT_FDCWD, "/", 0, STATX_BASIC_STATS, &st) != 0)
        return err_from_errno(errno);
    fs_entry_from_statx(&st, &found);
    frame.partial = strcmp(walk->roots.paths[0], "/") != 0;
    frame.root_device = found.device;
    struct fs_scan *scan =
        fs_scan_new(&walk->rules, fs_tree_root(walk->tree), found.device, found.device);
    return scan ? enter(walk, batch, scan, slice_of(NULL, 0), &found, &frame) : ERR_NOMEM;
}

bool fs_walk_scout(struct fs_walk *walk)
{
    bool any = false;
    while (fs_scan_first(&walk->queue))
        any = true;
    return any;
}

enum err fs_walk_next(struct fs_walk *walk, struct fs_batch **out, struct errmsg *msg)
{
    struct batch *batch = malloc(sizeof(*batch)); /* its pages are touched as they are used */
    if (!batch)
        return err_say(msg, ERR_NOMEM, "out of memory for the walk");
    batch->is = (struct fs_batch){.events = batch->events};
    batch->names_used = 0;
    enum err e = walk->started ? ERR_OK : start(walk, batch);
    while (e == ERR_OK && walk->frame_count > 0 && batch->is.count + 2 <= BATCH_EVENTS) {
        struct frame *frame = top(walk);
        if (frame->at == frame->names.count)
            leave(walk, batch);
        else if (frame->at == frame->window_first + frame->window_count)
            e = look_ahead(walk, frame);
        else
            e = deliver(walk, batch);
    }
    batch->is.last = walk->frame_count == 0;
    if (e != ERR_OK) {
        fs_batch_free(&batch->is);
        return err_say(msg, e, "out of memory for the walk");
    }
    *out = &batch->is;
    return ERR_OK;
}
