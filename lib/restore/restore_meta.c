#include "restore/restore_internal.h"

#include <stdlib.h>

/* Copies a text with a NUL behind it into the block; returns where it stands. */
static char *put_text(char **at, struct slice text)
{
    char *here = *at;
    if (text.size > 0)
        memcpy(here, text.data, text.size);
    here[text.size] = 0;
    *at += text.size + 1;
    return here;
}

static size_t xattr_bytes(const struct snapshot_entry *from, size_t *count)
{
    struct snapshot_xattrs walk;
    struct snapshot_xattr one;
    size_t size = 0;
    *count = 0;
    snapshot_xattrs_open(&walk, from->xattrs);
    while (snapshot_xattrs_next(&walk, &one)) {
        size += one.name.size + 1;
        (*count)++;
    }
    return size;
}

/* Slices of the entry stay borrowed: values of attributes. */
static void put_xattrs(const struct snapshot_entry *from, struct restore_meta *out, char **at)
{
    struct snapshot_xattrs walk;
    struct snapshot_xattr one;
    size_t i = 0;
    snapshot_xattrs_open(&walk, from->xattrs);
    while (snapshot_xattrs_next(&walk, &one))
        out->details.xattrs[i++] =
            (struct fs_xattr){.name = put_text(at, one.name), .value = one.value};
}

enum err restore_meta(const struct snapshot_entry *from, struct restore_meta *out)
{
    size_t xattr_count = 0;
    const size_t names = from->xattrs.size ? xattr_bytes(from, &xattr_count) : 0;
    const size_t list = xattr_count * sizeof(struct fs_xattr);
    const size_t texts =
        from->name.size + from->user.size + from->group.size + from->target.size + 4;
    *out = (struct restore_meta){.memory = malloc(list + texts + names)};
    if (!out->memory)
        return ERR_NOMEM;
    char *at = out->memory + list;
    out->entry = (struct fs_entry){
        .name = slice_of(put_text(&at, from->name), from->name.size),
        .type = (enum fs_type)from->type,
        .mode = from->mode,
        .uid = from->uid,
        .gid = from->gid,
        .user = put_text(&at, from->user),
        .group = put_text(&at, from->group),
        .size = from->size,
        .mtime = {from->mtime_s, from->mtime_ns},
        .atime = {from->mtime_s, from->mtime_ns},
        .ctime = {from->ctime_s, from->ctime_ns},
        .device = from->device,
        .inode = from->inode,
        .links = from->links,
        .rdev_major = from->rdev_major,
        .rdev_minor = from->rdev_minor,
        .sparse = from->sparse,
    };
    out->details = (struct fs_details){
        .xattrs = xattr_count ? (struct fs_xattr *)(void *)out->memory : NULL,
        .xattr_count = xattr_count,
        .target = slice_of(put_text(&at, from->target), from->target.size),
        .inode_flags = from->inode_flags,
    };
    if (xattr_count)
        put_xattrs(from, out, &at);
    return ERR_OK;
}

void restore_meta_free(struct restore_meta *meta)
{
    free(meta->memory);
    meta->memory = NULL;
}
