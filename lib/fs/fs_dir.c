#include "fs/fs_dir.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/list.h"
#include "fs/fs_internal.h"

enum {
    OPEN_MAX_DEFAULT = 192,
    STEPS = 64, /* directories opened in one go on the way down */
};

struct fs_tree {
    pthread_mutex_t lock;
    struct list unused; /* open and not pinned, the longest unused first */
    unsigned open_count, open_max;
    struct fs_dir *root; /* pinned from beginning to end */
};

struct fs_dir {
    struct fs_tree *tree;
    struct fs_dir *parent; /* a reference; NULL of the root */
    atomic_uint refs;
    unsigned marks;
    uint64_t device, inode; /* 0, 0: not opened yet; under the lock, like all that follows */
    int fd;                 /* -1: not open */
    unsigned pins;
    struct list node; /* in `unused` */
    size_t name_size;
    char name[]; /* with its NUL */
};

static struct fs_dir *new_dir(struct fs_tree *tree, struct slice name)
{
    struct fs_dir *dir = malloc(sizeof(*dir) + name.size + 1);
    if (!dir)
        return NULL;
    *dir = (struct fs_dir){.tree = tree, .fd = -1, .name_size = name.size};
    atomic_init(&dir->refs, 1);
    list_init(&dir->node);
    memcpy(dir->name, name.data, name.size);
    dir->name[name.size] = 0;
    return dir;
}

/* A directory that may be searched but not read can still be gone through. */
static int open_at(int parent_fd, const char *name)
{
    int fd = fs_entry_open(parent_fd, name, O_RDONLY | O_DIRECTORY);
    if (fd < 0 && errno == EACCES)
        fd = openat(parent_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd;
}

static int identity(int fd, uint64_t *device, uint64_t *inode)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return errno;
    *device = st.st_dev;
    *inode = st.st_ino;
    return 0;
}

enum err fs_tree_open(const char *root, unsigned open_max, struct fs_tree **out, struct errmsg *msg)
{
    enum err e = ERR_NOMEM;
    struct fs_tree *tree = calloc(1, sizeof(*tree));
    struct fs_dir *dir = tree ? new_dir(tree, slice_text(root)) : NULL;
    if (!dir)
        goto free_tree;
    dir->fd = open_at(AT_FDCWD, root);
    int problem = dir->fd < 0 ? errno : identity(dir->fd, &dir->device, &dir->inode);
    if (problem) {
        e = err_say_errno(msg, problem, "cannot open the directory %s", root);
        goto close_dir;
    }
    dir->pins = 1;
    pthread_mutex_init(&tree->lock, NULL);
    list_init(&tree->unused);
    tree->open_max = open_max ? open_max : OPEN_MAX_DEFAULT;
    tree->root = dir;
    *out = tree;
    return ERR_OK;

close_dir:
    if (dir->fd >= 0)
        close(dir->fd);
    free(dir);
free_tree:
    free(tree);
    return e;
}

void fs_tree_close(struct fs_tree *tree)
{
    if (!tree)
        return;
    assert(atomic_load(&tree->root->refs) == 1 && tree->open_count == 0);
    close(tree->root->fd);
    free(tree->root);
    pthread_mutex_destroy(&tree->lock);
    free(tree);
}

struct fs_dir *fs_tree_root(struct fs_tree *tree)
{
    return fs_dir_ref(tree->root);
}

enum err fs_dir_child(struct fs_dir *parent, struct slice name, uint64_t device, uint64_t inode,
                      struct fs_dir **out)
{
    struct fs_dir *dir = new_dir(parent->tree, name);
    if (!dir)
        return ERR_NOMEM;
    dir->parent = fs_dir_ref(parent);
    dir->device = device;
    dir->inode = inode;
    *out = dir;
    return ERR_OK;
}

struct fs_dir *fs_dir_ref(struct fs_dir *dir)
{
    atomic_fetch_add_explicit(&dir->refs, 1, memory_order_relaxed);
    return dir;
}

static void close_unused(struct fs_tree *tree, unsigned keep)
{
    while (tree->open_count > keep && !list_empty(&tree->unused)) {
        struct fs_dir *dir = container_of(list_pop(&tree->unused), struct fs_dir, node);
        close(dir->fd);
        dir->fd = -1;
        tree->open_count--;
    }
}

/* A loop, not a recursion: a chain of parents may be very long. */
void fs_dir_release(struct fs_dir *dir)
{
    while (dir && atomic_fetch_sub(&dir->refs, 1) == 1) {
        struct fs_tree *tree = dir->tree;
        struct fs_dir *parent = dir->parent;
        assert(dir != tree->root && dir->pins == 0);
        pthread_mutex_lock(&tree->lock);
        list_remove(&dir->node);
        if (dir->fd >= 0) {
            close(dir->fd);
            tree->open_count--;
        }
        pthread_mutex_unlock(&tree->lock);
        free(dir);
        dir = parent;
    }
}

void fs_dir_unpin(struct fs_dir *dir)
{
    struct fs_tree *tree = dir->tree;
    pthread_mutex_lock(&tree->lock);
    assert(dir->pins > 0);
    if (--dir->pins == 0)
        list_append(&tree->unused, &dir->node);
    close_unused(tree, tree->open_max);
    pthread_mutex_unlock(&tree->lock);
}

/* Under the lock. */
static void pin_open(struct fs_dir *dir)
{
    dir->pins++;
    list_remove(&dir->node);
}

static int open_with_room(struct fs_dir *parent, struct fs_dir *dir)
{
    int fd = open_at(parent->fd, dir->name);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
        pthread_mutex_lock(&dir->tree->lock);
        close_unused(dir->tree, 0);
        pthread_mutex_unlock(&dir->tree->lock);
        fd = open_at(parent->fd, dir->name);
    }
    return fd;
}

/* Opens and pins `dir` below its pinned parent. */
static enum err open_step(struct fs_dir *parent, struct fs_dir *dir, struct errmsg *msg)
{
    char text[FS_PATH_TEXT_SIZE];
    int fd = open_with_room(parent, dir);
    uint64_t device = 0, inode = 0;
    int problem = fd < 0 ? errno : identity(fd, &device, &inode);
    if (problem) {
        if (fd >= 0)
            close(fd);
        (void)fs_dir_path_text(dir, slice_of(NULL, 0), text);
        if (problem == ENOTDIR || problem == ELOOP)
            return err_say(msg, ERR_STALE, "%s is not a directory any more", text);
        return err_say_errno(msg, problem, "cannot open the directory %s", text);
    }
    bool stale = false;
    struct fs_tree *tree = dir->tree;
    pthread_mutex_lock(&tree->lock);
    if (dir->fd >= 0) { /* another thread was quicker */
        pin_open(dir);
        close(fd);
    } else if ((dir->device || dir->inode) && (dir->device != device || dir->inode != inode)) {
        stale = true;
        close(fd);
    } else {
        dir->device = device;
        dir->inode = inode;
        dir->fd = fd;
        dir->pins = 1;
        tree->open_count++;
        close_unused(tree, tree->open_max);
    }
    pthread_mutex_unlock(&tree->lock);
    if (stale)
        return err_say(msg, ERR_STALE, "%s is another directory than it was",
                       fs_dir_path_text(dir, slice_of(NULL, 0), text));
    return ERR_OK;
}

enum err fs_dir_pin(struct fs_dir *dir, int *out_fd, struct errmsg *msg)
{
    struct fs_tree *tree = dir->tree;
    struct fs_dir *held = NULL; /* pinned, the deepest that is open so far */
    enum err e = ERR_OK;
    while (held != dir && e == ERR_OK) {
        /* up to what is open; the ring keeps the highest of what is not */
        struct fs_dir *steps[STEPS];
        size_t count = 0;
        pthread_mutex_lock(&tree->lock);
        struct fs_dir *at = dir;
        for (; at->fd < 0; at = at->parent)
            steps[count++ % STEPS] = at;
        pin_open(at);
        pthread_mutex_unlock(&tree->lock);
        if (held)
            fs_dir_unpin(held);
        held = at;

        size_t opened = count < STEPS ? count : STEPS;
        for (size_t i = 1; i <= opened; i++) {
            struct fs_dir *below = steps[(count - i) % STEPS];
            e = open_step(held, below, msg);
            fs_dir_unpin(held);
            held = e == ERR_OK ? below : NULL;
            if (e != ERR_OK)
                break;
        }
    }
    if (e == ERR_OK)
        *out_fd = dir->fd;
    return e;
}

struct fs_dir *fs_dir_parent(const struct fs_dir *dir)
{
    return dir->parent;
}

struct slice fs_dir_name(const struct fs_dir *dir)
{
    return slice_of(dir->name, dir->name_size);
}

void fs_dir_mark(struct fs_dir *dir, unsigned bits)
{
    dir->marks |= bits;
}

unsigned fs_dir_marks(const struct fs_dir *dir)
{
    return dir->marks;
}

/* --- paths --- */

enum err fs_dir_path(const struct fs_dir *dir, struct slice name, struct buf *out)
{
    size_t size = name.size ? name.size + 1 : 0;
    const struct fs_dir *at = dir;
    for (; at->parent; at = at->parent)
        size += at->name_size + 1;
    size_t root_size = at->name_size;
    while (root_size > 0 && at->name[root_size - 1] == '/')
        root_size--; /* "/" itself stands for nothing in front of "/home" */
    size += root_size;
    if (size == 0)
        return buf_append(out, "/", 1);
    enum err e = buf_append_zeros(out, size);
    if (e != ERR_OK)
        return e;
    uint8_t *end = out->data + out->size; /* written from behind */
    if (name.size) {
        end -= name.size;
        memcpy(end, name.data, name.size);
        *--end = '/';
    }
    for (at = dir; at->parent; at = at->parent) {
        end -= at->name_size;
        memcpy(end, at->name, at->name_size);
        *--end = '/';
    }
    if (root_size)
        memcpy(end - root_size, at->name, root_size);
    return ERR_OK;
}

/* How many bytes of a well-formed UTF-8 character stand at `data`; 0 when none does. */
static size_t utf8_length(const uint8_t *data, size_t size)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (data[0] < 0x80)
        return 1;
    size_t length = data[0] >= 0xf0 ? 4 : data[0] >= 0xe0 ? 3 : 2;
    if (data[0] < 0xc2 || data[0] > 0xf4 || length > size)
        return 0;
    uint32_t rune = data[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((data[i] & 0xc0) != 0x80)
            return 0;
        rune = rune << 6 | (data[i] & 0x3f);
    }
    bool fine = rune >= least[length] && rune <= 0x10ffff && (rune < 0xd800 || rune > 0xdfff);
    bool control = rune >= 0x80 && rune < 0xa0;
    return fine && !control ? length : 0;
}

/* The next character as it is shown; returns how many bytes of `path` it took. */
static size_t show(struct slice path, size_t at, char shown[5], size_t *shown_size)
{
    size_t length = utf8_length(path.data + at, path.size - at);
    uint8_t byte = path.data[at];
    if (length == 0 || byte < 0x20 || byte == 0x7f) {
        *shown_size = (size_t)snprintf(shown, 5, "\\x%02x", byte);
        return 1;
    }
    memcpy(shown, path.data + at, length);
    *shown_size = length;
    return length;
}

static void show_path(struct slice path, char out[FS_PATH_TEXT_SIZE])
{
    char shown[5];
    size_t total = 0, size = 0;
    for (size_t at = 0; at < path.size; total += size)
        at += show(path, at, shown, &size);
    /* when it is too long: so much of its beginning and of its end */
    bool cut = total >= FS_PATH_TEXT_SIZE;
    size_t head_size = (FS_PATH_TEXT_SIZE - 8) / 2, tail_size = head_size;
    size_t used = 0, seen = 0;
    bool dots = false;
    for (size_t at = 0; at < path.size; seen += size) {
        at += show(path, at, shown, &size);
        bool head = !dots && seen + size <= head_size;
        if (!cut || head || seen >= total - tail_size) {
            memcpy(out + used, shown, size);
            used += size;
        } else if (!dots) {
            memcpy(out + used, "...", 3);
            used += 3;
            dots = true;
        }
    }
    out[used] = 0;
}

const char *fs_dir_path_text(const struct fs_dir *dir, struct slice name,
                             char out[FS_PATH_TEXT_SIZE])
{
    struct buf path = BUF_INIT(SIZE_MAX);
    if (fs_dir_path(dir, name, &path) == ERR_OK)
        show_path(buf_slice(&path), out);
    else
        show_path(name.size ? name : fs_dir_name(dir), out);
    buf_free(&path);
    return out;
}
