#include "swarm/swarm_removal.h"

#include "swarm/swarm_ask.h"
#include "swarm/swarm_internal.h"

#include <stdlib.h>

struct orders_ask {
    size_t count;
    swarm_orders_fn *done;
    void *user;
};

static void answered(void *user, enum err e, struct slice body, const struct errmsg *why)
{
    struct orders_ask *ask = user;
    struct errmsg msg = *why;
    struct wire_list list;
    uint32_t counts[WIRE_ORDERS_MAX];
    size_t count = 0;
    if (e == ERR_OK)
        e = wire_delete_reply_decode(body, &list);
    while (e == ERR_OK && count < ask->count && wire_delete_reply_next(&list, &counts[count]))
        count++;
    if (e == ERR_OK && count < ask->count)
        e = err_say(&msg, ERR_PEER, "an answer to %zu orders tells of %zu", ask->count, count);
    ask->done(ask->user, e, e == ERR_OK ? counts : NULL, e == ERR_OK ? count : 0, &msg);
    free(ask);
}

enum err swarm_orders_send(struct swarm *swarm, const struct id *peer,
                           const struct wire_order *orders, size_t count, swarm_orders_fn *done,
                           void *user, struct errmsg *msg)
{
    struct swarm_peer *to = id_is_zero(peer) ? swarm->coordinator : swarm_peer_find(swarm, peer);
    struct buf body = BUF_INIT(WIRE_DELETE_BYTES);
    if (count > WIRE_ORDERS_MAX)
        return err_say(msg, ERR_TOO_LARGE, "%zu orders are more than one message can have", count);
    if (!to || (!to->is_coordinator && !to->is_member))
        return err_say(msg, ERR_NOT_FOUND, "the cell is no member of the swarm");
    struct orders_ask *ask = malloc(sizeof(*ask));
    if (!ask)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *ask = (struct orders_ask){.count = count, .done = done, .user = user};
    enum err e = wire_delete_encode(orders, count, &body);
    if (e != ERR_OK)
        (void)err_say(msg, e, "delete orders cannot be written: %s", err_words(e));
    else
        e = swarm_ask_start(swarm, to, NET_POST, wire_path_plain(WIRE_DELETE), &body,
                            WIRE_DELETE_REPLY_BYTES, answered, ask, NULL, msg);
    if (e != ERR_OK) {
        buf_free(&body);
        free(ask);
    }
    return e;
}
