#include "mount/mount_internal.h"

#include <stdlib.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* splitmix64's finish: spreads what differs in a few bits over all of them. */
static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = a * 0x9e3779b97f4a7c15u + b;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t mix_text(uint64_t a, const char *text)
{
    for (; *text; text++)
        a = mix(a, (uint8_t)*text);
    return mix(a, 0);
}

/* --- the table --- */

static void dir_free(struct mount_dir *dir)
{
    if (!dir)
        return;
    buf_free(&dir->entry);
    free(dir->label);
    free(dir);
}

void mount_dirs_free(struct mount *mount)
{
    for (size_t i = 0; i < mount->dir_count; i++)
        dir_free(mount->dirs[i]);
    free(mount->dirs);
    free(mount->free_numbers);
    idmap_free(&mount->dirs_by_key);
}

static bool grow(void *array, size_t size, size_t count, size_t *capacity)
{
    void **data = array;
    if (count < *capacity)
        return true;
    const size_t more = *capacity ? *capacity * 2 : 64;
    void *bigger = realloc(*data, more * size);
    if (!bigger)
        return false;
    *data = bigger;
    *capacity = more;
    return true;
}

/* Takes a number and a place in both tables; room for the number's return is made here too. */
static enum err enter(struct mount *mount, struct mount_dir *dir)
{
    const bool reuse = mount->free_count > 0;
    if (!reuse &&
        (mount->dir_count >= MOUNT_DIRS_MAX ||
         !grow(&mount->dirs, sizeof(struct mount_dir *), mount->dir_count, &mount->dir_capacity) ||
         !grow(&mount->free_numbers, sizeof(uint32_t), mount->dir_count, &mount->free_capacity)))
        return ERR_NOMEM;
    const enum err e = idmap_set(&mount->dirs_by_key, &dir->key, dir);
    if (e != ERR_OK)
        return e;
    dir->number = reuse ? mount->free_numbers[--mount->free_count] : mount->dir_count++;
    mount->dirs[dir->number] = dir;
    return ERR_OK;
}

enum err mount_dirs_open(struct mount *mount)
{
    struct mount_dir *root = calloc(1, sizeof(*root));
    if (!root)
        return ERR_NOMEM;
    root->shelf = MOUNT_SHELF_ROOT;
    root->inode = root->parent_inode = FUSE_ROOT_ID;
    root->lookups = 1; /* never forgotten */
    if (enter(mount, root) == ERR_OK)
        return ERR_OK;
    dir_free(root);
    return ERR_NOMEM;
}

struct mount_dir *mount_dir_of(const struct mount *mount, fuse_ino_t node)
{
    const uint64_t number = node == FUSE_ROOT_ID ? 0 : node >> MOUNT_PLACE_BITS;
    return number < mount->dir_count ? mount->dirs[number] : NULL;
}

void mount_dir_forget(struct mount *mount, fuse_ino_t node, uint64_t lookups)
{
    struct mount_dir *dir = mount_place(node) == 0 ? mount_dir_of(mount, node) : NULL;
    if (!dir || dir->number == 0)
        return;
    dir->lookups -= lookups < dir->lookups ? lookups : dir->lookups;
    if (dir->lookups > 0)
        return;
    (void)idmap_remove(&mount->dirs_by_key, &dir->key);
    mount->dirs[dir->number] = NULL;
    mount->free_numbers[mount->free_count++] = (uint32_t)dir->number;
    dir_free(dir);
}

/* The map hashes the first eight bytes: they are mixed. */
static struct id key_of(const struct mount_dir *parent, uint64_t a, uint64_t b)
{
    struct id key = {0};
    put_le64(key.bytes, mix(mix(parent->inode, a), b));
    put_le64(key.bytes + 8, parent->inode);
    put_le64(key.bytes + 16, a);
    put_le64(key.bytes + 24, b);
    return key;
}

static struct mount_dir *dir_new(const struct mount_dir *parent, const struct id *key,
                                 struct slice entry)
{
    struct mount_dir *dir = calloc(1, sizeof(*dir));
    if (!dir)
        return NULL;
    dir->key = *key;
    dir->inode = get_le64(key->bytes);
    dir->parent_inode = parent->inode;
    dir->snapshot_inode = parent->snapshot_inode;
    dir->entry = BUF_INIT(SNAPSHOT_ENTRY_BYTES_MAX);
    if (buf_append(&dir->entry, entry.data, entry.size) == ERR_OK)
        return dir;
    dir_free(dir);
    return NULL;
}

static struct mount_dir *enter_or_free(struct mount *mount, struct mount_dir *dir)
{
    if (dir && enter(mount, dir) == ERR_OK)
        return dir;
    dir_free(dir);
    return NULL;
}

struct mount_dir *mount_dir_below(struct mount *mount, struct mount_dir *parent, uint64_t place,
                                  struct slice entry)
{
    const struct id key = key_of(parent, place, 0);
    struct mount_dir *dir = idmap_get(&mount->dirs_by_key, &key);
    return dir ? dir : enter_or_free(mount, dir_new(parent, &key, entry));
}

struct mount_dir *mount_dir_on_shelf(struct mount *mount, struct mount_dir *parent,
                                     const struct mount_view *view, const struct mount_item *item)
{
    if (item->kind == MOUNT_ITEM_SNAPSHOT) {
        const struct mount_snapshot *s = &view->snapshots[item->index];
        const struct id key = key_of(parent, get_le64(s->id.bytes), get_le64(s->id.bytes + 8));
        struct mount_dir *dir = idmap_get(&mount->dirs_by_key, &key);
        if (dir)
            return dir;
        dir = dir_new(parent, &key, buf_slice(&s->root));
        if (dir) {
            dir->top = true;
            dir->time_ns = s->time_ns;
            dir->snapshot_inode = dir->inode;
        }
        return enter_or_free(mount, dir);
    }
    const struct mount_shelf *shelf = &view->shelves[item->index];
    const struct id key =
        key_of(parent, shelf->kind, mix_text(1, shelf->label ? shelf->label : ""));
    struct mount_dir *dir = idmap_get(&mount->dirs_by_key, &key);
    if (dir)
        return dir;
    dir = dir_new(parent, &key, slice_of(NULL, 0));
    if (!dir)
        return NULL;
    dir->shelf = shelf->kind;
    if (shelf->label && !(dir->label = strdup(shelf->label))) {
        dir_free(dir);
        return NULL;
    }
    return enter_or_free(mount, dir);
}

/* --- attributes --- */

static mode_t type_bits(unsigned type)
{
    static const mode_t bits[] = {[1] = S_IFREG,  [2] = S_IFDIR, [3] = S_IFLNK, [4] = S_IFIFO,
                                  [5] = S_IFSOCK, [6] = S_IFBLK, [7] = S_IFCHR};
    return type < ARRAY_COUNT(bits) && bits[type] ? bits[type] : S_IFREG;
}

static void set_owner(const struct mount *mount, uid_t uid, gid_t gid, struct stat *out)
{
    out->st_uid = mount->options.owner_root ? 0 : uid;
    out->st_gid = mount->options.owner_root ? 0 : gid;
}

void mount_stat_entry(const struct mount *mount, const struct mount_dir *dir, uint64_t place,
                      const struct snapshot_entry *entry, struct stat *out)
{
    uint64_t data = entry->size;
    *out = (struct stat){
        .st_mode = type_bits(entry->type) | (entry->mode & 07777),
        .st_nlink = entry->links > 0 && entry->type != SNAPSHOT_TYPE_DIRECTORY ? entry->links : 1,
        .st_size = (off_t)entry->size,
        .st_blksize = 4096,
        .st_rdev = makedev(entry->rdev_major, entry->rdev_minor),
        .st_mtim = {.tv_sec = entry->mtime_s, .tv_nsec = entry->mtime_ns},
        .st_atim = {.tv_sec = entry->mtime_s, .tv_nsec = entry->mtime_ns},
        .st_ctim = {.tv_sec = entry->ctime_s, .tv_nsec = entry->ctime_ns},
    };
    out->st_ino = entry->links > 1 && entry->type != SNAPSHOT_TYPE_DIRECTORY
                      ? mix(mix(dir->snapshot_inode, entry->device), entry->inode)
                      : mix(mix(dir->inode, place), 0);
    set_owner(mount, entry->uid, entry->gid, out);
    if (entry->type == SNAPSHOT_TYPE_FILE && entry->sparse &&
        snapshot_refs_bytes(entry->content.refs, &data) != ERR_OK)
        data = entry->size;
    if (entry->type == SNAPSHOT_TYPE_FILE)
        out->st_blocks = (blkcnt_t)((data + 4095) / 4096 * 8);
    if (entry->type == SNAPSHOT_TYPE_SYMLINK)
        out->st_size = (off_t)entry->target.size;
    if (entry->type == SNAPSHOT_TYPE_DIRECTORY)
        out->st_size = 4096;
}

static void stat_shelf(const struct mount *mount, int64_t time_ns, mode_t mode, struct stat *out)
{
    const struct timespec time = {.tv_sec = time_ns / 1000000000, .tv_nsec = time_ns % 1000000000};
    *out = (struct stat){
        .st_mode = mode,
        .st_nlink = 1,
        .st_size = 4096,
        .st_blksize = 4096,
        .st_mtim = time,
        .st_atim = time,
        .st_ctim = time,
    };
    set_owner(mount, getuid(), getgid(), out);
}

enum err mount_stat_dir(const struct mount *mount, const struct mount_dir *dir, struct stat *out)
{
    struct snapshot_entry entry;
    if (dir->shelf) {
        const struct mount_shelf *shelf =
            mount->view ? mount_view_shelf(mount->view, dir->shelf, dir->label) : NULL;
        stat_shelf(mount, shelf ? shelf->time_ns : 0, S_IFDIR | 0555, out);
    } else if (dir->top) {
        stat_shelf(mount, dir->time_ns, S_IFDIR | 0555, out);
    } else {
        const enum err e = snapshot_entry_decode(buf_slice(&dir->entry), &entry, NULL);
        if (e != ERR_OK)
            return e;
        mount_stat_entry(mount, dir, 0, &entry, out);
    }
    out->st_ino = dir->inode;
    return ERR_OK;
}

void mount_stat_latest(const struct mount *mount, const struct mount_dir *dir, size_t target_size,
                       struct stat *out)
{
    const struct mount_shelf *shelf =
        mount->view ? mount_view_shelf(mount->view, dir->shelf, dir->label) : NULL;
    stat_shelf(mount, shelf ? shelf->time_ns : 0, S_IFLNK | 0777, out);
    out->st_size = (off_t)target_size;
    out->st_ino = mix(mix(dir->inode, MOUNT_PLACE_LATEST), 0);
}
