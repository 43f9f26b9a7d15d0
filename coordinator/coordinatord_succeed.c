#include "coordinatord_succeed.h"

#include "base/file.h"
#include "crypto/secret.h"
#include "identity/phrase.h"
#include "port/net_body.h"
#include "uvio/uvio_net.h"
#include "wire/wire_error.h"
#include "wire/wire_path.h"

#include <stdlib.h>
#include <string.h>

enum { SHEET_BYTES_MAX = 65536, ASK_MAX = 16 };

/* --- the sheet --- */

static enum err find_words(char *text, uint8_t entropy[PHRASE_ENTROPY_SIZE])
{
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));)
        if (phrase_decode(line, entropy, NULL) == ERR_OK)
            return ERR_OK;
    return ERR_FORMAT;
}

enum err coordinatord_sheet(const char *path, struct sign_key **root, struct swarm_root *swarm,
                            struct errmsg *msg)
{
    struct buf text = BUF_INIT(SHEET_BYTES_MAX);
    uint8_t *entropy = secret_new(PHRASE_ENTROPY_SIZE);
    *root = NULL;
    enum err e = entropy ? file_read(path, &text, msg) : ERR_NOMEM;
    if (e == ERR_OK)
        e = buf_append_u8(&text, 0);
    if (e == ERR_OK) {
        e = find_words((char *)text.data, entropy);
        if (e != ERR_OK)
            err_say(msg, e, "%s has no line with the 24 words of a swarm's root", path);
    }
    if (e == ERR_OK)
        e = swarm_root_key(entropy, root);
    if (e == ERR_OK)
        swarm_root_of(sign_key_public(*root), swarm);
    if (text.data)
        secret_wipe(text.data, text.size);
    buf_free(&text);
    secret_free(entropy);
    return e;
}

/* --- the last list --- */

struct asking {
    struct uvio *io;
    const struct swarm_root *swarm;
    struct member_list *best; /* owned */
    unsigned open;
    char *text; /* owned; the addresses point into it until all have answered */
    const char *addresses[ASK_MAX];
    size_t count;
    struct errmsg msg; /* of the last that failed */
};

static void net_closed(void *user)
{
    uvio_stop(((struct asking *)user)->io);
}

static void answered(void *user, enum err e, unsigned status, struct slice body,
                     const struct errmsg *why)
{
    struct asking *a = user;
    struct member_list *list = NULL;
    struct errmsg msg = *why;
    if (e == ERR_OK && wire_status_failed(status))
        e = wire_error_take(status, body, NULL, &msg);
    if (e == ERR_OK)
        e = member_list_open(body, a->swarm, &list, &msg);
    if (e != ERR_OK) {
        a->msg = msg;
    } else if (!a->best || member_list_compare(list, a->best) > 0) {
        member_list_free(a->best);
        a->best = list;
    } else {
        member_list_free(list);
    }
    if (--a->open == 0)
        uvio_stop(a->io);
}

static enum err ask(struct asking *a, struct net *net, const char *text, struct errmsg *msg)
{
    const char *at = strchr(text, '@');
    struct net_message *message;
    struct net_request request = {
        .method = NET_GET, .path = wire_path_plain(WIRE_MEMBERS), .net_class = NET_OTHER};
    if (!at || id_parse(text, (size_t)(at - text), &request.target.id) != ERR_OK)
        return err_say(msg, ERR_USAGE, "--from takes ID@HOST:PORT of a cell, not '%s'", text);
    a->addresses[a->count] = at + 1;
    request.target.addresses = &a->addresses[a->count++];
    request.target.address_count = 1;
    const enum err e =
        net_message_start(net, &request, LIMIT_MEMBER_LIST_BYTES, answered, a, &message, msg);
    a->open += e == ERR_OK;
    return e;
}

/* Each of the cells in `from`, as far as there are ASK_MAX. */
static enum err ask_all(struct asking *a, struct net *net, const char *from, struct errmsg *msg)
{
    a->text = strdup(from ? from : "");
    enum err e = a->text ? ERR_OK : err_say(msg, ERR_NOMEM, "out of memory for addresses");
    char *rest = a->text;
    for (char *item; e == ERR_OK && a->count < ASK_MAX && (item = strsep(&rest, ","));)
        if (*item)
            e = ask(a, net, item, msg);
    if (e == ERR_OK && a->count == 0)
        e = err_say(msg, ERR_USAGE,
                    "say which cell to ask: --from ID@HOST:PORT, from a cell's file \"address\"");
    return e;
}

enum err coordinatord_last_list(const struct daemon *d, const struct swarm_root *swarm,
                                const char *from, struct member_list **out, struct errmsg *msg)
{
    struct asking a = {.swarm = swarm};
    struct net *net = NULL;
    *out = NULL;
    enum err e = uvio_new(&(struct uvio_options){.log = &d->log}, &a.io, msg);
    if (e == ERR_OK)
        e = uvio_net_open(a.io, &(struct uvio_net_options){.seed = d->seed}, &net, msg);
    if (e == ERR_OK)
        e = ask_all(&a, net, from, msg);
    if (e == ERR_OK && a.open)
        uvio_run(a.io);
    if (net) {
        uvio_net_close(net, 0, net_closed, &a);
        uvio_run(a.io);
    }
    uvio_free(a.io);
    free(a.text);
    if (e == ERR_OK && !a.best) {
        *msg = a.msg;
        e = err_wrap(msg, ERR_UNREACHABLE, "no cell has a member list of this swarm");
    }
    if (e == ERR_OK)
        *out = a.best;
    else
        member_list_free(a.best);
    return e;
}
