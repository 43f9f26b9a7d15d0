#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum err write_all(int fd, struct slice bytes, const char *path, struct errmsg *msg)
{
    while (bytes.size > 0) {
        const ssize_t put = write(fd, bytes.data, bytes.size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return err_say_errno(msg, errno, "cannot write %s", path);
        bytes = slice_of(bytes.data + put, bytes.size - (size_t)put);
    }
    if (fsync(fd) != 0)
        return err_say_errno(msg, errno, "cannot make %s durable", path);
    return ERR_OK;
}

static enum err sync_parent(const char *path, struct errmsg *msg)
{
    char parent[4096];
    const char *slash = strrchr(path, '/');
    const size_t size = slash ? (size_t)(slash - path) : 0;
    if (size >= sizeof(parent))
        return err_say(msg, ERR_TOO_LARGE, "the path %s is too long", path);
    memcpy(parent, path, size);
    parent[size] = 0;
    const int fd = open(slash ? (size ? parent : "/") : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_say_errno(msg, errno, "cannot open the directory of %s", path);
    const int result = fsync(fd), number = errno;
    close(fd);
    return result == 0 ? ERR_OK : err_say_errno(msg, number, "cannot make %s durable", path);
}

enum err file_create(const char *path, unsigned mode, struct slice bytes, struct errmsg *msg)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (mode_t)mode);
    if (fd < 0)
        return err_say_errno(msg, errno, "cannot make %s", path);
    enum err e = write_all(fd, bytes, path, msg);
    if (close(fd) != 0 && e == ERR_OK)
        e = err_say_errno(msg, errno, "cannot write %s", path);
    if (e == ERR_OK)
        e = sync_parent(path, msg);
    if (e != ERR_OK)
        unlink(path);
    return e;
}

enum err file_write(const char *path, unsigned mode, struct slice bytes, struct errmsg *msg)
{
    char *beside = NULL;
    if (asprintf(&beside, "%s.new", path) < 0)
        return err_say(msg, ERR_NOMEM, "out of memory");
    unlink(beside); /* of a run that was killed */
    enum err e = file_create(beside, mode, bytes, msg);
    if (e == ERR_OK && rename(beside, path) != 0) {
        e = err_say_errno(msg, errno, "cannot put %s in its place", path);
        unlink(beside);
    }
    if (e == ERR_OK)
        e = sync_parent(path, msg);
    free(beside);
    return e;
}

enum err file_read(const char *path, struct buf *out, struct errmsg *msg)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_say_errno(msg, errno, "cannot open %s", path);
    enum err e = ERR_OK;
    for (;;) {
        uint8_t piece[16384];
        const ssize_t got = read(fd, piece, sizeof(piece));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            e = err_say_errno(msg, errno, "cannot read %s", path);
        if (got <= 0)
            break;
        e = buf_append(out, piece, (size_t)got);
        explicit_bzero(piece, (size_t)got);
        if (e != ERR_OK) {
            e = err_say(msg, e, "%s is too large", path);
            break;
        }
    }
    close(fd);
    return e;
}
