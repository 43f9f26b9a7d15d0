#include "swarm/swarm_ask.h"
#include "swarm/swarm_internal.h"

#include <stdlib.h>

struct account_ask {
    swarm_account_fn *done;
    void *user;
};

static void answered(void *user, enum err e, struct slice body, const struct errmsg *why)
{
    struct account_ask *ask = user;
    struct wire_account account;
    struct errmsg msg = *why;
    if (e == ERR_OK) {
        e = wire_account_decode(body, &account);
        if (e != ERR_OK)
            (void)err_say(&msg, e, "the coordinator's word on the account makes no sense: %s",
                          err_words(e));
    }
    ask->done(ask->user, e, e == ERR_OK ? &account : NULL, &msg);
    free(ask);
}

enum err swarm_account(struct swarm *swarm, swarm_account_fn *done, void *user, struct errmsg *msg)
{
    if (!swarm->coordinator)
        return err_say(msg, ERR_UNREACHABLE, "no coordinator is known");
    struct account_ask *ask = malloc(sizeof(*ask));
    if (!ask)
        return err_say(msg, ERR_NOMEM, "out of memory");
    *ask = (struct account_ask){.done = done, .user = user};
    const enum err e =
        swarm_ask_start(swarm, swarm->coordinator, NET_GET, wire_path_plain(WIRE_ACCOUNT), NULL,
                        WIRE_ACCOUNT_BYTES, answered, ask, NULL, msg);
    if (e != ERR_OK)
        free(ask);
    return e;
}
