#include "uvio/uvio_watch.h"

#include "uvio/uvio_internal.h"

#include <stdlib.h>

struct uvio_watch {
    uv_poll_t uv;
    uvio_watch_fn *fn;
    void *user;
};

/* libuv stops the handle when the other end is gone; who watches finds that out by reading. */
static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct uvio_watch *watch = container_of(handle, struct uvio_watch, uv);
    (void)status;
    (void)events;
    watch->fn(watch->user);
}

static void start(struct uvio_watch *watch)
{
    const int result = uv_poll_start(&watch->uv, UV_READABLE | UV_DISCONNECT, on_readable);
    (void)result; /* fails for a closing handle or bad flags only */
}

static void closed(uv_handle_t *handle)
{
    free(container_of(handle, struct uvio_watch, uv));
}

enum err uvio_watch_open(struct uvio *io, int fd, uvio_watch_fn *fn, void *user,
                         struct uvio_watch **out, struct errmsg *msg)
{
    struct uvio_watch *watch = calloc(1, sizeof(*watch));
    if (!watch)
        return err_say(msg, ERR_NOMEM, "out of memory");
    const int result = uv_poll_init(&io->loop, &watch->uv, fd);
    if (result != 0) {
        free(watch);
        return uvio_say(msg, result, "cannot watch a file descriptor");
    }
    watch->fn = fn;
    watch->user = user;
    start(watch);
    *out = watch;
    return ERR_OK;
}

void uvio_watch_pause(struct uvio_watch *watch, bool paused)
{
    if (paused)
        (void)uv_poll_stop(&watch->uv);
    else
        start(watch);
}

void uvio_watch_close(struct uvio_watch *watch)
{
    if (watch)
        uv_close((uv_handle_t *)&watch->uv, closed);
}
