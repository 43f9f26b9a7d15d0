/*
 * What a daemon's subcommands say to the running process, over its control socket (uvio_control.h):
 * the request is a line of words ("leave", "status --json"), the answer is what the subcommand
 * prints and the exit code with which it ends.
 *
 * The answer's first byte is the exit code, the rest text.
 */
#pragma once

#include "daemon/daemon.h"
#include "uvio/uvio_control.h"

#define DAEMON_CONTROL_NAME "control.sock" /* below DATA */

/* Listens on DATA/control.sock. A data directory with too long a name for a socket has none: then
   ERR_OK, *out NULL, and the log says so. */
MUST_CHECK enum err daemon_control_listen(const struct daemon *d, struct uvio *io,
                                          uvio_control_fn *on_request, void *user,
                                          struct uvio_control **out, struct errmsg *msg);
/* `text` is copied. */
void daemon_control_answer(struct uvio_control_request *request, int exit_code, struct slice text);

/* The asking side: `text` is emptied first, its limit is the caller's. UNREACHABLE with a sentence
   when the daemon does not run. */
MUST_CHECK enum err daemon_control_ask(const struct daemon *d, const char *words, int *exit_code,
                                       struct buf *text, struct errmsg *msg);
