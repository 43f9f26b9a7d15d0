#include "daemon/daemon_control.h"

#include <string.h>

enum { ASK_MS = 30000, SOCKET_PATH_MAX = 107 };

enum err daemon_control_listen(const struct daemon *d, struct uvio *io, uvio_control_fn *on_request,
                               void *user, struct uvio_control **out, struct errmsg *msg)
{
    char path[DAEMON_PATH_SIZE];
    *out = NULL;
    if (strlen(daemon_path(d, DAEMON_CONTROL_NAME, path)) > SOCKET_PATH_MAX) {
        log_say(&d->log, LOG_WARN,
                "no subcommands beside this process: %s is longer than a socket's name can be",
                path);
        return ERR_OK;
    }
    return uvio_control_listen(io, path, on_request, user, out, msg);
}

void daemon_control_answer(struct uvio_control_request *request, int exit_code, struct slice text)
{
    struct buf answer = BUF_INIT(UVIO_CONTROL_BYTES);
    const uint8_t code = (uint8_t)exit_code, failed = 1;
    enum err e = buf_append_u8(&answer, code);
    if (e == ERR_OK)
        e = buf_append(&answer, text.data, text.size);
    uvio_control_answer(request, e == ERR_OK ? buf_slice(&answer) : slice_of(&failed, 1));
    buf_free(&answer);
}

enum err daemon_control_ask(const struct daemon *d, const char *words, int *exit_code,
                            struct buf *text, struct errmsg *msg)
{
    char path[DAEMON_PATH_SIZE];
    buf_clear(text);
    enum err e = uvio_control_call(daemon_path(d, DAEMON_CONTROL_NAME, path), slice_text(words),
                                   ASK_MS, text, msg);
    if (e == ERR_UNREACHABLE)
        return err_say(msg, e, "nothing runs on %s: start it first", d->data);
    if (e == ERR_OK && text->size == 0)
        return err_say(msg, ERR_FORMAT, "the answer on %s is empty", path);
    if (e != ERR_OK)
        return e;
    *exit_code = text->data[0];
    text->size--;
    memmove(text->data, text->data + 1, text->size);
    return ERR_OK;
}
