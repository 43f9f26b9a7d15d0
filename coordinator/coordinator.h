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

enum { COORDINATOR_FLUSH_MS = 10000 };

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
    uint64_t flush_ms;      /* heartbeats are written so often; 0: COORDINATOR_FLUSH_MS */
    /* Whenever no cell is left that answers and has not been asked for what it holds (a rebuild);
       of the others there are so many. May be NULL. */
    void (*gathered)(void *user, uint64_t silent_cells);
    void *gathered_user;
};

MUST_CHECK enum err coordinator_new(const struct coordinator_options *options,
                                    struct coordinator **out, struct errmsg *msg);

/* New timers (registry_set_timers) and a new interval for heartbeats, while it runs. */
void coordinator_set_timers(struct coordinator *coordinator, const struct registry_options *timers,
                            uint64_t heartbeat_ms);

/* How the swarm is: counted on the registry's lane, told on the loop. ERR_NOMEM, ERR_STATE while it
   stops. */
typedef void coordinator_counted_fn(void *user, enum err e, const struct registry_counts *counts,
                                    const struct errmsg *msg);
MUST_CHECK enum err coordinator_count(struct coordinator *coordinator,
                                      coordinator_counted_fn *counted, void *user,
                                      struct errmsg *msg);

typedef void coordinator_stopped_fn(void *user);
/* `stopped` runs once what is under way has ended, never from inside this call. */
void coordinator_stop(struct coordinator *coordinator, coordinator_stopped_fn *stopped, void *user);
void coordinator_free(struct coordinator *coordinator); /* NULL does nothing */
