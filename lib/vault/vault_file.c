#include "vault/vault_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

char *vault_path(const struct vault *vault, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", vault->dir, name) < 0 ? NULL : path;
}

/* The lock goes with the process, so a dead one holds nothing. What stands in the file is only for
   the sentence: the process, and "moment" behind it when it will not take long. */
#define MOMENT "moment"

enum { WAIT_MS = 100, WAIT_MAX_MS = 20000 };

static enum err read_holder(int fd, char text[64])
{
    const ssize_t got = pread(fd, text, 63, 0);
    text[got > 0 ? got : 0] = 0;
    return strstr(text, MOMENT) ? ERR_BUSY : ERR_LOCKED;
}

/* ERR_BUSY: held, but not for long. */
static enum err try_lock(int fd, const char *path, struct errmsg *msg)
{
    char text[64] = "";
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return ERR_OK;
    if (errno != EWOULDBLOCK)
        return err_say_errno(msg, errno, "cannot lock %s", path);
    const enum err e = read_holder(fd, text);
    text[strcspn(text, " \n")] = 0;
    return err_say(msg, e, "the vault is in use by process %s; wait for it to end",
                   text[0] ? text : "(unknown)");
}

enum err vault_file_lock(const char *path, bool short_use, int *out_fd, struct errmsg *msg)
{
    char text[64] = "";
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_say_errno(msg, errno, "cannot open %s", path);
    enum err e = try_lock(fd, path, msg);
    for (int waited_ms = 0; e == ERR_BUSY && !short_use && waited_ms < WAIT_MAX_MS;
         waited_ms += WAIT_MS) {
        (void)poll(NULL, 0, WAIT_MS);
        e = try_lock(fd, path, msg);
    }
    if (e != ERR_OK) {
        close(fd);
        return e == ERR_BUSY ? ERR_LOCKED : e;
    }
    const int size =
        snprintf(text, sizeof(text), "%ld%s\n", (long)getpid(), short_use ? " " MOMENT : "");
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)size, 0) != size) {
        e = err_say_errno(msg, errno, "cannot write %s", path);
        close(fd);
        return e;
    }
    *out_fd = fd;
    return ERR_OK;
}

enum err vault_file_append(const char *path, struct slice bytes, struct errmsg *msg)
{
    const int fd = open(path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
    enum err e = ERR_OK;
    if (fd < 0)
        return err_say_errno(msg, errno, "cannot open %s", path);
    const ssize_t put = write(fd, bytes.data, bytes.size);
    if (put != (ssize_t)bytes.size || fsync(fd) != 0)
        e = err_say_errno(msg, put >= 0 && put < (ssize_t)bytes.size ? ENOSPC : errno,
                          "cannot write to %s", path);
    close(fd);
    return e;
}
