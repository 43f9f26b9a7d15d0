#include "uvio/uvio_internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* --- threads */

static void finish(struct uvio_pool *pool, struct work_job *job)
{
    uv_mutex_lock(&pool->mutex);
    list_append(&pool->finished, &job->link);
    bool wake = !pool->waking;
    pool->waking = true;
    uv_mutex_unlock(&pool->mutex);
    if (wake)
        (void)uv_async_send(&pool->wake);
}

static void serve(void *argument)
{
    struct work_lane *lane = argument;
    (void)pthread_setname_np(pthread_self(), lane->name);
    uv_mutex_lock(&lane->mutex);
    for (;;) {
        while (list_empty(&lane->jobs) && !lane->ending)
            uv_cond_wait(&lane->more, &lane->mutex);
        struct list *node = list_pop(&lane->jobs);
        if (!node)
            break;
        uv_mutex_unlock(&lane->mutex);
        struct work_job *job = container_of(node, struct work_job, link);
        job->run(job);
        finish(lane->pool, job);
        uv_mutex_lock(&lane->mutex);
    }
    uv_mutex_unlock(&lane->mutex);
}

static void lane_end(struct work_lane *lane)
{
    uv_mutex_lock(&lane->mutex);
    lane->ending = true;
    uv_cond_broadcast(&lane->more);
    uv_mutex_unlock(&lane->mutex);
    for (unsigned i = 0; i < lane->thread_count; i++)
        (void)uv_thread_join(&lane->threads[i]);
    lane->thread_count = 0;
}

static void lane_release(struct work_lane *lane)
{
    list_remove(&lane->link);
    uv_cond_destroy(&lane->more);
    uv_mutex_destroy(&lane->mutex);
    free(lane->threads);
    free(lane);
}

/* NULL when out of memory or threads. Signals are for the loop's thread alone. */
static struct work_lane *lane_make(struct uvio_pool *pool, const char *name, unsigned threads)
{
    struct work_lane *lane = calloc(1, sizeof(*lane));
    if (!lane)
        return NULL;
    lane->threads = calloc(threads, sizeof(*lane->threads));
    if (!lane->threads)
        goto free_lane;
    if (uv_mutex_init(&lane->mutex) != 0)
        goto free_lane;
    if (uv_cond_init(&lane->more) != 0)
        goto destroy_mutex;
    lane->pool = pool;
    list_init(&lane->jobs);
    list_append(&pool->lanes, &lane->link);
    (void)snprintf(lane->name, sizeof(lane->name), "%s", name);
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    while (lane->thread_count < threads &&
           uv_thread_create(&lane->threads[lane->thread_count], serve, lane) == 0)
        lane->thread_count++;
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (lane->thread_count == threads)
        return lane;
    lane_end(lane);
    lane_release(lane);
    return NULL;

destroy_mutex:
    uv_mutex_destroy(&lane->mutex);
free_lane:
    free(lane->threads);
    free(lane);
    return NULL;
}

/* --- the port */

static struct work_lane *lane_new(void *context, const char *name)
{
    return lane_make(context, name, 1);
}

static void lane_free(void *context, struct work_lane *lane)
{
    (void)context;
    lane_end(lane);
    lane_release(lane);
}

static void submit(void *context, struct work_lane *lane, struct work_job *job)
{
    struct uvio_pool *pool = context;
    struct work_lane *to = lane ? lane : pool->cpu;
    job->lane = lane;
    pool->pending++;
    uv_mutex_lock(&to->mutex);
    list_append(&to->jobs, &job->link);
    uv_cond_signal(&to->more);
    uv_mutex_unlock(&to->mutex);
}

static void post(void *context, struct work_job *job)
{
    job->run = NULL;
    finish(context, job);
}

static unsigned threads(void *context)
{
    struct uvio_pool *pool = context;
    return pool->cpu->thread_count;
}

static const struct work_ops ops = {lane_new, lane_free, submit, post, threads};

/* --- completions */

static void run_finished(struct uvio_pool *pool)
{
    struct list now;
    list_init(&now);
    uv_mutex_lock(&pool->mutex);
    pool->waking = false;
    while (!list_empty(&pool->finished))
        list_append(&now, list_pop(&pool->finished));
    uv_mutex_unlock(&pool->mutex);
    while (!list_empty(&now)) {
        struct work_job *job = container_of(list_pop(&now), struct work_job, link);
        if (job->run)
            pool->pending--;
        job->done(job);
    }
}

static void on_wake(uv_async_t *async)
{
    run_finished(async->data);
}

enum err uvio_pool_open(struct uvio *io, unsigned thread_count, struct errmsg *msg)
{
    struct uvio_pool *pool = &io->pool;
    list_init(&pool->finished);
    list_init(&pool->lanes);
    pool->wake.data = pool;
    int result = uv_mutex_init(&pool->mutex);
    if (result != 0)
        return uvio_say(msg, result, "cannot make the work queue");
    result = uv_async_init(&io->loop, &pool->wake, on_wake);
    if (result != 0) {
        uv_mutex_destroy(&pool->mutex);
        return uvio_say(msg, result, "cannot make the work queue");
    }
    pool->cpu = lane_make(pool, "cpu", thread_count);
    io->work = (struct work){&ops, pool};
    if (pool->cpu)
        return ERR_OK;
    uv_close((uv_handle_t *)&pool->wake, NULL);
    uv_mutex_destroy(&pool->mutex);
    return err_say(msg, ERR_NOMEM, "cannot start the worker threads");
}

/* done() may submit more, so the loop turns until nothing is left; then the threads end. */
void uvio_pool_close(struct uvio *io)
{
    struct uvio_pool *pool = &io->pool;
    while (pool->pending > 0)
        (void)uv_run(&io->loop, UV_RUN_ONCE);
    while (!list_empty(&pool->lanes)) {
        struct work_lane *lane = container_of(pool->lanes.next, struct work_lane, link);
        lane_end(lane);
        lane_release(lane);
    }
    pool->cpu = NULL;
    run_finished(pool);
    uv_close((uv_handle_t *)&pool->wake, NULL);
}

void uvio_pool_free(struct uvio *io)
{
    uv_mutex_destroy(&io->pool.mutex);
}
