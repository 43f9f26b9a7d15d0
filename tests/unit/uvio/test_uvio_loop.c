/* The loop's clock, work and control socket. */
#include "uvio/uvio.h"
#include "uvio/uvio_control.h"
#include "uvio/uvio_reach.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct uvio *make_loop(void)
{
    struct uvio *io;
    struct errmsg msg;
    const struct uvio_options options = {.threads = 2};
    assert_int_equal(uvio_new(&options, &io, &msg), ERR_OK);
    return io;
}

/* --- timers */

struct alarm {
    struct timer timer;
    struct uvio *io;
    unsigned *order, number, *count;
    bool stop, again;
};

static void on_alarm(struct timer *timer)
{
    struct alarm *a = (struct alarm *)(void *)timer;
    if (a->order)
        a->order[(*a->count)++] = a->number;
    if (a->again) {
        a->again = false;
        assert_int_equal(timer_start(uvio_clock(a->io), timer, 1), ERR_OK);
    }
    if (a->stop)
        uvio_stop(a->io);
}

static void test_clock_fires_in_order_and_not_after_stop(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    struct uvio *io = make_loop();
    const struct clock *clock = uvio_clock(io);
    unsigned order[COUNT + 8], count = 0;
    static struct alarm alarms[COUNT];
    for (unsigned i = 0; i < COUNT; i++)
        alarms[i] = (struct alarm){
            .timer = {.fire = on_alarm}, .io = io, .order = order, .number = i, .count = &count};
    /* all within one millisecond, so that their delays alone decide the order */
    uint64_t began;
    do {
        began = clock_mono_ms(clock);
        for (unsigned i = 0; i < COUNT; i++)
            assert_int_equal(timer_start(clock, &alarms[i].timer, 1 + (i * 7919) % 40), ERR_OK);
    } while (clock_mono_ms(clock) != began);
    for (unsigned i = 0; i < COUNT; i += 3)
        timer_stop(clock, &alarms[i].timer);
    timer_stop(clock, &alarms[0].timer);
    struct alarm last = {.timer = {.fire = on_alarm}, .io = io, .stop = true};
    assert_int_equal(timer_start(clock, &last.timer, 60), ERR_OK);
    uint64_t before = clock_mono_ms(clock);
    uvio_run(io);
    assert_true(clock_mono_ms(clock) - before >= 59);
    assert_int_equal(count, COUNT - (COUNT + 2) / 3);
    for (unsigned i = 1; i < count; i++) {
        unsigned a = 1 + (order[i - 1] * 7919) % 40, b = 1 + (order[i] * 7919) % 40;
        assert_true(a < b || (a == b && order[i - 1] < order[i]));
        assert_true(order[i] % 3 != 0);
    }
    uvio_free(io);
}

static void test_clock_timer_may_start_itself_and_be_moved(void **state)
{
    (void)state;
    struct uvio *io = make_loop();
    unsigned order[4], count = 0;
    struct alarm again = {.timer = {.fire = on_alarm},
                          .io = io,
                          .order = order,
                          .number = 1,
                          .count = &count,
                          .again = true};
    struct alarm moved = {.timer = {.fire = on_alarm}, .io = io, .stop = true};
    assert_int_equal(timer_start(uvio_clock(io), &again.timer, 1), ERR_OK);
    assert_int_equal(timer_start(uvio_clock(io), &moved.timer, 100000), ERR_OK);
    assert_int_equal(timer_start(uvio_clock(io), &moved.timer, 20), ERR_OK);
    uvio_run(io);
    assert_int_equal(count, 2);
    int64_t wall = clock_wall_ns(uvio_clock(io)) / 1000000000;
    assert_true(llabs((long long)wall - (long long)time(NULL)) <= 1);
    uvio_free(io);
}

static void test_random_bytes_differ(void **state)
{
    (void)state;
    struct uvio *io = make_loop();
    uint8_t a[1000] = {0}, b[1000] = {0};
    random_fill(uvio_random(io), a, sizeof(a));
    random_fill(uvio_random(io), b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
    uvio_free(io);
}

/* --- work */

struct job {
    struct work_job job;
    struct uvio *io;
    unsigned number, *log, *count, *left;
    unsigned *running; /* jobs of the lane that run now: never more than one */
};

static void run_job(struct work_job *job)
{
    struct job *j = (struct job *)(void *)job;
    if (j->running) {
        assert_int_equal(__atomic_add_fetch(j->running, 1, __ATOMIC_SEQ_CST), 1);
        if (j->number % 16 == 0)
            (void)usleep(200);
        j->log[(*j->count)++] = j->number; /* no lock: the lane is the lock */
        __atomic_sub_fetch(j->running, 1, __ATOMIC_SEQ_CST);
    }
}

static void job_done(struct work_job *job)
{
    struct job *j = (struct job *)(void *)job;
    if (--*j->left == 0)
        uvio_stop(j->io);
}

static void test_work_lanes_keep_order_and_pool_finishes_all(void **state)
{
    (void)state;
    enum { COUNT = 500, LANES = 3 };
    struct uvio *io = make_loop();
    const struct work *work = uvio_work(io);
    assert_int_equal(work_threads(work), 2);
    static struct job jobs[LANES + 1][COUNT];
    static unsigned log[LANES][COUNT], count[LANES], running[LANES];
    unsigned left = COUNT * (LANES + 1);
    struct work_lane *lanes[LANES + 1] = {0};
    for (unsigned l = 0; l < LANES; l++) {
        lanes[l] = work_lane_new(work, "lane");
        assert_non_null(lanes[l]);
        count[l] = running[l] = 0;
    }
    for (unsigned i = 0; i < COUNT; i++) {
        for (unsigned l = 0; l <= LANES; l++) {
            jobs[l][i] = (struct job){
                .job = {.run = run_job, .done = job_done}, .io = io, .number = i, .left = &left};
            if (l < LANES) {
                jobs[l][i].log = log[l];
                jobs[l][i].count = &count[l];
                jobs[l][i].running = &running[l];
            }
            work_submit(work, lanes[l], &jobs[l][i].job);
        }
    }
    assert_int_equal(left, COUNT * (LANES + 1)); /* no done() before we go back to the loop */
    uvio_run(io);
    for (unsigned l = 0; l < LANES; l++) {
        assert_int_equal(count[l], COUNT);
        for (unsigned i = 0; i < COUNT; i++)
            assert_int_equal(log[l][i], i);
        work_lane_free(work, lanes[l]);
    }
    uvio_free(io);
}

static void test_work_unfinished_jobs_are_done_when_the_loop_is_freed(void **state)
{
    (void)state;
    enum { COUNT = 50 };
    struct uvio *io = make_loop();
    static struct job jobs[COUNT];
    unsigned left = COUNT + 1;
    struct work_lane *lane = work_lane_new(uvio_work(io), "a lane with a long name");
    for (unsigned i = 0; i < COUNT; i++) {
        jobs[i] = (struct job){.job = {.run = run_job, .done = job_done}, .io = io, .left = &left};
        work_submit(uvio_work(io), i % 2 ? lane : NULL, &jobs[i].job);
    }
    uvio_free(io);
    assert_int_equal(left, 1);
}

struct poster {
    struct work_job job, posted;
    struct uvio *io;
    bool done, arrived;
};

static void poster_arrived(struct work_job *job)
{
    struct poster *p = container_of(job, struct poster, posted);
    p->arrived = true;
    if (p->done)
        uvio_stop(p->io);
}

static void poster_run(struct work_job *job)
{
    struct poster *p = container_of(job, struct poster, job);
    p->posted = (struct work_job){.done = poster_arrived};
    work_post(uvio_work(p->io), &p->posted);
}

static void poster_done(struct work_job *job)
{
    struct poster *p = container_of(job, struct poster, job);
    p->done = true;
    if (p->arrived)
        uvio_stop(p->io);
}

static void test_work_post_reaches_the_loop_from_a_thread(void **state)
{
    (void)state;
    struct uvio *io = make_loop();
    struct poster p = {.job = {.run = poster_run, .done = poster_done}, .io = io};
    work_submit(uvio_work(io), NULL, &p.job);
    uvio_run(io);
    assert_true(p.done && p.arrived);
    uvio_free(io);
}

/* --- signals */

static void on_signal(void *user, int number)
{
    assert_int_equal(number, SIGHUP);
    uvio_stop(user);
}

static void test_signal_reaches_the_loop(void **state)
{
    (void)state;
    struct uvio *io = make_loop();
    struct errmsg msg;
    assert_int_equal(uvio_on_signal(io, SIGHUP, on_signal, NULL, &msg), ERR_OK);
    assert_int_equal(uvio_on_signal(io, SIGHUP, on_signal, io, &msg), ERR_OK);
    assert_int_equal(raise(SIGHUP), 0);
    uvio_run(io);
    uvio_free(io);
}

/* --- control socket */

struct control_test {
    struct uvio *io;
    char path[64];
    struct uvio_control *control;
    struct uvio_control_request *kept;
    bool keep;
    unsigned asked;
    struct work_job job; /* the asker: it blocks */
    struct slice question;
    struct buf answer;
    uint32_t timeout_ms;
    enum err result;
    struct errmsg msg;
};

static void on_control(void *user, struct uvio_control_request *request, struct slice bytes)
{
    struct control_test *t = user;
    t->asked++;
    if (t->keep)
        t->kept = request;
    else
        uvio_control_answer(request, bytes); /* an echo */
}

static void ask(struct work_job *job)
{
    struct control_test *t = container_of(job, struct control_test, job);
    t->result = uvio_control_call(t->path, t->question, t->timeout_ms, &t->answer, &t->msg);
}

static void asked(struct work_job *job)
{
    uvio_stop(container_of(job, struct control_test, job)->io);
}

static void control_start(struct control_test *t)
{
    *t = (struct control_test){.io = make_loop(),
                               .timeout_ms = 10000,
                               .job = {.run = ask, .done = asked},
                               .answer = BUF_INIT(UVIO_CONTROL_BYTES)};
    (void)snprintf(t->path, sizeof(t->path), "/tmp/cellar-control-%d", (int)getpid());
    enum err e = uvio_control_listen(t->io, t->path, on_control, t, &t->control, &t->msg);
    if (e != ERR_OK)
        fail_msg("%s", t->msg.text);
}

static void control_ask(struct control_test *t, struct slice question)
{
    t->question = question;
    buf_clear(&t->answer);
    work_submit(uvio_work(t->io), NULL, &t->job);
    uvio_run(t->io);
}

static void test_control_answers_and_is_for_us_alone(void **state)
{
    (void)state;
    struct control_test t;
    control_start(&t);
    struct stat st;
    assert_int_equal(stat(t.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    static uint8_t large[UVIO_CONTROL_BYTES];
    memset(large, 'x', sizeof(large));
    const struct slice questions[] = {slice_text("invite"), slice_of(NULL, 0),
                                      slice_of(large, sizeof(large))};
    for (size_t i = 0; i < ARRAY_COUNT(questions); i++) {
        control_ask(&t, questions[i]);
        assert_int_equal(t.result, ERR_OK);
        assert_true(slice_equal(buf_slice(&t.answer), questions[i]));
    }
    struct uvio_control *second;
    assert_int_equal(uvio_control_listen(t.io, t.path, on_control, &t, &second, &t.msg),
                     ERR_LOCKED);
    uvio_control_close(t.control);
    assert_int_equal(access(t.path, F_OK), -1);
    control_ask(&t, slice_text("anybody?"));
    assert_int_equal(t.result, ERR_UNREACHABLE);
    buf_free(&t.answer);
    uvio_free(t.io);
}

static void test_control_late_answer_after_the_asker_left(void **state)
{
    (void)state;
    struct control_test t;
    control_start(&t);
    t.keep = true;
    t.timeout_ms = 50;
    control_ask(&t, slice_text("slow"));
    assert_int_equal(t.result, ERR_TIMEOUT);
    assert_non_null(t.kept);
    struct alarm pause = {.timer = {.fire = on_alarm}, .io = t.io, .stop = true};
    assert_int_equal(timer_start(uvio_clock(t.io), &pause.timer, 20), ERR_OK);
    uvio_run(t.io);
    uvio_control_close(t.control);
    uvio_control_answer(t.kept, slice_text("too late"));
    buf_free(&t.answer);
    uvio_free(t.io);
}

static void test_control_replaces_what_a_dead_process_left(void **state)
{
    (void)state;
    struct control_test t;
    control_start(&t);
    char kept[80];
    (void)snprintf(kept, sizeof(kept), "%s-kept", t.path);
    assert_int_equal(link(t.path, kept), 0); /* so that closing does not take it away */
    uvio_control_close(t.control);
    assert_int_equal(rename(kept, t.path), 0);
    enum err e = uvio_control_listen(t.io, t.path, on_control, &t, &t.control, &t.msg);
    assert_int_equal(e, ERR_OK);
    control_ask(&t, slice_text("hello"));
    assert_int_equal(t.result, ERR_OK);
    uvio_control_close(t.control);
    buf_free(&t.answer);
    uvio_free(t.io);
}

/* Whoever listens on all addresses tells others the one that leads to them. */
static void test_reach_names_the_address_towards_a_peer(void **state)
{
    (void)state;
    char out[UVIO_REACH_SIZE];
    struct errmsg msg;
    assert_true(uvio_reach_is_any("0.0.0.0:7401"));
    assert_true(uvio_reach_is_any("[::]:7401"));
    assert_false(uvio_reach_is_any("127.0.0.1:7401"));
    assert_int_equal(uvio_reach_towards("127.0.0.1:7400", "0.0.0.0:7401", out, &msg), ERR_OK);
    assert_string_equal(out, "127.0.0.1:7401");
    assert_int_equal(uvio_reach_towards("no port", "0.0.0.0:7401", out, &msg), ERR_FORMAT);
    assert_int_equal(uvio_reach_towards("host.invalid:1", "0.0.0.0:7401", out, &msg),
                     ERR_UNREACHABLE);
    assert_non_null(strstr(msg.text, "--advertise"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reach_names_the_address_towards_a_peer),
        cmocka_unit_test(test_clock_fires_in_order_and_not_after_stop),
        cmocka_unit_test(test_clock_timer_may_start_itself_and_be_moved),
        cmocka_unit_test(test_random_bytes_differ),
        cmocka_unit_test(test_work_lanes_keep_order_and_pool_finishes_all),
        cmocka_unit_test(test_work_unfinished_jobs_are_done_when_the_loop_is_freed),
        cmocka_unit_test(test_work_post_reaches_the_loop_from_a_thread),
        cmocka_unit_test(test_signal_reaches_the_loop),
        cmocka_unit_test(test_control_answers_and_is_for_us_alone),
        cmocka_unit_test(test_control_late_answer_after_the_asker_left),
        cmocka_unit_test(test_control_replaces_what_a_dead_process_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
