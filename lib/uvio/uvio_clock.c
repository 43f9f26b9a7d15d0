#include "uvio/uvio_internal.h"

#include <stdlib.h>
#include <time.h>

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

static bool before(const struct uvio_timer_slot *a, const struct uvio_timer_slot *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->number < b->number;
}

static void put(struct uvio_timers *t, size_t at, struct uvio_timer_slot slot)
{
    t->slots[at] = slot;
    slot.timer->impl_number = at;
}

static void sift_up(struct uvio_timers *t, size_t at)
{
    struct uvio_timer_slot slot = t->slots[at];
    for (; at > 0 && before(&slot, &t->slots[(at - 1) / 2]); at = (at - 1) / 2)
        put(t, at, t->slots[(at - 1) / 2]);
    put(t, at, slot);
}

static void sift_down(struct uvio_timers *t, size_t at)
{
    struct uvio_timer_slot slot = t->slots[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= t->count)
            break;
        if (child + 1 < t->count && before(&t->slots[child + 1], &t->slots[child]))
            child++;
        if (!before(&t->slots[child], &slot))
            break;
        put(t, at, t->slots[child]);
        at = child;
    }
    put(t, at, slot);
}

static void take_out(struct uvio_timers *t, struct timer *timer)
{
    size_t at = (size_t)timer->impl_number;
    timer->impl = NULL;
    t->count--;
    if (at == t->count)
        return;
    put(t, at, t->slots[t->count]);
    sift_up(t, at);
    sift_down(t, (size_t)t->slots[at].timer->impl_number);
}

static void on_due(uv_timer_t *uv);

static void arm(struct uvio_timers *t)
{
    uint64_t due = t->count ? t->slots[0].due_ms : UINT64_MAX;
    if (due >= t->armed_ms && t->armed_ms != UINT64_MAX && due != UINT64_MAX)
        return; /* it fires early, finds nothing due and sets itself anew: cheaper than each time */
    if (due == t->armed_ms)
        return;
    t->armed_ms = due;
    if (due == UINT64_MAX) {
        (void)uv_timer_stop(&t->uv);
        return;
    }
    uint64_t now = now_ms();
    uv_update_time(t->uv.loop);
    (void)uv_timer_start(&t->uv, on_due, due > now ? due - now : 0, 0);
}

static void on_due(uv_timer_t *uv)
{
    struct uvio_timers *t = uv->data;
    uint64_t now = now_ms();
    uint64_t last = t->next_number; /* those set meanwhile wait for the next turn */
    t->armed_ms = UINT64_MAX;
    while (t->count > 0 && t->slots[0].due_ms <= now && t->slots[0].number < last) {
        struct timer *timer = t->slots[0].timer;
        take_out(t, timer);
        timer->fire(timer);
    }
    arm(t);
}

static int64_t wall_ns(void *context)
{
    (void)context;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static uint64_t mono_ns(void *context)
{
    (void)context;
    return uv_hrtime();
}

static enum err start(void *context, struct timer *timer, uint64_t delay_ms)
{
    struct uvio_timers *t = context;
    if (timer->impl)
        take_out(t, timer);
    if (t->count == t->capacity) {
        size_t capacity = t->capacity ? t->capacity * 2 : 64;
        struct uvio_timer_slot *slots = realloc(t->slots, capacity * sizeof(*slots));
        if (!slots)
            return ERR_NOMEM;
        t->slots = slots;
        t->capacity = capacity;
    }
    uint64_t now = now_ms();
    struct uvio_timer_slot slot = {.due_ms = delay_ms > UINT64_MAX - 1 - now ? UINT64_MAX - 1
                                                                             : now + delay_ms,
                                   .number = t->next_number++,
                                   .timer = timer};
    timer->impl = t;
    put(t, t->count++, slot);
    sift_up(t, t->count - 1);
    arm(t);
    return ERR_OK;
}

static void stop(void *context, struct timer *timer)
{
    struct uvio_timers *t = context;
    if (timer->impl)
        take_out(t, timer);
}

static const struct clock_ops ops = {wall_ns, mono_ns, start, stop};

enum err uvio_timers_open(struct uvio *io)
{
    struct uvio_timers *t = &io->timers;
    int result = uv_timer_init(&io->loop, &t->uv);
    t->uv.data = t;
    t->armed_ms = UINT64_MAX;
    io->clock = (struct clock){&ops, t};
    return uvio_err(result);
}

void uvio_timers_close(struct uvio *io)
{
    uv_close((uv_handle_t *)&io->timers.uv, NULL);
}

void uvio_timers_free(struct uvio *io)
{
    free(io->timers.slots);
}
