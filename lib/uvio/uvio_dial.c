/*
 * Whom we dial. Addresses are tried in order, each name's sockaddrs in order, one at a time; the
 * first connection that shows the dialled key and takes our introduction is the peer's. When none
 * does, every call that waits fails with the reasons of all of them. An answer from somebody else
 * outweighs silence: then the error is ERR_WRONG_PEER, so that it is not taken for a matter of
 * waiting.
 */
#include "base/text.h"
#include "uvio/uvio_net_internal.h"

#include <stdio.h>
#include <stdlib.h>

struct uvio_lookup {
    uv_getaddrinfo_t request;
    struct uvio_net *net;
    struct uvio_peer *peer; /* NULL: nobody waits any more */
};

/* --- addresses */

enum err uvio_address_split(const char *address, char *host, uint16_t *port, struct errmsg *msg)
{
    const char *colon = strrchr(address, ':');
    const char *begin = address;
    size_t length = colon ? (size_t)(colon - address) : 0;
    uint64_t number;
    if (length >= 2 && address[0] == '[' && address[length - 1] == ']') {
        begin++;
        length -= 2;
    } else if (length > 0 && memchr(address, ':', length)) {
        length = 0; /* a bare IPv6 address: which colon would be the port's? */
    }
    if (length == 0 || length >= LIMIT_ADDRESS_BYTES ||
        text_parse_u64(colon + 1, UINT16_MAX, &number) != ERR_OK)
        return err_say(msg, ERR_USAGE, "\"%s\" is no address of the form host:port or [IPv6]:port",
                       address);
    memcpy(host, begin, length);
    host[length] = 0;
    *port = (uint16_t)number;
    return ERR_OK;
}

bool uvio_address_numeric(const char *host, uint16_t port, struct sockaddr_storage *out)
{
    return uv_ip4_addr(host, port, (struct sockaddr_in *)out) == 0 ||
           uv_ip6_addr(host, port, (struct sockaddr_in6 *)out) == 0;
}

void uvio_address_text(const struct sockaddr *address, char out[UVIO_NET_ADDRESS_SIZE])
{
    char name[48];
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)address;
        (void)uv_ip6_name(six, name, sizeof(name));
        (void)snprintf(out, UVIO_NET_ADDRESS_SIZE, "[%s]:%u", name, ntohs(six->sin6_port));
    } else {
        const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)address;
        (void)uv_ip4_name(four, name, sizeof(name));
        (void)snprintf(out, UVIO_NET_ADDRESS_SIZE, "%s:%u", name, ntohs(four->sin_port));
    }
}

/* --- peers */

enum err uvio_peer_get(struct uvio_net *net, const struct id *id, struct uvio_peer **out)
{
    *out = idmap_get(&net->peers, id);
    if (*out)
        return ERR_OK;
    struct uvio_peer *peer = calloc(1, sizeof(*peer));
    if (!peer)
        return ERR_NOMEM;
    peer->net = net;
    peer->id = *id;
    list_init(&peer->waiting);
    enum err e = idmap_set(&net->peers, id, peer);
    if (e != ERR_OK) {
        free(peer);
        return e;
    }
    *out = peer;
    return ERR_OK;
}

static void forget_addresses(struct uvio_peer *peer)
{
    for (size_t i = 0; i < peer->address_count; i++)
        free(peer->addresses[i]);
    peer->address_count = peer->address_index = 0;
}

void uvio_peer_release(struct uvio_peer *peer)
{
    if (peer->conn || peer->dialling || !list_empty(&peer->waiting))
        return;
    (void)idmap_remove(&peer->net->peers, &peer->id);
    forget_addresses(peer);
    free(peer);
}

enum err uvio_peer_add_addresses(struct uvio_peer *peer, const struct net_target *target)
{
    if (peer->ready)
        return ERR_OK;
    for (size_t i = 0; i < target->address_count && peer->address_count < UVIO_PEER_ADDRESSES;
         i++) {
        bool known = strlen(target->addresses[i]) > LIMIT_ADDRESS_BYTES;
        for (size_t j = 0; j < peer->address_count; j++)
            known = known || strcmp(peer->addresses[j], target->addresses[i]) == 0;
        if (known)
            continue;
        char *copy = strdup(target->addresses[i]);
        if (!copy)
            return ERR_NOMEM;
        peer->addresses[peer->address_count++] = copy;
    }
    return ERR_OK;
}

/* One more reason to the sentence. */
static void note_failure(struct uvio_peer *peer, enum err e, const char *why)
{
    size_t used = strlen(peer->dial_msg.text);
    (void)snprintf(peer->dial_msg.text + used, sizeof(peer->dial_msg.text) - used, "%s%s",
                   used ? "; " : "", why);
    if (peer->dial_error != ERR_WRONG_PEER)
        peer->dial_error = e;
}

static void fail_waiting(struct uvio_peer *peer, enum err e, const struct errmsg *msg)
{
    while (!list_empty(&peer->waiting)) {
        struct uvio_stream *s = container_of(list_pop(&peer->waiting), struct uvio_stream, link);
        uvio_call_fail(uvio_call_of(s), e, msg);
    }
}

/* All addresses failed. */
static void give_up(struct uvio_peer *peer)
{
    char name[ID_TEXT_SIZE];
    struct errmsg msg = peer->dial_msg;
    enum err e = peer->dial_error;
    if (e != ERR_WRONG_PEER && e != ERR_DENIED && e != ERR_NOMEM && e != ERR_CANCELLED)
        e = ERR_UNREACHABLE;
    if (msg.text[0] == 0)
        (void)err_say(&msg, e, "no address of it is known");
    (void)err_wrap(&msg, e, "cannot reach %.8s…", id_format(&peer->id, name));
    peer->dialling = false;
    forget_addresses(peer);
    fail_waiting(peer, e, &msg);
    uvio_peer_release(peer);
}

static void try_next(struct uvio_peer *peer);

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct uvio_lookup *lookup = request->data;
    struct uvio_net *net = lookup->net;
    struct uvio_peer *peer = lookup->peer;
    if (peer) {
        struct errmsg msg;
        peer->lookup = NULL;
        for (struct addrinfo *a = found; a && peer->resolved_count < UVIO_RESOLVED_MAX;
             a = a->ai_next)
            if (a->ai_addrlen <= sizeof(struct sockaddr_storage))
                memcpy(&peer->resolved[peer->resolved_count++], a->ai_addr, a->ai_addrlen);
        if (status != 0) {
            (void)uvio_say(&msg, status, "%s", peer->addresses[peer->address_index - 1]);
            note_failure(peer, ERR_UNREACHABLE, msg.text);
        }
        try_next(peer);
    }
    uv_freeaddrinfo(found);
    free(lookup);
    uvio_net_released(net);
}

static bool look_up(struct uvio_peer *peer, const char *host, uint16_t port)
{
    char service[8];
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct uvio_lookup *lookup = calloc(1, sizeof(*lookup));
    if (!lookup)
        return false;
    (void)snprintf(service, sizeof(service), "%u", port);
    lookup->net = peer->net;
    lookup->peer = peer;
    lookup->request.data = lookup;
    if (uv_getaddrinfo(&peer->net->io->loop, &lookup->request, on_looked_up, host, service,
                       &hints) != 0) {
        free(lookup);
        return false;
    }
    peer->lookup = lookup;
    peer->net->handles++;
    return true;
}

/* Goes on with the next sockaddr or the next name; gives up at the end. */
static void try_next(struct uvio_peer *peer)
{
    struct errmsg msg;
    for (;;) {
        while (peer->resolved_index < peer->resolved_count) {
            struct sockaddr_storage *to = &peer->resolved[peer->resolved_index++];
            enum err e = uvio_conn_dial(peer, (struct sockaddr *)to, &msg);
            if (e == ERR_OK)
                return;
            note_failure(peer, e, msg.text);
        }
        if (peer->address_index == peer->address_count) {
            give_up(peer);
            return;
        }
        char host[LIMIT_ADDRESS_BYTES];
        uint16_t port;
        const char *address = peer->addresses[peer->address_index++];
        peer->resolved_count = peer->resolved_index = 0;
        if (uvio_address_split(address, host, &port, &msg) != ERR_OK)
            note_failure(peer, ERR_UNREACHABLE, msg.text);
        else if (uvio_address_numeric(host, port, &peer->resolved[0]))
            peer->resolved_count = 1;
        else if (look_up(peer, host, port))
            return;
        else
            note_failure(peer, ERR_NOMEM, "out of memory");
    }
}

void uvio_peer_dial(struct uvio_peer *peer)
{
    if (peer->dialling || peer->conn)
        return;
    peer->dialling = true;
    peer->address_index = 0;
    peer->resolved_count = peer->resolved_index = 0;
    peer->dial_error = ERR_UNREACHABLE;
    peer->dial_msg.text[0] = 0;
    try_next(peer);
}

void uvio_peer_opened(struct uvio_peer *peer)
{
    peer->dialling = false;
    peer->ready = true;
    forget_addresses(peer);
    while (!list_empty(&peer->waiting) && peer->ready) {
        struct uvio_stream *s = container_of(list_pop(&peer->waiting), struct uvio_stream, link);
        uvio_call_submit(uvio_call_of(s), peer->conn);
    }
}

void uvio_peer_lost(struct uvio_peer *peer, struct uvio_conn *conn, enum err e,
                    const struct errmsg *msg)
{
    if (peer->conn != conn)
        return;
    peer->conn = NULL;
    peer->ready = false;
    if (peer->dialling) {
        note_failure(peer, e, msg->text);
        if (peer->net->breaking)
            give_up(peer);
        else
            try_next(peer);
        return;
    }
    /* calls wait on an open connection only while we show something new on it */
    fail_waiting(peer, e == ERR_OK ? ERR_UNREACHABLE : e, msg);
    uvio_peer_release(peer);
}

void uvio_peer_forget_conn(struct uvio_peer *peer)
{
    struct errmsg msg;
    if (peer->conn)
        peer->conn->peer = NULL;
    peer->conn = NULL;
    peer->ready = false;
    if (!peer->dialling) {
        (void)err_say(&msg, ERR_UNREACHABLE, "the connection is closing");
        fail_waiting(peer, ERR_UNREACHABLE, &msg);
    }
    uvio_peer_release(peer);
}

void uvio_peer_break(struct uvio_peer *peer)
{
    if (peer->lookup) {
        peer->lookup->peer = NULL;
        (void)uv_cancel((uv_req_t *)&peer->lookup->request);
        peer->lookup = NULL;
    }
    peer->dialling = false;
    struct errmsg msg;
    (void)err_say(&msg, ERR_CANCELLED, "the network of this process is closing");
    fail_waiting(peer, ERR_CANCELLED, &msg);
    uvio_peer_release(peer);
}
