/* The net port: made, listening, seeing to what is due, budget, shaper, closed again. */
#include "uvio/uvio_net_internal.h"

#include <stdlib.h>

enum { REFILL_MS = 10, BURST_MS = 100 };

static void serve(struct net *port, const struct net_service *service, void *user)
{
    struct uvio_net *net = uvio_net_of(port);
    net->service = service;
    net->service_user = user;
}

static enum err introduce(struct net *port, const char *path, struct slice bytes)
{
    struct uvio_net *net = uvio_net_of(port);
    struct buf copy = BUF_INIT(LIMIT_MANIFEST_BYTES);
    char *path_copy = strdup(path);
    enum err e = path_copy ? buf_append(&copy, bytes.data, bytes.size) : ERR_NOMEM;
    if (e != ERR_OK) {
        free(path_copy);
        buf_free(&copy);
        return e;
    }
    free(net->introduce_path);
    buf_free(&net->introduce_bytes);
    net->introduce_path = path_copy;
    net->introduce_bytes = copy;
    for (struct list *node = net->connections.next, *next; node != &net->connections; node = next) {
        next = node->next;
        struct uvio_conn *conn = container_of(node, struct uvio_conn, link);
        if (conn->outgoing)
            uvio_conn_introduce_again(conn);
    }
    return ERR_OK;
}

const struct net_ops uvio_net_ops = {
    .call_start = uvio_call_start,
    .call_credit = uvio_call_credit,
    .call_cancel = uvio_call_cancel,
    .exchange_credit = uvio_exchange_credit,
    .reply_start = uvio_exchange_reply_start,
    .reply_write = uvio_exchange_reply_write,
    .exchange_abort = uvio_exchange_abort,
    .serve = serve,
    .introduce = introduce,
};

/* --- what is due */

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* its being there keeps the loop from waiting */
}

void uvio_net_due(struct uvio_net *net)
{
    if (!uv_is_active((uv_handle_t *)&net->idle) && !uv_is_closing((uv_handle_t *)&net->idle))
        (void)uv_idle_start(&net->idle, on_idle);
}

void uvio_net_dirty(struct uvio_conn *conn)
{
    if (conn->state == UVIO_CLOSED || !list_empty(&conn->dirty_link))
        return;
    list_append(&conn->net->dirty, &conn->dirty_link);
    uvio_net_due(conn->net);
}

static void run_ended(struct uvio_net *net)
{
    while (!list_empty(&net->ended)) {
        struct uvio_stream *s = container_of(list_pop(&net->ended), struct uvio_stream, ended_link);
        if (s->is_call)
            uvio_call_finish(uvio_call_of(s));
        else
            uvio_exchange_finish(uvio_exchange_of(s));
    }
}

static void run_dirty(struct uvio_net *net)
{
    struct list now;
    list_init(&now);
    while (!list_empty(&net->dirty))
        list_append(&now, list_pop(&net->dirty));
    while (!list_empty(&now))
        uvio_conn_flush(container_of(now.next, struct uvio_conn, dirty_link));
}

static void read_again(struct uvio_net *net)
{
    while (!list_empty(&net->paused) && net->held_bytes < net->budget_bytes / 4 * 3)
        uvio_conn_read_again(container_of(net->paused.next, struct uvio_conn, paused_link));
}

static void close_step(struct uvio_net *net);

static void on_prepare(uv_prepare_t *prepare)
{
    enum { ROUNDS = 4 };
    struct uvio_net *net = prepare->data;
    for (int i = 0; i < ROUNDS && (!list_empty(&net->ended) || !list_empty(&net->dirty)); i++) {
        run_ended(net);
        run_dirty(net);
    }
    read_again(net);
    if (list_empty(&net->ended) && list_empty(&net->dirty))
        (void)uv_idle_stop(&net->idle);
    if (net->closing)
        close_step(net);
}

/* --- budget */

void uvio_net_held(struct uvio_net *net, size_t more)
{
    net->held_bytes += more;
}

void uvio_net_unheld(struct uvio_net *net, size_t less)
{
    net->held_bytes -= less;
    if (!list_empty(&net->paused) && net->held_bytes < net->budget_bytes / 4 * 3)
        uvio_net_due(net);
}

struct buf uvio_net_buffer(struct uvio_net *net)
{
    return net->spare_count > 0 ? net->spare[--net->spare_count] : BUF_INIT(UVIO_OUTPUT_MAX);
}

void uvio_net_buffer_back(struct uvio_net *net, struct buf *b)
{
    b->size = 0;
    if (b->capacity > 0 && net->spare_count < UVIO_SPARE_BUFFERS)
        net->spare[net->spare_count++] = *b;
    else
        free(b->data);
    *b = BUF_INIT(UVIO_OUTPUT_MAX);
}

/* --- shaper */

static void refill(struct uvio_net *net)
{
    uint64_t now = clock_mono_ns(&net->io->clock);
    uint64_t passed_us = (now - net->refilled_ns) / 1000;
    int64_t most = (int64_t)(net->upload_bytes_s * BURST_MS / 1000);
    if (passed_us > 1000000)
        passed_us = 1000000;
    net->tokens += (int64_t)(net->upload_bytes_s * passed_us / 1000000);
    if (net->tokens > most)
        net->tokens = most;
    net->refilled_ns = now;
}

/* The most urgent of the connections that were held back go first. */
static unsigned urgency(const struct uvio_conn *conn)
{
    unsigned best = conn->outgoing ? NET_CLASS_COUNT : NET_RESTORE; /* what we serve is restored */
    list_for_each(node, &conn->streams)
    {
        struct uvio_stream *s = container_of(node, struct uvio_stream, link);
        if (s->is_call && !s->ended && uvio_call_of(s)->request.net_class < best)
            best = uvio_call_of(s)->request.net_class;
    }
    return best;
}

static void on_refill(struct timer *timer)
{
    struct uvio_net *net = container_of(timer, struct uvio_net, refill);
    struct list now;
    list_init(&now);
    refill(net);
    for (unsigned class = 0; class <= NET_CLASS_COUNT; class ++)
        for (struct list *node = net->throttled.next, *next; node != &net->throttled; node = next) {
            struct uvio_conn *conn = container_of(node, struct uvio_conn, throttled_link);
            next = node->next;
            if (urgency(conn) == class) {
                list_remove(node);
                list_append(&now, node);
            }
        }
    while (!list_empty(&now)) {
        struct uvio_conn *conn = container_of(list_pop(&now), struct uvio_conn, throttled_link);
        uvio_conn_flush(conn); /* which may throttle it again */
    }
}

bool uvio_net_may_send(struct uvio_conn *conn, size_t size)
{
    struct uvio_net *net = conn->net;
    if (net->upload_bytes_s == 0)
        return true;
    refill(net);
    if (net->tokens > 0) {
        net->tokens -= (int64_t)size;
        return true;
    }
    if (list_empty(&conn->throttled_link))
        list_append(&net->throttled, &conn->throttled_link);
    if (!net->refill.impl && timer_start(&net->io->clock, &net->refill, REFILL_MS) != ERR_OK)
        return true; /* rather too fast than never */
    return false;
}

void uvio_net_limit_upload(struct net *port, uint32_t upload_kib_s)
{
    struct uvio_net *net = uvio_net_of(port);
    net->upload_bytes_s = (uint64_t)upload_kib_s << 10;
    net->tokens = 0;
    net->refilled_ns = clock_mono_ns(&net->io->clock);
}

/* --- closing */

static void net_free(struct uvio_net *net)
{
    for (size_t i = 0; i < net->spare_count; i++)
        buf_free(&net->spare[i]);
    tls_context_free(net->tls);
    idmap_free(&net->peers);
    buf_free(&net->introduce_bytes);
    free(net->introduce_path);
    free(net->read_buffer);
    free(net->plain);
    free(net);
}

void uvio_net_released(struct uvio_net *net)
{
    if (--net->handles > 0)
        return;
    uvio_net_closed_fn *closed = net->closed;
    void *user = net->closed_user;
    list_remove(&net->link);
    net_free(net);
    if (closed)
        closed(user);
}

static void on_handle_closed(uv_handle_t *handle)
{
    uvio_net_released(handle->data);
}

/* Everything that is left ends now. */
static void break_off(struct uvio_net *net)
{
    struct errmsg msg;
    net->breaking = true;
    (void)err_say(&msg, ERR_CANCELLED, "the network of this process is closing");
    for (struct list *node = net->connections.next, *next; node != &net->connections; node = next) {
        next = node->next;
        uvio_conn_break(container_of(node, struct uvio_conn, link), ERR_CANCELLED, &msg);
    }
    const struct id *id;
    for (;;) {
        size_t at = 0;
        struct uvio_peer *peer = idmap_next(&net->peers, &at, &id);
        if (!peer)
            break;
        uvio_peer_break(peer);
    }
}

/* When nothing is left to be waited for, the handles of the net itself close. */
static void close_step(struct uvio_net *net)
{
    if (net->handles_closing)
        return;
    if (net->breaking) {
        break_off(net);
        run_ended(net);
        run_ended(net);
    }
    if (!list_empty(&net->connections) || net->peers.count > 0 || !list_empty(&net->ended))
        return;
    net->handles_closing = true;
    timer_stop(&net->io->clock, &net->grace);
    timer_stop(&net->io->clock, &net->refill);
    uv_close((uv_handle_t *)&net->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&net->idle, on_handle_closed);
}

static void on_grace_over(struct timer *timer)
{
    struct uvio_net *net = container_of(timer, struct uvio_net, grace);
    net->breaking = true;
    uvio_net_due(net);
}

void uvio_net_close(struct net *port, uint32_t grace_ms, uvio_net_closed_fn *closed, void *user)
{
    struct uvio_net *net = uvio_net_of(port);
    if (net->closing) {
        if (grace_ms == 0)
            on_grace_over(&net->grace);
        return;
    }
    net->closing = true;
    net->closed = closed;
    net->closed_user = user;
    net->grace.fire = on_grace_over;
    if (net->listening)
        uv_close((uv_handle_t *)&net->listener, on_handle_closed);
    net->listening = false;
    for (struct list *node = net->connections.next, *next; node != &net->connections; node = next) {
        next = node->next;
        struct uvio_conn *conn = container_of(node, struct uvio_conn, link);
        if (conn->state == UVIO_OPEN || !conn->outgoing)
            uvio_conn_drain(conn);
    }
    if (grace_ms == 0 || timer_start(&net->io->clock, &net->grace, grace_ms) != ERR_OK)
        net->breaking = true;
    uvio_net_due(net);
}

void uvio_net_break_all(struct uvio *io)
{
    list_for_each(node, &io->nets)
    {
        struct uvio_net *net = container_of(node, struct uvio_net, link);
        uvio_net_close(&net->net, 0, NULL, NULL);
    }
    while (!list_empty(&io->nets))
        (void)uv_run(&io->loop, UV_RUN_ONCE);
}

/* --- opening */

static void on_connection(uv_stream_t *listener, int status)
{
    if (status == 0)
        uvio_conn_accept(listener->data);
}

static enum err listen_on(struct uvio_net *net, const char *address, struct errmsg *msg)
{
    char host[LIMIT_ADDRESS_BYTES];
    uint16_t port;
    struct sockaddr_storage where = {0};
    enum err e = uvio_address_split(address, host, &port, msg);
    if (e != ERR_OK)
        return e;
    if (!uvio_address_numeric(host, port, &where))
        return err_say(msg, ERR_USAGE, "\"%s\" is no address of this machine: give numbers", host);
    int result = uv_tcp_init(&net->io->loop, &net->listener);
    if (result != 0)
        return uvio_say(msg, result, "cannot listen on %s", address);
    net->listener.data = net;
    net->handles++;
    net->listening = true;
    int size = sizeof(where);
    if ((result = uv_tcp_bind(&net->listener, (struct sockaddr *)&where, 0)) != 0 ||
        (result = uv_listen((uv_stream_t *)&net->listener, UVIO_BACKLOG, on_connection)) != 0 ||
        (result = uv_tcp_getsockname(&net->listener, (struct sockaddr *)&where, &size)) != 0)
        return uvio_say(msg, result, "cannot listen on %s", address);
    uvio_address_text((struct sockaddr *)&where, net->listen_address);
    net->listen_port =
        ntohs(where.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&where)->sin6_port
                                          : ((struct sockaddr_in *)&where)->sin_port);
    return ERR_OK;
}

static void init_parts(struct uvio_net *net, struct uvio *io,
                       const struct uvio_net_options *options)
{
    net->net.ops = &uvio_net_ops;
    net->io = io;
    net->budget_bytes = options->budget_bytes ? options->budget_bytes : LIMIT_NET_BUDGET_BYTES;
    net->incoming_max = options->connections_max ? options->connections_max : LIMIT_CONNECTIONS;
    net->peers = IDMAP_INIT;
    net->refill.fire = on_refill;
    net->introduce_bytes = BUF_INIT(LIMIT_MANIFEST_BYTES);
    list_init(&net->connections);
    list_init(&net->dirty);
    list_init(&net->ended);
    list_init(&net->paused);
    list_init(&net->throttled);
    uvio_net_limit_upload(&net->net, options->upload_kib_s);
}

enum err uvio_net_open(struct uvio *io, const struct uvio_net_options *options, struct net **out,
                       struct errmsg *msg)
{
    struct uvio_net *net = calloc(1, sizeof(*net));
    if (!net)
        return err_say(msg, ERR_NOMEM, "out of memory");
    uint8_t key[TLS_KEY_SIZE];
    init_parts(net, io, options);
    net->read_buffer = malloc(UVIO_READ_BYTES);
    net->plain = malloc(UVIO_PLAIN_BYTES);
    enum err e = net->read_buffer && net->plain ? tls_context_new(options->seed, &net->tls, msg)
                                                : err_say(msg, ERR_NOMEM, "out of memory");
    if (e != ERR_OK) {
        net_free(net);
        return e;
    }
    tls_context_identity(net->tls, &net->net.self, key);
    (void)uv_prepare_init(&io->loop, &net->prepare); /* these three cannot fail in libuv */
    (void)uv_idle_init(&io->loop, &net->idle);
    (void)uv_prepare_start(&net->prepare, on_prepare);
    net->prepare.data = net->idle.data = net;
    net->handles = 2;
    list_append(&io->nets, &net->link);
    if (options->listen)
        e = listen_on(net, options->listen, msg);
    if (e != ERR_OK) {
        uvio_net_close(&net->net, 0, NULL, NULL); /* frees it when the loop runs */
        return e;
    }
    *out = &net->net;
    return ERR_OK;
}

const char *uvio_net_listen_address(const struct net *port)
{
    return ((const struct uvio_net *)port)->listen_address;
}

uint16_t uvio_net_listen_port(const struct net *port)
{
    return ((const struct uvio_net *)port)->listen_port;
}

void uvio_net_counters(const struct net *port, struct uvio_net_counters *out)
{
    const struct uvio_net *net = (const struct uvio_net *)port;
    *out = net->counters;
    out->held_bytes = net->held_bytes;
}
