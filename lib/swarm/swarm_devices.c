#include "swarm/swarm_devices.h"

#include "swarm/swarm_keepers.h"

#include <stdlib.h>

struct devices {
    struct swarm_keepers keepers; /* first */
    swarm_devices_reply_fn *reply;
    swarm_devices_waiting_fn *waiting;
    swarm_done_fn *done;
    void *user;
};

static bool on_reply(struct swarm_keepers *keepers, const struct swarm_keeper *from, enum err e,
                     struct slice body)
{
    struct devices *d = container_of(keepers, struct devices, keepers);
    struct wire_device_reply reply;
    if (e == ERR_OK && (e = wire_device_reply_decode(body, &reply)) == ERR_OK)
        d->reply(d->user, &from->peer->id, &reply);
    return e == ERR_OK;
}

static bool on_waiting(struct swarm_keepers *keepers, const struct swarm_keeper *from, enum err e,
                       struct slice body)
{
    struct devices *d = container_of(keepers, struct devices, keepers);
    struct wire_list list;
    struct wire_device_ask ask;
    if (e == ERR_OK)
        e = wire_device_requests_decode(body, &list);
    while (e == ERR_OK && wire_device_requests_next(&list, &ask))
        d->waiting(d->user, &from->peer->id, &ask);
    return e == ERR_OK;
}

static void devices_end(struct swarm_keepers *keepers)
{
    struct devices *d = container_of(keepers, struct devices, keepers);
    struct errmsg msg = {0};
    enum err e = ERR_OK;
    if (keepers->answered == 0 && keepers->failed != ERR_OK) {
        msg = keepers->why;
        e = keepers->failed;
    } else if (keepers->answered == 0) {
        e = err_say(&msg, ERR_UNREACHABLE, "nobody who keeps the account's documents answers");
    }
    d->done(d->user, e, &msg);
    swarm_keepers_free(keepers);
    free(d);
}

static enum err devices_new(struct swarm *swarm, const struct id *account, enum net_method method,
                            size_t reply_max, struct devices **out, struct errmsg *msg)
{
    struct devices *d = calloc(1, sizeof(*d));
    if (!d)
        return err_say(msg, ERR_NOMEM, "out of memory");
    d->keepers.body = BUF_INIT(WIRE_DEVICE_ASK_BYTES);
    d->keepers.method = method;
    d->keepers.reply_max = reply_max;
    d->keepers.end = devices_end;
    const enum err e = swarm_keepers_find(&d->keepers, swarm, account, WIRE_DEVICES, msg);
    if (e != ERR_OK)
        free(d);
    else
        *out = d;
    return e;
}

enum err swarm_devices_ask(struct swarm *swarm, const struct id *account,
                           const struct wire_device_ask *ask, swarm_devices_reply_fn *each,
                           swarm_done_fn *done, void *user, struct errmsg *msg)
{
    struct devices *d;
    enum err e = devices_new(swarm, account, NET_POST, WIRE_DEVICE_REPLY_BYTES, &d, msg);
    if (e != ERR_OK)
        return e;
    d->keepers.answer = on_reply;
    d->keepers.first_alone = true; /* its clock is right: its no is one */
    d->reply = each;
    d->done = done;
    d->user = user;
    e = wire_device_ask_encode(ask, &d->keepers.body);
    if (e != ERR_OK) {
        swarm_keepers_free(&d->keepers);
        free(d);
        return err_say(msg, e, "the request cannot be sent: %s", err_words(e));
    }
    swarm_keepers_go(&d->keepers);
    return ERR_OK;
}

enum err swarm_devices_waiting(struct swarm *swarm, const struct id *account,
                               swarm_devices_waiting_fn *each, swarm_done_fn *done, void *user,
                               struct errmsg *msg)
{
    struct devices *d;
    const enum err e = devices_new(swarm, account, NET_GET, WIRE_DEVICE_REQUESTS_BYTES, &d, msg);
    if (e != ERR_OK)
        return e;
    d->keepers.answer = on_waiting;
    d->waiting = each;
    d->done = done;
    d->user = user;
    swarm_keepers_go(&d->keepers);
    return ERR_OK;
}
