/* The loop and what hangs on it. The net has uvio_net_internal.h. */
#pragma once

#include "base/bytes.h"
#include "base/list.h"
#include "uvio/uvio.h"

#include <uv.h>

/* Timers: a binary heap by due time, over one uv_timer_t. timer->impl is the heap while it runs,
 * and timer->impl_number its place there. */
struct uvio_timers {
    struct uvio_timer_slot {
        uint64_t due_ms;
        uint64_t number; /* of two that are due together, the one that was set first */
        struct timer *timer;
    } * slots; /* owned */
    size_t count, capacity;
    uint64_t next_number;
    uv_timer_t uv;
    uint64_t armed_ms; /* due time that `uv` is set for; UINT64_MAX: not set */
};

/* A queue of jobs and the threads that serve it: the pool has several, a lane has one. */
struct work_lane {
    struct uvio_pool *pool;
    uv_mutex_t mutex;
    uv_cond_t more;
    struct list jobs; /* by link; mutex */
    bool ending;      /* mutex */
    uv_thread_t *threads;
    unsigned thread_count;
    struct list link; /* in pool->lanes */
    char name[16];
};

struct uvio_pool {
    uv_async_t wake;
    uv_mutex_t mutex;
    struct list finished; /* jobs whose done() is due; mutex */
    bool waking;          /* mutex: a wake-up is on its way */
    struct work_lane *cpu;
    size_t pending; /* submitted, done() not yet run; loop thread */
    struct list lanes;
};

struct uvio_signal {
    uv_signal_t uv;
    uvio_signal_fn *fn;
    void *user;
    struct list link;
};

struct uvio {
    uv_loop_t loop;
    struct uvio_timers timers;
    struct uvio_pool pool;
    struct clock clock;
    struct random random;
    struct work work;
    const struct log *log;
    struct list signals; /* of uvio_signal */
    struct list nets;    /* of uvio_net, by its link */
    bool stopping;
};

MUST_CHECK enum err uvio_timers_open(struct uvio *io);
void uvio_timers_close(struct uvio *io); /* the uv handle closes; nothing fires any more */
void uvio_timers_free(struct uvio *io);

MUST_CHECK enum err uvio_pool_open(struct uvio *io, unsigned threads, struct errmsg *msg);
void uvio_pool_close(struct uvio *io); /* waits for all jobs, runs their done() */
void uvio_pool_free(struct uvio *io);

/* Breaks a net off at once and frees it (its handles may still close). */
void uvio_net_break_all(struct uvio *io);

/* Says "what: libuv's reason". */
enum err uvio_say(struct errmsg *msg, int uv_error, const char *format, ...) PRINTF_LIKE(3, 4);
enum err uvio_err(int uv_error);
