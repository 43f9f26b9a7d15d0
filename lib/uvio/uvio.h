/*
 * The loop of a program, and the ports of lib/port on it: clock, random bytes and work. The network
 * is made by uvio_net.h, disks by uvio_disk.h, a daemon's control socket by uvio_control.h.
 *
 *     struct uvio *io;
 *     e = uvio_new(NULL, &io, &msg);
 *     e = uvio_on_signal(io, SIGTERM, stop_cleanly, my, &msg);
 *     ... wire uvio_clock(io), uvio_work(io), a net, disks into the program's parts ...
 *     uvio_run(io);                   // until somebody calls uvio_stop(io)
 *     uvio_free(io);
 *
 * One thread, the one that calls uvio_run(), is the loop thread. All of this room's functions
 * belong to it, but for those that say otherwise. Nothing may block it.
 *
 * Work: a pool of CPU threads, and one thread for each serial lane (a lane blocks in fsync; it must
 * not take a CPU thread with it). Completions are collected and run on the loop in the order in
 * which jobs ended.
 */
#pragma once

#include "base/err.h"
#include "base/log.h"
#include "port/clock.h"
#include "port/random.h"
#include "port/work.h"

struct uvio;

struct uvio_options {
    unsigned threads;      /* of the CPU pool; 0: one for each CPU that is online */
    unsigned threads_more; /* beside those, for pool jobs that wait for a disk half of the time */
    const struct log *log; /* borrowed until uvio_free; may be NULL */
};

/* `options` may be NULL. Also ignores SIGPIPE for the process. */
MUST_CHECK enum err uvio_new(const struct uvio_options *options, struct uvio **out,
                             struct errmsg *msg);

/* Stops the threads (jobs that run are waited for, their done() runs; jobs that wait run too),
 * breaks off every net that is still open (their last events come from inside this call), then
 * frees. Not from inside a callback. NULL does nothing. */
void uvio_free(struct uvio *io);

/* Runs events until uvio_stop(); may be called again afterwards. */
void uvio_run(struct uvio *io);

/* Makes uvio_run() return after the callback that is running. Before uvio_run(): it returns at
 * once. */
void uvio_stop(struct uvio *io);

/* Borrowed; live as long as `io`. */
const struct clock *uvio_clock(const struct uvio *io);
const struct random *uvio_random(const struct uvio *io); /* the kernel's getrandom() */
const struct work *uvio_work(const struct uvio *io);
const struct log *uvio_log(const struct uvio *io); /* may be NULL */

typedef void uvio_signal_fn(void *user, int signal_number);

/* `fn` runs on the loop whenever the process gets the signal; set again, the newer one holds. */
MUST_CHECK enum err uvio_on_signal(struct uvio *io, int signal_number, uvio_signal_fn *fn,
                                   void *user, struct errmsg *msg);
