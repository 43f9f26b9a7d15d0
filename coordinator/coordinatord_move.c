#include "coordinatord_move.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { COMMAND_MAX = 16384, PATH_MAX_BYTES = 4096, FILE_MAX = 1 << 20 };

/* As one word for the shell. */
static enum err quote(struct buf *out, const char *word)
{
    enum err e = buf_append(out, "'", 1);
    for (; *word && e == ERR_OK; word++)
        e = *word == '\'' ? buf_append(out, "'\\''", 4) : buf_append(out, word, 1);
    return e == ERR_OK ? buf_append(out, "'", 1) : e;
}

static enum err add(struct buf *out, const char *text)
{
    return buf_append(out, text, strlen(text));
}

static enum err run(struct buf *command, const char *what, struct errmsg *msg)
{
    enum err e = buf_append_u8(command, 0);
    if (e != ERR_OK)
        return err_say(msg, e, "the command to %s is too long", what);
    const int status = system((const char *)command->data); /* every word in it is quoted */
    if (status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return ERR_OK;
    if (status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 17)
        return err_say(msg, ERR_EXISTS, "there is a coordinator in that directory already");
    return err_say(msg, ERR_IO, "cannot %s: the command failed (%d)", what, status);
}

/* What runs where the new directory is: refuses one that is in use, unpacks what comes in. */
static enum err receiver(struct buf *out, const char *dir)
{
    enum err e = add(out, "umask 077; mkdir -p ");
    if (e == ERR_OK)
        e = quote(out, dir);
    if (e == ERR_OK)
        e = add(out, " && cd ");
    if (e == ERR_OK)
        e = quote(out, dir);
    if (e == ERR_OK)
        e = add(out, " || exit 1; [ ! -e identity.key ] || exit 17; tar -xf - && sync");
    return e == ERR_OK ? buf_append_u8(out, 0) : e;
}

static enum err send(const struct coordinatord_move *move, const char *archive, struct errmsg *msg)
{
    struct buf command = BUF_INIT(COMMAND_MAX), there = BUF_INIT(COMMAND_MAX);
    const char *colon = strchr(move->to, ':'), *slash = strchr(move->to, '/');
    const bool remote = colon && (!slash || colon < slash);
    char host[PATH_MAX_BYTES];
    snprintf(host, sizeof(host), "%.*s", remote ? (int)(colon - move->to) : 0, move->to);
    enum err e = receiver(&there, remote ? colon + 1 : move->to);
    if (e == ERR_OK)
        e = add(&command, remote ? move->rsh : "sh -c");
    if (e == ERR_OK && remote)
        e = add(&command, " ");
    if (e == ERR_OK && remote)
        e = quote(&command, host);
    if (e == ERR_OK)
        e = add(&command, " ");
    if (e == ERR_OK)
        e = quote(&command, (const char *)there.data);
    if (e == ERR_OK)
        e = add(&command, " < ");
    if (e == ERR_OK)
        e = quote(&command, archive);
    if (e == ERR_OK)
        e = run(&command, "bring the coordinator there", msg);
    buf_free(&command);
    buf_free(&there);
    return e;
}

static enum err pack(const char *stage, const char *archive, struct errmsg *msg)
{
    struct buf command = BUF_INIT(COMMAND_MAX);
    enum err e = add(&command, "umask 077; tar -C ");
    if (e == ERR_OK)
        e = quote(&command, stage);
    if (e == ERR_OK)
        e = add(&command, " -cf ");
    if (e == ERR_OK)
        e = quote(&command, archive);
    if (e == ERR_OK)
        e = add(&command, " identity.key swarm-root.pub certificate settings.ini registry.db");
    if (e == ERR_OK)
        e = run(&command, "pack the coordinator's state", msg);
    buf_free(&command);
    return e;
}

static enum err copy(const char *data, const char *stage, const char *name, struct errmsg *msg)
{
    char from[PATH_MAX_BYTES], to[PATH_MAX_BYTES];
    struct buf bytes = BUF_INIT(FILE_MAX);
    snprintf(from, sizeof(from), "%s/%s", data, name);
    snprintf(to, sizeof(to), "%s/%s", stage, name);
    enum err e = file_read(from, &bytes, msg);
    if (e == ERR_OK)
        e = file_write(to, 0600, buf_slice(&bytes), msg);
    buf_free(&bytes);
    return e;
}

static enum err put(const char *stage, const char *name, struct slice bytes, struct errmsg *msg)
{
    char to[PATH_MAX_BYTES];
    snprintf(to, sizeof(to), "%s/%s", stage, name);
    return file_write(to, 0600, bytes, msg);
}

enum err coordinatord_move(const struct coordinatord_move *move, struct errmsg *msg)
{
    char stage[PATH_MAX_BYTES], archive[PATH_MAX_BYTES];
    snprintf(stage, sizeof(stage), "%s/moving", move->data);
    snprintf(archive, sizeof(archive), "%s/moving.tar", move->data);
    enum err e = copy(move->data, stage, "identity.key", msg);
    if (e == ERR_OK)
        e = copy(move->data, stage, "swarm-root.pub", msg);
    if (e == ERR_OK)
        e = put(stage, "certificate", move->certificate, msg);
    if (e == ERR_OK)
        e = put(stage, "settings.ini", move->settings, msg);
    if (e == ERR_OK)
        e = pack(stage, archive, msg);
    return e == ERR_OK ? send(move, archive, msg) : e;
}
