#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/fs_internal.h"

enum { READ_BYTES = 65536 };

void fs_list_free(struct fs_list *list)
{
    free(list->names);
    free(list->text);
    *list = FS_LIST_INIT;
}

static uint64_t key_of(const uint8_t *name, size_t size)
{
    uint64_t key = 0;
    for (size_t i = 0; i < 8; i++)
        key = key << 8 | (i < size ? name[i] : 0);
    return key;
}

static int compare_text(const void *a, size_t a_size, const void *b, size_t b_size)
{
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    if (order == 0)
        order = (a_size > b_size) - (a_size < b_size);
    return order;
}

static int compare(const void *left, const void *right, void *text)
{
    const struct fs_list_name *a = left, *b = right;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return compare_text((char *)text + a->offset, a->size, (char *)text + b->offset, b->size);
}

struct growing {
    size_t name_capacity, text_capacity;
};

static enum err add(struct fs_list *list, struct growing *g, const struct dirent64 *d)
{
    size_t size = strlen(d->d_name);
    if (size > UINT16_MAX || list->text_size + size + 1 > UINT32_MAX)
        return ERR_TOO_LARGE;
    if (list->count == g->name_capacity) {
        size_t capacity = g->name_capacity ? g->name_capacity * 2 : 32;
        struct fs_list_name *names = reallocarray(list->names, capacity, sizeof(*names));
        if (!names)
            return ERR_NOMEM;
        list->names = names;
        g->name_capacity = capacity;
    }
    if (list->text_size + size + 1 > g->text_capacity) {
        size_t capacity = g->text_capacity ? g->text_capacity * 2 : 1024;
        while (capacity < list->text_size + size + 1)
            capacity *= 2;
        char *text = realloc(list->text, capacity);
        if (!text)
            return ERR_NOMEM;
        list->text = text;
        g->text_capacity = capacity;
    }
    list->names[list->count++] = (struct fs_list_name){
        .key = key_of((const uint8_t *)d->d_name, size),
        .inode = d->d_ino,
        .offset = (uint32_t)list->text_size,
        .size = (uint16_t)size,
        .type = d->d_type,
    };
    memcpy(list->text + list->text_size, d->d_name, size + 1);
    list->text_size += size + 1;
    return ERR_OK;
}

static void sort(struct fs_list *list)
{
    if (list->count < 2)
        return;
    qsort_r(list->names, list->count, sizeof(*list->names), compare, list->text);
    /* a directory that changes while it is read may show a name twice */
    size_t kept = 1;
    for (size_t i = 1; i < list->count; i++)
        if (!slice_equal(fs_list_at(list, i), fs_list_at(list, kept - 1)))
            list->names[kept++] = list->names[i];
    list->count = kept;
}

enum err fs_list_read(int fd, struct fs_list *out, int *number)
{
    *out = FS_LIST_INIT;
    *number = 0;
    _Alignas(struct dirent64) char space[READ_BYTES];
    struct growing growing = {0};
    enum err e = ERR_OK;
    ssize_t got;
    while (e == ERR_OK && (got = getdents64(fd, space, sizeof(space))) != 0) {
        if (got < 0) {
            *number = errno;
            e = err_from_errno(errno);
            break;
        }
        for (ssize_t at = 0; at < got && e == ERR_OK;) {
            const struct dirent64 *d = (const struct dirent64 *)(const void *)(space + at);
            at += d->d_reclen;
            if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
                e = add(out, &growing, d);
        }
    }
    sort(out);
    return e;
}

size_t fs_list_find(const struct fs_list *list, struct slice name)
{
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct slice at = fs_list_at(list, middle);
        int order = compare_text(at.data, at.size, name.data, name.size);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return list->count;
}
