#include "vault/vault_internal.h"

#include <errno.h>
#include <fcntl.h>
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

enum err vault_file_lock(const char *path, int *out_fd, struct errmsg *msg)
{
    char text[64] = "";
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_say_errno(msg, errno, "cannot open %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        const int number = errno;
        const ssize_t got = pread(fd, text, sizeof(text) - 1, 0);
        text[got > 0 ? strcspn(text, "\n") : 0] = 0;
        close(fd);
        if (number != EWOULDBLOCK)
            return err_say_errno(msg, number, "cannot lock %s", path);
        return err_say(msg, ERR_LOCKED, "the vault is in use by process %s; wait for it to end",
                       text[0] ? text : "(unknown)");
    }
    /* only for the sentence above: the lock itself goes with the process */
    const int size = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)size, 0) != size) {
        const enum err e = err_say_errno(msg, errno, "cannot write %s", path);
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
