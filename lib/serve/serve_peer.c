#include "serve/serve_internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

bool serve_is_of(const struct serve_peer *peer, const struct id *account)
{
    return (peer->kind == SERVE_DEVICE || peer->kind == SERVE_ROOT) &&
           id_equal(&peer->account, account);
}

enum err serve_deny(const struct serve_peer *peer, struct errmsg *msg, const char *what)
{
    if (peer->kind == SERVE_STRANGER)
        return err_say(msg, ERR_DENIED, "the peer has not said who it is");
    return err_say(msg, ERR_DENIED, "the peer may not %s", what);
}

enum err serve_may_look(const struct serve_peer *peer, const struct id *account, struct errmsg *msg)
{
    if (serve_is_of(peer, account) || peer->kind == SERVE_COORDINATOR)
        return ERR_OK;
    return serve_deny(peer, msg, "ask after another account's data");
}

/* In host order. */
static bool ipv4_is_near(uint32_t a)
{
    return a >> 24 == 127 || a >> 24 == 10 || a >> 20 == 0xac1 || a >> 16 == 0xc0a8 ||
           a >> 16 == 0xa9fe;
}

bool serve_address_is_near(const char *address)
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

struct serve_peer_text serve_peer_text(const struct serve_peer *peer)
{
    static const char *const kinds[] = {"a stranger", "device", "recovering device", "cell",
                                        "coordinator"};
    struct serve_peer_text out;
    char name[ID_TEXT_SIZE];
    snprintf(out.text, sizeof(out.text), "%s %s at %s", kinds[peer->kind],
             id_format(&peer->id, name), peer->address);
    return out;
}
