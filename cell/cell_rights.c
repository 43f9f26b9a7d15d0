/*
 * Who may have and bring shards: the table of docs/protocol.md in code, pure.
 */
#include "cell_internal.h"

enum err cell_may_get(const struct serve_peer *peer, const struct id *account, uint32_t slot,
                      struct errmsg *msg)
{
    const bool reader = serve_is_of(peer, account) && (peer->capabilities & MANIFEST_READ);
    const bool writer =
        peer->kind == SERVE_DEVICE && serve_is_of(peer, account) && peer->slot == slot;
    if (reader || writer)
        return ERR_OK;
    return serve_deny(peer, msg, "read this segment: it is another account's or device's");
}

enum err cell_may_put(const struct serve_peer *peer, const struct id *account, uint32_t slot,
                      struct errmsg *msg)
{
    if (peer->kind == SERVE_DEVICE && serve_is_of(peer, account) && peer->slot == slot &&
        (peer->capabilities & MANIFEST_PUT))
        return ERR_OK;
    return serve_deny(peer, msg,
                      "store into this segment: it is another account's or device's, or the device "
                      "has no right to put");
}
