#include "port/net_body.h"

#include <stdlib.h>

struct net_message {
    struct net_call *call;
    struct buf body; /* owned */
    enum err failed; /* why we cancelled the call ourselves */
    unsigned status;
    net_message_fn *done;
    void *user;
};

static void give_up(struct net_message *message, enum err e)
{
    if (message->failed != ERR_OK)
        return;
    message->failed = e;
    net_call_cancel(message->call);
}

static void on_response(void *user, struct net_call *call, unsigned status, uint64_t body_size)
{
    (void)call;
    struct net_message *message = user;
    message->status = status;
    if (body_size != UINT64_MAX && body_size > message->body.size_max)
        give_up(message, ERR_TOO_LARGE);
}

static void on_body(void *user, struct net_call *call, struct slice bytes)
{
    struct net_message *message = user;
    if (message->failed != ERR_OK)
        return;
    enum err e = buf_append(&message->body, bytes.data, bytes.size);
    if (e != ERR_OK)
        give_up(message, e);
    else
        net_call_credit(call, bytes.size);
}

static void on_done(void *user, struct net_call *call, enum err e, const struct errmsg *msg)
{
    (void)call;
    struct net_message *message = user;
    struct errmsg why = *msg;
    if (message->failed != ERR_OK)
        e = err_say(&why, message->failed, "the answer could not be taken: %s (limit %zu bytes)",
                    err_words(message->failed), message->body.size_max);
    if (e == ERR_OK)
        message->done(message->user, ERR_OK, message->status, buf_slice(&message->body), &why);
    else
        message->done(message->user, e, 0, slice_of(NULL, 0), &why);
    buf_free(&message->body);
    free(message);
}

enum err net_message_start(struct net *net, const struct net_request *request, size_t body_max,
                           net_message_fn *done, void *user, struct net_message **out,
                           struct errmsg *msg)
{
    static const struct net_call_events events = {on_response, on_body, on_done};
    struct net_message *message = calloc(1, sizeof(*message));
    if (!message)
        return err_say(msg, ERR_NOMEM, "out of memory");
    message->body = BUF_INIT(body_max);
    message->done = done;
    message->user = user;
    enum err e = net_call_start(net, request, &events, message, &message->call, msg);
    if (e != ERR_OK) {
        free(message);
        return e;
    }
    if (out)
        *out = message;
    return ERR_OK;
}

void net_message_cancel(struct net_message *message)
{
    net_call_cancel(message->call);
}
