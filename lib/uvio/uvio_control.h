/*
 * A daemon's control socket: its subcommands ("coordinatord invite") speak to the running process
 * over a unix socket in its data directory, mode 0600. One request of bytes, one response of bytes,
 * what they mean is the program's business.
 *
 * On the socket a message is its size (4 bytes, little-endian, at most UVIO_CONTROL_BYTES) and its
 * bytes; one request a connection.
 */
#pragma once

#include "base/buf.h"
#include "uvio/uvio.h"

enum { UVIO_CONTROL_BYTES = 1 << 20 };

struct uvio_control;         /* a server */
struct uvio_control_request; /* one question; gone after its answer */

/* `bytes` are borrowed during the call. Answer once, now or later. */
typedef void uvio_control_fn(void *user, struct uvio_control_request *request, struct slice bytes);

/* Listens on `path` (at most 107 bytes). A socket that nobody listens on any more is replaced; one
 * that answers means that another process runs: ERR_LOCKED. */
MUST_CHECK enum err uvio_control_listen(struct uvio *io, const char *path,
                                        uvio_control_fn *on_request, void *user,
                                        struct uvio_control **out, struct errmsg *msg);

/* Copies `bytes`. Works, and does nothing, when the asker has left or the server was closed. */
void uvio_control_answer(struct uvio_control_request *request, struct slice bytes);

/* Removes the socket. Requests not yet answered must still be answered. To be called, and all
 * requests to be answered, before uvio_free(). NULL does nothing. */
void uvio_control_close(struct uvio_control *control);

/* The asking side: needs no loop, blocks up to `timeout_ms`. Appends the answer to `response`,
 * whose size_max is the limit. ERR_UNREACHABLE when no process listens there. */
MUST_CHECK enum err uvio_control_call(const char *path, struct slice request, uint32_t timeout_ms,
                                      struct buf *response, struct errmsg *msg);
