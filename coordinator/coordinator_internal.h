/* Shared by the files of libcoordinator's service only. */
#pragma once

#include "base/list.h"
#include "coordinator.h"
#include "serve/serve.h"

struct coordinator {
    struct coordinator_options options;
    struct serve *serve;
    struct timer flush_timer;
    struct work_job flush_job, stop_job;
    bool flush_busy, stopping, stop_posted;
    bool tick_busy; /* a sweep is under way */
    int64_t tick_now_s;
    struct registry_options timers, tick_timers; /* to be set; being set by the job */
    uint64_t timers_heartbeat_ms;
    bool timers_new, tick_timers_new;
    unsigned counting;   /* coordinator_count() under way */
    struct list gathers; /* coordinator_gather.c */
    uint64_t gather_left, gather_silent;
    coordinator_stopped_fn *on_stopped;
    void *stopped_user;
};

/* serve_request.context: the coordinator's own clock counts for its documents. */
struct coordinator_view {
    int64_t now_s;
};

static inline int64_t coordinator_now(const struct serve_request *request)
{
    return ((const struct coordinator_view *)(const void *)request->context)->now_s;
}

void coordinator_check_stopped(struct coordinator *coordinator);

/* Cells that are to be told of the newest member list, or asked for all that they hold. */
void coordinator_gather_pump(struct coordinator *coordinator);
void coordinator_gather_stop(struct coordinator *coordinator);
void coordinator_gather_free(struct coordinator *coordinator);

/* Repair, proof, damage, absence: coordinator_repair.c. */
serve_fn coordinator_repairs, coordinator_report, coordinator_damage, coordinator_away,
    coordinator_verdicts;
