#include "ctl_scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COMPARE_BYTES = 65536 };

enum err ctl_scratch_new(char **out, struct errmsg *msg)
{
    const char *parent = getenv("TMPDIR");
    if (!parent || !parent[0])
        parent = "/tmp";
    const size_t size = strlen(parent) + sizeof("/cellar-drill-XXXXXX");
    char *dir = malloc(size);
    if (!dir)
        return ERR_NOMEM;
    snprintf(dir, size, "%s/cellar-drill-XXXXXX", parent);
    if (!mkdtemp(dir)) {
        const enum err e =
            err_say_errno(msg, errno, "cannot make a scratch folder in %s (see TMPDIR)", parent);
        free(dir);
        return e;
    }
    *out = dir;
    return ERR_OK;
}

/* Reads until `size` bytes or the end. */
static ssize_t read_full(int fd, char *to, size_t size)
{
    size_t done = 0;
    while (done < size) {
        const ssize_t n = read(fd, to + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

enum comparison { SAME, DIFFERENT, UNREADABLE };

static enum comparison compare_bytes(int one, int other)
{
    static _Thread_local char a[COMPARE_BYTES], b[COMPARE_BYTES];
    for (;;) {
        const ssize_t n = read_full(one, a, sizeof(a)), m = read_full(other, b, sizeof(b));
        if (n < 0 || m < 0)
            return UNREADABLE;
        if (n != m || memcmp(a, b, (size_t)n) != 0)
            return DIFFERENT;
        if (n == 0)
            return SAME;
    }
}

static bool unchanged(const struct stat *restored, int fd)
{
    struct stat now;
    return fstat(fd, &now) == 0 && S_ISREG(now.st_mode) && now.st_size == restored->st_size &&
           now.st_mtim.tv_sec == restored->st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == restored->st_mtim.tv_nsec;
}

/* UNREADABLE also when the file here is not the one that was backed up. */
static enum comparison compare_file(const char *restored, const struct stat *st, const char *here)
{
    enum comparison result = UNREADABLE;
    const int other = open(here, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    const int one = open(restored, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (one >= 0 && other >= 0 && unchanged(st, other))
        result = compare_bytes(one, other);
    if (result == DIFFERENT && !unchanged(st, other))
        result = UNREADABLE; /* it changed meanwhile */
    if (one >= 0)
        close(one);
    if (other >= 0)
        close(other);
    return result;
}

static FTS *walk(const char *dir)
{
    char *const roots[] = {(char *)(uintptr_t)dir, NULL};
    return fts_open(roots, FTS_PHYSICAL | FTS_XDEV, NULL);
}

enum err ctl_scratch_compare(const char *dir, const struct ctl_scratch_events *events,
                             struct ctl_scratch_counts *out, struct errmsg *msg)
{
    const size_t prefix = strlen(dir);
    FTS *fts = walk(dir);
    *out = (struct ctl_scratch_counts){0};
    if (!fts)
        return err_say_errno(msg, errno, "cannot walk through %s", dir);
    for (FTSENT *entry = fts_read(fts); entry; entry = fts_read(fts)) {
        if (entry->fts_info != FTS_F)
            continue;
        const char *here = entry->fts_path + prefix;
        const enum comparison result = compare_file(entry->fts_accpath, entry->fts_statp, here);
        out->compared += result != UNREADABLE;
        out->skipped += result == UNREADABLE;
        out->different += result == DIFFERENT;
        if (result == DIFFERENT)
            events->different(events->user, here);
    }
    fts_close(fts);
    return ERR_OK;
}

void ctl_scratch_remove(const char *dir)
{
    FTS *fts = walk(dir);
    if (!fts)
        return;
    for (FTSENT *entry = fts_read(fts); entry; entry = fts_read(fts)) {
        if (entry->fts_info == FTS_D)
            (void)!chmod(entry->fts_accpath, 0700); /* restored modes may shut us out */
        else if (entry->fts_info == FTS_DP)
            (void)!rmdir(entry->fts_accpath);
        else
            (void)!unlink(entry->fts_accpath);
    }
    fts_close(fts);
}
