/*
 * cellbench transport: two processes on loopback, a client and a server. First the server's handler
 * stores nothing; then it is real cells that verify, write, sync and sign; the same bodies go
 * to that disk alone, through raw TLS (lib/tls over blocking sockets: what encryption and the
 * kernel alone cost) and, where they are installed, from h2load to nghttpd and back. All take their
 * turns in several rounds; what is said are medians, and ratios are medians of the rounds' ratios.
 *
 * Measured are body bytes by the wall clock and the CPU seconds of both processes together. All
 * sides are made to use AES-128-GCM.
 */
#include "bench_transport.h"

#include "base/text.h"
#include "bench_transport_client.h"
#include "bench_transport_disk.h"
#include "bench_transport_lines.h"
#include "bench_transport_peers.h"
#include "bench_transport_store.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PIECE = 256 << 10 };

static const struct shape { /* of the connections; a server has one loop, however many peers */
    unsigned peers, streams;
} shapes[] = {{1, 8}, {16, 2}};

static const size_t sizes[] = {1 << 20, 4 << 20};

/* --- the server: a process of its own, one net for each peer */

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
        struct bench_announced a = {.id = net->self, .port = uvio_net_listen_port(net)};
        if (write(out, &a, sizeof(a)) != sizeof(a))
            return 1;
    }
    uvio_run(io);
    uvio_free(io);
    return 0;
}

/* --- one measurement */

struct bench {
    struct bench_lines lines;
    char base[256]; /* everything that is stored, removed in the end */
    char dir[288];  /* in it, of one measurement */
    unsigned dirs;
    uint64_t total_bytes;
};

static const char NULL_STORE[] = "cellar", STORED[] = "cellar, stored", RAW[] = "raw TLS",
                  PEER[] = "h2load+nghttpd", DISK[] = "disk alone";

static bool next_dir(struct bench *b)
{
    (void)snprintf(b->dir, sizeof(b->dir), "%s/%u", b->base, b->dirs++);
    if (mkdir(b->dir, 0700) == 0)
        return true;
    perror(b->dir);
    return false;
}

/* Warms up, then measures `method` with every size. */
static bool measure(struct bench *b, struct bench_client *c, pid_t server, struct shape shape,
                    enum net_method method, struct bench_store *store)
{
    for (unsigned s = 0; s < ARRAY_COUNT(sizes); s++) {
        const uint64_t warm = shape.peers * shape.streams;
        const uint64_t count = b->total_bytes / sizes[s];
        c->method = method;
        c->bytes = shard;
        c->size = sizes[s];
        if ((store && !bench_store_prepare(store, c, warm + count)) ||
            !bench_client_move(c, shape.peers, shape.streams, warm))
            return false;
        const struct bench_watch watch = bench_watch_start(server);
        if (!bench_client_move(c, shape.peers, shape.streams, count))
            return false;
        const struct bench_rate rate = bench_watch_end(&watch, count * sizes[s]);
        bench_lines_add(&b->lines,
                        &(struct bench_line_key){store ? STORED : NULL_STORE,
                                                 method == NET_PUT ? "PUT" : "GET", sizes[s],
                                                 shape.peers, shape.streams},
                        &rate);
    }
    return true;
}

static bool run_null(struct bench *b, struct shape shape, pid_t server, int in)
{
    static const uint8_t seed[UVIO_NET_SEED_SIZE] = {2};
    const struct uvio_options options = {.threads = 1};
    const struct uvio_net_options how = {.seed = seed};
    struct errmsg msg;
    struct bench_client *c = calloc(1, sizeof(*c));
    bool good = c && bench_client_read_peers(c, shape.peers, in) &&
                uvio_new(&options, &c->io, &msg) == ERR_OK;
    if (good && uvio_net_open(c->io, &how, &c->net, &c->failed) == ERR_OK)
        good = measure(b, c, server, shape, NET_PUT, NULL) &&
               measure(b, c, server, shape, NET_GET, NULL);
    if (c && c->failed.text[0])
        (void)fprintf(stderr, "cellbench transport: %s\n", c->failed.text);
    if (c)
        uvio_free(c->io);
    bench_client_free(c);
    return good;
}

static bool run_stored(struct bench *b, struct shape shape, pid_t server, int in)
{
    struct machines *m = calloc(1, sizeof(*m));
    struct bench_client *c = calloc(1, sizeof(*c));
    struct bench_store *store = NULL;
    bool good = m && c && machines_begin(m, b->dir) == ERR_OK;
    if (good)
        store = bench_store_join(m, c, shape.peers, in);
    good = store && measure(b, c, server, shape, NET_PUT, store);
    if (c && c->failed.text[0])
        (void)fprintf(stderr, "cellbench transport: %s\n", c->failed.text);
    bench_store_free(store);
    if (m)
        machines_end(m);
    bench_client_free(c);
    free(m);
    return good;
}

/* The server in a process of its own. */
static bool run_cellar(struct bench *b, struct shape shape, bool stored)
{
    int fds[2];
    if (pipe(fds) != 0)
        return false;
    const pid_t server = fork();
    if (server == 0) {
        (void)close(fds[0]);
        _exit(stored ? bench_store_serve(b->dir, shape.peers, fds[1]) : serve(shape.peers, fds[1]));
    }
    (void)close(fds[1]);
    const bool good = server > 0 && (stored ? run_stored(b, shape, server, fds[0])
                                            : run_null(b, shape, server, fds[0]));
    (void)close(fds[0]);
    if (server > 0) {
        (void)kill(server, SIGTERM);
        (void)waitpid(server, NULL, 0);
    }
    return good;
}

/* As many files at once as the cells write: those of all cells go to one disk. */
static bool run_disk(struct bench *b)
{
    struct bench_rate rate;
    const unsigned threads = (unsigned)sysconf(_SC_NPROCESSORS_ONLN) + CELL_DISK_THREADS;
    for (unsigned s = 0; s < ARRAY_COUNT(sizes); s++) {
        if (!next_dir(b) || !bench_disk(b->dir, shard, sizes[s], threads, b->total_bytes, &rate))
            return false;
        bench_lines_add(&b->lines, &(struct bench_line_key){DISK, "PUT", sizes[s], 1, 8}, &rate);
    }
    return true;
}

static bool run_all_stored(struct bench *b)
{
    bool good = run_disk(b);
    for (unsigned i = 0; i < ARRAY_COUNT(shapes) && good; i++) {
        good = next_dir(b) && run_cellar(b, shapes[i], true);
        machines_empty(b->dir);
    }
    return good;
}

static void run_peers(struct bench *b)
{
    struct bench_rate rate;
    if (bench_raw_tls(shard, LIMIT_SHARD_BYTES, b->total_bytes, &rate))
        bench_lines_add(&b->lines, &(struct bench_line_key){RAW, "-", LIMIT_SHARD_BYTES, 1, 1},
                        &rate);
    for (unsigned i = 0; i < ARRAY_COUNT(shapes); i++)
        for (unsigned s = 0; s < ARRAY_COUNT(sizes); s++)
            for (unsigned put = 0; put < 2; put++)
                if (bench_h2load(put, shard, sizes[s], shapes[i].peers, shapes[i].streams,
                                 b->total_bytes, &rate))
                    bench_lines_add(&b->lines,
                                    &(struct bench_line_key){PEER, put ? "PUT" : "GET", sizes[s],
                                                             shapes[i].peers, shapes[i].streams},
                                    &rate);
}

static bool make_shard_bytes(void)
{
    uint64_t x = 1;
    shard = malloc(LIMIT_SHARD_BYTES);
    for (size_t i = 0; shard && i < LIMIT_SHARD_BYTES; i += 8) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        put_le64(shard + i, x);
    }
    return shard != NULL;
}

int bench_transport(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"json", no_argument, NULL, 'j'},         {"total", required_argument, NULL, 't'},
        {"alone", no_argument, NULL, 'a'},        {"dir", required_argument, NULL, 'd'},
        {"rounds", required_argument, NULL, 'r'}, {0}};
    struct bench b = {
        .total_bytes = GIB(1),
    };
    const char *dir = "/var/tmp";
    unsigned long rounds = 3;
    bool alone = false, json = false, good = true;
    int c;
    while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (c == 'j')
            json = true;
        else if (c == 'a')
            alone = true;
        else if (c == 'd')
            dir = optarg;
        else if (c == 'r')
            rounds = strtoul(optarg, NULL, 10);
        else if (c != 't' || text_parse_size(optarg, &b.total_bytes) != ERR_OK)
            rounds = 0;
    }
    if (rounds == 0 || rounds > BENCH_ROUNDS_MAX || b.total_bytes < LIMIT_SHARD_BYTES) {
        (void)fputs("usage: cellbench transport [--json] [--total SIZE] [--rounds N] [--dir DIR]"
                    " [--alone]\n",
                    stderr);
        return 2;
    }
    (void)snprintf(b.base, sizeof(b.base), "%s/cellbench-XXXXXX", dir);
    if (!make_shard_bytes() || !mkdtemp(b.base)) {
        perror(b.base);
        return 1;
    }
    for (unsigned long r = 0; r < rounds && good; r++) {
        for (unsigned i = 0; i < ARRAY_COUNT(shapes) && good; i++)
            good = run_cellar(&b, shapes[i], false);
        good = good && run_all_stored(&b);
        if (good && !alone)
            run_peers(&b);
    }
    bench_lines_compare(&b.lines, NULL_STORE, PEER);
    bench_lines_compare(&b.lines, STORED, NULL_STORE);
    bench_lines_compare(&b.lines, DISK, STORED);
    bench_lines_say(&b.lines, json);
    machines_remove(b.base);
    free(shard);
    return good ? 0 : 1;
}
