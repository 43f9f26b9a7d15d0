#include "bundle/bundle.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

/* Freeing fills what an entry lacks with zeros, which nobody takes; not more than this. */
#define FILL_MAX ((uint64_t)64 << 20)

enum { BLOCK_BYTES = 256 << 10, LAST_BLOCK_BYTES = 10240, ACL_MAX = 1024 };

struct bundle {
    enum bundle_format format;
    struct archive *archive;     /* owned */
    struct archive_entry *entry; /* owned; used again and again */
    bundle_write_fn *write;
    void *user;
    enum err write_e; /* what write() said */
    uint64_t left;    /* bytes that the entry still has to get */
};

/* What cannot be written is swallowed, and told by failed(): libarchive (3.6) leaks its buffer when
   this function fails. */
static la_ssize_t on_write(struct archive *archive, void *user, const void *bytes, size_t size)
{
    struct bundle *bundle = user;
    (void)archive;
    if (bundle->write_e == ERR_OK)
        bundle->write_e = bundle->write(bundle->user, slice_of(bytes, size));
    return (la_ssize_t)size;
}

/* libarchive's word for it. ARCHIVE_WARN is fine: a name was kept as the bytes that it is. */
static enum err failed(struct bundle *bundle, int result, struct errmsg *msg)
{
    const char *why = archive_error_string(bundle->archive);
    if (bundle->write_e != ERR_OK)
        return err_say(msg, bundle->write_e, "cannot write: %s", err_words(bundle->write_e));
    if (result == ARCHIVE_OK || result == ARCHIVE_WARN)
        return ERR_OK;
    return err_say(msg, result == ARCHIVE_FAILED ? ERR_UNSUPPORTED : ERR_IO, "%s",
                   why ? why : "libarchive gives no reason");
}

static int open_format(struct bundle *bundle)
{
    struct archive *a = bundle->archive;
    int result = bundle->format == BUNDLE_ZIP ? archive_write_set_format_zip(a)
                                              : archive_write_set_format_pax(a);
    if (result == ARCHIVE_OK && bundle->format == BUNDLE_TAR)
        result = archive_write_set_format_option(a, "pax", "xattrheader", "SCHILY");
    if (result == ARCHIVE_OK)
        result = archive_write_set_bytes_per_block(a, BLOCK_BYTES);
    if (result == ARCHIVE_OK)
        result = archive_write_set_bytes_in_last_block(
            a, bundle->format == BUNDLE_TAR ? LAST_BLOCK_BYTES : 1);
    if (result == ARCHIVE_OK)
        result = archive_write_open(a, bundle, NULL, on_write, NULL);
    return result;
}

enum err bundle_new(enum bundle_format format, bundle_write_fn *write, void *user,
                    struct bundle **out, struct errmsg *msg)
{
    struct bundle *bundle = calloc(1, sizeof(*bundle));
    if (!bundle)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *bundle = (struct bundle){.format = format,
                              .archive = archive_write_new(),
                              .entry = archive_entry_new(),
                              .write = write,
                              .user = user};
    enum err e = bundle->archive && bundle->entry ? ERR_OK : ERR_NOMEM;
    if (e == ERR_OK)
        e = failed(bundle, open_format(bundle), msg);
    if (e != ERR_OK) {
        bundle_free(bundle);
        return e;
    }
    *out = bundle;
    return ERR_OK;
}

void bundle_free(struct bundle *bundle)
{
    if (!bundle)
        return;
    archive_entry_free(bundle->entry);
    if (bundle->archive) {
        if (bundle->write_e == ERR_OK)
            bundle->write_e = ERR_CANCELLED; /* nothing more is written */
        if (bundle->left > FILL_MAX)
            (void)archive_write_fail(bundle->archive);
        (void)archive_write_free(bundle->archive);
    }
    free(bundle);
}

/* False: it is no ACL that we know; then it goes as the attribute that it is. */
static bool add_acl(struct archive_entry *to, int type, struct slice value)
{
    static const struct {
        uint16_t tag;
        int theirs;
    } tags[] = {
        {1, ARCHIVE_ENTRY_ACL_USER_OBJ},  {2, ARCHIVE_ENTRY_ACL_USER},
        {4, ARCHIVE_ENTRY_ACL_GROUP_OBJ}, {8, ARCHIVE_ENTRY_ACL_GROUP},
        {16, ARCHIVE_ENTRY_ACL_MASK},     {32, ARCHIVE_ENTRY_ACL_OTHER},
    };
    struct bundle_acl acl[ACL_MAX];
    size_t count;
    if (bundle_acl_decode(value, acl, ACL_MAX, &count) != ERR_OK)
        return false;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < ARRAY_COUNT(tags); j++) {
            const bool named = acl[i].tag == 2 || acl[i].tag == 8;
            if (tags[j].tag == acl[i].tag &&
                archive_entry_acl_add_entry(to, type, acl[i].perm, tags[j].theirs,
                                            named ? (int)acl[i].id : -1, NULL) != ARCHIVE_OK)
                return false;
        }
    }
    return true;
}

static void set_xattrs(struct archive_entry *to, const struct bundle_entry *from)
{
    for (size_t i = 0; i < from->xattr_count; i++) {
        const struct bundle_xattr *x = &from->xattrs[i];
        if (!strcmp(x->name, "system.posix_acl_access") &&
            add_acl(to, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, x->value))
            continue;
        if (!strcmp(x->name, "system.posix_acl_default") &&
            add_acl(to, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, x->value))
            continue;
        archive_entry_xattr_add_entry(to, x->name, x->value.data, x->value.size);
    }
}

static void set_entry(struct archive_entry *to, const struct bundle_entry *from)
{
    const bool is_symlink = S_ISLNK(from->mode), is_link = from->link && !is_symlink;
    archive_entry_set_pathname(to, from->path);
    archive_entry_set_mode(to, from->mode);
    archive_entry_set_uid(to, from->uid);
    archive_entry_set_gid(to, from->gid);
    archive_entry_set_mtime(to, from->mtime_s, from->mtime_ns);
    if (from->user && from->user[0])
        archive_entry_set_uname(to, from->user);
    if (from->group && from->group[0])
        archive_entry_set_gname(to, from->group);
    archive_entry_set_size(to, S_ISREG(from->mode) && !is_link ? (la_int64_t)from->size : 0);
    if (is_symlink)
        archive_entry_set_symlink(to, from->link ? from->link : "");
    if (is_link)
        archive_entry_set_hardlink(to, from->link);
    if (S_ISCHR(from->mode) || S_ISBLK(from->mode)) {
        archive_entry_set_rdevmajor(to, from->rdev_major);
        archive_entry_set_rdevminor(to, from->rdev_minor);
    }
    set_xattrs(to, from);
    if (!from->runs || is_link)
        return;
    for (size_t i = 0; i < from->run_count; i++)
        archive_entry_sparse_add_entry(to, (la_int64_t)from->runs[i].offset,
                                       (la_int64_t)from->runs[i].size);
    if (from->run_count == 0)
        archive_entry_sparse_add_entry(to, (la_int64_t)from->size, 0);
}

enum err bundle_entry(struct bundle *bundle, const struct bundle_entry *entry, struct errmsg *msg)
{
    const mode_t type = entry->mode & S_IFMT;
    if (bundle->format == BUNDLE_ZIP && type != S_IFREG && type != S_IFDIR && type != S_IFLNK)
        return err_say(msg, ERR_UNSUPPORTED, "a zip cannot hold it; tar can");
    archive_entry_clear(bundle->entry);
    set_entry(bundle->entry, entry);
    bundle->left = (uint64_t)archive_entry_size(bundle->entry);
    return failed(bundle, archive_write_header(bundle->archive, bundle->entry), msg);
}

enum err bundle_bytes(struct bundle *bundle, struct slice bytes, struct errmsg *msg)
{
    if (bytes.size > bundle->left)
        return err_say(msg, ERR_STATE, "there are more bytes than the entry has");
    const la_ssize_t written = archive_write_data(bundle->archive, bytes.data, bytes.size);
    bundle->left -= bytes.size;
    return failed(bundle, written < 0 ? (int)written : ARCHIVE_OK, msg);
}

enum err bundle_finish(struct bundle *bundle, struct errmsg *msg)
{
    return failed(bundle, archive_write_close(bundle->archive), msg);
}
