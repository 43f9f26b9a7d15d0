#include "harness/sim_disk.h"

#include "harness/sim_internal.h"
#include "harness/sim_tree.h"

#include <stdio.h>
#include <stdlib.h>

struct sim_disk {
    struct sim_node *node;
    struct sim_tree tree;
    struct sim_tree hidden; /* what is mounted over, while `hide` */
    bool hide, dead, read_only;
    uint64_t capacity_bytes; /* 0: none */
    uint64_t epoch;          /* files opened before this one are unusable */
    unsigned fail_operations;
    struct fault *fail;
    enum err fail_with;
    struct sim_disk_counters counters;
    uint64_t used_bytes; /* as it was counted, if nothing was written since */
    bool used_counted;
    uint64_t random_state[4];
};

struct handle {
    struct disk_file file; /* first */
    struct sim_disk *disk;
    struct sim_inode *inode; /* referenced */
    unsigned flags;
    uint64_t epoch;
};

struct sim_disk_image {
    struct sim_tree tree;
};

static enum err say(struct errmsg *msg, enum err e, const char *verb, const char *path)
{
    return err_say(msg, e, "cannot %s %s: %s", verb, *path ? path : "the root directory",
                   err_words(e));
}

/* What every operation asks first. */
static enum err begin(struct sim_disk *disk, enum sim_disk_operation operation, const char *verb,
                      const char *path, struct errmsg *msg)
{
    if (operation & (SIM_DISK_WRITE | SIM_DISK_NAME))
        disk->used_counted = false;
    if (disk->dead)
        return say(msg, ERR_IO, verb, path);
    if (disk->read_only && operation & (SIM_DISK_WRITE | SIM_DISK_NAME))
        return say(msg, ERR_READ_ONLY, verb, path);
    if (disk->fail && disk->fail_operations & operation && fault_hit(disk->fail)) {
        sim_world_note(disk->node->world, disk->node, "injected: cannot %s %s", verb, path);
        return say(msg, disk->fail_with, verb, path);
    }
    return ERR_OK;
}

static enum err begin_file(struct handle *h, enum sim_disk_operation operation, unsigned flag,
                           const char *verb, struct errmsg *msg)
{
    if (h->epoch != h->disk->epoch)
        return say(msg, ERR_IO, verb, "a file that was opened before the crash");
    if (flag && !(h->flags & flag))
        return say(msg, ERR_USAGE, verb, "a file that was not opened for it");
    return begin(h->disk, operation, verb, "an open file", msg);
}

/* Blocks of what can be reached by a name. */
static uint64_t used_by(const struct sim_inode *directory)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < directory->now.count; i++) {
        const struct sim_inode *child = directory->now.items[i].inode;
        bytes += child->is_directory ? used_by(child) : sim_file_blocks_bytes(&child->file);
    }
    return bytes;
}

static uint64_t used_bytes(struct sim_disk *disk)
{
    if (!disk->used_counted)
        disk->used_bytes = used_by(disk->tree.root);
    disk->used_counted = true;
    return disk->used_bytes;
}

static enum err room_for(const struct sim_disk *disk, uint64_t before, uint64_t after)
{
    if (!disk->capacity_bytes || after <= before)
        return ERR_OK;
    return used_by(disk->tree.root) + after - before > disk->capacity_bytes ? ERR_FULL : ERR_OK;
}

/* --- files --- */

static struct handle *handle_of(struct disk_file *file)
{
    return container_of(file, struct handle, file);
}

static void close_file(struct disk_file *file)
{
    struct handle *h = handle_of(file);
    h->disk->counters.open_files--;
    sim_tree_unref(h->inode);
    free(h);
}

static enum err read_at(struct disk_file *file, uint64_t offset, void *out, size_t size,
                        size_t *got, struct errmsg *msg)
{
    struct handle *h = handle_of(file);
    *got = 0;
    enum err e = begin_file(h, SIM_DISK_READ, DISK_READ, "read", msg);
    if (e != ERR_OK)
        return e;
    *got = sim_file_read(&h->inode->file, offset, out, size);
    h->disk->counters.reads++;
    h->disk->counters.read_bytes += *got;
    return ERR_OK;
}

/* Is there room for the file to have `size` bytes (and, with `reserve`, their blocks)? */
static enum err grow(struct handle *h, uint64_t size, bool reserve)
{
    struct sim_file *file = &h->inode->file;
    uint64_t before = sim_file_blocks_bytes(file);
    struct sim_file after = *file;
    after.size = size;
    if (reserve && after.reserved < size)
        after.reserved = size;
    enum err e = room_for(h->disk, before, sim_file_blocks_bytes(&after));
    if (e == ERR_OK)
        file->reserved = after.reserved;
    return e;
}

static enum err write_at(struct disk_file *file, uint64_t offset, const void *data, size_t size,
                         struct errmsg *msg)
{
    struct handle *h = handle_of(file);
    enum err e = begin_file(h, SIM_DISK_WRITE, DISK_WRITE, "write", msg);
    if (e != ERR_OK && h->epoch == h->disk->epoch && !h->disk->dead && !h->disk->read_only &&
        h->flags & DISK_WRITE && size > 0 && offset + size <= h->inode->file.size) {
        /* it may have got somewhere */
        sim_file_write(&h->inode->file, offset, data,
                       (size_t)(sim_world_next(h->disk->random_state) % size));
    }
    if (e != ERR_OK)
        return e;
    uint64_t end = offset + size;
    e = grow(h, end > h->inode->file.size ? end : h->inode->file.size, false);
    if (e != ERR_OK)
        return say(msg, e, "write", "an open file");
    sim_file_write(&h->inode->file, offset, data, size);
    h->disk->counters.writes++;
    h->disk->counters.written_bytes += size;
    return ERR_OK;
}

static enum err allocate(struct disk_file *file, uint64_t size, struct errmsg *msg)
{
    struct handle *h = handle_of(file);
    enum err e = begin_file(h, SIM_DISK_WRITE, DISK_WRITE, "reserve space for", msg);
    if (e != ERR_OK)
        return e;
    uint64_t end = size > h->inode->file.size ? size : h->inode->file.size;
    e = grow(h, end, true);
    if (e != ERR_OK)
        return say(msg, e, "reserve space for", "an open file");
    sim_file_resize(&h->inode->file, end);
    return ERR_OK;
}

static enum err truncate_file(struct disk_file *file, uint64_t size, struct errmsg *msg)
{
    struct handle *h = handle_of(file);
    enum err e = begin_file(h, SIM_DISK_WRITE, DISK_WRITE, "truncate", msg);
    if (e != ERR_OK)
        return e;
    sim_file_resize(&h->inode->file, size); /* a hole takes no blocks, but we count them */
    if (h->inode->file.reserved > size)
        h->inode->file.reserved = size;
    return ERR_OK;
}

static enum err sync_file(struct disk_file *file, struct errmsg *msg)
{
    struct handle *h = handle_of(file);
    enum err e = begin_file(h, SIM_DISK_SYNC, 0, "sync", msg);
    if (e == ERR_OK)
        sim_file_sync(&h->inode->file);
    else if (h->epoch == h->disk->epoch && !h->disk->dead)
        sim_file_lose(&h->inode->file);
    h->disk->counters.syncs++;
    return e;
}

static enum err file_size(struct disk_file *file, uint64_t *out, struct errmsg *msg)
{
    struct handle *h = handle_of(file);
    enum err e = begin_file(h, SIM_DISK_LOOK, 0, "see the size of", msg);
    if (e == ERR_OK)
        *out = h->inode->file.size;
    return e;
}

static const struct disk_ops ops;

static enum err create(struct sim_disk *disk, const char *path, struct sim_inode **out,
                       struct errmsg *msg)
{
    enum err e = begin(disk, SIM_DISK_NAME, "create", path, msg);
    if (e != ERR_OK)
        return e;
    struct sim_inode *directory;
    const char *name;
    e = sim_tree_find_parent(&disk->tree, path, &directory, &name);
    if (e != ERR_OK)
        return say(msg, e, "create", path);
    *out = sim_tree_make(&disk->tree, directory, name, false);
    disk->counters.names++;
    return ERR_OK;
}

static enum err open_file(void *context, const char *path, unsigned flags, struct disk_file **out,
                          struct errmsg *msg)
{
    struct sim_disk *disk = context;
    *out = NULL;
    enum err e = begin(disk, SIM_DISK_LOOK, "open", path, msg);
    if (e != ERR_OK)
        return e;
    if (disk->read_only && flags & DISK_WRITE)
        return say(msg, ERR_READ_ONLY, "open", path);
    struct sim_inode *inode;
    e = sim_tree_find(&disk->tree, path, &inode);
    if (e == ERR_OK && flags & DISK_CREATE && flags & DISK_EXCLUSIVE)
        return say(msg, ERR_EXISTS, "create", path);
    if (e == ERR_OK && inode->is_directory)
        return say(msg, ERR_USAGE, "open a directory as a file:", path);
    if (e == ERR_NOT_FOUND && flags & DISK_CREATE) {
        e = create(disk, path, &inode, msg);
        if (e != ERR_OK)
            return e;
    }
    if (e != ERR_OK)
        return say(msg, e, "open", path);
    struct handle *h = sim_world_alloc(sizeof(*h));
    h->file.ops = &ops;
    h->disk = disk;
    h->inode = inode;
    h->flags = flags;
    h->epoch = disk->epoch;
    sim_tree_ref(inode);
    disk->counters.open_files++;
    *out = &h->file;
    return ERR_OK;
}

/* --- names --- */

static bool lies_below(const struct sim_inode *inode, const struct sim_inode *directory)
{
    for (size_t i = 0; i < directory->now.count; i++) {
        const struct sim_inode *child = directory->now.items[i].inode;
        if (child == inode || (child->is_directory && lies_below(inode, child)))
            return true;
    }
    return false;
}

static enum err rename_file(void *context, const char *from, const char *to, struct errmsg *msg)
{
    struct sim_disk *disk = context;
    enum err e = begin(disk, SIM_DISK_NAME, "rename", from, msg);
    if (e != ERR_OK)
        return e;
    struct sim_inode *from_directory, *to_directory, *inode, *old;
    const char *from_name, *to_name;
    e = sim_tree_find_parent(&disk->tree, from, &from_directory, &from_name);
    if (e == ERR_OK)
        e = sim_tree_find_parent(&disk->tree, to, &to_directory, &to_name);
    if (e == ERR_OK && !(inode = sim_tree_child(from_directory, from_name)))
        e = ERR_NOT_FOUND;
    if (e != ERR_OK)
        return say(msg, e, "rename", from);
    old = sim_tree_child(to_directory, to_name);
    if (old == inode)
        return ERR_OK;
    if (old && (old->is_directory != inode->is_directory || old->now.count > 0))
        return say(msg, ERR_EXISTS, "rename over", to);
    if (inode->is_directory && (inode == to_directory || lies_below(to_directory, inode)))
        return say(msg, ERR_USAGE, "move a directory into itself:", from);
    sim_tree_change(&disk->tree, from_directory, from_name, to_directory, to_name, inode);
    disk->counters.names++;
    return ERR_OK;
}

static enum err remove_file(void *context, const char *path, struct errmsg *msg)
{
    struct sim_disk *disk = context;
    enum err e = begin(disk, SIM_DISK_NAME, "remove", path, msg);
    if (e != ERR_OK)
        return e;
    struct sim_inode *directory, *inode = NULL;
    const char *name;
    e = sim_tree_find_parent(&disk->tree, path, &directory, &name);
    if (e == ERR_OK && !(inode = sim_tree_child(directory, name)))
        e = ERR_NOT_FOUND;
    if (e == ERR_OK && inode->now.count > 0)
        e = ERR_EXISTS;
    if (e != ERR_OK)
        return say(msg, e, "remove", path);
    sim_tree_change(&disk->tree, NULL, NULL, directory, name, NULL);
    disk->counters.names++;
    return ERR_OK;
}

static enum err make_dir(void *context, const char *path, struct errmsg *msg)
{
    struct sim_disk *disk = context;
    enum err e = begin(disk, SIM_DISK_NAME, "make directory", path, msg);
    if (e != ERR_OK)
        return e;
    struct sim_inode *directory, *there;
    const char *name;
    if (!*path)
        return ERR_OK;
    e = sim_tree_find_parent(&disk->tree, path, &directory, &name);
    if (e != ERR_OK)
        return say(msg, e, "make directory", path);
    there = sim_tree_child(directory, name);
    if (there)
        return there->is_directory ? ERR_OK : say(msg, ERR_EXISTS, "make directory", path);
    (void)sim_tree_make(&disk->tree, directory, name, true);
    disk->counters.names++;
    return ERR_OK;
}

static enum err sync_dir(void *context, const char *path, struct errmsg *msg)
{
    struct sim_disk *disk = context;
    enum err e = begin(disk, SIM_DISK_SYNC, "sync directory", path, msg);
    disk->counters.syncs++;
    if (e != ERR_OK)
        return e;
    struct sim_inode *inode;
    e = sim_tree_find(&disk->tree, path, &inode);
    if (e == ERR_OK && !inode->is_directory)
        e = ERR_NOT_FOUND;
    if (e != ERR_OK)
        return say(msg, e, "sync directory", path);
    sim_tree_sync(&disk->tree, inode);
    return ERR_OK;
}

static enum err list_dir(void *context, const char *path, disk_list_fn *each, void *user,
                         struct errmsg *msg)
{
    struct sim_disk *disk = context;
    enum err e = begin(disk, SIM_DISK_LOOK, "list", path, msg);
    if (e != ERR_OK)
        return e;
    struct sim_inode *inode;
    e = sim_tree_find(&disk->tree, path, &inode);
    if (e == ERR_OK && !inode->is_directory)
        e = ERR_NOT_FOUND;
    if (e != ERR_OK)
        return say(msg, e, "list", path);
    /* a copy, since `each` may remove what it is shown; from a seeded place, since readdir has no
       order that anybody could rely on */
    size_t count = inode->now.count;
    struct sim_name *items = sim_world_alloc((count + 1) * sizeof(*items));
    for (size_t i = 0; i < count; i++) {
        items[i] = inode->now.items[i];
        items[i].name = sim_world_copy_text(items[i].name);
        sim_tree_ref(items[i].inode);
    }
    size_t first = count ? sim_world_next(disk->random_state) % count : 0;
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        struct sim_name *item = &items[(first + i) % count];
        e = each(user, item->name, item->inode->is_directory);
    }
    for (size_t i = 0; i < count; i++) {
        free(items[i].name);
        sim_tree_unref(items[i].inode);
    }
    free(items);
    return e;
}

static enum err info(void *context, const char *path, struct disk_info *out, struct errmsg *msg)
{
    struct sim_disk *disk = context;
    enum err e = begin(disk, SIM_DISK_LOOK, "look at", path, msg);
    if (e != ERR_OK)
        return e;
    struct sim_inode *inode;
    e = sim_tree_find(&disk->tree, path, &inode);
    if (e != ERR_OK)
        return say(msg, e, "look at", path);
    *out = (struct disk_info){.size_bytes = inode->file.size, .is_directory = inode->is_directory};
    return ERR_OK;
}

static enum err space(void *context, struct disk_space *out, struct errmsg *msg)
{
    struct sim_disk *disk = context;
    enum err e = begin(disk, SIM_DISK_LOOK, "see the space of", "", msg);
    if (e != ERR_OK)
        return e;
    const uint64_t used = used_bytes(disk);
    out->total_bytes = disk->capacity_bytes ? disk->capacity_bytes : (uint64_t)1 << 40;
    out->free_bytes = out->total_bytes > used ? out->total_bytes - used : 0;
    return ERR_OK;
}

static const struct disk_ops ops = {
    .open = open_file,
    .close = close_file,
    .read_at = read_at,
    .write_at = write_at,
    .allocate = allocate,
    .truncate = truncate_file,
    .sync = sync_file,
    .size = file_size,
    .rename = rename_file,
    .remove = remove_file,
    .make_dir = make_dir,
    .sync_dir = sync_dir,
    .list = list_dir,
    .info = info,
    .space = space,
};

/* --- life, death, and what tests do --- */

struct sim_disk *sim_disk_new(struct sim_node *node)
{
    struct sim_disk *disk = sim_world_alloc(sizeof(*disk));
    disk->node = node;
    disk->fail_with = ERR_IO;
    sim_tree_init(&disk->tree);
    sim_world_seed_stream(disk->random_state, sim_world_seed(node->world) ^
                                                  (0x6469736bu + (uint64_t)node->index * 131));
    node->disk = (struct disk){.ops = &ops, .context = disk};
    return disk;
}

void sim_disk_free(struct sim_disk *disk)
{
    assert(disk->counters.open_files == 0); /* the code under test has left a file open */
    sim_tree_free(&disk->tree);
    if (disk->hide)
        sim_tree_free(&disk->hidden);
    free(disk);
}

void sim_disk_down(struct sim_disk *disk)
{
    disk->dead = true;
}

void sim_disk_up(struct sim_disk *disk)
{
    disk->dead = false;
    disk->epoch++;
    disk->used_counted = false;
}

void sim_disk_crash(struct sim_node *node)
{
    struct sim_disk *disk = node->sim_disk;
    sim_world_note(node->world, node, "disk loses what was not synced");
    disk->epoch++;
    disk->used_counted = false;
    sim_tree_crash(&disk->tree, disk->random_state);
    if (disk->hide)
        sim_tree_crash(&disk->hidden, disk->random_state);
}

void sim_disk_sync_all(struct sim_node *node)
{
    sim_tree_sync_all(&node->sim_disk->tree);
}

void sim_disk_set_capacity(struct sim_node *node, uint64_t bytes)
{
    node->sim_disk->capacity_bytes = bytes;
}

void sim_disk_set_read_only(struct sim_node *node, bool read_only)
{
    node->sim_disk->read_only = read_only;
}

void sim_disk_fail(struct sim_node *node, unsigned operations, struct fault *fault, enum err e)
{
    node->sim_disk->fail_operations = operations;
    node->sim_disk->fail = fault;
    node->sim_disk->fail_with = e;
}

/* The list heads move with the struct. */
static void move_tree(struct sim_tree *from, struct sim_tree *to)
{
    *to = *from;
    struct list *heads[][2] = {{&from->inodes, &to->inodes}, {&from->changes, &to->changes}};
    for (size_t i = 0; i < 2; i++) {
        if (list_empty(heads[i][0])) {
            list_init(heads[i][1]);
            continue;
        }
        heads[i][1]->next->previous = heads[i][1];
        heads[i][1]->previous->next = heads[i][1];
    }
}

void sim_disk_hide(struct sim_node *node, bool hide)
{
    struct sim_disk *disk = node->sim_disk;
    if (disk->hide == hide)
        return;
    disk->hide = hide;
    disk->epoch++;
    disk->used_counted = false;
    if (hide) {
        move_tree(&disk->tree, &disk->hidden);
        sim_tree_init(&disk->tree);
    } else {
        sim_tree_free(&disk->tree);
        move_tree(&disk->hidden, &disk->tree);
    }
}

enum err sim_disk_rot(struct sim_node *node, const char *path, uint64_t offset, uint64_t size)
{
    struct sim_inode *inode;
    enum err e = sim_tree_find(&node->sim_disk->tree, path, &inode);
    if (e != ERR_OK)
        return e;
    if (inode->is_directory || offset > inode->file.size || size > inode->file.size - offset)
        return ERR_USAGE;
    for (uint64_t i = 0; i < size; i++)
        sim_file_rot(&inode->file, offset + i,
                     (uint8_t)(1 + sim_world_next(node->sim_disk->random_state) % 255));
    return ERR_OK;
}

static unsigned count_or_find(struct sim_inode *directory, uint64_t size_min, char *path,
                              size_t path_size, unsigned skip, struct sim_inode **out)
{
    unsigned count = 0;
    size_t used = strlen(path);
    for (size_t i = 0; i < directory->now.count && !*out; i++) {
        struct sim_name *item = &directory->now.items[i];
        (void)snprintf(path + used, path_size - used, "%s%s", used ? "/" : "", item->name);
        if (item->inode->is_directory)
            count += count_or_find(item->inode, size_min, path, path_size, skip - count, out);
        else if (item->inode->file.size >= size_min && item->inode->file.size > 0 &&
                 count++ == skip)
            *out = item->inode;
        if (!*out)
            path[used] = 0;
    }
    return count;
}

void sim_disk_rot_any(struct sim_node *node, uint64_t size_min, char *out_path, size_t path_size)
{
    struct sim_inode *root = node->sim_disk->tree.root, *found = NULL;
    out_path[0] = 0;
    unsigned count = count_or_find(root, size_min, out_path, path_size, UINT32_MAX, &found);
    out_path[0] = 0;
    if (count == 0)
        return;
    (void)count_or_find(root, size_min, out_path, path_size,
                        (unsigned)sim_world_below(node->world, count), &found);
    sim_file_rot(&found->file, sim_world_below(node->world, found->file.size),
                 (uint8_t)(1 << sim_world_below(node->world, 8)));
}

struct sim_disk_image *sim_disk_save(struct sim_node *node)
{
    struct sim_disk_image *image = sim_world_alloc(sizeof(*image));
    sim_tree_copy(&node->sim_disk->tree, &image->tree);
    return image;
}

void sim_disk_load(struct sim_node *node, const struct sim_disk_image *image)
{
    struct sim_disk *disk = node->sim_disk;
    disk->epoch++;
    disk->used_counted = false;
    assert(disk->counters.open_files == 0);
    sim_tree_free(&disk->tree);
    sim_tree_copy(&image->tree, &disk->tree);
}

void sim_disk_image_free(struct sim_disk_image *image)
{
    if (!image)
        return;
    sim_tree_free(&image->tree);
    free(image);
}

void sim_disk_counters(const struct sim_node *node, struct sim_disk_counters *out)
{
    const struct sim_disk *disk = node->sim_disk;
    *out = disk->counters;
    out->used_bytes = used_by(disk->tree.root);
    out->unsynced_names = disk->tree.change_count;
    list_for_each(link, &disk->tree.inodes) out->unsynced_files +=
        !sim_file_is_durable(&container_of(link, struct sim_inode, link)->file);
}
