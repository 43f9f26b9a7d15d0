/* Shared by the files of serve/ only. */
#pragma once

#include "serve/serve.h"

struct serve {
    struct serve_options options;
    struct list sessions; /* struct serve_peer of those that said hello */
    unsigned under_way;
    void (*idle)(void *owner);
    uint64_t refused_count;
    bool stopping;
};

/* The handler of POST /v1/hello: leaves what the peer is from now on in request->peer. */
serve_fn serve_hello;
/* What `m` says of the peer's device. */
void serve_set_rights(struct serve_peer *peer, const struct manifest *m);
