#include "mount/mount_internal.h"

#include "fs/fs_entry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* Snapshots do not change, so the kernel may keep what it was told; which snapshots there are
   does. */
#define LASTING_S 86400.0
#define PASSING_S 1.0

/* A reader that goes on where it stopped (give or take what the kernel asks for out of order) has
   this much fetched ahead. */
enum { READ_AHEAD_BYTES = 6 << 20, READ_NEAR_BYTES = 1 << 20 };

/* In a listing the position 0 is ".", 1 is "..", and a place is one more than itself. */
enum { OFFSET_DOTS = 2 };

/* --- what a node is --- */

static enum err reply_errno(struct mount_request *r, int number)
{
    (void)fuse_reply_err(r->req, number);
    return ERR_OK;
}

/* The entry of a node that is no directory, and the directory in which it stands. */
static enum err entry_of(struct mount_request *r, struct mount_dir *dir, struct snapshot_entry *out,
                         struct slice *bytes, struct errmsg *msg)
{
    struct snapshot_entry directory;
    uint64_t place = mount_place(r->node), next;
    enum err e = snapshot_entry_decode(buf_slice(&dir->entry), &directory, msg);
    if (e != ERR_OK)
        return e;
    e = browse_entry(r->mount->chunks, &r->op, &directory.content, &place, &next, out, bytes, msg);
    if (e == ERR_END || (e == ERR_OK && place != mount_place(r->node)))
        return err_say(msg, ERR_CORRUPT, "the kernel named a file that is not there");
    return e;
}

static bool is_latest(const struct mount_request *r, const struct mount_dir *dir)
{
    return dir->shelf != 0 && mount_place(r->node) == MOUNT_PLACE_LATEST;
}

static struct fuse_entry_param entry_param(uint64_t node, double lasts_s)
{
    return (struct fuse_entry_param){
        .ino = node, .attr_timeout = lasts_s, .entry_timeout = lasts_s};
}

/* Of an entry of a snapshot's directory. A directory is entered into the table, not yet counted. */
static enum err describe(struct mount *mount, struct mount_dir *dir, uint64_t place,
                         const struct snapshot_entry *entry, struct slice bytes,
                         struct fuse_entry_param *out, struct mount_dir **out_dir)
{
    *out_dir = NULL;
    *out = entry_param(mount_node(dir->number, place), LASTING_S);
    mount_stat_entry(mount, dir, place, entry, &out->attr);
    if (entry->type != SNAPSHOT_TYPE_DIRECTORY)
        return ERR_OK;
    *out_dir = mount_dir_below(mount, dir, place, bytes);
    if (!*out_dir)
        return ERR_NOMEM;
    out->ino = mount_node((*out_dir)->number, 0);
    out->attr.st_ino = (*out_dir)->inode;
    return ERR_OK;
}

/* Of something on a shelf. */
static enum err describe_item(struct mount *mount, struct mount_dir *dir,
                              const struct mount_shelf *shelf, const struct mount_item *item,
                              struct fuse_entry_param *out, struct mount_dir **out_dir)
{
    *out_dir = NULL;
    *out = entry_param(mount_node(dir->number, MOUNT_PLACE_LATEST), PASSING_S);
    if (item->kind == MOUNT_ITEM_LATEST) {
        mount_stat_latest(mount, dir, strlen(shelf->items[item->index].name), &out->attr);
        return ERR_OK;
    }
    *out_dir = mount_dir_on_shelf(mount, dir, mount->view, item);
    if (!*out_dir)
        return ERR_NOMEM;
    out->ino = mount_node((*out_dir)->number, 0);
    return mount_stat_dir(mount, *out_dir, &out->attr);
}

/* --- lookup, forget, getattr, readlink --- */

static enum err reply_entry(struct mount_request *r, const struct fuse_entry_param *param,
                            struct mount_dir *dir)
{
    if (dir)
        dir->lookups++;
    if (fuse_reply_entry(r->req, param) != 0 && dir)
        mount_dir_forget(r->mount, param->ino, 1);
    return ERR_OK;
}

static enum err lookup_on_shelf(struct mount_request *r, struct mount_dir *dir)
{
    const struct mount_view *view;
    struct fuse_entry_param param;
    struct mount_dir *found_dir;
    const enum err e = mount_fresh_view(r, &view);
    if (e != ERR_OK)
        return e;
    const struct mount_shelf *shelf = mount_view_shelf(view, dir->shelf, dir->label);
    const struct mount_item *item = shelf ? mount_shelf_find(shelf, slice_text(r->name)) : NULL;
    if (!item)
        return reply_errno(r, ENOENT);
    const enum err described = describe_item(r->mount, dir, shelf, item, &param, &found_dir);
    return described == ERR_OK ? reply_entry(r, &param, found_dir) : described;
}

static enum err lookup(struct mount_request *r, struct errmsg *msg)
{
    struct mount_dir *dir = mount_dir_of(r->mount, r->node), *found_dir;
    struct snapshot_entry directory, entry;
    struct fuse_entry_param param;
    struct slice bytes;
    uint64_t place;
    if (!dir)
        return reply_errno(r, ESTALE);
    if (dir->shelf)
        return lookup_on_shelf(r, dir);
    enum err e = snapshot_entry_decode(buf_slice(&dir->entry), &directory, msg);
    if (e == ERR_OK)
        e = browse_find(r->mount->chunks, &r->op, &directory.content, slice_text(r->name), &place,
                        &entry, &bytes, msg);
    if (e == ERR_END) { /* the kernel may remember that it is not there */
        param = entry_param(0, LASTING_S);
        return reply_entry(r, &param, NULL);
    }
    if (e == ERR_OK)
        e = describe(r->mount, dir, place, &entry, bytes, &param, &found_dir);
    return e == ERR_OK ? reply_entry(r, &param, found_dir) : e;
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    mount_begin(fuse_req_userdata(req), req, lookup, parent, name, 0, 0, NULL, 0);
}

static void on_forget(fuse_req_t req, fuse_ino_t node, uint64_t lookups)
{
    mount_dir_forget(fuse_req_userdata(req), node, lookups);
    fuse_reply_none(req);
}

static void on_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        mount_dir_forget(fuse_req_userdata(req), forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
}

static enum err getattr(struct mount_request *r, struct errmsg *msg)
{
    struct mount_dir *dir = mount_dir_of(r->mount, r->node);
    const struct mount_view *view;
    struct snapshot_entry entry;
    struct slice bytes;
    struct stat stat;
    enum err e = ERR_OK;
    if (!dir)
        return reply_errno(r, ESTALE);
    if (dir->shelf)
        e = mount_fresh_view(r, &view);
    if (e != ERR_OK)
        return e;
    if (is_latest(r, dir)) {
        const struct mount_shelf *shelf = mount_view_shelf(view, dir->shelf, dir->label);
        const struct mount_item *item =
            shelf ? mount_shelf_find(shelf, slice_text("latest")) : NULL;
        if (!item)
            return reply_errno(r, ESTALE);
        mount_stat_latest(r->mount, dir, strlen(shelf->items[item->index].name), &stat);
    } else if (mount_place(r->node) == 0) {
        e = mount_stat_dir(r->mount, dir, &stat);
    } else {
        e = entry_of(r, dir, &entry, &bytes, msg);
        if (e == ERR_OK)
            mount_stat_entry(r->mount, dir, mount_place(r->node), &entry, &stat);
    }
    if (e == ERR_OK)
        (void)fuse_reply_attr(r->req, &stat, dir->shelf ? PASSING_S : LASTING_S);
    return e;
}

static void on_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
    (void)fi;
    mount_begin(fuse_req_userdata(req), req, getattr, node, NULL, 0, 0, NULL, 0);
}

static enum err readlink_latest(struct mount_request *r, const struct mount_dir *dir)
{
    const struct mount_view *view;
    const enum err e = mount_fresh_view(r, &view);
    if (e != ERR_OK)
        return e;
    const struct mount_shelf *shelf = mount_view_shelf(view, dir->shelf, dir->label);
    const struct mount_item *item = shelf ? mount_shelf_find(shelf, slice_text("latest")) : NULL;
    if (!item)
        return reply_errno(r, ESTALE);
    (void)fuse_reply_readlink(r->req, shelf->items[item->index].name);
    return ERR_OK;
}

static enum err read_link(struct mount_request *r, struct errmsg *msg)
{
    struct mount_dir *dir = mount_dir_of(r->mount, r->node);
    struct snapshot_entry entry;
    struct slice bytes;
    if (!dir || mount_place(r->node) == 0)
        return reply_errno(r, dir ? EINVAL : ESTALE);
    if (is_latest(r, dir))
        return readlink_latest(r, dir);
    const enum err e = entry_of(r, dir, &entry, &bytes, msg);
    if (e != ERR_OK)
        return e;
    if (entry.type != SNAPSHOT_TYPE_SYMLINK || entry.target.size >= MOUNT_READ_MAX)
        return reply_errno(r, EINVAL);
    char *text = (char *)r->mount->scratch;
    memcpy(text, entry.target.data, entry.target.size);
    text[entry.target.size] = 0;
    (void)fuse_reply_readlink(r->req, text);
    return ERR_OK;
}

static void on_readlink(fuse_req_t req, fuse_ino_t node)
{
    mount_begin(fuse_req_userdata(req), req, read_link, node, NULL, 0, 0, NULL, 0);
}

/* --- files --- */

void mount_file_free(struct mount_file *file)
{
    list_remove(&file->link);
    buf_free(&file->entry);
    free(file);
}

static enum err open_file(struct mount_request *r, struct errmsg *msg)
{
    struct mount_dir *dir = mount_dir_of(r->mount, r->node);
    struct snapshot_entry entry;
    struct slice bytes;
    if (!dir || mount_place(r->node) == 0 || dir->shelf)
        return reply_errno(r, dir ? EISDIR : ESTALE);
    enum err e = entry_of(r, dir, &entry, &bytes, msg);
    if (e != ERR_OK)
        return e;
    struct mount_file *file = calloc(1, sizeof(*file));
    if (!file)
        return ERR_NOMEM;
    list_append(&r->mount->files, &file->link);
    file->entry = BUF_INIT(SNAPSHOT_ENTRY_BYTES_MAX);
    e = buf_append(&file->entry, bytes.data, bytes.size);
    const struct fuse_file_info fi = {.fh = (uint64_t)(uintptr_t)file, .keep_cache = 1};
    if (e != ERR_OK || fuse_reply_open(r->req, &fi) != 0)
        mount_file_free(file);
    return e;
}

static void on_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
    if ((fi->flags & O_ACCMODE) != O_RDONLY)
        (void)fuse_reply_err(req, EROFS);
    else
        mount_begin(fuse_req_userdata(req), req, open_file, node, NULL, 0, 0, NULL, 0);
}

static void on_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
    (void)node;
    mount_file_free((struct mount_file *)(uintptr_t)fi->fh);
    (void)fuse_reply_err(req, 0);
}

static void read_ahead(struct mount_request *r, const struct snapshot_entry *entry)
{
    struct mount_file *file = r->file;
    const uint64_t away = r->offset > file->next ? r->offset - file->next : file->next - r->offset;
    if (away <= READ_NEAR_BYTES)
        browse_expect(r->mount->chunks, entry, r->offset + r->size, READ_AHEAD_BYTES);
    file->next = r->offset + r->size;
}

static enum err read_file(struct mount_request *r, struct errmsg *msg)
{
    struct snapshot_entry entry;
    size_t got;
    enum err e = snapshot_entry_decode(buf_slice(&r->file->entry), &entry, msg);
    if (e != ERR_OK)
        return e;
    if (entry.type != SNAPSHOT_TYPE_FILE)
        return reply_errno(r, EINVAL);
    e = browse_read(r->mount->chunks, &r->op, &entry, r->offset, r->mount->scratch, r->size, &got,
                    msg);
    if (e == ERR_OK || e == ERR_BUSY)
        read_ahead(r, &entry);
    if (e == ERR_OK)
        (void)fuse_reply_buf(r->req, (const char *)r->mount->scratch, got);
    return e;
}

static void on_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    mount_begin(fuse_req_userdata(req), req, read_file, node, NULL, size, (uint64_t)offset,
                (struct mount_file *)(uintptr_t)fi->fh, 0);
}

static enum err seek_file(struct mount_request *r, struct errmsg *msg)
{
    struct snapshot_entry entry;
    uint64_t found;
    enum err e = snapshot_entry_decode(buf_slice(&r->file->entry), &entry, msg);
    if (e == ERR_OK)
        e = browse_seek(r->mount->chunks, &r->op, &entry, r->offset, r->hole, &found, msg);
    if (e == ERR_END)
        return reply_errno(r, ENXIO);
    if (e == ERR_OK)
        (void)fuse_reply_lseek(r->req, (off_t)found);
    return e;
}

static void on_lseek(fuse_req_t req, fuse_ino_t node, off_t offset, int whence,
                     struct fuse_file_info *fi)
{
    if (offset < 0 || (whence != SEEK_DATA && whence != SEEK_HOLE))
        (void)fuse_reply_err(req, offset < 0 ? ENXIO : EINVAL);
    else
        mount_begin(fuse_req_userdata(req), req, seek_file, node, NULL, 0, (uint64_t)offset,
                    (struct mount_file *)(uintptr_t)fi->fh, whence == SEEK_HOLE ? MOUNT_HOLE : 0);
}

/* --- directories --- */

static void on_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
    const struct mount_dir *dir = mount_dir_of(fuse_req_userdata(req), node);
    if (dir && !dir->shelf)
        fi->keep_cache = fi->cache_readdir = 1;
    (void)fuse_reply_open(req, fi);
}

static void on_releasedir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
    (void)node;
    (void)fi;
    (void)fuse_reply_err(req, 0);
}

/* A listing on its way into the kernel's buffer. */
struct listing {
    struct mount_request *r;
    size_t used, entries;
};

/* False: it does not fit any more. A directory counts as looked up when it went. */
static bool put(struct listing *l, const char *name, const struct fuse_entry_param *param,
                struct mount_dir *dir, uint64_t offset)
{
    struct mount_request *r = l->r;
    char *at = (char *)r->mount->scratch + l->used;
    const size_t left = r->size - l->used;
    const size_t size =
        r->plus ? fuse_add_direntry_plus(r->req, at, left, name, param, (off_t)offset)
                : fuse_add_direntry(r->req, at, left, name, &param->attr, (off_t)offset);
    if (size > left)
        return false;
    l->used += size;
    l->entries++;
    if (r->plus && dir)
        dir->lookups++;
    return true;
}

static bool put_dots(struct listing *l, const struct mount_dir *dir)
{
    struct fuse_entry_param param = {.attr = {.st_mode = S_IFDIR}};
    param.attr.st_ino = dir->inode;
    if (l->r->offset < 1 && !put(l, ".", &param, NULL, 1))
        return false;
    param.attr.st_ino = dir->parent_inode;
    if (l->r->offset < OFFSET_DOTS && !put(l, "..", &param, NULL, OFFSET_DOTS))
        return false;
    l->entries = 0;
    return true;
}

static enum err list_shelf(struct listing *l, struct mount_dir *dir)
{
    const struct mount_view *view;
    struct mount_request *r = l->r;
    const enum err e = mount_fresh_view(r, &view);
    if (e != ERR_OK)
        return e;
    const struct mount_shelf *shelf = mount_view_shelf(view, dir->shelf, dir->label);
    size_t i = r->offset > OFFSET_DOTS ? (size_t)r->offset - OFFSET_DOTS : 0;
    for (; shelf && i < shelf->count; i++) {
        struct fuse_entry_param param;
        struct mount_dir *found_dir;
        if (describe_item(r->mount, dir, shelf, &shelf->items[i], &param, &found_dir) != ERR_OK)
            return ERR_NOMEM;
        if (!put(l, shelf->items[i].name, &param, found_dir, i + OFFSET_DOTS + 1))
            break;
    }
    return ERR_OK;
}

static bool name_text(struct slice name, char out[256])
{
    if (!fs_name_allowed(name))
        return false;
    memcpy(out, name.data, name.size);
    out[name.size] = 0;
    return true;
}

static enum err list_directory(struct listing *l, struct mount_dir *dir, struct errmsg *msg)
{
    struct mount_request *r = l->r;
    struct snapshot_entry directory, entry;
    uint64_t place = r->offset > OFFSET_DOTS ? r->offset - 1 : BROWSE_PLACE_FIRST, next;
    enum err e = snapshot_entry_decode(buf_slice(&dir->entry), &directory, msg);
    for (; e == ERR_OK; place = next) {
        struct fuse_entry_param param;
        struct mount_dir *found_dir = NULL;
        struct slice bytes;
        char name[256];
        e = browse_entry(r->mount->chunks, &r->op, &directory.content, &place, &next, &entry,
                         &bytes, msg);
        if (e != ERR_OK)
            break;
        if (!name_text(entry.name, name))
            continue;
        if (r->plus)
            e = describe(r->mount, dir, place, &entry, bytes, &param, &found_dir);
        else
            mount_stat_entry(r->mount, dir, place, &entry, &param.attr);
        if (e == ERR_OK && !put(l, name, &param, found_dir, next + 1))
            return ERR_OK;
    }
    return e == ERR_END ? ERR_OK : e;
}

static enum err list(struct mount_request *r, struct errmsg *msg)
{
    struct mount_dir *dir = mount_dir_of(r->mount, r->node);
    struct listing l = {.r = r};
    enum err e = ERR_OK;
    if (!dir)
        return reply_errno(r, ESTALE);
    if (put_dots(&l, dir))
        e = dir->shelf ? list_shelf(&l, dir) : list_directory(&l, dir, msg);
    if (e == ERR_OK || l.entries > 0) { /* what stopped it is met again by the next call */
        (void)fuse_reply_buf(r->req, (const char *)r->mount->scratch, l.used);
        return ERR_OK;
    }
    return e;
}

static void on_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
                       struct fuse_file_info *fi)
{
    (void)fi;
    mount_begin(fuse_req_userdata(req), req, list, node, NULL, size, (uint64_t)offset, NULL, 0);
}

static void on_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
                           struct fuse_file_info *fi)
{
    (void)fi;
    mount_begin(fuse_req_userdata(req), req, list, node, NULL, size, (uint64_t)offset, NULL,
                MOUNT_PLUS);
}

/* --- attributes --- */

/* The attributes of a node, encoded; empty for what stands above the snapshots. */
static enum err xattrs_of(struct mount_request *r, struct slice *out, struct errmsg *msg)
{
    struct mount_dir *dir = mount_dir_of(r->mount, r->node);
    struct snapshot_entry entry;
    struct slice bytes;
    enum err e;
    *out = slice_of(NULL, 0);
    if (!dir || dir->shelf || (dir->top && mount_place(r->node) == 0))
        return ERR_OK;
    if (mount_place(r->node) == 0)
        e = snapshot_entry_decode(buf_slice(&dir->entry), &entry, msg);
    else
        e = entry_of(r, dir, &entry, &bytes, msg);
    if (e == ERR_OK)
        *out = entry.xattrs;
    return e;
}

/* As both calls want it: the size when nothing was given for the bytes. */
static enum err reply_bytes(struct mount_request *r, struct slice bytes)
{
    if (r->size == 0)
        (void)fuse_reply_xattr(r->req, bytes.size);
    else if (bytes.size > r->size)
        return reply_errno(r, ERANGE);
    else
        (void)fuse_reply_buf(r->req, (const char *)bytes.data, bytes.size);
    return ERR_OK;
}

static enum err get_xattr(struct mount_request *r, struct errmsg *msg)
{
    struct slice encoded;
    struct snapshot_xattrs walk;
    struct snapshot_xattr one;
    const enum err e = xattrs_of(r, &encoded, msg);
    if (e != ERR_OK)
        return e;
    snapshot_xattrs_open(&walk, encoded);
    while (encoded.size > 0 && snapshot_xattrs_next(&walk, &one)) {
        if (slice_equal(one.name, slice_text(r->name)))
            return reply_bytes(r, one.value);
    }
    return reply_errno(r, ENODATA);
}

static void on_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size)
{
    mount_begin(fuse_req_userdata(req), req, get_xattr, node, name, size, 0, NULL, 0);
}

static enum err list_xattrs(struct mount_request *r, struct errmsg *msg)
{
    struct slice encoded;
    struct snapshot_xattrs walk;
    struct snapshot_xattr one;
    size_t used = 0;
    const enum err e = xattrs_of(r, &encoded, msg);
    if (e != ERR_OK)
        return e;
    snapshot_xattrs_open(&walk, encoded);
    while (encoded.size > 0 && snapshot_xattrs_next(&walk, &one)) {
        if (one.name.size + 1 > MOUNT_READ_MAX - used)
            return reply_errno(r, E2BIG);
        memcpy(r->mount->scratch + used, one.name.data, one.name.size);
        used += one.name.size;
        r->mount->scratch[used++] = 0;
    }
    return reply_bytes(r, slice_of(r->mount->scratch, used));
}

static void on_listxattr(fuse_req_t req, fuse_ino_t node, size_t size)
{
    mount_begin(fuse_req_userdata(req), req, list_xattrs, node, NULL, size, 0, NULL, 0);
}

/* --- the whole --- */

/* As full as it can be: all that is in the snapshots, and nothing free. */
static enum err statfs_step(struct mount_request *r, struct errmsg *msg)
{
    const struct mount_view *view;
    const enum err e = mount_fresh_view(r, &view);
    (void)msg;
    if (e != ERR_OK)
        return e;
    const struct statvfs out = {
        .f_bsize = 4096,
        .f_frsize = 4096,
        .f_blocks = (view->bytes + 4095) / 4096,
        .f_files = view->files,
        .f_namemax = 255,
        .f_flag = ST_RDONLY,
    };
    (void)fuse_reply_statfs(r->req, &out);
    return ERR_OK;
}

static void on_statfs(fuse_req_t req, fuse_ino_t node)
{
    mount_begin(fuse_req_userdata(req), req, statfs_step, node, NULL, 0, 0, NULL, 0);
}

static void on_init(void *user, struct fuse_conn_info *conn)
{
    const struct mount *mount = user;
    conn->time_gran = 1;
    conn->max_background = MOUNT_REQUESTS / 2;
    conn->congestion_threshold = MOUNT_REQUESTS / 4;
    if (mount->options.allow_other && !mount->options.no_default_permissions)
        conn->want |= conn->capable & FUSE_CAP_POSIX_ACL;
}

const struct fuse_lowlevel_ops mount_ops = {
    .init = on_init,
    .lookup = on_lookup,
    .forget = on_forget,
    .forget_multi = on_forget_multi,
    .getattr = on_getattr,
    .readlink = on_readlink,
    .open = on_open,
    .read = on_read,
    .release = on_release,
    .lseek = on_lseek,
    .opendir = on_opendir,
    .readdir = on_readdir,
    .readdirplus = on_readdirplus,
    .releasedir = on_releasedir,
    .getxattr = on_getxattr,
    .listxattr = on_listxattr,
    .statfs = on_statfs,
};
