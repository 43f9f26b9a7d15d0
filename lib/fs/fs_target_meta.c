#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/fs_target_internal.h"

static const uint32_t locking_flags = FS_IMMUTABLE_FL | FS_APPEND_FL;
static const uint32_t early_flags = FS_NOCOW_FL | FS_COMPR_FL;

static const struct fs_details no_details;

/* --- flags --- */

/* Of the flags in `mask`, exactly those in `want`. errno or 0. */
static int set_flags(int fd, uint32_t mask, uint32_t want)
{
    int now = 0;
    if (ioctl(fd, FS_IOC_GETFLAGS, &now) != 0)
        return want ? errno : 0;
    int next = (int)(((uint32_t)now & ~mask) | want);
    if (next == now)
        return 0;
    return ioctl(fd, FS_IOC_SETFLAGS, &next) == 0 ? 0 : errno;
}

bool fs_target_meta_unlock(int fd)
{
    uint32_t flags = 0;
    return fs_inode_flags(fd, &flags) && (flags & locking_flags) &&
           set_flags(fd, locking_flags, 0) == 0;
}

bool fs_target_meta_unlock_at(int dir_fd, const char *name)
{
    struct stat st; /* nothing but files and directories is ever opened */
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
        return false;
    int fd = fs_entry_open(dir_fd, name, O_RDONLY);
    if (fd < 0)
        return false;
    bool unlocked = fs_target_meta_unlock(fd);
    close(fd);
    return unlocked;
}

void fs_target_meta_early(int fd, const struct fs_details *details)
{
    uint32_t flags = details ? details->inode_flags & early_flags : 0;
    if (flags) /* where it fails, it is told when all flags are set */
        (void)set_flags(fd, flags, flags);
}

static bool has_flags(struct fs_inode inode, const struct fs_entry *entry)
{
    return !inode.path_only && (entry->type == FS_FILE || entry->type == FS_DIRECTORY);
}

void fs_target_meta_lock(struct fs_target *target, struct fs_inode inode, const struct fs_dir *dir,
                         struct slice name, const struct fs_details *details)
{
    uint32_t flags = details && !inode.path_only ? details->inode_flags & locking_flags : 0;
    int problem = flags ? set_flags(inode.fd, locking_flags, flags) : 0;
    if (problem)
        fs_target_note(target, problem, dir, name, "make immutable or append-only");
}

/* --- owner --- */

static uint32_t wanted(struct fs_target *target, enum fs_names_kind kind, const char *text,
                       uint32_t number)
{
    uint32_t found;
    if (target->options.numeric_owners || !fs_names_find(target->names, kind, text, &found))
        return number;
    return found;
}

/* Returns whether something changed; `st` is what is there, before and after. */
static bool set_owner(struct fs_target *target, struct fs_inode inode, const struct fs_dir *dir,
                      struct slice name, uint32_t uid, uint32_t gid, struct stat *st)
{
    if (st->st_uid == uid && st->st_gid == gid)
        return false;
    uid_t change = target->root ? uid : (uid_t)-1;
    bool tried = target->root || st->st_gid != gid;
    int problem = EPERM;
    if (tried)
        problem = fchownat(inode.fd, "", change, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) == 0
                      ? 0
                      : errno;
    if (tried && !problem) {
        st->st_gid = gid;
        if (target->root)
            st->st_uid = uid;
    }
    if (st->st_uid != uid || st->st_gid != gid)
        fs_target_note(target, problem ? problem : EPERM, dir, name, "set the owner of");
    return tried && !problem;
}

/* --- attributes --- */

static int set_xattr(struct fs_inode inode, const char *name, struct slice value)
{
    char text[FS_INODE_TEXT_SIZE];
    int result = inode.path_only
                     ? setxattr(fs_inode_text(inode, text), name, value.data, value.size, 0)
                     : fsetxattr(inode.fd, name, value.data, value.size, 0);
    return result == 0 ? 0 : errno;
}

static int remove_xattr(struct fs_inode inode, const char *name)
{
    char text[FS_INODE_TEXT_SIZE];
    int result = inode.path_only ? removexattr(fs_inode_text(inode, text), name)
                                 : fremovexattr(inode.fd, name);
    return result == 0 ? 0 : errno;
}

/* Labels that the system gives by itself stay where the backup has none. */
static bool of_the_system(const char *name)
{
    static const char *const prefixes[] = {"security.selinux", "security.SMACK64", "security.ima",
                                           "security.evm", "security.apparmor"};
    for (size_t i = 0; i < ARRAY_COUNT(prefixes); i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static bool recorded(const struct fs_details *details, const char *name)
{
    for (size_t i = 0; i < details->xattr_count; i++)
        if (strcmp(details->xattrs[i].name, name) == 0)
            return true;
    return false;
}

static void note_xattr(struct fs_target *target, int problem, const struct fs_dir *dir,
                       struct slice name, const char *tried, const char *xattr)
{
    char words[FS_PART_SIZE + 300];
    (void)snprintf(words, sizeof(words), "%s the attribute %.255s of", tried, xattr);
    fs_target_note(target, problem, dir, name, words);
}

/* Returns whether something was tried. */
static bool set_xattrs(struct fs_target *target, struct fs_inode inode, const struct fs_dir *dir,
                       struct slice name, const struct fs_details *details)
{
    struct buf there = BUF_INIT(1 << 20);
    bool touched = details->xattr_count > 0;
    if (fs_inode_xattr_names(inode, &there) != 0)
        there.size = 0;
    for (size_t at = 0; at < there.size;) {
        const char *xattr = (const char *)there.data + at;
        at += strlen(xattr) + 1;
        if (recorded(details, xattr) || of_the_system(xattr))
            continue;
        touched = true;
        int problem = remove_xattr(inode, xattr);
        if (problem && problem != ENODATA)
            note_xattr(target, problem, dir, name, "remove", xattr);
    }
    buf_free(&there);
    for (size_t i = 0; i < details->xattr_count; i++) {
        int problem = set_xattr(inode, details->xattrs[i].name, details->xattrs[i].value);
        if (problem)
            note_xattr(target, problem, dir, name, "set", details->xattrs[i].name);
    }
    return touched;
}

/* --- mode and times --- */

static int set_mode(struct fs_inode inode, uint32_t mode)
{
    char text[FS_INODE_TEXT_SIZE];
    int result = inode.path_only ? chmod(fs_inode_text(inode, text), mode) : fchmod(inode.fd, mode);
    return result == 0 ? 0 : errno;
}

static struct timespec time_to_set(struct fs_time t)
{
    return (struct timespec){.tv_sec = t.s, .tv_nsec = (long)t.ns};
}

static int set_times(struct fs_inode inode, const struct fs_entry *entry)
{
    char text[FS_INODE_TEXT_SIZE];
    struct timespec times[2] = {time_to_set(entry->atime), time_to_set(entry->mtime)};
    if (entry->atime.s == 0 && entry->atime.ns == 0) /* not recorded */
        times[0].tv_nsec = UTIME_OMIT;
    int result = inode.path_only ? utimensat(AT_FDCWD, fs_inode_text(inode, text), times, 0)
                                 : futimens(inode.fd, times);
    return result == 0 ? 0 : errno;
}

void fs_target_meta_apply(struct fs_target *target, struct fs_inode inode, const struct fs_dir *dir,
                          struct slice name, const struct fs_entry *entry,
                          const struct fs_details *details)
{
    if (!details)
        details = &no_details;
    struct stat st;
    if (fstatat(inode.fd, "", &st, AT_EMPTY_PATH) != 0) {
        fs_target_note(target, errno, dir, name, "look at");
        return;
    }
    uint32_t uid = wanted(target, FS_NAMES_USER, entry->user, entry->uid);
    uint32_t gid = wanted(target, FS_NAMES_GROUP, entry->group, entry->gid);
    bool changed = set_owner(target, inode, dir, name, uid, gid, &st);
    changed |= set_xattrs(target, inode, dir, name, details);
    int problem = set_times(inode, entry);
    if (problem)
        fs_target_note(target, problem, dir, name, "set the times of");
    problem = has_flags(inode, entry)
                  ? set_flags(inode.fd, fs_inode_flags_settable() & ~locking_flags,
                              details->inode_flags & ~locking_flags)
                  : 0;
    if (problem)
        fs_target_note(target, problem, dir, name, "set the inode flags of");
    uint32_t mode = entry->mode;
    if (st.st_uid != uid)
        mode &= ~(uint32_t)S_ISUID;
    if (st.st_gid != gid)
        mode &= ~(uint32_t)S_ISGID;
    problem = 0;
    if (entry->type != FS_SYMLINK && (changed || (st.st_mode & 07777) != mode))
        problem = set_mode(inode, mode);
    if (problem)
        fs_target_note(target, problem, dir, name, "set the mode of");
}
