#include "fs/fs_scan.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct fs_scan *fs_scan_new(const struct fs_scan_rules *rules, struct fs_dir *dir, uint64_t device,
                            uint64_t root_device)
{
    struct fs_scan *scan = malloc(sizeof(*scan));
    if (!scan) {
        fs_dir_release(dir);
        return NULL;
    }
    *scan = (struct fs_scan){
        .dir = dir,
        .root_device = root_device,
        .closed = rules->one_file_system && device != root_device,
        .names = FS_LIST_INIT,
    };
    list_init(&scan->link);
    return scan;
}

/* A loop and not a recursion: a chain of directories may be very long. */
void fs_scan_free(struct fs_scan_queue *queue, struct fs_scan *scan)
{
    struct list doomed;
    list_init(&doomed);
    if (!scan)
        return;
    pthread_mutex_lock(&queue->lock);
    list_remove(&scan->link);
    list_append(&doomed, &scan->link);
    for (struct list *node; (node = list_pop(&doomed));) {
        struct fs_scan *one = container_of(node, struct fs_scan, link);
        while (one->state == FS_SCAN_RUNNING)
            pthread_cond_wait(&queue->ready, &queue->lock);
        for (size_t i = 0; i < one->window_count; i++)
            if (one->window[i].scan) {
                list_remove(&one->window[i].scan->link);
                list_append(&doomed, &one->window[i].scan->link);
            }
        queue->ahead -= one->ahead;
        free(one->window);
        fs_list_free(&one->names);
        free(one->problem);
        fs_dir_release(one->dir);
        free(one);
    }
    pthread_mutex_unlock(&queue->lock);
}

/* --- what is left out --- */

static bool has_header(int dir_fd, const struct fs_scan_marker *marker)
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
static void apply_markers(const struct fs_scan_rules *rules, struct fs_scan *scan, int fd)
{
    struct fs_list *list = &scan->names;
    for (size_t i = 0; i < rules->marker_count; i++) {
        size_t index = fs_list_find(list, slice_text(rules->markers[i].name));
        if (index == list->count || !has_header(fd, &rules->markers[i]))
            continue;
        scan->excluded += list->count - 1;
        list->names[0] = list->names[index];
        list->count = 1;
        return;
    }
}

/* Takes out of the list what the patterns leave out, so that it is not even looked at. */
static enum err apply_patterns(const struct fs_scan_rules *rules, struct fs_scan *scan)
{
    struct fs_list *list = &scan->names;
    struct buf path = BUF_INIT(SIZE_MAX);
    size_t kept = 0;
    if (fs_exclude_empty(rules->exclude))
        return ERR_OK;
    enum err e = fs_dir_path(scan->dir, slice_of(NULL, 0), &path);
    if (e == ERR_OK && path.data[path.size - 1] != '/')
        e = buf_append(&path, "/", 1);
    const size_t stem = path.size;
    for (size_t i = 0; e == ERR_OK && i < list->count; i++) {
        struct slice name = fs_list_at(list, i);
        e = buf_append(&path, name.data, name.size);
        if (e == ERR_OK && fs_exclude_matches(rules->exclude, buf_slice(&path)))
            scan->excluded++;
        else
            list->names[kept++] = list->names[i];
        path.size = stem;
    }
    list->count = e == ERR_OK ? kept : list->count;
    buf_free(&path);
    return e;
}

/* --- looking --- */

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

static enum err look_at(const struct fs_scan_rules *rules, struct fs_dir *dir, int fd,
                        uint64_t root_device, struct slice name, struct fs_scan_name *out)
{
    struct statx st;
    *out = (struct fs_scan_name){0};
    if (name.size > FS_SCAN_NAME_MAX) {
        out->problem = ENAMETOOLONG;
        return ERR_OK;
    }
    if (statx(fd, (const char *)name.data, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS,
              &st) != 0) {
        out->problem = errno;
        return ERR_OK;
    }
    fs_entry_from_statx(&st, &out->entry);
    if (out->entry.type != FS_DIRECTORY)
        return ERR_OK;
    struct fs_dir *below;
    enum err e = fs_dir_child(dir, name, out->entry.device, out->entry.inode, &below);
    if (e == ERR_OK) {
        out->scan = fs_scan_new(rules, below, out->entry.device, root_device);
        e = out->scan ? ERR_OK : ERR_NOMEM;
    }
    return e;
}

enum err fs_scan_look(const struct fs_scan_rules *rules, struct fs_dir *dir, uint64_t root_device,
                      const struct fs_list *names, size_t first, size_t count,
                      struct fs_scan_name *out)
{
    struct by_inode *order = malloc((count + 1) * sizeof(*order));
    int fd;
    for (size_t i = 0; i < count; i++)
        out[i] = (struct fs_scan_name){.problem = ESTALE};
    if (!order)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++)
        order[i] = (struct by_inode){names->names[first + i].inode, i};
    qsort(order, count, sizeof(*order), compare_inodes);
    const enum err pinned = fs_dir_pin(dir, &fd, NULL);
    enum err e = pinned == ERR_NOMEM ? pinned : ERR_OK;
    for (size_t i = 0; i < count && pinned == ERR_OK && e == ERR_OK; i++) {
        const size_t at = order[i].index;
        e = look_at(rules, dir, fd, root_device, fs_list_at(names, first + at), &out[at]);
    }
    if (pinned == ERR_OK)
        fs_dir_unpin(dir);
    free(order);
    return e;
}

/* --- one scan, outside the lock --- */

static enum err complain(struct fs_scan *scan, enum err error, const struct errmsg *msg)
{
    scan->error = error;
    scan->problem = strdup(msg->text);
    return scan->problem ? ERR_OK : ERR_NOMEM;
}

static enum err list_names(const struct fs_scan_rules *rules, struct fs_scan *scan)
{
    int fd, number = 0;
    char text[FS_PATH_TEXT_SIZE];
    struct errmsg msg = {{0}};
    enum err e = fs_dir_pin(scan->dir, &fd, &msg);
    if (e != ERR_OK)
        return e == ERR_NOMEM ? e : complain(scan, e, &msg);
    e = fs_list_read(fd, &scan->names, &number);
    if (number == EBADF) /* it could be opened to be searched only */
        number = EACCES;
    if (e == ERR_OK || number) {
        apply_markers(rules, scan, fd);
        e = apply_patterns(rules, scan);
    }
    fs_dir_unpin(scan->dir);
    if (e != ERR_OK || !number)
        return e;
    (void)err_say_errno(&msg, number, "cannot read the directory %s",
                        fs_dir_path_text(scan->dir, slice_of(NULL, 0), text));
    return complain(scan, err_from_errno(number), &msg);
}

static enum err run(const struct fs_scan_rules *rules, struct fs_scan *scan)
{
    if (scan->closed)
        return ERR_OK;
    enum err e = list_names(rules, scan);
    const size_t count = scan->names.count < FS_SCAN_WINDOW ? scan->names.count : FS_SCAN_WINDOW;
    if (e != ERR_OK || count == 0)
        return e;
    scan->window = malloc(count * sizeof(*scan->window));
    if (!scan->window)
        return ERR_NOMEM;
    e = fs_scan_look(rules, scan->dir, scan->root_device, &scan->names, 0, count, scan->window);
    scan->window_count = count;
    return e;
}

/* --- the queue --- */

void fs_scan_queue_init(struct fs_scan_queue *queue, const struct fs_scan_rules *rules)
{
    *queue = (struct fs_scan_queue){.rules = rules};
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->ready, NULL);
    list_init(&queue->scans);
}

void fs_scan_queue_destroy(struct fs_scan_queue *queue)
{
    assert(list_empty(&queue->scans));
    pthread_cond_destroy(&queue->ready);
    pthread_mutex_destroy(&queue->lock);
}

/* Behind `place`, in their order. */
static void insert(struct list *place, struct fs_scan_name *names, size_t count)
{
    for (size_t i = count; i-- > 0;)
        if (names[i].scan)
            list_prepend(place, &names[i].scan->link);
}

/* Under the lock, which it leaves meanwhile. */
static void run_unlocked(struct fs_scan_queue *queue, struct fs_scan *scan)
{
    scan->state = FS_SCAN_RUNNING;
    pthread_mutex_unlock(&queue->lock);
    const enum err e = run(queue->rules, scan);
    pthread_mutex_lock(&queue->lock);
    scan->e = e;
    scan->state = FS_SCAN_READY;
    scan->ahead = scan->names.count;
    queue->ahead += scan->ahead;
    insert(&scan->link, scan->window, scan->window_count);
    list_remove(&scan->link);
    pthread_cond_broadcast(&queue->ready);
}

static bool run_first(struct fs_scan_queue *queue)
{
    if (queue->ahead >= FS_SCAN_AHEAD)
        return false;
    list_for_each(node, &queue->scans)
    {
        struct fs_scan *scan = container_of(node, struct fs_scan, link);
        if (scan->state == FS_SCAN_WANTED) {
            run_unlocked(queue, scan);
            return true;
        }
    }
    return false;
}

bool fs_scan_first(struct fs_scan_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    const bool any = run_first(queue);
    pthread_mutex_unlock(&queue->lock);
    return any;
}

void fs_scan_want(struct fs_scan_queue *queue, struct fs_scan_name *names, size_t count)
{
    pthread_mutex_lock(&queue->lock);
    insert(&queue->scans, names, count);
    pthread_mutex_unlock(&queue->lock);
}

void fs_scan_get(struct fs_scan_queue *queue, struct fs_scan *scan)
{
    pthread_mutex_lock(&queue->lock);
    if (scan->state == FS_SCAN_WANTED) {
        if (list_empty(&scan->link)) /* nobody wanted it before */
            list_prepend(&queue->scans, &scan->link);
        run_unlocked(queue, scan);
    }
    while (scan->state != FS_SCAN_READY)
        if (!run_first(queue))
            pthread_cond_wait(&queue->ready, &queue->lock);
    queue->ahead -= scan->ahead;
    scan->ahead = 0;
    pthread_mutex_unlock(&queue->lock);
}
