/*
 * The net port (port/net.h) on TCP, TLS 1.3 and HTTP/2. docs/transport.md says how.
 *
 *     struct uvio_net_options options = {.seed = seed, .listen = "[::]:7843"};
 *     struct net *net;
 *     e = uvio_net_open(io, &options, &net, &msg);
 *     net_serve(net, &my_service, my);        // before uvio_run(); a listening net needs it
 *     e = net_introduce(net, "/v1/hello", certificate);
 *     ...
 *     uvio_net_close(net, 5000, closed, my);  // GOAWAY, up to 5 s for what is under way
 *
 * One connection a peer: the first call dials the addresses in order (5 s each), later calls share
 * the connection, which is closed after UVIO_NET_IDLE_CLOSE_MS without a request. Calls with a free
 * choice of addresses may give none when the connection is there. Who dialled is the client,
 * whoever listens serves; a later version may let a cell behind a NAT serve over its own outgoing
 * connection (nothing in port/net.h stands against it).
 *
 * Errors of calls, beside those of port/net.h: ERR_UNREACHABLE also when the connection or the
 * stream broke, ERR_BUSY when the peer refused the stream, ERR_PEER when it broke the protocol,
 * ERR_DENIED when it did not want our key or our introduction. An exchange whose client left ends
 * with ERR_CANCELLED, one whose connection broke with ERR_UNREACHABLE.
 *
 * A HEAD request is answered by net_reply_start() alone, with the size that GET would have.
 */
#pragma once

#include "port/net.h"
#include "uvio/uvio.h"

#include <stdint.h>

enum { UVIO_NET_SEED_SIZE = 32, UVIO_NET_ADDRESS_SIZE = 64, UVIO_NET_IDLE_CLOSE_MS = 180000 };

struct uvio_net_options {
    const uint8_t *seed; /* 32 secret bytes: this process's Ed25519 key; borrowed during the call */
    const char
        *listen; /* "ADDR:PORT", "[ADDR6]:PORT", port 0: the kernel's choice; NULL: only dial */
    size_t budget_bytes;      /* body bytes held; 0: LIMIT_NET_BUDGET_BYTES */
    uint32_t upload_kib_s;    /* 0: no limit */
    uint32_t connections_max; /* incoming ones; 0: LIMIT_CONNECTIONS */
};

/* Errors: USAGE (address), EXISTS (the address is taken), DENIED (a port below 1024), NOMEM, IO. */
MUST_CHECK enum err uvio_net_open(struct uvio *io, const struct uvio_net_options *options,
                                  struct net **out, struct errmsg *msg);

typedef void uvio_net_closed_fn(void *user);

/* Accepts nothing more, says GOAWAY, gives what is under way `grace_ms`, breaks off the rest (each
 * with its last event), frees `net`, then calls `closed` (may be NULL), never from inside this
 * call. */
void uvio_net_close(struct net *net, uint32_t grace_ms, uvio_net_closed_fn *closed, void *user);

/* What it listens on, with the port chosen: "127.0.0.1:41234"; "" when it does not listen. */
const char *uvio_net_listen_address(const struct net *net);
uint16_t uvio_net_listen_port(const struct net *net);

/* All uploads of this process together, in KiB/s on the wire; 0: no limit. Restores go first. */
void uvio_net_limit_upload(struct net *net, uint32_t upload_kib_s);

struct uvio_net_counters {
    uint64_t received_bytes, sent_bytes; /* on the wire, TLS included */
    uint64_t dialled, accepted,
        refused;               /* connections; refused: by a limit or a failed handshake */
    uint32_t connections;      /* now, both ways */
    uint32_t calls, exchanges; /* under way now */
    size_t held_bytes;         /* body bytes delivered and not yet credited */
};

void uvio_net_counters(const struct net *net, struct uvio_net_counters *out);
