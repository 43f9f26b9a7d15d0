#include "ctl_node.h"

#include "fs/fs_entry.h"

/* Bits and letters of Go's os.FileMode, from the highest. */
static const struct {
    uint32_t bit;
    char letter;
} go_bits[] = {
    {1u << 31, 'd'}, {1u << 27, 'L'}, {1u << 26, 'D'}, {1u << 25, 'p'}, {1u << 24, 'S'},
    {1u << 23, 'u'}, {1u << 22, 'g'}, {1u << 21, 'c'}, {1u << 20, 't'},
};

uint32_t ctl_node_mode(const struct browse_walk_entry *entry)
{
    static const uint32_t types[] = {
        [FS_DIRECTORY] = 1u << 31,    [FS_SYMLINK] = 1u << 27,
        [FS_FIFO] = 1u << 25,         [FS_SOCKET] = 1u << 24,
        [FS_BLOCK_DEVICE] = 1u << 26, [FS_CHARACTER_DEVICE] = 1u << 26 | 1u << 21,
    };
    return (entry->type < ARRAY_COUNT(types) ? types[entry->type] : 0) | (entry->mode & 0777) |
           (entry->mode & 04000 ? 1u << 23 : 0) | (entry->mode & 02000 ? 1u << 22 : 0) |
           (entry->mode & 01000 ? 1u << 20 : 0);
}

const char *ctl_node_permissions(const struct browse_walk_entry *entry,
                                 char out[CTL_PERMISSIONS_SIZE])
{
    static const char letters[] = "rwxrwxrwx";
    const uint32_t mode = ctl_node_mode(entry);
    size_t size = 0;
    for (size_t i = 0; i < ARRAY_COUNT(go_bits); i++)
        if (mode & go_bits[i].bit)
            out[size++] = go_bits[i].letter;
    if (size == 0)
        out[size++] = '-';
    for (unsigned i = 0; i < 9; i++)
        out[size++] = mode & (1u << (8 - i)) ? letters[i] : '-';
    out[size] = 0;
    return out;
}

struct slice ctl_node_name(struct slice path)
{
    for (size_t i = path.size; i > 0 && path.size > 1; i--)
        if (path.data[i - 1] == '/')
            return slice_of(path.data + i, path.size - i);
    return path;
}

void ctl_node_json(struct json_line *line, const struct browse_walk_entry *entry)
{
    char permissions[CTL_PERMISSIONS_SIZE];
    json_line_path(line, "name", ctl_node_name(entry->path));
    json_line_text(line, "type", fs_type_name((enum fs_type)entry->type));
    json_line_path(line, "path", entry->path);
    json_line_u64(line, "uid", entry->uid);
    json_line_u64(line, "gid", entry->gid);
    json_line_bytes(line, "user", entry->user);
    json_line_bytes(line, "group", entry->group);
    if (entry->type == FS_FILE)
        json_line_u64(line, "size", entry->size);
    json_line_u64(line, "mode", ctl_node_mode(entry));
    json_line_text(line, "permissions", ctl_node_permissions(entry, permissions));
    json_line_time(line, "mtime", entry->mtime_ns);
    json_line_time(line, "ctime", entry->ctime_ns);
    json_line_u64(line, "inode", entry->inode);
    json_line_u64(line, "links", entry->links);
    if (entry->type == FS_SYMLINK)
        json_line_path(line, "linktarget", entry->target);
}

void ctl_node_print(struct ctl_output *out, const struct browse_walk_entry *entry,
                    bool long_listing)
{
    char path[CTL_TEXT_SIZE], target[CTL_TEXT_SIZE], when[CTL_TIME_SIZE];
    char permissions[CTL_PERMISSIONS_SIZE];
    const bool link = entry->type == FS_SYMLINK;
    ctl_text(entry->path, path);
    if (!long_listing)
        ctl_print(out, "%s", path);
    else
        ctl_print(out, "%s %5u %5u %10llu  %s  %s%s%s", ctl_node_permissions(entry, permissions),
                  entry->uid, entry->gid,
                  (unsigned long long)(entry->type == FS_FILE ? entry->size : 0),
                  ctl_time(entry->mtime_ns, when), path, link ? " -> " : "",
                  link ? ctl_text(entry->target, target) : "");
}
