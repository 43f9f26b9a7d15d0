#include "uvio/uvio_internal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum err uvio_err(int uv_error)
{
    if (uv_error >= 0)
        return ERR_OK;
    switch (uv_error) {
    case UV_EADDRINUSE:
        return ERR_EXISTS;
    case UV_EADDRNOTAVAIL:
        return ERR_USAGE;
    case UV_EOF:
        return ERR_UNREACHABLE;
    case UV_EAI_MEMORY:
        return ERR_NOMEM;
    default:
        /* libuv's names for names that do not resolve are not errno's; the others are */
        return uv_error <= UV_EAI_ADDRFAMILY && uv_error > UV_EAI_ADDRFAMILY - 100
                   ? ERR_UNREACHABLE
                   : err_from_errno(-uv_error);
    }
}

enum err uvio_say(struct errmsg *msg, int uv_error, const char *format, ...)
{
    enum err e = uvio_err(uv_error);
    if (!msg)
        return e;
    char what[ERRMSG_SIZE];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    return err_say(msg, e, "%s: %s", what, uv_strerror(uv_error));
}

static void fill(void *context, void *out, size_t size)
{
    (void)context;
    uint8_t *at = out;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0)
            continue; /* only EINTR is left: kernels without getrandom are not built for */
        at += got;
        size -= (size_t)got;
    }
}

static unsigned pool_threads(const struct uvio_options *options)
{
    const unsigned given = options ? options->threads : 0;
    return (given ? given : uv_available_parallelism()) + (options ? options->threads_more : 0);
}

enum err uvio_new(const struct uvio_options *options, struct uvio **out, struct errmsg *msg)
{
    struct uvio *io = calloc(1, sizeof(*io));
    if (!io)
        return err_say(msg, ERR_NOMEM, "out of memory");
    list_init(&io->signals);
    list_init(&io->nets);
    io->log = options ? options->log : NULL;
    io->random = (struct random){fill, NULL};
    int result = uv_loop_init(&io->loop);
    if (result != 0) {
        free(io);
        return uvio_say(msg, result, "cannot start the event loop");
    }
    (void)signal(SIGPIPE, SIG_IGN);
    enum err e = uvio_timers_open(io);
    if (e != ERR_OK)
        goto close_loop;
    e = uvio_pool_open(io, pool_threads(options), msg);
    if (e != ERR_OK)
        goto close_timers;
    *out = io;
    return ERR_OK;

close_timers:
    uvio_timers_close(io);
    (void)uv_run(&io->loop, UV_RUN_DEFAULT);
close_loop:
    (void)uv_loop_close(&io->loop);
    free(io);
    return e;
}

static void signal_closed(uv_handle_t *handle)
{
    free(container_of(handle, struct uvio_signal, uv));
}

void uvio_free(struct uvio *io)
{
    if (!io)
        return;
    uvio_net_break_all(io);
    uvio_pool_close(io);
    uvio_timers_close(io);
    while (!list_empty(&io->signals)) {
        struct uvio_signal *s = container_of(list_pop(&io->signals), struct uvio_signal, link);
        uv_close((uv_handle_t *)&s->uv, signal_closed);
    }
    while (uv_run(&io->loop, UV_RUN_DEFAULT) != 0)
        continue;
    (void)uv_loop_close(&io->loop);
    uvio_timers_free(io);
    uvio_pool_free(io);
    free(io);
}

void uvio_run(struct uvio *io)
{
    while (!io->stopping)
        (void)uv_run(&io->loop, UV_RUN_DEFAULT);
    io->stopping = false;
}

void uvio_stop(struct uvio *io)
{
    io->stopping = true;
    uv_stop(&io->loop);
}

const struct clock *uvio_clock(const struct uvio *io)
{
    return &io->clock;
}

const struct random *uvio_random(const struct uvio *io)
{
    return &io->random;
}

const struct work *uvio_work(const struct uvio *io)
{
    return &io->work;
}

const struct log *uvio_log(const struct uvio *io)
{
    return io->log;
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct uvio_signal *s = container_of(handle, struct uvio_signal, uv);
    s->fn(s->user, number);
}

enum err uvio_on_signal(struct uvio *io, int signal_number, uvio_signal_fn *fn, void *user,
                        struct errmsg *msg)
{
    list_for_each(node, &io->signals)
    {
        struct uvio_signal *s = container_of(node, struct uvio_signal, link);
        if (s->uv.signum == signal_number) {
            s->fn = fn;
            s->user = user;
            return ERR_OK;
        }
    }
    struct uvio_signal *s = calloc(1, sizeof(*s));
    if (!s)
        return err_say(msg, ERR_NOMEM, "out of memory");
    s->fn = fn;
    s->user = user;
    int result = uv_signal_init(&io->loop, &s->uv);
    if (result != 0) {
        free(s);
        return uvio_say(msg, result, "cannot watch signal %d", signal_number);
    }
    result = uv_signal_start(&s->uv, on_signal, signal_number);
    if (result != 0) {
        uv_close((uv_handle_t *)&s->uv, signal_closed);
        return uvio_say(msg, result, "cannot watch signal %d", signal_number);
    }
    list_append(&io->signals, &s->link);
    return ERR_OK;
}
