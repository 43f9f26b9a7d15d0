#include "ctl_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { POLL_MS = 100 };

struct ctl_stream {
    struct backup_stream is;
    const char *const *command; /* borrowed; NULL: standard input */
    char *path;
    int fd;
    pid_t pid; /* 0: none, or it has been waited for */
    atomic_bool stopped;
};

static enum err ended(struct ctl_stream *stream, struct errmsg *msg)
{
    int status = 0;
    if (!stream->command)
        return ERR_OK;
    while (stream->pid > 0 && waitpid(stream->pid, &status, 0) < 0) {
        if (errno != EINTR)
            return err_say_errno(msg, errno, "cannot wait for %s", stream->command[0]);
    }
    stream->pid = 0;
    if (WIFSIGNALED(status))
        return err_say(msg, ERR_STATE, "%s was ended by signal %d: nothing was saved",
                       stream->command[0], WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        return err_say(msg, ERR_STATE, "%s ended with exit code %d: nothing was saved",
                       stream->command[0], WEXITSTATUS(status));
    return ERR_OK;
}

/* Waits for bytes, looking now and then whether anybody still wants them. */
static enum err stream_read(void *user, void *out, size_t size, size_t *got, struct errmsg *msg)
{
    struct ctl_stream *stream = user;
    *got = 0;
    while (!atomic_load(&stream->stopped)) {
        struct pollfd ready = {.fd = stream->fd, .events = POLLIN};
        const int count = poll(&ready, 1, POLL_MS);
        if (count == 0 || (count < 0 && errno == EINTR))
            continue;
        const ssize_t some = read(stream->fd, out, size);
        if (some < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (some < 0)
            return err_say_errno(msg, errno, "cannot read %s",
                                 stream->command ? stream->command[0] : "standard input");
        *got = (size_t)some;
        return some == 0 ? ended(stream, msg) : ERR_OK;
    }
    return err_say(msg, ERR_CANCELLED, "interrupted");
}

static void stream_stop(void *user)
{
    struct ctl_stream *stream = user;
    atomic_store(&stream->stopped, true);
}

enum err ctl_stream_new(const char *name, const char *const *command, struct ctl_stream **out)
{
    struct ctl_stream *stream = calloc(1, sizeof(*stream));
    if (!stream)
        return ERR_NOMEM;
    stream->fd = -1;
    stream->command = command;
    stream->path = malloc(strlen(name) + 2);
    if (!stream->path) {
        free(stream);
        return ERR_NOMEM;
    }
    sprintf(stream->path, "%s%s", name[0] == '/' ? "" : "/", name);
    stream->is = (struct backup_stream){
        .path = stream->path, .read = stream_read, .stop = stream_stop, .user = stream};
    *out = stream;
    return ERR_OK;
}

const struct backup_stream *ctl_stream_vault(const struct ctl_stream *stream)
{
    return &stream->is;
}

/* Its output into our pipe; its input and its errors are ours; signals as they are for any program.
 * errno. */
static int spawn(struct ctl_stream *stream, int output)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    int problem = posix_spawn_file_actions_init(&actions);
    if (problem)
        return problem;
    problem = posix_spawnattr_init(&attributes);
    if (!problem) {
        problem = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
        if (!problem)
            problem = posix_spawnattr_setsigdefault(&attributes, &all);
        if (!problem)
            problem = posix_spawnattr_setsigmask(&attributes, &none);
        if (!problem)
            problem = posix_spawnattr_setflags(&attributes,
                                               POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
        if (!problem)
            problem = posix_spawnp(&stream->pid, stream->command[0], &actions, &attributes,
                                   (char *const *)(uintptr_t)stream->command, environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return problem;
}

enum err ctl_stream_start(struct ctl_stream *stream, struct errmsg *msg)
{
    int ends[2];
    if (!stream->command) {
        stream->fd = STDIN_FILENO;
        return ERR_OK;
    }
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_say_errno(msg, errno, "cannot make a pipe for %s", stream->command[0]);
    const int problem = spawn(stream, ends[1]);
    close(ends[1]);
    if (problem) {
        close(ends[0]);
        stream->pid = 0;
        return err_say_errno(msg, problem, "cannot run %s", stream->command[0]);
    }
    stream->fd = ends[0];
    return ERR_OK;
}

void ctl_stream_free(struct ctl_stream *stream)
{
    if (!stream)
        return;
    if (stream->command && stream->fd >= 0)
        close(stream->fd);
    if (stream->pid > 0) {
        kill(stream->pid, SIGTERM);
        while (waitpid(stream->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    free(stream->path);
    free(stream);
}
