/*
 * Who may do what at a cell: the table of docs/protocol.md in code, pure.
 */
#include "cell_internal.h"

#include "identity/manifest.h"

#include <arpa/inet.h>
#include <stdio.h>

static bool in_account(const struct cell_peer *peer, const struct id *account)
{
    return (peer->kind == CELL_PEER_DEVICE || peer->kind == CELL_PEER_ROOT) &&
           id_equal(&peer->account, account);
}

static enum err deny(const struct cell_peer *peer, struct errmsg *msg, const char *what)
{
    if (peer->kind == CELL_PEER_UNKNOWN)
        return err_say(msg, ERR_DENIED, "the peer has not said who it is");
    return err_say(msg, ERR_DENIED, "the peer may not %s", what);
}

enum err cell_may_get(const struct cell_peer *peer, const struct id *account, uint32_t slot,
                      struct errmsg *msg)
{
    const bool reader = in_account(peer, account) && (peer->capabilities & MANIFEST_READ);
    const bool writer =
        peer->kind == CELL_PEER_DEVICE && in_account(peer, account) && peer->slot == slot;
    if (reader || writer)
        return ERR_OK;
    return deny(peer, msg, "read this segment: it is another account's or another device's");
}

enum err cell_may_put(const struct cell_peer *peer, const struct id *account, uint32_t slot,
                      struct errmsg *msg)
{
    if (peer->kind == CELL_PEER_DEVICE && in_account(peer, account) && peer->slot == slot &&
        (peer->capabilities & MANIFEST_PUT))
        return ERR_OK;
    return deny(peer, msg,
                "store into this segment: it is another account's or device's, or the "
                "device has no right to put");
}

enum err cell_may_look(const struct cell_peer *peer, const struct id *account, struct errmsg *msg)
{
    if (in_account(peer, account) || peer->kind == CELL_PEER_COORDINATOR)
        return ERR_OK;
    return deny(peer, msg, "ask after another account's shards");
}

enum err cell_is_known(const struct cell_peer *peer, struct errmsg *msg)
{
    return peer->kind != CELL_PEER_UNKNOWN ? ERR_OK : deny(peer, msg, "");
}

/* IPv4 in host order. */
static bool ipv4_is_near(uint32_t a)
{
    return a >> 24 == 127 || a >> 24 == 10 || a >> 20 == 0xac1 || a >> 16 == 0xc0a8 ||
           a >> 16 == 0xa9fe;
}

bool cell_address_is_near(const char *address)
{
    char host[64];
    struct in_addr v4;
    struct in6_addr v6;
    const char *begin = address[0] == '[' ? address + 1 : address;
    const char *end = address[0] == '[' ? strchr(begin, ']') : strrchr(begin, ':');
    if (!end || end == begin || (size_t)(end - begin) >= sizeof(host))
        return false;
    snprintf(host, sizeof(host), "%.*s", (int)(end - begin), begin);
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ipv4_is_near(ntohl(v4.s_addr));
    if (inet_pton(AF_INET6, host, &v6) != 1)
        return false;
    if (IN6_IS_ADDR_V4MAPPED(&v6))
        return ipv4_is_near((uint32_t)v6.s6_addr[12] << 24 | (uint32_t)v6.s6_addr[13] << 16 |
                            (uint32_t)v6.s6_addr[14] << 8 | v6.s6_addr[15]);
    return IN6_IS_ADDR_LOOPBACK(&v6) || IN6_IS_ADDR_LINKLOCAL(&v6) ||
           (v6.s6_addr[0] & 0xfe) == 0xfc;
}

struct cell_peer_text cell_peer_text(const struct cell_peer *peer)
{
    static const char *const kinds[] = {"a stranger", "device", "recovering device", "cell",
                                        "coordinator"};
    struct cell_peer_text out;
    char name[ID_TEXT_SIZE];
    snprintf(out.text, sizeof(out.text), "%s %s at %s", kinds[peer->kind],
             id_format(&peer->id, name), peer->address);
    return out;
}
