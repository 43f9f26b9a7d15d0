/*
 * One example of each message, the ones of docs/protocol.md, for the tests of this room.
 *
 * `again` decodes a message and encodes what it got: for every input that is accepted, the same
 * bytes must come out, because there is one encoding of each message.
 */
#pragma once

#include "base/buf.h"

struct wire_example {
    const char *name; /* as in the page */
    enum err (*build)(struct buf *out);
    enum err (*again)(struct slice in, struct buf *out);
};

extern const struct wire_example wire_examples[];
extern const size_t wire_example_count;
