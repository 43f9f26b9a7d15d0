/*
 * Which of this machine's addresses another machine should be told, when a program listens on all
 * of them ("0.0.0.0:7401", "[::]:7401").
 */
#pragma once

#include "base/err.h"

enum { UVIO_REACH_SIZE = 64 };

/* Is the host of "host:port" the unspecified address? */
bool uvio_reach_is_any(const char *listen);

/* The address that the kernel would use towards `peer` ("host:port"; resolved, nothing is sent),
   with the port of `listen`. UNREACHABLE when there is no way to it. Blocks while a name is
   resolved: call it before the loop runs. */
MUST_CHECK enum err uvio_reach_towards(const char *peer, const char *listen,
                                       char out[UVIO_REACH_SIZE], struct errmsg *msg);
