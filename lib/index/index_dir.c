#include "base/buf.h"
#include "index/index_cache.h"

enum {
    VERSION = 1,
    TREE_AT = 1,
    COUNT_AT = TREE_AT + ID_SIZE,
    ENTRIES_AT = COUNT_AT + 4,
};

enum err index_dir_start(struct buf *row)
{
    *row = BUF_INIT(INDEX_DIR_BYTES_MAX);
    enum err e = buf_append_u8(row, VERSION);
    if (e == ERR_OK)
        e = buf_append_zeros(row, ENTRIES_AT - TREE_AT);
    return e;
}

static int compare_names(struct slice a, struct slice b)
{
    int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
    return order != 0 ? order : a.size < b.size ? -1 : a.size > b.size;
}

static enum err append_fields(struct buf *row, const struct index_cached *entry)
{
    enum err e = buf_append_le16(row, (uint16_t)entry->name.size);
    if (e == ERR_OK)
        e = buf_append(row, entry->name.data, entry->name.size);
    if (e == ERR_OK)
        e = buf_append_u8(row, entry->type);
    if (e == ERR_OK)
        e = buf_append_le64(row, entry->size);
    if (e == ERR_OK)
        e = buf_append_le64(row, (uint64_t)entry->mtime_s);
    if (e == ERR_OK)
        e = buf_append_le32(row, entry->mtime_ns);
    if (e == ERR_OK)
        e = buf_append_le64(row, (uint64_t)entry->ctime_s);
    if (e == ERR_OK)
        e = buf_append_le32(row, entry->ctime_ns);
    if (e == ERR_OK)
        e = buf_append_le64(row, entry->inode);
    if (e == ERR_OK)
        e = buf_append_le32(row, (uint32_t)entry->node.size);
    if (e == ERR_OK)
        e = buf_append(row, entry->node.data, entry->node.size);
    return e;
}

enum err index_dir_append(struct buf *row, const struct index_cached *entry)
{
    if (row->size < ENTRIES_AT || entry->name.size == 0)
        return ERR_USAGE;
    uint32_t count = get_le32(row->data + COUNT_AT);
    if (entry->name.size > UINT16_MAX || entry->node.size > INDEX_DIR_BYTES_MAX ||
        count == UINT32_MAX)
        return ERR_TOO_LARGE;
    size_t before = row->size;
    enum err e = append_fields(row, entry);
    if (e != ERR_OK)
        row->size = before;
    else
        put_le32(row->data + COUNT_AT, count + 1);
    return e;
}

void index_dir_set_tree(struct buf *row, const struct id *tree)
{
    memcpy(row->data + TREE_AT, tree->bytes, ID_SIZE);
}

static enum err read_entry(struct cursor *c, struct index_cached *out)
{
    uint16_t name_size = 0;
    uint32_t node_size = 0;
    uint64_t mtime = 0, ctime = 0;
    enum err e = cursor_le16(c, &name_size);
    if (e == ERR_OK)
        e = cursor_take(c, name_size, &out->name);
    if (e == ERR_OK)
        e = cursor_u8(c, &out->type);
    if (e == ERR_OK)
        e = cursor_le64(c, &out->size);
    if (e == ERR_OK)
        e = cursor_le64(c, &mtime);
    if (e == ERR_OK)
        e = cursor_le32(c, &out->mtime_ns);
    if (e == ERR_OK)
        e = cursor_le64(c, &ctime);
    if (e == ERR_OK)
        e = cursor_le32(c, &out->ctime_ns);
    if (e == ERR_OK)
        e = cursor_le64(c, &out->inode);
    if (e == ERR_OK)
        e = cursor_le32(c, &node_size);
    if (e == ERR_OK)
        e = cursor_take(c, node_size, &out->node);
    out->mtime_s = (int64_t)mtime;
    out->ctime_s = (int64_t)ctime;
    return e == ERR_OK && name_size == 0 ? ERR_FORMAT : e;
}

enum err index_dir_next(struct index_dir *dir, struct index_cached *out)
{
    if (cursor_left(&dir->at) == 0)
        return ERR_END;
    return read_entry(&dir->at, out);
}

void index_dir_rewind(struct index_dir *dir)
{
    dir->at = cursor_over(buf_slice(&dir->body));
    if (cursor_skip(&dir->at, ENTRIES_AT) != ERR_OK) /* an empty one, freed or never parsed */
        dir->at = cursor_over(slice_of(NULL, 0));
}

void index_dir_free(struct index_dir *dir)
{
    buf_free(&dir->body);
    *dir = (struct index_dir){0};
}

/* Each entry whole, their number right, their names in order: a merge relies on all of it. */
static enum err check_entries(struct index_dir *dir)
{
    struct index_cached entry, before = {.name = {NULL, 0}};
    uint32_t count = 0;
    enum err e;
    index_dir_rewind(dir);
    while ((e = index_dir_next(dir, &entry)) == ERR_OK) {
        if (count++ > 0 && compare_names(before.name, entry.name) >= 0)
            return ERR_FORMAT;
        before = entry;
    }
    index_dir_rewind(dir);
    return e == ERR_END && count == dir->count ? ERR_OK : ERR_FORMAT;
}

enum err index_dir_parse(struct buf *body, struct index_dir *out)
{
    *out = (struct index_dir){.body = *body};
    *body = BUF_INIT(body->size_max);
    struct cursor c = cursor_over(buf_slice(&out->body));
    uint8_t version = 0;
    enum err e = cursor_u8(&c, &version);
    if (e == ERR_OK && version != VERSION)
        e = ERR_FORMAT;
    if (e == ERR_OK)
        e = cursor_copy(&c, out->tree.bytes, ID_SIZE);
    if (e == ERR_OK)
        e = cursor_le32(&c, &out->count);
    if (e == ERR_OK)
        e = check_entries(out);
    if (e != ERR_OK)
        index_dir_free(out);
    return e;
}
