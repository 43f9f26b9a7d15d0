/*
 * cellbench transport: two processes on loopback, a client and a server that stores nothing.
 * Measured are body bytes by the wall clock and the CPU seconds of both together. The same bodies
 * then go through raw TLS (lib/tls over blocking sockets: what encryption and the kernel alone
 * cost) and, where they are installed, from nghttpd to h2load and back.
 */
#include "bench_transport.h"

#include "base/limits.h"
#include "base/text.h"
#include "bench_transport_peers.h"
#include "uvio/uvio_net.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PEERS_MAX = 64, STREAMS_MAX = 64, PIECE = 256 << 10 };

/* --- the server: a process of its own, one net for each peer */

struct announced { /* what it tells the client through a pipe */
    struct id id;
    uint16_t port;
};

struct served {
    struct net_exchange *x;
    uint64_t left;
};

static uint8_t *shard; /* LIMIT_SHARD_BYTES of noise, both sides */

static void write_more(struct served *s)
{
    size_t size = s->left < PIECE ? (size_t)s->left : PIECE;
    if (size == 0)
        return;
    s->left -= size;
    if (net_reply_write(s->x, slice_of(shard + s->left % (LIMIT_SHARD_BYTES - PIECE + 1), size)) !=
        ERR_OK)
        net_exchange_abort(s->x);
}

static void on_request(void *user, struct net_exchange *x, const struct net_incoming *request)
{
    (void)user;
    struct served *s = calloc(1, sizeof(*s));
    if (!s) {
        net_exchange_abort(x);
        return;
    }
    s->x = x;
    x->user = s;
    if (request->method == NET_GET &&
        text_parse_u64(request->path + 1, LIMIT_SHARD_BYTES, &s->left))
        net_exchange_abort(x);
}

static void on_body(void *user, struct net_exchange *x, struct slice bytes)
{
    (void)user;
    net_exchange_credit(x, bytes.size);
}

static void on_body_end(void *user, struct net_exchange *x)
{
    (void)user;
    struct served *s = x->user;
    if (!s || net_reply_start(x, 200, s->left) != ERR_OK)
        net_exchange_abort(x);
    else
        write_more(s);
}

static void on_writable(void *user, struct net_exchange *x)
{
    (void)user;
    write_more(x->user);
}

static void on_closed(void *user, struct net_exchange *x, enum err e)
{
    (void)user;
    (void)e;
    free(x->user);
}

static void on_term(void *user, int number)
{
    (void)number;
    uvio_stop(user);
}

static int serve(unsigned peers, int out)
{
    static const struct net_service service = {on_request, on_body, on_body_end, on_writable,
                                               on_closed};
    struct uvio *io;
    struct errmsg msg;
    const struct uvio_options options = {.threads = 1};
    if (uvio_new(&options, &io, &msg) != ERR_OK || uvio_on_signal(io, SIGTERM, on_term, io, &msg))
        return 1;
    for (unsigned i = 0; i < peers; i++) {
        uint8_t seed[UVIO_NET_SEED_SIZE] = {1, (uint8_t)i};
        struct uvio_net_options how = {.seed = seed, .listen = "127.0.0.1:0"};
        struct net *net;
        if (uvio_net_open(io, &how, &net, &msg) != ERR_OK) {
            (void)fprintf(stderr, "%s\n", msg.text);
            return 1;
        }
        net_serve(net, &service, NULL);
        struct announced a = {.id = net->self, .port = uvio_net_listen_port(net)};
        if (write(out, &a, sizeof(a)) != sizeof(a))
            return 1;
    }
    uvio_run(io);
    uvio_free(io);
    return 0;
}

/* --- the client */

struct client;

struct lane { /* one call after the other */
    struct client *c;
    struct net_call *call;
    unsigned peer;
};

struct client {
    struct uvio *io;
    struct net *net;
    struct announced peers[PEERS_MAX];
    char addresses[PEERS_MAX][32];
    enum net_method method;
    size_t size;
    uint64_t to_start, running; /* bodies */
    struct lane lanes[PEERS_MAX * STREAMS_MAX];
    struct errmsg failed;
};

static void start_next(struct lane *lane);

static void on_response(void *user, struct net_call *call, unsigned status, uint64_t body_size)
{
    (void)user;
    (void)call;
    (void)status;
    (void)body_size;
}

static void on_fetched(void *user, struct net_call *call, struct slice bytes)
{
    (void)user;
    net_call_credit(call, bytes.size);
}

static void on_done(void *user, struct net_call *call, enum err e, const struct errmsg *msg)
{
    struct lane *lane = user;
    struct client *c = lane->c;
    (void)call;
    c->running--;
    if (e != ERR_OK) {
        c->failed = *msg;
        c->to_start = 0;
    }
    start_next(lane);
    if (c->running == 0)
        uvio_stop(c->io);
}

static void start_next(struct lane *lane)
{
    static const struct net_call_events events = {on_response, on_fetched, on_done};
    struct client *c = lane->c;
    if (c->to_start == 0)
        return;
    char path[32];
    const char *address = c->addresses[lane->peer];
    const struct slice body = slice_of(shard, c->size);
    (void)snprintf(path, sizeof(path), "/%zu", c->size);
    struct net_request request = {
        .target = {.id = c->peers[lane->peer].id, .addresses = &address, .address_count = 1},
        .method = c->method,
        .path = path,
        .net_class = NET_BACKUP};
    if (c->method == NET_PUT) {
        request.body = &body;
        request.body_count = 1;
    }
    if (net_call_start(c->net, &request, &events, lane, &lane->call, &c->failed) != ERR_OK) {
        c->to_start = 0;
        return;
    }
    c->to_start--;
    c->running++;
}

/* Moves `count` bodies over `streams` calls a peer at once. */
static bool move(struct client *c, unsigned peers, unsigned streams, uint64_t count)
{
    c->to_start = count;
    c->failed.text[0] = 0;
    for (unsigned i = 0; i < streams; i++)
        for (unsigned p = 0; p < peers; p++) {
            struct lane *lane = &c->lanes[p * STREAMS_MAX + i];
            *lane = (struct lane){.c = c, .peer = p};
            start_next(lane);
        }
    if (c->running > 0)
        uvio_run(c->io);
    return c->failed.text[0] == 0;
}

/* --- one measurement */

struct options {
    bool json;
    uint64_t total_bytes;
};

static void report(const struct options *o, const char *what, const char *method, size_t size,
                   unsigned peers, unsigned streams, const struct bench_rate *rate)
{
    if (o->json) {
        printf(
            "{\"message_type\":\"bench\",\"bench\":\"transport\",\"what\":\"%s\",\"method\":\"%s\","
            "\"body_bytes\":%zu,\"peers\":%u,\"streams\":%u,\"mb_s\":%.1f,\"cpu_s_gb\":%.3f}\n",
            what, method, size, peers, streams, rate->mb_s, rate->cpu_s_gb);
    } else {
        printf("%-16s %-4s %4zu KiB bodies, %2u peers x %2u streams: %7.1f MB/s, %.2f CPU s/GB\n",
               what, method, size >> 10, peers, streams, rate->mb_s, rate->cpu_s_gb);
    }
    (void)fflush(stdout);
}

static bool read_peers(struct client *c, unsigned peers, int in)
{
    for (unsigned p = 0; p < peers; p++) {
        if (read(in, &c->peers[p], sizeof(c->peers[p])) != sizeof(c->peers[p]))
            return false;
        (void)snprintf(c->addresses[p], sizeof(c->addresses[p]), "127.0.0.1:%u", c->peers[p].port);
    }
    return true;
}

static bool measure(const struct options *o, struct client *c, pid_t server, unsigned peers,
                    unsigned streams)
{
    static const size_t sizes[] = {1 << 20, 4 << 20};
    for (unsigned m = 0; m < 2; m++) {
        for (unsigned s = 0; s < ARRAY_COUNT(sizes); s++) {
            c->method = m ? NET_GET : NET_PUT;
            c->size = sizes[s];
            if (!move(c, peers, streams, peers * streams)) /* connected and warm */
                return false;
            uint64_t count = o->total_bytes / sizes[s];
            struct bench_watch watch = bench_watch_start(server);
            if (!move(c, peers, streams, count))
                return false;
            struct bench_rate rate = bench_watch_end(&watch, count * sizes[s]);
            report(o, "cellar", m ? "GET" : "PUT", sizes[s], peers, streams, &rate);
        }
    }
    return true;
}

static int run_cellar(const struct options *o, unsigned peers, unsigned streams)
{
    int fds[2];
    struct errmsg msg;
    int code = 1;
    if (pipe(fds) != 0)
        return 1;
    pid_t server = fork();
    if (server == 0)
        _exit(serve(peers, fds[1]));
    struct client *c = calloc(1, sizeof(*c));
    const struct uvio_options options = {.threads = 1};
    uint8_t seed[UVIO_NET_SEED_SIZE] = {2};
    struct uvio_net_options how = {.seed = seed};
    if (c && server > 0 && read_peers(c, peers, fds[0]) &&
        uvio_new(&options, &c->io, &msg) == ERR_OK) {
        if (uvio_net_open(c->io, &how, &c->net, &msg) == ERR_OK &&
            measure(o, c, server, peers, streams))
            code = 0;
        else
            (void)fprintf(stderr, "cellbench transport: %s\n", c->failed.text);
        uvio_free(c->io);
    }
    free(c);
    (void)close(fds[0]);
    (void)close(fds[1]);
    if (server > 0) {
        (void)kill(server, SIGTERM);
        (void)waitpid(server, NULL, 0);
    }
    return code;
}

int bench_transport(int argc, char **argv)
{
    static const struct option long_options[] = {{"json", no_argument, NULL, 'j'},
                                                 {"total", required_argument, NULL, 't'},
                                                 {"alone", no_argument, NULL, 'a'},
                                                 {0}};
    struct options o = {.total_bytes = GIB(2)};
    bool alone = false;
    int c;
    while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (c == 'j')
            o.json = true;
        else if (c == 'a')
            alone = true;
        else if (c != 't' || text_parse_size(optarg, &o.total_bytes) != ERR_OK) {
            (void)fputs("usage: cellbench transport [--json] [--total SIZE] [--alone]\n", stderr);
            return 2;
        }
    }
    shard = malloc(LIMIT_SHARD_BYTES);
    if (!shard)
        return 1;
    uint64_t x = 1;
    for (size_t i = 0; i < LIMIT_SHARD_BYTES; i += 8) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        put_le64(shard + i, x);
    }
    int code = run_cellar(&o, 1, 8);
    if (code == 0)
        code = run_cellar(&o, 16, 2);
    struct bench_rate rate;
    if (!alone && code == 0 && bench_raw_tls(shard, LIMIT_SHARD_BYTES, o.total_bytes, &rate))
        report(&o, "raw TLS", "-", LIMIT_SHARD_BYTES, 1, 1, &rate);
    for (unsigned m = 0; m < 2 && !alone && code == 0; m++)
        for (size_t size = 1 << 20; size <= 4 << 20; size *= 4)
            if (bench_h2load(m == 0, shard, size, 8, o.total_bytes, &rate))
                report(&o, "h2load+nghttpd", m ? "GET" : "PUT", size, 1, 8, &rate);
    free(shard);
    return code;
}
