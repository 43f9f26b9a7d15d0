#include "port/net_answer.h"

#include <stdlib.h>

static void answer_free(struct net_answer *answer)
{
    buf_free(&answer->body);
    buf_free(&answer->reply);
    const struct net_answer_how how = answer->how;
    free(answer);
    if (how.gone)
        how.gone(how.gone_user);
}

/* The exchange is broken off when even the reply cannot be started. */
static void send_reply(struct net_answer *answer)
{
    struct net_exchange *x = answer->exchange;
    enum err e = net_reply_start(x, answer->status, answer->reply.size);
    if (e == ERR_OK && answer->reply.size)
        e = net_reply_write(x, buf_slice(&answer->reply));
    if (e != ERR_OK)
        net_exchange_abort(x);
}

static void refuse(struct net_answer *answer, unsigned status)
{
    answer->refused = true;
    answer->status = status;
    buf_clear(&answer->reply);
    send_reply(answer);
}

static void run(struct work_job *job)
{
    struct net_answer *answer = container_of(job, struct net_answer, job);
    answer->how.handle(answer->how.user, answer);
}

static void done(struct work_job *job)
{
    struct net_answer *answer = container_of(job, struct net_answer, job);
    answer->finished = true;
    if (answer->how.after)
        answer->how.after(answer->how.user, answer);
    if (answer->exchange)
        send_reply(answer);
    else
        answer_free(answer);
}

enum err net_answer_start(struct net_exchange *x, const struct net_incoming *request,
                          const struct net_answer_how *how, struct net_answer **out)
{
    struct net_answer *answer = calloc(1, sizeof(*answer));
    if (!answer)
        return ERR_NOMEM;
    answer->body = BUF_INIT(how->body_max);
    answer->reply = BUF_INIT(how->reply_max);
    answer->status = 500;
    answer->how = *how;
    answer->exchange = x;
    answer->job.run = run;
    answer->job.done = done;
    *out = answer;
    if (request->body_size != UINT64_MAX && request->body_size > how->body_max)
        refuse(answer, 413);
    return ERR_OK;
}

void net_answer_on_body(struct net_answer *answer, struct slice bytes)
{
    net_exchange_credit(answer->exchange, bytes.size);
    if (answer->refused)
        return;
    const enum err e = buf_append(&answer->body, bytes.data, bytes.size);
    if (e != ERR_OK)
        refuse(answer, e == ERR_TOO_LARGE ? 413 : 503);
}

void net_answer_on_body_end(struct net_answer *answer)
{
    if (answer->refused || answer->submitted)
        return;
    answer->submitted = true;
    work_submit(answer->how.work, answer->how.lane, &answer->job);
}

void net_answer_on_writable(struct net_answer *answer)
{
    (void)answer; /* the reply was one piece */
}

void net_answer_on_closed(struct net_answer *answer)
{
    answer->exchange = NULL;
    if (!answer->submitted || answer->finished)
        answer_free(answer);
}
