/* A receipt, document "receipt", signed by the cell: this shard is durable on its disk. It is made
 * after the fsync, never before. */
#pragma once

#include "identity/document.h"
#include "identity/grant.h"

enum { RECEIPT_BYTES_MAX = 512 };

struct receipt {
    struct id segment;
    uint8_t index;
    uint32_t shard_bytes;
    struct id account;
    uint32_t slot;                /* of the device that wrote it */
    uint8_t grant[GRANT_ID_SIZE]; /* the grant's or repair ticket's ID under which it was stored */
    uint64_t list_number;         /* the newest that the cell knows */
    int64_t time_s;               /* by the cell's clock */
    struct id cell;               /* filled in by _open, ignored by _make */
};

MUST_CHECK enum err receipt_make(const struct receipt *receipt, const struct swarm_root *swarm,
                                 const struct sign_key *cell, struct buf *out);
MUST_CHECK enum err receipt_open(struct slice bytes, const struct swarm_root *swarm,
                                 const struct id *cell, struct receipt *out, struct errmsg *msg);
