/*
 * `coordinatord move`: the state of a coordinator that does not run, made ready for another box and
 * brought there.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

struct coordinatord_move {
    const char *data;                   /* the coordinator's directory */
    const char *to;                     /* a directory, or [USER@]HOST:DIR */
    const char *rsh;                    /* how a command is run on another machine: "ssh" */
    struct slice certificate, settings; /* what takes the place of its own */
};

/* Files of the data directory are copied but for logs and locks; the registry must be folded into
   one file (db_copy to DATA/moving/registry.db) before. ERR_EXISTS: there is a coordinator already;
   IO. */
MUST_CHECK enum err coordinatord_move(const struct coordinatord_move *move, struct errmsg *msg);
