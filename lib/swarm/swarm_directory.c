#include "swarm/swarm_directory.h"

#include "swarm/swarm_ask.h"
#include "swarm/swarm_internal.h"

#include <stdlib.h>

struct directory_ask {
    swarm_register_fn *registered;
    swarm_find_fn *found;
    void *user;
};

static void register_answered(void *user, enum err e, struct slice body, const struct errmsg *why)
{
    struct directory_ask *ask = user;
    struct errmsg msg = *why;
    uint32_t taken = 0;
    if (e == ERR_OK) {
        e = wire_register_reply_decode(body, &taken);
        if (e != ERR_OK)
            (void)err_say(&msg, e, "the directory's answer makes no sense: %s", err_words(e));
    }
    ask->registered(ask->user, e, e == ERR_OK ? taken : 0, &msg);
    free(ask);
}

static void find_answered(void *user, enum err e, struct slice body, const struct errmsg *why)
{
    struct directory_ask *ask = user;
    struct errmsg msg = *why;
    struct wire_list list;
    if (e == ERR_OK) {
        e = wire_found_decode(body, &list);
        if (e != ERR_OK)
            (void)err_say(&msg, e, "the directory's answer makes no sense: %s", err_words(e));
    }
    ask->found(ask->user, e, e == ERR_OK ? &list : NULL, &msg);
    free(ask);
}

/* Sends `body` (moved from), or says why not. */
static enum err send_it(struct swarm *swarm, enum wire_route route, enum err e, struct buf *body,
                        size_t reply_max, swarm_ask_fn *done, const struct directory_ask *values,
                        struct errmsg *msg)
{
    struct directory_ask *ask = NULL;
    if (e != ERR_OK) {
        (void)err_say(msg, e, "a question to the directory cannot be written: %s", err_words(e));
    } else if (!swarm->coordinator) {
        e = err_say(msg, ERR_UNREACHABLE, "no coordinator is known");
    } else if (!(ask = malloc(sizeof(*ask)))) {
        e = err_say(msg, ERR_NOMEM, "out of memory");
    } else {
        *ask = *values;
        e = swarm_ask_start(swarm, swarm->coordinator, NET_POST, wire_path_plain(route), body,
                            reply_max, done, ask, NULL, msg);
    }
    if (e != ERR_OK) {
        free(ask);
        buf_free(body);
    }
    return e;
}

enum err swarm_register(struct swarm *swarm, const struct wire_registration *segments, size_t count,
                        swarm_register_fn *done, void *user, struct errmsg *msg)
{
    struct buf body = BUF_INIT(WIRE_REGISTER_BYTES);
    if (count > WIRE_REGISTER_SEGMENTS)
        return err_say(msg, ERR_TOO_LARGE, "%zu segments are more than one message can have",
                       count);
    const enum err e = wire_register_encode(segments, count, &body);
    return send_it(swarm, WIRE_SEGMENTS, e, &body, WIRE_REGISTER_REPLY_BYTES, register_answered,
                   &(struct directory_ask){.registered = done, .user = user}, msg);
}

enum err swarm_find(struct swarm *swarm, const struct id *segments, size_t count,
                    swarm_find_fn *done, void *user, struct errmsg *msg)
{
    struct buf body = BUF_INIT(WIRE_FIND_BYTES);
    if (count > WIRE_FIND_IDS)
        return err_say(msg, ERR_TOO_LARGE, "%zu segments are more than one question can have",
                       count);
    const enum err e = wire_ids_encode(segments, count, &body);
    return send_it(swarm, WIRE_FIND, e, &body, WIRE_FOUND_BYTES, find_answered,
                   &(struct directory_ask){.found = done, .user = user}, msg);
}
