#include "harness/sim_tree.h"

#include "harness/sim_internal.h"

#include <stdlib.h>

/* One change of names: in one directory, or in two at once. */
struct change {
    struct list link;
    bool chosen;
    unsigned count;
    struct {
        struct sim_inode *directory; /* referenced */
        char *name;                  /* owned */
        struct sim_inode *inode;     /* referenced; NULL: the name goes */
    } part[2];
};

/* --- names --- */

static size_t place_of(const struct sim_names *names, const char *name, bool *found)
{
    size_t low = 0, high = names->count;
    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(names->items[middle].name, name);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void insert(struct sim_names *names, size_t place, const char *name)
{
    if (names->count == names->capacity) {
        size_t capacity = names->capacity ? 2 * names->capacity : 8;
        names->items = sim_world_grow(names->items, names->count * sizeof(*names->items),
                                      capacity * sizeof(*names->items));
        names->capacity = capacity;
    }
    memmove(names->items + place + 1, names->items + place,
            (names->count - place) * sizeof(*names->items));
    names->items[place] = (struct sim_name){.name = sim_world_copy_text(name)};
    names->count++;
}

static void set_name(struct sim_names *names, const char *name, struct sim_inode *inode)
{
    bool found;
    size_t place = place_of(names, name, &found);
    if (inode) {
        sim_tree_ref(inode);
        if (!found)
            insert(names, place, name);
        else
            sim_tree_unref(names->items[place].inode);
        names->items[place].inode = inode;
    } else if (found) {
        struct sim_name gone = names->items[place];
        names->count--;
        memmove(names->items + place, names->items + place + 1,
                (names->count - place) * sizeof(*names->items));
        free(gone.name);
        sim_tree_unref(gone.inode);
    }
}

static void clear_names(struct sim_names *names)
{
    struct sim_names old = *names;
    *names = (struct sim_names){0};
    for (size_t i = 0; i < old.count; i++) {
        free(old.items[i].name);
        sim_tree_unref(old.items[i].inode);
    }
    free(old.items);
}

/* --- inodes --- */

void sim_tree_ref(struct sim_inode *inode)
{
    inode->references++;
}

void sim_tree_unref(struct sim_inode *inode)
{
    assert(inode->references > 0);
    if (--inode->references > 0)
        return;
    clear_names(&inode->now);
    clear_names(&inode->platter);
    sim_file_free(&inode->file);
    list_remove(&inode->link);
    free(inode);
}

static struct sim_inode *new_inode(struct sim_tree *tree, bool is_directory)
{
    struct sim_inode *inode = sim_world_alloc(sizeof(*inode));
    inode->is_directory = is_directory;
    inode->references = 1;
    list_append(&tree->inodes, &inode->link);
    return inode;
}

void sim_tree_init(struct sim_tree *tree)
{
    *tree = (struct sim_tree){0};
    list_init(&tree->inodes);
    list_init(&tree->changes);
    tree->root = new_inode(tree, true);
}

static void free_change(struct sim_tree *tree, struct change *change)
{
    list_remove(&change->link);
    tree->change_count--;
    for (unsigned i = 0; i < change->count; i++) {
        sim_tree_unref(change->part[i].directory);
        if (change->part[i].inode)
            sim_tree_unref(change->part[i].inode);
        free(change->part[i].name);
    }
    free(change);
}

void sim_tree_free(struct sim_tree *tree)
{
    while (!list_empty(&tree->changes))
        free_change(tree, container_of(tree->changes.next, struct change, link));
    /* names may form circles between now and the platter: all of them first */
    list_for_each(link, &tree->inodes) container_of(link, struct sim_inode, link)->references++;
    list_for_each(link, &tree->inodes)
    {
        clear_names(&container_of(link, struct sim_inode, link)->now);
        clear_names(&container_of(link, struct sim_inode, link)->platter);
    }
    sim_tree_unref(tree->root);
    while (!list_empty(&tree->inodes))
        sim_tree_unref(container_of(tree->inodes.next, struct sim_inode, link));
}

struct sim_inode *sim_tree_child(const struct sim_inode *directory, const char *name)
{
    bool found;
    size_t place = place_of(&directory->now, name, &found);
    return found ? directory->now.items[place].inode : NULL;
}

static bool allowed(const char *name)
{
    return *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* Walks all components of `path` but those from `end` on. */
static enum err walk(const struct sim_tree *tree, const char *path, const char *end,
                     struct sim_inode **out)
{
    struct sim_inode *at = tree->root;
    char name[256];
    while (path < end) {
        size_t size = strcspn(path, "/");
        if (size >= sizeof(name))
            return ERR_USAGE;
        memcpy(name, path, size);
        name[size] = 0;
        if (!allowed(name))
            return ERR_USAGE;
        at = at->is_directory ? sim_tree_child(at, name) : NULL;
        if (!at)
            return ERR_NOT_FOUND;
        path += size + (path[size] == '/');
    }
    *out = at;
    return ERR_OK;
}

enum err sim_tree_find(const struct sim_tree *tree, const char *path, struct sim_inode **out)
{
    size_t size = strlen(path);
    if (size > 0 && (path[0] == '/' || path[size - 1] == '/'))
        return ERR_USAGE;
    return walk(tree, path, path + size, out);
}

enum err sim_tree_find_parent(const struct sim_tree *tree, const char *path,
                              struct sim_inode **out_directory, const char **out_name)
{
    const char *slash = strrchr(path, '/');
    *out_name = slash ? slash + 1 : path;
    if (path[0] == '/' || !allowed(*out_name) || strlen(*out_name) > 255)
        return ERR_USAGE;
    enum err e = walk(tree, path, slash ? slash : path, out_directory);
    if (e == ERR_OK && !(*out_directory)->is_directory)
        e = ERR_NOT_FOUND;
    return e;
}

/* --- changes --- */

static void add_part(struct change *change, struct sim_inode *directory, const char *name,
                     struct sim_inode *inode)
{
    unsigned i = change->count++;
    change->part[i].directory = directory;
    change->part[i].name = sim_world_copy_text(name);
    change->part[i].inode = inode;
    sim_tree_ref(directory);
    if (inode)
        sim_tree_ref(inode);
}

void sim_tree_change(struct sim_tree *tree, struct sim_inode *from_directory, const char *from,
                     struct sim_inode *directory, const char *name, struct sim_inode *inode)
{
    struct change *change = sim_world_alloc(sizeof(*change));
    if (from)
        add_part(change, from_directory, from, NULL);
    add_part(change, directory, name, inode);
    list_append(&tree->changes, &change->link);
    tree->change_count++;
    for (unsigned i = 0; i < change->count; i++)
        set_name(&change->part[i].directory->now, change->part[i].name, change->part[i].inode);
}

struct sim_inode *sim_tree_make(struct sim_tree *tree, struct sim_inode *directory,
                                const char *name, bool is_directory)
{
    struct sim_inode *inode = new_inode(tree, is_directory);
    sim_tree_change(tree, NULL, NULL, directory, name, inode);
    sim_tree_unref(inode); /* the names hold it */
    return inode;
}

static void to_platter(struct sim_tree *tree, struct change *change)
{
    for (unsigned i = 0; i < change->count; i++)
        set_name(&change->part[i].directory->platter, change->part[i].name, change->part[i].inode);
    free_change(tree, change);
}

static void write_chosen(struct sim_tree *tree)
{
    for (struct list *link = tree->changes.next, *next; link != &tree->changes; link = next) {
        next = link->next;
        struct change *change = container_of(link, struct change, link);
        if (change->chosen)
            to_platter(tree, change);
    }
}

/* A change of two directories takes with it what came before in the other one, so that the platter
   never sees the changes of one directory out of order. */
void sim_tree_sync(struct sim_tree *tree, struct sim_inode *directory)
{
    directory->marked = true;
    for (struct list *link = tree->changes.previous; link != &tree->changes;
         link = link->previous) {
        struct change *change = container_of(link, struct change, link);
        for (unsigned i = 0; i < change->count; i++)
            change->chosen = change->chosen || change->part[i].directory->marked;
        for (unsigned i = 0; i < change->count && change->chosen; i++)
            change->part[i].directory->marked = true;
    }
    list_for_each(link, &tree->inodes) container_of(link, struct sim_inode, link)->marked = false;
    write_chosen(tree);
}

void sim_tree_sync_all(struct sim_tree *tree)
{
    while (!list_empty(&tree->changes))
        to_platter(tree, container_of(tree->changes.next, struct change, link));
    list_for_each(link, &tree->inodes)
        sim_file_sync(&container_of(link, struct sim_inode, link)->file);
}

/* What is shows what is on the platter. */
static void settle(struct sim_inode *directory)
{
    struct sim_names old = directory->now;
    directory->now = (struct sim_names){0};
    for (size_t i = 0; i < directory->platter.count; i++) {
        struct sim_name *item = &directory->platter.items[i];
        set_name(&directory->now, item->name, item->inode);
        if (item->inode->is_directory)
            settle(item->inode);
    }
    clear_names(&old);
}

void sim_tree_crash(struct sim_tree *tree, uint64_t random_state[4])
{
    unsigned mood = (unsigned)(sim_world_next(random_state) % 5); /* none, all, journal, else any */
    size_t kept = tree->change_count ? sim_world_next(random_state) % (tree->change_count + 1) : 0;
    size_t index = 0;
    list_for_each(link, &tree->changes)
    {
        bool any = sim_world_next(random_state) % 2;
        container_of(link, struct change, link)->chosen =
            mood == 1 || (mood == 2 && index < kept) || (mood > 2 && any);
        index++;
    }
    write_chosen(tree);
    while (!list_empty(&tree->changes))
        free_change(tree, container_of(tree->changes.next, struct change, link));
    settle(tree->root);
    list_for_each(link, &tree->inodes)
        sim_file_crash(&container_of(link, struct sim_inode, link)->file, random_state);
}

static void copy_directory(const struct sim_inode *from, struct sim_tree *tree,
                           struct sim_inode *to)
{
    for (size_t i = 0; i < from->now.count; i++) {
        const struct sim_inode *child = from->now.items[i].inode;
        struct sim_inode *copy =
            sim_tree_make(tree, to, from->now.items[i].name, child->is_directory);
        if (child->is_directory)
            copy_directory(child, tree, copy);
        else
            sim_file_copy(&child->file, &copy->file);
    }
}

void sim_tree_copy(const struct sim_tree *from, struct sim_tree *to)
{
    sim_tree_init(to);
    copy_directory(from->root, to, to->root);
    sim_tree_sync_all(to);
}
