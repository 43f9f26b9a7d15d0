#include "uvio/uvio_control.h"

#include "uvio/uvio_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    HEAD = 4,
    ASK_MS = 15000 /* for an asker to say its whole request, or to take the answer */
};

struct uvio_control {
    struct uvio *io;
    uv_pipe_t pipe;
    char path[108];
    uvio_control_fn *on_request;
    void *user;
    struct list requests; /* of uvio_control_request */
    bool closed;          /* by the program */
    bool handle_closed;
};

struct uvio_control_request {
    struct uvio_control *control;
    struct list link; /* in control->requests */
    uv_pipe_t pipe;
    uv_write_t write;
    struct buf in, out;
    struct timer timer;
    uint8_t chunk[4096];
    bool asked;    /* the program has it, and will answer */
    bool answered; /* it has */
    bool closing, handle_closed;
};

static void control_release(struct uvio_control *control)
{
    if (control->closed && control->handle_closed && list_empty(&control->requests))
        free(control);
}

/* The struct stays until the handle is closed and the program has answered. */
static void request_release(struct uvio_control_request *r)
{
    if (!r->handle_closed || (r->asked && !r->answered))
        return;
    struct uvio_control *control = r->control;
    list_remove(&r->link);
    buf_free(&r->in);
    buf_free(&r->out);
    free(r);
    control_release(control);
}

static void on_request_closed(uv_handle_t *handle)
{
    struct uvio_control_request *r = handle->data;
    r->handle_closed = true;
    request_release(r);
}

static void request_close(struct uvio_control_request *r)
{
    if (r->closing)
        return;
    r->closing = true;
    timer_stop(&r->control->io->clock, &r->timer);
    uv_close((uv_handle_t *)&r->pipe, on_request_closed);
}

static void on_late(struct timer *timer)
{
    request_close(container_of(timer, struct uvio_control_request, timer));
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct uvio_control_request *r = handle->data;
    (void)suggested;
    *out = uv_buf_init((char *)r->chunk, sizeof(r->chunk));
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *bytes)
{
    struct uvio_control_request *r = stream->data;
    if (size < 0 ||
        (size > 0 && (r->asked || buf_append(&r->in, bytes->base, (size_t)size) != ERR_OK))) {
        request_close(r); /* it left, or says more than one request */
        return;
    }
    if (r->in.size < HEAD)
        return;
    size_t announced = get_le32(r->in.data);
    if (announced > UVIO_CONTROL_BYTES || r->in.size > announced + HEAD) {
        request_close(r);
        return;
    }
    if (r->in.size < announced + HEAD || r->asked)
        return;
    r->asked = true;
    timer_stop(&r->control->io->clock, &r->timer);
    struct uvio_control *control = r->control;
    if (control->closed) {
        r->answered = true;
        request_close(r);
        return;
    }
    control->on_request(control->user, r, slice_of(r->in.data + HEAD, announced));
}

static void on_written(uv_write_t *write, int status)
{
    (void)status;
    request_close(write->data);
}

void uvio_control_answer(struct uvio_control_request *r, struct slice bytes)
{
    uint8_t head[HEAD];
    r->answered = true;
    if (r->closing) {
        request_release(r);
        return;
    }
    put_le32(head, (uint32_t)bytes.size);
    r->out = BUF_INIT(UVIO_CONTROL_BYTES + HEAD);
    r->write.data = r;
    if (buf_append(&r->out, head, HEAD) != ERR_OK ||
        buf_append(&r->out, bytes.data, bytes.size) != ERR_OK ||
        timer_start(&r->control->io->clock, &r->timer, ASK_MS) != ERR_OK) {
        request_close(r);
        return;
    }
    uv_buf_t out = uv_buf_init((char *)r->out.data, (unsigned)r->out.size);
    if (uv_write(&r->write, (uv_stream_t *)&r->pipe, &out, 1, on_written) != 0)
        request_close(r);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct uvio_control *control = listener->data;
    struct uvio_control_request *r = status == 0 ? calloc(1, sizeof(*r)) : NULL;
    if (!r)
        return;
    if (uv_pipe_init(&control->io->loop, &r->pipe, 0) != 0) {
        free(r);
        return;
    }
    r->control = control;
    r->pipe.data = r;
    r->in = BUF_INIT(UVIO_CONTROL_BYTES + HEAD);
    r->timer.fire = on_late;
    list_append(&control->requests, &r->link);
    if (uv_accept(listener, (uv_stream_t *)&r->pipe) != 0 ||
        timer_start(&control->io->clock, &r->timer, ASK_MS) != ERR_OK ||
        uv_read_start((uv_stream_t *)&r->pipe, on_alloc, on_read) != 0)
        request_close(r);
}

static void on_control_closed(uv_handle_t *handle)
{
    struct uvio_control *control = handle->data;
    control->handle_closed = true;
    control_release(control);
}

/* --- the asking side, and what both need */

static enum err connect_to(const char *path, int *out, struct errmsg *msg)
{
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(where.sun_path))
        return err_say(msg, ERR_USAGE, "%s is too long for a socket", path);
    memcpy(where.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_say_errno(msg, errno, "cannot make a socket");
    if (connect(fd, (struct sockaddr *)&where, sizeof(where)) == 0) {
        *out = fd;
        return ERR_OK;
    }
    int number = errno;
    (void)close(fd);
    if (number == ENOENT || number == ECONNREFUSED)
        return err_say(msg, ERR_UNREACHABLE, "no running process listens on %s", path);
    return err_say_errno(msg, number, "cannot connect to %s", path);
}

static enum err wait_for(int fd, short what, uint64_t end_ms, const char *path, struct errmsg *msg)
{
    struct pollfd poll_fd = {.fd = fd, .events = what};
    for (;;) {
        uint64_t now = uv_hrtime() / 1000000;
        int result = now >= end_ms ? 0 : poll(&poll_fd, 1, (int)(end_ms - now));
        if (result > 0)
            return ERR_OK;
        if (result == 0)
            return err_say(msg, ERR_TIMEOUT, "the process that listens on %s does not answer",
                           path);
        if (errno != EINTR)
            return err_say_errno(msg, errno, "cannot wait for %s", path);
    }
}

static enum err send_all(int fd, struct slice bytes, uint64_t end_ms, const char *path,
                         struct errmsg *msg)
{
    while (bytes.size > 0) {
        enum err e = wait_for(fd, POLLOUT, end_ms, path, msg);
        if (e != ERR_OK)
            return e;
        ssize_t n = send(fd, bytes.data, bytes.size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return err_say_errno(msg, errno, "cannot ask through %s", path);
        if (n > 0)
            bytes = slice_of(bytes.data + n, bytes.size - (size_t)n);
    }
    return ERR_OK;
}

static enum err receive_all(int fd, uint8_t *out, size_t size, uint64_t end_ms, const char *path,
                            struct errmsg *msg)
{
    while (size > 0) {
        enum err e = wait_for(fd, POLLIN, end_ms, path, msg);
        if (e != ERR_OK)
            return e;
        ssize_t n = recv(fd, out, size, MSG_DONTWAIT);
        if (n == 0)
            return err_say(msg, ERR_UNREACHABLE, "the process that listens on %s left", path);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return err_say_errno(msg, errno, "no answer through %s", path);
        if (n > 0) {
            out += n;
            size -= (size_t)n;
        }
    }
    return ERR_OK;
}

enum err uvio_control_call(const char *path, struct slice request, uint32_t timeout_ms,
                           struct buf *response, struct errmsg *msg)
{
    uint8_t head[HEAD];
    int fd;
    if (request.size > UVIO_CONTROL_BYTES)
        return err_say(msg, ERR_TOO_LARGE, "the request is larger than %d bytes",
                       UVIO_CONTROL_BYTES);
    enum err e = connect_to(path, &fd, msg);
    if (e != ERR_OK)
        return e;
    uint64_t end_ms = uv_hrtime() / 1000000 + timeout_ms;
    put_le32(head, (uint32_t)request.size);
    e = send_all(fd, slice_of(head, HEAD), end_ms, path, msg);
    if (e == ERR_OK)
        e = send_all(fd, request, end_ms, path, msg);
    if (e == ERR_OK)
        e = receive_all(fd, head, HEAD, end_ms, path, msg);
    if (e != ERR_OK)
        goto close_fd;
    size_t size = get_le32(head);
    e = buf_reserve(response, size);
    if (e != ERR_OK) {
        e = err_say(msg, e, "the answer through %s: %s", path, err_words(e));
        goto close_fd;
    }
    e = receive_all(fd, response->data + response->size, size, end_ms, path, msg);
    if (e == ERR_OK)
        response->size += size;
close_fd:
    (void)close(fd);
    return e;
}

/* --- listening */

/* A dead process leaves its socket behind; a living one answers. */
static enum err make_way(const char *path, struct errmsg *msg)
{
    struct errmsg ignored;
    struct stat st;
    int fd;
    if (lstat(path, &st) != 0)
        return ERR_OK;
    if (!S_ISSOCK(st.st_mode))
        return err_say(msg, ERR_EXISTS, "%s is there and no socket", path);
    enum err e = connect_to(path, &fd, &ignored);
    if (e == ERR_OK) {
        (void)close(fd);
        return err_say(msg, ERR_LOCKED, "another process runs here: it listens on %s", path);
    }
    if (unlink(path) != 0 && errno != ENOENT)
        return err_say_errno(msg, errno, "cannot remove %s", path);
    return ERR_OK;
}

enum err uvio_control_listen(struct uvio *io, const char *path, uvio_control_fn *on_request,
                             void *user, struct uvio_control **out, struct errmsg *msg)
{
    enum { BACKLOG = 16 };
    struct uvio_control *control = calloc(1, sizeof(*control));
    if (!control)
        return err_say(msg, ERR_NOMEM, "out of memory");
    enum err e = strlen(path) < sizeof(control->path)
                     ? make_way(path, msg)
                     : err_say(msg, ERR_USAGE, "%s is too long for a socket", path);
    if (e != ERR_OK)
        goto free_control;
    int result = uv_pipe_init(&io->loop, &control->pipe, 0);
    if (result != 0) {
        e = uvio_say(msg, result, "cannot listen on %s", path);
        goto free_control;
    }
    control->io = io;
    control->on_request = on_request;
    control->user = user;
    control->pipe.data = control;
    list_init(&control->requests);
    /* bind() makes the file with the umask's rights; nobody else may slip in before chmod */
    mode_t old = umask(0177);
    result = uv_pipe_bind(&control->pipe, path);
    (void)umask(old);
    if (result == 0) {
        memcpy(control->path, path, strlen(path) + 1);
        result = uv_listen((uv_stream_t *)&control->pipe, BACKLOG, on_connection);
    }
    if (result != 0) {
        uvio_control_close(control);
        return uvio_say(msg, result, "cannot listen on %s", path);
    }
    *out = control;
    return ERR_OK;

free_control:
    free(control);
    return e;
}

void uvio_control_close(struct uvio_control *control)
{
    if (!control || control->closed)
        return;
    control->closed = true;
    if (control->path[0])
        (void)unlink(control->path);
    for (struct list *node = control->requests.next, *next; node != &control->requests;
         node = next) {
        struct uvio_control_request *r = container_of(node, struct uvio_control_request, link);
        next = node->next;
        if (!r->asked)
            request_close(r);
    }
    uv_close((uv_handle_t *)&control->pipe, on_control_closed);
}
