#include "mount/mount_view.h"

#include "mount/mount_names.h"
#include "vault/vault_select.h"

#include <stdlib.h>

void mount_view_free(struct mount_view *view)
{
    if (!view)
        return;
    for (size_t i = 0; i < view->shelf_count; i++) {
        struct mount_shelf *shelf = &view->shelves[i];
        for (size_t j = 0; j < shelf->count; j++)
            free(shelf->items[j].name);
        free(shelf->items);
        free(shelf->label);
    }
    for (size_t i = 0; i < view->snapshot_count; i++)
        buf_free(&view->snapshots[i].root);
    free(view->shelves);
    free(view->snapshots);
    free(view);
}

static enum err add_item(struct mount_shelf *shelf, const char *name, enum mount_item_kind kind,
                         size_t index)
{
    if (shelf->count == shelf->capacity) {
        const size_t capacity = shelf->capacity ? shelf->capacity * 2 : 8;
        struct mount_item *more = realloc(shelf->items, capacity * sizeof(*more));
        if (!more)
            return ERR_NOMEM;
        shelf->items = more;
        shelf->capacity = capacity;
    }
    char *copy = strdup(name);
    if (!copy)
        return ERR_NOMEM;
    shelf->items[shelf->count++] = (struct mount_item){copy, kind, index};
    return ERR_OK;
}

/* A new shelf on the shelf `on` (the root stands on nothing). */
static enum err add_shelf(struct mount_view *view, size_t on, const char *name,
                          enum mount_shelf_kind kind, bool labelled, size_t *out)
{
    struct mount_shelf *more =
        realloc(view->shelves, (view->shelf_count + 1) * sizeof(*view->shelves));
    if (!more)
        return ERR_NOMEM;
    view->shelves = more;
    *out = view->shelf_count++;
    view->shelves[*out] = (struct mount_shelf){.kind = kind};
    if (labelled && !(view->shelves[*out].label = strdup(name)))
        return ERR_NOMEM;
    return *out == 0 ? ERR_OK : add_item(&view->shelves[on], name, MOUNT_ITEM_SHELF, *out);
}

/* --- shelves with snapshots on them --- */

/* The snapshots for one shelf: their indexes in the view, oldest first. */
struct selection {
    size_t *indexes; /* owned */
    int64_t *times_ns;
    struct mount_name *names;
    size_t count;
};

static void selection_free(struct selection *s)
{
    free(s->indexes);
    free(s->times_ns);
    free(s->names);
}

static enum err selection_new(size_t max, struct selection *out)
{
    *out = (struct selection){
        .indexes = malloc((max + 1) * sizeof(*out->indexes)),
        .times_ns = malloc((max + 1) * sizeof(*out->times_ns)),
        .names = malloc((max + 1) * sizeof(*out->names)),
    };
    if (out->indexes && out->times_ns && out->names)
        return ERR_OK;
    selection_free(out);
    return ERR_NOMEM;
}

static void select_one(struct selection *s, const struct mount_view *view, size_t index)
{
    s->indexes[s->count] = index;
    s->times_ns[s->count++] = view->snapshots[index].time_ns;
}

static enum err fill_local(struct mount_view *view, size_t shelf, struct selection *s)
{
    enum err e = ERR_OK;
    mount_names_local(s->times_ns, s->count, s->names);
    for (size_t i = 0; e == ERR_OK && i < s->count; i++)
        e = add_item(&view->shelves[shelf], s->names[i].text, MOUNT_ITEM_SNAPSHOT, s->indexes[i]);
    if (e == ERR_OK && s->count > 0) {
        e = add_item(&view->shelves[shelf], "latest", MOUNT_ITEM_LATEST, s->count - 1);
        view->shelves[shelf].time_ns = s->times_ns[s->count - 1];
    }
    return e;
}

static enum err fill_gmt(struct mount_view *view, struct selection *s)
{
    enum err e = ERR_OK;
    const size_t count = mount_names_gmt(s->times_ns, s->count, s->names);
    for (size_t i = 0; e == ERR_OK && i < count; i++)
        e = add_item(&view->shelves[0], s->names[i].text, MOUNT_ITEM_SNAPSHOT,
                     s->indexes[s->names[i].snapshot]);
    return e;
}

static enum err fill_ids(struct mount_view *view, size_t shelf)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < view->snapshot_count; i++) {
        char id[ID_TEXT_SIZE];
        id_format(&view->snapshots[i].id, id);
        id[10] = 0;
        e = add_item(&view->shelves[shelf], id, MOUNT_ITEM_SNAPSHOT, i);
    }
    return e;
}

/* --- hosts and tags: one shelf for each word that occurs --- */

struct words {
    char (*list)[256]; /* owned; as directory names, sorted, each once */
    size_t count;
};

static int compare_words(const void *a, const void *b)
{
    return strcmp(a, b);
}

static enum err words_of(const struct vault_snapshots *from, const size_t *kept, size_t count,
                         bool tags, struct words *out)
{
    size_t max = 0, unique = 0;
    for (size_t i = 0; i < count; i++)
        max += tags ? from->list[kept[i]].snapshot.tag_count : 1;
    *out = (struct words){.list = malloc((max + 1) * sizeof(*out->list))};
    if (!out->list)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct snapshot *s = &from->list[kept[i]].snapshot;
        for (size_t j = 0; j < (tags ? s->tag_count : 1); j++)
            mount_name_of(tags ? s->tags[j] : s->host, out->list[out->count++]);
    }
    qsort(out->list, out->count, sizeof(*out->list), compare_words);
    for (size_t i = 0; i < out->count; i++)
        if (i == 0 || strcmp(out->list[i], out->list[i - 1]) != 0)
            memmove(out->list[unique++], out->list[i], sizeof(*out->list));
    out->count = unique;
    return ERR_OK;
}

static bool has_word(const struct snapshot *s, bool tags, const char *word)
{
    char name[256];
    for (size_t i = 0; i < (tags ? s->tag_count : 1); i++) {
        mount_name_of(tags ? s->tags[i] : s->host, name);
        if (!strcmp(name, word))
            return true;
    }
    return false;
}

static enum err fill_words(struct mount_view *view, const struct vault_snapshots *from,
                           const size_t *kept, size_t on, bool tags, struct selection *s)
{
    struct words words;
    enum err e = words_of(from, kept, view->snapshot_count, tags, &words);
    for (size_t i = 0; e == ERR_OK && i < words.count; i++) {
        size_t shelf;
        e = add_shelf(view, on, words.list[i], tags ? MOUNT_SHELF_TAG : MOUNT_SHELF_HOST, true,
                      &shelf);
        s->count = 0;
        for (size_t j = 0; j < view->snapshot_count; j++)
            if (has_word(&from->list[kept[j]].snapshot, tags, words.list[i]))
                select_one(s, view, j);
        if (e == ERR_OK)
            e = fill_local(view, shelf, s);
    }
    free(words.list);
    return e;
}

/* --- all of it --- */

static enum err take_snapshots(struct mount_view *view, const struct vault_snapshots *from,
                               const char *host, const char *const *tags, size_t tag_count,
                               size_t *kept)
{
    view->snapshots = calloc(from->count + 1, sizeof(*view->snapshots));
    enum err e = view->snapshots ? ERR_OK : ERR_NOMEM;
    for (size_t i = 0; e == ERR_OK && i < from->count; i++) {
        const struct vault_snapshot *s = &from->list[i];
        if (!vault_select_host_and_tags(&s->snapshot, host, tags, tag_count))
            continue;
        struct mount_snapshot *to = &view->snapshots[view->snapshot_count];
        kept[view->snapshot_count++] = i;
        *to = (struct mount_snapshot){
            .id = s->id, .time_ns = s->snapshot.time_ns, .root = BUF_INIT(SNAPSHOT_BYTES_MAX)};
        view->bytes += s->snapshot.totals.bytes;
        view->files +=
            s->snapshot.totals.files + s->snapshot.totals.directories + s->snapshot.totals.others;
        e = buf_append(&to->root, s->snapshot.root.data, s->snapshot.root.size);
    }
    return e;
}

static int compare_items(const void *a, const void *b)
{
    return strcmp(((const struct mount_item *)a)->name, ((const struct mount_item *)b)->name);
}

static void sort_shelf(struct mount_shelf *shelf)
{
    const struct mount_item *latest = NULL;
    char *leads_to = NULL;
    for (size_t i = 0; i < shelf->count; i++)
        if (shelf->items[i].kind == MOUNT_ITEM_LATEST)
            latest = &shelf->items[i];
    if (latest)
        leads_to = shelf->items[latest->index].name;
    if (shelf->count > 1)
        qsort(shelf->items, shelf->count, sizeof(*shelf->items), compare_items);
    for (size_t i = 0; leads_to && i < shelf->count; i++) {
        if (shelf->items[i].kind == MOUNT_ITEM_LATEST) {
            for (size_t j = 0; j < shelf->count; j++)
                if (shelf->items[j].name == leads_to)
                    shelf->items[i].index = j;
        }
    }
}

static enum err fill(struct mount_view *view, const struct vault_snapshots *from,
                     const size_t *kept, struct selection *s)
{
    size_t root, ids, snapshots, hosts, tags;
    enum err e = add_shelf(view, 0, "", MOUNT_SHELF_ROOT, false, &root);
    if (e == ERR_OK)
        e = add_shelf(view, root, "ids", MOUNT_SHELF_IDS, false, &ids);
    if (e == ERR_OK)
        e = add_shelf(view, root, "snapshots", MOUNT_SHELF_SNAPSHOTS, false, &snapshots);
    if (e == ERR_OK)
        e = add_shelf(view, root, "hosts", MOUNT_SHELF_HOSTS, false, &hosts);
    if (e == ERR_OK)
        e = add_shelf(view, root, "tags", MOUNT_SHELF_TAGS, false, &tags);
    for (size_t i = 0; i < view->snapshot_count; i++)
        select_one(s, view, i);
    if (e == ERR_OK)
        e = fill_ids(view, ids);
    if (e == ERR_OK)
        e = fill_gmt(view, s);
    if (e == ERR_OK)
        e = fill_local(view, snapshots, s);
    if (e == ERR_OK)
        e = fill_words(view, from, kept, hosts, false, s);
    if (e == ERR_OK)
        e = fill_words(view, from, kept, tags, true, s);
    return e;
}

enum err mount_view_new(const struct vault_snapshots *from, const char *host,
                        const char *const *tags, size_t tag_count, struct mount_view **out)
{
    struct mount_view *view = calloc(1, sizeof(*view));
    size_t *kept = malloc((from->count + 1) * sizeof(*kept));
    struct selection s = {0};
    enum err e = view && kept ? selection_new(from->count, &s) : ERR_NOMEM;
    if (e == ERR_OK)
        e = take_snapshots(view, from, host, tags, tag_count, kept);
    if (e == ERR_OK)
        e = fill(view, from, kept, &s);
    selection_free(&s);
    free(kept);
    if (e != ERR_OK) {
        mount_view_free(view);
        return e;
    }
    const int64_t newest =
        view->snapshot_count ? view->snapshots[view->snapshot_count - 1].time_ns : 0;
    for (size_t i = 0; i < view->shelf_count; i++) {
        sort_shelf(&view->shelves[i]);
        if (view->shelves[i].time_ns == 0)
            view->shelves[i].time_ns = newest;
    }
    *out = view;
    return ERR_OK;
}

const struct mount_shelf *mount_view_shelf(const struct mount_view *view,
                                           enum mount_shelf_kind kind, const char *label)
{
    for (size_t i = 0; i < view->shelf_count; i++) {
        const struct mount_shelf *shelf = &view->shelves[i];
        if (shelf->kind == kind && (!label || !strcmp(shelf->label, label)))
            return shelf;
    }
    return NULL;
}

const struct mount_item *mount_shelf_find(const struct mount_shelf *shelf, struct slice name)
{
    size_t first = 0, end = shelf->count;
    while (first < end) {
        const size_t middle = first + (end - first) / 2;
        const char *text = shelf->items[middle].name;
        const size_t size = strlen(text);
        int order = memcmp(text, name.data, size < name.size ? size : name.size);
        if (order == 0)
            order = (size > name.size) - (size < name.size);
        if (order == 0)
            return &shelf->items[middle];
        if (order < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return NULL;
}
