/*
 * Deleting: orders to cells and to the coordinator, and what the coordinator keeps for cells that
 * were away. The orders are documents (identity/delete_order.h), so it does not matter who carries
 * them.
 */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "wire/wire_list.h"

enum {
    WIRE_ORDERS_MAX = 64,               /* in one message */
    WIRE_ORDER_BYTES = 4097 * 32 + 512, /* a document */
    WIRE_ACKS_MAX = 256,
};

#define WIRE_DELETE_BYTES       LIMIT_MESSAGE_BYTES
#define WIRE_DELETE_REPLY_BYTES (WIRE_ORDERS_MAX * 9u + 16u)
#define WIRE_ORDERS_BYTES       (WIRE_ACKS_MAX * 9u + 16u)
#define WIRE_ORDERS_REPLY_BYTES (LIMIT_MANIFEST_BYTES + LIMIT_MESSAGE_BYTES)

enum wire_order_kind {
    WIRE_ORDER_DELETE = 1,
    WIRE_ORDER_UNDELETE = 2,
    WIRE_ORDER_DROP = 3,  /* a drop order of a device: one shard that has moved */
    WIRE_ORDER_MOVED = 4, /* a repair's proof that it has: wire_moved_encode() */
    WIRE_ORDER_RENEW = 5, /* a renewal: the account's leases begin anew */
};

struct wire_order {
    uint64_t number; /* the coordinator's, rising; in /v1/orders only */
    enum wire_order_kind kind;
    struct slice doc;
};

/* --- POST /v1/delete, to a cell or the coordinator --- */

/* `number` is not sent. TOO_LARGE above the message's limit. */
MUST_CHECK enum err wire_delete_encode(const struct wire_order *orders, size_t count,
                                       struct buf *out);
MUST_CHECK enum err wire_delete_decode(struct slice in, struct wire_list *out);
bool wire_delete_next(struct wire_list *list, struct wire_order *out);

/* For each order in turn: how many of its segments are known here and were marked or taken back. */
MUST_CHECK enum err wire_delete_reply_encode(const uint32_t *counts, size_t count, struct buf *out);
MUST_CHECK enum err wire_delete_reply_decode(struct slice in, struct wire_list *out);
bool wire_delete_reply_next(struct wire_list *list, uint32_t *out);

/* --- POST /v1/orders, from a cell to the coordinator: what has to be deleted here? --- */

/* `numbers`: orders that are done here, and are not told again. */
MUST_CHECK enum err wire_orders_encode(const uint64_t *numbers, size_t count, struct buf *out);
MUST_CHECK enum err wire_orders_decode(struct slice in, struct wire_list *out);
bool wire_orders_next(struct wire_list *list, uint64_t *out);

/* Orders of one account, in the order of their numbers, and its manifest, by which they are judged.
   No orders (and no manifest): nothing waits. */
struct wire_orders_reply {
    struct slice manifest;           /* document */
    const struct wire_order *orders; /* to encode */
    size_t order_count;              /* to encode */
    struct wire_list order_list;     /* decoded: wire_orders_reply_next() */
};

MUST_CHECK enum err wire_orders_reply_encode(const struct wire_orders_reply *reply,
                                             struct buf *out);
MUST_CHECK enum err wire_orders_reply_decode(struct slice in, struct wire_orders_reply *out);
bool wire_orders_reply_next(struct wire_list *list, struct wire_order *out);

/* --- the document of WIRE_ORDER_MOVED --- */

enum { WIRE_MOVED_RECEIPT = 2048 };

/* The ticket under which a shard was made anew, and its new holder's receipt: what frees the old
   holder of it. Both are signed, so the pair needs no signature. */
struct wire_moved {
    struct slice ticket, receipt; /* documents */
};

MUST_CHECK enum err wire_moved_encode(const struct wire_moved *moved, struct buf *out);
MUST_CHECK enum err wire_moved_decode(struct slice in, struct wire_moved *out);
