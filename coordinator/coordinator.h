/*
 * libcoordinator: the coordinator without its process. Its state is the registry, which is used on
 * `lane` only; the loop does the network.
 *
 *     coordinator_new(&options, &c, msg)      answers requests from now on
 *     coordinator_stop(c, stopped, user)      then coordinator_free()
 */
#pragma once

#include "port/clock.h"
#include "port/net.h"
#include "port/random.h"
#include "port/work.h"
#include "registry.h"

struct coordinator;

struct coordinator_options {
    struct net *net; /* all borrowed for the coordinator's life */
    const struct clock *clock;
    const struct work *work;
    const struct log *log;
    struct registry *registry;
    struct work_lane *lane; /* the registry's */
    const struct sign_key *key;
    const struct swarm_root *swarm;
    struct slice certificate;
    const char *redundancy; /* "4+2"; "": by the table of levels */
    uint64_t heartbeat_ms;  /* told to cells */
};

MUST_CHECK enum err coordinator_new(const struct coordinator_options *options,
                                    struct coordinator **out, struct errmsg *msg);
typedef void coordinator_stopped_fn(void *user);
/* `stopped` runs once what is under way has ended, never from inside this call. */
void coordinator_stop(struct coordinator *coordinator, coordinator_stopped_fn *stopped, void *user);
void coordinator_free(struct coordinator *coordinator); /* NULL does nothing */
