/*
 * Time, as the loop sees it: a wall clock that may be wrong, a monotonic one, and timers.
 *
 * Timers belong to the loop thread; clock_* may be called from any thread. In the simulator time
 * moves only when nothing is runnable.
 */
#pragma once

#include "base/err.h"

#include <stdint.h>

/* Embedded in the caller's struct; zero it before first use. */
struct timer {
    void (*fire)(struct timer *timer); /* public: set before timer_start */
    void *impl;                        /* private to the port */
    uint64_t impl_number;              /* private to the port */
};

struct clock_ops {
    int64_t (*wall_ns)(void *context); /* since 1970-01-01 UTC */
    uint64_t (*mono_ns)(void *context);
    enum err (*timer_start)(void *context, struct timer *timer, uint64_t delay_ms);
    void (*timer_stop)(void *context, struct timer *timer);
};

struct clock {
    const struct clock_ops *ops;
    void *context;
};

static inline int64_t clock_wall_ns(const struct clock *c)
{
    return c->ops->wall_ns(c->context);
}

static inline uint64_t clock_mono_ns(const struct clock *c)
{
    return c->ops->mono_ns(c->context);
}

static inline uint64_t clock_mono_ms(const struct clock *c)
{
    return clock_mono_ns(c) / 1000000;
}

/* Fires once after `delay_ms`; a running timer is set anew. The timer may be started again in
 * fire(). */
MUST_CHECK static inline enum err timer_start(const struct clock *c, struct timer *timer,
                                              uint64_t delay_ms)
{
    return c->ops->timer_start(c->context, timer, delay_ms);
}

/* After this returns fire() is not called and the struct may be freed. Stopping a stopped timer is
 * fine. */
static inline void timer_stop(const struct clock *c, struct timer *timer)
{
    c->ops->timer_stop(c->context, timer);
}
