/*
 * What a new coordinator asks cells for, page by page, to know again what the old one knew. Only a
 * coordinator is answered. PUT /v1/members at a cell takes a member list document as it is.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "base/limits.h"
#include "wire/wire_cell.h"

enum {
    WIRE_INVENTORY_ITEMS = 4096, /* in one page */
    WIRE_DESCRIBE_IDS = 128,     /* in one question */
};

#define WIRE_INVENTORY_BYTES       128u
#define WIRE_INVENTORY_REPLY_BYTES (WIRE_INVENTORY_ITEMS * 96u + 1024u)
#define WIRE_DESCRIBE_BYTES        (WIRE_DESCRIBE_IDS * 40u + 64u)
#define WIRE_DESCRIBE_REPLY_BYTES  (WIRE_DESCRIBE_IDS * 9216u + 64u)

/* --- POST /v1/inventory --- */

struct wire_inventory {
    bool dead;      /* names of freed segments; else what is held */
    bool has_after; /* go on behind this one */
    struct id after_segment;
    uint8_t after_index;
};

struct wire_inventory_item {
    struct id segment, account;
    uint8_t index; /* 0 when dead */
    enum wire_shard_state state;
};

MUST_CHECK enum err wire_inventory_encode(const struct wire_inventory *question, struct buf *out);
MUST_CHECK enum err wire_inventory_decode(struct slice in, struct wire_inventory *out);

/* `claim`: the cell's own, signed by both; size 0: it has none. In the order of segment and index.
 */
MUST_CHECK enum err wire_inventory_reply_encode(const struct wire_inventory_item *items,
                                                size_t count, bool more, struct slice claim,
                                                struct buf *out);
MUST_CHECK enum err wire_inventory_reply_decode(struct slice in, struct wire_list *items,
                                                bool *more, struct slice *claim);
bool wire_inventory_next(struct wire_list *list, struct wire_inventory_item *out);

/* --- POST /v1/describe: headers and records of segments; the question is in wire_ids.h, with at
   most WIRE_DESCRIBE_IDS --- */

struct wire_described {
    uint32_t position; /* of the segment in the question */
    struct slice header, record;
};

/* In the order of positions; what is not in it is not here. */
MUST_CHECK enum err wire_described_encode(const struct wire_described *segments, size_t count,
                                          struct buf *out);
MUST_CHECK enum err wire_described_decode(struct slice in, struct wire_list *out);
bool wire_described_next(struct wire_list *list, struct wire_described *out);
