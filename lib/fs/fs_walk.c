/*
 * One frame for each directory that is entered and not left:
 *
 *     enter ──▶ list names, sort ──▶ next names (a window): statx in inode order ──▶ deliver by
 *     name │ ▲                                                    │ └─ a directory: a frame above
 *          └──── window is used up ◀──────────────────────────────┘
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

#include "fs/fs_internal.h"

enum {
    BATCH_EVENTS = 1024,
    NAME_ROOM = 256, /* a name's bytes with its NUL, at most */
    WINDOW_MAX = 8192,
    WINDOW_MIN = 256,
    AHEAD_MAX = 65536, /* entries looked at and not delivered, of all frames */
};

/* An entry looked at ahead; `problem` is an errno. */
struct ahead {
    struct statx st;
    int problem;
};

struct frame {
    struct fs_dir *dir;   /* a reference */
    struct fs_list names; /* what is to be delivered, by name */
    size_t at;            /* of `names` */
    struct ahead *window; /* owned; of names[window_first] on */
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
    struct fs_exclude_if_present *markers;
    size_t marker_count;
    const struct fs_exclude *exclude; /* borrowed */
    bool one_file_system, started;
    struct frame *frames;
    size_t frame_count, frame_capacity;
    size_t ahead_count;
    struct buf path; /* of the directory on top, without a slash at its end */
};

/* A name that marks a directory's contents as not wanted. */
struct fs_exclude_if_present {
    char *name;   /* owned */
    char *header; /* owned; "" for any */
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
    struct fs_exclude_if_present *marker = &walk->markers[walk->marker_count++];
    marker->name = strndup(name, name_size);
    marker->header = strdup(header);
    return marker->name && marker->header ? ERR_OK : ERR_NOMEM;
}

static enum err add_markers(struct fs_walk *walk, const struct fs_walk_options *options)
{
    walk->markers = calloc(options->exclude_if_present_count + 1, sizeof(*walk->markers));
    if (!walk->markers)
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
    walk->exclude = options->exclude;
    walk->one_file_system = options->one_file_system;
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

static void pop_frame(struct fs_walk *walk)
{
    struct frame *frame = &walk->frames[--walk->frame_count];
    walk->ahead_count -= frame->window_count;
    free(frame->window);
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
    for (size_t i = 0; i < walk->marker_count; i++) {
        free(walk->markers[i].name);
        free(walk->markers[i].header);
    }
    free(walk->markers);
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

static void fill_entry(struct fs_walk *walk, const struct statx *st, struct fs_entry *entry)
{
    fs_entry_from_statx(st, entry);
    if (walk->users) {
        entry->user = fs_names_of(walk->users, FS_NAMES_USER, entry->uid);
        entry->group = fs_names_of(walk->users, FS_NAMES_GROUP, entry->gid);
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

static bool has_header(int dir_fd, const struct fs_exclude_if_present *marker)
{
    size_t size = strlen(marker->header);
    char found[512];
    if (size == 0)
        return true;
    int fd = fs_entry_open(dir_fd, marker->name, O_RDONLY);
    if (fd < 0)
        return false;
    bool same = size <= sizeof(found) && pread(fd, found, size, 0) == (ssize_t)size &&
                memcmp(found, marker->header, size) == 0;
    close(fd);
    return same;
}

/* Leaves nothing but the marker in a directory that has one. */
static void apply_markers(struct fs_walk *walk, struct frame *frame, int fd, struct batch *batch)
{
    struct fs_list *list = &frame->names;
    for (size_t i = 0; i < walk->marker_count; i++) {
        size_t index = fs_list_find(list, slice_text(walk->markers[i].name));
        if (index == list->count || !has_header(fd, &walk->markers[i]))
            continue;
        batch->is.excluded += list->count - 1;
        list->names[0] = list->names[index];
        list->count = 1;
        return;
    }
}

/* Takes out of the list what the patterns leave out, so that it is not even looked at. */
static enum err apply_patterns(struct fs_walk *walk, struct frame *frame, struct batch *batch)
{
    struct fs_list *list = &frame->names;
    size_t kept = 0, path_size = walk->path.size;
    if (fs_exclude_empty(walk->exclude))
        return ERR_OK;
    for (size_t i = 0; i < list->count; i++) {
        struct slice name = fs_list_at(list, i);
        enum err e = buf_append(&walk->path, "/", 1);
        if (e == ERR_OK)
            e = buf_append(&walk->path, name.data, name.size);
        if (e != ERR_OK)
            return e;
        if (fs_exclude_matches(walk->exclude, buf_slice(&walk->path)))
            batch->is.excluded++;
        else
            list->names[kept++] = list->names[i];
        walk->path.size = path_size;
    }
    list->count = kept;
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

static enum err list_names(struct fs_walk *walk, struct frame *frame, struct batch *batch)
{
    int fd, number = 0;
    char text[FS_PATH_TEXT_SIZE];
    struct errmsg msg = {{0}};
    if (lies_in_itself(walk, frame)) {
        (void)fs_dir_path_text(frame->dir, slice_of(NULL, 0), text);
        (void)err_say(&msg, ERR_UNSUPPORTED, "%s contains itself and is not entered again", text);
        return add_problem(batch, frame->dir, slice_of(NULL, 0), ERR_UNSUPPORTED, msg.text);
    }
    enum err e = fs_dir_pin(frame->dir, &fd, &msg);
    if (e != ERR_OK)
        return e == ERR_NOMEM ? e : add_problem(batch, frame->dir, slice_of(NULL, 0), e, msg.text);
    e = fs_list_read(fd, &frame->names, &number);
    if (number == EBADF) /* it could be opened to be searched only */
        number = EACCES;
    if (e == ERR_OK || number) {
        apply_markers(walk, frame, fd, batch);
        e = apply_patterns(walk, frame, batch);
    }
    fs_dir_unpin(frame->dir);
    if (e != ERR_OK || !number)
        return e;
    (void)err_say_errno(&msg, number, "cannot read the directory %s",
                        fs_dir_path_text(frame->dir, slice_of(NULL, 0), text));
    return add_problem(batch, frame->dir, slice_of(NULL, 0), err_from_errno(number), msg.text);
}

static struct frame *top(struct fs_walk *walk)
{
    return &walk->frames[walk->frame_count - 1];
}

/* Enters the directory `name` of the frame on top (NULL: "/"), whose path is in walk->path: up to
   two events. Takes over the reference to `dir` in any case. */
static enum err enter(struct fs_walk *walk, struct batch *batch, struct fs_dir *dir,
                      struct slice name, const struct statx *st, const struct frame *new_roots)
{
    struct frame *frame = push_frame(walk);
    if (!frame) {
        fs_dir_release(dir);
        return ERR_NOMEM;
    }
    struct fs_event *event = add_event(batch, FS_EVENT_ENTER, dir, name);
    fill_entry(walk, st, &event->entry);
    event->partial = new_roots->partial;
    *frame = *new_roots;
    frame->dir = dir;
    frame->device = event->entry.device;
    frame->inode = event->entry.inode;
    frame->path_size = walk->path.size;
    enum err e;
    bool other = !frame->partial && walk->one_file_system && frame->device != frame->root_device;
    if (frame->partial)
        e = list_partial(walk, frame);
    else if (other)
        e = ERR_OK;
    else
        e = list_names(walk, frame, batch);
    walk->frame_count++;
    return e;
}

/* --- looking ahead --- */

struct by_inode {
    uint64_t inode;
    size_t index;
};

static int compare_inodes(const void *left, const void *right)
{
    uint64_t a = ((const struct by_inode *)left)->inode,
             b = ((const struct by_inode *)right)->inode;
    return (a > b) - (a < b);
}

/* Looks at the next names of the frame. A directory that cannot be opened any more leaves its errno
   with each of them. */
static enum err look_ahead(struct fs_walk *walk, struct frame *frame)
{
    size_t left = frame->names.count - frame->at, count = WINDOW_MIN;
    walk->ahead_count -= frame->window_count;
    if (walk->ahead_count + WINDOW_MIN < AHEAD_MAX)
        count = AHEAD_MAX - walk->ahead_count;
    count = count > WINDOW_MAX ? WINDOW_MAX : count;
    count = count > left ? left : count;
    free(frame->window);
    frame->window_count = 0;
    frame->window = malloc(count * sizeof(*frame->window));
    struct by_inode *order = malloc(count * sizeof(*order));
    if (!frame->window || !order) {
        free(order);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < count; i++)
        order[i] = (struct by_inode){frame->names.names[frame->at + i].inode, i};
    qsort(order, count, sizeof(*order), compare_inodes);
    int fd;
    enum err e = fs_dir_pin(frame->dir, &fd, NULL);
    for (size_t i = 0; i < count; i++) {
        struct ahead *ahead = &frame->window[order[i].index];
        ahead->problem = e == ERR_OK ? 0 : ESTALE;
        struct slice name = fs_list_at(&frame->names, frame->at + order[i].index);
        if (e == ERR_OK && name.size >= NAME_ROOM)
            ahead->problem = ENAMETOOLONG;
        else if (e == ERR_OK &&
                 statx(fd, (const char *)name.data, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
                       STATX_BASIC_STATS, &ahead->st) != 0)
            ahead->problem = errno;
    }
    if (e == ERR_OK)
        fs_dir_unpin(frame->dir);
    free(order);
    frame->window_first = frame->at;
    frame->window_count = count;
    walk->ahead_count += count;
    return ERR_OK;
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
                       const struct statx *st, struct frame *out)
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
    out->root_device = makedev(st->stx_dev_major, st->stx_dev_minor);
    return !out->partial && fs_exclude_matches(walk->exclude, slice_text(path));
}

/* The next name of the frame on top: at most two events. */
static enum err deliver(struct fs_walk *walk, struct batch *batch)
{
    struct frame *frame = top(walk);
    const struct ahead *ahead = &frame->window[frame->at - frame->window_first];
    struct slice name = fs_list_at(&frame->names, frame->at++);
    struct frame below = {.names = FS_LIST_INIT, .root_device = frame->root_device};
    char text[FS_PATH_TEXT_SIZE];
    struct errmsg msg = {{0}};
    if (ahead->problem) {
        (void)err_say_errno(&msg, ahead->problem, "cannot look at %s",
                            fs_dir_path_text(frame->dir, name, text));
        enum err e = ahead->problem == ESTALE ? ERR_STALE : err_from_errno(ahead->problem);
        return add_problem(batch, frame->dir, name, e, msg.text);
    }
    walk->path.size = frame->path_size;
    enum err e = append_name(walk, name);
    if (e != ERR_OK)
        return e;
    if (frame->partial && find_roots(walk, frame, name, &ahead->st, &below)) {
        batch->is.excluded++;
        return ERR_OK;
    }
    if (S_ISDIR(ahead->st.stx_mode)) {
        struct statx st = ahead->st;
        struct fs_dir *dir;
        e = fs_dir_child(frame->dir, name, makedev(st.stx_dev_major, st.stx_dev_minor), st.stx_ino,
                         &dir);
        return e == ERR_OK ? enter(walk, batch, dir, name, &st, &below) : e;
    }
    if (below.partial) { /* a parent of a root became something else */
        (void)err_say(&msg, ERR_STALE, "%s is not a directory any more",
                      fs_dir_path_text(frame->dir, name, text));
        return add_problem(batch, frame->dir, name, ERR_STALE, msg.text);
    }
    struct fs_event *event = add_event(batch, FS_EVENT_ENTRY, frame->dir, name);
    fill_entry(walk, &ahead->st, &event->entry);
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
    struct fs_dir *root = fs_tree_root(walk->tree);
    struct frame frame = {.names = FS_LIST_INIT, .root_last = walk->roots.count};
    walk->started = true;
    if (statx(AT_FDCWD, "/", 0, STATX_BASIC_STATS, &st) != 0) {
        fs_dir_release(root);
        return err_from_errno(errno);
    }
    frame.partial = strcmp(walk->roots.paths[0], "/") != 0;
    frame.root_device = makedev(st.stx_dev_major, st.stx_dev_minor);
    return enter(walk, batch, root, slice_of(NULL, 0), &st, &frame);
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
