/*
 * Proofs by lot, while the coordinator is away: POST /v1/audit, from cell to cell, answered with a
 * wire_segment; and POST /v1/verdicts, from a cell to the coordinator when it is back.
 */
#pragma once

#include "base/buf.h"
#include "base/id.h"
#include "base/limits.h"
#include "wire/wire_list.h"

enum { WIRE_VERDICTS_MAX = 256, WIRE_LOT_BYTES = 64 };

#define WIRE_VERDICTS_BYTES       (WIRE_VERDICTS_MAX * 96u + 16u)
#define WIRE_VERDICTS_REPLY_BYTES 16u

/* "By the lot of this day I ask for a leaf of a shard of this segment." */
struct wire_lot {
    uint64_t day; /* since 1970 */
    struct id segment;
};

MUST_CHECK enum err wire_lot_encode(const struct wire_lot *lot, struct buf *out);
MUST_CHECK enum err wire_lot_decode(struct slice in, struct wire_lot *out);

enum wire_verdict_kind {
    WIRE_VERDICT_PROVEN = 1, /* the leaf is what the segment's name says */
    WIRE_VERDICT_WRONG = 2,  /* the shard was said to be there, and the leaf did not come */
    WIRE_VERDICT_LACKS = 3,  /* "I have no whole shard of this segment" */
};

struct wire_verdict {
    uint64_t day;
    struct id segment, cell;
    enum wire_verdict_kind kind;
    uint8_t index; /* PROVEN, WRONG: of the shard */
};

MUST_CHECK enum err wire_verdicts_encode(const struct wire_verdict *verdicts, size_t count,
                                         struct buf *out);
MUST_CHECK enum err wire_verdicts_decode(struct slice in, struct wire_list *out);
bool wire_verdicts_next(struct wire_list *list, struct wire_verdict *out);

MUST_CHECK enum err wire_verdicts_reply_encode(uint32_t taken, struct buf *out);
MUST_CHECK enum err wire_verdicts_reply_decode(struct slice in, uint32_t *taken);
