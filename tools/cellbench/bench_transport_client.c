#include "bench_transport_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void start_next(struct bench_lane *lane);

static void on_response(void *user, struct net_call *call, unsigned status, uint64_t body_size)
{
    struct bench_lane *lane = user;
    lane->status = status;
    (void)call;
    (void)body_size;
}

static void on_fetched(void *user, struct net_call *call, struct slice bytes)
{
    (void)user;
    net_call_credit(call, bytes.size);
}

static void fail(struct bench_client *c, const struct errmsg *msg)
{
    if (msg != &c->failed)
        c->failed = *msg;
    c->to_start = 0;
}

static void on_done(void *user, struct net_call *call, enum err e, const struct errmsg *msg)
{
    struct bench_lane *lane = user;
    struct bench_client *c = lane->client;
    struct errmsg why = *msg;
    (void)call;
    c->running--;
    if (e == ERR_OK && lane->head.size && lane->status != 201)
        e = err_say(&why, ERR_PEER, "a shard was answered with %u", lane->status);
    if (e != ERR_OK)
        fail(c, &why);
    start_next(lane);
    if (c->running == 0)
        uvio_stop(c->io);
}

static void start_next(struct bench_lane *lane)
{
    static const struct net_call_events events = {on_response, on_fetched, on_done};
    struct bench_client *c = lane->client;
    if (c->to_start == 0)
        return;
    char path[BENCH_PATH_SIZE];
    const char *address = c->addresses[lane->peer];
    (void)snprintf(path, sizeof(path), "/%zu", c->size);
    buf_clear(&lane->head);
    if (c->prepare && c->prepare(c->prepare_user, lane->peer, path, &lane->head) != ERR_OK) {
        err_say(&c->failed, ERR_NOMEM, "a shard cannot be prepared");
        fail(c, &c->failed);
        return;
    }
    lane->body[0] = buf_slice(&lane->head);
    lane->body[1] = slice_of(c->bytes, c->size);
    struct net_request request = {
        .target = {.id = c->peers[lane->peer].id, .addresses = &address, .address_count = 1},
        .method = c->method,
        .path = path,
        .net_class = NET_BACKUP};
    if (c->method == NET_PUT) {
        request.body = lane->head.size ? lane->body : lane->body + 1;
        request.body_count = lane->head.size ? 2 : 1;
    }
    if (net_call_start(c->net, &request, &events, lane, &lane->call, &c->failed) != ERR_OK) {
        c->to_start = 0;
        return;
    }
    c->to_start--;
    c->running++;
}

bool bench_client_read_peers(struct bench_client *c, unsigned peers, int in)
{
    for (unsigned p = 0; p < peers; p++) {
        if (read(in, &c->peers[p], sizeof(c->peers[p])) != sizeof(c->peers[p]))
            return false;
        (void)snprintf(c->addresses[p], sizeof(c->addresses[p]), "127.0.0.1:%u", c->peers[p].port);
    }
    return true;
}

bool bench_client_move(struct bench_client *c, unsigned peers, unsigned streams, uint64_t count)
{
    c->to_start = count;
    c->failed.text[0] = 0;
    for (unsigned i = 0; i < streams; i++)
        for (unsigned p = 0; p < peers; p++) {
            struct bench_lane *lane = &c->lanes[p * BENCH_STREAMS_MAX + i];
            buf_free(&lane->head);
            *lane = (struct bench_lane){.client = c, .peer = p, .head = BUF_INIT(64 << 10)};
            start_next(lane);
        }
    if (c->running > 0)
        uvio_run(c->io);
    return c->failed.text[0] == 0;
}

void bench_client_free(struct bench_client *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < BENCH_PEERS_MAX * BENCH_STREAMS_MAX; i++)
        buf_free(&c->lanes[i].head);
    free(c);
}
