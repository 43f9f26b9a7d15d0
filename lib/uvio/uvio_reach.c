#include "uvio/uvio_reach.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool uvio_reach_is_any(const char *listen)
{
    return strncmp(listen, "0.0.0.0:", 8) == 0 || strncmp(listen, "[::]:", 5) == 0;
}

/* The source address of a datagram socket that is connected, but sends nothing. */
static bool source_towards(const struct addrinfo *to, char *host, socklen_t host_size)
{
    struct sockaddr_storage own;
    socklen_t size = sizeof(own);
    const int fd = socket(to->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    const bool known =
        connect(fd, to->ai_addr, to->ai_addrlen) == 0 &&
        getsockname(fd, (struct sockaddr *)&own, &size) == 0 &&
        getnameinfo((struct sockaddr *)&own, size, host, host_size, NULL, 0, NI_NUMERICHOST) == 0;
    close(fd);
    return known;
}

enum err uvio_reach_towards(const char *peer, const char *listen, char out[UVIO_REACH_SIZE],
                            struct errmsg *msg)
{
    char host[256], own[UVIO_REACH_SIZE - 16];
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM};
    struct addrinfo *found = NULL;
    const char *port = strrchr(peer, ':'), *own_port = strrchr(listen, ':');
    bool known = false;
    if (!port || !own_port || (size_t)(port - peer) >= sizeof(host))
        return err_say(msg, ERR_FORMAT, "'%s' is not HOST:PORT", port ? listen : peer);
    snprintf(host, sizeof(host), "%.*s", (int)(port - peer), peer);
    char *name = host[0] == '[' ? host + 1 : host;
    name[strcspn(name, "]")] = 0;
    if (getaddrinfo(name, port + 1, &hints, &found) == 0)
        for (const struct addrinfo *at = found; at && !known; at = at->ai_next)
            known = source_towards(at, own, sizeof(own));
    if (found)
        freeaddrinfo(found);
    if (!known)
        return err_say(msg, ERR_UNREACHABLE,
                       "there is no way to %s from here: say with --advertise how this machine is "
                       "reached",
                       peer);
    snprintf(out, UVIO_REACH_SIZE, strchr(own, ':') ? "[%s]%s" : "%s%s", own, own_port);
    return ERR_OK;
}
