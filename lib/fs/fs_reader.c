#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/fs_internal.h"

enum { SEQUENTIAL_BYTES = 1 << 20 }; /* from this size on the kernel is told to read far ahead */

static enum err say(const struct fs_reader *reader, int problem, const char *tried,
                    struct errmsg *msg)
{
    char text[FS_PATH_TEXT_SIZE];
    return err_say_errno(msg, problem, "cannot %s %s", tried,
                         fs_dir_path_text(reader->dir, reader->entry.name, text));
}

static int look(int fd, struct fs_entry *entry)
{
    struct statx st;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st) != 0)
        return errno;
    fs_entry_from_statx(&st, entry);
    return 0;
}

enum err fs_reader_open(struct fs_reader *reader, struct fs_dir *dir, const struct fs_entry *entry,
                        struct errmsg *msg)
{
    int dir_fd;
    char text[FS_PATH_TEXT_SIZE];
    *reader = (struct fs_reader){.entry = *entry, .fd = -1, .dir = dir};
    enum err e = fs_dir_pin(dir, &dir_fd, msg);
    if (e != ERR_OK)
        return e;
    reader->fd = fs_entry_open(dir_fd, (const char *)entry->name.data, O_RDONLY);
    int problem = reader->fd < 0 ? errno : look(reader->fd, &reader->entry);
    fs_dir_unpin(dir);
    /* a symbolic link says ELOOP, a socket or a FIFO without a reader ENXIO */
    if (problem == ELOOP || problem == ENXIO || (!problem && reader->entry.type != FS_FILE)) {
        e = err_say(msg, ERR_STALE, "%s is not a file any more",
                    fs_dir_path_text(dir, entry->name, text));
    } else if (problem) {
        e = say(reader, problem, "open", msg);
    }
    if (e != ERR_OK) {
        fs_reader_close(reader);
        return e;
    }
    if (reader->entry.uid != entry->uid)
        reader->entry.user = "";
    if (reader->entry.gid != entry->gid)
        reader->entry.group = "";
    if (reader->entry.size >= SEQUENTIAL_BYTES)
        (void)posix_fadvise(reader->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return ERR_OK;
}

void fs_reader_close(struct fs_reader *reader)
{
    if (reader->fd >= 0)
        close(reader->fd);
    reader->fd = -1;
    free(reader->runs);
    reader->runs = NULL;
}

/* --- runs --- */

static int compare_u64(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* Leaves FS_RUNS_MAX runs: the shortest holes are read as zeros. */
static enum err join_runs(struct fs_reader *reader)
{
    struct fs_run *runs = reader->runs;
    size_t count = reader->run_count, excess = count - FS_RUNS_MAX;
    uint64_t *holes = calloc(count - 1, sizeof(*holes));
    if (!holes)
        return ERR_NOMEM;
    for (size_t i = 0; i + 1 < count; i++)
        holes[i] = runs[i + 1].offset - runs[i].offset - runs[i].size;
    qsort(holes, count - 1, sizeof(*holes), compare_u64);
    uint64_t longest = holes[excess - 1];
    free(holes);
    size_t kept = 1;
    for (size_t i = 1; i < count; i++) {
        struct fs_run *last = &runs[kept - 1];
        if (excess > 0 && runs[i].offset - last->offset - last->size <= longest) {
            last->size = runs[i].offset + runs[i].size - last->offset;
            excess--;
        } else {
            runs[kept++] = runs[i];
        }
    }
    reader->run_count = kept;
    return ERR_OK;
}

static enum err add_run(struct fs_reader *reader, size_t *capacity, uint64_t offset, uint64_t end)
{
    if (reader->run_count == *capacity) {
        if (*capacity >= 2 * FS_RUNS_MAX) {
            enum err e = join_runs(reader);
            if (e != ERR_OK)
                return e;
        } else {
            size_t larger = *capacity ? *capacity * 2 : 8;
            struct fs_run *runs = reallocarray(reader->runs, larger, sizeof(*runs));
            if (!runs)
                return ERR_NOMEM;
            reader->runs = runs;
            *capacity = larger;
        }
    }
    reader->runs[reader->run_count++] = (struct fs_run){.offset = offset, .size = end - offset};
    return ERR_OK;
}

static enum err find_runs(struct fs_reader *reader, struct errmsg *msg)
{
    uint64_t size = reader->entry.size;
    size_t capacity = 0;
    enum err e = ERR_OK;
    if (reader->runs_known || size == 0)
        return ERR_OK;
    uint64_t at = 0;
    while (reader->entry.sparse && at < size && e == ERR_OK) {
        off_t data = lseek(reader->fd, (off_t)at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            goto known; /* a hole to the end */
        off_t hole = data < 0 ? -1 : lseek(reader->fd, data, SEEK_HOLE);
        if (data < 0 || hole <= data) /* it does not tell: the rest is data */
            break;
        if ((uint64_t)data >= size)
            goto known;
        uint64_t end = (uint64_t)hole < size ? (uint64_t)hole : size;
        e = add_run(reader, &capacity, (uint64_t)data, end);
        at = end;
    }
    if (at < size && e == ERR_OK)
        e = add_run(reader, &capacity, at, size);
known:
    if (e == ERR_OK && reader->run_count > FS_RUNS_MAX)
        e = join_runs(reader);
    if (e != ERR_OK)
        return err_say(msg, e, "out of memory for the runs of a sparse file");
    reader->runs_known = true;
    return ERR_OK;
}

enum err fs_reader_runs(struct fs_reader *reader, const struct fs_run **out, size_t *count,
                        struct errmsg *msg)
{
    enum err e = find_runs(reader, msg);
    static const struct fs_run none;
    *out = reader->runs ? reader->runs : &none;
    *count = e == ERR_OK ? reader->run_count : 0;
    return e;
}

/* --- contents --- */

/* A part of one run. */
static enum err read_part(struct fs_reader *reader, uint8_t *out, size_t size, struct errmsg *msg)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = pread(reader->fd, out + done, size - done, (off_t)(reader->at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return say(reader, errno, "read", msg);
        if (got == 0) {
            reader->shrunk = true;
            memset(out + done, 0, size - done);
            break;
        }
        done += (size_t)got;
    }
    reader->at += size;
    return ERR_OK;
}

enum err fs_reader_next(struct fs_reader *reader, void *out, size_t size, size_t *got,
                        struct errmsg *msg)
{
    *got = 0;
    enum err e = find_runs(reader, msg);
    while (e == ERR_OK && *got < size && reader->run_at < reader->run_count) {
        const struct fs_run *run = &reader->runs[reader->run_at];
        if (reader->at < run->offset)
            reader->at = run->offset;
        uint64_t left = run->offset + run->size - reader->at;
        size_t part = left < size - *got ? (size_t)left : size - *got;
        e = read_part(reader, (uint8_t *)out + *got, part, msg);
        *got += part;
        if (part == left)
            reader->run_at++;
    }
    return e;
}

void fs_reader_skip(struct fs_reader *reader, uint64_t bytes)
{
    assert(reader->runs_known || reader->entry.size == 0);
    while (bytes > 0 && reader->run_at < reader->run_count) {
        const struct fs_run *run = &reader->runs[reader->run_at];
        if (reader->at < run->offset)
            reader->at = run->offset;
        const uint64_t left = run->offset + run->size - reader->at;
        const uint64_t part = left < bytes ? left : bytes;
        reader->at += part;
        bytes -= part;
        if (part == left)
            reader->run_at++;
    }
}

void fs_reader_rewind(struct fs_reader *reader)
{
    reader->at = 0;
    reader->run_at = 0;
}

enum err fs_reader_finish(struct fs_reader *reader, bool *changed, struct errmsg *msg)
{
    struct fs_entry now = {0};
    const struct fs_entry *then = &reader->entry;
    int problem = look(reader->fd, &now);
    if (problem)
        return say(reader, problem, "look at", msg);
    reader->gone = now.links == 0; /* which sets ctime too */
    *changed = reader->shrunk || now.size != then->size || !fs_time_equal(now.mtime, then->mtime) ||
               (!reader->gone && !fs_time_equal(now.ctime, then->ctime));
    if (!*changed)
        return ERR_OK;
    char text[FS_PATH_TEXT_SIZE];
    (void)fs_dir_path_text(reader->dir, then->name, text);
    if (now.size != then->size || reader->shrunk)
        (void)err_say(msg, ERR_STALE,
                      "%s had %" PRIu64 " bytes and now has %" PRIu64 " while it was read", text,
                      then->size, now.size);
    else if (!fs_time_equal(now.mtime, then->mtime))
        (void)err_say(msg, ERR_STALE, "%s was written to while it was read", text);
    else
        (void)err_say(msg, ERR_STALE, "the metadata of %s changed while it was read", text);
    return ERR_OK;
}

void fs_read_ahead(struct fs_dir *dir, const struct fs_entry *entry, uint64_t size_max)
{
    int dir_fd;
    if (entry->type != FS_FILE || entry->size == 0 || fs_dir_pin(dir, &dir_fd, NULL) != ERR_OK)
        return;
    int fd = fs_entry_open(dir_fd, (const char *)entry->name.data, O_RDONLY);
    fs_dir_unpin(dir);
    if (fd < 0)
        return;
    uint64_t size = entry->size < size_max ? entry->size : size_max;
    (void)posix_fadvise(fd, 0, (off_t)size, POSIX_FADV_WILLNEED);
    close(fd);
}
