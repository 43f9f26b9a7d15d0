/*
 * Heads and manifest of an account, kept by the coordinator and by some cells.
 *
 *     GET /v1/heads/{account} -> 200 wire_heads: the newest head of each device
 *     PUT /v1/heads/{account}    wire_heads -> 200 wire_heads_reply: what is held now, durably
 *
 * A lower number or sequence than what is held is refused with 409 and the newer document.
 */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "wire/wire_list.h"

enum { WIRE_HEADS_MAX = 256 }; /* devices of one account */

#define WIRE_HEADS_BYTES       (LIMIT_MANIFEST_BYTES + (4u << 20))
#define WIRE_HEADS_REPLY_BYTES 16384u

struct wire_heads {
    struct slice manifest; /* document; size 0: none */
    struct wire_list list; /* head documents: walk it with wire_heads_next() */
};

MUST_CHECK enum err wire_heads_encode(struct slice manifest, const struct slice *heads,
                                      size_t count, struct buf *out);
MUST_CHECK enum err wire_heads_decode(struct slice in, struct wire_heads *out);
bool wire_heads_next(struct wire_list *list, struct slice *out);

struct wire_head_held {
    uint32_t slot; /* of the device */
    uint64_t sequence;
};

MUST_CHECK enum err wire_heads_reply_encode(uint64_t manifest_number,
                                            const struct wire_head_held *held, size_t count,
                                            struct buf *out);
MUST_CHECK enum err wire_heads_reply_decode(struct slice in, uint64_t *manifest_number,
                                            struct wire_list *out);
bool wire_heads_reply_next(struct wire_list *list, struct wire_head_held *out);
