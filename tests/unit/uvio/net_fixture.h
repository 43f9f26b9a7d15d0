/*
 * Two nets, a server and a client, on one loop over loopback; a service that tests steer; calls
 * that collect what comes. Everything that a test starts must have ended when fixture_stop()
 * returns.
 */
#pragma once

#include "base/buf.h"
#include "uvio/uvio_net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct fixture {
    struct uvio *io;
    struct net *server, *client;
    char address[UVIO_NET_ADDRESS_SIZE];
    const char *addresses[1];
    struct timer guard; /* a test that hangs fails */
    /* what the service does */
    unsigned status; /* of replies */
    struct slice reply_body;
    size_t reply_piece; /* bytes a reply_write */
    bool early;         /* replies on_request, without waiting for the body */
    bool keep_credit;   /* never credits the request's body */
    bool silent;        /* never replies */
    bool drip;          /* replies with one byte every 20 ms */
    bool abort_on_request;
    struct list exchanges; /* of served, open ones */
    unsigned requests, closed_ok, closed_bad;
    enum err last_closed;
    char last_path[600];
    uint64_t body_bytes; /* of all requests */
    uint64_t last_body_size;
    uint32_t last_leaf_first, last_leaf_count;
    struct id last_peer;
    unsigned introductions, introduce_status;
    unsigned introducing; /* introductions whose exchange has not closed */
    unsigned overtakers;  /* requests that came while one was under way */
};

struct fetched {
    struct fixture *f;
    struct net_call *call;
    unsigned status;
    uint64_t announced;
    struct buf body;
    uint64_t body_bytes;
    bool keep_credit; /* never credits */
    bool cancel_on_body;
    bool done;
    enum err result;
    struct errmsg msg;
    bool stop_when_done; /* ends uvio_run */
};

void fixture_start(struct fixture *f);
/* Closes both nets and the loop. */
void fixture_stop(struct fixture *f);

/* A request to the server with fixture's address; the result lands in `out`. */
void fetch_start(struct fixture *f, struct fetched *out, enum net_method method, const char *path,
                 const struct slice *body, size_t body_count);
void fetch_start_request(struct fixture *f, struct fetched *out, struct net_request *request);
void fetch_free(struct fetched *out);
/* Runs the loop until `out` is done. */
void fetch_wait(struct fetched *out);
void fetch(struct fixture *f, struct fetched *out, enum net_method method, const char *path,
           const struct slice *body, size_t body_count);

/* Runs the loop for so long. */
void run_for(struct fixture *f, uint64_t ms);
void fill_pattern(uint8_t *out, size_t size, unsigned seed);
