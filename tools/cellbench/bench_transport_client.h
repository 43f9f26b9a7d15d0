/*
 * The client's half of a transport bench: bodies over many calls at once, to one peer or several,
 * whose handlers store nothing or are real cells.
 */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "uvio/uvio_net.h"
#include "wire/wire_path.h"

enum { BENCH_PEERS_MAX = 16, BENCH_STREAMS_MAX = 64, BENCH_PATH_SIZE = WIRE_PATH_SIZE };

struct bench_announced { /* what a server tells through a pipe, one for each peer */
    struct id id;
    uint16_t port;
};

/* Before each PUT, when set: its path, and what stands in front of the bytes (`head` is empty). The
   answer must be 201 then. */
typedef enum err bench_prepare_fn(void *user, unsigned peer, char path[BENCH_PATH_SIZE],
                                  struct buf *head);

struct bench_client;

struct bench_lane { /* one call after the other */
    struct bench_client *client;
    struct net_call *call;
    unsigned peer, status;
    struct buf head;
    struct slice body[2];
};

struct bench_client {
    struct uvio *io;
    struct net *net; /* both borrowed */
    struct bench_announced peers[BENCH_PEERS_MAX];
    char addresses[BENCH_PEERS_MAX][32];
    const uint8_t *bytes; /* borrowed: `size` of them are a body */
    size_t size;
    enum net_method method;
    bench_prepare_fn *prepare;
    void *prepare_user;
    uint64_t to_start, running; /* bodies */
    struct bench_lane lanes[BENCH_PEERS_MAX * BENCH_STREAMS_MAX];
    struct errmsg failed;
};

/* Reads what `peers` servers announce. False: they do not. */
bool bench_client_read_peers(struct bench_client *c, unsigned peers, int in);
/* Moves `count` bodies over `streams` calls a peer at once. False: `failed` says why. */
bool bench_client_move(struct bench_client *c, unsigned peers, unsigned streams, uint64_t count);
/* After its loop's end: nothing is under way any more. */
void bench_client_free(struct bench_client *c);
