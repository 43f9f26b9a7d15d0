/*
 * What sim_net.c (lines, connections) and sim_stream.c (a request and its reply) share.
 *
 * The happy path: sim_stream waits on a connection, which dials and introduces itself; then
 * head → body chunks → the reply's head → its chunks, each a message that sim_net_send() delivers
 * at the other side. Either side may leave; a message for a side that has left is thrown away.
 */
#pragma once

#include "harness/sim_internal.h"
#include "harness/sim_net.h"

struct sim_net {
    struct net net; /* first */
    struct sim_node *node;
    const struct net_service *service;
    void *service_user;
    char *introduce_path; /* owned; NULL: none */
    uint8_t *introduce_bytes;
    size_t introduce_size;
    uint64_t introduce_number; /* how often net_introduce() was called */
    struct sim_line line;
    uint64_t up_free_ns, down_free_ns; /* when the line is free again */
    uint64_t idle_close_ms;
    bool refuse, silent;
    bool cut_to[SIM_NODES_MAX]; /* nothing passes to that node */
    struct list addresses;
    struct list dialled, accepted; /* sim_connection.by_client, .by_server */
    struct list all;               /* every connection it dialled that still has a struct */
    struct list calls, exchanges;  /* streams whose client / server side is still open */
    sim_net_tamper_fn *tamper;
    void *tamper_user;
    struct fault *fail_calls;
    struct sim_net_counters counters;
    uint64_t random_state[4];
};

enum sim_side { SIM_CLIENT, SIM_SERVER };

enum sim_connection_state { SIM_DIALLING, SIM_INTRODUCING, SIM_READY, SIM_GONE };

/* A connection. The client's side may know that it is gone before the server's does. */
struct sim_connection {
    struct list by_client, by_server;
    struct sim_net *client, *server; /* server: NULL while dialling */
    struct id peer;                  /* who is dialled */
    enum sim_connection_state state; /* as the client sees it */
    bool open[2];                    /* each side: has not left and not noticed a break */
    unsigned references;             /* messages on their way, streams, being in a list */
    uint64_t received_ns;            /* when something came to the client last */
    uint64_t introduced;             /* introduce_number of what was posted last */
    unsigned served;                 /* exchanges that the server's side still has */
    struct net_session session;      /* the server's */
    struct list waiting;             /* streams, until it is ready */
    struct list streams;             /* those sent on it: sim_stream.on_connection */
    struct list queue[2];            /* messages on their way, in order, by sender */
    struct sim_event arrival[2];     /* of the first one */
    bool stalled[2];                 /* it stands at a cut */
    struct list by_dialler;          /* in sim_net.all, as long as the struct lives */
    struct sim_event dial, idle;
    /* dialling */
    char **addresses; /* owned */
    size_t address_count, address_at;
    struct sim_net *dial_found; /* what the address that is being tried leads to */
    enum err dial_error;        /* what to say when none answers */
    char dial_words[200];
};

/* One message. `arrive` runs at the receiver; the message owns `bytes`. */
struct sim_message {
    struct list link; /* in the connection's queue */
    struct sim_connection *connection;
    const char *kind;
    uint64_t due_ns;
    struct sim_stream *stream; /* referenced; NULL for a broken connection's last word */
    enum sim_side from;
    void (*arrive)(struct sim_message *message);
    uint64_t number; /* meaning by kind: status, credit, … */
    size_t size;
    uint8_t *bytes;
};

/* --- sim_net.c --- */

static inline struct sim_net *sim_net_of(const struct sim_connection *c, enum sim_side side)
{
    return side == SIM_CLIENT ? c->client : c->server;
}

/* Sends from one side; `bytes` (copied) may be NULL with a size that only takes line time.
   Returns when the sender's uplink is free again. */
uint64_t sim_net_send(struct sim_connection *c, struct sim_stream *stream, enum sim_side from,
                      void (*arrive)(struct sim_message *message), const char *kind,
                      uint64_t number, const uint8_t *bytes, size_t size);

/* The connection to `target`, an open one or a new one that dials. */
struct sim_connection *sim_net_connection(struct sim_net *net, const struct net_target *target);
void sim_net_unref(struct sim_connection *c);
/* One side drops the connection, `e` is what its streams end with; the other is told. */
void sim_net_close_side(struct sim_connection *c, enum sim_side side, enum err e);
/* Fails what waits on a connection that did not come about. */
void sim_net_fail_waiting(struct sim_connection *c, enum err e, const char *words);
/* The introduction was answered (or failed). */
void sim_net_introduced(struct sim_connection *c, enum err e, unsigned status);
/* A stream left the connection: it may be idle now. */
void sim_net_touch(struct sim_connection *c);
/* The server's side has one exchange less. */
void sim_net_served_one(struct sim_connection *c);

/* --- sim_stream.c --- */

extern const struct net_ops sim_stream_ops;

/* Puts a stream that waited onto its ready connection. */
void sim_stream_begin(struct sim_stream *stream);
struct sim_stream *sim_stream_waiting(struct list *link);
struct sim_stream *sim_stream_on_connection(struct list *link);
/* A side's end comes, unless it has one already. */
void sim_stream_end(struct sim_stream *stream, enum sim_side side, enum err e, const char *words);
/* Posts the net's introduction on a connection. */
void sim_stream_introduce(struct sim_connection *c);
void sim_stream_ref(struct sim_stream *stream);
void sim_stream_unref(struct sim_stream *stream);
/* Delivers one end to a dead node's code. */
bool sim_stream_drain_one(struct sim_net *net);
