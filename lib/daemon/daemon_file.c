#include "daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum err daemon_file_read(const char *path, struct buf *out, struct errmsg *msg)
{
    uint8_t piece[4096];
    ssize_t got = 0;
    enum err e = ERR_OK;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_say_errno(msg, errno, "cannot open %s", path);
    while (e == ERR_OK && (got = read(fd, piece, sizeof(piece))) > 0)
        e = buf_append(out, piece, (size_t)got);
    if (e != ERR_OK)
        err_say(msg, e, "%s is larger than %zu bytes", path, out->size_max);
    else if (got < 0)
        e = err_say_errno(msg, errno, "cannot read %s", path);
    close(fd);
    return e;
}

static enum err write_all(int fd, struct slice bytes, const char *path, struct errmsg *msg)
{
    while (bytes.size) {
        const ssize_t done = write(fd, bytes.data, bytes.size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return err_say_errno(msg, errno, "cannot write %s", path);
        bytes = slice_of(bytes.data + done, bytes.size - (size_t)done);
    }
    return fsync(fd) == 0 ? ERR_OK : err_say_errno(msg, errno, "cannot sync %s", path);
}

static enum err sync_folder_of(const char *path, struct errmsg *msg)
{
    char folder[DAEMON_PATH_SIZE];
    snprintf(folder, sizeof(folder), "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash && slash != folder)
        *slash = 0;
    else
        snprintf(folder, sizeof(folder), "%s", slash ? "/" : ".");
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_say_errno(msg, errno, "cannot open %s", folder);
    const int failed = fsync(fd);
    const int number = errno;
    close(fd);
    return failed ? err_say_errno(msg, number, "cannot sync %s", folder) : ERR_OK;
}

enum err daemon_file_write(const char *path, unsigned mode, struct slice bytes, struct errmsg *msg)
{
    char passing[DAEMON_PATH_SIZE + 16];
    snprintf(passing, sizeof(passing), "%s.new", path);
    const int fd = open(passing, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return err_say_errno(msg, errno, "cannot make %s", passing);
    enum err e = write_all(fd, bytes, passing, msg);
    close(fd);
    if (e == ERR_OK && rename(passing, path) != 0)
        e = err_say_errno(msg, errno, "cannot rename %s to %s", passing, path);
    if (e != ERR_OK) {
        unlink(passing);
        return e;
    }
    return sync_folder_of(path, msg);
}
